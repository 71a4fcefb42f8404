//! The secret that changes, or cannot be read, while the function runs.

use serde_json::json;
use testing::{EmbeddedSecretsManager, Function};

use crate::stage::{API_KEY, SEND, Stage, message, send};

async fn start(stage: &Stage, secrets: &EmbeddedSecretsManager) -> Function {
    let variables = [
        ("API_KEYS", ""),
        ("WECHAT_SECRET_ID", "wechat"),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.endpoint()),
    ];
    let mut function = stage.function_with(&variables).await;
    function.started().await;
    function
}

/// As on the first day of a stack, whose secret is an empty form.
#[tokio::test]
async fn a_key_that_is_put_into_the_secret_sends_at_once() {
    let stage = Stage::new().await;
    let secrets = EmbeddedSecretsManager::holding(&json!({"API_KEYS": ""})).await.unwrap();
    let mut function = start(&stage, &secrets).await;
    secrets.put(&json!({"API_KEYS": API_KEY}));
    assert_eq!(send(&mut function, &message()).await.status, 200);
}

#[tokio::test]
async fn without_its_secret_nothing_is_sent_and_the_cause_is_told() {
    let stage = Stage::new().await;
    let secrets = EmbeddedSecretsManager::refusing().await.unwrap();
    let mut function = start(&stage, &secrets).await;
    let answer = send(&mut function, &message()).await;
    assert_eq!(
        (answer.status, &answer.body["type"]),
        (503, &json!("urn:wechat-bundle:set-up"))
    );
    assert!(
        answer.body.to_string().contains("AccessDeniedException"),
        "{}",
        answer.body
    );
    assert_eq!(stage.calls(Some(SEND)).await, 0);
}
