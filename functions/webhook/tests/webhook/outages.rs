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

/// WeChat hangs up after 5 s.
#[tokio::test]
async fn a_start_with_a_slow_secret_and_a_frozen_store_ends_in_time() {
    let (_listener, silent) = frozen();
    let secrets = slow_secret().await;
    let variables = Variables::new("plain", &silent).with(&with_secret(&secrets));
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
    let variables = Variables::new("plain", &proxy.endpoint()).with(&with_secret(&secrets));
    let xml = text("你好", 1);
    let answer = variables.start().await.post(&xml).await;
    assert_eq!(answer.reply_to(&xml, false).text("Content"), Some("own"));
}

const SECRET_AFTER: Duration = Duration::from_millis(1500);

pub(crate) async fn slow_secret() -> EmbeddedSecretsManager {
    let secret = json!({"Name": "wechat", "SecretString": json!({"WECHAT_TOKEN": TOKEN}).to_string()});
    EmbeddedSecretsManager::start(&secret, SECRET_AFTER).await.unwrap()
}

pub(crate) fn with_secret(secrets: &EmbeddedSecretsManager) -> [(&'static str, &str); 3] {
    [
        ("WECHAT_TOKEN", ""),
        ("WECHAT_SECRET_ID", "wechat"),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.endpoint()),
    ]
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
