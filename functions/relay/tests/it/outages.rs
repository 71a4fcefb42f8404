//! Dead tokens, and a WeChat, a table or a token-refresher that does not answer: never a code at which an SDK would renew its
//! token or repeat a call.

use serde_json::{Value, json};
use testing::{Fault, Response, Service, Stage};

use crate::{Relay, SHOP, call, errcode, json_of, line, save_keys};

const MENU: &str = "/cgi-bin/menu/get";
const USERS: &str = "/cgi-bin/user/get";

/// Checks that a failure is the bundle's: a status, and no errcode in it that an SDK could act on.
fn assert_outage(response: &Response, status: u16) {
    assert_eq!(response.status, status, "{response:?}");
    assert_eq!(response.content_type(), "application/problem+json");
    assert_eq!(response.body.get("errcode"), None, "{response:?}");
}

async fn behind_proxies() -> (Relay, String) {
    let stage = Stage::with_token().await.behind_proxies().await;
    let mut relay = Relay::on(stage).await;
    let token = relay.caller(SHOP).await;
    (relay, token)
}

#[tokio::test]
async fn a_dead_token_is_replaced_and_nobody_notices() {
    let mut relay = Relay::start().await;
    let token = relay.caller(SHOP).await;
    relay.stage.wechat.control("token/invalidate", &json!({})).await;
    for _ in 0..2 {
        let request = call("GET", &format!("{USERS}?access_token={token}"));
        assert_eq!(json_of(&relay.function.send(&request).await)["total"], 1);
    }
    assert_eq!(relay.stage.wechat.calls(USERS).await, 3, "one call was repeated, once");
}

#[tokio::test]
async fn a_token_that_stays_dead_is_an_outage() {
    let mut relay = Relay::start().await;
    let token = relay.caller(SHOP).await;
    for code in [40001, 42001, 40014] {
        relay
            .stage
            .wechat
            .fault(USERS, &json!({"errcode": code, "times": 9}))
            .await;
        let request = call("GET", &format!("{USERS}?access_token={token}"));
        let response = relay.function.send(&request).await;
        assert_outage(&response, 503);
        relay.stage.wechat.clear_faults().await;
    }
    assert!(relay.stage.wechat.calls(USERS).await <= 9);
}

#[tokio::test]
async fn what_refuses_the_bundle_is_told_in_a_way_that_blames_no_caller() {
    for (code, expected) in [(40164, None), (40125, Some(503)), (45009, Some(503)), (-1, Some(503))] {
        let stage = Stage::new().await;
        stage
            .wechat
            .fault("/cgi-bin/stable_token", &json!({"errcode": code, "times": 99}))
            .await;
        let mut relay = Relay::on(stage).await;
        let token = relay.caller(SHOP).await;
        let request = call("GET", &format!("{MENU}?access_token={token}"));
        let response = relay.function.send(&request).await;
        match expected {
            Some(_) => {
                assert!(response.status >= 500, "{response:?}");
                assert_eq!(response.body.get("errcode"), None, "{response:?}");
            }
            None => {
                assert_eq!(errcode(&response), 40164);
                assert!(
                    response.body["errmsg"].as_str().unwrap().contains("not in whitelist"),
                    "{response:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_wechat_that_does_not_answer_is_504_and_asked_once() {
    let (mut relay, token) = behind_proxies().await;
    let request = call("POST", &format!("{MENU}?access_token={token}")).json(&json!({}));
    let proxy = Service::WeChat;
    for fault in [Fault::Freeze, Fault::WithholdAnswer] {
        relay.stage.proxy(proxy).fail(1.., fault);
        let response = relay.function.ask(request.clone()).within(700).await;
        assert_outage(&response, 504);
        assert_eq!(relay.stage.proxy(proxy).requests().len(), 1);
    }
    for fault in [Fault::Reset, Fault::LoseAnswer, Fault::Refuse] {
        relay.stage.mend().await;
        relay.stage.proxy(proxy).fail(1.., fault);
        assert_outage(&relay.function.send(&request).await, 504);
        assert!(relay.stage.proxy(proxy).requests().len() <= 1);
    }
    assert_eq!(line(&relay.function)["status"], 504);
}

#[tokio::test]
async fn a_warm_instance_serves_while_the_table_is_frozen() {
    let (mut relay, token) = behind_proxies().await;
    let request = call("GET", &format!("{USERS}?access_token={token}"));
    assert_eq!(json_of(&relay.function.send(&request).await)["total"], 1);
    for fault in [Fault::Freeze, Fault::Refuse] {
        relay.stage.mend().await;
        relay.stage.proxy(Service::Table).fail(1.., fault);
        assert_eq!(json_of(&relay.function.send(&request).await)["total"], 1);
    }
}

#[tokio::test]
async fn keys_that_cannot_be_read_are_no_wrong_keys() {
    let stage = Stage::with_token().await.behind_proxies().await;
    save_keys(&stage).await;
    stage.proxy(Service::Table).fail(1.., Fault::Refuse);
    let mut relay = Relay {
        function: stage.function(crate::BINARY).await,
        stage,
    };
    let response = relay.function.send(&crate::get_token(SHOP)).await;
    assert!(response.status >= 500, "{response:?}");
    assert_eq!(response.body.get("errcode").unwrap_or(&Value::Null), &Value::Null);
}
