//! What WeChat gets while the table or the event bus is broken, and whether effects happen once all the same.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use simulator::FOLLOWER;
use testing::{Fault, Function, Service, eventually, now};

use crate::{
    report::{self, Cases, Row, WECHAT_WAITS},
    stage::{Program, Seen, Stage, ask, called, faults_of, table_faults},
};

/// What a delivery receipt makes the webhook do, in order.
const STEPS: [(Service, usize, &str); 6] = [
    (Service::Table, 1, "receipt: recording it"),
    (Service::Table, 2, "receipt: counting it"),
    (Service::Table, 3, "receipt: claiming its event"),
    (Service::EventBus, 1, "receipt: publishing its event"),
    (Service::Table, 4, "receipt: noting that its event is published"),
    (Service::Table, 5, "receipt: noting when a callback last came"),
];
/// What the scan of a code that binds makes the webhook ask of the table, in order.
const SCAN_STEPS: [(usize, &str); 3] = [
    (1, "a scan that binds: reading the binding"),
    (2, "a scan that binds: reading who is who"),
    (3, "a scan that binds: binding"),
];
const MSGID: &str = "3400000000893845440";
const WITHIN: &str = "5 s";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callbacks() {
    let stage = stage_with_message().await;
    let mut webhook = stage.serving(Program::Webhook).await;
    assert_eq!(ask(&mut webhook, &stage.receipt(MSGID)).await.status, 200);
    let steps = stage.proxy(Service::Table).requests();
    assert_eq!(steps, ["UpdateItem", "UpdateItem", "PutItem", "PutItem", "PutItem"]);
    assert_eq!(stage.proxy(Service::EventBus).requests(), ["PutEvents"]);

    let mut broken = Vec::new();
    for (service, step, name) in STEPS {
        broken.extend(faults_of(service).into_iter().map(|fault| (service, step, name, fault)));
    }
    let receipts = |worker: &'static str| {
        let broken = broken.clone().into_iter();
        broken.map(move |(service, step, name, (breaks, fault))| receipt(worker, service, step, name, breaks, fault))
    };
    let mut cases = Cases::default();
    cases.add(receipts("worker"));
    cases.add(receipts(""));
    let scans = SCAN_STEPS.into_iter().flat_map(|(step, name)| {
        let faults = table_faults().into_iter();
        faults.map(move |(breaks, fault)| scan(step, name, breaks, fault))
    });
    cases.add(scans);
    for worker in ["worker", ""] {
        let faults = table_faults().into_iter();
        cases.add(faults.map(|(breaks, fault)| follow(worker, breaks, fault)));
    }
    let starts = table_faults().into_iter().map(|(breaks, fault)| start(breaks, fault));
    cases.add(starts);
    report::section(
        report::TITLES[0],
        "A delivery receipt is recorded, which needs no claim: it is the same however often it comes, and counted for its day, \
         which nothing waits for longer than 300 ms. Then its event is claimed, \
         published and noted as published; now and then the doctor's note of the last callback follows, which nothing waits for \
         longer than 300 ms. What fails of the effects is \
         handed over to `worker`, so that WeChat has its answer; without `WORKER_FUNCTION` the answer is 500. Without an event \
         bus a reply needs none of that: it comes from the rules in memory. The scan of a code that binds is the one that needs \
         the table: it is never handed over. When a bound user begins to follow, the greeting waits 0.8 s for the record of it \
         at most. WeChat delivers again 5 s after whatever it takes \
         for a failure; the suite delivers again in any case.",
        cases.run().await,
    );
}

/// A stage on which a message was sent.
async fn stage_with_message() -> Stage {
    let stage = Stage::new().await;
    let sent = json!({"touser": FOLLOWER, "template_id": "T", "status": "sent", "sent_at": now()});
    stage.table.set(&format!("message#{MSGID}"), &sent).await;
    stage
}

async fn receipt(worker: &'static str, service: Service, step: usize, name: &str, breaks: &str, fault: Fault) -> Row {
    let stage = stage_with_message().await;
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

/// A follower's scan of a code that binds. Without a bus it has no effects.
async fn scan(step: usize, name: &'static str, breaks: &'static str, fault: Fault) -> Row {
    let stage = Stage::new().await;
    stage.begin_binding().await;
    let mut webhook = stage.serving_with(Program::Webhook, &[("EVENT_BUS_NAME", "")]).await;
    stage.proxy(Service::Table).fail(step.., fault);
    let first = ask(&mut webhook, &stage.scan()).await;
    assert!(first.took < WECHAT_WAITS, "{name}, {breaks}: {first:?}");
    stage.mend().await;
    assert!(stage.lambda.kept().is_empty(), "{name}, {breaks}");
    if first.status == 200 {
        stage.assert_bound().await;
        assert!(is_bound(&first), "{name}, {breaks}: {first:?}");
    }
    let again = ask(&mut webhook, &stage.scan()).await;
    assert!(is_bound(&again), "{name}, {breaks}: {again:?}");
    stage.assert_bound().await;
    Row {
        step: name.to_owned(),
        breaks: format!("the table {breaks}"),
        gets: match first.status {
            200 => "200, `bound`".to_owned(),
            _ => answer(&first),
        },
        within: WITHIN,
        kept: "the user is bound, once".to_owned(),
        returns: match first.status {
            200 => "nothing was missed",
            _ => "the redelivery after 5 s: 200, `bound`",
        }
        .to_owned(),
    }
}

/// Whether the reply says that the scan bound.
pub(crate) fn is_bound(seen: &Seen) -> bool {
    seen.status == 200 && seen.body.as_str().is_some_and(|body| body.contains("绑定成功"))
}

/// A bound user begins to follow, and the table breaks when that is recorded.
async fn follow(worker: &'static str, breaks: &'static str, fault: Fault) -> Row {
    let stage = Stage::new().await;
    stage.tie().await;
    let changes = [("EVENT_BUS_NAME", ""), ("WORKER_FUNCTION", worker)];
    let mut webhook = stage.serving_with(Program::Webhook, &changes).await;
    stage.proxy(Service::Table).fail(2.., fault);
    let event = |name: &str, off| stage.callback("event", &format!("<Event>{name}</Event>"), off);
    let greeted = ask(&mut webhook, &event("subscribe", 0)).await;
    assert!(greeted.took < WECHAT_WAITS, "{breaks}: {greeted:?}");
    let is_greeted = greeted.body.as_str().is_some_and(|body| body.contains("欢迎关注"));
    assert!(is_greeted, "{breaks}: {greeted:?}");
    let is_lost = line_of(&webhook, "subscribe").await["level"] == "ERROR";
    stage.mend().await;
    let handed_over = stage.run_worker().await;
    let followed = async || stage.table.item("user#u-1").await["followed"].clone();
    if !is_lost {
        assert_eq!(followed().await, true, "{breaks}");
    }
    let left = ask(&mut webhook, &event("unsubscribe", 1)).await;
    assert_eq!(
        (left.status, followed().await),
        (200, json!(false)),
        "{breaks}: {left:?}"
    );
    Row {
        step: match worker {
            "" => "a bound user follows: recording it, without `WORKER_FUNCTION`",
            _ => "a bound user follows: recording it",
        }
        .to_owned(),
        breaks: format!("the table {breaks}"),
        gets: "200, the greeting".to_owned(),
        within: WITHIN,
        kept: match is_lost {
            true => "that the user follows, or what was known before",
            false => "that the user follows",
        }
        .to_owned(),
        returns: match (is_lost, handed_over) {
            (true, _) => "the next event of the user is recorded",
            (false, 0) => "nothing was missed",
            (false, _) => "`worker`, by Lambda's next attempt",
        }
        .to_owned(),
    }
}

/// The function's line about the event `name`, which may come after the answer.
async fn line_of(webhook: &Function, name: &str) -> Value {
    let is_the_line = |line: &Value| line["message"] == "callback" && line["event"] == name;
    eventually("the line", || async {
        webhook.log_lines().into_iter().find(is_the_line)
    })
    .await
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
