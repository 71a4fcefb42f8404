//! The custom menu (自定义菜单): checks WeChat's limits before WeChat is called, and compares two menus.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Fault, Object, Place, Reader, escape_pointer};

/// Buttons. See [WeChat Docs/创建菜单](https://developers.weixin.qq.com/doc/service/api/custommenu/api_createcustommenu).
/// The limits below are from the same page.
const TOP_BUTTONS: usize = 3;
const SUB_BUTTONS: usize = 5;
/// Bytes of UTF-8, like all lengths of a menu. A Chinese character has three.
const TOP_NAME_BYTES: usize = 16;
const SUB_NAME_BYTES: usize = 60;
const KEY_BYTES: usize = 128;
const URL_BYTES: usize = 1024;

/// The types of buttons, each with the members that it requires besides `name`.
/// See [WeChat Docs/创建菜单](https://developers.weixin.qq.com/doc/service/api/custommenu/api_createcustommenu).
const TYPES: [(&str, &[&str]); 13] = [
    ("click", &["key"]),
    ("view", &["url"]),
    ("miniprogram", &["url", "appid", "pagepath"]),
    ("scancode_push", &["key"]),
    ("scancode_waitmsg", &["key"]),
    ("pic_sysphoto", &["key"]),
    ("pic_photo_or_album", &["key"]),
    ("pic_weixin", &["key"]),
    ("location_select", &["key"]),
    ("media_id", &["media_id"]),
    ("view_limited", &["media_id"]),
    ("article_id", &["article_id"]),
    ("article_view_limited", &["article_id"]),
];
/// Types that only the console can create: `get_current_selfmenu_info` returns them, and no call accepts them.
/// See [WeChat Docs/获取自定义菜单配置](https://developers.weixin.qq.com/doc/service/api/custommenu/api_getcurrentselfmenuinfo).
const CONSOLE_TYPES: [&str; 7] = ["text", "img", "photo", "voice", "video", "news", "finder"];
/// The conditions of a conditional menu. WeChat has removed sex, country, province, city and language.
/// See [WeChat Docs/创建个性化菜单](https://developers.weixin.qq.com/doc/service/api/custommenu/api_addconditionalmenu).
const CONDITIONS: [&str; 2] = ["tag_id", "client_platform_type"];
/// Members that a button with sub-buttons must not have.
const LEAF_MEMBERS: [&str; 7] = ["type", "key", "url", "appid", "pagepath", "media_id", "article_id"];

/// Reads the default menu in `body` into the form that `menu/create` takes: `{"button":[…]}`. `body` may also have the form
/// of WeChat's answers: `{"menu":{"button":[…]}}`, or `{"selfmenu_info":{"button":[…]}}` with sub-buttons in
/// `sub_button.list`.
/// See [WeChat Docs/创建菜单](https://developers.weixin.qq.com/doc/service/api/custommenu/api_createcustommenu).
///
/// # Errors
/// All faults, with their places in `body`.
pub fn default_menu(body: &Value) -> Result<Value, Vec<Fault>> {
    let shape = Shape::of(body);
    let menu = shape.read(body);
    let mut reader = Reader::of_document();
    match shape.wrapper() {
        None => shape.check_buttons(&mut reader, &Place::Root, &menu),
        Some(name) => shape.check_buttons(&mut reader, &Place::Root.member(name), &menu),
    }
    reader.finish(Some(menu))
}

/// Reads the conditional menu (个性化菜单) in `body` into the form that `menu/addconditional` takes. `body` may also be an
/// element of the `conditionalmenu` in WeChat's answer, whose rule names the tag `group_id` and has empty members.
/// See [WeChat Docs/创建个性化菜单](https://developers.weixin.qq.com/doc/service/api/custommenu/api_addconditionalmenu).
///
/// # Errors
/// All faults, with their places in `body`.
pub fn conditional_menu(body: &Value) -> Result<Value, Vec<Fault>> {
    let mut menu = Shape::Created.read(body);
    if let Some(rule) = body.get("matchrule") {
        menu["matchrule"] = match_rule(rule);
    }
    let mut reader = Reader::of_document();
    Shape::Created.check_buttons(&mut reader, &Place::Root, &menu);
    check_match_rule(&mut reader, menu.get("matchrule"));
    reader.finish(Some(menu))
}

/// Converts `rule` to the form that `menu/addconditional` takes.
fn match_rule(rule: &Value) -> Value {
    let Some(members) = rule.as_object() else {
        return rule.clone();
    };
    let is_given = |(_, value): &(&String, &Value)| !is_absent(value);
    let members = members.iter().filter(is_given).map(|(name, value)| {
        let name = if name == "group_id" { "tag_id" } else { name };
        let value = if value.is_number() {
            value.to_string().into()
        } else {
            value.clone()
        };
        (name.to_owned(), value)
    });
    Value::Object(members.collect())
}

fn is_absent(value: &Value) -> bool {
    value.is_null() || value == ""
}

/// The forms in which WeChat writes a menu.
#[derive(Clone, Copy)]
enum Shape {
    /// As `menu/create` takes it.
    Created,
    /// As `menu/get` returns it.
    Queried,
    /// As `get_current_selfmenu_info` returns it.
    Current,
}

impl Shape {
    fn of(body: &Value) -> Self {
        let has = |name: &str| body.get(name).is_some_and(Value::is_object);
        if body.get("button").is_some() {
            Self::Created
        } else if has("menu") {
            Self::Queried
        } else if has("selfmenu_info") {
            Self::Current
        } else {
            Self::Created
        }
    }

    /// The member of the body that holds the menu. `None` when the body is the menu.
    const fn wrapper(self) -> Option<&'static str> {
        match self {
            Self::Created => None,
            Self::Queried => Some("menu"),
            Self::Current => Some("selfmenu_info"),
        }
    }

    /// Converts the menu to the form that `menu/create` takes. Leaves faulty values for the check.
    fn read(self, body: &Value) -> Value {
        let mut menu = Map::new();
        let written = self.wrapper().map_or(Some(body), |name| body.get(name));
        let written = written.and_then(|menu| menu.get("button"));
        if let Some(written) = written {
            let buttons = match written.as_array() {
                Some(buttons) => buttons.iter().map(|button| self.button(button)).collect(),
                None => written.clone(),
            };
            menu.insert("button".to_owned(), buttons);
        }
        Value::Object(menu)
    }

    fn button(self, written: &Value) -> Value {
        let mut button = written.clone();
        let Some(members) = button.as_object_mut() else {
            return button;
        };
        if matches!(self, Self::Current)
            && let Some(list) = members.get("sub_button").and_then(|sub| sub.get("list")).cloned()
        {
            members.insert("sub_button".to_owned(), list);
        }
        if sub_buttons(members).is_some() {
            members.retain(|name, value| !(LEAF_MEMBERS.contains(&name.as_str()) && is_absent(value)));
        }
        button
    }

    /// Checks the buttons of `menu`, which was read from `place` of the body.
    fn check_buttons(self, reader: &mut Reader, place: &Place<'_>, menu: &Value) {
        let place = place.member("button");
        let Some(buttons) = menu.get("button") else {
            return reader.missing(&place);
        };
        let buttons = reader.list_of(&place, buttons, 1..=TOP_BUTTONS).unwrap_or_default();
        for (index, button) in buttons.iter().take(TOP_BUTTONS).enumerate() {
            self.check_top_button(reader, place.element(index), button);
        }
    }

    fn check_top_button(self, reader: &mut Reader, place: Place<'_>, button: &Value) {
        let Some(button) = named_button(reader, place, button, TOP_NAME_BYTES) else {
            return;
        };
        let Some(sub_buttons) = sub_buttons(button.members) else {
            return check_leaf(reader, &button);
        };
        for name in LEAF_MEMBERS.iter().filter(|name| button.members.contains_key(**name)) {
            reader.fault(
                &place.member(name),
                "must be left out: a button with sub_button has a name and nothing else / 应省略：含 sub_button 的按钮只能有 name",
            );
        }
        let place = place.member("sub_button");
        let sub_buttons = reader.list_of(&place, sub_buttons, 1..=SUB_BUTTONS).unwrap_or_default();
        let list = match self {
            Self::Created | Self::Queried => place,
            Self::Current => place.member("list"),
        };
        for (index, button) in sub_buttons.iter().take(SUB_BUTTONS).enumerate() {
            let place = list.element(index);
            let Some(button) = named_button(reader, place, button, SUB_NAME_BYTES) else {
                continue;
            };
            if self::sub_buttons(button.members).is_some() {
                reader.fault(
                    &place.member("sub_button"),
                    "must be left out: a menu has two levels only / 应省略：菜单最多两级",
                );
            }
            check_leaf(reader, &button);
        }
    }
}

fn check_match_rule(reader: &mut Reader, rule: Option<&Value>) {
    let place = Place::Root.member("matchrule");
    let Some(rule) = reader.object(place, rule.unwrap_or(&Value::Null)) else {
        return;
    };
    let (names, named) = (CONDITIONS.join(", "), CONDITIONS.join("、"));
    if rule.members.is_empty() {
        let detail = format!("must hold at least one condition of {names} / 至少需要 {named} 中的一个条件");
        reader.fault(&place, detail);
    }
    for name in rule.members.keys().filter(|name| !CONDITIONS.contains(&name.as_str())) {
        let detail = format!(
            "is not one of WeChat's conditions {names}: it has removed sex, country, province, city, language \
             / 不是微信支持的条件 {named}：sex、country、province、city、language 已取消"
        );
        reader.fault(&place.member(name), detail);
    }
}

/// Returns the sub-buttons of a parent. A leaf may carry an empty list.
fn sub_buttons(members: &Map<String, Value>) -> Option<&Value> {
    members
        .get("sub_button")
        .filter(|list| !list.is_null() && list.as_array().is_none_or(|list| !list.is_empty()))
}

/// Reads a button and checks its name.
fn named_button<'p, 'v>(
    reader: &mut Reader,
    place: Place<'p>,
    button: &'v Value,
    name_bytes: usize,
) -> Option<Object<'p, 'v>> {
    let button = reader.object(place, button)?;
    if let Some(name) = reader.required_text(&button, "name", str::is_empty) {
        let place = place.member("name");
        reader.at_most(&place, name, name_bytes);
        reader.no_control_characters(&place, name);
    }
    Some(button)
}

fn check_leaf(reader: &mut Reader, button: &Object<'_, '_>) {
    let names = TYPES.map(|(name, _)| name);
    let kind = button.members.get("type").and_then(Value::as_str);
    if let Some(kind) = kind.filter(|kind| CONSOLE_TYPES.contains(kind)) {
        let (names, named) = (names.join(", "), names.join("、"));
        let detail = format!(
            "is {kind}, a button that only the console can create: use one of {names} \
             / {kind} 按钮只能在公众号后台创建，接口无法创建，请改用 {named}"
        );
        return reader.fault(&button.place.member("type"), detail);
    }
    let Some(kind) = reader.one_of(button, "type", &names) else {
        return;
    };
    let required = TYPES
        .iter()
        .find(|(name, _)| *name == kind)
        .map_or(&[][..], |(_, required)| required);
    for name in required {
        let Some(text) = reader.required_text(button, name, str::is_empty) else {
            continue;
        };
        let place = button.place.member(name);
        match *name {
            "key" => reader.at_most(&place, text, KEY_BYTES),
            "url" => reader.at_most(&place, text, URL_BYTES) && reader.web_address(&place, text),
            // WeChat documents no limit for the other members.
            _ => true,
        };
        reader.no_control_characters(&place, text);
    }
}

/// One place in which two menus differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// JSON pointer to the place.
    pub pointer: String,
    /// The current value. Absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// The proposed value. Absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
}

/// Returns the changes from `current` to `proposed`, both with a `button` member. Ignores the empty `sub_button` lists that
/// WeChat adds to leaves.
#[must_use]
pub fn difference(current: &Value, proposed: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    compare("/button", current.get("button"), proposed.get("button"), &mut changes);
    changes
}

fn compare(pointer: &str, from: Option<&Value>, to: Option<&Value>, changes: &mut Vec<Change>) {
    let present =
        |value: Option<&'_ Value>| value.is_some_and(|value| !value.is_null() && *value != Value::Array(vec![]));
    match (from, to) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
            for name in names {
                compare(
                    &format!("{pointer}/{}", escape_pointer(name)),
                    old.get(name),
                    new.get(name),
                    changes,
                );
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            for index in 0..old.len().max(new.len()) {
                compare(&format!("{pointer}/{index}"), old.get(index), new.get(index), changes);
            }
        }
        (from, to) if from != to && (present(from) || present(to)) => changes.push(Change {
            pointer: pointer.to_owned(),
            from: from.cloned(),
            to: to.cloned(),
        }),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};
    use serde_json::json;

    use super::{super::assert_each_half_says_all, *};

    fn pointers(menu: &Value) -> Vec<String> {
        let faults = default_menu(menu).err().unwrap_or_default();
        faults.into_iter().map(|fault| fault.pointer).collect()
    }

    fn click(name: &str) -> Value {
        json!({"type": "click", "name": name, "key": "K"})
    }

    #[test]
    fn the_protocols_sample_is_accepted() {
        let menu = json!({"button": [
            {"type": "click", "name": "今日", "key": "MENU_TODAY"},
            {"name": "更多", "sub_button": [
                {"type": "view", "name": "官网", "url": "https://example.com/"},
                {"type": "miniprogram", "name": "小程序", "url": "https://example.com/fallback",
                 "appid": "wxfedcba9876543210", "pagepath": "pages/index/index"},
                {"type": "scancode_waitmsg", "name": "扫码", "key": "MENU_SCANW"},
                {"type": "location_select", "name": "位置", "key": "MENU_LOC", "sub_button": []},
                {"type": "click", "name": "帮助", "key": "MENU_HELP"}]}]});
        assert_eq!(default_menu(&menu), Ok(menu));
    }

    #[test]
    fn counts_and_levels() {
        assert_eq!(pointers(&json!({})), ["/button"]);
        assert_eq!(pointers(&json!({"button": []})), ["/button"]);
        assert_eq!(
            pointers(&json!({"button": [click("1"), click("2"), click("3"), click("4")]})),
            ["/button"]
        );
        let six: Vec<Value> = (0..6).map(|_| click("s")).collect();
        assert_eq!(
            pointers(&json!({"button": [{"name": "p", "sub_button": six}]})),
            ["/button/0/sub_button"]
        );
        let mut third_level = click("s");
        third_level["sub_button"] = json!([click("t")]);
        let menu = json!({"button": [{"name": "p", "sub_button": [third_level]}]});
        assert_eq!(pointers(&menu), ["/button/0/sub_button/0/sub_button"]);
        let typed_parent = json!({"button": [{"name": "p", "type": "click", "key": "K", "sub_button": [click("s")]}]});
        assert_eq!(pointers(&typed_parent), ["/button/0/type", "/button/0/key"]);
    }

    #[test]
    fn lengths_are_bytes_of_utf8() {
        let named = |name: String| json!({"button": [click(&name)]});
        assert_eq!(pointers(&named("好".repeat(5))), [""; 0], "15 bytes");
        assert_eq!(pointers(&named("好".repeat(6))), ["/button/0/name"], "18 bytes");
        let sub = |name: String| json!({"button": [{"name": "p", "sub_button": [click(&name)]}]});
        assert_eq!(pointers(&sub("好".repeat(20))), [""; 0], "60 bytes");
        assert_eq!(pointers(&sub("好".repeat(21))), ["/button/0/sub_button/0/name"]);
        let long_key = json!({"button": [{"type": "click", "name": "n", "key": "k".repeat(129)}]});
        assert_eq!(pointers(&long_key), ["/button/0/key"]);
        let program = json!({"type": "miniprogram", "name": "n", "url": "https://e", "appid": "wx1",
                             "pagepath": format!("pages/o?id={}", "1".repeat(300))});
        assert_eq!(
            pointers(&json!({"button": [program]})),
            [""; 0],
            "only keys and urls have a limit"
        );
        let long_url =
            json!({"button": [{"type": "view", "name": "n", "url": format!("https://{}", "u".repeat(1017))}]});
        assert_eq!(pointers(&long_url), ["/button/0/url"]);
    }

    #[test]
    fn every_type_needs_its_members() {
        for (kind, required) in TYPES {
            let menu = json!({"button": [{"type": kind, "name": "n"}]});
            let expected: Vec<String> = required.iter().map(|name| format!("/button/0/{name}")).collect();
            assert_eq!(pointers(&menu), expected, "{kind}");
        }
        assert_eq!(
            pointers(&json!({"button": [{"type": "clik", "name": "n", "key": "K"}]})),
            ["/button/0/type"]
        );
        let scheme = json!({"button": [{"type": "view", "name": "n", "url": "javascript:alert(1)"}]});
        assert_eq!(pointers(&scheme), ["/button/0/url"]);
    }

    #[test]
    fn control_characters_are_refused_where_they_are() {
        let named = |name: &str, key: &str| json!({"button": [{"type": "click", "name": name, "key": key}]});
        assert_eq!(pointers(&named("a\u{0}b", "K")), ["/button/0/name"]);
        assert_eq!(pointers(&named("a", "K\n")), ["/button/0/key"]);
        let view = json!({"button": [{"name": "p", "sub_button": [{"type": "view", "name": "\u{7f}", "url": "https://a/\t"}]}]});
        assert_eq!(
            pointers(&view),
            ["/button/0/sub_button/0/name", "/button/0/sub_button/0/url"]
        );
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let menu = json!({"button": ["x", {"type": "click", "name": ""}, {"type": "view", "name": 7, "url": "u"}]});
        assert_eq!(
            pointers(&menu),
            [
                "/button/0",
                "/button/1/name",
                "/button/1/key",
                "/button/2/name",
                "/button/2/url"
            ]
        );
    }

    #[test]
    fn each_half_of_a_menus_fault_says_all() {
        let buttons = json!([
            {"name": "p", "type": "click", "sub_button": [{"name": "s", "type": "news", "sub_button": [click("t")]}]},
            {"name": "好".repeat(6), "type": "clik"},
            {"name": "v", "type": "view", "url": "ftp://x"},
            7,
        ]);
        let menu = json!({"button": buttons, "matchrule": {"sex": "1"}});
        let faults = conditional_menu(&menu).unwrap_err();
        let empty = conditional_menu(&json!({"button": [click("n")], "matchrule": {}})).unwrap_err();
        assert_eq!(faults.len() + empty.len(), 9, "{faults:?}");
        for fault in faults.iter().chain(&empty) {
            assert_each_half_says_all(
                fault,
                &["news", "click", "view", "miniprogram", "sex", "city", "name", "https"],
            );
        }
    }

    #[test]
    fn a_conditional_menu_needs_supported_conditions() {
        let menu = |rule: Value| json!({"button": [click("n")], "matchrule": rule});
        let pointers = |rule| {
            let faults = conditional_menu(&menu(rule)).err().unwrap_or_default();
            faults.into_iter().map(|fault| fault.pointer).collect::<Vec<_>>()
        };
        assert_eq!(pointers(json!({"tag_id": "100", "client_platform_type": "2"})), [""; 0]);
        assert_eq!(pointers(json!({})), ["/matchrule"]);
        assert_eq!(pointers(json!(null)), ["/matchrule"]);
        assert_eq!(pointers(json!({"tag_id": "1", "sex": "1"})), ["/matchrule/sex"]);
    }

    #[test]
    fn a_parent_may_carry_the_empty_members_of_a_leaf() {
        let parent = json!({"button": [{
            "name": "p", "type": null, "key": "", "url": "", "media_id": null, "sub_button": [click("s")],
        }]});
        let read = json!({"button": [{"name": "p", "sub_button": [click("s")]}]});
        assert_eq!(default_menu(&parent), Ok(read));
        assert_eq!(
            pointers(&json!({"button": [{"name": "n", "type": "click", "key": "", "sub_button": []}]})),
            ["/button/0/key"],
            "a leaf needs its members"
        );
    }

    #[test]
    fn a_menu_that_wechat_answered_can_be_sent_back() {
        let buttons = json!([{"name": "p", "sub_button": [click("s")]}, click("n")]);
        let created = json!({ "button": buttons });
        let queried = json!({"menu": {"button": buttons, "menuid": 208_396_938}});
        let current = json!({"is_menu_open": 1, "selfmenu_info": {"button": [
            {"name": "p", "sub_button": {"list": [click("s")]}}, click("n"),
        ]}});
        for body in [&created, &queried, &current] {
            assert_eq!(default_menu(body).as_ref(), Ok(&created), "{body}");
        }
        let of_the_console = json!({"selfmenu_info": {"button": [
            {"type": "news", "name": "n", "value": "m", "news_info": {"list": []}},
            {"name": "p", "sub_button": {"list": [{"type": "video", "name": "v", "value": "m"}]}},
        ]}});
        let faults = default_menu(&of_the_console).unwrap_err();
        let pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(
            pointers,
            [
                "/selfmenu_info/button/0/type",
                "/selfmenu_info/button/1/sub_button/list/0/type"
            ]
        );
        assert!(
            faults[1].detail.contains("video") && faults[1].detail.contains("后台"),
            "{faults:?}"
        );
        let nameless = json!({"menu": {"button": [{"type": "click", "key": "K"}]}});
        assert_eq!(
            super::default_menu(&nameless).unwrap_err()[0].pointer,
            "/menu/button/0/name"
        );
    }

    /// WeChat returns a rule's tag as the number `group_id` and takes it as the text `tag_id`.
    #[test]
    fn a_conditional_menu_that_wechat_answered_can_be_sent_back() {
        let answered = json!({
            "button": [click("n")], "menuid": 208_396_993,
            "matchrule": {"group_id": 100, "sex": "", "country": null, "client_platform_type": 2},
        });
        let taken = json!({"button": [click("n")], "matchrule": {"tag_id": "100", "client_platform_type": "2"}});
        assert_eq!(conditional_menu(&answered), Ok(taken));
    }

    #[test]
    fn the_difference_names_what_changes_and_nothing_else() {
        let current = json!({"button": [{"type": "click", "name": "a", "key": "A", "sub_button": []}, click("b")]});
        assert_eq!(
            difference(
                &current,
                &json!({"button": [{"type": "click", "name": "a", "key": "A"}, click("b")]})
            ),
            []
        );
        let proposed = json!({"button": [{"type": "click", "name": "a2", "key": "A"}]});
        let changes = difference(&current, &proposed);
        assert_eq!(changes.len(), 2, "{changes:?}");
        assert_eq!(
            changes[0],
            Change {
                pointer: "/button/0/name".to_owned(),
                from: Some(json!("a")),
                to: Some(json!("a2")),
            }
        );
        assert_eq!((changes[1].pointer.as_str(), &changes[1].to), ("/button/1", &None));
        assert_eq!(difference(&Value::Null, &proposed).len(), 1, "from no menu at all");
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            select(vec!["a", "b", ""]).prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 24, 4, |child| {
            let name = select(vec!["name", "sub_button", "a/b", "~0", "0"]);
            prop_oneof![
                vec(child.clone(), 0..4).prop_map(Value::from),
                vec((name, child), 0..4).prop_map(|members| members.into_iter().collect())
            ]
        })
    }

    /// Applies `changes` backwards, so that a removal from a list does not move the places of the changes that follow.
    fn apply(menu: &mut Value, changes: Vec<Change>) {
        for Change { pointer, to, .. } in changes.into_iter().rev() {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            let name = name.replace("~1", "/").replace("~0", "~");
            match (menu.pointer_mut(parent).unwrap(), to) {
                (Value::Array(list), None) => {
                    list.remove(name.parse().unwrap());
                }
                (Value::Array(list), Some(to)) => {
                    let at: usize = name.parse().unwrap();
                    list.resize(list.len().max(at + 1), Value::Null);
                    list[at] = to;
                }
                (Value::Object(members), None) => {
                    members.remove(&name);
                }
                (Value::Object(members), Some(to)) => {
                    members.insert(name, to);
                }
                (parent, _) => panic!("{pointer} is in {parent}"),
            }
        }
    }

    proptest! {
        #[test]
        fn the_changes_make_the_one_menu_the_other(current in vec(any_value(), 0..4), proposed in vec(any_value(), 0..4)) {
            let mut current = json!({ "button": current });
            let proposed = json!({ "button": proposed });
            prop_assert_eq!(difference(&proposed, &proposed), vec![]);
            let changes = difference(&current, &proposed);
            for change in &changes {
                prop_assert_eq!(current.pointer(&change.pointer), change.from.as_ref());
                prop_assert_eq!(proposed.pointer(&change.pointer), change.to.as_ref());
            }
            apply(&mut current, changes);
            prop_assert_eq!(difference(&current, &proposed), vec![]);
        }
    }
}
