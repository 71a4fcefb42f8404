//! What callbacks change: receipts and the event bus, once each and before the answer.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use simulator::Mode;
use testing::{
    Stage,
    account::{ORIGINAL_ID, TOKEN},
    event::{CREATED_AT, callback, check, message, receipt, text},
    loopback::{frozen, nobody},
    now,
};
use wechat::clock::beijing_day;

use crate::setup::{Answer, Webhook, kept, publish, set_mode, stage};

/// How long a delivery may be at work: its budget, and the time that it takes to end its claim.
const AT_WORK: Duration = Duration::from_millis(2500);

/// The stage of a function that publishes what it receives.
async fn publishing() -> Stage {
    let mut stage = stage(Mode::Plain).await;
    publish(&mut stage);
    stage
}

/// Records the message `msgid` to `oUser`, as `send-template` does.
async fn sent(stage: &Stage, msgid: &str) {
    let record = json!({"touser": "oUser", "template_id": "tmpl", "status": "sent", "sent_at": now()});
    stage.table.set(&format!("message#{msgid}"), &record).await;
}

async fn record(stage: &Stage, msgid: &str) -> Value {
    stage.table.item(&format!("message#{msgid}")).await
}

#[tokio::test]
async fn receipts_tell_what_became_of_messages() {
    let stage = stage(Mode::Plain).await;
    sent(&stage, "1").await;
    let mut webhook = Webhook::start(&stage).await;
    // Four receipts for one user in one second, which differ by `MsgID` alone.
    for (msgid, words, status) in [
        ("1", "success", "delivered"),
        ("2", "failed:user block", "blocked"),
        ("3", "failed: system failed", "failed"),
        ("4", "failed:freq limit", "failed"),
    ] {
        assert_eq!(webhook.post(&receipt(msgid, words)).await, Answer::success());
        let record = record(&stage, msgid).await;
        assert_eq!((&record["status"], &record["receipt"]), (&json!(status), &json!(words)));
        assert!((record["finished_at"].as_i64().unwrap() - now()).abs() < 60);
    }
    assert_eq!(
        webhook.post(&receipt("3", "failed: system failed")).await,
        Answer::success()
    );
    let day = stage.table.item(&format!("deliveries#{}", beijing_day(now()))).await;
    let counted = ["delivered", "blocked", "failed"].map(|status| day[status].as_i64().unwrap());
    assert_eq!(counted, [1, 1, 2], "each once: {day}");
    let first = record(&stage, "1").await;
    assert_eq!(first["touser"], "oUser", "the rest of the record stays");
    assert!(first["sent_at"].is_i64());
    // Messages that WeChat dropped because a recipient gets too many are counted apart from those that it could not deliver.
    let metrics = webhook.0.metrics();
    for status in ["Delivered", "Blocked", "Failed", "FrequencyLimited"] {
        let counted = |line: &&Value| line["Deliveries"] == 1.0 && line["Status"] == status;
        assert_eq!(metrics.iter().filter(counted).count(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_receipt_that_comes_before_its_send_is_kept() {
    let stage = stage(Mode::Plain).await;
    let mut webhook = Webhook::start(&stage).await;
    let msgid = "3428411849815982087";
    let early = receipt(msgid, "failed:user block");
    assert_eq!(webhook.post(&early).await, Answer::success());
    // The send writes its attributes, and `status` only if there is none.
    let record = record(&stage, msgid).await;
    assert_eq!(
        (&record["status"], &record["touser"]),
        (&json!("blocked"), &json!("oUser"))
    );
    assert_eq!(record.get("template_id"), None);
}

/// In plain mode nothing proves whose a callback is. No two accounts share an openid.
#[tokio::test]
async fn a_receipt_of_another_account_changes_no_message_of_this_one() {
    let stage = stage(Mode::Plain).await;
    sent(&stage, "1").await;
    let mut webhook = Webhook::start(&stage).await;
    let foreign = receipt("1", "failed:user block")
        .replace(ORIGINAL_ID, "gh_another")
        .replace("oUser", "oOther");
    assert_eq!(webhook.post(&foreign).await, Answer::success());
    assert_eq!(record(&stage, "1").await["status"], "sent");
    assert!(webhook.0.logs().contains("another account"), "{}", webhook.0.logs());
    assert_eq!(webhook.post(&receipt("1", "success")).await, Answer::success());
    assert_eq!(record(&stage, "1").await["status"], "delivered");
}

#[tokio::test]
async fn a_redelivered_receipt_does_not_undo_a_later_one() {
    let stage = stage(Mode::Plain).await;
    let mut webhook = Webhook::start(&stage).await;
    let first = callback(receipt("7", "success")).plain();
    assert_eq!(webhook.send(&first).await, Answer::success());
    // Another time than now, so that a second record of it would show.
    stage.table.set("message#7", &json!({"finished_at": now() - 60})).await;
    let before = record(&stage, "7").await;
    assert_eq!(webhook.send(&first).await, Answer::success());
    assert_eq!(record(&stage, "7").await, before, "not even its time");
}

/// A redelivery is known however many callbacks came in between; a message id counts together with its sender.
#[tokio::test]
async fn each_callback_is_published_once() {
    let stage = publishing().await;
    let mut webhook = Webhook::start(&stage).await;
    let other_user = text("a", 1).replace("oUser", "oOther");
    for xml in [text("a", 1), text("b", 2), text("a", 1), other_user, text("b", 2)] {
        assert_eq!(webhook.post(&xml).await, Answer::success());
    }
    let entries = stage.bus.entries();
    let published: Vec<(&str, &str)> = entries
        .iter()
        .map(|entry| {
            let detail = &entry["Detail"];
            (
                detail["from"].as_str().unwrap(),
                detail["message"]["content"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(published, [("oUser", "a"), ("oUser", "b"), ("oOther", "a")]);
    assert_ne!(entries[0]["Detail"]["id"], entries[2]["Detail"]["id"]);
}

#[tokio::test]
async fn the_id_is_the_same_in_every_mode_and_format() {
    let xml = text("a", 1);
    let as_json = json!({
        "ToUserName": ORIGINAL_ID, "FromUserName": "oUser", "CreateTime": CREATED_AT, "MsgType": "text",
        "Content": "a", "MsgId": 1,
    });
    let as_json = as_json.to_string();
    let mut ids = Vec::new();
    for (mode, event) in [
        (Mode::Plain, callback(&xml).plain()),
        (Mode::Plain, callback(&as_json).plain()),
        (Mode::Safe, callback(&as_json).beside("").safe()),
        (Mode::Compat, callback(&xml).beside("<MsgType>text</MsgType>").compat()),
    ] {
        let mut stage = publishing().await;
        set_mode(&mut stage, mode);
        let mut webhook = Webhook::start(&stage).await;
        assert_eq!(webhook.send(&event).await, Answer::success(), "{mode:?}");
        ids.push(stage.bus.entries()[0]["Detail"]["id"].clone());
    }
    assert_eq!(ids[0].as_str().unwrap().len(), 64);
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[tokio::test]
async fn what_the_bus_refuses_is_asked_for_again_at_once() {
    let stage = publishing().await;
    let mut webhook = Webhook::start(&stage).await;
    stage.bus.refuse(1);
    let event = callback(receipt("9", "success")).plain();
    assert_eq!(webhook.send(&event).await, Answer::try_again());
    assert_eq!(webhook.send(&event).await, Answer::success(), "the claim was given up");
    assert_eq!(webhook.send(&event).await, Answer::success());
    assert_eq!(stage.bus.entries().len(), 1);
    assert_eq!(stage.bus.entries()[0]["DetailType"], "event.TEMPLATESENDJOBFINISH");
    assert_eq!(record(&stage, "9").await["status"], "delivered");
}

#[tokio::test]
async fn a_bus_that_is_down_or_frozen_is_an_answer_of_500_in_time() {
    let stage = publishing().await;
    let frozen = frozen().await;
    for endpoint in [nobody(), frozen.endpoint()] {
        let bus = [("AWS_ENDPOINT_URL_EVENTBRIDGE", endpoint.as_str())];
        let mut webhook = Webhook::start_with(&stage, &bus).await;
        let started = Instant::now();
        assert_eq!(webhook.post(&text("a", 1)).await, Answer::try_again());
        assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_receipt_that_cannot_be_stored_is_an_answer_of_500_in_time() {
    let stage = stage(Mode::Plain).await;
    let frozen = frozen().await;
    for endpoint in [nobody(), frozen.endpoint()] {
        let table = [("AWS_ENDPOINT_URL_DYNAMODB", endpoint.as_str())];
        let mut webhook = Webhook::start_with(&stage, &table).await;
        let started = Instant::now();
        assert_eq!(webhook.post(&receipt("1", "success")).await, Answer::try_again());
        // A cold start with two waits for the store still fits into WeChat's 5 s.
        assert!(
            started.elapsed() < Duration::from_millis(4500),
            "{:?}",
            started.elapsed()
        );
    }
}

/// Without the claim nobody knows whether the event is on the bus already.
#[tokio::test]
async fn nothing_is_published_that_cannot_be_claimed() {
    let mut stage = publishing().await;
    stage.set([("AWS_ENDPOINT_URL_DYNAMODB", nobody())]);
    let mut webhook = Webhook::start(&stage).await;
    assert_eq!(webhook.post(&text("a", 1)).await, Answer::try_again());
    assert!(stage.bus.entries().is_empty());
}

/// The claim of a delivery that dies expires before WeChat's next delivery.
#[tokio::test]
async fn a_crash_releases_its_claim_before_the_next_delivery() {
    let stage = publishing().await;
    let event = callback(text("a", 1)).plain();

    stage.bus.delay(Duration::from_secs(60));
    let mut first = Webhook::start(&stage).await;
    let first_delivery = Instant::now();
    let claim = tokio::select! {
        outcome = first.0.invoke(&event) => panic!("it is no longer at work: {outcome:?}"),
        (claim, ()) = async { tokio::join!(stage.table.claimed(), stage.bus.called()) } => claim,
    };
    first.0.kill().await;
    let left = stage.table.item(&claim).await["claim_expires_at"].as_i64().unwrap() - now();
    assert!(left < 5, "{left} s: WeChat delivers again after 5 s");
    stage.bus.delay(Duration::ZERO);

    let mut second = Webhook::start(&stage).await;
    let answer = second.send(&event).await;
    let waited = first_delivery.elapsed();
    assert!(
        answer == Answer::try_again() || waited >= AT_WORK,
        "after {waited:?} the first may still be at work: {answer:?}"
    );

    stage.table.end_claims().await;
    assert_eq!(second.send(&event).await, Answer::success());
    assert_eq!(stage.bus.entries().len(), 1);
}

#[tokio::test]
async fn two_deliveries_at_once_publish_once_and_both_are_acknowledged() {
    let stage = publishing().await;
    let (mut first, mut second) = (Webhook::start(&stage).await, Webhook::start(&stage).await);
    stage.bus.delay(Duration::from_millis(500));
    let event = callback(text("a", 1)).plain();
    let answers = tokio::join!(first.send(&event), second.send(&event));
    assert_eq!(answers, (Answer::success(), Answer::success()));
    assert_eq!(stage.bus.entries().len(), 1);
}

#[tokio::test]
async fn requests_that_are_refused_have_no_effect() {
    let stage = publishing().await;
    let mut webhook = Webhook::start(&stage).await;
    let forged = callback(receipt("1", "success")).token("wrong").plain();
    assert_eq!(webhook.send(&forged).await.status, 403);
    let neither = "<xml><Content>neither type nor event</Content></xml>";
    assert_eq!(webhook.post(neither).await, Answer::success());
    assert!(stage.bus.entries().is_empty());
    assert_eq!(record(&stage, "1").await, Value::Null);
}

#[tokio::test]
async fn without_a_bus_only_receipts_touch_the_table() {
    let stage = stage(Mode::Plain).await;
    let mut webhook = Webhook::start(&stage).await;
    let view = message("event", "<Event>VIEW</Event><EventKey>https://example.com</EventKey>");
    for xml in [text("a", 1), view] {
        assert_eq!(webhook.post(&xml).await, Answer::success());
    }
    assert_eq!(kept(&stage).await, [] as [Value; 0]);
}

/// An account without callbacks for a day has lost them. Each write costs.
#[tokio::test]
async fn an_accepted_callback_is_noted_once_in_five_minutes() {
    let stage = stage(Mode::Plain).await;
    let mut webhook = Webhook::start(&stage).await;
    assert_eq!(webhook.send(&check(TOKEN)).await.status, 200);
    assert_eq!(webhook.send(&check("wrong")).await.status, 403);
    let noted = stage.table.item("callbacks").await;
    assert_eq!(noted, Value::Null, "neither is a callback");
    assert_eq!(webhook.post(&text("a", 1)).await, Answer::success());
    let noted = stage.table.item("callbacks").await["accepted_at"].as_i64().unwrap();
    assert!((noted - now()).abs() < 60, "{noted}");

    stage.table.set("callbacks", &json!({"accepted_at": 1})).await;
    assert_eq!(webhook.post(&text("b", 2)).await, Answer::success());
    assert_eq!(stage.table.item("callbacks").await["accepted_at"], 1);
}

/// So one message can be followed from the send to the receipt.
#[tokio::test]
async fn the_line_of_a_receipt_names_its_message_and_what_became_of_it() {
    let stage = stage(Mode::Plain).await;
    let mut webhook = Webhook::start(&stage).await;
    let nobody = nobody();
    let mut broken = Webhook::start_with(&stage, &[("AWS_ENDPOINT_URL_DYNAMODB", &nobody)]).await;
    let (msgid, words) = ("3428411849815982087", "failed:user block");
    assert_eq!(webhook.post(&receipt(msgid, words)).await, Answer::success());
    assert_eq!(broken.post(&receipt(msgid, words)).await, Answer::try_again());
    for (webhook, level) in [(&webhook, "INFO"), (&broken, "ERROR")] {
        let line = webhook.log_lines_of_requests(1).await.remove(0);
        assert_eq!(line["level"], level);
        assert_eq!(
            (&line["msgid"], &line["receipt"]),
            (&json!(msgid), &json!(words)),
            "{line}"
        );
        assert!(!webhook.0.logs().contains("oUser"), "{}", webhook.0.logs());
    }
}
