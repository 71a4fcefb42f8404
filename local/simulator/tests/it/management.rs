//! Quotas, refused calls and the check of the callback URL, as the management API answers.

use reqwest::Method;
use serde_json::{Value, json};
use simulator::{Mode, Settings};

use crate::stage::{Receiver, Stage, errcode};

const DELETE_MENU: &str = "/cgi-bin/menu/delete";

async fn quota(stage: &Stage, path: &str) -> Value {
    stage
        .post_api("/cgi-bin/openapi/quota/get", json!({"cgi_path": path}))
        .await
}

#[tokio::test]
async fn quotas_are_reported_and_cleared() {
    let stage = Stage::new(Mode::Safe).await;
    stage.get_api(DELETE_MENU).await;
    assert_eq!(
        quota(&stage, DELETE_MENU).await["quota"],
        json!({"daily_limit": 1_000, "used": 1, "remain": 999})
    );
    let app_id = &stage.simulator.account().app_id;
    for (app_id, expected) in [("wx0", 40013), (app_id, 0)] {
        assert_eq!(
            stage.errcode("/cgi-bin/clear_quota", json!({"appid": app_id})).await,
            expected
        );
    }
    let cleared = quota(&stage, DELETE_MENU).await;
    assert_eq!(cleared["quota"]["used"], 0);
    assert_eq!(cleared["rate_limit"], json!({"call_count": 0, "refresh_second": 0}));
    assert_eq!(
        quota(&stage, "/cgi-bin/stable_token").await["rate_limit"],
        json!({"call_count": 10_000, "refresh_second": 60})
    );
    assert_eq!(errcode(&quota(&stage, "menu/delete").await), 76021);
    assert_eq!(errcode(&quota(&stage, "/sns/auth").await), 76022);
}

#[tokio::test]
async fn a_refused_call_can_be_looked_up_for_seven_days() {
    let stage = Stage::new(Mode::Safe).await;
    let refused = stage.get("/cgi-bin/menu/get?access_token=secret").await;
    let rid = refused["errmsg"].as_str().unwrap().split_once("rid: ").unwrap().1;
    let look_up = async |rid: &str| stage.post_api("/cgi-bin/openapi/rid/get", json!({"rid": rid})).await;
    let logged = look_up(rid).await;
    assert_eq!(logged["request"]["client_ip"], "127.0.0.1");
    assert!(!logged.to_string().contains("secret"));
    for (rid, expected) in [("", 76002), ("a-b-c", 76002), ("00000000-00000000-00000000", 76001)] {
        assert_eq!(errcode(&look_up(rid).await), expected, "{rid}");
    }
    stage.advance(7 * 86_400).await;
    assert_eq!(errcode(&look_up(rid).await), 76004);
}

#[tokio::test]
async fn one_quota_can_be_cleared_alone() {
    let stage = Stage::new(Mode::Safe).await;
    for _ in 0..2 {
        stage.get_api(DELETE_MENU).await;
    }
    let one = json!({"cgi_path": DELETE_MENU});
    assert_eq!(stage.errcode("/cgi-bin/openapi/quota/clear", one).await, 0);
    assert_eq!(quota(&stage, DELETE_MENU).await["quota"]["used"], 0);
}

#[tokio::test]
async fn the_secret_clears_quotas_without_a_token() {
    let stage = Stage::new(Mode::Safe).await;
    stage.get_api(DELETE_MENU).await;
    let path = "/cgi-bin/clear_quota/v2";
    let account = stage.simulator.account();
    let (app_id, secret) = (&account.app_id, &account.app_secret);
    for (body, expected) in [
        (json!({}), 41002),
        (json!({"appid": "wx0"}), 40013),
        (json!({"appid": app_id}), 41004),
        (json!({"appid": app_id, "appsecret": "x"}), 40125),
    ] {
        assert_eq!(errcode(&stage.post(path, body.clone()).await), expected, "{body}");
    }
    assert_eq!(errcode(&stage.get(path).await), 43002);
    let body = json!({"appid": app_id, "appsecret": secret});
    assert_eq!(errcode(&stage.post(path, body).await), 0);
    assert_eq!(quota(&stage, DELETE_MENU).await["quota"]["used"], 0);
    let in_query = format!("{path}?appid={app_id}&appsecret={secret}");
    for _ in 0..9 {
        let (_, answer) = stage.send(Method::POST, &in_query, String::new()).await;
        assert_eq!(errcode(&answer), 0);
    }
    let eleventh = stage.errcode("/cgi-bin/clear_quota", json!({"appid": app_id}));
    assert_eq!(eleventh.await, 48006);
}

#[tokio::test]
async fn the_callback_check_answers_what_was_asked() {
    let path = "/cgi-bin/callback/check";
    let asking = |action: &str, operator: &str| json!({"action": action, "check_operator": operator});
    let without_url = Stage::start(Settings::default(), Receiver::default()).await;
    assert_eq!(without_url.errcode(path, asking("all", "DEFAULT")).await, 40201);
    let stage = Stage::new(Mode::Safe).await;
    let answer = stage.post_api(path, asking("all", "CAP")).await;
    assert_eq!(answer["dns"][0], json!({"ip": "127.0.0.1", "real_operator": "CAP"}));
    assert_eq!(answer["ping"][0]["package_loss"], "0%");
    let dns = stage.post_api(path, asking("dns", "DEFAULT")).await;
    assert!(dns["dns"].is_array() && dns.get("ping").is_none());
    assert_eq!(stage.errcode(path, asking("trace", "DEFAULT")).await, 40202);
    assert_eq!(stage.errcode(path, asking("all", "OTHER")).await, 40203);
}
