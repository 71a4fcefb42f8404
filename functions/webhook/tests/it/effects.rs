//! What callbacks change: receipts and the event bus, once each and before the answer.

use std::time::Duration;

use serde_json::{Value, json};
use testing::EmbeddedTable;
use wechat::store::{MessageStatus, Receipt};

use crate::setup::{
    ACCOUNT, AES_KEY, APP_ID, Answer, TOKEN, Variables, callback, check, encrypted, event_bus, frozen, kept,
    nothing_listens, now, plain, receipt, request, signed, store, text,
};

/// How long a delivery may be at work: its budget, and what ending its claim may take.
const AT_WORK: Duration = Duration::from_millis(2500);

async fn empty_table() -> EmbeddedTable {
    EmbeddedTable::start(None).await.unwrap()
}

fn try_again() -> Answer {
    Answer::text(500, "try again")
}

#[tokio::test]
async fn receipts_tell_what_became_of_messages() {
    let table = empty_table().await;
    let store = store(&table);
    store.record_sent("1", "oUser", "tmpl", now()).await.unwrap();
    let mut webhook = Variables::new("plain", &table.endpoint()).start().await;
    // Four receipts for one user in one second, told apart by `MsgID` alone.
    for (msgid, words, status) in [
        ("1", "success", MessageStatus::Delivered),
        ("2", "failed:user block", MessageStatus::Blocked),
        ("3", "failed: system failed", MessageStatus::Failed),
        ("4", "failed:freq limit", MessageStatus::Failed),
    ] {
        assert_eq!(webhook.post(&receipt(msgid, words)).await, Answer::success());
        let record = store.message(msgid, now()).await.unwrap().unwrap();
        assert_eq!((record.status, record.receipt.as_deref()), (status, Some(words)));
        assert!((record.finished_at.unwrap() - now()).abs() < 60);
    }
    let first = store.message("1", now()).await.unwrap().unwrap();
    assert_eq!(first.touser.as_deref(), Some("oUser"), "the rest of the record stays");
    assert!(first.sent_at.is_some());
    // What WeChat dropped for a recipient's frequency is counted apart from what it could not deliver.
    let metrics = webhook.log_lines();
    for status in ["Delivered", "Blocked", "Failed", "FrequencyLimited"] {
        let counted = |line: &&Value| line["Deliveries"] == 1.0 && line["Status"] == status;
        assert_eq!(metrics.iter().filter(counted).count(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_receipt_that_comes_before_its_send_is_kept() {
    let table = empty_table().await;
    let store = store(&table);
    let mut webhook = Variables::new("plain", &table.endpoint()).start().await;
    let msgid = "3428411849815982087";
    assert_eq!(
        webhook.post(&receipt(msgid, "failed:user block")).await,
        Answer::success()
    );
    store.record_sent(msgid, "oUser", "tmpl", now()).await.unwrap();
    let record = store.message(msgid, now()).await.unwrap().unwrap();
    assert_eq!(
        (record.status, record.touser.as_deref()),
        (MessageStatus::Blocked, Some("oUser"))
    );
}

/// In plain mode nothing proves whose a callback is. No two accounts share an openid.
#[tokio::test]
async fn a_receipt_of_another_account_changes_no_message_of_this_one() {
    let table = empty_table().await;
    let store = store(&table);
    store.record_sent("1", "oUser", "tmpl", now()).await.unwrap();
    let mut webhook = Variables::new("plain", &table.endpoint()).start().await;
    let foreign = receipt("1", "failed:user block")
        .replace(ACCOUNT, "gh_another")
        .replace("oUser", "oOther");
    assert_eq!(webhook.post(&foreign).await, Answer::success());
    let record = store.message("1", now()).await.unwrap().unwrap();
    assert_eq!(record.status, MessageStatus::Sent);
    assert!(webhook.0.logs().contains("another account"), "{}", webhook.0.logs());
    assert_eq!(webhook.post(&receipt("1", "success")).await, Answer::success());
    let record = store.message("1", now()).await.unwrap().unwrap();
    assert_eq!(record.status, MessageStatus::Delivered);
}

#[tokio::test]
async fn a_redelivered_receipt_does_not_undo_a_later_one() {
    let table = empty_table().await;
    let store = store(&table);
    let mut webhook = Variables::new("plain", &table.endpoint()).start().await;
    let first = plain(&receipt("7", "success"));
    assert_eq!(webhook.send(&first).await, Answer::success());
    // Some other time than now, so that a second record of it would show.
    let earlier = Receipt {
        msgid: "7",
        openid: "oUser",
        status: MessageStatus::Delivered,
        words: "success",
        at: now() - 60,
    };
    assert!(store.record_receipt(earlier).await.unwrap());
    let before = store.message("7", now()).await.unwrap();
    assert_eq!(webhook.send(&first).await, Answer::success());
    assert_eq!(store.message("7", now()).await.unwrap(), before, "not even its time");
}

/// A redelivery is recognised after any number of other callbacks; a message id counts only together with its sender.
#[tokio::test]
async fn each_callback_is_published_once() {
    let table = empty_table().await;
    let bus = event_bus().await;
    let mut webhook = Variables::new("plain", &table.endpoint())
        .publishing(bus.endpoint())
        .start()
        .await;
    let other_user = text("a", 1).replace("oUser", "oOther");
    for xml in [text("a", 1), text("b", 2), text("a", 1), other_user, text("b", 2)] {
        assert_eq!(webhook.post(&xml).await, Answer::success());
    }
    let entries = bus.entries();
    let told: Vec<(&str, &str)> = entries
        .iter()
        .map(|entry| {
            let detail = &entry["Detail"];
            (
                detail["from"].as_str().unwrap(),
                detail["message"]["content"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(told, [("oUser", "a"), ("oUser", "b"), ("oOther", "a")]);
    assert_ne!(entries[0]["Detail"]["id"], entries[2]["Detail"]["id"]);
}

#[tokio::test]
async fn the_id_is_the_same_in_every_mode_and_format() {
    let xml = text("a", 1);
    let as_json = json!({
        "ToUserName": "gh_0a1b2c3d4e5f", "FromUserName": "oUser", "CreateTime": 1_767_225_600, "MsgType": "text",
        "Content": "a", "MsgId": 1,
    });
    let mut ids = Vec::new();
    for (mode, event) in [
        ("plain", plain(&xml)),
        ("plain", plain(&as_json.to_string())),
        ("safe", encrypted(TOKEN, AES_KEY, APP_ID, as_json.to_string(), "")),
        (
            "compat",
            encrypted(TOKEN, AES_KEY, APP_ID, &xml, "<MsgType>text</MsgType>"),
        ),
    ] {
        let (table, bus) = (empty_table().await, event_bus().await);
        let mut webhook = Variables::new(mode, &table.endpoint())
            .publishing(bus.endpoint())
            .start()
            .await;
        assert_eq!(webhook.send(&event).await, Answer::success(), "{mode}");
        ids.push(bus.entries()[0]["Detail"]["id"].clone());
    }
    assert_eq!(ids[0].as_str().unwrap().len(), 64);
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[tokio::test]
async fn what_the_bus_refuses_is_asked_for_again_at_once() {
    let table = empty_table().await;
    let store = store(&table);
    let bus = event_bus().await;
    let mut webhook = Variables::new("plain", &table.endpoint())
        .publishing(bus.endpoint())
        .start()
        .await;
    bus.refuse(1);
    let event = plain(&receipt("9", "success"));
    assert_eq!(webhook.send(&event).await, try_again());
    assert_eq!(webhook.send(&event).await, Answer::success(), "the claim was given up");
    assert_eq!(webhook.send(&event).await, Answer::success());
    assert_eq!(bus.entries().len(), 1);
    assert_eq!(bus.entries()[0]["DetailType"], "event.TEMPLATESENDJOBFINISH");
    let record = store.message("9", now()).await.unwrap().unwrap();
    assert_eq!(record.status, MessageStatus::Delivered);
}

#[tokio::test]
async fn a_bus_that_is_down_or_frozen_is_an_answer_of_500_in_time() {
    let table = empty_table().await;
    let (_listener, silent) = frozen();
    for endpoint in [nothing_listens(), silent] {
        let mut webhook = Variables::new("plain", &table.endpoint())
            .publishing(&endpoint)
            .start()
            .await;
        let started = std::time::Instant::now();
        assert_eq!(webhook.post(&text("a", 1)).await, try_again());
        assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_receipt_that_cannot_be_stored_is_an_answer_of_500_in_time() {
    let (_listener, silent) = frozen();
    for endpoint in [nothing_listens(), silent] {
        let mut webhook = Variables::new("plain", &endpoint).start().await;
        let started = std::time::Instant::now();
        assert_eq!(webhook.post(&receipt("1", "success")).await, try_again());
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
    let bus = event_bus().await;
    let variables = Variables::new("plain", &nothing_listens()).publishing(bus.endpoint());
    let mut webhook = variables.start().await;
    assert_eq!(webhook.post(&text("a", 1)).await, try_again());
    assert!(bus.entries().is_empty());
}

/// A delivery that dies in the middle holds its claim no longer than WeChat waits with the next one.
#[tokio::test]
async fn a_crash_releases_its_claim_before_the_next_delivery() {
    let table = empty_table().await;
    let bus = event_bus().await;
    let variables = Variables::new("plain", &table.endpoint()).publishing(bus.endpoint());
    let event = plain(&text("a", 1));

    bus.delay(Duration::from_secs(60));
    let mut first = variables.start().await;
    let first_delivery = std::time::Instant::now();
    let unanswered = tokio::time::timeout(Duration::from_millis(1200), first.0.invoke(&event)).await;
    assert!(unanswered.is_err(), "it is still at work");
    first.0.kill().await.unwrap();
    bus.delay(Duration::ZERO);

    let mut second = variables.start().await;
    let answer = second.send(&event).await;
    let waited = first_delivery.elapsed();
    assert!(
        answer == try_again() || waited >= AT_WORK,
        "after {waited:?} the first may still be at work: {answer:?}"
    );

    tokio::time::sleep(Duration::from_secs(5).saturating_sub(first_delivery.elapsed())).await;
    assert_eq!(second.send(&event).await, Answer::success());
    assert_eq!(bus.entries().len(), 1);
}

#[tokio::test]
async fn two_deliveries_at_once_publish_once_and_both_are_acknowledged() {
    let table = empty_table().await;
    let bus = event_bus().await;
    let variables = Variables::new("plain", &table.endpoint()).publishing(bus.endpoint());
    let (mut first, mut second) = (variables.start().await, variables.start().await);
    bus.delay(Duration::from_millis(500));
    let event = plain(&text("a", 1));
    let answers = tokio::join!(first.send(&event), second.send(&event));
    assert_eq!(answers, (Answer::success(), Answer::success()));
    assert_eq!(bus.entries().len(), 1);
}

#[tokio::test]
async fn requests_that_are_refused_have_no_effect() {
    let table = empty_table().await;
    let bus = event_bus().await;
    let mut webhook = Variables::new("plain", &table.endpoint())
        .publishing(bus.endpoint())
        .start()
        .await;
    let mut query = signed("wrong");
    query.truncate(3);
    let forged = request("POST", &crate::setup::pairs(&query), Some(&receipt("1", "success")));
    assert_eq!(webhook.send(&forged).await.status, 403);
    let neither = "<xml><Content>neither type nor event</Content></xml>";
    assert_eq!(webhook.post(neither).await, Answer::success());
    assert!(bus.entries().is_empty());
    assert_eq!(store(&table).message("1", now()).await.unwrap(), None);
}

#[tokio::test]
async fn without_a_bus_only_receipts_touch_the_table() {
    let table = empty_table().await;
    let mut webhook = Variables::new("plain", &table.endpoint()).start().await;
    let view = callback("event", "<Event>VIEW</Event><EventKey>https://example.com</EventKey>");
    for xml in [text("a", 1), view] {
        assert_eq!(webhook.post(&xml).await, Answer::success());
    }
    assert_eq!(kept(&table).await, Vec::<String>::new());
}

/// An account without callbacks for a day has lost them. Each write costs.
#[tokio::test]
async fn an_accepted_callback_is_noted_once_in_five_minutes() {
    let table = empty_table().await;
    let store = store(&table);
    let mut webhook = Variables::new("plain", &table.endpoint()).start().await;
    assert_eq!(webhook.send(&check(TOKEN)).await.status, 200);
    assert_eq!(webhook.send(&check("wrong")).await.status, 403);
    assert_eq!(store.last_callback().await.unwrap(), None, "neither is a callback");
    assert_eq!(webhook.post(&text("a", 1)).await, Answer::success());
    let noted = store.last_callback().await.unwrap().unwrap();
    assert!((noted - now()).abs() < 60, "{noted}");

    store.note_callback(1).await.unwrap();
    assert_eq!(webhook.post(&text("b", 2)).await, Answer::success());
    assert_eq!(store.last_callback().await.unwrap(), Some(1));
}

/// So one message can be followed from the send to the receipt.
#[tokio::test]
async fn the_line_of_a_receipt_names_its_message_and_what_became_of_it() {
    let table = empty_table().await;
    let mut webhook = Variables::new("plain", &table.endpoint()).start().await;
    let mut broken = Variables::new("plain", &nothing_listens()).start().await;
    let (msgid, words) = ("3428411849815982087", "failed:user block");
    assert_eq!(webhook.post(&receipt(msgid, words)).await, Answer::success());
    assert_eq!(broken.post(&receipt(msgid, words)).await, try_again());
    for (webhook, level) in [(&webhook, "INFO"), (&broken, "ERROR")] {
        let line = webhook.told(1).await.remove(0);
        assert_eq!(line["level"], level);
        assert_eq!(
            (&line["msgid"], &line["receipt"]),
            (&json!(msgid), &json!(words)),
            "{line}"
        );
        assert!(!webhook.0.logs().contains("oUser"), "{}", webhook.0.logs());
    }
}
