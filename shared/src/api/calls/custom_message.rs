//! Customer-service messages (客服消息): free-form messages to a person who has just acted towards the account.

use serde_json::{Map, Value};

use crate::api::{Call, Unexpected, call::confirmed};

/// Sends a customer-service message. WeChat answers without an id, sends no receipt, and recognises no retry, so the call is
/// never repeated after an attempt that may have been taken.
///
/// Errcode 45015 when no recent action of the person allows a message, 45047 when the last action allows no further one.
/// Needs a verified account. 500,000 a day.
/// See [WeChat Docs/发送客服消息](https://developers.weixin.qq.com/doc/service/api/customer/message/api_sendcustommessage).
#[derive(Clone, Copy, Debug)]
pub struct SendCustomMessage<'a> {
    /// The recipient's openid.
    pub touser: &'a str,
    /// The message in WeChat's own JSON, without `touser`: `msgtype`, the member that it names, and perhaps `customservice`.
    pub message: &'a Map<String, Value>,
}

impl Call for SendCustomMessage<'_> {
    type Answer = ();
    const PATH: &'static str = "/cgi-bin/message/custom/send";
    const REPEATABLE: bool = false;

    fn body(&self) -> Option<Value> {
        let mut body = self.message.clone();
        body.insert("touser".to_owned(), self.touser.into());
        Some(Value::Object(body))
    }

    fn read(answer: Value) -> Result<(), Unexpected> {
        confirmed(&answer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_request_and_the_answer_are_as_documented() {
        let message = json!({"msgtype": "text", "text": {"content": "处理完成"}});
        let call = SendCustomMessage {
            touser: "oSheet_u1",
            message: message.as_object().unwrap(),
        };
        let expected = json!({"touser": "oSheet_u1", "msgtype": "text", "text": {"content": "处理完成"}});
        assert_eq!(call.body(), Some(expected));
        assert_eq!(SendCustomMessage::read(json!({"errcode": 0, "errmsg": "ok"})), Ok(()));
        assert!(SendCustomMessage::read(json!({"ok": true})).is_err());
    }
}
