//! A store that is down or frozen neither stops nor slows an answer.

use std::time::{Duration, Instant};

use serde_json::json;
use testing::{EmbeddedTable, Fault, FaultProxy, TABLE_NAME};
use wechat::store::Table;

use crate::setup::{APP_ID, Answer, Variables, callback, frozen, nothing_listens, now, store, table, text};

const COLD: Duration = Duration::from_secs(3);
const WARM: Duration = Duration::from_secs(1);

fn subscribe() -> String {
    callback("event", "<Event>subscribe</Event><EventKey></EventKey>")
}

#[tokio::test]
async fn a_start_without_a_store_still_greets() {
    let (_listener, silent) = frozen();
    for endpoint in [nothing_listens(), silent] {
        let started = Instant::now();
        let mut webhook = Variables::new("plain", &endpoint).start().await;
        let greeting = webhook.post(&subscribe()).await;
        assert!(started.elapsed() < COLD, "{:?}", started.elapsed());
        assert_eq!(greeting.reply_to(&subscribe(), false).text("Content"), Some("欢迎关注"));
        for msg_id in 1..4 {
            let started = Instant::now();
            assert_eq!(webhook.post(&text("你好", msg_id)).await, Answer::success());
            assert!(started.elapsed() < WARM, "{:?}", started.elapsed());
        }
    }
}

/// The next reply asks again, when nothing better than the greeting is known.
#[tokio::test]
async fn a_store_that_comes_back_after_the_start_is_read_for_the_next_reply() {
    let table = table(&hello("own")).await;
    let proxy = FaultProxy::start(&table.endpoint()).await.unwrap();
    proxy.fail(1.., Fault::Refuse);
    let mut webhook = Variables::new("plain", &proxy.endpoint()).start().await;
    let xml = text("你好", 1);
    assert_eq!(webhook.post(&xml).await, Answer::success());
    proxy.mend().await;
    assert_eq!(
        webhook.post(&xml).await.reply_to(&xml, false).text("Content"),
        Some("own")
    );
}

fn hello(reply: &str) -> serde_json::Value {
    json!({"keywords": [{"match": "exact", "value": "你好", "reply": {"type": "text", "content": reply}}]})
}

/// The store is lost under a running function: the last known rules serve, and the wait for newer ones is short.
#[tokio::test]
async fn known_rules_survive_the_store_and_new_ones_are_read_within_half_a_minute() {
    let first = table(&hello("first")).await;
    let gone = table(&hello("known")).await;
    let mut reading = Variables::new("plain", &first.endpoint()).start().await;
    let mut cut_off = Variables::new("plain", &gone.endpoint()).start().await;
    let xml = text("你好", 1);
    assert_eq!(
        reading.post(&xml).await.reply_to(&xml, false).text("Content"),
        Some("first")
    );
    assert_eq!(
        cut_off.post(&xml).await.reply_to(&xml, false).text("Content"),
        Some("known")
    );

    store(&first)
        .save_replies(APP_ID, &hello("second").to_string(), None, now())
        .await
        .unwrap();
    gone.stop().await;
    assert_eq!(
        reading.post(&xml).await.reply_to(&xml, false).text("Content"),
        Some("first"),
        "not read anew for every callback"
    );
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(
        reading.post(&xml).await.reply_to(&xml, false).text("Content"),
        Some("second")
    );
    let started = Instant::now();
    assert_eq!(
        cut_off.post(&xml).await.reply_to(&xml, false).text("Content"),
        Some("known")
    );
    assert!(started.elapsed() < WARM, "{:?}", started.elapsed());
}

#[tokio::test]
async fn damaged_rules_do_not_stop_an_answer() {
    let table = EmbeddedTable::start(None).await.unwrap();
    let store = Table::new(table.client(), TABLE_NAME);
    store
        .save_replies(APP_ID, "{\"keywords\": 1}", None, now())
        .await
        .unwrap();
    let mut webhook = Variables::new("plain", &table.endpoint()).start().await;
    let greeting = webhook.post(&subscribe()).await;
    assert_eq!(greeting.reply_to(&subscribe(), false).text("Content"), Some("欢迎关注"));
}
