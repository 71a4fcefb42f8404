//! A store that is down or frozen neither stops nor slows an answer.

use std::time::{Duration, Instant};

use serde_json::json;
use testing::{EmbeddedSecretsManager, EmbeddedTable, Fault, FaultProxy, TABLE_NAME};
use wechat::store::Table;

use crate::setup::{APP_ID, Answer, TOKEN, Variables, callback, frozen, nothing_listens, now, receipt, table, text};

const COLD: Duration = Duration::from_secs(3);
const WARM: Duration = Duration::from_secs(1);

fn subscribe() -> String {
    callback("event", "<Event>subscribe</Event><EventKey></EventKey>")
}

/// What the account answers is not known then: neither the greeting nor silence is.
#[tokio::test]
async fn a_start_without_a_store_asks_wechat_to_deliver_again_and_guesses_no_reply() {
    let (_listener, silent) = frozen();
    for endpoint in [nothing_listens(), silent] {
        let started = Instant::now();
        let mut webhook = Variables::new("plain", &endpoint).start().await;
        let greeting = webhook.post(&sent_at(&subscribe(), now())).await;
        assert_eq!(greeting, Answer::text(500, "try again"));
        assert!(started.elapsed() < COLD, "{:?}", started.elapsed());
        for (age, answer) in [
            (0, Answer::text(500, "try again")),
            (5, Answer::text(500, "try again")),
            (9, Answer::success()),
        ] {
            let started = Instant::now();
            let xml = sent_at(&text("你好", 1), now() - age);
            assert_eq!(webhook.post(&xml).await, answer, "{age} s after it was sent");
            assert!(started.elapsed() < WARM, "{:?}", started.elapsed());
        }
    }
}

/// The rules have nothing to say to them.
#[tokio::test]
async fn a_callback_that_no_rule_could_answer_is_acknowledged_without_a_store() {
    let mut webhook = Variables::new("plain", &nothing_listens()).start().await;
    for xml in [
        callback("event", "<Event>unsubscribe</Event>"),
        callback("event", "<Event>VIEW</Event><EventKey>https://example.com/</EventKey>"),
        callback("event", "<Event>LOCATION</Event>"),
        callback("never_heard_of", ""),
        text("你好", 1).replace("FromUserName", "Other"),
    ] {
        let xml = sent_at(&xml, now());
        assert_eq!(webhook.post(&xml).await, Answer::success(), "{xml}");
    }
}

fn sent_at(xml: &str, seconds: i64) -> String {
    xml.replace("1767225600", &seconds.to_string())
}

/// WeChat hangs up after 5 s.
#[tokio::test]
async fn a_start_with_a_slow_secret_and_a_frozen_store_ends_in_time() {
    let (_listener, silent) = frozen();
    let secrets = slow_secret().await;
    let variables = Variables::new("plain", &silent)
        .with(&[("WECHAT_TOKEN", "")])
        .with_secret(&secrets);
    let started = Instant::now();
    let answer = variables.start().await.post(&receipt("1", "success")).await;
    let took = started.elapsed();
    assert_eq!(answer.status, 500, "WeChat delivers the receipt again");
    assert!(SECRET_AFTER < took && took < Duration::from_millis(4800), "{took:?}");
}

/// Such a start has no time left for the rules: the first reply has.
#[tokio::test]
async fn the_first_reply_waits_for_the_rules_that_the_start_did_not_wait_for() {
    let table = table(&hello("own")).await;
    let proxy = FaultProxy::start(&table.endpoint()).await.unwrap();
    proxy.fail(1.., Fault::Delay(Duration::from_millis(450)));
    let secrets = slow_secret().await;
    let variables = Variables::new("plain", &proxy.endpoint())
        .with(&[("WECHAT_TOKEN", "")])
        .with_secret(&secrets);
    let xml = text("你好", 1);
    let answer = variables.start().await.post(&xml).await;
    assert_eq!(answer.reply_to(&xml, false).text("Content"), Some("own"));
}

const SECRET_AFTER: Duration = Duration::from_millis(1500);

pub(crate) async fn slow_secret() -> EmbeddedSecretsManager {
    let secrets = EmbeddedSecretsManager::holding(&json!({"WECHAT_TOKEN": TOKEN}))
        .await
        .unwrap();
    secrets.delay(SECRET_AFTER);
    secrets
}

/// The next reply asks again, when no rules are known yet.
#[tokio::test]
async fn a_store_that_comes_back_after_the_start_is_read_for_the_next_reply() {
    let table = table(&hello("own")).await;
    let proxy = FaultProxy::start(&table.endpoint()).await.unwrap();
    proxy.fail(1.., Fault::Refuse);
    let mut webhook = Variables::new("plain", &proxy.endpoint()).start().await;
    let xml = sent_at(&text("你好", 1), now());
    assert_eq!(webhook.post(&xml).await, Answer::text(500, "try again"));
    proxy.mend().await;
    assert_eq!(
        webhook.post(&xml).await.reply_to(&xml, false).text("Content"),
        Some("own")
    );
}

fn hello(reply: &str) -> serde_json::Value {
    json!({"keywords": [{"match": "exact", "value": "你好", "reply": {"type": "text", "content": reply}}]})
}

#[tokio::test]
async fn damaged_rules_do_not_stop_an_answer() {
    let table = EmbeddedTable::start(None).await.unwrap();
    let store = Table::new(table.client(), TABLE_NAME, APP_ID);
    store.save_replies("{\"keywords\": 1}", None, now()).await.unwrap();
    let mut webhook = Variables::new("plain", &table.endpoint()).start().await;
    let fresh = sent_at(&subscribe(), now());
    assert_eq!(webhook.post(&fresh).await, Answer::text(500, "try again"));
    assert_eq!(webhook.post(&subscribe()).await, Answer::success());
}
