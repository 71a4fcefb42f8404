//! The account's own templates as a schema: what a message must hold before WeChat is asked to send it.
//!
//! WeChat refuses a field that is missing or breaks its rule with 47003, one field at a time, and drops a field that the
//! template lacks without a word. Here all of them are found at once, with the rule and the value. Findings have two
//! weights: what WeChat refuses for sure carries the errcode, the rest is a warning. Only names that carry a known type and
//! a number (`thing1`) are judged: test accounts name their fields as they like, and may leave them out.

mod rules;

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{LIMIT, Place};

pub use rules::is_const;

/// Where the fields of a message are.
const DATA: Place<'static> = Place::Member(&Place::Root, "data");
/// Characters of a value that a finding quotes.
const QUOTED: usize = 40;
/// WeChat's codes for a template that the account lacks, and for a value that is missing or breaks its rule.
const NO_SUCH_TEMPLATE: i64 = 40037;
const INVALID_ARGUMENT: i64 = 47003;
/// Fields that templates had at both ends until 2023; WeChat filters them out.
const FILTERED_SINCE_2023: [&str; 2] = ["first", "remark"];

/// Something about a message that WeChat would refuse, might refuse, or drop.
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
    /// The errcode that WeChat refuses this with. Absent for a warning: WeChat may take it, or drops it without a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errcode: Option<i64>,
}

impl Finding {
    /// Whether WeChat refuses the message for this. Otherwise it is a warning.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        self.errcode.is_some()
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
        write!(f, "{}: {}", self.field, self.rule)?;
        match (&self.given, self.length) {
            (Some(given), Some(length)) => write!(f, "; given: {given:?} ({length})"),
            _ => Ok(()),
        }
    }
}

/// The templates of one account: the fields of each, by template id.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Templates(BTreeMap<String, Vec<String>>);

impl Templates {
    /// Whether there are none at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the account has the template.
    #[must_use]
    pub fn contains(&self, template_id: &str) -> bool {
        self.0.contains_key(template_id)
    }

    /// Compares a message, its fields given as names and values, with the template that it names: the refusals first. A
    /// template without any field tells nothing about the names of its fields.
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

/// Whether the member `name` of `data` can only be meant for the field: `time3.DATA`, `{{time3.DATA}}`, `Time3`, `time03`.
#[must_use]
pub fn means(name: &str, field: &str) -> bool {
    name != field && plain(name) == plain(field)
}

/// A field's name as it is meant, whatever was copied along with it.
fn plain(name: &str) -> String {
    let name = name.trim_matches(|c: char| c.is_whitespace() || c == '{' || c == '}');
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix(".data").unwrap_or(&name).trim_end();
    let kind = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = &name[kind.len()..];
    format!("{kind}{}", number.trim_start_matches('0'))
}

/// What to do about a member that is meant for `field`, in English and Chinese.
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
    if FILTERED_SINCE_2023.contains(&name) {
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

    #[test]
    fn a_template_without_fields_says_nothing_about_names() {
        assert!(fields("BARE", &[("thing1", "x")]).is_empty());
        assert_eq!(fields("BARE", &[("thing1", "")]), ["data.thing1.value"]);
    }

    /// The question that is asked most often: WeChat answers "data.time2.value is empty".
    #[test]
    fn a_field_that_was_copied_with_its_placeholder_is_told_its_name() {
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
        // Beside the field itself it is only one too many.
        let both = templates().check("T", [("thing1", "x"), ("time2", "10:00"), ("time2.DATA", "10:00")]);
        assert!(both.len() == 1 && !both[0].is_refusal(), "{both:?}");
    }

    /// Of a message without const2 and time3 WeChat was seen to name time3.
    #[test]
    fn a_const_may_be_empty_or_left_out() {
        let templates = Templates::from_iter([("T".to_owned(), vec!["const1".to_owned()])]);
        assert!(templates.check("T", [("const1", "")]).is_empty());
        let left_out = templates.check("T", []);
        assert!(left_out.len() == 1 && !left_out[0].is_refusal(), "{left_out:?}");
    }
}
