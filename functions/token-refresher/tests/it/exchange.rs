//! The exchange of OAuth codes, and events that are no orders.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testing::{Fault, SecretsManager, Service, Stage, account::APP_SECRET, event::sample};

use crate::{BINARY, calls};

/// The request that WeChat gets for an exchange.
const EXCHANGE: &str = "GET /sns/oauth2/access_token";
/// The person's own tokens, which nobody but WeChat needs.
const PERSONS_TOKENS: [&str; 2] = ["persons-access-token", "persons-refresh-token"];

fn exchange() -> Value {
    sample("exchange-code")
}

/// With proxies, which answer in WeChat's place.
async fn stage() -> Stage {
    crate::stage().await.behind_proxies().await
}

/// WeChat's answer to an exchange, with `members` besides what it always sends.
fn answer(members: &Value) -> Fault {
    let mut body = json!({
        "access_token": PERSONS_TOKENS[0], "expires_in": 7200, "refresh_token": PERSONS_TOKENS[1], "scope": "snsapi_base",
    });
    body.as_object_mut()
        .unwrap()
        .extend(members.as_object().unwrap().clone());
    Fault::Answer {
        status: 200,
        headers: vec![("content-type", "text/plain")],
        body: body.to_string(),
    }
}

/// Makes every request to WeChat end in `fault`.
fn break_wechat(stage: &Stage, fault: Fault) {
    stage.proxy(Service::WeChat).fail(1.., fault);
}

/// Asserts that WeChat has got one exchange since the last fault, and no other request.
#[track_caller]
fn assert_one_exchange(stage: &Stage) {
    assert_eq!(stage.proxy(Service::WeChat).requests(), [EXCHANGE]);
}

fn assert_hides_secrets(text: &str) {
    let code = exchange()["code"].as_str().unwrap().to_owned();
    for secret in [code.as_str(), APP_SECRET, "oPerson1", "uPerson1"]
        .iter()
        .chain(&PERSONS_TOKENS)
    {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test]
async fn a_code_is_exchanged_for_an_identity_and_no_token_of_the_persons() {
    let stage = stage().await;
    let mut function = stage.function(BINARY).await;
    let named = json!({"openid": "oPerson1", "newer": {}});
    let bound = |flag: Value| json!({"openid": "oPerson1", "unionid": "uPerson1", "is_snapshotuser": flag});
    let plain = json!({"openid": "oPerson1", "scope": "snsapi_base", "is_snapshotuser": false});
    let snapshot =
        json!({"openid": "oPerson1", "unionid": "uPerson1", "scope": "snsapi_base", "is_snapshotuser": true});
    for (members, identity) in [
        (named, plain),
        (bound(json!(1)), snapshot.clone()),
        (bound(json!(true)), snapshot),
    ] {
        break_wechat(&stage, answer(&members));
        assert_eq!(function.succeed(&exchange()).await, identity, "{members}");
        assert_one_exchange(&stage);
    }
    assert_hides_secrets(&function.logs());
}

#[tokio::test]
async fn a_refused_code_is_a_function_error_that_tells_what_to_do() {
    let stage = stage().await;
    let mut function = stage.function(BINARY).await;
    let code = exchange()["code"].as_str().unwrap().to_owned();
    for errcode in [40029, 40163, 42003, 41008, 40013, 45011, -1] {
        let echo = format!("no: code={code}&secret={APP_SECRET}, rid: 6698ef60-1-2");
        break_wechat(&stage, Fault::json(200, json!({"errcode": errcode, "errmsg": echo})));
        let (kind, message) = function.fail(&exchange()).await;
        assert_eq!(kind, format!("WeChat{errcode}"), "{message}");
        for part in [&format!("errcode {errcode}"), "rid: 6698ef60-1-2", " / "] {
            assert!(message.contains(part), "{part} in {message}");
        }
        assert_hides_secrets(&message);
        assert_one_exchange(&stage);
    }
    assert_hides_secrets(&function.logs());
    // Visitors cause them: the alarms must not take them for failures of the function.
    let metrics = function.metrics();
    let counted = metrics.iter().filter(|line| line.get("ExchangeFailures").is_some());
    assert_eq!(counted.count(), 7);
}

#[tokio::test]
async fn an_answer_that_names_nobody_is_told_as_such() {
    let stage = stage().await;
    let mut function = stage.function(BINARY).await;
    for fault in [
        answer(&json!({})),
        answer(&json!({"openid": ""})),
        answer(&json!({"openid": null})),
        Fault::json(200, "<html>login first</html>"),
    ] {
        break_wechat(&stage, fault);
        let (kind, message) = function.fail(&exchange()).await;
        assert_eq!(kind, "WeChatUnreadable", "{message}");
        assert_hides_secrets(&message);
    }
    assert_hides_secrets(&function.logs());
}

/// The first exchange may have spent the code: WeChat would refuse it at a second exchange, as if the person had made a
/// mistake.
#[tokio::test]
async fn an_exchange_whose_answer_is_lost_is_not_made_again() {
    let stage = stage().await;
    let mut function = stage.function(BINARY).await;
    for fault in [Fault::LoseAnswer, Fault::json(502, "busy"), Fault::Freeze] {
        break_wechat(&stage, fault);
        let started = Instant::now();
        let (kind, message) = function.fail_within(&exchange(), 4_000).await;
        assert!(kind.starts_with("WeChatUn"), "{kind}: {message}");
        assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
        assert_hides_secrets(&message);
        assert_one_exchange(&stage);
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
    break_wechat(
        &stage,
        Fault::json(200, json!({"errcode": 40125, "errmsg": "invalid appsecret"})),
    );
    assert_eq!(function.fail(&exchange()).await.0, "WeChat40125");
    assert_eq!(
        stage.proxy(Service::WeChat).requests(),
        [EXCHANGE, EXCHANGE],
        "one with each AppSecret"
    );
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
        assert!(
            message.contains("stale_token_sha256") && !message.contains("c0de"),
            "{message}"
        );
    }
    assert_eq!(calls(&stage).await, 0);
    // An event without one is the schedule's.
    assert_eq!(function.succeed(&json!({})).await["refreshed"], true);
}
