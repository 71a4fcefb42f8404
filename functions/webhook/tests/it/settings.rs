//! The secret that changes, or cannot be read, while the function runs.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use simulator::Mode;
use testing::{
    Fault, SecretsManager, Service, Stage,
    account::{AES_KEY, TOKEN},
    event::{callback, check, text},
    loopback::nobody,
};

use crate::setup::{Answer, Webhook, stage, stage_with};

const OLD_TOKEN: &str = "tokenBeforeThat";

/// Starts a function whose settings are in the secret.
async fn start(stage: &mut Stage, secrets: &SecretsManager) -> Webhook {
    stage.set([("WECHAT_TOKEN", ""), ("WECHAT_ENCODING_AES_KEY", "")]);
    stage.set_secret(secrets);
    let mut webhook = Webhook::start(stage).await;
    webhook.0.started().await;
    webhook
}

/// A stage whose table cannot be reached.
async fn without_table(mode: Mode) -> Stage {
    let mut stage = stage(mode).await;
    stage.set([("AWS_ENDPOINT_URL_DYNAMODB", nobody())]);
    stage
}

/// The change revokes the old token, and the doctor gets no note of a refusal.
#[tokio::test]
async fn a_token_that_was_changed_in_the_secret_serves_the_first_request_that_it_signs() {
    let mut stage = stage(Mode::Plain).await;
    let secrets = SecretsManager::holding(&json!({"WECHAT_TOKEN": OLD_TOKEN})).await;
    let mut webhook = start(&mut stage, &secrets).await;
    assert_eq!(webhook.send(&check(OLD_TOKEN)).await.status, 200);
    secrets.put(&json!({"WECHAT_TOKEN": TOKEN}));
    assert_eq!(webhook.send(&check(TOKEN)).await.status, 200);
    assert_eq!(stage.table.item("refused").await, Value::Null);
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
    let secrets = SecretsManager::holding(&values(&other_key)).await;
    let mut webhook = start(&mut without_table(Mode::Safe).await, &secrets).await;
    secrets.put(&values(AES_KEY));
    let message = callback(text("你好", 1)).safe();
    assert_eq!(webhook.send(&message).await, Answer::success());
}

/// The rules could not be read again from a store that is down.
#[tokio::test]
async fn new_settings_do_not_forget_the_rules() {
    let rules = json!({"default": {"type": "text", "content": "own"}});
    let mut stage = stage_with(&rules).await.behind_proxies().await;
    let secrets = SecretsManager::holding(&json!({"WECHAT_TOKEN": OLD_TOKEN})).await;
    let mut webhook = start(&mut stage, &secrets).await;
    stage.proxy(Service::Table).fail(1.., Fault::Refuse);
    secrets.put(&json!({"WECHAT_TOKEN": TOKEN}));
    let xml = text("你好", 1);
    assert_eq!(webhook.post(&xml).await.content(&xml), "own");
}

#[tokio::test]
async fn without_its_secret_it_answers_503_until_that_can_be_read() {
    let mut stage = without_table(Mode::Plain).await;
    let secrets = SecretsManager::refusing().await;
    let mut webhook = start(&mut stage, &secrets).await;
    let answer = webhook.send(&check(TOKEN)).await;
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("WECHAT_SECRET_ID"), "{answer:?}");
    let logs = webhook.0.logs();
    assert!(
        logs.contains("AccessDeniedException") && logs.contains("WECHAT_SECRET_ID"),
        "{logs}"
    );

    let mut webhook = start(&mut stage, &secrets).await;
    secrets.put(&json!({"WECHAT_TOKEN": TOKEN}));
    assert_eq!(webhook.send(&check(TOKEN)).await.status, 200);
}

/// WeChat hangs up after 5 s.
#[tokio::test]
async fn a_secret_that_hangs_costs_the_start_two_seconds() {
    let mut stage = without_table(Mode::Plain).await;
    let secrets = SecretsManager::holding(&json!({"WECHAT_TOKEN": TOKEN})).await;
    secrets.delay(Duration::from_secs(60));
    let started = Instant::now();
    let mut webhook = start(&mut stage, &secrets).await;
    let start_took = started.elapsed();
    assert!(start_took < Duration::from_millis(2500), "{start_took:?}");
    assert_eq!(webhook.send(&check(TOKEN)).await.status, 503);
    assert!(
        started.elapsed() < Duration::from_millis(3500),
        "{:?}",
        started.elapsed()
    );
}
