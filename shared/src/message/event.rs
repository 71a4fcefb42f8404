//! Events: actions of users, and reports of WeChat.
//!
//! See [WeChat Docs/接收事件推送](https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Receiving_event_pushes.html)
//! for following, scans and positions, and
//! [WeChat Docs/自定义菜单事件推送](https://developers.weixin.qq.com/doc/offiaccount/Custom_Menus/Custom_Menu_Push_Events.html)
//! for the menu.

use serde::Serialize;

use super::{
    inside, items, msg_id, optional, owned,
    report::{DeliveryStatus, MassSendResult, PublishResult, SubscribeMsgResult},
};
use crate::xml::Tree;

/// An event, by its name in `Event`, in upper or lower case.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A user follows the account. At most one of `scene` and `last_trade_no` is set.
    Subscribe {
        /// The scene of the QR code that the user scanned: `EventKey` without `qrscene_`.
        scene: Option<String>,
        /// The QR code's ticket, by which its picture can be downloaded.
        ticket: Option<String>,
        /// The payment after which the user followed: `EventKey` without `last_trade_no_`.
        last_trade_no: Option<String>,
    },
    /// A user no longer follows the account. WeChat's rules ask to delete that user's data.
    Unsubscribe,
    /// A follower scanned a QR code with a scene (带参数二维码).
    Scan {
        /// The scene of the QR code: the whole `EventKey`.
        scene: String,
        /// The QR code's ticket, by which its picture can be downloaded.
        ticket: Option<String>,
    },
    /// The position of a user who allowed position reports.
    Location {
        /// Degrees north.
        latitude: Option<f64>,
        /// Degrees east.
        longitude: Option<f64>,
        /// Metres.
        precision: Option<f64>,
    },
    /// A tap on a menu button that has a key.
    Click {
        /// The button's key.
        key: String,
    },
    /// A tap on a menu button that opens a page.
    View {
        /// The address of the page.
        url: String,
        /// The id of the menu that the button is in.
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
    /// A place chosen through the menu. The place follows as a message.
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
        /// The name of the place, if it has one.
        poi_name: Option<String>,
    },
    /// A tap on a menu button that opens a mini program.
    #[serde(rename = "view_miniprogram")]
    ViewMiniProgram {
        /// The page of the mini program.
        path: String,
        /// The id of the menu that the button is in.
        menu_id: Option<String>,
    },
    /// The delivery receipt of a template message.
    /// See [WeChat Docs/模板消息](https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Template_Message_Interface.html).
    #[serde(rename = "templatesendjobfinish")]
    TemplateSendJobFinish {
        /// The `msgid` in the answer to the send.
        msg_id: Option<String>,
        /// Whether the message was delivered.
        status: DeliveryStatus,
        /// `Status`, as sent.
        status_text: String,
    },
    /// The result of a mass message (群发).
    #[serde(rename = "masssendjobfinish")]
    MassSendJobFinish(MassSendResult),
    /// The result of a publication (发布).
    #[serde(rename = "publishjobfinish")]
    PublishJobFinish(PublishResult),
    /// A user answered the dialogue that asks for subscription notifications (订阅通知).
    /// See [WeChat Docs/订阅通知](https://developers.weixin.qq.com/doc/offiaccount/Subscription_Messages/api.html), also for
    /// the next two.
    #[serde(rename = "subscribe_msg_popup_event")]
    SubscribeMsgPopup {
        /// The user's choice for each template.
        choices: Vec<SubscribeChoice>,
    },
    /// A user changed subscription notifications in the settings. WeChat reports only refusals.
    #[serde(rename = "subscribe_msg_change_event")]
    SubscribeMsgChange {
        /// The user's choice for each changed template.
        choices: Vec<SubscribeChoice>,
    },
    /// The results of subscription notifications.
    #[serde(rename = "subscribe_msg_sent_event")]
    SubscribeMsgSent {
        /// The result of each notification.
        results: Vec<SubscribeMsgResult>,
    },
    /// A human agent took a conversation.
    /// See [WeChat Docs/会话控制](https://developers.weixin.qq.com/doc/offiaccount/Customer_Service/Session_control.html), also
    /// for the next two.
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
        /// `FromKfAccount`: the agent who had the conversation.
        from_account: String,
        /// `ToKfAccount`: the agent who has the conversation now.
        to_account: String,
    },
    /// WeChat verified the account's qualification (资质); the name is verified next.
    /// See [WeChat Docs/微信认证事件推送](https://developers.weixin.qq.com/doc/offiaccount/Account_Management/Wechat_Accreditation_Event_Push.html),
    /// also for the next five.
    QualificationVerifySuccess {
        /// End of the verification, in epoch seconds.
        expires_at: Option<i64>,
    },
    /// WeChat refused to verify the account's qualification (资质).
    QualificationVerifyFail {
        /// Time of the refusal, in epoch seconds.
        failed_at: Option<i64>,
        /// WeChat's reason.
        reason: String,
    },
    /// WeChat verified the account's name (名称): the account is now verified.
    NamingVerifySuccess {
        /// End of the verification, in epoch seconds.
        expires_at: Option<i64>,
    },
    /// WeChat refused to verify the account's name (名称). The API permissions of the verified qualification stay.
    NamingVerifyFail {
        /// Time of the refusal, in epoch seconds.
        failed_at: Option<i64>,
        /// WeChat's reason.
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
    /// WeChat cleared the profile of a user who had authorised a web page.
    /// See [WeChat Docs/授权用户资料变更](https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/authorization_change.html),
    /// also for the next two.
    UserInfoModified(AuthorizedUser),
    /// A user withdrew the authorisation of a web page.
    UserAuthorizationRevoke(AuthorizedUser),
    /// A user who had authorised a web page closed their WeChat account.
    UserAuthorizationCancellation(AuthorizedUser),
    /// A test push from WeChat's debugging tool.
    DebugDemo {
        /// The text that was typed into the tool.
        debug_str: String,
    },
    /// A user opened the conversation. WeChat's pages no longer mention this event.
    Enter,
    /// An unknown event: [`Callback::document`](super::Callback::document) has its fields.
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
    /// The content of the code.
    pub scan_result: String,
}

/// Photos sent through the menu.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pictures {
    /// The button's key.
    pub key: String,
    /// `PicMd5Sum` of each photo. `Count` is not read: WeChat has sent wrong ones.
    pub md5_sums: Vec<String>,
}

/// A user's choice about the notifications of one template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SubscribeChoice {
    /// The id of the template.
    pub template_id: String,
    /// Whether `SubscribeStatusString` is `accept`.
    pub accepted: bool,
    /// `PopupScene`: where WeChat showed the dialogue. Only for an answer to a dialogue.
    pub popup_scene: Option<i64>,
}

/// A user who had authorised a web page, and the account of the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuthorizedUser {
    /// `OpenID`: the user. `FromUserName` is a system id in these events.
    pub openid: String,
    /// `UnionID`, when the account has one for the user.
    pub unionid: Option<String>,
    /// `AppID` of the account.
    pub app_id: String,
    /// `RevokeInfo`: WeChat's code for what the user withdrew.
    pub revoke_info: Option<String>,
}

impl Event {
    /// Reads the event called `name`.
    pub(super) fn read(name: &str, document: &Tree) -> Self {
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
            // Only `subscribe` has the prefix `qrscene_`; here a scene may itself start with it.
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
                choices: list(document, &["SubscribeMsgPopupEvent"], SubscribeChoice::read),
            },
            "subscribe_msg_change_event" => Self::SubscribeMsgChange {
                // An older form has the wrapper of the popup's event.
                choices: list(
                    document,
                    &["SubscribeMsgChangeEvent", "SubscribeMsgPopupEvent"],
                    SubscribeChoice::read,
                ),
            },
            "subscribe_msg_sent_event" => Self::SubscribeMsgSent {
                results: list(document, &["SubscribeMsgSentEvent"], SubscribeMsgResult::read),
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
    fn read(document: &Tree) -> Self {
        let info = inside(document, "ScanCodeInfo");
        Self {
            key: owned(document, "EventKey"),
            scan_type: owned(info, "ScanType"),
            scan_result: owned(info, "ScanResult"),
        }
    }
}

impl Pictures {
    fn read(document: &Tree) -> Self {
        let pictures = items(inside(document, "SendPicsInfo"), "PicList");
        Self {
            key: owned(document, "EventKey"),
            md5_sums: pictures.filter_map(|picture| optional(picture, "PicMd5Sum")).collect(),
        }
    }
}

impl SubscribeChoice {
    fn read(item: &Tree) -> Self {
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
    fn read(document: &Tree) -> Self {
        Self {
            openid: owned(document, "OpenID"),
            unionid: optional(document, "UnionID"),
            app_id: owned(document, "AppID"),
            revoke_info: optional(document, "RevokeInfo"),
        }
    }
}

/// The part of `EventKey` after `prefix`.
fn key_after(document: &Tree, prefix: &str) -> Option<String> {
    document
        .text("EventKey")?
        .strip_prefix(prefix)
        .filter(|rest| !rest.is_empty())
        .map(str::to_owned)
}

/// Every `List` in the first of `wrappers` that is there. In JSON bodies the lists are members of the document itself.
fn list<T>(document: &Tree, wrappers: &[&str], read: impl Fn(&Tree) -> T) -> Vec<T> {
    let wrapper = wrappers.iter().find_map(|wrapper| document.child(wrapper));
    wrapper.unwrap_or(document).children("List").map(read).collect()
}
