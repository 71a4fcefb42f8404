//! The endpoints that issue opaque tokens.

use serde_json::{Value, json};
use testing::{Function, SecretsManager, Stage, account::APP_ID};

use crate::{BINARY, MENUS, Relay, SENDER, SHOP, call, errcode, get_token, save_keys, token_of};

/// A wrong key: nobody has it.
const WRONG: &str = "wk_000000000000000000000000000wrong";

async fn stable(function: &mut Function, body: &Value) -> testing::Response {
    function.send(&call("POST", "/cgi-bin/stable_token").json(body)).await
}

fn asked(key: &str) -> Value {
    json!({"grant_type": "client_credential", "appid": APP_ID, "secret": key})
}

#[tokio::test]
async fn both_endpoints_issue_a_token_without_a_call_to_wechat() {
    let mut relay = Relay::start().await;
    let before = relay.stage.wechat.all_calls().await.len();
    let ordinary = relay.function.send(&get_token(SHOP)).await;
    let stable = stable(&mut relay.function, &asked(SHOP)).await;
    for response in [ordinary, stable] {
        let mut answer = response.body.clone();
        let token = answer["access_token"].take();
        assert_eq!(answer, json!({"access_token": null, "expires_in": 7200}));
        let token = token.as_str().unwrap();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        assert!(token.len() <= 512 && token.bytes().all(is_plain), "{token}");
        let path = format!("/cgi-bin/menu/get?access_token={token}");
        assert_eq!(errcode(&relay.function.send(&call("GET", &path)).await), 46003);
    }
    let calls = relay.stage.wechat.all_calls().await;
    assert!(
        calls[before..].iter().all(|call| call["path"] == "/cgi-bin/menu/get"),
        "{calls:?}"
    );
    assert_eq!(calls.len() - before, 2);
}

#[tokio::test]
async fn a_forced_refresh_ends_no_other_token() {
    let mut relay = Relay::start().await;
    let first = relay.caller(SHOP).await;
    let mut forced = asked(SHOP);
    forced["force_refresh"] = true.into();
    assert_eq!(stable(&mut relay.function, &forced).await.status, 200);
    let path = format!("/cgi-bin/menu/get?access_token={first}");
    assert_eq!(errcode(&relay.function.send(&call("GET", &path)).await), 46003);
}

#[tokio::test]
async fn who_gets_no_token_is_told_why_as_wechat_does() {
    let mut relay = Relay::start().await;
    let query = |appid: &str, secret: &str| format!("/cgi-bin/token?appid={appid}&secret={secret}");
    for (path, expected) in [
        (query(APP_ID, WRONG), 40125),
        (query(APP_ID, "the-AppSecret"), 40125),
        (query("wx0000000000000000", SHOP), 40013),
        (query(APP_ID, ""), 41004),
        (format!("/cgi-bin/token?appid={APP_ID}"), 41004),
        (format!("/cgi-bin/token?secret={SHOP}"), 41002),
        (format!("{}&grant_type=password", query(APP_ID, SHOP)), 40002),
        (query(APP_ID, SENDER), 48001),
    ] {
        assert_eq!(
            errcode(&relay.function.send(&call("GET", &path)).await),
            expected,
            "{path}"
        );
    }
    let unscoped = relay.function.send(&get_token(SENDER)).await;
    assert!(
        unscoped.body["errmsg"].as_str().unwrap().contains("scope relay"),
        "{unscoped:?}"
    );
    assert_eq!(
        errcode(&relay.function.send(&call("GET", "/cgi-bin/stable_token")).await),
        43002
    );
    assert_eq!(
        errcode(&relay.function.send(&call("POST", "/cgi-bin/token")).await),
        43001
    );
    for (body, expected) in [
        (asked(WRONG), 40125),
        (json!({"appid": APP_ID}), 41004),
        (json!({"appid": "wx1", "secret": SHOP}), 40013),
        (json!({"appid": 1, "secret": SHOP}), 47001),
        (json!({"appid": APP_ID, "secret": null}), 41004),
        (json!(["client_credential", APP_ID, SHOP]), 47001),
        (Value::Null, 44002),
    ] {
        assert_eq!(errcode(&stable(&mut relay.function, &body).await), expected, "{body}");
    }
}

#[tokio::test]
async fn instances_that_start_at_once_take_each_others_tokens() {
    let stage = Stage::with_token().await;
    save_keys(&stage).await;
    let (mut one, mut other) = tokio::join!(stage.function(BINARY), stage.function(BINARY));
    let (of_one, of_other) = tokio::join!(token_of(&mut one, SHOP), token_of(&mut other, MENUS));
    let menu = |token: &str| call("GET", &format!("/cgi-bin/menu/get?access_token={token}"));
    for function in [&mut one, &mut other] {
        for token in [&of_one, &of_other] {
            assert_eq!(errcode(&function.send(&menu(token)).await), 46003);
        }
    }
    let stored = stage.table.item("keys").await;
    assert!(
        stored["relay_secret"].as_str().unwrap().len() >= 32,
        "a secret that cannot be guessed"
    );
}

#[tokio::test]
async fn a_secret_that_could_be_guessed_signs_nothing() {
    let mut stage = Stage::with_token().await;
    stage.set([("API_KEYS", "a-root-key-of-this-test")]);
    for damaged in ["", "short"] {
        stage.table.set("keys", &json!({ "relay_secret": damaged })).await;
        let mut function = stage.function(BINARY).await;
        let response = function.send(&get_token("a-root-key-of-this-test")).await;
        assert!(response.status >= 500, "{response:?}");
        assert!(function.logs().contains("relay_secret"), "{}", function.logs());
    }
}

#[tokio::test]
async fn a_key_of_the_secret_is_known_at_once_and_its_tokens_end_with_it() {
    let mut stage = Stage::with_token().await;
    let keys = |keys: &str| json!({ "API_KEYS": keys });
    let secrets = SecretsManager::holding(&keys("the-first-root-key")).await;
    stage.set_secret(&secrets);
    stage.set([("API_KEYS", "")]);
    let mut function = stage.function(BINARY).await;
    let first = token_of(&mut function, "the-first-root-key").await;
    assert!(!first.contains("root-key"), "{first}");
    let menu = call("GET", &format!("/cgi-bin/menu/get?access_token={first}"));
    assert_eq!(errcode(&function.send(&menu).await), 46003);

    secrets.put(&keys("the-second-root-key"));
    token_of(&mut function, "the-second-root-key").await;
    assert_eq!(errcode(&function.send(&menu).await), 40001, "the first key is gone");
}

#[tokio::test]
async fn the_key_is_in_no_line_of_the_log() {
    let mut relay = Relay::start().await;
    relay.caller(SHOP).await;
    relay.function.send(&get_token(WRONG)).await;
    for key in [SHOP, WRONG] {
        assert!(!relay.logs().contains(key));
    }
    let lines = relay.log_lines();
    let mut lines = lines.iter().filter(|line| line["message"] == "call relayed");
    let issued = lines.next().unwrap();
    assert_eq!(
        (&issued["key"], &issued["path"], &issued["errcode"]),
        (&json!("shop"), &json!("/cgi-bin/token"), &json!(0))
    );
    let refused = lines.next().unwrap();
    assert_eq!((&refused["key"], &refused["errcode"]), (&Value::Null, &json!(40125)));
}

#[tokio::test]
async fn a_secret_that_stands_in_the_path_is_in_no_line_of_the_log() {
    let mut relay = Relay::start().await;
    let token = relay.caller(SHOP).await;
    for (path, logged) in [
        (format!("/cgi-bin/user/get/{token}"), "/cgi-bin/user/get/*"),
        ("/cgi-bin/wk_0123456789".to_owned(), "/cgi-bin/*"),
        (format!("/cgi-bin/{}", "0123456789abcdef".repeat(2)), "/cgi-bin/*"),
        (
            "/datacube/getweanalysisappidmonthlyvisittrend".to_owned(),
            "/datacube/getweanalysisappidmonthlyvisittrend",
        ),
    ] {
        relay.function.send(&call("GET", &path)).await;
        assert_eq!(relay.log_lines().last().unwrap()["path"], logged);
    }
}
