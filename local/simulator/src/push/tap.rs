//! Taps on menu buttons: the event that WeChat pushes, and the messages that follow it.
//!
//! See [WeChat Docs/自定义菜单事件推送](https://developers.weixin.qq.com/doc/offiaccount/Custom_Menus/Custom_Menu_Push_Events.html).

use serde::Deserialize;

use crate::platform::{
    notice::{Content, Fields, Notice, UserMessage, event_key, fields},
    random::Random,
};

/// A tap, by the type of the button.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Tap {
    Click { key: String },
    View { url: String },
    Miniprogram { pagepath: String },
    ScancodePush(ScannedCode),
    ScancodeWaitmsg(ScannedCode),
    PicSysphoto(Photos),
    PicPhotoOrAlbum(Photos),
    PicWeixin(Photos),
    LocationSelect(Place),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScannedCode {
    key: String,
    result: String,
    #[serde(default = "qrcode")]
    scan_type: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Photos {
    key: String,
    #[serde(default = "one")]
    count: u8,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    key: String,
    latitude: f64,
    longitude: f64,
    #[serde(default)]
    label: String,
    #[serde(default)]
    poiname: String,
}

fn qrcode() -> String {
    "qrcode".to_owned()
}

fn one() -> u8 {
    1
}

impl Tap {
    /// Whether the tap allows customer-service messages: three kinds do.
    pub(crate) fn allows_messages(&self) -> bool {
        matches!(
            self,
            Self::Click { .. } | Self::ScancodePush(_) | Self::ScancodeWaitmsg(_)
        )
    }

    /// The event, and the messages that follow it. `menu_id` is the id of the menu that the user sees.
    pub(crate) fn into_pushes(
        self,
        openid: &str,
        menu_id: Option<u64>,
        created_at: i64,
        random: &mut Random,
    ) -> (Notice, Vec<UserMessage>) {
        let mut followed = Vec::new();
        let (event, fields) = match self {
            Self::Click { key } => ("CLICK", vec![event_key(key)]),
            Self::View { url } => ("VIEW", in_menu(url, menu_id)),
            Self::Miniprogram { pagepath } => ("view_miniprogram", in_menu(pagepath, menu_id)),
            Self::ScancodePush(code) => ("scancode_push", scanned(code)),
            Self::ScancodeWaitmsg(code) => ("scancode_waitmsg", scanned(code)),
            Self::PicSysphoto(photos) => ("pic_sysphoto", pictures(photos, &mut followed, random)),
            Self::PicPhotoOrAlbum(photos) => ("pic_photo_or_album", pictures(photos, &mut followed, random)),
            Self::PicWeixin(photos) => ("pic_weixin", pictures(photos, &mut followed, random)),
            Self::LocationSelect(place) => ("location_select", location(place, &mut followed)),
        };
        (Notice::event(openid, event, fields, created_at), followed)
    }
}

fn in_menu(key: String, menu_id: Option<u64>) -> Fields {
    let mut fields = vec![event_key(key)];
    fields.extend(menu_id.map(|id| ("MenuId".into(), Content::Number(id.to_string()))));
    fields
}

fn with_group(key: String, name: &'static str, group: Fields) -> Fields {
    vec![event_key(key), (name.into(), Content::Group(group))]
}

fn scanned(code: ScannedCode) -> Fields {
    let info = fields([
        ("ScanType", Content::Text(code.scan_type)),
        ("ScanResult", Content::Text(code.result)),
    ]);
    with_group(code.key, "ScanCodeInfo", info)
}

/// The photos follow as messages.
fn pictures(Photos { key, count }: Photos, followed: &mut Vec<UserMessage>, random: &mut Random) -> Fields {
    followed.extend((0..count).map(|_| UserMessage::Image));
    let mut item = || {
        let sum = fields([("PicMd5Sum", Content::text(random.hex(32)))]);
        ("item".into(), Content::Group(sum))
    };
    let list = (0..count).map(|_| item()).collect();
    let info = fields([
        ("Count", Content::Number(count.to_string())),
        ("PicList", Content::Group(list)),
    ]);
    with_group(key, "SendPicsInfo", info)
}

/// The place follows as a message.
fn location(place: Place, followed: &mut Vec<UserMessage>) -> Fields {
    let info = fields([
        ("Location_X", Content::text(place.latitude.to_string())),
        ("Location_Y", Content::text(place.longitude.to_string())),
        ("Scale", Content::text("15")),
        ("Label", Content::text(place.label.as_str())),
        ("Poiname", Content::Text(place.poiname)),
    ]);
    followed.push(UserMessage::Location {
        latitude: place.latitude,
        longitude: place.longitude,
        label: Some(place.label),
    });
    with_group(place.key, "SendLocationInfo", info)
}
