//! Each cause of a set-up that does not work is diagnosed, and its remedy named.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wechat::store::{RefusedCallback, Sender, Table};

use crate::Admin;

/// The doctor's report, which it must give within its time.
async fn examine(admin: &mut Admin) -> Value {
    let started = Instant::now();
    let (status, report) = admin.answer_to("doctor").await;
    assert_eq!(status, 200);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    report
}

fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let found = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["name"] == name);
    found.unwrap_or_else(|| panic!("no check {name} in {report}"))
}

/// The check called `name` has failed, and all of `texts` stand in its detail or hint.
fn assert_failed(report: &Value, name: &str, texts: &[&str]) {
    let check = check(report, name);
    assert_eq!(
        (&report["ok"], &check["ok"]),
        (&json!(false), &json!(false)),
        "{report}"
    );
    for text in texts {
        assert!(check.to_string().contains(text), "{text} in {check}");
    }
}

#[tokio::test]
async fn a_working_set_up_passes_every_check() {
    let mut admin = Admin::start().await;
    let report = examine(&mut admin).await;
    assert_eq!(report["ok"], true, "{report}");
}

#[tokio::test]
async fn an_address_that_is_not_whitelisted_is_named_with_the_place_to_enter_it() {
    let mut admin = Admin::start_with(false, &[]).await;
    admin.sim("/sim/whitelist", &json!({"ips": ["198.51.100.7"]})).await;
    let report = examine(&mut admin).await;
    assert_failed(&report, "token", &["127.0.0.1", "IP白名单", "whitelist"]);
    assert_failed(&report, "templates", &["token"]);
}

#[tokio::test]
async fn what_wechat_says_of_secret_and_permission_is_explained() {
    let mut admin = Admin::start_with(false, &[]).await;
    let fault = json!({"path": "/cgi-bin/stable_token", "errcode": 40125});
    admin.sim("/sim/faults", &fault).await;
    assert_failed(&examine(&mut admin).await, "token", &["AppSecret"]);

    let fault = json!({"path": "/cgi-bin/template/get_all_private_template", "errcode": 48001});
    admin.sim("/sim/faults", &fault).await;
    let report = examine(&mut admin).await;
    assert_eq!(check(&report, "token")["ok"], true, "the fault is over: {report}");
    assert_failed(&report, "templates", &["认证"]);
}

#[tokio::test]
async fn a_wechat_that_hangs_does_not_hang_the_doctor() {
    let mut admin = Admin::start().await;
    let paths = ["/cgi-bin/template/get_all_private_template", "/cgi-bin/menu/get"];
    for path in paths {
        admin
            .sim("/sim/faults", &json!({"path": path, "delay_ms": 20_000, "times": 9}))
            .await;
    }
    let report = examine(&mut admin).await;
    assert_failed(&report, "templates", &["no answer"]);
    assert_eq!(check(&report, "refresh on demand")["ok"], true, "{report}");
}

#[tokio::test]
async fn a_table_that_is_not_there_is_told_apart_from_one_that_cannot_be_reached() {
    let mut admin = Admin::start_with(true, &[("TABLE_NAME", "another-table")]).await;
    assert_failed(&examine(&mut admin).await, "table", &["TABLE_NAME"]);
    let mut admin = Admin::start_with(true, &[("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9")]).await;
    assert_failed(&examine(&mut admin).await, "table", &["did not answer"]);
}

#[tokio::test]
async fn the_webhooks_settings_are_judged_where_they_can_be_seen() {
    let mut admin = Admin::start_with(true, &[("WECHAT_TOKEN", "t0k3n"), ("WECHAT_ENCODING_AES_KEY", "sh0rt")]).await;
    let report = examine(&mut admin).await;
    assert_failed(&report, "configuration", &["WECHAT_ENCODING_AES_KEY", "43"]);
    assert!(!report.to_string().contains("sh0rt") && !report.to_string().contains("t0k3n"));
}

#[tokio::test]
async fn the_last_refused_callback_is_shown_with_its_cause() {
    let mut admin = Admin::start().await;
    let app_id = admin.simulator.account().app_id.clone();
    let now = wechat::clock::Clock::now(&wechat::clock::SystemClock);
    let mut refused = RefusedCallback {
        cause: "signature does not match".to_owned(),
        sender: Sender::Unproven,
        at: now - 500,
    };
    let table = Table::new(admin.table.client(), testing::TABLE_NAME);
    table.record_refused_callback(&app_id, &refused).await.unwrap();
    let report = examine(&mut admin).await;
    let detail = check(&report, "last refused callback")["detail"].as_str().unwrap();
    assert!(detail.ends_with("signature does not match"), "{detail}");
    assert_eq!(report["ok"], true, "a stranger's request is no fault of the set-up");

    refused.sender = Sender::WeChat;
    table.record_refused_callback(&app_id, &refused).await.unwrap();
    let report = examine(&mut admin).await;
    assert_failed(&report, "last refused callback", &["signature does not match"]);
    refused.at -= 200;
    table.record_refused_callback(&app_id, &refused).await.unwrap();
    assert_eq!(examine(&mut admin).await["ok"], true, "it is no news any more");
}

#[tokio::test]
async fn a_lost_token_is_looked_for_anew_though_one_is_remembered() {
    let mut admin = Admin::start().await;
    assert_eq!(admin.answer_to("menu-get").await.0, 404, "the token is remembered now");
    let pk = format!("token#{}", admin.simulator.account().app_id);
    let pk = aws_sdk_dynamodb::types::AttributeValue::S(pk);
    let delete = admin
        .table
        .client()
        .delete_item()
        .table_name(testing::TABLE_NAME)
        .key("pk", pk);
    delete.send().await.unwrap();
    admin.sim("/sim/whitelist", &json!({"ips": ["198.51.100.7"]})).await;
    let report = examine(&mut admin).await;
    assert_failed(&report, "token", &["40164", "127.0.0.1", "IP白名单"]);
    let checks = report["checks"].as_array().unwrap();
    for check in checks.iter().filter(|check| check["ok"] == false) {
        assert!(check["hint"].is_string(), "each failure says what to do: {check}");
    }
}

#[tokio::test]
async fn every_refusal_of_a_token_is_diagnosed_with_its_remedy() {
    let mut admin = Admin::start_with(false, &[]).await;
    for (errcode, texts) in [
        (40013, ["40013", "WECHAT_APP_ID"]),
        (40243, ["40243", "冻结"]),
        (61004, ["61004", "IP"]),
        (89503, ["89503", "管理员"]),
        (45009, ["45009", "次日"]),
    ] {
        let fault = json!({"path": "/cgi-bin/stable_token", "errcode": errcode});
        admin.sim("/sim/faults", &fault).await;
        assert_failed(&examine(&mut admin).await, "token", &texts);
    }
}

#[tokio::test]
async fn what_the_account_lacks_is_told_by_the_check_that_finds_it() {
    let mut admin = Admin::start().await;
    let spent = json!({"errcode": 0, "quota": {"daily_limit": 100_000, "used": 100_000, "remain": 0}});
    for (fault, name, texts) in [
        (
            json!({"path": "/cgi-bin/callback/check", "errcode": 40201}),
            "callback URL",
            ["40201", "URL"],
        ),
        (
            json!({"path": "/cgi-bin/template/get_all_private_template", "body": r#"{"template_list":[]}"#}),
            "templates",
            ["no template", "模板消息"],
        ),
        (
            json!({"path": "/cgi-bin/openapi/quota/get", "body": spent.to_string(), "times": 2}),
            "send quota",
            ["100000", "次日"],
        ),
        (
            json!({"path": "/cgi-bin/menu/get", "errcode": 48001}),
            "menu",
            ["48001", "认证"],
        ),
    ] {
        admin.sim("/sim/faults", &fault).await;
        assert_failed(&examine(&mut admin).await, name, &texts);
    }
}

#[tokio::test]
async fn a_refresher_that_cannot_be_invoked_is_named_by_its_variable() {
    let mut admin = Admin::start_with(true, &[("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:9")]).await;
    assert_failed(
        &examine(&mut admin).await,
        "refresh on demand",
        &["TOKEN_REFRESHER_FUNCTION"],
    );
}

/// The webhook goes on with the rules that it has.
#[tokio::test]
async fn reply_rules_that_cannot_be_used_are_found() {
    let mut admin = Admin::start().await;
    let app_id = admin.simulator.account().app_id.clone();
    assert_eq!(check(&examine(&mut admin).await, "reply rules")["ok"], true);
    let table = Table::new(admin.table.client(), testing::TABLE_NAME);
    let gif = r#"{"subscribe":{"type":"gif"}}"#;
    table.save_replies(&app_id, gif, None, 0).await.unwrap();
    assert_failed(&examine(&mut admin).await, "reply rules", &["/subscribe/type"]);
}
