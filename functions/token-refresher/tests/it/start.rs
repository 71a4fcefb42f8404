//! How the function starts: its configuration, its secret, its way to WeChat.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;
use testing::{
    SecretsManager, Stage,
    account::APP_SECRET,
    loopback::{listener, nobody},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{BINARY, calls, refresh, refreshed, stage};

#[tokio::test]
async fn every_problem_of_the_configuration_is_reported_at_once_and_the_process_ends() {
    let mut stage = stage().await;
    stage.set([
        ("WECHAT_APP_ID", "gh_0a1b2c3d4e5f"),
        ("WECHAT_APP_SECRET", ""),
        ("WECHAT_TOKEN_API", "unstable"),
        ("WECHAT_API_BASE", "https://"),
        ("HTTPS_PROXY", "http://user:proxy-pass@["),
        ("TABLE_NAME", ""),
    ]);
    let mut function = stage.function(BINARY).await;
    assert_eq!(function.exit_code().await, Some(1));
    let logs = function.logs();
    for name in [
        "WECHAT_APP_ID",
        "WECHAT_APP_SECRET",
        "WECHAT_TOKEN_API",
        "WECHAT_API_BASE",
        "HTTPS_PROXY",
        "TABLE_NAME",
    ] {
        assert!(logs.contains(name), "{name}: {logs}");
    }
    assert_eq!(logs.matches("cannot run").count(), 1, "{logs}");
}

/// Cold starts are slow.
const SECRET_AFTER: Duration = Duration::from_secs(1);

#[tokio::test]
async fn the_secret_completes_the_environment_once() {
    let mut stage = stage().await;
    let secret = json!({
        "WECHAT_APP_SECRET": APP_SECRET,
        "WECHAT_APP_ID": "wx0000000000000000",
    });
    let answer = json!({"Name": "wechat", "SecretString": secret.to_string()});
    let secrets = SecretsManager::start(&answer).await;
    secrets.delay(SECRET_AFTER);
    has_secret(&mut stage, &secrets);
    let mut function = refreshed(&stage).await;
    function.succeed(&refresh()).await;
    let asked = secrets.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].starts_with("secretsmanager.GetSecretValue") && asked[0].contains(r#""wechat""#));
}

/// Makes functions take the AppSecret from a secret.
fn has_secret(stage: &mut Stage, secrets: &SecretsManager) {
    stage.set([("WECHAT_APP_SECRET", "")]);
    stage.set_secret(secrets);
}

#[tokio::test]
async fn a_start_with_a_secret_that_is_no_json_object_fails_its_runs_until_it_is_mended() {
    let answer = json!({"Name": "wechat", "SecretString": "just-the-secret"});
    let mut stage = stage().await;
    let secrets = SecretsManager::start(&answer).await;
    has_secret(&mut stage, &secrets);
    let mut function = stage.function(BINARY).await;
    let (kind, message) = function.fail(&refresh()).await;
    assert_eq!(kind, "SecretUnreadable");
    assert!(
        message.contains("JSON object") && message.contains("WECHAT_SECRET_ID"),
        "{message}"
    );
    assert!(!function.logs().contains("just-the-secret"));

    let mut function = stage.function(BINARY).await;
    function.started().await;
    secrets.put(&json!({"WECHAT_APP_SECRET": APP_SECRET}));
    assert_eq!(function.succeed(&refresh()).await["generation"], 1);
}

#[tokio::test]
async fn a_start_without_the_secret_fails_its_runs_by_name_until_it_can_be_read() {
    let mut stage = stage().await;
    let secrets = SecretsManager::refusing().await;
    has_secret(&mut stage, &secrets);
    let mut function = stage.function(BINARY).await;
    let (kind, message) = function.fail(&refresh()).await;
    assert_eq!(kind, "SecretUnreadable");
    assert!(
        message.contains("AccessDeniedException") && message.contains("WECHAT_SECRET_ID"),
        "{message}"
    );

    let mut function = stage.function(BINARY).await;
    function.started().await;
    secrets.put(&json!({"WECHAT_APP_SECRET": APP_SECRET}));
    let done = function.succeed(&refresh()).await;
    assert_eq!(done["generation"], 1);
}

/// The rest of the configuration is checked without the secret.
#[tokio::test]
async fn a_start_without_the_secret_tells_what_else_is_wrong_and_ends() {
    let mut stage = stage().await;
    let secrets = SecretsManager::refusing().await;
    has_secret(&mut stage, &secrets);
    stage.set([("WECHAT_TOKEN_API", "unstable")]);
    let mut function = stage.function(BINARY).await;
    assert_eq!(function.exit_code().await, Some(1));
    let logs = function.logs();
    assert!(
        logs.contains("AccessDeniedException") && logs.contains("WECHAT_TOKEN_API"),
        "{logs}"
    );
}

#[tokio::test]
async fn a_mended_app_secret_is_used_by_the_run_that_wechat_refuses() {
    let mut stage = stage().await;
    let secrets = SecretsManager::holding(&json!({"WECHAT_APP_SECRET": "of-before-the-reset"})).await;
    has_secret(&mut stage, &secrets);
    let mut function = stage.function(BINARY).await;
    function.started().await;
    secrets.put(&json!({"WECHAT_APP_SECRET": APP_SECRET}));
    let done = function.succeed(&refresh()).await;
    assert_eq!(done["generation"], 1);
    assert_eq!(calls(&stage).await, 2, "one of each AppSecret");
    assert_eq!(secrets.asked().len(), 2);
    assert!(!function.logs().contains("of-before-the-reset"));
}

#[tokio::test]
async fn a_refused_app_secret_that_has_not_changed_costs_one_call() {
    let mut stage = stage().await;
    let secrets = SecretsManager::holding(&json!({"WECHAT_APP_SECRET": "wrong"})).await;
    has_secret(&mut stage, &secrets);
    let mut function = stage.function(BINARY).await;
    for _ in 0..3 {
        let (kind, _) = function.fail(&refresh()).await;
        assert!(kind.starts_with("WeChat40"), "{kind}");
    }
    assert_eq!(calls(&stage).await, 3);
    assert_eq!(secrets.asked().len(), 2, "every 10 s at most");
}

#[tokio::test]
async fn https_goes_through_the_proxy_whose_password_stays_secret() {
    let listener = listener().await;
    let proxy = listener.local_addr().unwrap();
    let requests = Arc::<Mutex<Vec<String>>>::default();
    let log = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4_096];
            let length = stream.read(&mut request).await.unwrap_or(0);
            log.lock()
                .unwrap()
                .push(String::from_utf8_lossy(&request[..length]).into_owned());
            let _ = stream
                .write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
                .await;
        }
    });
    let mut stage = stage().await;
    stage.set([("WECHAT_API_BASE", "https://api.weixin.qq.com")]);
    stage.set([("HTTPS_PROXY", format!("http://user:proxy-pass@{proxy}"))]);
    let mut function = stage.function(BINARY).await;
    let (kind, message) = function.fail(&refresh()).await;
    assert_eq!(kind, "WeChatUnreachable", "{message}");
    let requests = requests.lock().unwrap();
    assert!(
        requests
            .iter()
            .all(|request| request.starts_with("CONNECT api.weixin.qq.com:443 ")),
        "{requests:?}"
    );
    assert!(
        requests.first().is_some_and(|request| request.contains("roxy-")),
        "{requests:?}"
    );
}

/// The table and the other AWS services are reached directly, whatever the proxy variables say.
#[tokio::test]
async fn aws_is_not_called_through_the_proxy() {
    let mut stage = stage().await;
    let nobody = nobody();
    stage.set(["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"].map(|variable| (variable, &nobody)));
    refreshed(&stage).await;
}
