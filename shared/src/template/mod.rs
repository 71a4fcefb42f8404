//! The account's own templates as a schema: what a message must hold before WeChat is asked to send it.
//!
//! WeChat refuses a field that is missing or breaks its rule with 47003, one field at a time, and drops a field that the
//! template lacks without a word. Here all of them are found at once, with the rule and the value. Only names that carry
//! a known type and a number (`thing1`) are judged: test accounts name their fields as they like, and may leave them out.

mod rules;

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::fault;

/// Characters of a value that a finding quotes.
const QUOTED: usize = 40;
/// WeChat's codes for a template that the account lacks, and for a value that is missing or breaks its rule.
const NO_SUCH_TEMPLATE: i64 = 40037;
const INVALID_ARGUMENT: i64 = 47003;
/// Fields that templates had at both ends until 2023; WeChat filters them out.
const FILTERED_SINCE_2023: [&str; 2] = ["first", "remark"];

/// Something about a message that WeChat would refuse, or drop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Finding {
    /// The member of the request, such as `data.thing1.value`.
    pub field: String,
    /// What would be right, in English and Chinese.
    pub rule: &'static str,
    /// What was given, at most 40 characters of it. Absent when nothing was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given: Option<String>,
    /// How many characters (Unicode code points) were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<usize>,
    /// The errcode that WeChat refuses this with. Absent for what it would drop without a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errcode: Option<i64>,
}

impl Finding {
    fn missing(field: String, rule: &'static str) -> Self {
        Self {
            field,
            rule,
            given: None,
            length: None,
            errcode: Some(INVALID_ARGUMENT),
        }
    }

    fn of(field: String, rule: &'static str, value: &str, errcode: Option<i64>) -> Self {
        let length = value.chars().count();
        let mut given: String = value.chars().take(QUOTED).collect();
        if length > QUOTED {
            given.push('…');
        }
        Self {
            field,
            rule,
            given: Some(given),
            length: Some(length),
            errcode,
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

    /// Compares a message, its fields given as names and values, with the template that it names. A template without
    /// any field tells nothing about the names of its fields.
    #[must_use]
    pub fn check<'a>(&self, template_id: &str, data: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Finding> {
        let Some(fields) = self.0.get(template_id) else {
            let rule = "must be one of the account's own templates / 必须是本账号已添加的模板";
            let field = "template_id".to_owned();
            return vec![Finding::of(field, rule, template_id, Some(NO_SUCH_TEMPLATE))];
        };
        let data: BTreeMap<&str, &str> = data.into_iter().collect();
        let missing = fields
            .iter()
            .filter(|name| rules::is_typed(name) && !data.contains_key(name.as_str()))
            .map(|name| {
                Finding::missing(
                    format!("data.{name}"),
                    "is missing: the template has it / 缺少模板中的字段",
                )
            });
        let given = data.iter().filter_map(|(name, value)| {
            if !fields.is_empty() && !fields.iter().any(|field| field == name) {
                return Some(Finding::of(format!("data.{name}"), extra(name), value, None));
            }
            let field = format!("data.{name}.value");
            rules::broken(name, value).map(|rule| Finding::of(field, rule, value, Some(INVALID_ARGUMENT)))
        });
        missing.chain(given).take(fault::LIMIT).collect()
    }
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
            ["data.time2", "data.remark", "data.thing1.value"]
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
            [Some(47003), None, Some(47003)]
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
}
