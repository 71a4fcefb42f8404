//! The team's own code: every verified callback goes to it, at least once, and it may answer.
//!
//! `webhook` keeps a callback in the table before it asks own code, see [`crate::store::NewForward`]. `worker` retries a
//! callback that own code did not take.

#[cfg(feature = "forward")]
mod own_code;
mod reply;
#[cfg(feature = "forward")]
mod signature;

use serde_json::{Value, json};

#[cfg(feature = "forward")]
pub use self::own_code::{AskError, Asked, GONE, OwnCode, Showable};
pub use self::reply::{InvalidReply, OwnReply};
use crate::message::{Callback, Content, Event};

/// What own code is sent, the same bytes at every attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The callback's key, the same for every delivery and every attempt.
    pub id: String,
    /// The type, in WeChat's spelling: `text`, `event.CLICK`.
    pub kind: String,
    /// JSON: what goes to the event bus (see [`Callback::to_json`]), and `type`.
    pub body: String,
}

impl Forward {
    /// Writes `callback` for own code.
    #[must_use]
    pub fn new(callback: &Callback) -> Self {
        let kind = callback.type_name();
        let mut body = callback.to_json();
        body["type"] = json!(kind);
        let id = body["id"].as_str().unwrap_or_default().to_owned();
        Self {
            id,
            kind,
            body: Value::to_string(&body),
        }
    }
}

/// How the names of events begin that WeChat shows no reply to: reports, and what happens to the account itself.
const UNANSWERABLE: [&str; 10] = [
    "kf_",
    "view_miniprogram",
    "subscribe_msg_sent_event",
    "subscribe_msg_change_event",
    "user_info_modified",
    "user_authorization_",
    "qualification_verify_",
    "naming_verify_",
    "annual_renew",
    "verify_expired",
];

/// Whether WeChat shows a reply to `callback`. It shows none to reports, to events about the account, that end a conversation or
/// belong to customer service, and to those that a phone sends by itself.
#[must_use]
pub fn can_be_answered(callback: &Callback) -> bool {
    let has_addresses = !callback.from.is_empty() && !callback.to.is_empty();
    let is_answerable = match &callback.content {
        Content::Message(_) => true,
        Content::Event(Event::Unsubscribe | Event::Location { .. } | Event::View { .. })
        | Content::ThirdPartyPlatform { .. } => false,
        Content::Event(_) => {
            let name = callback.event_name().unwrap_or_default().to_ascii_lowercase();
            let is_about = |prefix| name.starts_with(prefix);
            !UNANSWERABLE.into_iter().any(is_about) && !name.ends_with("jobfinish")
        }
    };
    has_addresses && is_answerable
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::Tree;

    fn callback(fields: &str) -> Callback {
        let xml = format!("<xml><ToUserName>gh_1</ToUserName><FromUserName>o1</FromUserName>{fields}</xml>");
        Callback::from_document(Tree::parse(xml.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn own_code_gets_what_the_event_bus_gets_and_the_type() {
        for (fields, kind) in [
            ("<MsgType>text</MsgType><Content>你好</Content><MsgId>1</MsgId>", "text"),
            (
                "<MsgType>event</MsgType><Event>CLICK</Event><EventKey>k</EventKey>",
                "event.CLICK",
            ),
            ("<MsgType>event</MsgType><Event>subscribe</Event>", "event.subscribe"),
        ] {
            let callback = callback(fields);
            let forward = Forward::new(&callback);
            let mut body: Value = serde_json::from_str(&forward.body).unwrap();
            assert_eq!(
                (&body["type"], &body["id"]),
                (&json!(kind), &json!(callback.dedup_key()))
            );
            assert_eq!((forward.id, forward.kind.as_str()), (callback.dedup_key(), kind));
            body.as_object_mut().unwrap().remove("type");
            assert_eq!(body, callback.to_json());
        }
    }

    #[test]
    fn reports_and_events_without_a_reader_cannot_be_answered() {
        for (fields, expected) in [
            ("<MsgType>text</MsgType>", true),
            ("<MsgType>location</MsgType>", true),
            ("<MsgType>new_type</MsgType>", true),
            ("<MsgType>event</MsgType><Event>subscribe</Event>", true),
            ("<MsgType>event</MsgType><Event>SCAN</Event>", true),
            ("<MsgType>event</MsgType><Event>CLICK</Event>", true),
            ("<MsgType>event</MsgType><Event>scancode_waitmsg</Event>", true),
            ("<MsgType>event</MsgType><Event>unsubscribe</Event>", false),
            ("<MsgType>event</MsgType><Event>LOCATION</Event>", false),
            ("<MsgType>event</MsgType><Event>VIEW</Event>", false),
            ("<MsgType>event</MsgType><Event>view_miniprogram</Event>", false),
            ("<MsgType>event</MsgType><Event>TEMPLATESENDJOBFINISH</Event>", false),
            ("<MsgType>event</MsgType><Event>MASSSENDJOBFINISH</Event>", false),
            ("<MsgType>event</MsgType><Event>PUBLISHJOBFINISH</Event>", false),
            ("<MsgType>event</MsgType><Event>kf_create_session</Event>", false),
            ("<MsgType>event</MsgType><Event>subscribe_msg_popup_event</Event>", true),
            ("<MsgType>event</MsgType><Event>subscribe_msg_sent_event</Event>", false),
            (
                "<MsgType>event</MsgType><Event>subscribe_msg_change_event</Event>",
                false,
            ),
            (
                "<MsgType>event</MsgType><Event>user_authorization_revoke</Event>",
                false,
            ),
            (
                "<MsgType>event</MsgType><Event>qualification_verify_success</Event>",
                false,
            ),
            ("<MsgType>event</MsgType><Event>annual_renew</Event>", false),
            ("<InfoType>component_verify_ticket</InfoType>", false),
        ] {
            assert_eq!(can_be_answered(&callback(fields)), expected, "{fields}");
        }
        let nobody = Tree::parse(b"<xml><MsgType>text</MsgType></xml>").unwrap();
        assert!(!can_be_answered(&Callback::from_document(nobody).unwrap()));
    }
}
