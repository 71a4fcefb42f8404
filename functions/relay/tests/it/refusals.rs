//! What is not relayed.

use serde_json::json;
use testing::account::API_KEY;

use crate::{BINARY, MENUS, Relay, SHOP, SHOP_ID, call, errcode, line, token_of};

#[tokio::test]
async fn what_could_reach_another_path_never_leaves() {
    let mut relay = Relay::start().await;
    let token = relay.caller(API_KEY).await;
    let before = relay.stage.wechat.all_calls().await.len();
    for path in [
        "/cgi-bin/clear_quota",
        "/cgi-bin/CLEAR_quota/v2",
        "/cgi-bin/openapi/quota/clear",
        "/cgi-bin/component/api_component_token",
        "/sns/oauth2/access_token",
        "/cgi-bin/menu/../clear_quota",
        "/cgi-bin/menu/%2e%2e/clear_quota",
        "/cgi-bin/menu\\..\\clear_quota",
        "/cgi-bin//menu/get",
        "/cgi-bin/menu/get/",
        "/cgi-bin/menu/get;a",
        "/cgi-bin/Stable_Token",
        "/cgi-bin/你",
        "/api/menu",
        "/",
    ] {
        let request = call("GET", &format!("{path}?access_token={token}"));
        assert_eq!(errcode(&relay.function.send(&request).await), 48001, "{path}");
        assert_eq!(line(&relay.function)["key"], "root", "who tried is logged");
    }
    assert_eq!(relay.stage.wechat.all_calls().await.len(), before);
}

#[tokio::test]
async fn an_unknown_method_is_not_relayed_and_its_query_not_logged() {
    let mut relay = Relay::start().await;
    let token = relay.caller(MENUS).await;
    let before = relay.stage.wechat.all_calls().await.len();
    for method in ["CONNECT", "TRACE", "PROPFIND"] {
        let request = call(method, &format!("/cgi-bin/menu/get?q=private&access_token={token}"));
        assert_eq!(errcode(&relay.function.send(&request).await), 48001, "{method}");
    }
    assert_eq!(relay.stage.wechat.all_calls().await.len(), before);
    assert!(!relay.logs().contains("private"));
}

#[tokio::test]
async fn a_query_that_is_not_one_is_refused() {
    let mut relay = Relay::start().await;
    let token = relay.caller(SHOP).await;
    for more in ["a\tb".to_owned(), "\n".to_owned(), "x".repeat(20_000)] {
        let request = call("GET", &format!("/cgi-bin/menu/get?access_token={token}&q={more}"));
        assert_eq!(errcode(&relay.function.send(&request).await), 40035);
    }
}

#[tokio::test]
async fn a_key_reaches_its_own_paths_only() {
    let mut relay = Relay::start().await;
    let token = relay.caller(MENUS).await;
    let get = |path: &str| call("GET", &format!("{path}?access_token={token}&type=jsapi"));
    assert_eq!(errcode(&relay.function.send(&get("/cgi-bin/menu/get")).await), 46003);
    for path in ["/cgi-bin/user/get", "/cgi-bin/menus", "/cgi-bin/ticket/getticket"] {
        let refused = relay.function.send(&get(path)).await;
        assert_eq!(errcode(&refused), 48001, "{path}");
        assert!(refused.body["errmsg"].as_str().unwrap().contains("paths"));
    }
}

#[tokio::test]
async fn one_token_of_this_relay_is_needed_in_the_query() {
    let mut relay = Relay::start().await;
    let token = relay.caller(SHOP).await;
    let real = relay.stage.table.item("token").await["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let before = relay.stage.wechat.all_calls().await.len();
    let other_end = token.replace('.', ".1");
    for (query, expected) in [
        (String::new(), 41001),
        ("access_token=".to_owned(), 41001),
        (format!("Access_Token={token}"), 41001),
        (format!("access_token={SHOP}"), 40001),
        (format!("access_token={real}"), 40001),
        (format!("access_token={other_end}"), 40001),
        (format!("access_token={token}x"), 40001),
        (format!("access_token={token}&access_token={token}"), 40035),
        (format!("access_token={token}&ACCESS_TOKEN=x"), 40035),
    ] {
        let request = call("GET", &format!("/cgi-bin/menu/get?{query}"));
        assert_eq!(errcode(&relay.function.send(&request).await), expected, "{query}");
    }
    let in_header = call("GET", "/cgi-bin/menu/get").api_key(&token);
    assert_eq!(errcode(&relay.function.send(&in_header).await), 41001);
    let in_body = call("POST", "/cgi-bin/menu/get").json(&json!({ "access_token": token }));
    assert_eq!(errcode(&relay.function.send(&in_body).await), 41001);
    assert_eq!(relay.stage.wechat.all_calls().await.len(), before);
}

#[tokio::test]
async fn a_token_ends_with_its_key() {
    let mut relay = Relay::start().await;
    let token = relay.caller(SHOP).await;
    let menu = call("GET", &format!("/cgi-bin/menu/get?access_token={token}"));
    assert_eq!(errcode(&relay.function.send(&menu).await), 46003);
    let mut keys = relay.stage.table.item("keys").await["keys"].clone();
    keys.as_object_mut().unwrap().remove(SHOP_ID).unwrap();
    relay.stage.table.set("keys", &json!({ "keys": keys })).await;
    let mut fresh = relay.stage.function(BINARY).await;
    assert_eq!(errcode(&fresh.send(&menu).await), 40001);
    let other = token_of(&mut fresh, MENUS).await;
    let menu = call("GET", &format!("/cgi-bin/menu/get?access_token={other}"));
    assert_eq!(errcode(&fresh.send(&menu).await), 46003, "another key's goes on");
}
