//! Checks a message against the account's templates before WeChat is called.
//!
//! WeChat refuses missing and invalid fields with 47003, one at a time, and silently drops fields that the template lacks.
//! This check finds all of them at once. A finding with an errcode is a certain refusal, any other is a warning. The check
//! covers only names with a known type and a number (`thing1`): test accounts have free names and may omit fields.
//! See [WeChat Docs/发送模板消息](https://developers.weixin.qq.com/doc/service/api/notify/template/api_sendtemplatemessage).

mod rules;

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{LIMIT, Place};
use crate::{
    bilingual::{both, halves},
    errcode::{INVALID_ARGUMENT, NO_SUCH_TEMPLATE},
};

pub use rules::is_const;

/// The place of a message's fields.
const DATA: Place<'static> = Place::Member(&Place::Root, "data");
/// The most characters of a value in a finding.
const QUOTED: usize = 40;

/// One finding about a message: WeChat refuses it, may refuse it, or drops a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Finding {
    /// The member of the request, such as `data.thing1.value`.
    pub field: String,
    /// The same as a JSON pointer (RFC 6901), such as `/data/thing1/value`.
    pub pointer: String,
    /// What would be right, in English and Chinese.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub rule: Cow<'static, str>,
    /// What was given, at most 40 characters of it. Absent when nothing was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given: Option<String>,
    /// How many characters (Unicode code points) were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<usize>,
    /// The errcode with which WeChat refuses. Absent for a warning: WeChat may accept the value, or silently drops it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errcode: Option<i64>,
}

impl Finding {
    /// Whether WeChat certainly refuses the message. Otherwise the finding is a warning.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        self.errcode.is_some()
    }

    /// Whether the finding is about a field that the template does not have, which WeChat drops.
    #[must_use]
    pub fn is_extra_field(&self) -> bool {
        self.given.is_some() && self.pointer.starts_with("/data/") && !self.pointer.ends_with("/value")
    }

    fn missing(name: &str) -> Self {
        let is_required = rules::is_required(name);
        let rule = if is_required {
            "is missing: the template has it / 缺少模板中的字段"
        } else {
            "is missing: the user sees nothing in its place / 缺少模板中的字段，用户看到的该项为空"
        };
        Self {
            rule: rule.into(),
            errcode: is_required.then_some(INVALID_ARGUMENT),
            ..Self::at(&DATA.member(name))
        }
    }

    fn of(place: &Place<'_>, rule: impl Into<Cow<'static, str>>, value: &str, errcode: Option<i64>) -> Self {
        let length = value.chars().count();
        let mut given: String = value.chars().take(QUOTED).collect();
        if length > QUOTED {
            given.push('…');
        }
        Self {
            rule: rule.into(),
            given: Some(given),
            length: Some(length),
            errcode,
            ..Self::at(place)
        }
    }

    fn at(place: &Place<'_>) -> Self {
        Self {
            field: place.field(),
            pointer: place.pointer(),
            rule: Cow::Borrowed(""),
            given: None,
            length: None,
            errcode: None,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (english, chinese) = halves(&self.rule);
        let Self {
            field, given, length, ..
        } = self;
        f.write_str(&match (given, length) {
            (Some(given), Some(length)) => both(
                &format!("{field}: {english}; given: {given:?}, {length} characters"),
                &format!("{field}：{chinese}；实际为“{given}”，{length} 个字符"),
            ),
            _ => both(&format!("{field}: {english}"), &format!("{field}：{chinese}")),
        })
    }
}

/// The templates of one account: the fields of each, by template id.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Templates(BTreeMap<String, Vec<String>>);

impl Templates {
    /// Whether the account has no templates.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the account has the template.
    #[must_use]
    pub fn contains(&self, template_id: &str) -> bool {
        self.0.contains_key(template_id)
    }

    /// Checks the fields `data` (names and values) against the template. Returns refusals first, then warnings. A template
    /// without fields accepts any names.
    #[must_use]
    pub fn check<'a>(&self, template_id: &str, data: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Finding> {
        let Some(fields) = self.0.get(template_id) else {
            let rule = "must be one of the account's own templates / 必须是本账号已添加的模板";
            let place = Place::Root.member("template_id");
            return vec![Finding::of(&place, rule, template_id, Some(NO_SUCH_TEMPLATE))];
        };
        let data: BTreeMap<&str, &str> = data.into_iter().collect();
        let lacking = |field: &str| !data.contains_key(field);
        let missing = fields
            .iter()
            .filter(|field| rules::is_typed(field) && lacking(field) && !data.keys().any(|name| means(name, field)))
            .map(|field| Finding::missing(field));
        let given = data.iter().filter_map(|(name, value)| {
            let place = DATA.member(name);
            if fields.is_empty() || fields.iter().any(|field| field == name) {
                let objection = rules::objection(name, value)?;
                let errcode = objection.is_sure.then_some(INVALID_ARGUMENT);
                return Some(Finding::of(&place.member("value"), objection.rule, value, errcode));
            }
            let meant = fields.iter().find(|field| means(name, field) && lacking(field));
            let errcode = meant
                .is_some_and(|field| rules::is_required(field))
                .then_some(INVALID_ARGUMENT);
            let rule: Cow<'static, str> = match meant {
                Some(field) => misnamed(field).into(),
                None => extra(name).into(),
            };
            Some(Finding::of(&place, rule, value, errcode))
        });
        let mut findings: Vec<_> = missing.chain(given).collect();
        findings.sort_by_key(|finding| !finding.is_refusal());
        findings.truncate(LIMIT);
        findings
    }
}

/// Whether `name` is a misspelling of `field`: `time3.DATA`, `{{time3.DATA}}`, `Time3` or `time03` for `time3`.
#[must_use]
pub fn means(name: &str, field: &str) -> bool {
    name != field && plain(name) == plain(field)
}

/// Normalises a field's name: strips braces, `.DATA`, upper case and leading zeros.
fn plain(name: &str) -> String {
    let name = name.trim_matches(|c: char| c.is_whitespace() || c == '{' || c == '}');
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix(".data").unwrap_or(&name).trim_end();
    let kind = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = &name[kind.len()..];
    format!("{kind}{}", number.trim_start_matches('0'))
}

/// Says in English and Chinese how to correct a misspelling of `field`.
#[must_use]
pub fn misnamed(field: &str) -> String {
    format!(
        "call it {field}: .DATA and the braces belong to the template's text alone \
         / 字段名应写作 {field}，.DATA 与花括号只用于模板内容"
    )
}

impl FromIterator<(String, Vec<String>)> for Templates {
    fn from_iter<I: IntoIterator<Item = (String, Vec<String>)>>(templates: I) -> Self {
        Self(templates.into_iter().collect())
    }
}

fn extra(name: &str) -> &'static str {
    if rules::DROPPED_SINCE_2023.contains(&name) {
        "is not in the template: WeChat removed first and remark in 2023 / 模板中没有该字段，微信已于 2023 年取消 first 与 remark"
    } else {
        "is not in the template: the user would not see it / 模板中没有该字段，用户看不到其内容"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn templates() -> Templates {
        let fields = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Templates::from_iter([
            ("T".to_owned(), fields(&["thing1", "time2"])),
            ("FREE".to_owned(), fields(&["greeting", "thing"])),
            ("BARE".to_owned(), fields(&[])),
        ])
    }

    fn fields(template_id: &str, data: &[(&str, &str)]) -> Vec<String> {
        let findings = templates().check(template_id, data.iter().copied());
        findings.into_iter().map(|finding| finding.field).collect()
    }

    #[test]
    fn every_fault_is_found_at_once_and_named() {
        assert!(fields("T", &[("thing1", "项目审核"), ("time2", "10:00")]).is_empty());
        assert_eq!(
            fields("T", &[("thing1", &"长".repeat(21)), ("remark", "谢谢")]),
            ["data.time2", "data.thing1.value", "data.remark"]
        );
        assert_eq!(fields("OTHER", &[("thing1", "x")]), ["template_id"]);
    }

    #[test]
    fn a_finding_quotes_the_value_shortened_with_its_length() {
        let long = "长".repeat(41);
        let findings = templates().check("T", [("thing1", long.as_str()), ("time2", "10:00")]);
        assert_eq!(
            findings[0].given.as_deref(),
            Some(format!("{}…", "长".repeat(40)).as_str())
        );
        assert_eq!(findings[0].length, Some(41));
    }

    #[test]
    fn a_finding_tells_the_errcode_that_wechat_would_have_answered() {
        let errcodes = |template_id: &str, data: &[(&str, &str)]| {
            let findings = templates().check(template_id, data.iter().copied());
            findings.into_iter().map(|finding| finding.errcode).collect::<Vec<_>>()
        };
        assert_eq!(errcodes("OTHER", &[]), [Some(40037)]);
        assert_eq!(
            errcodes("T", &[("thing1", ""), ("remark", "谢谢")]),
            [Some(47003), Some(47003), None]
        );
    }

    #[test]
    fn free_names_may_hold_anything_or_be_left_out() {
        assert!(fields("FREE", &[("thing", &"长".repeat(300))]).is_empty());
        assert!(fields("FREE", &[]).is_empty());
        assert_eq!(fields("FREE", &[("greting", "x")]), ["data.greting"]);
    }

    /// Since 2023 WeChat strips parts of the values of these templates, and refuses nothing.
    #[test]
    fn what_wechat_strips_from_historic_templates_is_named() {
        let names = ["first", "keyword1", "keyword2", "remark"].map(str::to_owned);
        let templates = Templates::from_iter([("T".to_owned(), names.into())]);
        let found = |data: &[(&'static str, &'static str)]| {
            let findings = templates.check("T", data.iter().copied());
            assert!(!findings.iter().any(Finding::is_refusal), "{findings:?}");
            findings.into_iter().map(|finding| finding.field).collect::<Vec<_>>()
        };
        assert!(found(&[("first", ""), ("keyword1", "二十个字二十个字二十个字二十个字二十个字")]).is_empty());
        assert_eq!(
            found(&[
                ("first", "您好"),
                ("keyword1", "二十个字二十个字二十个字二十个字二十个字一"),
                ("keyword2", "一\n二"),
                ("remark", "谢谢")
            ]),
            [
                "data.first.value",
                "data.keyword1.value",
                "data.keyword2.value",
                "data.remark.value"
            ]
        );
    }

    #[test]
    fn a_template_without_fields_says_nothing_about_names() {
        assert!(fields("BARE", &[("thing1", "x")]).is_empty());
        assert_eq!(fields("BARE", &[("thing1", "")]), ["data.thing1.value"]);
    }

    /// The most frequent question of WeChat's users. WeChat only answers "data.time2.value is empty".
    #[test]
    fn a_field_copied_with_its_placeholder_is_corrected() {
        for name in [
            "time2.DATA",
            "{{time2.DATA}}",
            "{{ time2.DATA }}",
            "Time2",
            "time02",
            " time2",
        ] {
            let findings = templates().check("T", [("thing1", "项目审核"), (name, "10:00")]);
            assert_eq!(findings.len(), 1, "{findings:?}");
            assert_eq!(findings[0].field, format!("data.{name}"));
            assert!(findings[0].rule.starts_with("call it time2"), "{findings:?}");
            assert_eq!(findings[0].errcode, Some(47003), "{name}");
        }
        let free = templates().check("FREE", [("greeting.DATA", "您好")]);
        assert!(!free[0].is_refusal() && free[0].rule.contains("greeting"), "{free:?}");
        // Next to the field itself it is only superfluous.
        let both = templates().check("T", [("thing1", "x"), ("time2", "10:00"), ("time2.DATA", "10:00")]);
        assert!(both.len() == 1 && !both[0].is_refusal(), "{both:?}");
    }

    /// Observed: of a message without const2 and time3, WeChat named only time3.
    #[test]
    fn a_const_may_be_empty_or_left_out() {
        let templates = Templates::from_iter([("T".to_owned(), vec!["const1".to_owned()])]);
        assert!(templates.check("T", [("const1", "")]).is_empty());
        let left_out = templates.check("T", []);
        assert!(left_out.len() == 1 && !left_out[0].is_refusal(), "{left_out:?}");
    }
}
