//! The secret that changes, or cannot be read, while the function runs.

use serde_json::json;
use testing::{
    SecretsManager,
    account::API_KEY,
    event::{api, get},
};

use crate::{Admin, stage};

/// Starts a function with `api_keys` set directly, and a secret.
async fn start(secrets: &SecretsManager, api_keys: &str) -> Admin {
    let mut stage = stage().await.token().await;
    stage.set_secret(secrets);
    let mut admin = Admin::on(stage, &[("API_KEYS", api_keys)]).await;
    admin.started().await;
    admin
}

#[tokio::test]
async fn a_key_that_is_put_into_the_secret_works_at_once_and_one_taken_out_no_more() {
    let secrets = SecretsManager::holding(&json!({"API_KEYS": "leaked-key"})).await;
    let mut admin = start(&secrets, "").await;
    let leaked = get("/api/replies").api_key("leaked-key");
    assert_eq!(admin.send(&leaked).await.status, 200);
    secrets.put(&json!({"API_KEYS": API_KEY}));
    assert_eq!(admin.send(&get("/api/replies")).await.status, 200);
    assert_eq!(admin.send(&leaked).await.status, 401);
    assert_eq!(secrets.asked().len(), 2, "wrong keys have it read every 10 s at most");
    let logs = admin.logs();
    assert!(!logs.contains("leaked-key") && !logs.contains(API_KEY), "{logs}");
}

#[tokio::test]
async fn a_request_without_a_key_does_not_have_the_secret_read() {
    let secrets = SecretsManager::holding(&json!({"API_KEYS": API_KEY})).await;
    let mut admin = start(&secrets, "").await;
    let keyless = get("/api/replies").keyless();
    assert_eq!(admin.send(&keyless).await.status, 401);
    assert_eq!(secrets.asked().len(), 1);
}

/// Also requests without a key, because the keys are unknown. Their callers learn only the code of the refusal.
#[tokio::test]
async fn without_its_secret_every_request_is_told_the_cause_and_the_remedy() {
    let secrets = SecretsManager::refusing().await;
    let mut admin = start(&secrets, "").await;
    let doctor = get("/api/doctor").api_key("events-key");
    for event in [doctor.clone().keyless(), doctor, api("POST", "/api/menu")] {
        let (status, problem) = admin.send(&event).await.parts();
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
    assert!(admin.logs().contains("123456789012"), "the log says more");
}

#[tokio::test]
async fn the_doctor_answers_holders_of_a_key_that_is_set_directly_though_the_secret_cannot_be_read() {
    let secrets = SecretsManager::refusing().await;
    let mut admin = start(&secrets, API_KEY).await;
    let (status, report) = admin.send(&get("/api/doctor")).await.parts();
    assert_eq!((status, &report["ok"]), (200, &json!(false)));
    let checks = report["checks"].as_array().unwrap();
    let check = |name: &str| checks.iter().find(|check| check["name"] == name).unwrap();
    assert_eq!(check("secret")["ok"], false);
    for part in ["AccessDeniedException", "secretsmanager:GetSecretValue"] {
        assert!(check("secret").to_string().contains(part), "{report}");
    }
    assert_eq!(check("table")["ok"], true, "{report}");
    let (status, problem) = admin.send(&api("POST", "/api/menu")).await.parts();
    assert_eq!((status, &problem["type"]), (503, &json!("urn:wechat-bundle:set-up")));
    let stranger = get("/api/doctor").api_key("stranger");
    assert_eq!(admin.send(&stranger).await.status, 401);
}
