//! What a run does when WeChat answers as it should.

use serde_json::{Value, json};
use testing::{Outcome, Stage, event::sample, now};

use crate::{
    BINARY, CLASSIC_TOKEN, STABLE_TOKEN, calls, classic, forced_calls, has_lease, is_free, put, refresh, refreshed,
    replace, stage, token,
};

/// WeChat refuses the present token, and hands it out again until it is forced.
async fn keep_returning_a_dead_token(stage: &Stage) {
    let keep = json!({"keep_returning": true});
    stage.wechat.control("token/invalidate", &keep).await;
}

#[tokio::test]
async fn a_scheduled_run_obtains_the_token_and_the_next_leaves_it_alone() {
    let stage = stage().await;
    let mut function = stage.function(BINARY).await;
    let done = function.succeed(&sample("refresh-schedule")).await;
    let life = done["expires_at"].as_i64().unwrap() - now();
    assert!((7_190..=7_200).contains(&life), "{done}");
    let item = token(&stage).await;
    assert!(item["access_token"].as_str().unwrap().starts_with("97_") && !has_lease(&item));
    assert_eq!(item["expires_at"], done["expires_at"]);
    assert!(now() - item["refreshed_at"].as_i64().unwrap() <= 5);
    for event in ["refresh-schedule", "refresh-on-demand", "refresh-replace"] {
        let again = function.succeed(&sample(event)).await;
        assert_eq!(
            again,
            json!({"refreshed": false, "generation": 1, "expires_at": done["expires_at"]})
        );
    }
    let calls = stage.wechat.all_calls().await;
    assert_eq!((calls.len(), &calls[0]["path"]), (1, &json!(STABLE_TOKEN)));
    assert_eq!(calls[0]["body"]["force_refresh"], false);
}

#[tokio::test]
async fn each_run_tells_its_metrics() {
    let stage = stage().await;
    let mut function = refreshed(&stage).await;
    keep_returning_a_dead_token(&stage).await;
    function.succeed(&replace(&stage).await).await;
    stage
        .wechat
        .fault(STABLE_TOKEN, &json!({"errcode": 40164, "errmsg": "invalid ip"}))
        .await;
    put(&stage, json!({"expires_at": now() + 99})).await;
    function.fail(&refresh()).await;
    let logs = function.logs();
    let metrics = function.metrics();
    let sum = |name: &str| {
        metrics
            .iter()
            .filter_map(|line| line[name].as_f64())
            .fold((0, 0.0), |(count, _), value| (count + 1, value))
    };
    assert_eq!(sum("TokenLifeSeconds").0, 3, "{logs}");
    assert!((90.0..=99.0).contains(&sum("TokenLifeSeconds").1), "{logs}");
    assert_eq!((sum("Refreshes").0, sum("ForcedRefreshes").0), (2, 1));
    assert_eq!(sum("WechatLatency").0, 4);
    let refused = metrics
        .iter()
        .find(|line| line.get("WechatErrcodes").is_some())
        .unwrap();
    assert_eq!(refused["Class"], "SetUp");
    assert_eq!(sum("WhitelistDenied").0, 1);
    // Two stacks of one account must not share a metric.
    assert!(
        metrics.iter().all(|line| line["FunctionName"] == "under-test"
            && line["_aws"]["CloudWatchMetrics"][0]["Dimensions"][0][0] == "FunctionName"),
        "{logs}"
    );
}

#[tokio::test]
async fn an_item_that_somebody_else_wrote_is_good_enough() {
    let stage = stage().await;
    let mut function = stage.function(BINARY).await;
    put(&stage, json!({"access_token": "by-hand", "expires_at": now() + 3_600})).await;
    let kept = function.succeed(&refresh()).await;
    assert_eq!((&kept["refreshed"], &kept["generation"]), (&json!(false), &json!(0)));
    assert_eq!(calls(&stage).await, 0);
    put(&stage, json!({"expires_at": now() - 1})).await;
    let done = function.succeed(&refresh()).await;
    assert_eq!((&done["refreshed"], &done["generation"]), (&json!(true), &json!(1)));
    // An operator empties the token to have a new one.
    put(&stage, json!({"access_token": "", "generation": 7})).await;
    let done = function.succeed(&refresh()).await;
    assert_eq!((&done["refreshed"], &done["generation"]), (&json!(true), &json!(8)));
    for damaged in [json!("one"), json!(-3)] {
        put(&stage, json!({"expires_at": now() - 1, "generation": damaged})).await;
        assert_eq!(function.succeed(&refresh()).await["refreshed"], true);
    }
}

/// Each call may cost one of 2,000 a day, and the schedule comes back every minute.
#[tokio::test]
async fn an_item_that_takes_no_token_costs_two_calls_a_run() {
    let stage = stage().await;
    let mut function = refreshed(&stage).await;
    put(&stage, json!({"expires_at": now() - 1, "generation": 2.5})).await;
    let before = calls(&stage).await;
    let (kind, message) = function.fail(&refresh()).await;
    assert_eq!(kind, "Busy", "{message}");
    assert_eq!(calls(&stage).await - before, 2);
}

#[tokio::test]
async fn a_refused_token_is_replaced_by_an_ordinary_call_when_that_brings_another() {
    let stage = stage().await;
    let mut function = refreshed(&stage).await;
    let replacement = replace(&stage).await;
    stage.wechat.control("token/invalidate", &json!({})).await;
    let done = function.succeed(&replacement).await;
    assert_eq!((&done["refreshed"], &done["generation"]), (&json!(true), &json!(2)));
    // The next sender with the same dead token finds it replaced.
    let again = function.succeed(&replacement).await;
    assert_eq!((&again["refreshed"], &again["generation"]), (&json!(false), &json!(2)));
    assert_eq!((calls(&stage).await, forced_calls(&stage).await), (2, 0));
}

#[tokio::test]
async fn the_token_before_the_current_one_is_remembered() {
    let stage = stage().await;
    let mut function = refreshed(&stage).await;
    let first = token(&stage).await;
    assert_eq!(first["previous_token"], Value::Null);
    stage.wechat.control("token/invalidate", &json!({})).await;
    function.succeed(&replace(&stage).await).await;
    assert_eq!(token(&stage).await["previous_token"], first["access_token"]);
    // The same token with more life is not a new token.
    put(&stage, json!({"expires_at": now() + 99})).await;
    function.succeed(&refresh()).await;
    assert_eq!(token(&stage).await["previous_token"], first["access_token"]);
}

#[tokio::test]
async fn wechat_is_forced_only_when_it_returns_the_refused_token_and_not_twice_in_30_seconds() {
    let stage = stage().await;
    let mut function = refreshed(&stage).await;
    keep_returning_a_dead_token(&stage).await;
    let done = function.succeed(&replace(&stage).await).await;
    assert_eq!((&done["refreshed"], &done["generation"]), (&json!(true), &json!(2)));
    assert_eq!((calls(&stage).await, forced_calls(&stage).await), (3, 1));

    keep_returning_a_dead_token(&stage).await;
    let replacement = replace(&stage).await;
    let (kind, message) = function.fail(&replacement).await;
    assert_eq!(kind, "ForcedTooOften", "{message}");
    assert_eq!((calls(&stage).await, forced_calls(&stage).await), (4, 1));
    assert!(is_free(&stage).await);

    put(&stage, json!({"forced_at": [now() - 31]})).await;
    stage.wechat.control("clock", &json!({"advance_seconds": 31})).await;
    assert_eq!(function.succeed(&replacement).await["generation"], 3);
    assert_eq!(forced_calls(&stage).await, 2);
}

#[tokio::test]
async fn wechat_is_forced_twenty_times_a_day() {
    let stage = stage().await;
    let mut function = refreshed(&stage).await;
    keep_returning_a_dead_token(&stage).await;
    let twenty = |oldest: i64| {
        let at: Vec<i64> = (0..20).map(|n| oldest + n * 60).collect();
        json!({ "forced_at": at })
    };
    put(&stage, twenty(now() - 80_000)).await;
    let replacement = replace(&stage).await;
    let (kind, message) = function.fail(&replacement).await;
    assert_eq!(kind, "ForcedTooOften");
    assert!(message.contains("6400 s") || message.contains("6399 s"), "{message}");
    assert_eq!(forced_calls(&stage).await, 0);

    // Once the oldest of them is a day old.
    put(&stage, twenty(now() - 86_401)).await;
    assert_eq!(function.succeed(&replacement).await["refreshed"], true);
    assert_eq!(forced_calls(&stage).await, 1);
    assert_eq!(token(&stage).await["forced_at"].as_array().unwrap().len(), 20);
}

#[tokio::test]
async fn the_classic_interface_brings_a_new_token_at_every_call() {
    let stage = classic().await;
    let mut function = refreshed(&stage).await;
    assert_eq!(function.succeed(&refresh()).await["refreshed"], false);
    let done = function.succeed(&replace(&stage).await).await;
    assert_eq!((&done["refreshed"], &done["generation"]), (&json!(true), &json!(2)));
    let calls = stage.wechat.all_calls().await;
    let paths: Vec<_> = calls.iter().map(|call| (&call["method"], &call["path"])).collect();
    assert_eq!(paths, [(&json!("GET"), &json!(CLASSIC_TOKEN)); 2]);
}

/// Two programs that take the token from one another would use up the day's 2,000 calls.
#[tokio::test]
async fn sixty_refused_sends_replace_a_classic_token_once() {
    let stage = classic().await;
    let mut function = refreshed(&stage).await;
    assert_eq!(function.succeed(&replace(&stage).await).await["generation"], 2);
    let replacement = replace(&stage).await;
    for _ in 0..60 {
        let (kind, message) = function.fail(&replacement).await;
        assert_eq!(kind, "ForcedTooOften", "{message}");
    }
    assert_eq!(calls(&stage).await, 2, "the first token, and its replacement");

    put(&stage, json!({"forced_at": [now() - 31]})).await;
    assert_eq!(function.succeed(&replacement).await["generation"], 3);
}

/// Calls that WeChat refuses replace nothing: a whitelist that was mended must serve at once.
#[tokio::test]
async fn refused_replacements_of_a_classic_token_do_not_use_up_the_ledger() {
    let stage = classic().await;
    let mut function = refreshed(&stage).await;
    stage.wechat.whitelist(json!(["203.0.113.7"])).await;
    let replacement = replace(&stage).await;
    for _ in 0..25 {
        assert_eq!(function.fail(&replacement).await.0, "WeChat40164");
    }
    stage.wechat.whitelist(json!(null)).await;
    assert_eq!(function.succeed(&replacement).await["generation"], 2);
    assert_eq!(token(&stage).await["forced_at"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_classic_token_is_renewed_at_its_end_however_often_it_was_replaced() {
    let stage = classic().await;
    let mut function = refreshed(&stage).await;
    let ledger = |expires_at: i64| {
        let at: Vec<i64> = (0..20).map(|n| now() - n).collect();
        json!({"forced_at": at, "expires_at": expires_at})
    };
    let replacement = replace(&stage).await;
    put(&stage, ledger(now() + 500)).await;
    assert_eq!(function.fail(&replacement).await.0, "ForcedTooOften");
    assert_eq!(function.succeed(&refresh()).await["generation"], 2);

    // An expired token is not replaced: a new one is fetched, which the ledger does not count.
    let replacement = replace(&stage).await;
    put(&stage, ledger(now() - 1)).await;
    assert_eq!(function.succeed(&replacement).await["generation"], 3);
    assert_eq!(token(&stage).await["forced_at"].as_array().unwrap().len(), 20);
}

#[tokio::test]
async fn a_replacement_of_a_classic_token_that_wechat_does_not_answer_is_not_made_twice() {
    let stage = classic().await;
    let mut function = refreshed(&stage).await;
    stage
        .wechat
        .fault(CLASSIC_TOKEN, &json!({"errcode": -1, "times": 3}))
        .await;
    assert_eq!(function.fail(&replace(&stage).await).await.0, "WeChat-1");
    assert_eq!(calls(&stage).await, 2);
}

#[tokio::test]
async fn a_deadline_of_1970_is_no_deadline() {
    let stage = stage().await;
    let mut function = stage.function(BINARY).await;
    let outcome = function.invoke_until(&refresh(), 600_000).await;
    assert!(matches!(outcome, Outcome::Answered(_)), "{outcome:?}");
}
