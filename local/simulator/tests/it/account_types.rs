//! What each kind of account may call. Other calls are refused with 48001.

use serde_json::json;
use simulator::{FOLLOWER, Mode};

use crate::stage::{Stage, errcode, template_message};

/// A call for each need, with a body that a verified service account may send.
const CALLS: [(&str, &str, &str); 4] = [
    ("GET", "/cgi-bin/getcallbackip", ""),
    ("GET", "/cgi-bin/get_current_selfmenu_info", ""),
    (
        "POST",
        "/cgi-bin/menu/create",
        r#"{"button":[{"type":"click","name":"a","key":"k"}]}"#,
    ),
    ("GET", "/cgi-bin/template/get_all_private_template", ""),
];

#[tokio::test]
async fn what_an_account_lacks_is_48001() {
    let stage = Stage::new(Mode::Safe).await;
    for (account_type, allowed) in [
        ("unverified_service", [true, true, true, false]),
        ("unverified_subscription", [true, true, false, false]),
        ("verified_subscription", [true, true, true, false]),
        ("test", [true; 4]),
        ("verified_service", [true; 4]),
    ] {
        stage.post("/sim/account-type", json!({"type": account_type})).await;
        assert_eq!(stage.get("/sim/state").await["account"]["type"], account_type);
        for ((method, path, body), allowed) in CALLS.into_iter().zip(allowed) {
            let answer = match method {
                "GET" => stage.get_api(path).await,
                _ => stage.post_api(path, body).await,
            };
            let expected = if allowed { 0 } else { 48001 };
            assert_eq!(errcode(&answer), expected, "{account_type} {path}");
        }
    }
}

#[tokio::test]
async fn sending_is_for_verified_accounts_alone() {
    let stage = Stage::new(Mode::Safe).await;
    stage
        .post("/sim/account-type", json!({"type": "unverified_subscription"}))
        .await;
    let custom = json!({"touser": FOLLOWER, "msgtype": "text", "text": {"content": "a"}});
    for (path, body) in [
        ("/cgi-bin/message/custom/send", custom),
        ("/cgi-bin/message/template/send", template_message()),
    ] {
        let answer = stage.post_api(path, body).await;
        assert_eq!(answer["errcode"], 48001, "{path}");
        assert!(answer["errmsg"].as_str().unwrap().starts_with("api unauthorized"));
    }
    assert_eq!(stage.phone().await, json!([]));
}

#[tokio::test]
async fn a_test_account_has_smaller_quotas_and_no_whitelist() {
    let stage = Stage::new(Mode::Safe).await;
    stage.post("/sim/whitelist", json!({"ips": ["203.0.113.7"]})).await;
    stage.post("/sim/account-type", json!({"type": "test"})).await;
    let query = json!({"cgi_path": "/cgi-bin/menu/create"});
    let answer = stage.post_api("/cgi-bin/openapi/quota/get", query).await;
    assert_eq!(answer["quota"]["daily_limit"], 100);
}
