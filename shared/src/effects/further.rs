//! Hands the replies that follow a passive one over to `worker`, which sends them as customer-service messages.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The action of the event.
const ACTION: &str = "then";

/// The customer-service messages that follow a passive reply, as `worker` receives them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FurtherReplies {
    /// The recipient's openid.
    pub openid: String,
    /// The key of the callback, [`Callback::dedup_key`](crate::message::Callback::dedup_key). Several deliveries of one callback
    /// hand over the same messages, and `worker` sends those of a key once.
    pub key: String,
    /// The messages in order, in WeChat's JSON without `touser`, for
    /// [`SendCustomMessage`](crate::api::calls::custom_message::SendCustomMessage).
    pub messages: Vec<Map<String, Value>>,
    /// When the passive reply was given, in epoch seconds.
    pub at: i64,
}

/// The event has the action `then`, but lacks a member or has a wrong one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the further replies cannot be read: a member is missing or wrong / 后续回复无法解析：字段缺失或有误")]
pub struct NotFurtherReplies;

impl FurtherReplies {
    /// The event that asks `worker` to send the messages.
    #[must_use]
    pub fn event(&self) -> Value {
        let mut event = json!(self);
        event["action"] = ACTION.into();
        event
    }

    /// Reads an event that [`Self::event`] made.
    ///
    /// # Errors
    /// [`NotFurtherReplies`] when a member is missing or wrong.
    pub fn from_event(event: &Value) -> Result<Self, NotFurtherReplies> {
        // The decoder's error is dropped: it may quote a text.
        Self::deserialize(event).map_err(|_| NotFurtherReplies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::Reply;

    #[test]
    fn the_messages_are_the_same_at_the_worker() {
        let further = FurtherReplies {
            openid: "oUser".to_owned(),
            key: "k".to_owned(),
            messages: Reply::text("好\"\n😀").to_custom(),
            at: 1_767_225_600,
        };
        let event: Value = serde_json::from_str(&further.event().to_string()).unwrap();
        let expected = json!({
            "action": "then", "openid": "oUser", "key": "k", "at": 1_767_225_600,
            "messages": [{"msgtype": "text", "text": {"content": "好\"\n😀"}}],
        });
        assert_eq!(event, expected);
        assert_eq!(FurtherReplies::from_event(&event), Ok(further));
        for name in ["openid", "key", "messages", "at"] {
            let mut event = event.clone();
            event.as_object_mut().unwrap().remove(name);
            assert_eq!(FurtherReplies::from_event(&event), Err(NotFurtherReplies), "{name}");
        }
    }
}
