//! Conditional menus: adding and deleting them, and which menu a user sees.
//!
//! See [WeChat Docs/个性化菜单](https://developers.weixin.qq.com/doc/offiaccount/Custom_Menus/Personalized_menu_interface.html).

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    menu::{buttons, domains},
    ok,
};
use crate::platform::{
    Platform,
    call::Call,
    errcode::ApiError,
    menu::{ConditionalMenu, Menu},
};

/// Conditions that WeChat no longer accepts, for privacy.
const REMOVED: [&str; 5] = ["sex", "country", "province", "city", "language"];

/// Domains that all conditional menus together may link to.
const MOST_DOMAINS: usize = 3;

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
    conditional.push(ConditionalMenu { id, buttons, matchrule });
    Ok(json!({"menuid": id.to_string()}))
}

pub(super) fn delete(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let id = call.text_or_number("menuid")?;
    let menus = &mut menu(platform)?.conditional;
    let before = menus.len();
    menus.retain(|menu| menu.id.to_string() != id);
    if menus.len() < before {
        Ok(ok())
    } else {
        Err(ApiError::of(65301))
    }
}

pub(super) fn try_match(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let user = platform.users.get(&call.text("user_id")?).filter(|user| user.follows);
    let user = user.ok_or_else(|| ApiError::of(65302))?;
    let menu = platform.menu.as_ref().ok_or_else(|| ApiError::of(65303))?;
    Ok(json!({"button": menu.seen_by(user).1}))
}
