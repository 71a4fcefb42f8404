//! The custom menu: creating it with all limits checked, querying and deleting it.
//!
//! See [WeChat Docs/创建自定义菜单](https://developers.weixin.qq.com/doc/subscription/api/custommenu/api_createcustommenu.html).

use axum::http::Uri;
use serde_json::{Map, Value, json};

use super::ok;
use crate::platform::{Platform, account::is_app_id, call::Call, errcode::ApiError, menu::Menu};

const MAX_BUTTONS: usize = 3;
const MAX_SUB_BUTTONS: usize = 5;
const MAX_KEY_BYTES: usize = 128;
const MAX_URL_BYTES: usize = 1_024;

/// The limits and errcodes of a button, which depend on its level.
struct Level {
    max_name_bytes: usize,
    bad_type: i64,
    bad_name: i64,
    bad_key: i64,
    bad_url: i64,
    bad_url_domain: i64,
}

const TOP: Level = Level {
    max_name_bytes: 16,
    bad_type: 40017,
    bad_name: 40018,
    bad_key: 40019,
    bad_url: 40020,
    bad_url_domain: 40055,
};
const SUB: Level = Level {
    max_name_bytes: 60,
    bad_type: 40024,
    bad_name: 40025,
    bad_key: 40026,
    bad_url: 40027,
    bad_url_domain: 40054,
};

/// Replaces the default menu and keeps the conditional ones.
pub(super) fn create(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let buttons = buttons(&body(call)?)?;
    let id = platform.next_menu_id();
    let conditional = platform.menu.take().map(|menu| menu.conditional).unwrap_or_default();
    platform.menu = Some(Menu {
        id,
        buttons,
        conditional,
    });
    Ok(ok())
}

/// The body of a call that creates a menu. It must be raw UTF-8.
pub(super) fn body(call: &Call<'_>) -> Result<Map<String, Value>, ApiError> {
    if call.escapes_text() {
        return Err(ApiError::of(40033));
    }
    call.json()
}

/// Checks the buttons of a menu, and returns them as `menu/get` answers them.
pub(super) fn buttons(body: &Map<String, Value>) -> Result<Vec<Value>, ApiError> {
    let buttons = list(body.get("button"))?;
    if !(1..=MAX_BUTTONS).contains(&buttons.len()) {
        return Err(ApiError::of(40016));
    }
    buttons.iter().map(top_button).collect()
}

pub(super) fn get(platform: &mut Platform, _: &Call<'_>) -> Result<Value, ApiError> {
    let menu = platform.menu.as_ref().ok_or_else(|| ApiError::of(46003))?;
    Ok(menu.shown())
}

/// Deletes the conditional menus too.
pub(super) fn delete(platform: &mut Platform, _: &Call<'_>) -> Result<Value, ApiError> {
    platform.menu = None;
    Ok(ok())
}

/// `get_current_selfmenu_info` writes sub-buttons as `sub_button.list`.
pub(super) fn current(platform: &mut Platform, _: &Call<'_>) -> Result<Value, ApiError> {
    let buttons = platform.menu.iter().flat_map(|menu| &menu.buttons);
    let relisted: Vec<Value> = buttons.cloned().map(relist).collect();
    Ok(json!({"is_menu_open": u8::from(platform.menu.is_some()), "selfmenu_info": {"button": relisted}}))
}

fn relist(mut button: Value) -> Value {
    let Some(members) = button.as_object_mut() else {
        return button;
    };
    if let Some(Value::Array(subs)) = members.remove("sub_button")
        && !subs.is_empty()
    {
        let list: Vec<Value> = subs.into_iter().map(relist).collect();
        members.insert("sub_button".to_owned(), json!({"list": list}));
    }
    button
}

fn list(value: Option<&Value>) -> Result<&[Value], ApiError> {
    match value {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(values)) => Ok(values),
        Some(_) => Err(ApiError::of(47001)),
    }
}

fn top_button(button: &Value) -> Result<Value, ApiError> {
    let button = members(button)?;
    let subs = list(button.get("sub_button"))?;
    if subs.is_empty() {
        return leaf(button, &TOP);
    }
    let name = check_name(button, &TOP)?;
    if subs.len() > MAX_SUB_BUTTONS {
        return Err(ApiError::of(40023));
    }
    let subs = subs.iter().map(sub_button).collect::<Result<Vec<_>, _>>()?;
    Ok(json!({"name": name, "sub_button": subs}))
}

fn sub_button(button: &Value) -> Result<Value, ApiError> {
    let button = members(button)?;
    if !list(button.get("sub_button"))?.is_empty() {
        return Err(ApiError::of(40022));
    }
    leaf(button, &SUB)
}

fn members(button: &Value) -> Result<&Map<String, Value>, ApiError> {
    button.as_object().ok_or_else(|| ApiError::of(47001))
}

fn leaf(button: &Map<String, Value>, level: &Level) -> Result<Value, ApiError> {
    check_name(button, level)?;
    match text(button, "type") {
        "click" | "scancode_push" | "scancode_waitmsg" | "pic_sysphoto" | "pic_photo_or_album" | "pic_weixin"
        | "location_select" => check_length(text(button, "key"), MAX_KEY_BYTES, level.bad_key)?,
        "view" => check_url(text(button, "url"), level)?,
        "miniprogram" => {
            check_url(text(button, "url"), level)?;
            if !is_app_id(text(button, "appid")) {
                return Err(ApiError::of(40013));
            }
            if text(button, "pagepath").is_empty() {
                return Err(ApiError::of(40165));
            }
        }
        "media_id" | "view_limited" if text(button, "media_id").is_empty() => return Err(ApiError::of(40007)),
        "article_id" | "article_view_limited" if text(button, "article_id").is_empty() => {
            return Err(ApiError::of(53600));
        }
        "media_id" | "view_limited" | "article_id" | "article_view_limited" => {}
        _ => return Err(ApiError::of(level.bad_type)),
    }
    let mut listed = button.clone();
    listed.insert("sub_button".to_owned(), json!([]));
    Ok(Value::Object(listed))
}

fn check_name<'a>(button: &'a Map<String, Value>, level: &Level) -> Result<&'a str, ApiError> {
    let name = text(button, "name");
    check_length(name, level.max_name_bytes, level.bad_name)?;
    Ok(name)
}

/// The hosts that checked buttons link to.
pub(super) fn domains(buttons: &[Value]) -> Vec<&str> {
    let mut found = Vec::new();
    for button in buttons {
        let url = button["url"].as_str().unwrap_or_default();
        found.extend(scheme_and_host(url).map(|(_, host)| host));
        let subs = button["sub_button"].as_array().map(Vec::as_slice).unwrap_or_default();
        found.extend(domains(subs));
    }
    found
}

fn check_url(url: &str, level: &Level) -> Result<(), ApiError> {
    check_length(url, MAX_URL_BYTES, level.bad_url)?;
    // Path and query may hold Chinese, which a strict parser refuses, so only scheme and host are parsed.
    let Some((scheme, host)) = scheme_and_host(url) else {
        return Err(ApiError::of(level.bad_url_domain));
    };
    let is_web = matches!(scheme, "http" | "https") && format!("{scheme}://{host}").parse::<Uri>().is_ok();
    if is_web && !host.is_empty() {
        Ok(())
    } else {
        Err(ApiError::of(level.bad_url_domain))
    }
}

fn scheme_and_host(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    Some((scheme, rest.split(['/', '?', '#']).next().unwrap_or_default()))
}

fn check_length(value: &str, max_bytes: usize, errcode: i64) -> Result<(), ApiError> {
    if (1..=max_bytes).contains(&value.len()) {
        Ok(())
    } else {
        Err(ApiError::of(errcode))
    }
}

/// A member's text; empty when the member is missing or not a string.
fn text<'a>(button: &'a Map<String, Value>, name: &str) -> &'a str {
    button.get(name).and_then(Value::as_str).unwrap_or_default()
}
