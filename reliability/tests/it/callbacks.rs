//! What WeChat gets while the table or the event bus is broken, and whether effects happen once all the same.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use serde_json::json;
use testing::{Fault, Service};

use crate::{
    report::{self, Row, WECHAT_WAITS},
    stage::{Program, Seen, Stage, ask, called, service_faults, table_faults},
};

/// What a delivery receipt makes the webhook do, in order.
const STEPS: [(Service, usize, &str); 5] = [
    (Service::Table, 1, "receipt: claiming it"),
    (Service::Table, 2, "receipt: recording it"),
    (Service::EventBus, 1, "receipt: publishing it"),
    (Service::Table, 3, "receipt: noting that it is done"),
    (Service::Table, 4, "receipt: noting when a callback last came"),
];
const MSGID: &str = "3400000000893845440";
const WITHIN: &str = "5 s";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callbacks() {
    let stage = Stage::new().await;
    let mut webhook = stage.serving(Program::Webhook).await;
    assert_eq!(ask(&mut webhook, &stage.receipt(MSGID)).await.status, 200);
    let steps = stage.proxy(Service::Table).requests();
    assert_eq!(steps, ["PutItem", "UpdateItem", "PutItem", "PutItem"]);
    assert_eq!(stage.proxy(Service::EventBus).requests(), ["PutEvents"]);

    let mut cases = Vec::new();
    for (service, step, name) in STEPS {
        let faults = match service {
            Service::Table => table_faults(),
            _ => service_faults(),
        };
        cases.extend(faults.into_iter().map(|fault| (service, step, name, fault)));
    }
    let receipts = |worker: &'static str| {
        let cases = cases.clone().into_iter();
        cases.map(move |(service, step, name, (breaks, fault))| receipt(worker, service, step, name, breaks, fault))
    };
    let mut rows = report::run(receipts("worker")).await;
    rows.extend(report::run(receipts("")).await);
    let starts = table_faults().into_iter().map(|(breaks, fault)| start(breaks, fault));
    rows.extend(report::run(starts).await);
    report::section(
        report::TITLES[0],
        "A delivery receipt claims its effects, records them, publishes them and notes that they are done; now and then the \
         doctor's note of the last callback follows, which nothing waits for longer than 300 ms. What fails of the effects is \
         handed over to `worker`, so that WeChat has its answer; without `WORKER_FUNCTION` the answer is 500. Without an event \
         bus a reply needs none of that: it comes from the rules in memory. WeChat delivers again 5 s after whatever it takes \
         for a failure; the suite delivers again in any case.",
        rows,
    );
}

async fn receipt(worker: &'static str, service: Service, step: usize, name: &str, breaks: &str, fault: Fault) -> Row {
    let stage = Stage::new().await;
    let mut webhook = stage
        .serving_with(Program::Webhook, &[("WORKER_FUNCTION", worker)])
        .await;
    let event = stage.receipt(MSGID);
    stage.proxy(service).fail(step.., fault);
    let first = ask(&mut webhook, &event).await;
    assert!(first.took < WECHAT_WAITS, "{name}, {breaks}: {first:?}");
    stage.mend().await;

    let handed_over = stage.run_worker().await;
    assert!(handed_over == 0 || !worker.is_empty(), "there is none");
    let again = ask(&mut webhook, &event).await;
    assert_eq!(
        (again.status, &again.body),
        (200, &json!("success")),
        "{name}, {breaks}"
    );
    Row {
        step: match worker {
            "" => format!("{name}, without `WORKER_FUNCTION`"),
            _ => name.to_owned(),
        },
        breaks: format!("{} {breaks}", called(service)),
        gets: answer(&first),
        within: WITHIN,
        kept: kept(&stage).await,
        returns: match (first.status, handed_over) {
            (200, 0) => "nothing was missed",
            (200, _) => "`worker`, by Lambda's next attempt",
            _ => "the redelivery after 5 s: 200",
        }
        .to_owned(),
    }
}

pub(crate) fn answer(seen: &Seen) -> String {
    match seen.status {
        200 => format!("200 `{}`", seen.body.as_str().unwrap_or_default()),
        status => format!("{status}: WeChat delivers again"),
    }
}

/// The receipt in the table, and the event on the bus.
pub(crate) async fn kept(stage: &Stage) -> String {
    let record = stage.table.item(&format!("message#{MSGID}")).await;
    assert!(record["finished_at"].is_i64(), "the receipt is lost");
    let events = stage.bus.entries();
    let ids: HashSet<String> = events.iter().map(|event| event["Detail"]["id"].to_string()).collect();
    assert_eq!(ids.len(), 1, "the event is lost, or has two names: {events:?}");
    match events.len() {
        1 => "the receipt and the event, once".to_owned(),
        _ => "the receipt once; the event more than once, with the same `id`".to_owned(),
    }
}

/// A process that starts while the table is broken.
async fn start(breaks: &str, fault: Fault) -> Row {
    let stage = Stage::new().await;
    let rules = json!({"keywords": [{"match": "exact", "value": "hi", "reply": {"type": "text", "content": "hello"}}]});
    stage.table.save_rules(&rules).await;
    stage.proxy(Service::Table).fail(.., fault);
    let started = Instant::now();
    // Without a bus a message has no effects, so that the rules are all that it needs.
    let mut webhook = stage.start(Program::Webhook, &[("EVENT_BUS_NAME", "")]).await;
    let subscribe = stage.callback("event", "<Event>subscribe</Event>", 0);
    let greeted = ask(&mut webhook, &subscribe).await;
    assert!(started.elapsed() < WECHAT_WAITS, "{breaks}: {:?}", started.elapsed());
    let knows_rules = greeted.body == "success";
    assert!(knows_rules || greeted.status == 500, "{greeted:?}");
    stage.mend().await;

    let hi = stage.callback("text", "<Content>hi</Content><MsgId>24000000000000001</MsgId>", 0);
    let mended = Instant::now();
    while !ask(&mut webhook, &hi).await.body.as_str().unwrap().contains("hello") {
        assert!(
            mended.elapsed() < Duration::from_secs(10),
            "{breaks}: the rules are never read"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Row {
        step: "a start: reading the rules".to_owned(),
        breaks: format!("the table {breaks}"),
        gets: if knows_rules {
            "200, by the rules"
        } else {
            "500: WeChat delivers again"
        }
        .to_owned(),
        within: "5 s, the start included",
        kept: "the rules".to_owned(),
        returns: if knows_rules {
            "nothing was missed"
        } else {
            "within 10 s: replies by the stored rules"
        }
        .to_owned(),
    }
}
