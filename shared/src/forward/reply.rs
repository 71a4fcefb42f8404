//! The reply that own code chose.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    bilingual::caused,
    rules::{RuleReply, parse_reply},
    validate::{Fault, Place, in_words},
};

/// The member of an answer that holds the reply.
const MEMBER: &str = "reply";

/// The passive reply that own code chose.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnReply {
    /// This reply, and those that follow it.
    Reply(RuleReply),
    /// No reply.
    Silence,
    /// The reply that the rules choose.
    LeftToRules,
}

/// Why the reply in own code's answer cannot be used: the rules choose one.
#[derive(Debug, thiserror::Error)]
pub enum InvalidReply {
    /// The answer is not JSON.
    #[error("own code's answer is not JSON: {0} / 自有服务的应答不是 JSON：{0}")]
    Json(#[from] serde_json::Error),
    /// The reply has these faults.
    #[error("{}", caused("own code's reply is invalid", "自有服务的回复有误", &in_words(.0)))]
    Faults(Vec<Fault>),
    /// The answer is longer than this many bytes.
    #[error("own code's answer has more than {0} bytes / 自有服务的应答超过 {0} 字节")]
    TooLong(usize),
}

impl OwnReply {
    /// Reads the body of own code's answer: `{"reply":{…}}` with a reply as in the rules, `{"reply":null}` for silence. An empty
    /// body, or one without `reply`, leaves the reply to the rules.
    ///
    /// # Errors
    /// [`InvalidReply`] when the body is not JSON or its reply has faults.
    pub fn read(body: &[u8]) -> Result<Self, InvalidReply> {
        // PHP files saved with a byte order mark send it.
        let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body).trim_ascii();
        if body.is_empty() {
            return Ok(Self::LeftToRules);
        }
        let answer: Value = serde_json::from_slice(body)?;
        match answer.get(MEMBER) {
            None => Ok(Self::LeftToRules),
            Some(Value::Null) => Ok(Self::Silence),
            Some(reply) => parse_reply(Place::Root.member(MEMBER), reply)
                .map(Self::Reply)
                .map_err(InvalidReply::Faults),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::Reply;

    #[test]
    fn own_code_replies_or_is_silent_or_leaves_it_to_the_rules() {
        let text = OwnReply::Reply(Reply::text("你好").into());
        for (body, expected) in [
            (r#"{"reply":{"type":"text","content":"你好"}}"#, &text),
            (
                "\u{feff}{\"reply\":{\"type\":\"text\",\"content\":\"你好\"},\"more\":1}\r\n",
                &text,
            ),
            (r#"{"reply":null}"#, &OwnReply::Silence),
            (r#"{"ok":true}"#, &OwnReply::LeftToRules),
            ("[]", &OwnReply::LeftToRules),
            (" \n", &OwnReply::LeftToRules),
            ("", &OwnReply::LeftToRules),
        ] {
            assert_eq!(&OwnReply::read(body.as_bytes()).unwrap(), expected, "{body}");
        }
    }

    #[test]
    fn a_reply_that_the_rules_would_refuse_is_refused_with_its_place() {
        for (body, place) in [
            ("success", "not JSON"),
            (r#"{"reply":"hello"}"#, "/reply:"),
            (r#"{"reply":{"type":"text"}}"#, "/reply/content:"),
            (r#"{"reply":{"type":"text","content":" "}}"#, "/reply/content:"),
            (r#"{"reply":{"type":"sticker"}}"#, "/reply/type:"),
            (r#"{"reply":{"type":"text","content":"x","extra":1}}"#, "/reply/extra:"),
        ] {
            let error = OwnReply::read(body.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(place), "{body}: {error}");
        }
        let long = format!(r#"{{"reply":{{"type":"text","content":"{}"}}}}"#, "x".repeat(2049));
        OwnReply::read(long.as_bytes()).unwrap_err();
    }

    /// Repeats of a callback get the answer that the table kept.
    #[test]
    fn an_answer_survives_the_table() {
        let news = r#"{"reply":{"type":"news","articles":[{"title":"a","url":"https://example.com"}]}}"#;
        let news = OwnReply::read(news.as_bytes()).unwrap();
        let more = r#"{"reply":{"type":"text","content":"a","then":[{"type":"text","content":"b"}]}}"#;
        let more = OwnReply::read(more.as_bytes()).unwrap();
        assert!(matches!(&more, OwnReply::Reply(reply) if reply.then.len() == 1));
        for reply in [news, more, OwnReply::Silence, OwnReply::LeftToRules] {
            let kept = serde_json::to_string(&reply).unwrap();
            assert_eq!(serde_json::from_str::<OwnReply>(&kept).unwrap(), reply);
        }
    }
}
