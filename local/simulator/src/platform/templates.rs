//! The account's templates: the three it starts with, those added later, and how values fill them.
//!
//! See [WeChat Docs/模板消息](https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Template_Message_Interface.html).

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize};

use super::{account_type::AccountType, errcode::ApiError, field_rules, random::Random};

/// The number of templates that an account may have.
const MOST: usize = 25;

/// Id of a template with the fields `thing1`, `time2` and `const3`, typed as those of real accounts are.
pub const TEMPLATE_ID: &str = "TEMPLATE_ID";
/// Id of a template with `character_string1`, `thing2`, `amount3`, `time4` and `phone_number5`.
pub const ORDER_TEMPLATE_ID: &str = "ORDER_TEMPLATE_ID";
/// Id of a template whose fields (`greeting`, `who`, `note`) have names without a type, as test accounts make them.
pub const FREE_TEMPLATE_ID: &str = "FREE_TEMPLATE_ID";

/// A template, as `get_all_private_template` lists it.
#[derive(Clone, Serialize)]
pub(crate) struct Template {
    pub(crate) template_id: String,
    pub(crate) title: String,
    primary_industry: &'static str,
    deputy_industry: &'static str,
    content: String,
    example: String,
    /// The approved values of its consts, by name. No API lists them.
    #[serde(skip)]
    const_values: BTreeMap<String, Vec<String>>,
}

/// A template as `POST /sim/templates` takes it, like the page of a test account.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTemplate {
    /// Default: a made-up one.
    template_id: Option<String>,
    title: String,
    /// Text with `{{name.DATA}}` where values go.
    content: String,
    #[serde(default)]
    example: String,
    /// The approved values of a const, by its name. Another const takes anything.
    #[serde(default)]
    const_values: BTreeMap<String, Vec<String>>,
}

impl NewTemplate {
    fn validate(&self) -> Result<(), &'static str> {
        let mut pieces = self.content.split("{{").skip(1).peekable();
        if self.title.is_empty() {
            Err("`title` is empty")
        } else if self.template_id.as_ref().is_some_and(String::is_empty) {
            Err("`template_id` is empty")
        } else if pieces.peek().is_none() {
            Err("`content` has no {{name.DATA}}")
        } else if !pieces.all(|piece| piece.split_once(".DATA}}").is_some_and(|(name, _)| is_name(name))) {
            Err("placeholders are {{name.DATA}}; a name has letters, digits and _")
        } else {
            Ok(())
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The templates of the account.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct Templates(Vec<Template>);

impl Default for Templates {
    fn default() -> Self {
        let template =
            |(id, title, content, example): &(&str, &str, &str, &str)| Template::new(id, *title, *content, *example);
        Self(INITIAL.iter().map(template).collect())
    }
}

impl Templates {
    pub(crate) fn find(&self, template_id: &str) -> Option<&Template> {
        self.0.iter().find(|template| template.template_id == template_id)
    }

    /// Adds a template and returns its id. The error says what is wrong with it.
    pub(crate) fn make(&mut self, new: NewTemplate, random: &mut Random) -> Result<String, &'static str> {
        new.validate()?;
        let template_id = new.template_id.unwrap_or_else(|| random.url_safe(43));
        if self.find(&template_id).is_some() {
            return Err("there is a template with this id");
        }
        if self.0.len() >= MOST {
            return Err("an account keeps 25 templates; delete some");
        }
        self.0.push(Template {
            const_values: new.const_values,
            ..Template::new(&template_id, new.title, new.content, new.example)
        });
        Ok(template_id)
    }

    /// Adds a template of the library with these keywords, all of the type `thing`; 45026 when the account is full.
    pub(crate) fn add(&mut self, keywords: &[String], random: &mut Random) -> Result<String, ApiError> {
        if self.0.len() >= MOST {
            return Err(ApiError::of(45026));
        }
        let template_id = random.url_safe(43);
        let content: String = keywords
            .iter()
            .zip(1..)
            .map(|(keyword, number)| format!("{keyword}:{{{{thing{number}.DATA}}}}\n"))
            .collect();
        self.0.push(Template::new(&template_id, "新增模板", content, ""));
        Ok(template_id)
    }

    /// Deletes a template; 40037 for an unknown id.
    pub(crate) fn delete(&mut self, template_id: &str) -> Result<(), ApiError> {
        let before = self.0.len();
        self.0.retain(|template| template.template_id != template_id);
        if self.0.len() < before {
            Ok(())
        } else {
            Err(ApiError::of(40037))
        }
    }
}

/// Id, title, content and example of the templates that the account starts with.
const INITIAL: &[(&str, &str, &str, &str)] = &[
    (
        TEMPLATE_ID,
        "审核结果通知",
        "审核事项:{{thing1.DATA}}\n审核时间:{{time2.DATA}}\n审核结果:{{const3.DATA}}\n",
        "审核事项:项目审核\n审核时间:2026年1月1日 10:00\n审核结果:通过\n",
    ),
    (
        ORDER_TEMPLATE_ID,
        "订单发货通知",
        "订单号:{{character_string1.DATA}}\n商品:{{thing2.DATA}}\n金额:{{amount3.DATA}}\n\
         发货时间:{{time4.DATA}}\n联系电话:{{phone_number5.DATA}}\n",
        "订单号:20260101001\n商品:书\n金额:¥99.00\n\
         发货时间:2026年1月1日 10:00\n联系电话:+86-0766-66888866\n",
    ),
    (
        FREE_TEMPLATE_ID,
        "测试号通知",
        "{{greeting.DATA}}\n姓名:{{who.DATA}}\n{{note.DATA}}",
        "",
    ),
];

impl Template {
    fn new(id: &str, title: impl Into<String>, content: impl Into<String>, example: impl Into<String>) -> Self {
        Self {
            template_id: id.to_owned(),
            title: title.into(),
            primary_industry: "",
            deputy_industry: "",
            content: content.into(),
            example: example.into(),
            const_values: BTreeMap::new(),
        }
    }

    /// The text that the user sees. As on the platform, values that the template does not name are ignored, and a field
    /// without a type may be empty.
    ///
    /// The error is 47003, naming the first field whose value is missing or breaks the rule of its type. A test account has no
    /// such rules.
    pub(crate) fn fill(&self, values: &BTreeMap<String, String>, account: AccountType) -> Result<String, ApiError> {
        let mut pieces = self.content.split("{{");
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let (name, rest) = piece.split_once(".DATA}}").unwrap_or((piece, ""));
            let value = values.get(name).map(String::as_str).unwrap_or_default();
            let shown = if account.is_test() {
                Cow::Borrowed(value)
            } else {
                self.shown(name, value)?
            };
            text.push_str(&shown);
            text.push_str(rest);
        }
        Ok(text)
    }

    /// What is shown of a value. The error is 47003.
    fn shown<'v>(&self, name: &str, value: &'v str) -> Result<Cow<'v, str>, ApiError> {
        let shown = field_rules::shown(name, value);
        match field_rules::check(name, &shown).and_then(|()| self.approves(name, &shown)) {
            Ok(()) => Ok(shown),
            Err(flaw) => Err(ApiError::new(
                47003,
                format!("argument invalid! data.{name}.value {flaw}"),
            )),
        }
    }

    fn approves(&self, name: &str, value: &str) -> Result<(), &'static str> {
        let is_approved = |approved: &Vec<String>| value.is_empty() || approved.iter().any(|each| each == value);
        if self.const_values.get(name).is_none_or(is_approved) {
            Ok(())
        } else {
            Err("invalid")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(template_id: &str) -> Option<Template> {
        Templates::default().find(template_id).cloned()
    }

    fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn fills_the_fields_and_ignores_unknown_values() {
        let filled = find(TEMPLATE_ID).unwrap().fill(
            &values(&[
                ("thing1", "项目审核"),
                ("time2", "2024年7月19日 10:00"),
                ("const3", "通过"),
                ("remark", "不再显示"),
            ]),
            AccountType::default(),
        );
        assert_eq!(
            filled.unwrap(),
            "审核事项:项目审核\n审核时间:2024年7月19日 10:00\n审核结果:通过\n"
        );
    }

    #[test]
    fn names_the_field_that_is_missing_or_wrong() {
        let template = find(TEMPLATE_ID).unwrap();
        let missing = template
            .fill(
                &values(&[("thing1", "项目审核"), ("const3", "通过")]),
                AccountType::default(),
            )
            .unwrap_err();
        assert_eq!(
            (missing.errcode, &*missing.errmsg),
            (47003, "argument invalid! data.time2.value is empty")
        );
        let wrong = template.fill(
            &values(&[("thing1", &"长".repeat(21)), ("time2", "10:00"), ("const3", "通过")]),
            AccountType::default(),
        );
        assert_eq!(wrong.unwrap_err().errmsg, "argument invalid! data.thing1.value invalid");
    }

    #[test]
    fn a_const_may_be_empty_and_is_then_shown_so() {
        let filled = find(TEMPLATE_ID).unwrap().fill(
            &values(&[("thing1", "项目审核"), ("time2", "10:00")]),
            AccountType::default(),
        );
        assert_eq!(filled.unwrap(), "审核事项:项目审核\n审核时间:10:00\n审核结果:\n");
    }

    #[test]
    fn emoji_are_removed_first() {
        let fill = |thing: &str| {
            find(TEMPLATE_ID).unwrap().fill(
                &values(&[("thing1", thing), ("time2", "10:00")]),
                AccountType::default(),
            )
        };
        assert_eq!(
            fill("😀😀").unwrap_err().errmsg,
            "argument invalid! data.thing1.value is empty"
        );
        assert_eq!(fill("好😀").unwrap().lines().next(), Some("审核事项:好"));
        let free = find(FREE_TEMPLATE_ID)
            .unwrap()
            .fill(&values(&[("greeting", "😀")]), AccountType::default());
        assert!(free.unwrap().starts_with('😀'));
    }

    #[test]
    fn free_names_take_anything() {
        let filled = find(FREE_TEMPLATE_ID)
            .unwrap()
            .fill(&values(&[("greeting", "您好\n")]), AccountType::default());
        assert_eq!(filled.unwrap(), "您好\n\n姓名:\n");
    }

    #[test]
    fn a_historic_template_shows_less_than_it_is_given() {
        let content = "{{first.DATA}}\n事项:{{keyword1.DATA}}\n{{remark.DATA}}";
        let historic = Template::new("T", "历史模板", content, "");
        let given = values(&[
            ("first", "您好"),
            ("keyword1", &format!("{}\n二😀", "一".repeat(20))),
            ("remark", "谢谢"),
        ]);
        let shown = |account| historic.fill(&given, account).unwrap();
        assert_eq!(
            shown(AccountType::VerifiedService),
            format!("\n事项:{}\n", "一".repeat(20))
        );
        assert_eq!(
            shown(AccountType::Test),
            format!("您好\n事项:{}\n二😀\n谢谢", "一".repeat(20))
        );
    }

    #[test]
    fn a_test_account_takes_values_of_any_length() {
        let long = "长".repeat(21);
        let given = values(&[("thing1", &long), ("time2", "10:00")]);
        let filled = find(TEMPLATE_ID).unwrap().fill(&given, AccountType::Test);
        assert!(filled.unwrap().contains(&long));
    }

    #[test]
    fn the_examples_follow_the_rules_of_their_fields() {
        for template in Templates::default()
            .0
            .iter()
            .filter(|template| !template.example.is_empty())
        {
            let names = template
                .content
                .split("{{")
                .skip(1)
                .map(|piece| piece.split_once(".DATA").unwrap().0);
            let shown = template.example.lines().map(|line| line.split_once(':').unwrap().1);
            let values = names.map(str::to_owned).zip(shown.map(str::to_owned)).collect();
            assert_eq!(
                template.fill(&values, AccountType::default()).unwrap(),
                template.example
            );
        }
    }
}
