//! Dead tokens, and a WeChat, a table or a token-refresher that does not answer: never a code at which an SDK would renew its
//! token or repeat a call.

use serde_json::json;
use testing::{Fault, Response, Service, Stage};

use crate::{Relay, SHOP, call, errcode, get_token, json_of, line, save_keys};

const MENU: &str = "/cgi-bin/menu/get";
const USERS: &str = "/cgi-bin/user/get";

/// Checks that a failure is the bundle's: it has this status, and the same number as its errcode, without which SDKs see no
/// failure.
fn assert_outage(response: &Response, status: u16) {
    assert_eq!(response.status, status, "{response:?}");
    assert_eq!(response.content_type(), "application/json");
    assert_eq!(response.body["errcode"], status, "{response:?}");
    assert!(!response.body["errmsg"].as_str().unwrap().is_empty());
}

fn may_have_landed(response: &Response) -> bool {
    response.body["errmsg"]
        .as_str()
        .unwrap()
        .contains("may have been carried out")
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
    for (code, status) in [(40125, 503), (40013, 503), (45009, 503), (-1, 502)] {
        let (mut relay, token) = without_token(code).await;
        let request = call("GET", &format!("{MENU}?access_token={token}"));
        let response = relay.function.send(&request).await;
        assert_outage(&response, status);
        assert!(
            response.body["errmsg"].as_str().unwrap().contains(&code.to_string()),
            "{response:?}"
        );
    }
}

#[tokio::test]
async fn the_address_that_is_not_whitelisted_is_told_as_wechat_does() {
    let (mut relay, token) = without_token(40164).await;
    let response = relay
        .function
        .send(&call("GET", &format!("{MENU}?access_token={token}")))
        .await;
    assert_eq!(errcode(&response), 40164);
    let errmsg = json_of(&response)["errmsg"].as_str().unwrap().to_owned();
    assert!(errmsg.starts_with("invalid ip 127.0.0.1"), "{errmsg}");
    assert!(
        !errmsg.contains("rid"),
        "the rid is of a call with the AppSecret: {errmsg}"
    );
}

/// Anybody can make the relay read the table: with a made-up key, and with any access_token at an instance that has just
/// started.
#[tokio::test]
async fn a_stranger_is_not_told_why_the_table_refuses() {
    const ROLE: &str = "arn:aws:sts::123456789012:assumed-role/relay";
    let stage = Stage::with_token().await.behind_proxies().await;
    let refused = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#AccessDeniedException", "message": format!("User: {ROLE} is not authorized"),
    });
    stage.proxy(Service::Table).fail(.., Fault::json(400, refused));
    let mut relay = Relay::on(stage).await;
    let with_any_token = call("GET", &format!("{MENU}?access_token=anything"));
    for request in [get_token("wk_0000000000000000000000000madeup1"), with_any_token] {
        let response = relay.function.send(&request).await;
        assert_outage(&response, 503);
        assert!(!response.body.to_string().contains("123456789012"), "{response:?}");
    }
    assert!(relay.logs().contains(ROLE), "the operator reads why");
}

/// The relay while WeChat refuses the bundle a token, and the access_token of a caller.
async fn without_token(code: i64) -> (Relay, String) {
    let stage = Stage::new().await;
    let refused = json!({"errcode": code, "times": 99});
    stage.wechat.fault("/cgi-bin/stable_token", &refused).await;
    let mut relay = Relay::on(stage).await;
    let token = relay.caller(SHOP).await;
    (relay, token)
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
        assert!(may_have_landed(&response), "{response:?}");
        assert_eq!(relay.stage.proxy(proxy).requests().len(), 1);
    }
    for (fault, is_sent) in [(Fault::Reset, true), (Fault::LoseAnswer, true), (Fault::Refuse, false)] {
        relay.stage.mend().await;
        relay.stage.proxy(proxy).fail(1.., fault);
        let response = relay.function.send(&request).await;
        assert_outage(&response, 504);
        assert_eq!(may_have_landed(&response), is_sent, "{response:?}");
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
async fn unreadable_keys_are_not_reported_as_wrong() {
    let stage = Stage::with_token().await.behind_proxies().await;
    save_keys(&stage).await;
    stage.proxy(Service::Table).fail(1.., Fault::Refuse);
    let mut relay = Relay {
        function: stage.function(crate::BINARY).await,
        stage,
    };
    let response = relay.function.send(&crate::get_token(SHOP)).await;
    assert!(response.status >= 500, "{response:?}");
    assert_outage(&response, response.status);
}
