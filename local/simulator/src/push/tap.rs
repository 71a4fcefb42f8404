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
    Click {
        key: String,
    },
    View {
        url: String,
    },
    Miniprogram {
        pagepath: String,
    },
    ScancodePush {
        key: String,
        result: String,
        #[serde(default = "qrcode")]
        scan_type: String,
    },
    ScancodeWaitmsg {
        key: String,
        result: String,
        #[serde(default = "qrcode")]
        scan_type: String,
    },
    PicSysphoto {
        key: String,
        #[serde(default = "one")]
        count: u8,
    },
    PicPhotoOrAlbum {
        key: String,
        #[serde(default = "one")]
        count: u8,
    },
    PicWeixin {
        key: String,
        #[serde(default = "one")]
        count: u8,
    },
    LocationSelect {
        key: String,
        latitude: f64,
        longitude: f64,
        #[serde(default)]
        label: String,
        #[serde(default)]
        poiname: String,
    },
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
            Self::Click { .. } | Self::ScancodePush { .. } | Self::ScancodeWaitmsg { .. }
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
            Self::ScancodePush { key, result, scan_type } => ("scancode_push", scanned(key, result, scan_type)),
            Self::ScancodeWaitmsg { key, result, scan_type } => ("scancode_waitmsg", scanned(key, result, scan_type)),
            Self::PicSysphoto { key, count } => ("pic_sysphoto", pictures(key, count, &mut followed, random)),
            Self::PicPhotoOrAlbum { key, count } => ("pic_photo_or_album", pictures(key, count, &mut followed, random)),
            Self::PicWeixin { key, count } => ("pic_weixin", pictures(key, count, &mut followed, random)),
            Self::LocationSelect {
                key,
                latitude,
                longitude,
                label,
                poiname,
            } => {
                let place = fields([
                    ("Location_X", Content::text(latitude.to_string())),
                    ("Location_Y", Content::text(longitude.to_string())),
                    ("Scale", Content::text("15")),
                    ("Label", Content::text(label.as_str())),
                    ("Poiname", Content::Text(poiname)),
                ]);
                followed.push(UserMessage::Location {
                    latitude,
                    longitude,
                    label: Some(label),
                });
                ("location_select", with_group(key, "SendLocationInfo", place))
            }
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

fn scanned(key: String, result: String, scan_type: String) -> Fields {
    let code = fields([
        ("ScanType", Content::Text(scan_type)),
        ("ScanResult", Content::Text(result)),
    ]);
    with_group(key, "ScanCodeInfo", code)
}

/// The photos follow as messages.
fn pictures(key: String, count: u8, followed: &mut Vec<UserMessage>, random: &mut Random) -> Fields {
    let list = (0..count)
        .map(|_| {
            followed.push(UserMessage::Image);
            let sum = fields([("PicMd5Sum", Content::text(random.hex(32)))]);
            ("item".into(), Content::Group(sum))
        })
        .collect();
    let sent = fields([
        ("Count", Content::Number(count.to_string())),
        ("PicList", Content::Group(list)),
    ]);
    with_group(key, "SendPicsInfo", sent)
}
