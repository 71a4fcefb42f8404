//! The rules document as JSON: read by hand rather than by derive, so that one `PUT` reports every fault at once.

use std::collections::HashMap;

use regex_syntax::hir::Hir;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{DEFAULT_BIND_FAILED, DEFAULT_BOUND, fold, lookups};
use crate::{
    bilingual::caused,
    reply::{NEWS_LIMIT, Reply, TEXT_LIMIT},
    validate::{Fault, Object, Place, Reader, in_words},
    xml::is_xml_character,
};

/// How a keyword rule compares a text.
const MATCHES: [&str; 4] = ["exact", "prefix", "contains", "regex"];
/// The types of a reply. The last two hand the user over, which is not a message.
const REPLIES: [&str; 8] = [
    "text",
    "image",
    "voice",
    "video",
    "music",
    "news",
    "transfer_customer_service",
    "transfer_biz_ai_ivr",
];
const HAND_OVERS: usize = 2;

/// The most replies in `then`.
const THEN_LIMIT: usize = 2;
/// The most customer-service messages that follow a reply: WeChat allows 3 within a minute of a subscription, a scan or a click.
/// After a message of the user it would allow 5.
/// See [WeChat Docs/发送客服消息](https://developers.weixin.qq.com/doc/service/api/customer/message/api_sendcustommessage).
const MESSAGES_LIMIT: usize = 3;

/// A reply of the rules: the passive one, and those that follow it as customer-service messages.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct RuleReply {
    /// The passive reply.
    #[serde(flatten)]
    pub passive: Reply,
    /// The further replies in order, at most 2.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<Reply>,
}

impl From<Reply> for RuleReply {
    fn from(passive: Reply) -> Self {
        Self {
            passive,
            then: Vec::new(),
        }
    }
}

/// The document, decoded. Every member is optional.
#[derive(Debug, Default)]
pub(super) struct RulesDocument {
    pub(super) subscribe: Option<RuleReply>,
    pub(super) keywords: Vec<KeywordRule>,
    pub(super) clicks: HashMap<String, RuleReply>,
    pub(super) scans: HashMap<String, RuleReply>,
    pub(super) default: Option<RuleReply>,
    pub(super) bound: Option<RuleReply>,
    pub(super) bind_failed: Option<RuleReply>,
}

#[derive(Debug)]
pub(super) struct KeywordRule {
    pub(super) matches: Match,
    /// Whether case, width and outer spaces count.
    pub(super) strict: bool,
    pub(super) reply: RuleReply,
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
pub enum RulesError {
    /// Not JSON at all.
    #[error("the rules are not JSON: {0} / 规则不是 JSON：{0}")]
    Json(#[from] serde_json::Error),
    /// Every fault that was found.
    #[error("{}", faulty(.0))]
    Faults(Vec<Fault>),
}

fn faulty(faults: &[Fault]) -> String {
    let count = faults.len();
    caused(
        &format!("the rules have {count} fault(s)"),
        &format!("规则有 {count} 处错误"),
        &in_words(faults),
    )
}

impl RulesDocument {
    pub(super) fn parse(json: &[u8]) -> Result<Self, RulesError> {
        let value: Value = serde_json::from_slice(json)?;
        let mut reader = RulesReader::new();
        let document = reader.document(&value);
        reader.json.finish(document).map_err(RulesError::Faults)
    }
}

/// Reads one reply, as the rules hold it, at `place` of another document.
///
/// # Errors
/// All its faults.
pub fn parse_reply(place: Place<'_>, value: &Value) -> Result<RuleReply, Vec<Fault>> {
    let mut reader = RulesReader::new();
    let reply = reader.reply(place, value);
    reader.json.finish(reply)
}

/// Reads the parts of a rules document.
struct RulesReader {
    json: Reader,
    /// The look-ups that the remaining regular expressions may cost.
    lookups_left: usize,
    /// Whether the reply that is being read is one of `then`.
    is_further: bool,
}

impl RulesReader {
    fn new() -> Self {
        Self {
            json: Reader::of_document(),
            lookups_left: lookups::LIMIT,
            is_further: false,
        }
    }

    fn document(&mut self, value: &Value) -> Option<RulesDocument> {
        let known = [
            "subscribe",
            "keywords",
            "clicks",
            "scans",
            "default",
            "bound",
            "bind_failed",
        ];
        let document = &self.json.object_of(Place::Root, value, &known)?;
        Some(RulesDocument {
            subscribe: self.optional_reply(document, "subscribe"),
            keywords: self.keywords(document),
            clicks: self.replies(document, "clicks"),
            scans: self.replies(document, "scans"),
            default: self.optional_reply(document, "default"),
            bound: self.reply_or(document, "bound", DEFAULT_BOUND),
            bind_failed: self.reply_or(document, "bind_failed", DEFAULT_BIND_FAILED),
        })
    }

    fn keywords(&mut self, document: &Object<'_, '_>) -> Vec<KeywordRule> {
        let place = document.place.member("keywords");
        let rules = document.get("keywords").and_then(|rules| self.json.list(&place, rules));
        let rules = rules.unwrap_or_default().iter().enumerate();
        rules
            .filter_map(|(index, rule)| self.keyword_rule(place.element(index), rule))
            .collect()
    }

    fn keyword_rule(&mut self, place: Place<'_>, value: &Value) -> Option<KeywordRule> {
        let rule = &self
            .json
            .object_of(place, value, &["match", "value", "strict", "reply"])?;
        let kind = self.json.one_of(rule, "match", &MATCHES);
        let strict = rule.get("strict");
        let strict = strict.and_then(|strict| self.json.boolean(&place.member("strict"), strict));
        let matches = self.matches(rule, kind, strict.unwrap_or_default());
        let reply = match rule.get("reply") {
            Some(reply) => self.reply(place.member("reply"), reply),
            None => {
                self.json.missing(&place.member("reply"));
                None
            }
        };
        let (matches, strict) = matches?;
        Some(KeywordRule {
            matches,
            strict,
            reply: reply?,
        })
    }

    /// What a rule compares with, and whether it is strict.
    fn matches(&mut self, rule: &Object<'_, '_>, kind: Option<&str>, strict: bool) -> Option<(Match, bool)> {
        let value = self.json.required_text(rule, "value", str::is_empty)?;
        // A value of spaces only would fold to nothing, so it is compared strictly.
        let strict = strict || value.trim().is_empty();
        let place = rule.place.member("value");
        if kind == Some("regex") {
            let pattern = self.regex(&place, value, strict)?;
            return Some((Match::Regex(pattern), strict));
        }
        if !self.json.at_most(&place, value, TEXT_LIMIT) {
            return None;
        }
        let value = if strict {
            value.to_owned()
        } else {
            fold::case(&fold::width(value))
        };
        let matches = match kind? {
            "exact" => Match::Exact(value),
            "prefix" => Match::Prefix(value),
            _ => Match::Contains(value),
        };
        Some((matches, strict))
    }

    /// Parses a regular expression without compiling it: compiling each by itself takes longer than compiling all together,
    /// which comes next.
    fn regex(&mut self, place: &Place<'_>, pattern: &str, strict: bool) -> Option<Hir> {
        let Some(left) = self.lookups_left.checked_sub(lookups::of(pattern)) else {
            self.json.fault(
                place,
                "has too many classes of nearly all characters, together with the regular expressions before it: write (?s:.) \
                 for [\\s\\S] / 与前面的正则表达式合计含有过多近乎包含所有字符的字符类：请将 [\\s\\S] 写作 (?s:.)",
            );
            return None;
        };
        self.lookups_left = left;
        match fold::pattern(pattern, strict) {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                let cause = cause(&error);
                self.json.fault(
                    place,
                    format!("is not a valid regular expression: {cause} / 正则表达式有误：{cause}"),
                );
                None
            }
        }
    }

    fn replies(&mut self, document: &Object<'_, '_>, name: &str) -> HashMap<String, RuleReply> {
        let place = document.place.member(name);
        let replies = document.get(name).and_then(|replies| self.json.object(place, replies));
        let replies = replies.iter().flat_map(|replies| replies.members);
        replies
            .filter_map(|(key, reply)| Some((key.clone(), self.reply(place.member(key), reply)?)))
            .collect()
    }

    fn optional_reply(&mut self, document: &Object<'_, '_>, name: &str) -> Option<RuleReply> {
        self.reply(document.place.member(name), document.get(name)?)
    }

    /// Reads a reply that has a default. A member that is null stands for no reply.
    fn reply_or(&mut self, document: &Object<'_, '_>, name: &str, default: &str) -> Option<RuleReply> {
        if document.members.contains_key(name) {
            self.optional_reply(document, name)
        } else {
            Some(Reply::text(default).into())
        }
    }

    fn reply(&mut self, place: Place<'_>, value: &Value) -> Option<RuleReply> {
        let Some(then) = value.get("then") else {
            return self.single_reply(place, value).map(RuleReply::from);
        };
        let mut passive = value.clone();
        if let Some(members) = passive.as_object_mut() {
            members.remove("then");
        }
        // Reads both, so that all faults are found.
        let passive = self.single_reply(place, &passive);
        let then = self.further_replies(&place.member("then"), then);
        Some(RuleReply {
            passive: passive?,
            then: then?,
        })
    }

    /// Reads `then`, which may be null.
    fn further_replies(&mut self, place: &Place<'_>, value: &Value) -> Option<Vec<Reply>> {
        if value.is_null() {
            return Some(Vec::new());
        }
        let replies = self.json.list_of(place, value, 0..=THEN_LIMIT)?;
        self.is_further = true;
        let replies = replies.iter().enumerate();
        let replies = replies.map(|(index, reply)| self.single_reply(place.element(index), reply));
        let replies: Vec<_> = replies.collect();
        self.is_further = false;
        let replies: Vec<_> = replies.into_iter().collect::<Option<_>>()?;
        let count = replies.iter().map(|reply| reply.to_custom().len()).sum::<usize>();
        if count > MESSAGES_LIMIT {
            self.json.fault(
                place,
                format!(
                    "makes {count} customer-service messages, because a text of more than {TEXT_LIMIT} bytes is split: WeChat allows \
                     {MESSAGES_LIMIT} / 共需 {count} 条客服消息（超过 {TEXT_LIMIT} 字节的文本会拆分），微信最多允许 {MESSAGES_LIMIT} 条"
                ),
            );
        }
        Some(replies)
    }

    fn single_reply(&mut self, place: Place<'_>, value: &Value) -> Option<Reply> {
        let before = self.json.count();
        let reply = &self.json.object(place, value)?;
        let left_out = if self.is_further { HAND_OVERS } else { 0 };
        let types = &REPLIES[..REPLIES.len() - left_out];
        match self.json.one_of(reply, "type", types)? {
            "text" => self.text(reply),
            "image" | "voice" => self.texts(reply, &["media_id"], &[]),
            "video" => self.texts(reply, &["media_id"], &["title", "description"]),
            "music" => {
                let optional = ["title", "description", "music_url", "hq_music_url"];
                self.texts(reply, &["thumb_media_id"], &optional);
                if self.is_further && reply.get("music_url").or(reply.get("hq_music_url")).is_none() {
                    self.json.missing(&place.member("music_url"));
                }
            }
            "news" => self.articles(reply),
            "transfer_customer_service" => self.texts(reply, &[], &["kf_account"]),
            _ => self.texts(reply, &[], &[]),
        }
        if self.json.count() > before {
            return None;
        }
        match Reply::deserialize(value) {
            Ok(reply) => Some(reply),
            Err(error) => {
                self.json
                    .fault(&place, format!("is not a reply: {error} / 不是回复：{error}"));
                None
            }
        }
    }

    fn articles(&mut self, reply: &Object<'_, '_>) {
        self.json.known_members(reply, &["type", "articles"]);
        let place = reply.place.member("articles");
        let Some(articles) = reply.get("articles") else {
            return self.json.missing(&place);
        };
        // A customer-service message with more is refused with errcode 45008.
        let most = if self.is_further { 1 } else { NEWS_LIMIT };
        let articles = self.json.list_of(&place, articles, 1..=most).unwrap_or_default();
        for (index, article) in articles.iter().enumerate() {
            if let Some(article) = self.json.object(place.element(index), article) {
                self.texts(&article, &["title"], &["description", "pic_url", "url"]);
            }
        }
    }

    /// Checks a text reply. A further one may be split.
    fn text(&mut self, reply: &Object<'_, '_>) {
        self.json.known_members(reply, &["type", "content"]);
        let text = self
            .json
            .required_text(reply, "content", shows_nothing)
            .unwrap_or_default();
        let parts = if self.is_further { MESSAGES_LIMIT } else { 1 };
        let place = reply.place.member("content");
        self.json.at_most(&place, text, parts * TEXT_LIMIT);
    }

    /// Checks that all `required` and only known members are there, each a text, and none too long for a reply.
    fn texts(&mut self, object: &Object<'_, '_>, required: &[&str], optional: &[&str]) {
        let known: Vec<&str> = ["type"].iter().chain(required).chain(optional).copied().collect();
        self.json.known_members(object, &known);
        for name in required {
            let text = self.json.required_text(object, name, shows_nothing);
            self.is_shown(object, name, text);
        }
        for name in optional {
            let text = self.json.optional_text(object, name);
            self.is_shown(object, name, text);
        }
    }

    /// Checks that a text is not longer than WeChat shows.
    fn is_shown(&mut self, object: &Object<'_, '_>, name: &str, text: Option<&str>) {
        self.json
            .at_most(&object.place.member(name), text.unwrap_or_default(), TEXT_LIMIT);
    }
}

/// Returns what is wrong with a regular expression, with the column of a syntax error.
fn cause(error: &regex_syntax::Error) -> String {
    match error {
        regex_syntax::Error::Parse(error) => format!("{}, column {}", error.kind(), error.span().start.column),
        regex_syntax::Error::Translate(error) => error.kind().to_string(),
        error => error.to_string(),
    }
}

/// Whether a text shows nothing in a reply, whose XML leaves out the characters that it forbids.
fn shows_nothing(text: &str) -> bool {
    text.chars()
        .all(|character| character.is_whitespace() || !is_xml_character(character))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::validate::assert_each_half_says_all;

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
            "bound": "yes",
            "bind_failed": {"type": "text"},
        });
        let mut found = pointers(&document);
        found.sort();
        assert_eq!(
            found,
            [
                "/bind_failed/content",
                "/bound",
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
    fn each_half_of_a_fault_says_all() {
        let document = json!({
            "default": {"type": "txet"},
            "keyword": [],
            "keywords": [
                {"match": "regex", "value": "(", "reply": {"type": "news", "articles": []}},
                {"match": "regex", "value": r"\p{Nothing}", "reply": {"type": "text", "content": "x".repeat(2049)}},
                {"match": "regex", "value": r"[\s\S]".repeat(50), "reply": {"type": "text"}},
            ],
        });
        let Err(RulesError::Faults(faults)) = RulesDocument::parse(document.to_string().as_bytes()) else {
            panic!()
        };
        assert_eq!(faults.len(), 8, "{faults:?}");
        for fault in &faults {
            assert_each_half_says_all(fault, &["keywords", "exact", "text", "news", "unclosed", "s", "S"]);
        }
        assert!(faults[0].detail.contains("did you mean keywords?"), "{faults:?}");
        let words = RulesError::Faults(faults).to_string();
        assert!(
            words.starts_with("the rules have 8 fault(s): /keyword: is unknown")
                && words.contains(" / 规则有 8 处错误：/keyword：不是可用字段"),
            "{words}"
        );
    }

    #[test]
    fn a_text_of_exactly_the_limit_is_accepted() {
        let document = json!({"subscribe": {"type": "text", "content": "x".repeat(TEXT_LIMIT)}});
        assert!(RulesDocument::parse(document.to_string().as_bytes()).is_ok());
    }

    #[test]
    fn what_cannot_follow_a_reply_is_refused() {
        let text = |length: usize| json!({"type": "text", "content": "x".repeat(length)});
        let with = |then: Value| json!({"scans": {"1": {"type": "text", "content": "ok", "then": then}}});
        for then in [
            json!(null),
            json!([]),
            json!([text(TEXT_LIMIT), text(2 * TEXT_LIMIT)]),
            json!([text(3 * TEXT_LIMIT)]),
            json!([{"type": "image", "media_id": "m"}, {"type": "news", "articles": [{"title": "t"}]}]),
            json!([{"type": "music", "thumb_media_id": "m", "hq_music_url": "https://e/m"}]),
        ] {
            let document = with(then.clone()).to_string();
            assert!(RulesDocument::parse(document.as_bytes()).is_ok(), "{then:.100}");
        }
        for (then, expected) in [
            (text(1), &["/scans/1/then"][..]),
            (json!([text(1), text(1), text(1)]), &["/scans/1/then"]),
            (json!([text(TEXT_LIMIT + 1), text(TEXT_LIMIT + 1)]), &["/scans/1/then"]),
            (json!([text(3 * TEXT_LIMIT + 1)]), &["/scans/1/then/0/content"]),
            (
                json!([{"type": "text", "content": "好".repeat(TEXT_LIMIT)}]),
                &["/scans/1/then"],
            ),
            (
                json!(["x", {"type": "transfer_customer_service"}]),
                &["/scans/1/then/0", "/scans/1/then/1/type"],
            ),
            (json!([{"type": "transfer_biz_ai_ivr"}]), &["/scans/1/then/0/type"]),
            (
                json!([{"type": "text", "content": "x", "then": [text(1)]}]),
                &["/scans/1/then/0/then"],
            ),
            (
                json!([{"type": "news", "articles": [{"title": "1"}, {"title": "2"}]}]),
                &["/scans/1/then/0/articles"],
            ),
            (
                json!([{"type": "music", "thumb_media_id": "m"}]),
                &["/scans/1/then/0/music_url"],
            ),
        ] {
            assert_eq!(pointers(&with(then.clone())), expected, "{then:.100}");
        }
        let faulty = json!({"subscribe": {"type": "text", "content": "", "then": [{"type": "text"}]}});
        assert_eq!(pointers(&faulty), ["/subscribe/content", "/subscribe/then/0/content"]);
        let Err(RulesError::Faults(faults)) =
            RulesDocument::parse(with(json!([text(3 * TEXT_LIMIT), text(1)])).to_string().as_bytes())
        else {
            panic!()
        };
        assert_each_half_says_all(&faults[0], &[]);
    }

    #[test]
    fn a_document_that_is_not_an_object_is_refused() {
        assert!(matches!(RulesDocument::parse(b"not json"), Err(RulesError::Json(_))));
        assert_eq!(pointers(&json!([])), [""]);
    }
}
