//! The exchange of OAuth codes, and events that are no orders.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testing::{SecretsManager, Stage, account::APP_SECRET, event::sample};

use crate::{BINARY, EXCHANGE, calls, stage};

/// The person's own tokens, which nobody but WeChat needs.
const PERSONS_TOKENS: [&str; 2] = ["persons-access-token", "persons-refresh-token"];

fn exchange() -> Value {
    sample("exchange-code")
}

/// Has WeChat answer the next exchange with `members` besides what it always sends.
async fn answer(stage: &Stage, members: Value) {
    let mut body = json!({
        "access_token": PERSONS_TOKENS[0], "expires_in": 7200, "refresh_token": PERSONS_TOKENS[1], "scope": "snsapi_base",
    });
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let fault = json!({"body": body.to_string(), "content_type": "text/plain"});
    stage.wechat.fault(EXCHANGE, &fault).await;
}

fn assert_hides_secrets(text: &str) {
    let code = exchange()["code"].as_str().unwrap().to_owned();
    for secret in [code.as_str(), APP_SECRET, "oPerson1", "uPerson1"].iter().chain(&PERSONS_TOKENS) {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test]
async fn a_code_is_exchanged_for_an_identity_and_no_token_of_the_persons() {
    let stage = stage().await;
    let mut function = stage.function(BINARY).await;
    answer(&stage, json!({"openid": "oPerson1", "newer": {}})).await;
    let identity = function.succeed(&exchange()).await;
    assert_eq!(
        identity,
        json!({"openid": "oPerson1", "scope": "snsapi_base", "is_snapshotuser": false})
    );
    for flag in [json!(1), json!(true)] {
        answer(
            &stage,
            json!({"openid": "oPerson1", "unionid": "uPerson1", "is_snapshotuser": flag}),
        )
        .await;
        let identity = function.succeed(&exchange()).await;
        assert_eq!(
            (&identity["unionid"], &identity["is_snapshotuser"]),
            (&json!("uPerson1"), &json!(true))
        );
    }
    let calls = stage.wechat.all_calls().await;
    let asked: Vec<_> = calls.iter().map(|call| (&call["method"], &call["path"])).collect();
    assert_eq!(asked, [(&json!("GET"), &json!(EXCHANGE)); 3], "and no access_token was needed");
    assert_hides_secrets(&function.logs());
}

#[tokio::test]
async fn a_refused_code_is_a_function_error_that_tells_what_to_do() {
    let stage = stage().await;
    let mut function = stage.function(BINARY).await;
    let code = exchange()["code"].as_str().unwrap().to_owned();
    for errcode in [40029, 40163, 42003, 41008, 40013, 45011, -1] {
        let echo = json!({"errcode": errcode, "errmsg": format!("no: code={code}&secret={APP_SECRET}, rid: 6698ef60-1-2")});
        let before = calls(&stage).await;
        stage.wechat.fault(EXCHANGE, &echo).await;
        let (kind, message) = function.fail(&exchange()).await;
        assert_eq!(kind, format!("WeChat{errcode}"), "{message}");
        assert!(message.contains(&format!("errcode {errcode}")), "{message}");
        assert!(message.contains("rid: 6698ef60-1-2") && message.contains(" / "), "{message}");
        assert_hides_secrets(&message);
        assert_eq!(calls(&stage).await, before + 1, "{errcode}: a code is exchanged once");
    }
    assert_hides_secrets(&function.logs());
}

#[tokio::test]
async fn an_answer_that_names_nobody_is_told_as_such() {
    let stage = stage().await;
    let mut function = stage.function(BINARY).await;
    for members in [json!({}), json!({"openid": ""}), json!({"openid": null})] {
        answer(&stage, members).await;
        let (kind, message) = function.fail(&exchange()).await;
        assert_eq!(kind, "WeChatUnreadable", "{message}");
        assert_hides_secrets(&message);
    }
    let garbage = json!({"body": "<html>login first</html>"});
    stage.wechat.fault(EXCHANGE, &garbage).await;
    assert_eq!(function.fail(&exchange()).await.0, "WeChatUnreadable");
    assert_hides_secrets(&function.logs());
}

/// The first exchange may have spent the code: a second one would blame the person.
#[tokio::test]
async fn an_exchange_whose_answer_is_lost_is_not_made_again() {
    let stage = stage().await;
    let mut function = stage.function(BINARY).await;
    for fault in [json!({"drop": true}), json!({"http_status": 502}), json!({"delay_ms": 60_000})] {
        let before = calls(&stage).await;
        stage.wechat.fault(EXCHANGE, &fault).await;
        let started = Instant::now();
        let (kind, message) = function.fail_within(&exchange(), 4_000).await;
        assert!(kind.starts_with("WeChatUn"), "{kind}: {message}");
        assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
        assert_hides_secrets(&message);
        assert_eq!(calls(&stage).await, before + 1, "{fault}");
    }
    assert_hides_secrets(&function.logs());
}

#[tokio::test]
async fn a_mended_app_secret_is_used_by_the_exchange_that_wechat_refuses() {
    let mut stage = stage().await;
    let secrets = SecretsManager::holding(&json!({"WECHAT_APP_SECRET": "of-before-the-reset"})).await;
    stage.set([("WECHAT_APP_SECRET", "")]);
    stage.set_secret(&secrets);
    let mut function = stage.function(BINARY).await;
    function.started().await;
    secrets.put(&json!({"WECHAT_APP_SECRET": APP_SECRET}));
    stage.wechat.fault(EXCHANGE, &json!({"errcode": 40125})).await;
    let body = json!({"openid": "oPerson1", "scope": "snsapi_base"}).to_string();
    stage.wechat.fault(EXCHANGE, &json!({"body": body})).await;
    assert_eq!(function.succeed(&exchange()).await["openid"], "oPerson1");
    assert_eq!(calls(&stage).await, 2);
}

#[tokio::test]
async fn an_action_that_cannot_be_carried_out_is_a_function_error() {
    let stage = stage().await;
    let mut function = stage.function(BINARY).await;
    for event in [
        json!({"action": "renew"}),
        json!({"action": null}),
        json!({"action": "replace"}),
        json!({"action": "exchange_code"}),
        json!({"action": "exchange_code", "code": {"c0de": 1}}),
    ] {
        let (kind, message) = function.fail(&event).await;
        assert_eq!(kind, "UnknownAction", "{event}: {message}");
        assert!(message.contains("stale_token_sha256") && !message.contains("c0de"), "{message}");
    }
    assert_eq!(calls(&stage).await, 0);
    // An event without one is the schedule's.
    assert_eq!(function.succeed(&json!({})).await["refreshed"], true);
}
