//! The secret that changes, or cannot be read, while the function runs.

use serde_json::json;
use testing::{Function, SecretsManager, Stage, account::API_KEY, message};

use crate::{BINARY, SEND, send};

/// Starts a function whose API keys are in the secret.
async fn start(stage: &mut Stage, secrets: &SecretsManager) -> Function {
    stage.set([("API_KEYS", "")]);
    stage.set_secret(secrets);
    let mut function = stage.function(BINARY).await;
    function.started().await;
    function
}

/// As on the first day of a stack, whose secret is an empty form.
#[tokio::test]
async fn a_key_that_is_put_into_the_secret_sends_at_once() {
    let mut stage = Stage::with_token().await;
    let secrets = SecretsManager::holding(&json!({"API_KEYS": ""})).await;
    let mut function = start(&mut stage, &secrets).await;
    secrets.put(&json!({"API_KEYS": API_KEY}));
    assert_eq!(send(&mut function, &message()).await.status, 200);
}

#[tokio::test]
async fn without_its_secret_nothing_is_sent_and_the_cause_is_told() {
    let mut stage = Stage::with_token().await;
    let secrets = SecretsManager::refusing().await;
    let mut function = start(&mut stage, &secrets).await;
    let answer = send(&mut function, &message()).await;
    assert_eq!((answer.status, answer.kind()), (503, "set-up"));
    assert!(
        answer.body.to_string().contains("AccessDeniedException"),
        "{}",
        answer.body
    );
    assert_eq!(stage.wechat.calls(SEND).await, 0);
}
