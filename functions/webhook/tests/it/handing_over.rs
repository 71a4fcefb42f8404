//! Effects that fail are handed over to `worker`: no reply waits for them, and they survive WeChat's three deliveries.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use simulator::Mode;
use testing::{
    Fault, Service, Stage,
    event::{callback, receipt, text},
    loopback::{frozen, nobody},
    now, now_millis,
};

use crate::{
    outages::slow_secret,
    setup::{Answer, Webhook, document, hand_over, publish, stage},
};

/// WeChat hangs up after 5 s.
const IN_TIME: Duration = Duration::from_millis(4800);

/// The stage of a function with a keyword, which hands over what fails.
async fn handing_over() -> Stage {
    let mut stage = stage(Mode::Plain).await;
    let keyword = json!({"match": "exact", "value": "你好", "reply": {"type": "text", "content": "own"}});
    stage.table.save_rules(&json!({"keywords": [keyword]})).await;
    hand_over(&mut stage);
    stage
}

/// The same, of one that publishes what it receives.
async fn publishing() -> Stage {
    let mut stage = handing_over().await;
    publish(&mut stage);
    stage
}

/// The only event that was handed over.
fn only(stage: &Stage) -> Value {
    let mut kept = stage.lambda.kept();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(stage.lambda.events().is_empty(), "nobody waits for a run");
    assert_eq!(kept[0]["action"], "effects");
    kept.remove(0)
}

#[tokio::test]
async fn a_reply_does_not_wait_for_a_bus_that_is_down_or_frozen() {
    let frozen = frozen().await;
    for bus in [nobody(), frozen.endpoint()] {
        let mut stage = publishing().await;
        stage.set([("AWS_ENDPOINT_URL_EVENTBRIDGE", bus)]);
        let mut webhook = Webhook::start(&stage).await;
        webhook.0.started().await;
        let xml = text("你好", 1);
        let started = Instant::now();
        let answer = webhook.post(&xml).await;
        assert!(
            started.elapsed() < Duration::from_millis(2500),
            "{:?}",
            started.elapsed()
        );
        assert_eq!(answer.content(&xml), "own");
        let late = only(&stage);
        assert_eq!(late["callback"], document(&xml).to_json());
        assert_eq!(late["publish"], true);
        assert!((late["received_at"].as_i64().unwrap() - now()).abs() < 60, "{late}");
        // The worker need not wait for the end of the claim.
        let items = stage.table.items().await;
        let is_claim = |item: &&Value| item["pk"].as_str().unwrap().starts_with("callback#");
        assert_eq!(items.iter().find(is_claim), None);
    }
}

#[tokio::test]
async fn a_receipt_outlives_a_table_that_is_down_or_frozen() {
    let frozen = frozen().await;
    for endpoint in [nobody(), frozen.endpoint()] {
        let mut stage = handing_over().await;
        stage.set([("AWS_ENDPOINT_URL_DYNAMODB", endpoint)]);
        let started = Instant::now();
        let answer = Webhook::start(&stage).await.post(&receipt("1", "success")).await;
        assert_eq!(answer, Answer::success());
        assert!(started.elapsed() < IN_TIME, "{:?}", started.elapsed());
        let late = only(&stage);
        assert_eq!(
            (&late["callback"]["MsgID"], &late["publish"]),
            (&json!("1"), &json!(false))
        );
    }
}

/// All that may be slow at once, in the first callback of a process.
#[tokio::test]
async fn a_slow_start_a_frozen_table_and_a_slow_lambda_still_end_in_time() {
    let mut stage = handing_over().await.behind_proxies().await;
    let slow = Fault::Delay(Duration::from_millis(700));
    stage.proxy(Service::Lambda).fail(.., slow);
    stage.proxy(Service::Table).fail(.., Fault::Freeze);
    let _secrets = slow_secret(&mut stage).await;
    let started = Instant::now();
    let answer = Webhook::start(&stage).await.post(&receipt("1", "success")).await;
    assert_eq!(answer, Answer::success());
    assert!(started.elapsed() < IN_TIME, "{:?}", started.elapsed());
}

/// The gateway held it back, as it does while another instance starts.
#[tokio::test]
async fn a_callback_that_comes_late_to_the_function_is_answered_in_time() {
    let stage = handing_over().await.behind_proxies().await;
    let mut webhook = Webhook::start(&stage).await;
    webhook.0.started().await;
    for service in [Service::Table, Service::Lambda] {
        stage.proxy(service).fail(.., Fault::Freeze);
    }
    let late = callback(receipt("1", "success")).plain();
    let late = late.with("/requestContext/timeEpoch", now_millis() - 3_000);
    let started = Instant::now();
    assert_eq!(webhook.send(&late).await, Answer::try_again());
    let took = started.elapsed() + Duration::from_secs(3);
    assert!(took < IN_TIME, "{took:?}");
}

#[tokio::test]
async fn effects_that_nobody_takes_make_wechat_deliver_again() {
    let mut stage = handing_over().await;
    stage.set([("AWS_ENDPOINT_URL_DYNAMODB", nobody())]);
    let frozen = frozen().await;
    for lambda in [nobody(), frozen.endpoint()] {
        let mut webhook = Webhook::start_with(&stage, &[("AWS_ENDPOINT_URL_LAMBDA", &lambda)]).await;
        let started = Instant::now();
        assert_eq!(webhook.post(&receipt("1", "success")).await, Answer::try_again());
        assert!(started.elapsed() < IN_TIME, "{:?}", started.elapsed());
        let lines = webhook.log_lines_of_requests(1).await;
        let error = lines[0]["error"].as_str().unwrap();
        assert!(error.contains("DynamoDB") && error.contains("worker"), "{error}");
    }
}

/// Lambda would refuse the event.
#[tokio::test]
async fn a_callback_that_is_too_long_to_hand_over_is_delivered_again() {
    let mut stage = publishing().await;
    stage.set([("AWS_ENDPOINT_URL_EVENTBRIDGE", nobody())]);
    let mut webhook = Webhook::start(&stage).await;
    // As JSON each quote is two bytes.
    let long = text(&"\"".repeat(200 * 1024), 1);
    assert_eq!(webhook.post(&long).await.status, 500);
    assert!(stage.lambda.kept().is_empty());
}

#[tokio::test]
async fn a_delivery_that_is_still_at_work_is_left_to_worker() {
    let stage = publishing().await;
    let xml = text("你好", 1);
    let (mut earlier, mut webhook) = (Webhook::start(&stage).await, Webhook::start(&stage).await);
    // Holds the claim of the earlier delivery.
    stage.bus.delay(Duration::from_secs(60));
    let later = async {
        stage.table.claimed().await;
        let answer = webhook.post(&xml).await;
        (answer, stage.lambda.kept().len())
    };
    let (answer, handed_over) = tokio::select! {
        earlier = earlier.post(&xml) => panic!("it was not held: {earlier:?}"),
        later = later => later,
    };
    assert_eq!((answer.content(&xml).as_str(), handed_over), ("own", 1));
    assert!(stage.bus.entries().is_empty());
}

#[tokio::test]
async fn what_goes_well_is_not_handed_over() {
    let stage = publishing().await;
    let mut webhook = Webhook::start(&stage).await;
    for _ in 0..2 {
        assert_eq!(webhook.post(&receipt("1", "success")).await, Answer::success());
    }
    assert_eq!(stage.bus.entries().len(), 1);
    assert!(stage.lambda.kept().is_empty());
}

#[tokio::test]
async fn the_log_tells_why_effects_were_handed_over_and_not_whose() {
    let mut stage = publishing().await;
    stage.set([("AWS_ENDPOINT_URL_EVENTBRIDGE", nobody())]);
    let mut webhook = Webhook::start(&stage).await;
    webhook.post(&text("do not tell", 1)).await;
    let lines = webhook.log_lines_of_requests(1).await;
    assert_eq!(
        (&lines[0]["handed_over"], &lines[0]["level"]),
        (&json!(true), &json!("WARN"))
    );
    assert!(
        lines[0]["error"].as_str().unwrap().contains("EVENT_BUS_NAME"),
        "{lines:?}"
    );
    let lines = webhook.0.log_lines();
    assert!(lines.iter().any(|line| line["HandedOver"] == json!(1.0)), "{lines:?}");
    let logs = webhook.0.logs();
    assert!(!logs.contains("do not tell") && !logs.contains("oUser"), "{logs}");
}
