//! Outages that outlast WeChat's three deliveries, 5 s apart: what was handed over to `worker` is kept by Lambda, and then
//! by a queue.

use serde_json::{Value, json};
use testing::{Fault, Function, Service, event::queue};

use crate::{
    callbacks::{answer, kept},
    report::{self, Cases, Row, WECHAT_WAITS},
    stage::{Program, Seen, Stage, ask, called, service_faults, table_faults},
};

const MSGID: &str = "3400000000893845440";
const KEYWORD: &str = "<Content>hi</Content><MsgId>24000000000000001</MsgId>";
const WITHIN: &str = "5 s";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outages() {
    let lasting = |faults: Vec<(&'static str, Fault)>| {
        let lasting = ["refuses connections", "freezes", "throttles"];
        faults.into_iter().filter(move |(breaks, _)| lasting.contains(breaks))
    };
    let table = lasting(table_faults()).map(|(breaks, fault)| (Service::Table, breaks, fault));
    let bus = lasting(service_faults()).map(|(breaks, fault)| (Service::EventBus, breaks, fault));
    let mut cases = Cases::default();
    cases.add(table.chain(bus).map(outage));
    cases.add(service_faults().into_iter().map(handing_over));
    cases.add([1, 2, 3].map(both_down));
    cases.add([delivered_twice()]);
    report::section(
        report::TITLES[10],
        "What fails is handed over to `worker` by an asynchronous invocation. Lambda runs it at once, after 1 and after 2 more \
         minutes, and for 6 hours while it throttles or fails itself; then the queue `LateEffects` has it run every 15 \
         minutes for 14 days, since two retries end after 3 minutes. Here it fails at Lambda's attempts and once from the \
         queue, until the outage ends.",
        cases.run().await,
    );
}

fn row(step: &str, breaks: String, gets: String, kept: String, returns: &str) -> Row {
    Row {
        step: step.to_owned(),
        breaks,
        gets,
        within: WITHIN,
        kept,
        returns: returns.to_owned(),
    }
}

/// What the queue hands to the worker when Lambda has failed to run `event`.
fn from_queue(event: &Value) -> Value {
    queue(&[("1", event.clone())])
}

async fn ask_in_time(webhook: &mut Function, event: &Value) -> Seen {
    let seen = ask(webhook, event).await;
    assert!(seen.took < WECHAT_WAITS, "{seen:?}");
    seen
}

/// A receipt, and a message with a rule in memory.
async fn outage((service, breaks, fault): (Service, &'static str, Fault)) -> Row {
    let stage = Stage::new().await;
    let rules = json!({"keywords": [{"match": "exact", "value": "hi", "reply": {"type": "text", "content": "hello"}}]});
    stage.table.save_rules(&rules).await;
    let mut webhook = stage.serving(Program::Webhook).await;
    let mut worker = stage.serving(Program::Worker).await;
    stage.proxy(service).fail(.., fault);

    let receipt = ask_in_time(&mut webhook, &stage.receipt(MSGID)).await;
    assert_eq!(receipt.status, 200, "{breaks}: {receipt:?}");
    let message = ask_in_time(&mut webhook, &stage.callback("text", KEYWORD, 0)).await;
    let replied = message.body.as_str().unwrap();
    assert!(replied.contains("hello"), "{breaks}: {message:?}");
    let late = stage.lambda.kept();
    assert_eq!(late.len(), 2, "{late:?}");
    for event in &late {
        let failed = ask(&mut worker, event).await;
        assert_eq!(failed.status, 0, "{breaks}: {failed:?}");
    }
    let again = ask(&mut worker, &from_queue(&late[0])).await;
    let failures = again.body["batchItemFailures"].as_array().unwrap();
    assert_eq!(failures.len(), 1, "{breaks}: {again:?}");
    stage.mend().await;

    stage.table.end_claims().await;
    for event in &late {
        let done = ask(&mut worker, &from_queue(event)).await;
        assert_eq!(done.body, json!({"batchItemFailures": []}), "{breaks}");
    }
    let record = stage.table.item(&format!("message#{MSGID}")).await;
    assert!(record["finished_at"].is_i64(), "the receipt is lost");
    let events = stage.bus.entries();
    let published = |kind: &str| events.iter().filter(|event| event["DetailType"] == kind).count();
    let counts = (published("event.TEMPLATESENDJOBFINISH"), published("text"));
    assert_eq!(counts, (1, 1), "{breaks}: {events:?}");
    row(
        "a receipt, and a message that a rule answers",
        format!("{} {breaks}, for hours", called(service)),
        "200 `success`, and 200 with the reply".to_owned(),
        "the receipt and both events, once".to_owned(),
        "`worker`, from the queue, within 15 minutes",
    )
}

/// The table refuses connections, and Lambda has a fault too.
async fn handing_over((breaks, fault): (&'static str, Fault)) -> Row {
    let stage = Stage::new().await;
    let mut webhook = stage.serving(Program::Webhook).await;
    stage.proxy(Service::Table).fail(.., Fault::Refuse);
    stage.proxy(Service::Lambda).fail(.., fault);
    let event = stage.receipt(MSGID);
    let first = ask_in_time(&mut webhook, &event).await;
    stage.mend().await;
    if first.status != 200 {
        let again = ask_in_time(&mut webhook, &event).await;
        assert_eq!(again.status, 200, "{breaks}: {again:?}");
    }
    stage.run_worker().await;
    row(
        "handing a receipt over, when the table refuses connections",
        format!("AWS Lambda {breaks}"),
        answer(&first),
        kept(&stage).await,
        match first.status {
            200 => "`worker`, by Lambda's next attempt",
            _ => "the redelivery after 5 s: 200",
        },
    )
}

/// The table and Lambda refuse connections at so many of the three deliveries.
async fn both_down(deliveries: usize) -> Row {
    let stage = Stage::new().await;
    let mut webhook = stage.serving(Program::Webhook).await;
    let event = stage.receipt(MSGID);
    let mut statuses = Vec::new();
    for delivery in 1..=3 {
        if delivery == 1 {
            stage.proxy(Service::Table).fail(.., Fault::Refuse);
            stage.proxy(Service::Lambda).fail(.., Fault::Refuse);
        }
        if delivery == deliveries + 1 {
            stage.mend().await;
        }
        let seen = ask_in_time(&mut webhook, &event).await;
        statuses.push(seen.status.to_string());
        if seen.status == 200 {
            break;
        }
    }
    stage.mend().await;
    assert_eq!(stage.run_worker().await, 0);
    let (kept, returns) = if deliveries < 3 {
        (kept(&stage).await, "that delivery: 200")
    } else {
        let lost = stage.table.item(&format!("message#{MSGID}")).await;
        assert!(lost.is_null() && stage.bus.entries().is_empty(), "{lost:?}");
        let next = ask(&mut webhook, &stage.receipt("3400000000893845441")).await;
        assert_eq!(next.status, 200, "{next:?}");
        (
            "nothing: WeChat delivers no fourth time".to_owned(),
            "the next receipt: 200",
        )
    };
    let times = match deliveries {
        1 => "at the first delivery",
        2 => "at two deliveries",
        _ => "at all three deliveries",
    };
    row(
        "a receipt",
        format!("the table and AWS Lambda refuse connections {times}"),
        statuses.join(", "),
        kept,
        returns,
    )
}

/// Lambda promises to run the worker at least once.
async fn delivered_twice() -> Row {
    let stage = Stage::new().await;
    let event = stage.late_receipt(MSGID);
    let (mut first, mut second) = (
        stage.serving(Program::Worker).await,
        stage.serving(Program::Worker).await,
    );
    let (one, other) = tokio::join!(ask(&mut first, &event), ask(&mut second, &event));
    let later = ask(&mut first, &event).await;
    for seen in [one, other, later] {
        assert!(seen.status == 200 && seen.took < WECHAT_WAITS, "{seen:?}");
    }
    let kept = kept(&stage).await;
    assert_eq!(stage.bus.entries().len(), 1, "{kept}");
    row(
        "effects that were handed over",
        "Lambda runs `worker` twice at once, and once more".to_owned(),
        "200 each time".to_owned(),
        kept,
        "nothing was missed",
    )
}
