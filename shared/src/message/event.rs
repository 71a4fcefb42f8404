//! Events: what users and the platform did.

use serde::Serialize;

use super::{
    inside, items, msg_id, optional, owned,
    report::{DeliveryStatus, MassSendResult, PublishResult, SubscribeMsgResult},
};
use crate::xml::Document;

/// An event, by `Event` in whatever case.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A user follows the account. At most one of `scene` and `last_trade_no` is there.
    Subscribe {
        /// The scene of the QR code that led here: `EventKey` without `qrscene_`.
        scene: Option<String>,
        /// The QR code's ticket, which its picture can be fetched with.
        ticket: Option<String>,
        /// The payment that led here: `EventKey` without `last_trade_no_`.
        last_trade_no: Option<String>,
    },
    /// A user no longer follows the account. WeChat's rules ask to delete that user's data.
    Unsubscribe,
    /// A follower scans a parametric QR code.
    Scan {
        /// The code's scene: the whole `EventKey`.
        scene: String,
        /// The QR code's ticket, which its picture can be fetched with.
        ticket: Option<String>,
    },
    /// A position report, from users who allowed it.
    Location {
        /// In degrees north.
        latitude: Option<f64>,
        /// In degrees east.
        longitude: Option<f64>,
        /// In metres.
        precision: Option<f64>,
    },
    /// A tap on a menu button that has a key.
    Click {
        /// The button's key.
        key: String,
    },
    /// A tap on a menu button that opens a page.
    View {
        /// The page.
        url: String,
        /// The conditional menu that the button belongs to.
        menu_id: Option<String>,
    },
    /// A scan through the menu.
    #[serde(rename = "scancode_push")]
    ScanCodePush(ScanCode),
    /// A scan through the menu, after which the phone waits for a message.
    #[serde(rename = "scancode_waitmsg")]
    ScanCodeWaitMsg(ScanCode),
    /// Photos taken through the menu. The photos follow as messages.
    #[serde(rename = "pic_sysphoto")]
    PicSysPhoto(Pictures),
    /// Photos taken or chosen through the menu. The photos follow as messages.
    PicPhotoOrAlbum(Pictures),
    /// Photos chosen through the menu. The photos follow as messages.
    PicWeixin(Pictures),
    /// A place chosen through the menu. It follows as a message.
    LocationSelect {
        /// The button's key.
        key: String,
        /// `Location_X`, in degrees north.
        latitude: Option<f64>,
        /// `Location_Y`, in degrees east.
        longitude: Option<f64>,
        /// Zoom of the map.
        scale: Option<i64>,
        /// The address in words.
        label: String,
        /// Name of the place, if it has one.
        poi_name: Option<String>,
    },
    /// A tap on a menu button that opens a mini program.
    #[serde(rename = "view_miniprogram")]
    ViewMiniProgram {
        /// The page of the mini program.
        path: String,
        /// The conditional menu that the button belongs to.
        menu_id: Option<String>,
    },
    /// What became of a template message.
    #[serde(rename = "templatesendjobfinish")]
    TemplateSendJobFinish {
        /// The `msgid` that the send was answered with.
        msg_id: Option<String>,
        /// What became of it.
        status: DeliveryStatus,
        /// `Status`, as sent.
        status_text: String,
    },
    /// What became of a mass message (群发).
    #[serde(rename = "masssendjobfinish")]
    MassSendJobFinish(MassSendResult),
    /// What became of a publication (发布).
    #[serde(rename = "publishjobfinish")]
    PublishJobFinish(PublishResult),
    /// A user answered the dialogue that asks for subscription notifications (订阅通知).
    #[serde(rename = "subscribe_msg_popup_event")]
    SubscribeMsgPopup {
        /// An answer for each template.
        choices: Vec<SubscribeChoice>,
    },
    /// A user changed subscription notifications in the settings; WeChat tells of refusals only.
    #[serde(rename = "subscribe_msg_change_event")]
    SubscribeMsgChange {
        /// What now holds for each template.
        choices: Vec<SubscribeChoice>,
    },
    /// What became of subscription notifications.
    #[serde(rename = "subscribe_msg_sent_event")]
    SubscribeMsgSent {
        /// A result for each notification.
        results: Vec<SubscribeMsgResult>,
    },
    /// A human agent took a conversation.
    KfCreateSession {
        /// `KfAccount`: the agent.
        account: String,
    },
    /// A human agent ended a conversation.
    KfCloseSession {
        /// `KfAccount`: the agent.
        account: String,
    },
    /// A human agent handed a conversation to another.
    KfSwitchSession {
        /// `FromKfAccount`: who had it.
        from_account: String,
        /// `ToKfAccount`: who has it now.
        to_account: String,
    },
    /// The account's qualification (资质) was verified; its name comes next.
    QualificationVerifySuccess {
        /// End of the verification, in epoch seconds.
        expires_at: Option<i64>,
    },
    /// The account's qualification (资质) was not verified.
    QualificationVerifyFail {
        /// When, in epoch seconds.
        failed_at: Option<i64>,
        /// Why.
        reason: String,
    },
    /// The account's name (名称) was verified, and so the account.
    NamingVerifySuccess {
        /// End of the verification, in epoch seconds.
        expires_at: Option<i64>,
    },
    /// The account's name (名称) was not verified. The API rights of the qualification stay.
    NamingVerifyFail {
        /// When, in epoch seconds.
        failed_at: Option<i64>,
        /// Why.
        reason: String,
    },
    /// The verification is about to end and must be renewed.
    AnnualRenew {
        /// End of the verification, in epoch seconds.
        expires_at: Option<i64>,
    },
    /// The verification has ended.
    VerifyExpired {
        /// End of the verification, in epoch seconds.
        expires_at: Option<i64>,
    },
    /// The profile of a user who authorised a web page was cleaned.
    UserInfoModified(AuthorizedUser),
    /// A user withdrew the authorisation of a web page.
    UserAuthorizationRevoke(AuthorizedUser),
    /// A user who had authorised a web page closed the WeChat account.
    UserAuthorizationCancellation(AuthorizedUser),
    /// Sent by the official debugging tool.
    DebugDemo {
        /// What was typed there.
        debug_str: String,
    },
    /// A user opened the conversation. WeChat no longer documents it.
    Enter,
    /// An event that is not known: see [`Callback::document`](super::Callback::document).
    Unknown {
        /// `Event`, as sent.
        event: String,
    },
}

/// A scan through the menu.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScanCode {
    /// The button's key.
    pub key: String,
    /// `qrcode`, `barcode`, …
    pub scan_type: String,
    /// What the code says.
    pub scan_result: String,
}

/// Photos sent through the menu.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pictures {
    /// The button's key.
    pub key: String,
    /// `PicMd5Sum` of each photo. WeChat's own `Count` has been seen to be wrong.
    pub md5_sums: Vec<String>,
}

/// What a user chose for the notifications of one template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SubscribeChoice {
    /// The template.
    pub template_id: String,
    /// Whether `SubscribeStatusString` is `accept`.
    pub accepted: bool,
    /// `PopupScene`: where the dialogue was shown. Only when it was one.
    pub popup_scene: Option<i64>,
}

/// A user of a web page, and the account that the page belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuthorizedUser {
    /// `OpenID`: the user. `FromUserName` of these events is a system id.
    pub openid: String,
    /// `UnionID`, where the account has one for the user.
    pub unionid: Option<String>,
    /// `AppID` of the account.
    pub app_id: String,
    /// `RevokeInfo`: what was withdrawn, as a code of WeChat's.
    pub revoke_info: Option<String>,
}

impl Event {
    /// Reads the event called `name`.
    pub(super) fn read(name: &str, document: &Document) -> Self {
        let text = |name| owned(document, name);
        let key = || text("EventKey");
        let menu_id = || optional(document, "MenuId");
        let ticket = || optional(document, "Ticket");
        let expires_at = document.number("ExpiredTime");
        let failed_at = document.number("FailTime");
        match name.to_ascii_lowercase().as_str() {
            "subscribe" => Self::Subscribe {
                scene: key_after(document, "qrscene_"),
                ticket: ticket(),
                last_trade_no: key_after(document, "last_trade_no_"),
            },
            "unsubscribe" => Self::Unsubscribe,
            // No prefix to strip: a scene may itself start with `qrscene_`.
            "scan" => Self::Scan {
                scene: key(),
                ticket: ticket(),
            },
            "location" => Self::Location {
                latitude: document.number("Latitude"),
                longitude: document.number("Longitude"),
                precision: document.number("Precision"),
            },
            "click" => Self::Click { key: key() },
            "view" => Self::View {
                url: key(),
                menu_id: menu_id(),
            },
            "scancode_push" => Self::ScanCodePush(ScanCode::read(document)),
            "scancode_waitmsg" => Self::ScanCodeWaitMsg(ScanCode::read(document)),
            "pic_sysphoto" => Self::PicSysPhoto(Pictures::read(document)),
            "pic_photo_or_album" => Self::PicPhotoOrAlbum(Pictures::read(document)),
            "pic_weixin" => Self::PicWeixin(Pictures::read(document)),
            "location_select" => {
                let place = inside(document, "SendLocationInfo");
                Self::LocationSelect {
                    key: key(),
                    latitude: place.number("Location_X"),
                    longitude: place.number("Location_Y"),
                    scale: place.number("Scale"),
                    label: owned(place, "Label"),
                    poi_name: optional(place, "Poiname"),
                }
            }
            "view_miniprogram" => Self::ViewMiniProgram {
                path: key(),
                menu_id: menu_id(),
            },
            "templatesendjobfinish" => Self::TemplateSendJobFinish {
                msg_id: msg_id(document),
                status: DeliveryStatus::parse(&text("Status")),
                status_text: text("Status"),
            },
            "masssendjobfinish" => Self::MassSendJobFinish(MassSendResult::read(document)),
            "publishjobfinish" => Self::PublishJobFinish(PublishResult::read(inside(document, "PublishEventInfo"))),
            "subscribe_msg_popup_event" => Self::SubscribeMsgPopup {
                choices: list(document, "SubscribeMsgPopupEvent", SubscribeChoice::read),
            },
            "subscribe_msg_change_event" => Self::SubscribeMsgChange {
                choices: list(document, "SubscribeMsgChangeEvent", SubscribeChoice::read),
            },
            "subscribe_msg_sent_event" => Self::SubscribeMsgSent {
                results: list(document, "SubscribeMsgSentEvent", SubscribeMsgResult::read),
            },
            "kf_create_session" => Self::KfCreateSession {
                account: text("KfAccount"),
            },
            "kf_close_session" => Self::KfCloseSession {
                account: text("KfAccount"),
            },
            "kf_switch_session" => Self::KfSwitchSession {
                from_account: text("FromKfAccount"),
                to_account: text("ToKfAccount"),
            },
            "qualification_verify_success" => Self::QualificationVerifySuccess { expires_at },
            "qualification_verify_fail" => Self::QualificationVerifyFail {
                failed_at,
                reason: text("FailReason"),
            },
            "naming_verify_success" => Self::NamingVerifySuccess { expires_at },
            "naming_verify_fail" => Self::NamingVerifyFail {
                failed_at,
                reason: text("FailReason"),
            },
            "annual_renew" => Self::AnnualRenew { expires_at },
            "verify_expired" => Self::VerifyExpired { expires_at },
            "user_info_modified" => Self::UserInfoModified(AuthorizedUser::read(document)),
            "user_authorization_revoke" => Self::UserAuthorizationRevoke(AuthorizedUser::read(document)),
            "user_authorization_cancellation" => Self::UserAuthorizationCancellation(AuthorizedUser::read(document)),
            "debug_demo" => Self::DebugDemo {
                debug_str: text("debug_str"),
            },
            "enter" => Self::Enter,
            _ => Self::Unknown { event: name.to_owned() },
        }
    }
}

impl ScanCode {
    fn read(document: &Document) -> Self {
        let info = inside(document, "ScanCodeInfo");
        Self {
            key: owned(document, "EventKey"),
            scan_type: owned(info, "ScanType"),
            scan_result: owned(info, "ScanResult"),
        }
    }
}

impl Pictures {
    fn read(document: &Document) -> Self {
        let pictures = items(inside(document, "SendPicsInfo"), "PicList");
        Self {
            key: owned(document, "EventKey"),
            md5_sums: pictures.filter_map(|picture| optional(picture, "PicMd5Sum")).collect(),
        }
    }
}

impl SubscribeChoice {
    fn read(item: &Document) -> Self {
        Self {
            template_id: owned(item, "TemplateId"),
            accepted: item
                .word("SubscribeStatusString")
                .is_some_and(|status| status.eq_ignore_ascii_case("accept")),
            popup_scene: item.number("PopupScene"),
        }
    }
}

impl AuthorizedUser {
    fn read(document: &Document) -> Self {
        Self {
            openid: owned(document, "OpenID"),
            unionid: optional(document, "UnionID"),
            app_id: owned(document, "AppID"),
            revoke_info: optional(document, "RevokeInfo"),
        }
    }
}

/// What follows `prefix` in `EventKey`.
fn key_after(document: &Document, prefix: &str) -> Option<String> {
    document
        .text("EventKey")?
        .strip_prefix(prefix)
        .filter(|rest| !rest.is_empty())
        .map(str::to_owned)
}

/// Every `List` in `wrapper`; in JSON bodies they stand in the document itself.
fn list<T>(document: &Document, wrapper: &str, read: impl Fn(&Document) -> T) -> Vec<T> {
    inside(document, wrapper).children("List").map(read).collect()
}
