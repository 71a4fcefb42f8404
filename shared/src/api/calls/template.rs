//! Template messages (模板消息): sending one, and the templates that an account has.

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

/// A template message to one recipient, as `message/template/send` takes it.
#[derive(Clone, Debug, Serialize)]
pub struct TemplateMessage {
    /// The recipient's openid.
    pub touser: String,
    /// The template, one of the account's own.
    pub template_id: String,
    /// Where a tap leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The mini program that a tap opens; it wins over `url`. An empty one makes the send fail, so it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub miniprogram: Option<MiniProgram>,
    /// The same openid and id are sent once, within 10 minutes.
    pub client_msg_id: String,
    /// The fields, by name.
    pub data: BTreeMap<String, FieldValue>,
}

/// A mini program that is linked to the account.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MiniProgram {
    /// Its AppID.
    pub appid: String,
    /// The page to open, with its parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pagepath: Option<String>,
}

/// The value of one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldValue {
    /// The text.
    pub value: String,
    /// `#RRGGBB`: obsolete for category templates, still shown by test accounts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
}

/// One of the account's templates.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Template {
    /// What a send names.
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
    /// The names of the placeholders, in order, each once.
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

/// Sends a template message, and answers with its msgid, a decimal of up to 20 digits. A repeat does no harm: WeChat knows
/// it by `client_msg_id`.
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
            Err(Unexpected("a msgid that is no decimal number".to_owned()))
        }
    }
}

/// The account's templates: at most 25.
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
