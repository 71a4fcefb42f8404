//! Creating, querying and deleting menus.

use serde_json::{Value, json};
use simulator::Mode;

use crate::stage::{Stage, errcode};

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

/// Creates menus, each of one button.
struct Menus(Stage);

impl Menus {
    async fn new() -> Self {
        Self(Stage::new(Mode::Safe).await)
    }

    async fn create(&self, body: Value) -> i64 {
        self.0.errcode(CREATE, body).await
    }

    async fn top(&self, button: Value) -> i64 {
        self.create(json!({"button": [button]})).await
    }

    async fn sub(&self, button: Value) -> i64 {
        self.top(json!({"name": "更多", "sub_button": [button]})).await
    }
}

#[tokio::test]
async fn a_menu_can_be_created_queried_and_deleted() {
    let stage = Stage::new(Mode::Safe).await;
    assert_eq!(errcode(&stage.get_api("/cgi-bin/menu/get").await), 46003);
    assert_eq!(stage.errcode(CREATE, sample()).await, 0);
    let menu = stage.get_api("/cgi-bin/menu/get").await;
    assert_eq!(menu["menu"]["button"][0]["key"], "MENU_TODAY");
    assert_eq!(menu["menu"]["button"][0]["sub_button"], json!([]));
    assert_eq!(menu["menu"]["button"][1]["sub_button"][4]["name"], "帮助");
    let current = stage.get_api("/cgi-bin/get_current_selfmenu_info").await;
    assert_eq!(current["is_menu_open"], 1);
    assert_eq!(
        current["selfmenu_info"]["button"][1]["sub_button"]["list"][0]["url"],
        "https://example.com/"
    );
    stage.get_api("/cgi-bin/menu/delete").await;
    assert_eq!(errcode(&stage.get_api("/cgi-bin/menu/get").await), 46003);
    let current = stage.get_api("/cgi-bin/get_current_selfmenu_info").await;
    assert_eq!(current["is_menu_open"], 0);
}

#[tokio::test]
async fn counts_are_limited() {
    let menus = Menus::new().await;
    let click = json!({"type": "click", "name": "a", "key": "k"});
    assert_eq!(menus.create(json!({"button": []})).await, 40016);
    assert_eq!(menus.create(json!({})).await, 40016);
    assert_eq!(menus.create(json!({"button": vec![&click; 3]})).await, 0);
    assert_eq!(menus.create(json!({"button": vec![&click; 4]})).await, 40016);
    assert_eq!(menus.top(json!({"name": "a", "sub_button": vec![&click; 5]})).await, 0);
    assert_eq!(
        menus.top(json!({"name": "a", "sub_button": vec![&click; 6]})).await,
        40023
    );
    assert_eq!(menus.sub(json!({"name": "a", "sub_button": [click]})).await, 40022);
}

#[tokio::test]
async fn lengths_are_limited_in_bytes_by_level() {
    let menus = Menus::new().await;
    let named = |name: &str| json!({"type": "click", "name": name, "key": "k"});
    let keyed = |length: usize| json!({"type": "click", "name": "a", "key": "k".repeat(length)});
    let linked = |length: usize| {
        let url = format!("https://example.com/{}", "u".repeat(length - 20));
        json!({"type": "view", "name": "a", "url": url})
    };
    for (button, expected) in [
        (named(&"a".repeat(16)), 0),
        (named(&"a".repeat(17)), 40018),
        (named(""), 40018),
        (named("五个汉字啊"), 0),
        (named("六个汉字啊啊"), 40018),
        (keyed(128), 0),
        (keyed(129), 40019),
        (keyed(0), 40019),
        (linked(1_024), 0),
        (linked(1_025), 40020),
    ] {
        assert_eq!(menus.top(button.clone()).await, expected, "{button}");
    }
    for (button, expected) in [
        (named(&"a".repeat(60)), 0),
        (named(&"a".repeat(61)), 40025),
        (keyed(129), 40026),
        (linked(1_025), 40027),
    ] {
        assert_eq!(menus.sub(button.clone()).await, expected, "{button}");
    }
}

#[tokio::test]
async fn types_need_their_members() {
    let menus = Menus::new().await;
    for (button, expected) in [
        (json!({"name": "a"}), 40017),
        (json!({"name": "a", "type": "view", "url": "example.com"}), 40055),
        (
            json!({"name": "a", "type": "view", "url": "https://example.com/路?名=值"}),
            0,
        ),
        (
            json!({"name": "a", "type": "miniprogram", "url": "https://example.com"}),
            40013,
        ),
        (json!({"name": "a", "type": "media_id"}), 40007),
        (json!({"name": "a", "type": "article_id", "article_id": "x"}), 0),
    ] {
        assert_eq!(menus.top(button.clone()).await, expected, "{button}");
    }
    for (button, expected) in [
        (json!({"name": "a", "type": "Click", "key": "k"}), 40024),
        (json!({"name": "a", "type": "view", "url": "ftp://example.com"}), 40054),
    ] {
        assert_eq!(menus.sub(button.clone()).await, expected, "{button}");
    }
}

#[tokio::test]
async fn the_body_must_be_raw_utf8_json() {
    let menus = Menus::new().await;
    let escaped = sample().to_string().replace("今日", "\\u4eca\\u65e5");
    for (body, expected) in [(&*escaped, 40033), ("", 44002), ("[]", 47001)] {
        assert_eq!(menus.0.errcode(CREATE, body).await, expected, "{body}");
    }
    assert_eq!(menus.top(json!("a")).await, 47001);
}
