//! Conditional menus. The made users have iPhones and no tags: a rule matches them by `client_platform_type` 1 alone.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::menu::{Menu, buttons};
use super::{ApiError, Call, ok};
use crate::platform::Platform;

/// What WeChat has removed from rules.
const REMOVED: [&str; 5] = ["sex", "country", "province", "city", "language"];

/// A menu for those whom its rule matches.
#[derive(Debug)]
pub(super) struct Conditional {
    id: u64,
    buttons: Vec<Value>,
    matchrule: Map<String, Value>,
}

impl Conditional {
    /// As `menu/get` answers it.
    pub(super) fn shown(&self) -> Value {
        json!({"button": self.buttons, "matchrule": self.matchrule, "menuid": self.id})
    }

    fn matches(&self) -> bool {
        self.matchrule
            .iter()
            .all(|(name, value)| name == "client_platform_type" && value == "1")
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
    let buttons = buttons(&body)?;
    let matchrule = match body.get("matchrule") {
        Some(Value::Object(rule)) if !rule.is_empty() => rule.clone(),
        _ => return Err(ApiError::of(65304)),
    };
    if matchrule.keys().any(|name| REMOVED.contains(&name.as_str())) {
        return Err(ApiError::of(65320));
    }
    let id = 208_000_000 + platform.random.below(1_000_000);
    menu(platform)?.conditional.push(Conditional { id, buttons, matchrule });
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

/// The newest menu that matches, else the default.
pub(super) fn try_match(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let request: TryMatch = call.json()?;
    if !platform.users.get(&request.user_id).is_some_and(|user| user.follows) {
        return Err(ApiError::of(65302));
    }
    let menu = menu(platform)?;
    let matching = menu.conditional.iter().rev().find(|menu| menu.matches());
    Ok(json!({"button": matching.map_or(&menu.buttons, |menu| &menu.buttons)}))
}
