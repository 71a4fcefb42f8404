//! A clock that is an hour off: the function's own, WeChat's, or that of a process before.
//!
//! The functions read the machine's clock, which stays as it is. What they compare with it is moved instead: the
//! timestamps of callbacks, the times in the table, the deadline that Lambda gives, and the platform's own clock.

use std::time::Duration;

use serde_json::json;
use testing::{Function, Service, now, now_millis};

use crate::{
    refreshing::refresh,
    report::{self, Cases, Row},
    sending,
    stage::{Program, Seen, Stage, ask, ask_until, send},
};

const HOUR: i64 = 3600;
const HI: &str = "<Content>hi</Content><MsgId>24000000000000001</MsgId>";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clock() {
    let mut cases = Cases::default();
    cases.add([(-HOUR, "an hour old"), (HOUR, "an hour ahead")].map(callback));
    cases.add([unchecked()]);
    cases.add([(-HOUR, "an hour ago"), (HOUR, "in an hour")].map(deadline));
    cases.add([ended_token()]);
    cases.add([dead_token()]);
    cases.add([lease()]);
    report::section(
        report::TITLES[8],
        "The functions read the machine's clock, which the suite leaves as it is: it moves what they compare with it.",
        cases.run().await,
    );
}

fn row(step: &str, breaks: &str, gets: String, within: &'static str, kept: String, returns: &str) -> Row {
    Row {
        step: step.to_owned(),
        breaks: breaks.to_owned(),
        gets,
        within,
        kept,
        returns: returns.to_owned(),
    }
}

async fn callback((off, breaks): (i64, &str)) -> Row {
    let stage = Stage::new().await;
    let mut webhook = stage.serving(Program::Webhook).await;
    let refused = ask(&mut webhook, &stage.callback("text", HI, off)).await;
    assert!(refused.took < report::WECHAT_WAITS, "{refused:?}");
    assert_eq!(ask(&mut webhook, &stage.callback("text", HI, 0)).await.status, 200);
    assert_eq!(stage.bus.entries().len(), 1, "what was refused is published");
    row(
        "a callback's timestamp",
        &format!("it is {breaks}"),
        refused.status.to_string(),
        "5 s",
        "nothing is changed".to_owned(),
        "a callback of now: 200",
    )
}

async fn unchecked() -> Row {
    let stage = Stage::new().await;
    let mut webhook = stage.start(Program::Webhook, &[("WECHAT_MAX_CLOCK_SKEW", "0")]).await;
    let seen = ask(&mut webhook, &stage.callback("text", HI, -HOUR)).await;
    row(
        "a callback's timestamp",
        "it is an hour old, with `WECHAT_MAX_CLOCK_SKEW=0`",
        seen.status.to_string(),
        "5 s",
        "the event, once".to_owned(),
        "nothing was missed",
    )
}

/// As when the process's clock and Lambda's differ.
async fn deadline((off, breaks): (i64, &str)) -> Row {
    let stage = Stage::new().await;
    let mut function = stage.serving(Program::SendTemplate).await;
    let seen = ask_until(&mut function, &send(Some("order-1")), now_millis() + off * 1000).await;
    sent(
        "the invocation's deadline",
        &format!("it is {breaks}"),
        &seen,
        &stage,
        &mut function,
    )
    .await
}

/// The table says that the token has expired, because the clock of its writer was behind.
async fn ended_token() -> Row {
    let stage = Stage::new().await;
    stage.table.set("token", &json!({"expires_at": now() - HOUR})).await;
    let mut function = stage.serving(Program::SendTemplate).await;
    let seen = ask(&mut function, &send(Some("order-1"))).await;
    assert_eq!(stage.proxy(Service::Lambda).requests().len(), 1);
    sent(
        "the token's end",
        "the table has it an hour ago, and WeChat later",
        &seen,
        &stage,
        &mut function,
    )
    .await
}

/// The table says that the token is alive, because the clock of its writer was ahead.
async fn dead_token() -> Row {
    let stage = Stage::new().await;
    stage.table.set("token", &json!({"expires_at": now() + HOUR})).await;
    stage.wechat.control("clock", &json!({"advance_seconds": 7_260})).await;
    let mut function = stage.serving(Program::SendTemplate).await;
    let seen = ask(&mut function, &send(Some("order-1"))).await;
    assert_eq!(stage.proxy(Service::Lambda).requests().len(), 1);
    sent(
        "the token's end",
        "the table has it in an hour, and WeChat earlier",
        &seen,
        &stage,
        &mut function,
    )
    .await
}

async fn sent(step: &str, breaks: &str, seen: &Seen, stage: &Stage, function: &mut Function) -> Row {
    assert_eq!(seen.status, 200, "{seen:?}");
    assert!(seen.took < report::ANSWERED_WITHIN, "{seen:?}");
    row(
        step,
        breaks,
        seen.outcome.clone(),
        "25 s",
        sending::kept(stage, function).await,
        "nothing was missed",
    )
}

/// A run that died has left a lease, written by a clock that was ahead.
async fn lease() -> Row {
    let stage = Stage::without_token().await;
    let mut function = stage.serving(Program::TokenRefresher).await;
    stage
        .table
        .set("token", &json!({"lease_expires_at": now() + HOUR}))
        .await;
    let seen = ask(&mut function, &refresh()).await;
    assert_eq!(seen.status, 200, "{seen:?}");
    assert!(seen.took < Duration::from_secs(25), "{seen:?}");
    row(
        "the refresher's lease",
        "a run that died has left it, to end in an hour",
        "the token is refreshed".to_owned(),
        "25 s",
        "one token, no lease".to_owned(),
        "nothing was missed",
    )
}
