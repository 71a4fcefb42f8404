//! The built binary: what `webhook` hands over, by Lambda and by a queue, happens once, and what fails is told as failed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use testing::{
    EmbeddedEventBus, EmbeddedSecretsManager, EmbeddedTable, Fault, FaultProxy, Function, Outcome, TABLE_NAME,
};
use wechat::{
    message::Callback,
    store::{Claim, MessageStatus, Table},
    xml::Tree,
};

const APP_ID: &str = "wx0123456789abcdef";
const MSGID: &str = "3000000000000000001";

/// A table behind a proxy, and an event bus.
struct Bench {
    table: EmbeddedTable,
    proxy: FaultProxy,
    bus: EmbeddedEventBus,
}

impl Bench {
    async fn new() -> Self {
        let table = EmbeddedTable::start(None).await.unwrap();
        let proxy = FaultProxy::start(&table.endpoint()).await.unwrap();
        let bus = EmbeddedEventBus::start().await.unwrap();
        Self { table, proxy, bus }
    }

    /// The function, once it has read what it reads at its start.
    async fn start(&self, changes: &[(&str, &str)]) -> Function {
        let endpoint = self.proxy.endpoint();
        let mut variables = vec![
            ("WECHAT_APP_ID", APP_ID),
            ("TABLE_NAME", TABLE_NAME),
            ("AWS_ENDPOINT_URL_DYNAMODB", &endpoint),
            ("EVENT_BUS_NAME", "callbacks"),
            ("AWS_ENDPOINT_URL_EVENTBRIDGE", self.bus.endpoint()),
            ("AWS_LAMBDA_LOG_LEVEL", "TRACE"),
        ];
        variables.extend(changes);
        let mut function = Function::start(env!("CARGO_BIN_EXE_worker"), &variables).await.unwrap();
        function.started().await;
        function
    }

    fn store(&self) -> Table {
        Table::new(self.table.client(), TABLE_NAME, APP_ID)
    }

    /// The receipt and the event, each once.
    async fn assert_done(&self) {
        let record = self.store().message(MSGID, now()).await.unwrap().unwrap();
        assert_eq!(record.status, MessageStatus::Delivered);
        let entries = self.bus.entries();
        assert_eq!(entries.len(), 1, "{entries:?}");
        assert_eq!(entries[0]["DetailType"], "event.TEMPLATESENDJOBFINISH");
    }
}

fn now() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since_epoch.as_secs()).unwrap()
}

/// A receipt that is to be recorded and published, which came in ten minutes ago.
fn effects() -> Value {
    let mut event = testing::event("worker-effects");
    event["received_at"] = json!(now() - 600);
    event["publish"] = json!(true);
    event
}

/// Messages of a queue, each with what Lambda keeps of an event that it could not run.
fn queue(events: &[(&str, Value)]) -> Value {
    let sample = testing::event("worker-queue");
    let records: Vec<Value> = events
        .iter()
        .map(|(id, event)| {
            let mut record = sample["Records"][0].clone();
            let mut body: Value = serde_json::from_str(record["body"].as_str().unwrap()).unwrap();
            body["requestPayload"] = event.clone();
            record["body"] = json!(body.to_string());
            record["messageId"] = json!(id);
            record
        })
        .collect();
    json!({"Records": records})
}

fn error_type(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Failed(error) => error["errorType"].as_str().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_handed_over_happens_with_the_time_at_which_it_came_in() {
    let bench = Bench::new().await;
    let mut worker = bench.start(&[]).await;
    let event = effects();
    assert_eq!(
        worker.invoke(&event).await,
        Outcome::Answered(json!({"effects": "now"}))
    );
    bench.assert_done().await;
    let record = bench.store().message(MSGID, now()).await.unwrap().unwrap();
    assert_eq!(record.finished_at, event["received_at"].as_i64());
    assert_eq!(bench.bus.entries()[0]["Time"], json!(event["received_at"].as_i64()));
}

/// Lambda promises to deliver at least once.
#[tokio::test]
async fn an_event_that_is_delivered_twice_has_its_effects_once() {
    let bench = Bench::new().await;
    let (mut first, mut second) = (bench.start(&[]).await, bench.start(&[]).await);
    bench.bus.delay(Duration::from_millis(300));
    let event = effects();
    let at_once = tokio::join!(first.invoke(&event), second.invoke(&event));
    let later = first.invoke(&queue(&[("1", event.clone()), ("2", event)])).await;
    bench.assert_done().await;
    let done = |how: &str| Outcome::Answered(json!({"effects": how}));
    assert!(
        at_once == (done("now"), done("before")) || at_once == (done("before"), done("now")),
        "{at_once:?}"
    );
    assert_eq!(later, Outcome::Answered(json!({"batchItemFailures": []})));
}

#[tokio::test]
async fn an_outage_is_a_function_error_and_leaves_nothing_in_the_way() {
    let bench = Bench::new().await;
    let mut worker = bench.start(&[]).await;
    bench.proxy.fail(1.., Fault::Refuse);
    assert_eq!(error_type(&worker.invoke(&effects()).await), "Effects");
    bench.proxy.mend().await;
    bench.bus.refuse(1);
    assert_eq!(error_type(&worker.invoke(&effects()).await), "Effects");
    let started = Instant::now();
    assert_eq!(
        worker.invoke(&effects()).await,
        Outcome::Answered(json!({"effects": "now"}))
    );
    assert!(started.elapsed() < Duration::from_secs(2), "its claim was given up");
    bench.assert_done().await;
}

/// `webhook` may have died with its claim, or could not give it up.
#[tokio::test]
async fn the_claim_of_a_delivery_that_has_died_is_waited_for() {
    let bench = Bench::new().await;
    let mut worker = bench.start(&[]).await;
    let event = effects();
    let callback = Tree::parse(event["callback"].to_string().as_bytes()).unwrap();
    let key = Callback::from_document(callback).unwrap().dedup_key();
    let claim = bench.store();
    let claim = claim.claim_callback(&key, "dead", now(), 1);
    assert_eq!(claim.await.unwrap(), Claim::Won);
    assert_eq!(
        worker.invoke(&event).await,
        Outcome::Answered(json!({"effects": "now"}))
    );
    bench.assert_done().await;
}

/// Whoever waits for effects must not be told that they have happened.
#[tokio::test]
async fn a_worker_without_the_bus_does_not_take_a_callback_for_published() {
    let bench = Bench::new().await;
    let mut worker = bench.start(&[("EVENT_BUS_NAME", "")]).await;
    let outcome = worker.invoke(&effects()).await;
    assert_eq!(error_type(&outcome), "NoBus");
    assert!(format!("{outcome:?}").contains("EVENT_BUS_NAME"));
}

#[tokio::test]
async fn of_a_queue_those_come_again_that_failed() {
    let bench = Bench::new().await;
    let mut worker = bench.start(&[]).await;
    let mut other = effects();
    other["callback"]["MsgID"] = json!("3000000000000000002");
    let mut events = queue(&[
        ("good", effects()),
        ("odd", json!({"action": "dance"})),
        ("late", other),
    ]);
    events["Records"][0]["body"] = json!(effects().to_string());
    assert_eq!(
        worker.invoke(&events).await,
        Outcome::Answered(json!({"batchItemFailures": [{"itemIdentifier": "odd"}]}))
    );
    assert_eq!(bench.bus.entries().len(), 2);
    events["Records"][1]["body"] = json!("no JSON");
    assert_eq!(
        worker.invoke(&events).await,
        Outcome::Answered(json!({"batchItemFailures": [{"itemIdentifier": "odd"}]}))
    );
    assert_eq!(bench.bus.entries().len(), 2, "the others have happened before");
    for name in ["worker-effects", "worker-queue"] {
        assert!(matches!(
            worker.invoke(&testing::event(name)).await,
            Outcome::Answered(_)
        ));
    }
}

#[tokio::test]
async fn nothing_is_due_and_an_unknown_action_is_an_error() {
    let bench = Bench::new().await;
    let mut worker = bench.start(&[]).await;
    for event in [json!({"action": "run"}), json!({}), testing::event("refresh-schedule")] {
        assert_eq!(worker.invoke(&event).await, Outcome::Answered(json!({})), "{event}");
    }
    for event in [
        json!({"action": "dance"}),
        json!({"action": 7}),
        json!({"action": null}),
    ] {
        assert_eq!(error_type(&worker.invoke(&event).await), "UnknownAction", "{event}");
    }
    assert_eq!(
        error_type(&worker.invoke(&json!({"action": "effects"})).await),
        "NotEffects"
    );
}

#[tokio::test]
async fn neither_log_nor_error_tells_a_text_or_an_openid() {
    let bench = Bench::new().await;
    let mut worker = bench.start(&[]).await;
    let mut event = effects();
    event["callback"] = json!({
        "ToUserName": "gh_1", "FromUserName": "oEventsUser", "MsgType": "text", "Content": "do not tell", "MsgId": "1",
    });
    bench.bus.refuse(1);
    let mut told = format!("{:?}", worker.invoke(&event).await);
    told += &format!("{:?}", worker.invoke(&event).await);
    told += &format!("{:?}", worker.invoke(&queue(&[("1", event.clone())])).await);
    event["callback"]["MsgType"] = json!("");
    told += &format!("{:?}", worker.invoke(&event).await);
    told += &worker.logs();
    assert!(told.contains("effects of a callback"), "{told}");
    for secret in ["oEventsUser", "do not tell"] {
        assert!(!told.contains(secret), "{secret} is told: {told}");
    }
}

#[tokio::test]
async fn every_problem_of_the_configuration_is_reported_at_once() {
    let variables = [("WECHAT_APP_ID", "gh_0a1b2c3d4e5f")];
    let mut worker = Function::start(env!("CARGO_BIN_EXE_worker"), &variables).await.unwrap();
    assert_eq!(worker.exit_code().await, Some(1));
    let logs = worker.logs();
    assert!(logs.contains("WECHAT_APP_ID") && logs.contains("TABLE_NAME"), "{logs}");
}

#[tokio::test]
async fn an_unreadable_secret_is_a_function_error_so_that_lambda_tries_again() {
    let bench = Bench::new().await;
    let secrets = EmbeddedSecretsManager::refusing().await.unwrap();
    let mut worker = bench
        .start(&[
            ("WECHAT_APP_ID", ""),
            ("WECHAT_SECRET_ID", "wechat"),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.endpoint()),
        ])
        .await;
    let Outcome::Failed(error) = worker.invoke(&json!({"action": "run"})).await else {
        panic!("it ran without its account");
    };
    assert_eq!(error["errorType"], "SecretUnreadable");
    assert!(
        error["errorMessage"].as_str().unwrap().contains("WECHAT_SECRET_ID"),
        "{error}"
    );
}
