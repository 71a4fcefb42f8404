//! What a run does when WeChat answers as it should.

use super::*;

#[tokio::test]
async fn a_scheduled_run_obtains_the_token_and_the_next_leaves_it_alone() {
    let bench = Bench::new().await;
    let mut function = bench.start().await;
    let done = function.succeed(&testing::event("refresh-schedule")).await;
    let life = done["expires_at"].as_i64().unwrap() - now();
    assert!((7_190..=7_200).contains(&life), "{done}");
    let item = bench.item().await;
    assert!(item.text("access_token").starts_with(TOKEN_PREFIX) && !item.has_lease());
    assert_eq!(item.number("expires_at"), done["expires_at"]);
    assert!(now() - item.number("refreshed_at") <= 5);
    for event in ["refresh-schedule", "refresh-on-demand", "refresh-replace"] {
        let again = function.succeed(&testing::event(event)).await;
        assert_eq!(
            again,
            json!({"refreshed": false, "generation": 1, "expires_at": done["expires_at"]})
        );
    }
    let calls = bench.calls().await;
    assert_eq!((calls.len(), &calls[0]["path"]), (1, &json!(STABLE_TOKEN)));
    assert_eq!(calls[0]["body"]["force_refresh"], false);
}

#[tokio::test]
async fn each_run_tells_its_metrics() {
    let bench = Bench::new().await;
    let mut function = bench.refreshed().await;
    bench.control("token/invalidate", json!({"keep_returning": true})).await;
    function.succeed(&bench.replace().await).await;
    bench
        .fault(json!({"path": STABLE_TOKEN, "errcode": 40164, "errmsg": "invalid ip"}))
        .await;
    bench.put(vec![("expires_at", number(now() + 99))]).await;
    function.fail(&refresh()).await;
    let logs = function.logs();
    let metrics: Vec<Value> = logs
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &Value| line.get("_aws").is_some())
        .collect();
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
    let bench = Bench::new().await;
    let mut function = bench.start().await;
    let by_hand = || AttributeValue::S("by-hand".to_owned());
    bench
        .put(vec![("access_token", by_hand()), ("expires_at", number(now() + 3_600))])
        .await;
    let kept = function.succeed(&refresh()).await;
    assert_eq!((&kept["refreshed"], &kept["generation"]), (&json!(false), &json!(0)));
    assert!(bench.calls().await.is_empty());
    bench.put(vec![("expires_at", number(now() - 1))]).await;
    let done = function.succeed(&refresh()).await;
    assert_eq!((&done["refreshed"], &done["generation"]), (&json!(true), &json!(1)));
    // An operator empties the token to have a new one.
    bench
        .put(vec![
            ("access_token", AttributeValue::S(String::new())),
            ("generation", number(7)),
        ])
        .await;
    let done = function.succeed(&refresh()).await;
    assert_eq!((&done["refreshed"], &done["generation"]), (&json!(true), &json!(8)));
    for damaged in [AttributeValue::S("one".to_owned()), number(-3)] {
        bench
            .put(vec![("expires_at", number(now() - 1)), ("generation", damaged)])
            .await;
        assert_eq!(function.succeed(&refresh()).await["refreshed"], true);
    }
}

/// Each call may cost one of 2,000 a day, and the schedule comes back every minute.
#[tokio::test]
async fn an_item_that_takes_no_token_costs_two_calls_a_run() {
    let bench = Bench::new().await;
    let mut function = bench.refreshed().await;
    let half = AttributeValue::N("2.5".to_owned());
    bench
        .put(vec![("expires_at", number(now() - 1)), ("generation", half)])
        .await;
    let before = bench.calls().await.len();
    let (kind, message) = function.fail(&refresh()).await;
    assert_eq!(kind, "Busy", "{message}");
    assert_eq!(bench.calls().await.len() - before, 2);
}

#[tokio::test]
async fn a_refused_token_is_replaced_by_an_ordinary_call_when_that_brings_another() {
    let bench = Bench::new().await;
    let mut function = bench.refreshed().await;
    let replace = bench.replace().await;
    bench.control("token/invalidate", json!({})).await;
    let done = function.succeed(&replace).await;
    assert_eq!((&done["refreshed"], &done["generation"]), (&json!(true), &json!(2)));
    // The next sender with the same dead token finds it replaced.
    let again = function.succeed(&replace).await;
    assert_eq!((&again["refreshed"], &again["generation"]), (&json!(false), &json!(2)));
    assert_eq!((bench.calls().await.len(), bench.forced_calls().await), (2, 0));
}

#[tokio::test]
async fn wechat_is_forced_only_when_it_returns_the_refused_token_and_not_twice_in_30_seconds() {
    let bench = Bench::new().await;
    let mut function = bench.refreshed().await;
    bench.control("token/invalidate", json!({"keep_returning": true})).await;
    let done = function.succeed(&bench.replace().await).await;
    assert_eq!((&done["refreshed"], &done["generation"]), (&json!(true), &json!(2)));
    assert_eq!((bench.calls().await.len(), bench.forced_calls().await), (3, 1));

    bench.control("token/invalidate", json!({"keep_returning": true})).await;
    let replace = bench.replace().await;
    let (kind, message) = function.fail(&replace).await;
    assert_eq!(kind, "ForcedTooOften", "{message}");
    assert_eq!((bench.calls().await.len(), bench.forced_calls().await), (4, 1));
    assert!(!bench.item().await.has_lease());

    let ledger = |at: i64| ("forced_at", AttributeValue::L(vec![number(at)]));
    bench.put(vec![ledger(now() - 31)]).await;
    bench.control("clock", json!({"advance_seconds": 31})).await;
    assert_eq!(function.succeed(&replace).await["generation"], 3);
    assert_eq!(bench.forced_calls().await, 2);
}

#[tokio::test]
async fn wechat_is_forced_twenty_times_a_day() {
    let bench = Bench::new().await;
    let mut function = bench.refreshed().await;
    bench.control("token/invalidate", json!({"keep_returning": true})).await;
    let twenty = |oldest: i64| {
        let at = (0..20).map(|n| number(oldest + n * 60)).collect();
        ("forced_at", AttributeValue::L(at))
    };
    bench.put(vec![twenty(now() - 80_000)]).await;
    let replace = bench.replace().await;
    let (kind, message) = function.fail(&replace).await;
    assert_eq!(kind, "ForcedTooOften");
    assert!(message.contains("6400 s") || message.contains("6399 s"), "{message}");
    assert_eq!(bench.forced_calls().await, 0);

    // Once the oldest of them is a day old.
    bench.put(vec![twenty(now() - 86_401)]).await;
    assert_eq!(function.succeed(&replace).await["refreshed"], true);
    assert_eq!(bench.forced_calls().await, 1);
    assert_eq!(bench.item().await.0["forced_at"].as_l().unwrap().len(), 20);
}

#[tokio::test]
async fn the_classic_interface_brings_a_new_token_at_every_call() {
    let mut bench = Bench::new().await;
    bench.set("WECHAT_TOKEN_API", "token");
    let mut function = bench.refreshed().await;
    assert_eq!(function.succeed(&refresh()).await["refreshed"], false);
    let done = function.succeed(&bench.replace().await).await;
    assert_eq!((&done["refreshed"], &done["generation"]), (&json!(true), &json!(2)));
    let calls = bench.calls().await;
    let paths: Vec<_> = calls.iter().map(|call| (&call["method"], &call["path"])).collect();
    assert_eq!(paths, [(&json!("GET"), &json!(CLASSIC_TOKEN)); 2]);
}

/// Two programs that take the token from one another would use up the day's 2,000 calls.
#[tokio::test]
async fn sixty_refused_sends_replace_a_classic_token_once() {
    let mut bench = Bench::new().await;
    bench.set("WECHAT_TOKEN_API", "token");
    let mut function = bench.refreshed().await;
    assert_eq!(function.succeed(&bench.replace().await).await["generation"], 2);
    let replace = bench.replace().await;
    for _ in 0..60 {
        let (kind, message) = function.fail(&replace).await;
        assert_eq!(kind, "ForcedTooOften", "{message}");
    }
    assert_eq!(bench.calls().await.len(), 2, "the first token, and its replacement");

    bench
        .put(vec![("forced_at", AttributeValue::L(vec![number(now() - 31)]))])
        .await;
    assert_eq!(function.succeed(&replace).await["generation"], 3);
}

/// Calls that WeChat refuses replace nothing: a whitelist that was mended must serve at once.
#[tokio::test]
async fn refused_replacements_of_a_classic_token_do_not_use_up_the_ledger() {
    let mut bench = Bench::new().await;
    bench.set("WECHAT_TOKEN_API", "token");
    let mut function = bench.refreshed().await;
    bench.control("whitelist", json!({"ips": ["203.0.113.7"]})).await;
    let replace = bench.replace().await;
    for _ in 0..25 {
        assert_eq!(function.fail(&replace).await.0, "WeChat40164");
    }
    bench.control("whitelist", json!({"ips": null})).await;
    assert_eq!(function.succeed(&replace).await["generation"], 2);
    assert_eq!(bench.item().await.0["forced_at"].as_l().unwrap().len(), 1);
}

#[tokio::test]
async fn a_classic_token_is_renewed_at_its_end_however_often_it_was_replaced() {
    let mut bench = Bench::new().await;
    bench.set("WECHAT_TOKEN_API", "token");
    let mut function = bench.refreshed().await;
    let ledger = || {
        let at = (0..20).map(|n| number(now() - n)).collect();
        ("forced_at", AttributeValue::L(at))
    };
    let replace = bench.replace().await;
    bench.put(vec![ledger(), ("expires_at", number(now() + 500))]).await;
    assert_eq!(function.fail(&replace).await.0, "ForcedTooOften");
    assert_eq!(function.succeed(&refresh()).await["generation"], 2);

    // Nothing is replaced where nothing lives.
    let replace = bench.replace().await;
    bench.put(vec![ledger(), ("expires_at", number(now() - 1))]).await;
    assert_eq!(function.succeed(&replace).await["generation"], 3);
    assert_eq!(bench.item().await.0["forced_at"].as_l().unwrap().len(), 20);
}

#[tokio::test]
async fn a_replacement_of_a_classic_token_that_wechat_does_not_answer_is_not_made_twice() {
    let mut bench = Bench::new().await;
    bench.set("WECHAT_TOKEN_API", "token");
    let mut function = bench.refreshed().await;
    bench
        .fault(json!({"path": CLASSIC_TOKEN, "errcode": -1, "times": 3}))
        .await;
    assert_eq!(function.fail(&bench.replace().await).await.0, "WeChat-1");
    assert_eq!(bench.calls().await.len(), 2);
}

#[tokio::test]
async fn a_deadline_of_1970_is_no_deadline() {
    let bench = Bench::new().await;
    let mut function = bench.start().await;
    let outcome = function.invoke_until(&refresh(), 600_000).await;
    assert!(matches!(outcome, Outcome::Answered(_)), "{outcome:?}");
}
