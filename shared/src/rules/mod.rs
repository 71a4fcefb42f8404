//! The reply rules: they choose the passive reply to a callback.
//!
//! The rules are compiled once, when they are loaded, and then answer without I/O: a redelivery gets the same reply, and no
//! outage can prevent one.

mod document;
mod fold;
mod lookups;
mod matcher;
mod regexes;

use serde::Serialize;

pub use self::document::{RuleReply, RulesError, parse_reply};
use self::{document::RulesDocument, matcher::KeywordMatcher};
use crate::{
    message::{Callback, Content, Event, MessageKind, ScanCode, is_binding_id},
    reply::Reply,
    validate::escape_pointer,
};

/// The greeting of an account that has stored no rules.
const DEFAULT_GREETING: &str = "欢迎关注";
/// The reply to a scan that bound a user, unless the rules have another.
const DEFAULT_BOUND: &str = "绑定成功";
/// The reply to a scan of an unknown or expired binding code, unless the rules have another.
const DEFAULT_BIND_FAILED: &str = "二维码已失效，请重新获取";

/// The compiled rules of an account.
#[derive(Debug)]
pub struct ReplyRules {
    document: RulesDocument,
    matcher: KeywordMatcher,
    /// The reply of each keyword rule, in the order of the rules.
    keyword_replies: Vec<RuleReply>,
}

/// A reply and the rule that chose it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Answer<'a> {
    /// The reply.
    pub reply: &'a RuleReply,
    /// The JSON pointer of the rule in the rules document, such as `/keywords/3`.
    pub rule: String,
}

/// The part of a callback that the rules look at.
enum Question<'a> {
    Text(&'a str),
    OtherMessage,
    /// The scan of a code that binds, with the id in its scene.
    Binding(&'a str),
    Subscribe(Option<&'a str>),
    Scan(&'a str),
    Click(&'a str),
}

impl<'a> Question<'a> {
    /// Returns what a callback asks the rules. `None` when no rule can apply.
    fn of(callback: &'a Callback) -> Option<Self> {
        if let Some(id) = callback.scanned_binding() {
            return Some(Self::Binding(id));
        }
        match &callback.content {
            Content::Message(message) => match &message.kind {
                MessageKind::Text { content, .. } => Some(Self::Text(content)),
                MessageKind::Voice {
                    recognition: Some(said),
                    ..
                } => Some(Self::Text(without_full_stop(said))),
                // The default reply may not fit a message of an unknown type.
                MessageKind::Unknown { .. } => None,
                _ => Some(Self::OtherMessage),
            },
            Content::Event(Event::Subscribe { scene, .. }) => Some(Self::Subscribe(scene.as_deref())),
            Content::Event(Event::Scan { scene, .. }) => Some(Self::Scan(scene)),
            Content::Event(Event::Click { key } | Event::ScanCodeWaitMsg(ScanCode { key, .. })) => {
                Some(Self::Click(key))
            }
            _ => None,
        }
    }
}

impl ReplyRules {
    /// Parses and compiles a rules document.
    ///
    /// # Errors
    /// [`RulesError`] with every fault and its JSON pointer. One fault is enough to refuse the whole document.
    pub fn parse(json: &[u8]) -> Result<Self, RulesError> {
        let mut document = RulesDocument::parse(json)?;
        let (matches, keyword_replies) = std::mem::take(&mut document.keywords)
            .into_iter()
            .map(|rule| ((rule.matches, rule.strict), rule.reply))
            .unzip();
        Ok(Self {
            document,
            matcher: KeywordMatcher::compile(matches)?,
            keyword_replies,
        })
    }

    /// Whether any rules could reply to `callback`. For others, such as delivery receipts, the rules need not be loaded.
    #[must_use]
    pub fn may_answer(callback: &Callback) -> bool {
        Question::of(callback).is_some()
    }

    /// The reply to a callback. On `None` the webhook answers `success`. The rules know no bindings: the scan of a code that
    /// binds is answered as though it bound, see [`Self::answer_binding`].
    #[must_use]
    pub fn answer(&self, callback: &Callback) -> Option<Answer<'_>> {
        match Question::of(callback)? {
            Question::Text(text) => self.answer_text(text),
            Question::OtherMessage => self.default_answer(),
            Question::Binding(id) => self.answer_binding(is_binding_id(id)),
            Question::Subscribe(scene) => self.answer_subscribe(scene),
            Question::Scan(scene) => self.answer_scan(scene),
            Question::Click(key) => self.answer_click(key),
        }
    }

    /// The reply to a text message: the first keyword rule that matches, else the default.
    #[must_use]
    pub fn answer_text(&self, text: &str) -> Option<Answer<'_>> {
        match self.matcher.first_match(text) {
            Some(index) => Some(Answer {
                reply: &self.keyword_replies[index],
                rule: format!("/keywords/{index}"),
            }),
            None => self.default_answer(),
        }
    }

    /// The reply to a click on the menu button with `key`.
    #[must_use]
    pub fn answer_click(&self, key: &str) -> Option<Answer<'_>> {
        let reply = self.document.clicks.get(key)?;
        Some(Answer {
            reply,
            rule: pointer("clicks", key),
        })
    }

    /// The reply to a follower's scan of the QR code with `scene`.
    #[must_use]
    pub fn answer_scan(&self, scene: &str) -> Option<Answer<'_>> {
        let reply = self.document.scans.get(scene)?;
        Some(Answer {
            reply,
            rule: pointer("scans", scene),
        })
    }

    /// The reply to a new follower: that of the scanned QR code, else the greeting.
    #[must_use]
    pub fn answer_subscribe(&self, scene: Option<&str>) -> Option<Answer<'_>> {
        scene.and_then(|scene| self.answer_scan(scene)).or_else(|| {
            let reply = self.document.subscribe.as_ref()?;
            Some(Answer {
                reply,
                rule: "/subscribe".to_owned(),
            })
        })
    }

    /// The reply to the scan of a code that binds, also in place of the greeting.
    #[must_use]
    pub fn answer_binding(&self, is_bound: bool) -> Option<Answer<'_>> {
        let (reply, rule) = if is_bound {
            (&self.document.bound, "/bound")
        } else {
            (&self.document.bind_failed, "/bind_failed")
        };
        Some(Answer {
            reply: reply.as_ref()?,
            rule: rule.to_owned(),
        })
    }

    fn default_answer(&self) -> Option<Answer<'_>> {
        let reply = self.document.default.as_ref()?;
        Some(Answer {
            reply,
            rule: "/default".to_owned(),
        })
    }
}

impl Default for ReplyRules {
    /// The rules of an account that has stored no rules: a greeting, and the replies to scans that bind.
    fn default() -> Self {
        let document = RulesDocument {
            subscribe: Some(Reply::text(DEFAULT_GREETING).into()),
            bound: Some(Reply::text(DEFAULT_BOUND).into()),
            bind_failed: Some(Reply::text(DEFAULT_BIND_FAILED).into()),
            ..RulesDocument::default()
        };
        Self {
            document,
            matcher: KeywordMatcher::default(),
            keyword_replies: Vec::new(),
        }
    }
}

/// Removes the punctuation that WeChat's speech recognition adds at the end of a sentence.
fn without_full_stop(said: &str) -> &str {
    said.trim_end().trim_end_matches(['。', '！', '？'])
}

/// The JSON pointer (RFC 6901) to a member of a map.
fn pointer(map: &str, key: &str) -> String {
    format!("/{map}/{}", escape_pointer(key))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules(document: &serde_json::Value) -> ReplyRules {
        ReplyRules::parse(document.to_string().as_bytes()).unwrap()
    }

    fn text(content: &str) -> serde_json::Value {
        json!({"type": "text", "content": content})
    }

    fn callback(fields: &str) -> Callback {
        let xml = format!("<xml><ToUserName>gh_1</ToUserName><FromUserName>o1</FromUserName>{fields}</xml>");
        Callback::from_document(crate::xml::Tree::parse(xml.as_bytes()).unwrap()).unwrap()
    }

    fn replied(rules: &ReplyRules, fields: &str) -> Option<String> {
        match &rules.answer(&callback(fields))?.reply.passive {
            Reply::Text { content } => Some(content.clone()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_a_document_only_a_subscription_is_answered() {
        let rules = ReplyRules::default();
        assert_eq!(
            replied(&rules, "<MsgType>event</MsgType><Event>subscribe</Event>").unwrap(),
            "欢迎关注"
        );
        assert_eq!(replied(&rules, "<MsgType>text</MsgType><Content>你好</Content>"), None);
        assert_eq!(replied(&rules, "<MsgType>event</MsgType><Event>VIEW</Event>"), None);
    }

    #[test]
    fn the_first_keyword_rule_that_matches_wins() {
        let rules = rules(&json!({"keywords": [
            {"match": "regex", "value": "^订单\\d+$", "reply": text("regex")},
            {"match": "exact", "value": "订单", "reply": text("exact")},
            {"match": "prefix", "value": "订", "reply": text("prefix")},
            {"match": "contains", "value": "单", "reply": text("contains")},
            {"match": "exact", "value": "订单", "reply": text("never")},
        ], "default": text("default")}));
        for (content, expected) in [
            ("订单42", "regex"),
            ("订单", "exact"),
            ("订货", "prefix"),
            ("我的单", "contains"),
            ("你好", "default"),
        ] {
            let fields = format!("<MsgType>text</MsgType><Content>{content}</Content>");
            assert_eq!(replied(&rules, &fields).unwrap(), expected);
        }
        assert_eq!(rules.answer_text("我的单").unwrap().rule, "/keywords/3");
    }

    #[test]
    fn callbacks_that_no_rule_can_answer_are_known_without_rules() {
        for (fields, may_answer) in [
            ("<MsgType>text</MsgType>", true),
            ("<MsgType>image</MsgType>", true),
            ("<MsgType>event</MsgType><Event>subscribe</Event>", true),
            ("<MsgType>event</MsgType><Event>SCAN</Event>", true),
            ("<MsgType>event</MsgType><Event>CLICK</Event>", true),
            ("<MsgType>event</MsgType><Event>unsubscribe</Event>", false),
            ("<MsgType>event</MsgType><Event>VIEW</Event>", false),
            ("<MsgType>event</MsgType><Event>TEMPLATESENDJOBFINISH</Event>", false),
            ("<MsgType>device_text</MsgType>", false),
        ] {
            assert_eq!(ReplyRules::may_answer(&callback(fields)), may_answer, "{fields}");
        }
    }

    /// The time of a regular expression grows with the text, and in plain mode a stranger can send any text.
    #[test]
    fn a_text_that_no_phone_sends_is_not_compared_with_regular_expressions() {
        let rules = rules(&json!({"keywords": [
            {"match": "regex", "value": "a.{0,50}b", "reply": text("regex")},
            {"match": "contains", "value": "end", "reply": text("contains")},
        ]}));
        let reply = |length: usize| {
            let content = format!("{}ab end", "x".repeat(length - 6));
            rules.answer_text(&content).map(|answer| answer.rule)
        };
        assert_eq!(reply(2048).unwrap(), "/keywords/0");
        assert_eq!(reply(2049).unwrap(), "/keywords/1");
    }

    #[test]
    fn a_pattern_that_would_block_a_reply_is_refused() {
        let document = |pattern: &str| json!({"keywords": [{"match": "regex", "value": pattern, "reply": text("ok")}]});
        let parse = |pattern: &str| ReplyRules::parse(document(pattern).to_string().as_bytes());
        for pattern in [
            "((a{0,50}){0,50}){0,50}b",
            r"(\w{0,50}客服){50}",
            &format!("1{}", r"\d".repeat(40_000)),
        ] {
            let Err(RulesError::Faults(faults)) = parse(pattern) else {
                panic!("{pattern:.40}")
            };
            assert_eq!(faults[0].pointer, "/keywords/0/value");
        }
        for pattern in [
            r"^订单\d{8,20}$",
            "客服.{0,50}电话",
            r"\d{3}-\d{4}",
            r"^\w{6,20}$",
            r"\w+@\w+\.\w{2,4}",
            r"^\pL{2,20}$",
            r"^(\w{1,20},?){1,10}$",
            "(退款|退货|.{0,100}){0,60}客服",
        ] {
            assert!(parse(pattern).is_ok(), "{pattern}");
        }
    }

    #[test]
    fn patterns_that_are_too_much_together_are_refused_where_they_become_so() {
        let rule = |k: usize| json!({"match": "regex", "value": format!(r"词{k}\w{{0,20}}尾"), "reply": text("ok")});
        let document = |count: usize| json!({"keywords": (0..count).map(rule).collect::<Vec<_>>()});
        assert!(ReplyRules::parse(document(15).to_string().as_bytes()).is_ok());
        let Err(RulesError::Faults(faults)) = ReplyRules::parse(document(500).to_string().as_bytes()) else {
            panic!()
        };
        let [fault] = &faults[..] else { panic!("{faults:?}") };
        let index: usize = fault.pointer["/keywords/".len()..]
            .trim_end_matches("/value")
            .parse()
            .unwrap();
        assert!(index > 15, "{index}");
    }

    /// Parsing each takes 6 ms, however small its automaton is: a cold start of the webhook would take seconds.
    #[test]
    fn patterns_that_take_too_long_to_read_are_refused_where_they_become_so() {
        let rule = json!({"match": "regex", "value": r"[\s\S]{0,90}z", "reply": text("ok")});
        let document = |count: usize| json!({ "keywords": vec![&rule; count] }).to_string();
        assert!(ReplyRules::parse(document(3).as_bytes()).is_ok());
        let Err(RulesError::Faults(faults)) = ReplyRules::parse(document(250).as_bytes()) else {
            panic!()
        };
        assert_eq!(faults[0].pointer, "/keywords/40/value", "{}", faults[0].detail);
    }

    /// A pattern is folded in one pass, however many of its characters are full width.
    #[test]
    fn a_long_pattern_of_full_width_is_read_in_linear_time() {
        let rule = json!({"match": "regex", "value": "Ａ！".repeat(20_000), "reply": text("ok")});
        let started = std::time::Instant::now();
        assert!(ReplyRules::parse(json!({"keywords": [rule]}).to_string().as_bytes()).is_ok());
        assert!(
            started.elapsed() < std::time::Duration::from_secs(5),
            "{:?}",
            started.elapsed()
        );
    }

    #[test]
    fn texts_compare_without_regard_to_case_width_and_outer_spaces() {
        let rules = rules(&json!({"keywords": [
            {"match": "exact", "value": " ＶＩＰ ", "reply": text("exact")},
            {"match": "prefix", "value": "Help", "reply": text("prefix")},
            {"match": "contains", "value": "wi-fi", "reply": text("contains")},
            {"match": "regex", "value": "^code：[A-F0-9]+$", "reply": text("regex")},
            {"match": "exact", "value": "vip", "reply": text("never")},
        ]}));
        for (content, rule) in [
            ("vip", "/keywords/0"),
            ("\u{3000}Ｖｉｐ\n", "/keywords/0"),
            ("ＨＥＬＰ me", "/keywords/1"),
            ("酒店Ｗｉ－Ｆｉ密码", "/keywords/2"),
            ("Code:ａｂ１２ ", "/keywords/3"),
        ] {
            assert_eq!(rules.answer_text(content).unwrap().rule, rule, "{content}");
        }
        assert_eq!(rules.answer_text("v i p"), None, "inner spaces count");
    }

    #[test]
    fn a_strict_rule_compares_the_text_as_it_came() {
        let rules = rules(&json!({"keywords": [
            {"match": "exact", "value": "VIP", "strict": true, "reply": text("exact")},
            {"match": "prefix", "value": " A", "strict": true, "reply": text("prefix")},
            {"match": "contains", "value": "ＯＫ", "strict": true, "reply": text("contains")},
            {"match": "regex", "value": "^[a-z]+\\s$", "strict": true, "reply": text("regex")},
            {"match": "exact", "value": " ", "reply": text("spaces")},
            {"match": "exact", "value": "vip", "strict": false, "reply": text("folded")},
        ]}));
        let rule = |content: &str| rules.answer_text(content).map(|answer| answer.rule);
        for (content, expected) in [
            ("VIP", "/keywords/0"),
            (" A", "/keywords/1"),
            ("好ＯＫ", "/keywords/2"),
            ("abc ", "/keywords/3"),
            (" ", "/keywords/4"),
            ("Vip", "/keywords/5"),
        ] {
            assert_eq!(rule(content).as_deref(), Some(expected), "{content}");
        }
        for content in ["a", "OK", "ABC ", "", "\t"] {
            assert_eq!(rule(content), None, "{content:?}");
        }
        let faulty = json!({"keywords": [{"match": "exact", "value": "a", "strict": "yes", "reply": text("x")}]});
        let error = ReplyRules::parse(faulty.to_string().as_bytes()).unwrap_err();
        assert!(error.to_string().contains("/keywords/0/strict"), "{error}");
    }

    #[test]
    fn speech_is_matched_like_a_text() {
        let rules = rules(&json!({"keywords": [
            {"match": "exact", "value": "营业时间", "reply": text("hours")},
            {"match": "regex", "value": "^在吗$", "reply": text("yes")},
        ], "default": text("default")}));
        let said = |recognition: &str| {
            replied(
                &rules,
                &format!("<MsgType>voice</MsgType><MediaId>m</MediaId><Recognition>{recognition}</Recognition>"),
            )
        };
        assert_eq!(said("营业时间").unwrap(), "hours");
        assert_eq!(said("营业时间。").unwrap(), "hours", "nobody says a full stop");
        assert_eq!(said("在吗？").unwrap(), "yes");
        assert_eq!(said("今天天气").unwrap(), "default");
        assert_eq!(said("").unwrap(), "default", "nothing was recognised");
    }

    /// Only a subscription has the prefix `qrscene_`.
    #[test]
    fn scenes_serve_scans_and_subscriptions() {
        let rules = rules(&json!({"subscribe": text("hello"), "scans": {"order_42": text("scene")}}));
        let event = |event: &str, key: &str| {
            replied(
                &rules,
                &format!("<MsgType>event</MsgType><Event>{event}</Event><EventKey>{key}</EventKey>"),
            )
        };
        assert_eq!(event("SCAN", "order_42").unwrap(), "scene");
        assert_eq!(event("subscribe", "qrscene_order_42").unwrap(), "scene");
        assert_eq!(event("subscribe", "qrscene_other").unwrap(), "hello");
        assert_eq!(event("subscribe", "").unwrap(), "hello");
        assert_eq!(event("SCAN", "other"), None);
        assert_eq!(
            event("SCAN", "qrscene_order_42"),
            None,
            "only a subscription carries the prefix"
        );
    }

    #[test]
    fn a_scan_that_binds_has_replies_of_its_own() {
        let scans = [
            "<MsgType>event</MsgType><Event>SCAN</Event><EventKey>bind.0f</EventKey>",
            "<MsgType>event</MsgType><Event>subscribe</Event><EventKey>qrscene_bind.0f</EventKey>",
        ];
        let stored = json!({"subscribe": text("hello"), "scans": {"bind.0f": text("scene")}});
        let own = json!({"bound": text("welcome"), "bind_failed": text("sorry")});
        let silent = json!({"subscribe": text("hello"), "bound": null, "bind_failed": null});
        for (rules, bound, failed) in [
            (
                ReplyRules::default(),
                Some("绑定成功"),
                Some("二维码已失效，请重新获取"),
            ),
            (rules(&stored), Some("绑定成功"), Some("二维码已失效，请重新获取")),
            (rules(&own), Some("welcome"), Some("sorry")),
            (rules(&silent), None, None),
        ] {
            for fields in scans {
                assert!(ReplyRules::may_answer(&callback(fields)), "{fields}");
                assert_eq!(replied(&rules, fields).as_deref(), bound, "as though it bound");
            }
            for (is_bound, expected, rule) in [(true, bound, "/bound"), (false, failed, "/bind_failed")] {
                let answer = rules.answer_binding(is_bound);
                let expected = expected.map(Reply::text);
                assert_eq!(answer.as_ref().map(|answer| &answer.reply.passive), expected.as_ref());
                assert!(answer.is_none_or(|answer| answer.rule == rule));
            }
        }
        let odd = "<MsgType>event</MsgType><Event>SCAN</Event><EventKey>bind.no id</EventKey>";
        assert_eq!(
            replied(&ReplyRules::default(), odd).unwrap(),
            "二维码已失效，请重新获取"
        );
    }

    #[test]
    fn every_rule_may_have_further_replies() {
        let reply = json!({"type": "text", "content": "1", "then": [text("2"), {"type": "image", "media_id": "m"}]});
        let rules = rules(&json!({
            "subscribe": reply, "keywords": [{"match": "exact", "value": "a", "reply": reply}], "clicks": {"k": reply},
            "scans": {"s": reply}, "default": reply, "bound": reply, "bind_failed": reply,
        }));
        for answer in [
            rules.answer_subscribe(None),
            rules.answer_text("a"),
            rules.answer_text("b"),
            rules.answer_click("k"),
            rules.answer_scan("s"),
            rules.answer_binding(true),
            rules.answer_binding(false),
        ] {
            let answer = answer.unwrap();
            assert_eq!(json!(answer.reply), reply, "{}", answer.rule);
            assert_eq!(
                (answer.reply.passive.clone(), answer.reply.then.len()),
                (Reply::text("1"), 2)
            );
        }
    }

    #[test]
    fn clicks_are_answered_by_key_and_named_by_pointer() {
        let rules = rules(&json!({"clicks": {"a/b": text("click")}, "default": text("default")}));
        assert_eq!(rules.answer_click("a/b").unwrap().rule, "/clicks/a~1b");
        assert_eq!(
            rules.answer_click("other"),
            None,
            "the default answers messages, not events"
        );
        // The phone shows that it waits for a message.
        let scanned = "<MsgType>event</MsgType><Event>scancode_waitmsg</Event><EventKey>a/b</EventKey>";
        assert_eq!(replied(&rules, scanned).unwrap(), "click");
        assert_eq!(
            replied(&rules, "<MsgType>image</MsgType><MediaId>m</MediaId>").unwrap(),
            "default"
        );
        assert_eq!(
            replied(&rules, "<MsgType>device_text</MsgType><Content>x</Content>"),
            None,
            "what is not known is acknowledged"
        );
    }
}
