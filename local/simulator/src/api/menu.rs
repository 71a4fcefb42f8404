//! The custom menu: creation with all its limits, query, deletion.

use axum::http::Uri;
use serde_json::{Map, Value, json};

use super::{ApiError, Call, conditional::Conditional, is_app_id, ok};
use crate::platform::Platform;

const MAX_BUTTONS: usize = 3;
const MAX_SUB_BUTTONS: usize = 5;
const MAX_KEY_BYTES: usize = 128;
const MAX_URL_BYTES: usize = 1_024;

/// The account's menu.
#[derive(Debug)]
pub(crate) struct Menu {
    pub(crate) id: u64,
    /// As `menu/get` answers them: every button has a `sub_button`.
    pub(super) buttons: Vec<Value>,
    /// Oldest first.
    pub(super) conditional: Vec<Conditional>,
}

/// Where a button stands decides its limits and errcodes.
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

/// Replaces the default menu, and leaves the conditional ones.
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

/// The body of a call that makes a menu, in raw UTF-8.
pub(super) fn body(call: &Call<'_>) -> Result<Map<String, Value>, ApiError> {
    if call.escapes_text() {
        return Err(ApiError::of(40033));
    }
    call.json()
}

/// The buttons of a menu, checked.
pub(super) fn buttons(body: &Map<String, Value>) -> Result<Vec<Value>, ApiError> {
    let buttons = list(body.get("button"))?;
    if !(1..=MAX_BUTTONS).contains(&buttons.len()) {
        return Err(ApiError::of(40016));
    }
    buttons.iter().map(top_button).collect()
}

impl Menu {
    /// As `menu/get` answers it.
    pub(crate) fn shown(&self) -> Value {
        let mut shown = json!({"menu": {"button": self.buttons, "menuid": self.id}});
        if !self.conditional.is_empty() {
            shown["conditionalmenu"] = self.conditional.iter().rev().map(Conditional::shown).collect();
        }
        shown
    }
}

pub(super) fn get(platform: &mut Platform, _: &Call<'_>) -> Result<Value, ApiError> {
    platform
        .menu
        .as_ref()
        .map(Menu::shown)
        .ok_or_else(|| ApiError::of(46003))
}

/// Deletes the conditional menus too.
pub(super) fn delete(platform: &mut Platform, _: &Call<'_>) -> Result<Value, ApiError> {
    platform.menu = None;
    Ok(ok())
}

/// `get_current_selfmenu_info` writes sub-buttons as `sub_button.list`.
pub(super) fn current(platform: &mut Platform, _: &Call<'_>) -> Result<Value, ApiError> {
    let buttons = platform
        .menu
        .as_ref()
        .map(|menu| menu.buttons.as_slice())
        .unwrap_or_default();
    let relisted: Vec<Value> = buttons.iter().cloned().map(relist).collect();
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

/// The hosts that checked buttons lead to.
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
    // What follows the host may hold Chinese, which a strict parser of URIs refuses.
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

/// A member's text; empty when it is missing or of another type.
fn text<'a>(button: &'a Map<String, Value>, name: &str) -> &'a str {
    button.get(name).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const CREATE: &str = "/cgi-bin/menu/create";

    /// A menu with a button of each kind.
    fn sample() -> Value {
        json!({"button": [
            {"type": "click", "name": "今日", "key": "MENU_TODAY"},
            {"name": "更多", "sub_button": [
                {"type": "view", "name": "官网", "url": "https://example.com/"},
                {"type": "miniprogram", "name": "小程序", "url": "https://example.com/fallback", "appid": "wxfedcba9876543210", "pagepath": "pages/index/index"},
                {"type": "scancode_waitmsg", "name": "扫码", "key": "MENU_SCANW"},
                {"type": "location_select", "name": "位置", "key": "MENU_LOC"},
                {"type": "click", "name": "帮助", "key": "MENU_HELP"}
            ]}
        ]})
    }

    fn errcode(body: &Value) -> i64 {
        match testing::post_with_token(&mut testing::platform(), CREATE, &body.to_string()) {
            Ok(_) => 0,
            Err(error) => error.errcode,
        }
    }

    fn top(button: &Value) -> i64 {
        errcode(&json!({"button": [button]}))
    }

    fn sub(button: &Value) -> i64 {
        errcode(&json!({"button": [{"name": "更多", "sub_button": [button]}]}))
    }

    #[test]
    fn a_menu_can_be_created_queried_and_deleted() {
        let platform = &mut testing::platform();
        assert_eq!(
            testing::get_with_token(platform, "/cgi-bin/menu/get")
                .unwrap_err()
                .errcode,
            46003
        );
        testing::post_with_token(platform, CREATE, &sample().to_string()).unwrap();
        let menu = testing::get_with_token(platform, "/cgi-bin/menu/get").unwrap();
        assert_eq!(menu["menu"]["button"][0]["key"], "MENU_TODAY");
        assert_eq!(menu["menu"]["button"][0]["sub_button"], json!([]));
        assert_eq!(menu["menu"]["button"][1]["sub_button"][4]["name"], "帮助");
        let current = testing::get_with_token(platform, "/cgi-bin/get_current_selfmenu_info").unwrap();
        assert_eq!(current["is_menu_open"], 1);
        assert_eq!(
            current["selfmenu_info"]["button"][1]["sub_button"]["list"][0]["url"],
            "https://example.com/"
        );
        testing::get_with_token(platform, "/cgi-bin/menu/delete").unwrap();
        assert_eq!(
            testing::get_with_token(platform, "/cgi-bin/menu/get")
                .unwrap_err()
                .errcode,
            46003
        );
        let current = testing::get_with_token(platform, "/cgi-bin/get_current_selfmenu_info").unwrap();
        assert_eq!(current["is_menu_open"], 0);
    }

    #[test]
    fn counts_are_limited() {
        let click = json!({"type": "click", "name": "a", "key": "k"});
        assert_eq!(errcode(&json!({"button": []})), 40016);
        assert_eq!(errcode(&json!({})), 40016);
        assert_eq!(errcode(&json!({"button": vec![&click; 3]})), 0);
        assert_eq!(errcode(&json!({"button": vec![&click; 4]})), 40016);
        assert_eq!(top(&json!({"name": "a", "sub_button": vec![&click; 5]})), 0);
        assert_eq!(top(&json!({"name": "a", "sub_button": vec![&click; 6]})), 40023);
        assert_eq!(sub(&json!({"name": "a", "sub_button": [click]})), 40022);
    }

    #[test]
    fn lengths_are_limited_in_bytes_by_level() {
        let named = |length: usize| json!({"type": "click", "name": "a".repeat(length), "key": "k"});
        assert_eq!((top(&named(16)), top(&named(17)), top(&named(0))), (0, 40018, 40018));
        assert_eq!(top(&json!({"type": "click", "name": "五个汉字啊", "key": "k"})), 0);
        assert_eq!(
            top(&json!({"type": "click", "name": "六个汉字啊啊", "key": "k"})),
            40018
        );
        assert_eq!((sub(&named(60)), sub(&named(61))), (0, 40025));
        let keyed = |length: usize| json!({"type": "click", "name": "a", "key": "k".repeat(length)});
        assert_eq!((top(&keyed(128)), top(&keyed(129)), top(&keyed(0))), (0, 40019, 40019));
        assert_eq!(sub(&keyed(129)), 40026);
        let linked = |length: usize| {
            let url = format!("https://example.com/{}", "u".repeat(length - 20));
            json!({"type": "view", "name": "a", "url": url})
        };
        assert_eq!(
            (top(&linked(1_024)), top(&linked(1_025)), sub(&linked(1_025))),
            (0, 40020, 40027)
        );
    }

    #[test]
    fn types_need_their_members() {
        assert_eq!(top(&json!({"name": "a"})), 40017);
        assert_eq!(sub(&json!({"name": "a", "type": "Click", "key": "k"})), 40024);
        assert_eq!(top(&json!({"name": "a", "type": "view", "url": "example.com"})), 40055);
        assert_eq!(
            sub(&json!({"name": "a", "type": "view", "url": "ftp://example.com"})),
            40054
        );
        assert_eq!(
            top(&json!({"name": "a", "type": "view", "url": "https://example.com/路?名=值"})),
            0
        );
        assert_eq!(
            top(&json!({"name": "a", "type": "miniprogram", "url": "https://example.com"})),
            40013
        );
        assert_eq!(top(&json!({"name": "a", "type": "media_id"})), 40007);
        assert_eq!(top(&json!({"name": "a", "type": "article_id", "article_id": "x"})), 0);
    }

    #[test]
    fn the_body_must_be_raw_utf8_json() {
        let platform = &mut testing::platform();
        let escaped = sample().to_string().replace("今日", "\\u4eca\\u65e5");
        assert_eq!(
            testing::post_with_token(platform, CREATE, &escaped)
                .unwrap_err()
                .errcode,
            40033
        );
        assert_eq!(
            testing::post_with_token(platform, CREATE, "").unwrap_err().errcode,
            44002
        );
        assert_eq!(
            testing::post_with_token(platform, CREATE, "[]").unwrap_err().errcode,
            47001
        );
        assert_eq!(top(&json!("a")), 47001);
    }
}
