//! Conditional menus: adding and deleting them, and which one a user sees.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    ApiError, Call,
    menu::{Menu, buttons, domains},
    ok,
};
use crate::{phone::User, platform::Platform};

/// What WeChat has removed from rules.
const REMOVED: [&str; 5] = ["sex", "country", "province", "city", "language"];

/// Domains that all conditional menus together may lead to.
const MOST_DOMAINS: usize = 3;

/// A menu for those whom its rule matches.
#[derive(Debug)]
pub(super) struct Conditional {
    id: u64,
    buttons: Vec<Value>,
    matchrule: Map<String, Value>,
}

impl Conditional {
    /// As `menu/get` answers it: the tag is a `group_id` there, and both conditions are numbers.
    pub(super) fn shown(&self) -> Value {
        let rule = self.matchrule.iter().map(|(name, value)| {
            let name = if name == "tag_id" { "group_id" } else { name };
            let number = value.as_str().and_then(|value| value.parse::<u64>().ok());
            (name.to_owned(), number.map_or_else(|| value.clone(), Value::from))
        });
        let rule: Map<String, Value> = rule.collect();
        json!({"button": self.buttons, "matchrule": rule, "menuid": self.id})
    }

    /// Of several tags the last one counts.
    fn matches(&self, user: &User) -> bool {
        self.matchrule
            .iter()
            .filter(|(_, value)| *value != "")
            .all(|(name, value)| match &**name {
                "client_platform_type" => value == user.client.as_str(),
                "tag_id" => user.tags.last().is_some_and(|tag| value == tag),
                _ => false,
            })
    }
}

#[derive(Deserialize)]
struct Delete {
    #[serde(default)]
    menuid: String,
}

#[derive(Deserialize)]
struct TryMatch {
    #[serde(default)]
    user_id: String,
}

fn menu(platform: &mut Platform) -> Result<&mut Menu, ApiError> {
    platform.menu.as_mut().ok_or_else(|| ApiError::of(65303))
}

pub(super) fn add(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let body: Map<String, Value> = super::menu::body(call)?;
    if body.get("button").is_none_or(|button| *button == json!([])) {
        return Err(ApiError::of(65307));
    }
    let buttons = buttons(&body)?;
    let matchrule = match body.get("matchrule") {
        Some(Value::Object(rule)) if rule.values().any(|value| value != "") => rule.clone(),
        _ => return Err(ApiError::of(65304)),
    };
    if matchrule.keys().any(|name| REMOVED.contains(&name.as_str())) {
        return Err(ApiError::of(65320));
    }
    let id = platform.next_menu_id();
    let conditional = &mut menu(platform)?.conditional;
    let lists = conditional.iter().map(|menu| &menu.buttons).chain([&buttons]);
    let all: BTreeSet<&str> = lists.flat_map(|buttons| domains(buttons)).collect();
    if all.len() > MOST_DOMAINS {
        return Err(ApiError::of(65316));
    }
    conditional.push(Conditional { id, buttons, matchrule });
    Ok(json!({"menuid": id.to_string()}))
}

pub(super) fn delete(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let request: Delete = call.json()?;
    let menus = &mut menu(platform)?.conditional;
    let before = menus.len();
    menus.retain(|menu| menu.id.to_string() != request.menuid);
    if menus.len() < before {
        Ok(ok())
    } else {
        Err(ApiError::of(65301))
    }
}

impl Menu {
    /// Id and buttons of the menu that the user sees: the newest conditional one that matches, else the default.
    pub(crate) fn seen_by(&self, user: &User) -> (u64, &[Value]) {
        let matching = self.conditional.iter().rev().find(|menu| menu.matches(user));
        matching.map_or((self.id, &self.buttons), |menu| (menu.id, &menu.buttons))
    }
}

pub(super) fn try_match(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let request: TryMatch = call.json()?;
    let user = platform.users.get(&request.user_id).filter(|user| user.follows);
    let user = user.ok_or_else(|| ApiError::of(65302))?;
    let menu = platform.menu.as_ref().ok_or_else(|| ApiError::of(65303))?;
    Ok(json!({"button": menu.seen_by(user).1}))
}
