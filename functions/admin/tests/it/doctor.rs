//! Each cause of a set-up that does not work is diagnosed, and its remedy named.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testing::{account::API_KEY, now};
use wechat::{bilingual::halves, clock::beijing_day};

use crate::Admin;

/// Returns the doctor's report, which must arrive within its time limit.
async fn examine(admin: &mut Admin) -> Value {
    let started = Instant::now();
    let (status, report) = admin.get("/api/doctor").await.parts();
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
    let mut admin = Admin::without_token().await;
    admin.stage.wechat.whitelist(json!(["198.51.100.7"])).await;
    let report = examine(&mut admin).await;
    assert_failed(&report, "token", &["127.0.0.1", "IP白名单", "whitelist"]);
    assert_failed(&report, "templates", &["token"]);
}

#[tokio::test]
async fn what_wechat_says_of_secret_and_permission_is_explained() {
    let mut admin = Admin::without_token().await;
    let fault = json!({"errcode": 40125});
    admin.stage.wechat.fault("/cgi-bin/stable_token", &fault).await;
    assert_failed(&examine(&mut admin).await, "token", &["AppSecret"]);

    let fault = json!({"errcode": 48001});
    admin
        .stage
        .wechat
        .fault("/cgi-bin/template/get_all_private_template", &fault)
        .await;
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
            .stage
            .wechat
            .control("faults", &json!({"path": path, "delay_ms": 20_000, "times": 9}))
            .await;
    }
    let report = examine(&mut admin).await;
    assert_failed(&report, "templates", &["no answer"]);
    assert_eq!(check(&report, "refresh on demand")["ok"], true, "{report}");
}

#[tokio::test]
async fn a_table_that_is_not_there_is_told_apart_from_one_that_cannot_be_reached() {
    let mut admin = Admin::start_with(&[("TABLE_NAME", "another-table")]).await;
    assert_failed(&examine(&mut admin).await, "table", &["TABLE_NAME"]);
    let mut admin = Admin::start_with(&[("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9")]).await;
    assert_failed(&examine(&mut admin).await, "table", &["did not answer"]);
}

#[tokio::test]
async fn the_webhooks_settings_are_judged_where_they_can_be_seen() {
    let mut admin = Admin::start_with(&[("WECHAT_TOKEN", "t0k3n"), ("WECHAT_ENCODING_AES_KEY", "sh0rt")]).await;
    let report = examine(&mut admin).await;
    assert_failed(&report, "configuration", &["WECHAT_ENCODING_AES_KEY", "43"]);
    assert!(!report.to_string().contains("sh0rt") && !report.to_string().contains("t0k3n"));
}

/// The `sender` of a refused callback, by what its signature proves.
const STRANGER: u8 = 0;
const UNPROVEN: u8 = 1;
const SIGNED: u8 = 2;

fn refused(sender: u8, source: &str, ago: i64) -> Value {
    json!({"cause": "signature does not match", "sender": sender, "source": source, "refused_at": now() - ago})
}

/// Notes refused callbacks, as the webhook does in a process of its own.
async fn note(admin: &Admin, refusals: &[Value]) {
    let noted = json!({"refusals": refusals, "revision": 1});
    admin.stage.table.set("refused", &noted).await;
}

/// Notes that a callback was accepted `ago` seconds ago.
async fn note_accepted(admin: &Admin, ago: i64) {
    let noted = json!({"accepted_at": now() - ago});
    admin.stage.table.set("callbacks", &noted).await;
}

/// Where the simulated WeChat says that its callbacks come from.
const WECHAT: &str = "127.0.0.1";
const ELSEWHERE: &str = "198.51.100.7";

#[tokio::test]
async fn the_last_refused_callback_is_shown_with_its_cause() {
    let mut admin = Admin::start().await;
    let stranger = refused(UNPROVEN, ELSEWHERE, 500);
    note(&admin, &[stranger]).await;
    let report = examine(&mut admin).await;
    let detail = check(&report, "last refused callback")["detail"].as_str().unwrap();
    assert!(detail.ends_with("signature does not match"), "{detail}");
    assert_eq!(report["ok"], true, "a stranger's request is no fault of the set-up");

    let signed = refused(SIGNED, ELSEWHERE, 500);
    note(&admin, &[signed]).await;
    let report = examine(&mut admin).await;
    let key_differs = ["signature does not match", "EncodingAESKey differs"];
    assert_failed(&report, "last refused callback", &key_differs);
    let signed = refused(SIGNED, ELSEWHERE, 700);
    note(&admin, &[signed]).await;
    assert_eq!(examine(&mut admin).await["ok"], true, "it is no news any more");
}

#[tokio::test]
async fn a_callback_refused_from_an_address_of_wechats_is_a_fault_for_an_hour() {
    let mut admin = Admin::start().await;
    let browser = refused(STRANGER, WECHAT, 5);
    note(&admin, &[browser]).await;
    assert_eq!(examine(&mut admin).await["ok"], true, "WeChat signs all that it sends");

    let wechat = refused(UNPROVEN, WECHAT, 3500);
    let forgers = (1..=15).map(|last_octet| refused(STRANGER, &format!("198.51.100.{last_octet}"), 1));
    note(&admin, &forgers.chain([wechat]).collect::<Vec<_>>()).await;
    let report = examine(&mut admin).await;
    assert_failed(
        &report,
        "last refused callback",
        &["127.0.0.1", "signature does not match"],
    );

    let old = refused(UNPROVEN, WECHAT, 3601);
    note(&admin, &[old]).await;
    assert_eq!(examine(&mut admin).await["ok"], true, "it was mended an hour ago");
}

#[tokio::test]
async fn wechats_addresses_are_found_in_their_blocks_and_their_absence_is_said() {
    let mut admin = Admin::start().await;
    let suspect = refused(UNPROVEN, "101.226.103.61", 5);
    note(&admin, &[suspect]).await;
    let blocks = json!({"ip_list": ["101.226.62.77", "101.226.103.0/25"]});
    let fault = json!({"body": blocks.to_string()});
    admin.stage.wechat.fault("/cgi-bin/getcallbackip", &fault).await;
    assert_failed(&examine(&mut admin).await, "last refused callback", &["101.226.103.61"]);

    let fault = json!({"delay_ms": 20_000});
    admin.stage.wechat.fault("/cgi-bin/getcallbackip", &fault).await;
    let report = examine(&mut admin).await;
    let check = check(&report, "last refused callback");
    assert_eq!(check["ok"], true, "nobody knows whether it was WeChat: {check}");
    assert!(check["hint"].as_str().unwrap().contains("not known"), "{check}");
}

#[tokio::test]
async fn callbacks_that_have_stopped_are_missed_after_a_day() {
    let mut admin = Admin::start().await;
    let report = examine(&mut admin).await;
    let never = check(&report, "callbacks");
    assert!(never["ok"] == true && never["hint"].is_string(), "{never}");

    note_accepted(&admin, 23 * 3600).await;
    assert_eq!(check(&examine(&mut admin).await, "callbacks")["ok"], true);
    note_accepted(&admin, 25 * 3600).await;
    assert_failed(&examine(&mut admin).await, "callbacks", &["25 h", "域名与消息推送配置"]);
}

fn lost_ping() -> Value {
    let found = json!({
        "dns": [{"ip": "203.0.113.10", "real_operator": "UNICOM"}],
        "ping": [{"ip": "203.0.113.10", "from_operator": "UNICOM", "package_loss": "100%", "time": ""}],
    });
    json!({"body": found.to_string()})
}

#[tokio::test]
async fn a_ping_that_is_lost_is_a_fault_unless_callbacks_come_all_the_same() {
    let mut admin = Admin::start().await;
    admin.stage.wechat.fault("/cgi-bin/callback/check", &lost_ping()).await;
    assert_failed(&examine(&mut admin).await, "callback URL", &["203.0.113.10", "丢包"]);

    note_accepted(&admin, 60).await;
    admin.stage.wechat.fault("/cgi-bin/callback/check", &lost_ping()).await;
    let report = examine(&mut admin).await;
    let check = check(&report, "callback URL");
    assert!(check["ok"] == true && check["hint"].is_string(), "{check}");
}

#[tokio::test]
async fn a_check_of_the_callback_url_that_takes_long_is_not_known_and_no_fault() {
    let mut admin = Admin::start().await;
    let fault = json!({"delay_ms": 20_000});
    admin.stage.wechat.fault("/cgi-bin/callback/check", &fault).await;
    let report = examine(&mut admin).await;
    let detail = check(&report, "callback URL")["detail"].as_str().unwrap();
    assert!(detail.starts_with("not known") && report["ok"] == true, "{report}");
}

#[tokio::test]
async fn api_keys_that_can_be_guessed_are_counted_and_not_shown() {
    let keys = format!("{API_KEY},fifteen-letters,短");
    let mut admin = Admin::start_with(&[("API_KEYS", &keys)]).await;
    let report = examine(&mut admin).await;
    assert_failed(&report, "API keys", &["2 of API_KEYS", "16", "openssl rand"]);
    assert!(!report.to_string().contains("fifteen"), "{report}");
}

#[tokio::test]
async fn a_lost_token_is_looked_for_anew_though_one_is_remembered() {
    let mut admin = Admin::start().await;
    assert_eq!(admin.get("/api/menu").await.status, 404, "the token is remembered now");
    admin.stage.table.delete("token").await;
    admin.stage.wechat.whitelist(json!(["198.51.100.7"])).await;
    let report = examine(&mut admin).await;
    assert_failed(&report, "token", &["40164", "127.0.0.1", "IP白名单"]);
    let checks = report["checks"].as_array().unwrap();
    for check in checks.iter().filter(|check| check["ok"] == false) {
        assert!(check["hint"].is_string(), "each failure says what to do: {check}");
    }
}

#[tokio::test]
async fn every_refusal_of_a_token_is_diagnosed_with_its_remedy() {
    let mut admin = Admin::without_token().await;
    for (errcode, texts) in [
        (40013, ["40013", "WECHAT_APP_ID"]),
        (40243, ["40243", "冻结"]),
        (61004, ["61004", "IP"]),
        (89503, ["89503", "管理员"]),
        (45009, ["45009", "次日"]),
    ] {
        let fault = json!({"errcode": errcode});
        admin.stage.wechat.fault("/cgi-bin/stable_token", &fault).await;
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
        admin.stage.wechat.control("faults", &fault).await;
        assert_failed(&examine(&mut admin).await, name, &texts);
    }
}

#[tokio::test]
async fn a_quota_that_wechat_does_not_tell_is_no_fault() {
    let mut admin = Admin::start().await;
    let fault = json!({"path": "/cgi-bin/openapi/quota/get", "errcode": 76021, "times": 3});
    admin.stage.wechat.control("faults", &fault).await;
    let found = examine(&mut admin).await;
    for name in ["send quota", "token quota"] {
        assert_eq!(check(&found, name)["ok"], true, "{found}");
    }
}

#[tokio::test]
async fn a_refresher_that_cannot_be_invoked_is_named_by_its_variable() {
    let mut admin = Admin::start_with(&[("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:9")]).await;
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
    assert_eq!(check(&examine(&mut admin).await, "reply rules")["ok"], true);
    admin
        .stage
        .table
        .save_rules(&json!({"subscribe": {"type": "gif"}}))
        .await;
    assert_failed(&examine(&mut admin).await, "reply rules", &["/subscribe/type"]);
}

#[tokio::test]
async fn callbacks_that_own_code_has_not_taken_are_told_and_fail_the_check_when_dead() {
    let mut admin = Admin::start().await;
    let report = examine(&mut admin).await;
    let unused = check(&report, "own code");
    assert_eq!(unused["ok"], true);
    assert!(unused["detail"].as_str().unwrap().contains("not used"), "{unused}");
    admin.stage.table.keep_forward("c1", &json!({})).await;
    assert_failed(
        &examine(&mut admin).await,
        "own code",
        &["FORWARD_URL is not set", "1 waiting"],
    );

    let url = ("FORWARD_URL", "https://shop.example.com/wechat?key=hidden");
    let mut admin = Admin::on(admin.stage, &[url]).await;
    let report = examine(&mut admin).await;
    let waiting = check(&report, "own code");
    assert_eq!(waiting["ok"], true, "own code is asked again by itself: {waiting}");
    let detail = waiting["detail"].as_str().unwrap();
    for words in [
        "shop.example.com/wechat",
        "1 waiting, 0 dead: own code answered 500 / ",
        "1 条等待，0 条已放弃：自有服务应答 500",
    ] {
        assert!(detail.contains(words), "{detail}");
    }
    let late = json!({"at": now() - 3 * 3600, "isk": now() + 3600});
    admin.stage.table.keep_forward("c1", &late).await;
    assert_failed(
        &examine(&mut admin).await,
        "own code",
        &["1 waiting", "Fix your own code"],
    );

    admin.stage.table.delete("forward#c1").await;
    for index in 0..5 {
        let last_error = format!("own code answered {} / …", 500 + index);
        let changes = json!({"at": now() - 100 + index, "last_error": last_error});
        admin.stage.table.keep_forward(&format!("new{index}"), &changes).await;
    }
    let newest = &["5 waiting", "own code answered 504", "Fix your own code"];
    assert_failed(&examine(&mut admin).await, "own code", newest);
    for index in 0..5 {
        admin.stage.table.delete(&format!("forward#new{index}")).await;
    }

    admin.stage.table.keep_dead_forward("c2", 60).await;
    let report = examine(&mut admin).await;
    assert_failed(
        &report,
        "own code",
        &["1 dead", "own code answered 500", "/api/forwards/retry"],
    );
    assert!(!report.to_string().contains("hidden"), "{report}");
}

#[tokio::test]
async fn relayed_calls_are_told_by_the_names_of_their_keys() {
    let mut admin = Admin::start().await;
    assert!(
        check(&examine(&mut admin).await, "relay")
            .to_string()
            .contains("no call was relayed")
    );
    let key = json!({"name": "老商城 shop", "scopes": ["relay"]});
    admin
        .stage
        .table
        .save_keys(&[("wk_000000000000000000000000000shop1", key)])
        .await;
    let counted = json!({"calls_shop1": 1203, "failed_shop1": 4, "calls_root": 7, "failed_root": 0, "calls_gone1": 2});
    let day = beijing_day(now());
    admin.stage.table.set(&format!("relay#{day}"), &counted).await;
    let report = examine(&mut admin).await;
    let relay = check(&report, "relay");
    assert_eq!(relay["ok"], true);
    let (english, chinese) = halves(relay["detail"].as_str().unwrap());
    assert!(
        english.ends_with(": 老商城 shop 1203 (4), root 7 (0), gone1 2 (0)"),
        "{english}"
    );
    assert!(
        chinese.ends_with("：老商城 shop 1203 (4)，root 7 (0)，gone1 2 (0)"),
        "{chinese}"
    );
}
