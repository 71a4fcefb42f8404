//! The secret that changes, or cannot be read, while the function runs.

use serde_json::json;
use testing::{EmbeddedSecretsManager, event};

use crate::Admin;

async fn start(secrets: &EmbeddedSecretsManager, api_keys: &str) -> Admin {
    let variables = [
        ("API_KEYS", api_keys),
        ("WECHAT_SECRET_ID", "wechat"),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.endpoint()),
    ];
    let mut admin = Admin::start_with(true, &variables).await;
    admin.function.started().await;
    admin
}

#[tokio::test]
async fn a_key_that_is_put_into_the_secret_works_at_once_and_one_taken_out_no_more() {
    let secrets = EmbeddedSecretsManager::holding(&json!({"API_KEYS": "leaked-key"}))
        .await
        .unwrap();
    let mut admin = start(&secrets, "").await;
    let mut leaked = event("replies-get");
    leaked["headers"]["authorization"] = json!("Bearer leaked-key");
    assert_eq!(admin.answer(&leaked).await.0, 200);
    secrets.put(&json!({"API_KEYS": crate::API_KEY}));
    assert_eq!(admin.answer_to("replies-get").await.0, 200);
    assert_eq!(admin.answer(&leaked).await.0, 401);
    assert_eq!(secrets.asked().len(), 2, "wrong keys have it read every 10 s at most");
    let logs = admin.function.logs();
    assert!(!logs.contains("leaked-key") && !logs.contains(crate::API_KEY), "{logs}");
}

#[tokio::test]
async fn a_request_without_a_key_does_not_have_the_secret_read() {
    let secrets = EmbeddedSecretsManager::holding(&json!({"API_KEYS": crate::API_KEY}))
        .await
        .unwrap();
    let mut admin = start(&secrets, "").await;
    let mut keyless = event("replies-get");
    keyless["headers"].as_object_mut().unwrap().remove("authorization");
    assert_eq!(admin.answer(&keyless).await.0, 401);
    assert_eq!(secrets.asked().len(), 1);
}

/// Also those without a key: nobody knows the keys. They learn no more than the code of the refusal.
#[tokio::test]
async fn without_its_secret_every_request_is_told_the_cause_and_the_remedy() {
    let secrets = EmbeddedSecretsManager::refusing().await.unwrap();
    let mut admin = start(&secrets, "").await;
    let mut stranger = event("doctor");
    stranger["headers"].as_object_mut().unwrap().remove("authorization");
    for event in [stranger, event("doctor"), event("menu-create")] {
        let (status, problem) = admin.answer(&event).await;
        assert_eq!(
            (status, &problem["type"]),
            (503, &json!("urn:wechat-bundle:set-up")),
            "{problem}"
        );
        for part in [
            "AccessDeniedException",
            "WECHAT_SECRET_ID",
            "secretsmanager:GetSecretValue",
            "VPC",
        ] {
            assert!(problem.to_string().contains(part), "{part} in {problem}");
        }
        assert!(!problem.to_string().contains("123456789012"), "{problem}");
    }
    assert!(admin.function.logs().contains("123456789012"), "the log says more");
}

#[tokio::test]
async fn the_doctor_answers_holders_of_a_key_that_is_set_directly_though_the_secret_cannot_be_read() {
    let secrets = EmbeddedSecretsManager::refusing().await.unwrap();
    let mut admin = start(&secrets, crate::API_KEY).await;
    let (status, report) = admin.answer_to("doctor").await;
    assert_eq!((status, &report["ok"]), (200, &json!(false)));
    let checks = report["checks"].as_array().unwrap();
    let check = |name: &str| checks.iter().find(|check| check["name"] == name).unwrap();
    assert_eq!(check("secret")["ok"], false);
    for part in ["AccessDeniedException", "secretsmanager:GetSecretValue"] {
        assert!(check("secret").to_string().contains(part), "{report}");
    }
    assert_eq!(check("table")["ok"], true, "{report}");
    let (status, problem) = admin.answer_to("menu-create").await;
    assert_eq!((status, &problem["type"]), (503, &json!("urn:wechat-bundle:set-up")));
    let mut stranger = event("doctor");
    stranger["headers"]["authorization"] = json!("Bearer stranger");
    assert_eq!(admin.answer(&stranger).await.0, 401);
}
