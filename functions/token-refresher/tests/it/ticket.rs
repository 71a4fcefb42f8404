//! The jsapi_ticket: asked for once, then kept alive by the schedule.

use futures_util::future::join_all;
use serde_json::{Value, json};
use testing::{Stage, event::sample, eventually, now};

use crate::{BINARY, STABLE_TOKEN, TICKET, has_lease, put, refreshed, stage, token};

fn ask() -> Value {
    sample("ticket")
}

fn schedule() -> Value {
    sample("refresh-schedule")
}

async fn ticket(stage: &Stage) -> Value {
    stage.table.item("ticket").await
}

/// Moves the end of the stored ticket.
async fn ends_in(stage: &Stage, seconds: i64) {
    let end = json!({"expires_at": now() + seconds});
    stage.table.set("ticket", &end).await;
}

/// Makes WeChat answer the next `times` requests for a ticket.
async fn issues(stage: &Stage, name: &str, delay_ms: u64, times: u32) {
    let body = json!({"errcode": 0, "errmsg": "ok", "ticket": name, "expires_in": 7200}).to_string();
    let fault = json!({"body": body, "delay_ms": delay_ms, "times": times});
    stage.wechat.fault(TICKET, &fault).await;
}

#[tokio::test]
async fn many_runs_make_one_call_for_the_ticket() {
    let stage = stage().await;
    let mut functions = join_all((0..20).map(|_| stage.function(BINARY))).await;
    issues(&stage, "ticket-1", 1_000, 100).await;
    let event = ask();
    let answers = join_all(functions.iter_mut().map(|function| function.succeed(&event))).await;
    assert_eq!(stage.wechat.calls(TICKET).await, 1);
    assert_eq!(stage.wechat.calls(STABLE_TOKEN).await, 1, "the token was missing too");
    let item = ticket(&stage).await;
    assert!(item["ticket"] == "ticket-1" && !has_lease(&item), "{item}");
    let life = item["expires_at"].as_i64().unwrap() - now();
    assert!((7_180..=7_200).contains(&life), "{life}");
    for answer in answers {
        assert_eq!(
            answer,
            json!({"expires_at": item["expires_at"]}),
            "and never the ticket"
        );
    }
    assert!(functions.iter().all(|function| !function.logs().contains("ticket-1")));
}

#[tokio::test]
async fn the_schedule_renews_a_ticket_ahead_but_asks_for_none() {
    let stage = stage().await;
    let mut function = stage.function(BINARY).await;
    for _ in 0..2 {
        function.succeed(&schedule()).await;
    }
    assert_eq!(stage.wechat.calls(TICKET).await, 0, "nobody has asked for one");
    assert!(ticket(&stage).await.is_null());

    issues(&stage, "ticket-1", 0, 1).await;
    function.succeed(&ask()).await;
    issues(&stage, "ticket-2", 0, 1).await;
    for (life, expected) in [(700, "ticket-1"), (590, "ticket-2"), (7_000, "ticket-2")] {
        ends_in(&stage, life).await;
        let done = function.succeed(&schedule()).await;
        assert_eq!((&done["refreshed"], &done["generation"]), (&json!(false), &json!(1)));
        assert_eq!(ticket(&stage).await["ticket"], expected, "{life} s before the end");
    }
    assert_eq!(stage.wechat.calls(TICKET).await, 2);
    // A refresh on demand refreshes only the token.
    ends_in(&stage, 100).await;
    function.succeed(&crate::refresh()).await;
    assert_eq!(stage.wechat.calls(TICKET).await, 2);
}

#[tokio::test]
async fn a_failed_renewal_of_the_one_leaves_the_other_alone() {
    let stage = stage().await;
    let mut function = refreshed(&stage).await;
    issues(&stage, "ticket-1", 0, 1).await;
    function.succeed(&ask()).await;
    ends_in(&stage, 300).await;
    let failing = json!({"errcode": 45009, "times": 2});
    stage.wechat.fault(TICKET, &failing).await;
    assert_eq!(function.succeed(&schedule()).await["refreshed"], false);
    let item = ticket(&stage).await;
    assert!(item["ticket"] == "ticket-1" && !has_lease(&item), "{item}");
    let is_counted = |line: &Value| line.get("TicketFailures").is_some();
    assert!(function.metrics().iter().any(is_counted), "{}", function.logs());
    // The caller learns of it, with the old ticket in the table.
    assert_eq!(function.fail(&ask()).await.0, "WeChat45009");

    // The other way round: the old token serves to renew the ticket.
    put(&stage, json!({"expires_at": now() + 300})).await;
    stage.wechat.fault(STABLE_TOKEN, &json!({"errcode": 40164})).await;
    issues(&stage, "ticket-2", 0, 1).await;
    assert_eq!(function.fail(&schedule()).await.0, "WeChat40164");
    assert_eq!(ticket(&stage).await["ticket"], "ticket-2");

    // Without any token the ticket is not asked for, and the token only once.
    put(&stage, json!({"expires_at": now() - 1})).await;
    ends_in(&stage, 300).await;
    let before = (stage.wechat.calls(STABLE_TOKEN).await, stage.wechat.calls(TICKET).await);
    stage
        .wechat
        .fault(STABLE_TOKEN, &json!({"errcode": 40164, "times": 2}))
        .await;
    assert_eq!(function.fail(&schedule()).await.0, "WeChat40164");
    let after = (stage.wechat.calls(STABLE_TOKEN).await, stage.wechat.calls(TICKET).await);
    assert_eq!(after, (before.0 + 1, before.1));
}

#[tokio::test]
async fn a_token_that_wechat_refuses_is_replaced_once_for_the_ticket() {
    let stage = stage().await;
    let mut function = refreshed(&stage).await;
    for errcode in [40001, 42001] {
        let generation = token(&stage).await["generation"].as_i64().unwrap();
        stage.wechat.control("token/invalidate", &json!({})).await;
        stage.wechat.fault(TICKET, &json!({"errcode": errcode})).await;
        issues(&stage, "ticket-1", 0, 1).await;
        ends_in(&stage, -1).await;
        function.succeed(&ask()).await;
        assert_eq!(token(&stage).await["generation"], generation + 1, "{errcode}");
    }
    // When that does not help either, the token is not replaced in a loop.
    let before = stage.wechat.calls(TICKET).await;
    stage.wechat.control("token/invalidate", &json!({})).await;
    stage.wechat.fault(TICKET, &json!({"errcode": 40001, "times": 9})).await;
    ends_in(&stage, -1).await;
    assert_eq!(function.fail(&ask()).await.0, "ForcedTooOften");
    assert_eq!(stage.wechat.calls(TICKET).await, before + 2);
}

#[tokio::test]
async fn what_wechat_does_not_issue_is_told_and_not_stored() {
    let stage = stage().await;
    let mut function = refreshed(&stage).await;
    stage.wechat.fault(TICKET, &json!({"errcode": 48001})).await;
    let (kind, message) = function.fail(&ask()).await;
    assert!(kind == "WeChat48001" && message.contains("getticket"), "{message}");
    for body in [
        "<html>",
        "{}",
        r#"{"ticket":"","expires_in":7200}"#,
        r#"{"ticket":"t","expires_in":0}"#,
    ] {
        stage.wechat.fault(TICKET, &json!({"body": body})).await;
        assert_eq!(function.fail(&ask()).await.0, "WeChatUnreadable", "{body}");
    }
    let item = ticket(&stage).await;
    assert!(item.get("ticket").is_none() && !has_lease(&item), "{item}");
    // The schedule does not renew a ticket that nobody has got.
    let before = stage.wechat.calls(TICKET).await;
    function.succeed(&schedule()).await;
    assert_eq!(stage.wechat.calls(TICKET).await, before);
}

#[tokio::test]
async fn a_dead_holder_delays_the_ticket_by_less_than_a_minute() {
    let stage = stage().await;
    let mut holder = refreshed(&stage).await;
    issues(&stage, "ticket-1", 60_000, 1).await;
    let asked = eventually("the call", async || {
        (stage.wechat.calls(TICKET).await > 0).then_some(())
    });
    let event = ask();
    tokio::select! {
        outcome = holder.invoke(&event) => panic!("{outcome:?}"),
        () = asked => {}
    }
    holder.kill().await;
    let held_for = ticket(&stage).await["lease_expires_at"].as_i64().unwrap() - now();
    assert!((1..60).contains(&held_for), "{held_for}");
    stage.table.end_claims().await;
    issues(&stage, "ticket-2", 0, 1).await;
    stage.function(BINARY).await.succeed(&event).await;
    assert_eq!(ticket(&stage).await["ticket"], "ticket-2");
}
