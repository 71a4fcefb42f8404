//! The account's menus, and the one that a user sees.

use serde_json::{Map, Value, json};

use super::users::User;

/// The default menu and the conditional ones.
#[derive(Debug)]
pub(crate) struct Menu {
    pub(crate) id: u64,
    /// As `menu/get` answers them: every button has a `sub_button`.
    pub(crate) buttons: Vec<Value>,
    /// Oldest first.
    pub(crate) conditional: Vec<ConditionalMenu>,
}

impl Menu {
    /// The answer of `menu/get`.
    pub(crate) fn shown(&self) -> Value {
        let mut shown = json!({"menu": {"button": self.buttons, "menuid": self.id}});
        if !self.conditional.is_empty() {
            shown["conditionalmenu"] = self.conditional.iter().rev().map(ConditionalMenu::shown).collect();
        }
        shown
    }

    /// Id and buttons of the menu that the user sees: the newest conditional one that matches, else the default.
    ///
    /// See [WeChat Docs/个性化菜单](https://developers.weixin.qq.com/doc/offiaccount/Custom_Menus/Personalized_menu_interface.html).
    pub(crate) fn seen_by(&self, user: &User) -> (u64, &[Value]) {
        let matching = self.conditional.iter().rev().find(|menu| menu.matches(user));
        matching.map_or((self.id, &self.buttons), |menu| (menu.id, &menu.buttons))
    }
}

/// A menu for the users whom its rule matches.
#[derive(Debug)]
pub(crate) struct ConditionalMenu {
    pub(crate) id: u64,
    pub(crate) buttons: Vec<Value>,
    pub(crate) matchrule: Map<String, Value>,
}

impl ConditionalMenu {
    /// As `menu/get` answers it: `tag_id` becomes `group_id`, and both conditions are numbers.
    fn shown(&self) -> Value {
        let rule = self.matchrule.iter().map(|(name, value)| {
            let name = if name == "tag_id" { "group_id" } else { name };
            let number = value.as_str().and_then(|value| value.parse::<u64>().ok());
            (name.to_owned(), number.map_or_else(|| value.clone(), Value::from))
        });
        let rule: Map<String, Value> = rule.collect();
        json!({"button": self.buttons, "matchrule": rule, "menuid": self.id})
    }

    /// Whether every condition that is not empty holds. Of several tags on a user the last one counts.
    fn matches(&self, user: &User) -> bool {
        // SDKs send numbers and texts.
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.matchrule
            .iter()
            .filter(|(_, value)| *value != "")
            .all(|(name, value)| match &**name {
                "client_platform_type" => json!(text(value)) == json!(user.client),
                "tag_id" => user.tags.last().is_some_and(|tag| text(value) == tag.to_string()),
                _ => false,
            })
    }
}
