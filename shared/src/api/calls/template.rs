//! Template messages (模板消息): sends a message and lists the account's templates.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    api::{
        Call, Unexpected,
        call::{Id, decoded},
    },
    message::is_msgid,
};

/// Characters of a `client_msg_id` that the bundle makes. WeChat states no limit for template messages; 32 is its limit for the
/// `clientmsgid` of mass messages.
pub const CLIENT_MSG_ID_LENGTH: usize = 32;

/// The content of a template message, the same for every recipient.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct TemplateContent {
    /// The id of one of the account's templates.
    pub template_id: String,
    /// The page that a tap opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The mini program that a tap opens instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub miniprogram: Option<MiniProgram>,
    /// The fields, by name.
    #[serde(default)]
    pub data: BTreeMap<String, FieldValue>,
}

impl TemplateContent {
    /// Returns the message to one recipient.
    #[must_use]
    pub fn message(&self, touser: String, client_msg_id: String) -> TemplateMessage {
        TemplateMessage {
            touser,
            template_id: self.template_id.clone(),
            url: self.url.clone(),
            miniprogram: self.miniprogram.clone(),
            client_msg_id,
            data: self.data.clone(),
        }
    }
}

/// A template message to one recipient, as `message/template/send` takes it.
/// See [WeChat Docs/发送模板消息](https://developers.weixin.qq.com/doc/service/api/notify/template/api_sendtemplatemessage).
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct TemplateMessage {
    /// The recipient's openid.
    pub touser: String,
    /// The id of one of the account's templates.
    pub template_id: String,
    /// The page that a tap opens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The mini program that a tap opens instead of `url`. WeChat refuses an empty one, so `None` is omitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub miniprogram: Option<MiniProgram>,
    /// Deduplicates retries: within 10 minutes WeChat sends one message for the same openid and id.
    pub client_msg_id: String,
    /// The fields, by name.
    pub data: BTreeMap<String, FieldValue>,
}

/// A mini program that is linked to the account.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MiniProgram {
    /// The mini program's AppID.
    pub appid: String,
    /// The page to open, with its parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pagepath: Option<String>,
}

/// The value of one field.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct FieldValue {
    /// The text.
    pub value: String,
    /// `#RRGGBB`. Obsolete for category templates (类目模板); test accounts still show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
}

/// One of the account's templates.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Template {
    /// The id that a send names.
    pub template_id: String,
    /// The title that users see.
    #[serde(default)]
    pub title: String,
    /// The text with its placeholders, such as `时间:{{time2.DATA}}`.
    #[serde(default)]
    pub content: String,
    /// WeChat's example.
    #[serde(default)]
    pub example: String,
}

impl Template {
    /// Returns the names of the placeholders, in order, without duplicates.
    #[must_use]
    pub fn fields(&self) -> Vec<&str> {
        let mut seen = BTreeSet::new();
        let names = self.content.split("{{").skip(1).filter_map(|piece| {
            let name = piece.split("}}").next()?;
            name.trim().strip_suffix(".DATA")
        });
        names.filter(|name| seen.insert(*name)).collect()
    }
}

/// Sends a template message and returns its msgid, a decimal of up to 20 digits. A retry sends no second message: WeChat
/// deduplicates by `client_msg_id`.
/// See [WeChat Docs/发送模板消息](https://developers.weixin.qq.com/doc/service/api/notify/template/api_sendtemplatemessage).
#[derive(Clone, Copy, Debug)]
pub struct SendTemplateMessage<'a>(pub &'a TemplateMessage);

impl Call for SendTemplateMessage<'_> {
    type Answer = String;
    const PATH: &'static str = "/cgi-bin/message/template/send";

    fn body(&self) -> Option<Value> {
        Some(json!(self.0))
    }

    fn read(answer: Value) -> Result<String, Unexpected> {
        #[derive(Deserialize)]
        struct Sent {
            msgid: Id,
        }
        let msgid = decoded(answer).map(|sent: Sent| sent.msgid.into_text())?;
        if is_msgid(&msgid) {
            Ok(msgid)
        } else {
            Err(Unexpected("a msgid that is not a decimal number".to_owned()))
        }
    }
}

/// Returns the account's templates, at most 25.
/// See [WeChat Docs/获取已选用模板列表](https://developers.weixin.qq.com/doc/service/en/api/notify/template/api_getalltemplates.html).
#[derive(Clone, Copy, Debug)]
pub struct ListTemplates;

impl Call for ListTemplates {
    type Answer = Vec<Template>;
    const PATH: &'static str = "/cgi-bin/template/get_all_private_template";

    fn read(answer: Value) -> Result<Vec<Template>, Unexpected> {
        #[derive(Deserialize)]
        struct List {
            template_list: Vec<Template>,
        }
        decoded(answer).map(|list: List| list.template_list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_placeholders_are_the_fields() {
        let template = Template {
            template_id: "t".to_owned(),
            title: String::new(),
            content: "{{first.DATA}}\n订单号:{{character_string1.DATA}} {{ thing2.DATA }}{{first.DATA}}{{broken"
                .to_owned(),
            example: String::new(),
        };
        assert_eq!(template.fields(), ["first", "character_string1", "thing2"]);
    }
}
