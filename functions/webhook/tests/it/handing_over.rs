//! Effects that fail are handed over to `worker`: no reply waits for them, and WeChat's three deliveries are not the only
//! queue.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testing::{Fault, FaultProxy, LambdaApi};
use wechat::{effects::LateEffects, store::Claim};

use crate::{
    outages::slow_secret,
    setup::{Answer, Variables, document, event_bus, frozen, nothing_listens, now, receipt, store, table, text},
};

/// WeChat hangs up after 5 s.
const IN_TIME: Duration = Duration::from_millis(4800);

async fn lambda() -> LambdaApi {
    LambdaApi::start(|_| async { Ok(json!({})) }).await.unwrap()
}

impl Variables {
    fn handing_over(self, lambda: &str) -> Self {
        self.with(&[("WORKER_FUNCTION", "worker"), ("AWS_ENDPOINT_URL_LAMBDA", lambda)])
    }
}

fn keyword() -> Value {
    json!({"keywords": [{"match": "exact", "value": "你好", "reply": {"type": "text", "content": "own"}}]})
}

/// The only event that was handed over, read.
fn only(lambda: &LambdaApi) -> LateEffects {
    let kept = lambda.kept();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(lambda.events().is_empty(), "nobody waits for a run");
    LateEffects::from_event(&kept[0]).unwrap()
}

#[tokio::test]
async fn a_reply_does_not_wait_for_a_bus_that_is_down_or_frozen() {
    let table = table(&keyword()).await;
    let (_listener, silent) = frozen();
    for bus in [nothing_listens(), silent] {
        let lambda = lambda().await;
        let mut webhook = Variables::new("plain", &table.endpoint())
            .publishing(&bus)
            .handing_over(&lambda.endpoint())
            .start()
            .await;
        webhook.0.started().await;
        let xml = text("你好", 1);
        let started = Instant::now();
        let answer = webhook.post(&xml).await;
        assert!(
            started.elapsed() < Duration::from_millis(2500),
            "{:?}",
            started.elapsed()
        );
        assert_eq!(answer.reply_to(&xml, false).text("Content"), Some("own"));
        let late = only(&lambda);
        assert_eq!(late.callback.document().to_json(), document(&xml).to_json());
        assert!(late.publish && (late.received_at - now()).abs() < 60);
        // The worker need not wait for the end of the claim.
        let key = late.callback.dedup_key();
        let claim = store(&table).claim_callback(&key, "worker", now(), 1).await;
        assert_eq!(claim.unwrap(), Claim::Won);
        store(&table).give_up_callback(&key, "worker").await.unwrap();
    }
}

#[tokio::test]
async fn a_receipt_outlives_a_table_that_is_down_or_frozen() {
    let (_listener, silent) = frozen();
    for endpoint in [nothing_listens(), silent] {
        let lambda = lambda().await;
        let variables = Variables::new("plain", &endpoint).handing_over(&lambda.endpoint());
        let started = Instant::now();
        assert_eq!(
            variables.start().await.post(&receipt("1", "success")).await,
            Answer::success()
        );
        assert!(started.elapsed() < IN_TIME, "{:?}", started.elapsed());
        let late = only(&lambda);
        assert_eq!(late.callback.document().text("MsgID"), Some("1"));
        assert!(!late.publish);
    }
}

/// All that may be slow at once, in the first callback of a process.
#[tokio::test]
async fn a_slow_start_a_frozen_table_and_a_slow_lambda_still_end_in_time() {
    let (_listener, silent) = frozen();
    let (lambda, secrets) = (lambda().await, slow_secret().await);
    let proxy = FaultProxy::start(&lambda.endpoint()).await.unwrap();
    proxy.fail(.., Fault::Delay(Duration::from_millis(700)));
    let variables = Variables::new("plain", &silent)
        .with(&[("WECHAT_TOKEN", "")])
        .with_secret(&secrets)
        .handing_over(&proxy.endpoint());
    let started = Instant::now();
    assert_eq!(
        variables.start().await.post(&receipt("1", "success")).await,
        Answer::success()
    );
    assert!(started.elapsed() < IN_TIME, "{:?}", started.elapsed());
}

#[tokio::test]
async fn what_nobody_takes_wechat_delivers_again() {
    let (_listener, silent) = frozen();
    for lambda in [nothing_listens(), silent] {
        let mut webhook = Variables::new("plain", &nothing_listens())
            .handing_over(&lambda)
            .start()
            .await;
        let started = Instant::now();
        assert_eq!(
            webhook.post(&receipt("1", "success")).await,
            Answer::text(500, "try again")
        );
        assert!(started.elapsed() < IN_TIME, "{:?}", started.elapsed());
        let told = webhook.told(1).await;
        let error = told[0]["error"].as_str().unwrap();
        assert!(error.contains("DynamoDB") && error.contains("worker"), "{error}");
    }
}

/// Lambda would refuse the event.
#[tokio::test]
async fn a_callback_that_is_too_long_to_hand_over_is_delivered_again() {
    let (lambda, table) = (lambda().await, table(&keyword()).await);
    let mut webhook = Variables::new("plain", &table.endpoint())
        .publishing(&nothing_listens())
        .handing_over(&lambda.endpoint())
        .start()
        .await;
    // As JSON each quote is two bytes.
    let long = text(&"\"".repeat(200 * 1024), 1);
    assert_eq!(webhook.post(&long).await.status, 500);
    assert!(lambda.kept().is_empty());
}

#[tokio::test]
async fn a_delivery_that_is_still_at_work_is_left_to_worker() {
    let (lambda, table, bus) = (lambda().await, table(&keyword()).await, event_bus().await);
    let xml = text("你好", 1);
    let callback = wechat::message::Callback::from_document(document(&xml)).unwrap();
    let (store, key) = (store(&table), callback.dedup_key());
    let claim = store.claim_callback(&key, "earlier", now(), 60);
    assert_eq!(claim.await.unwrap(), Claim::Won);
    let mut webhook = Variables::new("plain", &table.endpoint())
        .publishing(bus.endpoint())
        .handing_over(&lambda.endpoint())
        .start()
        .await;
    assert_eq!(
        webhook.post(&xml).await.reply_to(&xml, false).text("Content"),
        Some("own")
    );
    only(&lambda);
    assert!(bus.entries().is_empty());
}

#[tokio::test]
async fn what_goes_well_is_not_handed_over() {
    let (lambda, table, bus) = (lambda().await, table(&keyword()).await, event_bus().await);
    let mut webhook = Variables::new("plain", &table.endpoint())
        .publishing(bus.endpoint())
        .handing_over(&lambda.endpoint())
        .start()
        .await;
    for _ in 0..2 {
        assert_eq!(webhook.post(&receipt("1", "success")).await, Answer::success());
    }
    assert_eq!(bus.entries().len(), 1);
    assert!(lambda.kept().is_empty());
}

#[tokio::test]
async fn the_log_tells_why_effects_were_handed_over_and_not_whose() {
    let (lambda, table) = (lambda().await, table(&keyword()).await);
    let mut webhook = Variables::new("plain", &table.endpoint())
        .publishing(&nothing_listens())
        .handing_over(&lambda.endpoint())
        .start()
        .await;
    webhook.post(&text("do not tell", 1)).await;
    let told = webhook.told(1).await;
    assert_eq!(
        (&told[0]["handed_over"], &told[0]["level"]),
        (&json!(true), &json!("WARN"))
    );
    assert!(
        told[0]["error"].as_str().unwrap().contains("EVENT_BUS_NAME"),
        "{told:?}"
    );
    let lines = webhook.log_lines();
    assert!(lines.iter().any(|line| line["HandedOver"] == json!(1.0)), "{lines:?}");
    let logs = webhook.0.logs();
    assert!(!logs.contains("do not tell") && !logs.contains("oUser"), "{logs}");
}
