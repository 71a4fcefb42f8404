//! The built binary: effects that `webhook` hands over, by Lambda and by a queue, happen once, and failures are reported as such.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod campaigns;
mod forwards;
mod further;
mod scheduled;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testing::{
    Fault, Function, SecretsManager, Service, Stage,
    event::{queue, sample},
    now,
};

const BINARY: &str = env!("CARGO_BIN_EXE_worker");
const MSGID: &str = "3000000000000000001";

async fn stage() -> Stage {
    let mut stage = Stage::new().await.behind_proxies().await;
    stage.set([("EVENT_BUS_NAME", "callbacks"), ("AWS_LAMBDA_LOG_LEVEL", "TRACE")]);
    stage
}

/// The function, once it has read what it reads at its start.
async fn start(stage: &Stage) -> Function {
    start_with(stage, &[]).await
}

async fn start_with(stage: &Stage, changes: &[(&str, &str)]) -> Function {
    let mut function = stage.function_with(BINARY, changes).await;
    function.started().await;
    function
}

/// The receipt is recorded and the event published, each once.
async fn assert_done(stage: &Stage) {
    let record = stage.table.item(&format!("message#{MSGID}")).await;
    assert_eq!(record["status"], "delivered");
    let entries = stage.bus.entries();
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(entries[0]["DetailType"], "event.TEMPLATESENDJOBFINISH");
}

/// A receipt that is to be recorded and published, which came in ten minutes ago.
fn effects() -> Value {
    let mut event = sample("worker-effects");
    event["received_at"] = json!(now() - 600);
    event["publish"] = json!(true);
    event
}

/// The answer to effects that have happened in this run, or in one before.
fn done(when: &str) -> Value {
    json!({"effects": when})
}

#[tokio::test]
async fn what_is_handed_over_happens_with_the_time_at_which_it_came_in() {
    let stage = stage().await;
    let mut worker = start(&stage).await;
    let event = effects();
    assert_eq!(worker.succeed(&event).await, done("now"));
    assert_done(&stage).await;
    let record = stage.table.item(&format!("message#{MSGID}")).await;
    assert_eq!(record["finished_at"], event["received_at"]);
    assert_eq!(stage.bus.entries()[0]["Time"], event["received_at"]);
}

/// The event may come late, and twice: the newest event wins.
#[tokio::test]
async fn an_event_of_following_that_is_handed_over_is_recorded_for_a_bound_user() {
    let stage = stage().await;
    let mut worker = start_with(&stage, &[("EVENT_BUS_NAME", "")]).await;
    let event = |name: &str, at: i64| {
        let mut event = effects();
        event["publish"] = json!(false);
        event["callback"] = json!({
            "ToUserName": "gh_1", "FromUserName": "o1", "CreateTime": at.to_string(), "MsgType": "event", "Event": name,
        });
        event
    };
    assert_eq!(worker.succeed(&event("subscribe", 100)).await, done("now"));
    assert!(stage.table.items().await.is_empty(), "nobody is bound");
    stage
        .table
        .set("user#u-1", &json!({"openid": "o1", "bound_at": 1}))
        .await;
    stage.table.set("openid#o1", &json!({"user": "u-1"})).await;
    stage.proxy(Service::Table).fail(1.., Fault::Refuse);
    assert_eq!(worker.fail(&event("unsubscribe", 110)).await.0, "Effects");
    stage.mend().await;
    for (name, at, expected) in [
        ("subscribe", 100, true),
        ("unsubscribe", 110, false),
        ("unsubscribe", 110, false),
        ("subscribe", 105, false),
    ] {
        assert_eq!(worker.succeed(&event(name, at)).await, done("now"));
        for item in ["user#u-1", "openid#o1"] {
            assert_eq!(stage.table.item(item).await["followed"], expected, "{name} {at}");
        }
    }
}

/// Lambda promises to deliver at least once.
#[tokio::test]
async fn an_event_that_is_delivered_twice_has_its_effects_once() {
    let stage = stage().await;
    let (mut first, mut second) = (start(&stage).await, start(&stage).await);
    stage.bus.delay(Duration::from_millis(300));
    let event = effects();
    let at_once = tokio::join!(first.succeed(&event), second.succeed(&event));
    let later = first.succeed(&queue(&[("1", event.clone()), ("2", event)])).await;
    assert_done(&stage).await;
    assert!(
        at_once == (done("now"), done("before")) || at_once == (done("before"), done("now")),
        "{at_once:?}"
    );
    assert_eq!(later, json!({"batchItemFailures": []}));
}

#[tokio::test]
async fn an_outage_is_a_function_error_and_leaves_nothing_in_the_way() {
    let stage = stage().await;
    let mut worker = start(&stage).await;
    stage.proxy(Service::Table).fail(1.., Fault::Refuse);
    assert_eq!(worker.fail(&effects()).await.0, "Effects");
    stage.mend().await;
    stage.bus.refuse(1);
    assert_eq!(worker.fail(&effects()).await.0, "Effects");
    let started = Instant::now();
    assert_eq!(worker.succeed(&effects()).await, done("now"));
    assert!(started.elapsed() < Duration::from_secs(2), "its claim was given up");
    assert_done(&stage).await;
}

/// `webhook` may have died with its claim, or could not give it up.
#[tokio::test]
async fn the_claim_of_a_delivery_that_has_died_is_waited_for() {
    let stage = stage().await;
    let mut worker = start(&stage).await;
    let event = effects();
    stage.bus.delay(Duration::from_secs(60));
    let mut dying = start(&stage).await;
    let claim = tokio::select! {
        outcome = dying.invoke(&event) => panic!("it was not held: {outcome:?}"),
        // A call that came in later would be answered without the delay.
        (claim, ()) = async { tokio::join!(stage.table.claimed(), stage.bus.called()) } => claim,
    };
    dying.kill().await;
    stage.bus.delay(Duration::ZERO);
    // The claim of `worker` itself lasts longer than that of `webhook`.
    stage.table.set(&claim, &json!({"claim_expires_at": now() + 1})).await;
    assert_eq!(worker.succeed(&event).await, done("now"));
    assert_done(&stage).await;
}

/// The worker must not report effects that did not happen.
#[tokio::test]
async fn a_worker_without_the_bus_does_not_take_a_callback_for_published() {
    let stage = stage().await;
    let mut worker = start_with(&stage, &[("EVENT_BUS_NAME", "")]).await;
    let (kind, message) = worker.fail(&effects()).await;
    assert!(
        kind == "NoBus" && message.contains("EVENT_BUS_NAME"),
        "{kind}: {message}"
    );
}

/// The schedule starts another one each minute: runs that failed in an outage must not hide receipts that wait.
#[tokio::test]
async fn a_failed_run_does_not_stay_in_the_queue() {
    let stage = stage().await;
    let mut worker = start(&stage).await;
    stage.proxy(Service::Table).fail(1.., Fault::Refuse);
    let run = json!({"action": "run"});
    worker.fail(&run).await;
    let runs = queue(&[("run", run), ("schedule", json!({})), ("receipt", effects())]);
    assert_eq!(
        worker.succeed(&runs).await,
        json!({"batchItemFailures": [{"itemIdentifier": "receipt"}]})
    );
}

#[tokio::test]
async fn of_a_queue_those_come_again_that_failed() {
    let stage = stage().await;
    let mut worker = start(&stage).await;
    let mut other = effects();
    other["callback"]["MsgID"] = json!("3000000000000000002");
    let mut events = queue(&[
        ("good", effects()),
        ("odd", json!({"action": "dance"})),
        ("late", other),
    ]);
    events["Records"][0]["body"] = json!(effects().to_string());
    assert_eq!(
        worker.succeed(&events).await,
        json!({"batchItemFailures": [{"itemIdentifier": "odd"}]})
    );
    assert_eq!(stage.bus.entries().len(), 2);
    events["Records"][1]["body"] = json!("no JSON");
    assert_eq!(
        worker.succeed(&events).await,
        json!({"batchItemFailures": [{"itemIdentifier": "odd"}]})
    );
    assert_eq!(stage.bus.entries().len(), 2, "the others have happened before");
    for name in ["worker-effects", "worker-queue"] {
        worker.succeed(&sample(name)).await;
    }
}

#[tokio::test]
async fn nothing_is_due_and_an_unknown_action_is_an_error() {
    let stage = stage().await;
    let mut worker = start(&stage).await;
    for event in [sample("worker-run"), json!({}), sample("refresh-schedule")] {
        assert_eq!(worker.succeed(&event).await, json!({}), "{event}");
    }
    for event in [
        json!({"action": "dance"}),
        json!({"action": 7}),
        json!({"action": null}),
    ] {
        assert_eq!(worker.fail(&event).await.0, "UnknownAction", "{event}");
    }
    assert_eq!(worker.fail(&json!({"action": "effects"})).await.0, "NotEffects");
}

#[tokio::test]
async fn neither_log_nor_error_tells_a_text_or_an_openid() {
    let stage = stage().await;
    let mut worker = start(&stage).await;
    let mut event = effects();
    event["callback"] = json!({
        "ToUserName": "gh_1", "FromUserName": "oEventsUser", "MsgType": "text", "Content": "do not tell", "MsgId": "1",
    });
    stage.bus.refuse(1);
    let mut shown = format!("{:?}", worker.invoke(&event).await);
    shown += &format!("{:?}", worker.invoke(&event).await);
    shown += &format!("{:?}", worker.invoke(&queue(&[("1", event.clone())])).await);
    event["callback"]["MsgType"] = json!("");
    shown += &format!("{:?}", worker.invoke(&event).await);
    shown += &worker.logs();
    assert!(shown.contains("effects of a callback"), "{shown}");
    for secret in ["oEventsUser", "do not tell"] {
        assert!(!shown.contains(secret), "{secret} is shown: {shown}");
    }
}

#[tokio::test]
async fn every_problem_of_the_configuration_is_reported_at_once() {
    let variables = [("WECHAT_APP_ID", "gh_0a1b2c3d4e5f")];
    let mut worker = Function::start(BINARY, &variables).await;
    assert_eq!(worker.exit_code().await, Some(1));
    let logs = worker.logs();
    assert!(logs.contains("WECHAT_APP_ID") && logs.contains("TABLE_NAME"), "{logs}");
}

#[tokio::test]
async fn an_unreadable_secret_is_a_function_error_so_that_lambda_tries_again() {
    let mut stage = stage().await;
    let secrets = SecretsManager::refusing().await;
    stage.set_secret(&secrets);
    let mut worker = start_with(&stage, &[("WECHAT_APP_ID", "")]).await;
    let (kind, message) = worker.fail(&json!({"action": "run"})).await;
    assert_eq!(kind, "SecretUnreadable");
    assert!(message.contains("WECHAT_SECRET_ID"), "{message}");
}
