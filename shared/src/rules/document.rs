//! The rules document as JSON: read by hand rather than by derive, so that one `PUT` reports every fault at once.

use std::{
    collections::HashMap,
    fmt::{Arguments, Display},
};

use regex_syntax::hir::Hir;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::fold;
use crate::{
    fault::{self, Fault, escape_pointer},
    reply::{NEWS_LIMIT, Reply, TEXT_LIMIT},
    xml::is_xml_character,
};

/// The document, decoded. Every member is optional.
#[derive(Debug, Default)]
pub(super) struct RulesDocument {
    pub(super) subscribe: Option<Reply>,
    pub(super) keywords: Vec<KeywordRule>,
    pub(super) clicks: HashMap<String, Reply>,
    pub(super) scans: HashMap<String, Reply>,
    pub(super) default: Option<Reply>,
}

#[derive(Debug)]
pub(super) struct KeywordRule {
    pub(super) matches: Match,
    /// Whether case, width and outer spaces count.
    pub(super) strict: bool,
    pub(super) reply: Reply,
}

/// What a text is compared with: folded, unless the rule is strict.
#[derive(Debug)]
pub(super) enum Match {
    Exact(String),
    Prefix(String),
    Contains(String),
    Regex(Hir),
}

/// Why a rules document was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RulesError {
    /// Not JSON at all.
    #[error("the rules are not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Every fault that was found.
    #[error("the rules have {} fault(s): {}", .0.len(), fault::in_words(.0))]
    Faults(Vec<Fault>),
}

impl RulesDocument {
    pub(super) fn parse(json: &[u8]) -> Result<Self, RulesError> {
        let value: Value = serde_json::from_slice(json)?;
        let mut reader = Reader::default();
        let document = reader.document(&value);
        if reader.faults.is_empty() {
            Ok(document)
        } else {
            Err(RulesError::Faults(reader.faults))
        }
    }
}

/// Walks the document and collects faults instead of stopping at the first. A pointer is only written out for a fault.
#[derive(Default)]
struct Reader {
    faults: Vec<Fault>,
}

impl Reader {
    fn fault(&mut self, pointer: impl Display, detail: impl Into<String>) {
        if self.faults.len() < fault::LIMIT {
            self.faults.push(Fault::new(pointer.to_string(), detail));
        }
    }

    fn document(&mut self, value: &Value) -> RulesDocument {
        let known = ["subscribe", "keywords", "clicks", "scans", "default"];
        let Some(members) = self.object(format_args!(""), value, &known) else {
            return RulesDocument::default();
        };
        let present = |name: &str| members.get(name).filter(|value| !value.is_null());
        RulesDocument {
            subscribe: present("subscribe").and_then(|reply| self.reply(format_args!("/subscribe"), reply)),
            keywords: present("keywords")
                .map(|rules| self.keywords(rules))
                .unwrap_or_default(),
            clicks: present("clicks")
                .map(|replies| self.replies(format_args!("/clicks"), replies))
                .unwrap_or_default(),
            scans: present("scans")
                .map(|replies| self.replies(format_args!("/scans"), replies))
                .unwrap_or_default(),
            default: present("default").and_then(|reply| self.reply(format_args!("/default"), reply)),
        }
    }

    fn keywords(&mut self, value: &Value) -> Vec<KeywordRule> {
        let Some(rules) = value.as_array() else {
            self.fault("/keywords", "must be an array of rules / 应为规则数组");
            return Vec::new();
        };
        rules
            .iter()
            .enumerate()
            .filter_map(|(i, rule)| self.keyword_rule(format_args!("/keywords/{i}"), rule))
            .collect()
    }

    fn keyword_rule(&mut self, pointer: Arguments<'_>, value: &Value) -> Option<KeywordRule> {
        let members = self.object(pointer, value, &["match", "value", "strict", "reply"])?;
        let value = members.get("value").and_then(Value::as_str).unwrap_or_default();
        // Of spaces alone nothing would be left to compare.
        let strict = self.strict(format_args!("{pointer}/strict"), members.get("strict")) || value.trim().is_empty();
        let matches = self.matches(pointer, members, strict);
        let reply = match members.get("reply") {
            Some(reply) => self.reply(format_args!("{pointer}/reply"), reply),
            None => {
                self.fault(pointer, "reply is missing / 缺少 reply");
                None
            }
        };
        Some(KeywordRule {
            matches: matches?,
            strict,
            reply: reply?,
        })
    }

    fn strict(&mut self, pointer: Arguments<'_>, value: Option<&Value>) -> bool {
        match value {
            None | Some(Value::Null) => false,
            Some(Value::Bool(strict)) => *strict,
            Some(_) => {
                self.fault(pointer, "must be true or false / 应为 true 或 false");
                false
            }
        }
    }

    fn matches(&mut self, pointer: Arguments<'_>, members: &Map<String, Value>, strict: bool) -> Option<Match> {
        let kind = members.get("match").and_then(Value::as_str);
        let kind = kind.filter(|kind| ["exact", "prefix", "contains", "regex"].contains(kind));
        if kind.is_none() {
            self.fault(
                format_args!("{pointer}/match"),
                "must be \"exact\", \"prefix\", \"contains\" or \"regex\" / 应为其中之一",
            );
        }
        let pointer = format_args!("{pointer}/value");
        let value = members.get("value").and_then(Value::as_str);
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            self.fault(pointer, "must be a text that is not empty / 应为非空字符串");
            return None;
        };
        if kind == Some("regex") {
            return self.regex(pointer, value, strict).map(Match::Regex);
        }
        if value.len() > TEXT_LIMIT {
            self.fault(
                pointer,
                format!(
                    "has {0} bytes of UTF-8, at most {TEXT_LIMIT} are compared / 共 {0} 字节，最多 {TEXT_LIMIT} 字节",
                    value.len()
                ),
            );
            return None;
        }
        let value = if strict {
            value.to_owned()
        } else {
            fold::case(&fold::width(value))
        };
        match kind? {
            "exact" => Some(Match::Exact(value)),
            "prefix" => Some(Match::Prefix(value)),
            _ => Some(Match::Contains(value)),
        }
    }

    /// Parsed only: compiling each by itself would take longer than compiling all together, which comes next.
    fn regex(&mut self, pointer: Arguments<'_>, pattern: &str, strict: bool) -> Option<Hir> {
        match fold::pattern(pattern, strict) {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.fault(
                    pointer,
                    format!("is no valid regular expression / 正则表达式有误: {error}"),
                );
                None
            }
        }
    }

    fn replies(&mut self, pointer: Arguments<'_>, value: &Value) -> HashMap<String, Reply> {
        let Some(members) = value.as_object() else {
            self.fault(pointer, "must be an object of replies / 应为由回复组成的对象");
            return HashMap::new();
        };
        let mut replies = HashMap::new();
        for (key, reply) in members {
            if let Some(reply) = self.reply(format_args!("{pointer}/{}", escape_pointer(key)), reply) {
                replies.insert(key.clone(), reply);
            }
        }
        replies
    }

    fn reply(&mut self, pointer: Arguments<'_>, value: &Value) -> Option<Reply> {
        let before = self.faults.len();
        let Some(members) = value.as_object() else {
            self.fault(
                pointer,
                "must be a reply, an object with a type / 应为带 type 的回复对象",
            );
            return None;
        };
        match members.get("type").and_then(Value::as_str) {
            Some("text") => self.members(pointer, members, &["content"], &[]),
            Some("image" | "voice") => self.members(pointer, members, &["media_id"], &[]),
            Some("video") => self.members(pointer, members, &["media_id"], &["title", "description"]),
            Some("music") => {
                let optional = ["title", "description", "music_url", "hq_music_url"];
                self.members(pointer, members, &["thumb_media_id"], &optional);
            }
            Some("news") => self.articles(pointer, members),
            Some("transfer_customer_service") => self.members(pointer, members, &[], &["kf_account"]),
            _ => self.fault(
                format_args!("{pointer}/type"),
                "must be \"text\", \"image\", \"voice\", \"video\", \"music\", \"news\" or \"transfer_customer_service\" / 应为其中之一",
            ),
        }
        if self.faults.len() > before {
            return None;
        }
        match Reply::deserialize(value) {
            Ok(reply) => Some(reply),
            Err(error) => {
                self.fault(pointer, error.to_string());
                None
            }
        }
    }

    fn articles(&mut self, pointer: Arguments<'_>, members: &Map<String, Value>) {
        self.unknown_members(pointer, members, &["type", "articles"]);
        let pointer = format_args!("{pointer}/articles");
        let Some(articles) = members.get("articles").and_then(Value::as_array) else {
            return self.fault(pointer, "must be an array of articles / 应为图文数组");
        };
        if !(1..=NEWS_LIMIT).contains(&articles.len()) {
            self.fault(
                pointer,
                format!("must hold 1 to {NEWS_LIMIT} articles / 应有 1 至 {NEWS_LIMIT} 篇图文"),
            );
        }
        for (index, article) in articles.iter().enumerate() {
            let pointer = format_args!("{pointer}/{index}");
            match article.as_object() {
                Some(article) => self.members(pointer, article, &["title"], &["description", "pic_url", "url"]),
                None => self.fault(pointer, "must be an object / 应为对象"),
            }
        }
    }

    /// Checks that all `required` and only known members are there, each a text, and none too long for a reply.
    fn members(&mut self, pointer: Arguments<'_>, members: &Map<String, Value>, required: &[&str], optional: &[&str]) {
        let known: Vec<&str> = ["type"].iter().chain(required).chain(optional).copied().collect();
        self.unknown_members(pointer, members, &known);
        for name in required {
            let pointer = format_args!("{pointer}/{name}");
            match members.get(*name) {
                Some(Value::String(text)) if shows_nothing(text) => self.fault(pointer, "must not be empty / 不能为空"),
                Some(value) => self.text(pointer, value),
                None => self.fault(pointer, "is missing / 缺少该字段"),
            }
        }
        for name in optional {
            if let Some(value) = members.get(*name).filter(|value| !value.is_null()) {
                self.text(format_args!("{pointer}/{name}"), value);
            }
        }
    }

    fn text(&mut self, pointer: Arguments<'_>, value: &Value) {
        match value.as_str() {
            Some(text) if text.len() > TEXT_LIMIT => self.fault(
                pointer,
                format!("has {0} bytes of UTF-8, WeChat shows at most {TEXT_LIMIT} / 共 {0} 字节，微信最多显示 {TEXT_LIMIT} 字节", text.len()),
            ),
            Some(_) => {}
            None => self.fault(pointer, "must be a text / 应为字符串"),
        }
    }

    fn object<'a>(
        &mut self,
        pointer: Arguments<'_>,
        value: &'a Value,
        known: &[&str],
    ) -> Option<&'a Map<String, Value>> {
        let Some(members) = value.as_object() else {
            self.fault(pointer, "must be an object / 应为对象");
            return None;
        };
        self.unknown_members(pointer, members, known);
        Some(members)
    }

    fn unknown_members(&mut self, pointer: Arguments<'_>, members: &Map<String, Value>, known: &[&str]) {
        for name in members.keys().filter(|name| !known.contains(&name.as_str())) {
            self.fault(
                format_args!("{pointer}/{}", escape_pointer(name)),
                format!("is unknown; known are / 未知字段，可用字段为: {}", known.join(", ")),
            );
        }
    }
}

/// Whether nothing is left to see of a text in a reply, from which characters that XML forbids are left out.
fn shows_nothing(text: &str) -> bool {
    text.chars()
        .all(|character| character.is_whitespace() || !is_xml_character(character))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pointers(document: &Value) -> Vec<String> {
        match RulesDocument::parse(document.to_string().as_bytes()).unwrap_err() {
            RulesError::Faults(faults) => faults.into_iter().map(|fault| fault.pointer).collect(),
            other @ RulesError::Json(_) => panic!("{other}"),
        }
    }

    #[test]
    fn the_contracts_example_is_accepted() {
        let document = json!({
            "subscribe": {"type": "text", "content": "欢迎关注"},
            "keywords": [{"match": "exact", "value": "你好", "reply": {"type": "text", "content": "你好"}}],
            "clicks": {"V1001_TODAY": {"type": "text", "content": "…"}},
            "scans": {"123": {"type": "text", "content": "…"}},
            "default": null
        });
        let document = RulesDocument::parse(document.to_string().as_bytes()).unwrap();
        assert_eq!(document.keywords.len(), 1);
        assert!(document.default.is_none());
        assert!(RulesDocument::parse(b"{}").is_ok(), "every member is optional");
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let document = json!({
            "greeting": {},
            "subscribe": {"type": "text", "content": " "},
            "keywords": [
                {"match": "exakt", "value": "a", "reply": {"type": "text", "content": "ok"}},
                {"match": "regex", "value": "(", "reply": {"type": "text", "content": "x".repeat(2049)}},
                {"match": "exact", "value": "", "reply": {"type": "image"}},
            ],
            "clicks": {"a/b": {"type": "news", "articles": []}},
            "scans": {
                "1": {"type": "text", "content": "ok", "colour": "red"},
                "2": {"type": "text", "content": "\u{1}\u{2}"},
                "3": {"type": "video", "media_id": "m", "description": "x".repeat(2049)},
            },
            "default": {"type": "sticker"},
        });
        let mut found = pointers(&document);
        found.sort();
        assert_eq!(
            found,
            [
                "/clicks/a~1b/articles",
                "/default/type",
                "/greeting",
                "/keywords/0/match",
                "/keywords/1/reply/content",
                "/keywords/1/value",
                "/keywords/2/reply/media_id",
                "/keywords/2/value",
                "/scans/1/colour",
                "/scans/2/content",
                "/scans/3/description",
                "/subscribe/content",
            ]
        );
    }

    #[test]
    fn a_text_of_exactly_the_limit_is_accepted() {
        let document = json!({"subscribe": {"type": "text", "content": "x".repeat(TEXT_LIMIT)}});
        assert!(RulesDocument::parse(document.to_string().as_bytes()).is_ok());
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert!(matches!(RulesDocument::parse(b"not json"), Err(RulesError::Json(_))));
        assert_eq!(pointers(&json!([])), [""]);
    }
}
