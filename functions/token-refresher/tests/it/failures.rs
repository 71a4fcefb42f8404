//! What a run does when WeChat refuses, is slow, or is not there.

use std::time::{Duration, Instant};

use serde_json::json;
use testing::{Fault, Service, loopback::nobody, now};

use crate::{BINARY, STABLE_TOKEN, calls, has_lease, is_free, put, refresh, stage, token};

#[tokio::test]
async fn what_a_retry_cannot_mend_fails_after_one_call_and_says_what_to_do() {
    let stage = stage().await;
    let mut function = stage.function(BINARY).await;
    for (errcode, english, chinese) in [
        (40001, "WECHAT_APP_SECRET", "请核对 WECHAT_APP_SECRET"),
        (40013, "WECHAT_APP_ID", "不合法的 AppID"),
        (40125, "WECHAT_APP_SECRET", "无效的 appsecret"),
        (40164, "IP白名单", "127.0.0.1"),
        (40243, "unfreeze", "冻结"),
        (45009, "quota", "每日"),
        (50004, "mp.weixin.qq.com", "申诉"),
        (89503, "administrator", "管理员"),
        (-4711, "Unknown errcode", "未知错误码"),
    ] {
        let before = calls(&stage).await;
        stage.wechat.fault(STABLE_TOKEN, &json!({"errcode": errcode})).await;
        let (kind, message) = function.fail(&refresh()).await;
        assert_eq!(kind, format!("WeChat{errcode}"));
        assert!(
            message.contains(&format!("errcode {errcode}"))
                && message.to_lowercase().contains(&english.to_lowercase())
                && message.contains(chinese)
                && message.contains("rid: "),
            "{message}"
        );
        assert_eq!(calls(&stage).await, before + 1, "{errcode}");
        assert!(is_free(&stage).await, "{errcode}");
    }
    assert_eq!(function.succeed(&refresh()).await["refreshed"], true);
}

#[tokio::test]
async fn the_platforms_own_refusals_are_understood() {
    let mut stage = stage().await;
    stage.wechat.whitelist(json!(["203.0.113.7"])).await;
    assert_eq!(stage.function(BINARY).await.fail(&refresh()).await.0, "WeChat40164");
    stage.set([("WECHAT_APP_SECRET", "0123456789abcdef0123456789abcdef")]);
    assert_eq!(stage.function(BINARY).await.fail(&refresh()).await.0, "WeChat40125");
}

#[tokio::test]
async fn a_busy_wechat_is_asked_again_after_a_while() {
    let stage = stage().await;
    let mut function = stage.function(BINARY).await;
    stage
        .wechat
        .fault(STABLE_TOKEN, &json!({"errcode": -1, "times": 2}))
        .await;
    let started = Instant::now();
    assert_eq!(function.succeed(&refresh()).await["generation"], 1);
    assert!(started.elapsed() >= Duration::from_millis(1_500));
    assert_eq!(calls(&stage).await, 3);

    put(&stage, json!({"expires_at": now()})).await;
    stage
        .wechat
        .fault(STABLE_TOKEN, &json!({"errcode": -1, "times": 9}))
        .await;
    assert_eq!(function.fail(&refresh()).await.0, "WeChat-1");
    assert_eq!(calls(&stage).await, 6);
    assert!(is_free(&stage).await);
}

#[tokio::test]
async fn a_broken_connection_is_mended_by_a_repeat() {
    let stage = stage().await;
    let mut function = stage.function(BINARY).await;
    stage.wechat.fault(STABLE_TOKEN, &json!({"drop": true})).await;
    assert_eq!(function.succeed(&refresh()).await["refreshed"], true);
    assert_eq!(calls(&stage).await, 2);
}

#[tokio::test]
async fn nobody_at_the_address_is_told_as_such() {
    let mut stage = stage().await;
    stage.set([("WECHAT_API_BASE", nobody())]);
    let (kind, message) = stage.function(BINARY).await.fail(&refresh()).await;
    assert_eq!(kind, "WeChatUnreachable");
    assert!(message.contains("no connection to WeChat"), "{message}");
    assert!(is_free(&stage).await);
}

#[tokio::test]
async fn an_answer_that_is_not_wechats_is_told_as_such() {
    let stage = stage().await;
    let mut function = stage.function(BINARY).await;
    for body in [
        "<html>login first</html>",
        "{\"access_token\":\"97_cut-off-in-the-mid",
        "",
        "{}",
        "[]",
        "{\"access_token\":\"\",\"expires_in\":7200}",
        "{\"access_token\":\"97_ended\",\"expires_in\":0}",
        "{\"errcode\":\"none\"}",
    ] {
        let before = calls(&stage).await;
        stage.wechat.fault(STABLE_TOKEN, &json!({"body": body})).await;
        let (kind, message) = function.fail(&refresh()).await;
        assert_eq!(kind, "WeChatUnreadable", "{body}: {message}");
        assert_eq!(calls(&stage).await, before + 1, "{body}");
        let item = token(&stage).await;
        assert!(!has_lease(&item) && item.get("access_token").is_none(), "{item:?}");
    }
    stage
        .wechat
        .fault(STABLE_TOKEN, &json!({"http_status": 502, "times": 3}))
        .await;
    let (kind, message) = function.fail(&refresh()).await;
    assert!(kind == "WeChatUnreadable" && message.contains("502"), "{message}");
    // A relay may set a status of its own; the errcode says more.
    stage
        .wechat
        .fault(STABLE_TOKEN, &json!({"http_status": 412, "errcode": 40164}))
        .await;
    assert_eq!(function.fail(&refresh()).await.0, "WeChat40164");
    assert_eq!(function.succeed(&refresh()).await["refreshed"], true);
}

#[tokio::test]
async fn a_slow_wechat_is_given_eight_seconds() {
    let stage = stage().await;
    let mut function = stage.function(BINARY).await;
    stage.wechat.fault(STABLE_TOKEN, &json!({"delay_ms": 60_000})).await;
    let started = Instant::now();
    assert_eq!(function.fail(&refresh()).await.0, "WeChatUnreachable");
    assert!(
        (7..10).contains(&started.elapsed().as_secs()),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(calls(&stage).await, 1);
    assert!(is_free(&stage).await);
}

#[tokio::test]
async fn a_run_fails_before_its_deadline_not_at_it() {
    let stage = stage().await;
    let mut function = stage.function(BINARY).await;
    stage.wechat.fault(STABLE_TOKEN, &json!({"delay_ms": 60_000})).await;
    let started = Instant::now();
    let (kind, _) = function.fail_within(&refresh(), 3_000).await;
    assert_eq!(kind, "WeChatUnreachable");
    let taken = started.elapsed().as_millis();
    assert!((1_700..2_900).contains(&taken), "{taken} ms");
    assert!(is_free(&stage).await);

    // With no second to spare WeChat is not asked at all.
    let (kind, message) = function.fail_within(&refresh(), 900).await;
    assert!(
        kind == "WeChatUnreachable" && message.contains("not called"),
        "{message}"
    );
    assert_eq!(calls(&stage).await, 1);
}

#[tokio::test]
async fn a_table_that_is_not_there_is_told_as_such() {
    let mut stage = stage().await;
    stage.set([("TABLE_NAME", "another")]);
    let (kind, message) = stage.function(BINARY).await.fail(&refresh()).await;
    assert!(
        kind == "StoreSetUp" && message.contains("TABLE_NAME"),
        "{kind}: {message}"
    );
    assert_eq!(calls(&stage).await, 0);
}

/// The next attempt succeeds, so an alarm on errors would go off for nothing.
#[tokio::test]
async fn a_failed_attempt_at_the_table_that_is_repeated_is_no_error_in_the_log() {
    let stage = stage().await.behind_proxies().await;
    let table = stage.proxy(Service::Table);
    let mut function = stage.function(BINARY).await;
    for fault in [
        Fault::json(500, r#"{"__type":"InternalServerError"}"#),
        Fault::json(503, r#"{"__type":"ServiceUnavailable"}"#),
        Fault::json(400, r#"{"__type":"ProvisionedThroughputExceededException"}"#),
        Fault::Reset,
        Fault::LoseAnswer,
    ] {
        let name = format!("{fault:?}");
        put(&stage, json!({"expires_at": now()})).await;
        table.fail(2..=2, fault);
        assert_eq!(function.succeed(&refresh()).await["refreshed"], true, "{name}");
        let logs = function.logs();
        let error = logs.lines().find(|line| line.contains(r#""level":"ERROR""#));
        assert_eq!(error, None, "{name}");
    }
}
