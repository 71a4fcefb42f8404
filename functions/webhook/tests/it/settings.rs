//! The secret that changes, or cannot be read, while the function runs.

use std::time::{Duration, Instant};

use serde_json::json;
use testing::{EmbeddedSecretsManager, Fault, FaultProxy};

use crate::setup::{
    AES_KEY, Answer, TOKEN, Variables, Webhook, check, nothing_listens, plain, safe, store, table, text,
};

const OLD_TOKEN: &str = "tokenBeforeThat";

async fn start(mode: &str, table: &str, secrets: &EmbeddedSecretsManager) -> Webhook {
    let mut webhook = Variables::new(mode, table)
        .with(&[("WECHAT_TOKEN", ""), ("WECHAT_ENCODING_AES_KEY", "")])
        .with_secret(secrets)
        .start()
        .await;
    webhook.0.started().await;
    webhook
}

/// The old one is revoked by that, and the doctor is not told of a refusal that was none.
#[tokio::test]
async fn a_token_that_was_changed_in_the_secret_serves_the_first_request_that_it_signs() {
    let rules = table(&json!({})).await;
    let secrets = EmbeddedSecretsManager::holding(&json!({"WECHAT_TOKEN": OLD_TOKEN}))
        .await
        .unwrap();
    let mut webhook = start("plain", &rules.endpoint(), &secrets).await;
    assert_eq!(webhook.send(&check(OLD_TOKEN)).await.status, 200);
    secrets.put(&json!({"WECHAT_TOKEN": TOKEN}));
    assert_eq!(webhook.send(&check(TOKEN)).await.status, 200);
    let refused = store(&rules).refused_callbacks(crate::setup::now()).await;
    assert_eq!(refused.unwrap(), []);
    for _ in 0..3 {
        assert_eq!(webhook.send(&check(OLD_TOKEN)).await, Answer::forbidden());
    }
    assert_eq!(secrets.asked().len(), 2, "strangers have it read every 10 s at most");
    let logs = webhook.0.logs();
    assert!(!logs.contains(OLD_TOKEN) && !logs.contains(TOKEN), "{logs}");
}

#[tokio::test]
async fn a_key_that_was_changed_in_the_secret_opens_the_first_message() {
    let other_key = "B".repeat(43);
    let values = |key: &str| json!({"WECHAT_TOKEN": TOKEN, "WECHAT_ENCODING_AES_KEY": key});
    let secrets = EmbeddedSecretsManager::holding(&values(&other_key)).await.unwrap();
    let mut webhook = start("safe", &nothing_listens(), &secrets).await;
    secrets.put(&values(AES_KEY));
    assert_eq!(webhook.send(&safe(&text("你好", 1))).await, Answer::success());
}

/// A store that is down then cannot give them again.
#[tokio::test]
async fn new_settings_do_not_forget_the_rules() {
    let table = table(&json!({"default": {"type": "text", "content": "own"}})).await;
    let proxy = FaultProxy::start(&table.endpoint()).await.unwrap();
    let secrets = EmbeddedSecretsManager::holding(&json!({"WECHAT_TOKEN": OLD_TOKEN}))
        .await
        .unwrap();
    let mut webhook = start("plain", &proxy.endpoint(), &secrets).await;
    proxy.fail(1.., Fault::Refuse);
    secrets.put(&json!({"WECHAT_TOKEN": TOKEN}));
    let xml = text("你好", 1);
    let answer = webhook.send(&plain(&xml)).await;
    assert_eq!(answer.reply_to(&xml, false).text("Content"), Some("own"));
}

#[tokio::test]
async fn without_its_secret_it_answers_503_until_that_can_be_read() {
    let secrets = EmbeddedSecretsManager::refusing().await.unwrap();
    let mut webhook = start("plain", &nothing_listens(), &secrets).await;
    let answer = webhook.send(&check(TOKEN)).await;
    assert_eq!(answer, Answer::text(503, "not configured: see the function's log"));
    let logs = webhook.0.logs();
    assert!(
        logs.contains("AccessDeniedException") && logs.contains("WECHAT_SECRET_ID"),
        "{logs}"
    );

    let mut webhook = start("plain", &nothing_listens(), &secrets).await;
    secrets.put(&json!({"WECHAT_TOKEN": TOKEN}));
    assert_eq!(webhook.send(&check(TOKEN)).await.status, 200);
}

/// WeChat hangs up after 5 s.
#[tokio::test]
async fn a_secret_that_hangs_costs_the_start_two_seconds() {
    let secrets = EmbeddedSecretsManager::holding(&json!({"WECHAT_TOKEN": TOKEN}))
        .await
        .unwrap();
    secrets.delay(Duration::from_secs(60));
    let started = Instant::now();
    let mut webhook = start("plain", &nothing_listens(), &secrets).await;
    let start_took = started.elapsed();
    assert!(start_took < Duration::from_millis(2500), "{start_took:?}");
    assert_eq!(webhook.send(&check(TOKEN)).await.status, 503);
    assert!(
        started.elapsed() < Duration::from_millis(3500),
        "{:?}",
        started.elapsed()
    );
}
