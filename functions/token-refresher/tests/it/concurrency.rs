//! Several processes at once, one that dies, and a table that loses answers.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use testing::{Fault, Service, eventually, now};

use crate::{
    BINARY, STABLE_TOKEN, calls, forced_calls, has_lease, is_free, put, refresh, refreshed, replace, stage, token,
};

#[tokio::test]
async fn eight_processes_and_a_slow_wechat_make_one_call() {
    let stage = stage().await;
    let mut functions = join_all((0..8).map(|_| stage.function(BINARY))).await;
    stage
        .wechat
        .fault(STABLE_TOKEN, &json!({"delay_ms": 1_500, "times": 100}))
        .await;
    let event = refresh();
    let answers = join_all(functions.iter_mut().map(|function| function.succeed(&event))).await;
    let refreshed = answers.iter().filter(|done| done["refreshed"] == true).count();
    assert_eq!((refreshed, calls(&stage).await), (1, 1), "{answers:?}");
    assert!(answers.iter().all(|done| done["generation"] == 1), "{answers:?}");
    assert!(is_free(&stage).await);

    // The same with a token that WeChat refuses and keeps returning.
    stage
        .wechat
        .control("token/invalidate", &json!({"keep_returning": true}))
        .await;
    let event = replace(&stage).await;
    let answers = join_all(functions.iter_mut().map(|function| function.succeed(&event))).await;
    assert_eq!((calls(&stage).await, forced_calls(&stage).await), (3, 1), "{answers:?}");
    assert!(answers.iter().all(|done| done["generation"] == 2), "{answers:?}");
}

/// Each write costs money, and counts towards the limit of writes to one item per second.
#[tokio::test]
async fn processes_that_wait_read_a_few_times_and_do_not_write() {
    let stage = stage().await.behind_proxies().await;
    let table = stage.proxy(Service::Table);
    let mut functions = join_all((0..8).map(|_| stage.function(BINARY))).await;
    stage.wechat.fault(STABLE_TOKEN, &json!({"delay_ms": 3_000})).await;
    table.mend().await;
    let event = refresh();
    join_all(functions.iter_mut().map(|function| function.succeed(&event))).await;
    let requests = table.requests();
    let count = |name: &str| requests.iter().filter(|request| *request == name).count();
    // Each may try for the lease before it sees that it is held; one stores the token.
    assert!(count("UpdateItem") <= 8 + 1, "{requests:?}");
    assert!(count("GetItem") <= 8 * 9, "{requests:?}");
}

#[tokio::test]
async fn eight_processes_make_one_call_to_a_wechat_that_refuses() {
    let stage = stage().await;
    let mut functions = join_all((0..8).map(|_| stage.function(BINARY))).await;
    stage
        .wechat
        .fault(
            STABLE_TOKEN,
            &json!({"errcode": 40164, "delay_ms": 1_500, "times": 100}),
        )
        .await;
    let event = refresh();
    let errors = join_all(functions.iter_mut().map(|function| function.fail(&event))).await;
    assert_eq!(calls(&stage).await, 1);
    for (kind, message) in errors {
        assert!(
            kind == "WeChat40164" && message.contains("IP白名单"),
            "{kind}: {message}"
        );
    }
}

#[tokio::test]
async fn a_working_token_is_not_waited_for() {
    let stage = stage().await;
    let mut holder = refreshed(&stage).await;
    let mut other = stage.function(BINARY).await;
    put(&stage, json!({"expires_at": now() + 300})).await;
    stage.wechat.fault(STABLE_TOKEN, &json!({"delay_ms": 2_000})).await;
    let event = refresh();
    let meanwhile = async {
        eventually("the call", || async { (calls(&stage).await >= 2).then_some(()) }).await;
        let started = Instant::now();
        let done = other.succeed(&event).await;
        (done, started.elapsed())
    };
    let (_, (done, taken)) = tokio::join!(holder.succeed(&event), meanwhile);
    assert!(
        done["refreshed"] == false && taken < Duration::from_secs(1),
        "{done} {taken:?}"
    );
}

#[tokio::test]
async fn a_holder_that_is_killed_delays_the_others_by_less_than_a_minute() {
    let stage = stage().await;
    let mut holder = stage.function(BINARY).await;
    stage.wechat.fault(STABLE_TOKEN, &json!({"delay_ms": 60_000})).await;
    let asked = eventually("the call", || async { (calls(&stage).await > 0).then_some(()) });
    let event = refresh();
    tokio::select! {
        outcome = holder.invoke(&event) => panic!("{outcome:?}"),
        () = asked => {}
    }
    holder.kill().await;
    let item = token(&stage).await;
    let held_for = item["lease_expires_at"].as_i64().unwrap() - now();
    assert!(has_lease(&item) && (1..60).contains(&held_for), "{item:?}");

    // Another run waits as long as its own deadline lets it, and does not call WeChat.
    let mut other = stage.function(BINARY).await;
    let started = Instant::now();
    let (kind, _) = other.fail_within(&event, 4_000).await;
    assert!(kind == "Busy" && started.elapsed() < Duration::from_secs(4), "{kind}");
    assert_eq!(calls(&stage).await, 1);

    // As if the lease had ended.
    put(&stage, json!({"lease_expires_at": now() - 1})).await;
    assert_eq!(other.succeed(&event).await["refreshed"], true);
    assert!(is_free(&stage).await);
}

#[tokio::test]
async fn a_write_that_lands_and_is_not_answered_is_no_error() {
    // The table is asked once at the start, then for the token and for the lease.
    const STORING: usize = 4;
    // The SDK's own retry makes up for one lost answer. After three it gives up.
    for losses in [1, 3] {
        let stage = stage().await.behind_proxies().await;
        let forgetful = stage.proxy(Service::Table);
        forgetful.fail(STORING..STORING + losses, Fault::WithholdAnswer);
        let done = stage.function(BINARY).await.succeed(&refresh()).await;
        assert_eq!(done["refreshed"], true, "{losses} lost");
        let item = token(&stage).await;
        assert_eq!(item["generation"], 1);
        assert!(!has_lease(&item));
        assert_eq!((calls(&stage).await, forgetful.requests().len()), (1, STORING + losses));
    }
}
