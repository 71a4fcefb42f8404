//! The console's pages and the account that they begin with.

use serde_json::json;
use testing::{
    account::APP_ID,
    event::{api, get},
};

use crate::Admin;

fn page(path: &str) -> testing::event::Request {
    api("GET", path).keyless()
}

#[tokio::test]
async fn the_console_is_served_to_anybody_and_loads_nothing_of_others() {
    let mut admin = Admin::start().await;
    for (path, content_type) in [
        ("/console", "text/html; charset=utf-8"),
        ("/console/", "text/html; charset=utf-8"),
        ("/console/pages/console.js", "text/javascript; charset=utf-8"),
        ("/console/pages/console.css", "text/css; charset=utf-8"),
        ("/console/pages/icon.svg", "image/svg+xml"),
    ] {
        let answer = admin.function.send(&page(path)).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert_eq!(answer.content_type(), content_type, "{path}");
        let policy = answer.headers["content-security-policy"].as_str().unwrap();
        assert!(
            policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe") && !policy.contains("frame-src"), "{policy}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        let text = answer.body.as_str().unwrap();
        assert!(
            !text.contains("<script>") && !text.contains(" style="),
            "{path}: nothing inline"
        );
    }
    for path in ["/console/pages/phone.js", "/console/pages/lib.rs", "/console/pages/.."] {
        assert_eq!(admin.function.send(&page(path)).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn what_the_browser_has_is_not_sent_again() {
    let mut admin = Admin::start().await;
    let first = admin.function.send(&page("/console/pages/texts.js")).await;
    let etag = first.headers["etag"].as_str().unwrap().to_owned();
    assert_eq!(first.headers["cache-control"], "no-cache");
    let again = page("/console/pages/texts.js").header("if-none-match", &etag);
    let again = admin.function.send(&again).await;
    assert_eq!((again.status, again.body.as_str()), (304, Some("")));
    assert_eq!(again.headers["etag"], etag.as_str());
    let other = page("/console/pages/dom.js").header("if-none-match", &etag);
    assert_eq!(admin.function.send(&other).await.status, 200);
}

#[tokio::test]
async fn a_caller_learns_the_accounts_state_and_what_it_may_do() {
    const KEY: &str = "wk_000000000000000000000000000relay1";
    let mut admin = Admin::start().await;
    admin
        .stage
        .table
        .save_keys(&[(KEY, json!({"name": "shop", "scopes": ["relay"]}))])
        .await;
    let answer = admin.function.send(&api("GET", "/api/account")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body["app_id"], APP_ID);
    assert_eq!(answer.body["token"]["generation"], 1);
    assert!(answer.body["token"]["expires_at"].as_i64() > answer.body["now"].as_i64());
    assert!(answer.body["token"].get("access_token").is_none());
    assert_eq!(answer.body["caller"]["scopes"].as_array().unwrap().len(), 8);
    let shop = api("GET", "/api/account").api_key(KEY);
    let answer = admin.function.send(&shop).await;
    assert_eq!(answer.body["caller"], json!({"name": "shop", "scopes": ["relay"]}));
    assert_eq!(admin.function.send(&page("/api/account")).await.status, 401);
}

/// With the rid, WeChat shows the call, and the call carried the AppSecret.
#[tokio::test]
async fn a_failed_refresh_is_told_without_the_rid() {
    let mut admin = Admin::without_token().await;
    admin.stage.wechat.whitelist(json!(["198.51.100.7"])).await;
    let failure = json!({
        "failed_at": 1_767_225_600, "failed_owner": "run", "failed_errcode": 40164,
        "failed_message": "invalid ip 127.0.0.1, not in whitelist rid: 6698ef60-27d10c40-100819f9",
    });
    admin.stage.table.set("token", &failure).await;
    let menu = admin.get("/api/menu").await;
    assert_eq!((menu.status, &menu.body["errcode"]), (503, &json!(40164)), "{menu:?}");
    let account = admin.get("/api/account").await;
    assert_eq!(account.body["failure"]["errcode"], 40164, "{account:?}");
    for told in [menu.body, account.body["failure"].clone()] {
        let told = told.to_string();
        assert!(
            told.contains("127.0.0.1"),
            "operators need the address to whitelist: {told}"
        );
        assert!(!told.contains("rid"), "{told}");
    }
}

const STAFF_LOGIN: &[(&str, &str)] = &[
    ("JWT_ISSUER", "https://login.example.com/staff"),
    ("JWT_AUDIENCE", "wechat,shop"),
    ("JWT_SEND_SCOPE", "wechat/send"),
    ("JWT_ADMIN_SCOPE", "wechat/admin"),
    ("JWT_CLIENT_ID", "console"),
    ("JWT_TOKEN_ORIGIN", "https://token.example.com"),
];

#[tokio::test]
async fn the_console_is_told_how_staff_sign_in_and_may_call_their_issuer_alone() {
    let mut admin = Admin::start_with(STAFF_LOGIN).await;
    let answer = admin.function.send(&page("/console/pages/sign-in.json")).await;
    assert_eq!(answer.content_type(), "application/json");
    assert_eq!(
        answer.body,
        json!({
            "issuer": "https://login.example.com/staff", "client_id": "console", "audience": "wechat",
            "scope": "openid wechat/send wechat/admin",
        })
    );
    let policy = |answer: testing::Response| answer.headers["content-security-policy"].as_str().unwrap().to_owned();
    let index = policy(admin.function.send(&page("/console/")).await);
    let calls = "; connect-src 'self' https://login.example.com https://token.example.com";
    assert!(index.ends_with(calls), "{index}");

    let mut admin = Admin::start().await;
    let answer = admin.function.send(&page("/console/pages/sign-in.json")).await;
    assert_eq!(
        answer.body,
        json!({"issuer": null, "client_id": null, "audience": null, "scope": null})
    );
    let index = policy(admin.function.send(&page("/console/")).await);
    assert!(index.ends_with("; connect-src 'self'"), "{index}");
}

#[tokio::test]
async fn staff_see_what_the_gateway_lets_their_token_call() {
    let mut admin = Admin::start_with(STAFF_LOGIN).await;
    for (scope, expected) in [
        ("openid wechat/send", json!(["send", "campaigns"])),
        ("wechat/admin", json!(["users", "menu", "replies", "operate", "keys"])),
    ] {
        let claims = json!({"sub": "ann", "scope": scope});
        let account = get("/api/account")
            .jwt()
            .with("/requestContext/authorizer/jwt/claims", claims);
        let answer = admin.function.send(&account).await;
        assert_eq!(answer.body["caller"], json!({"name": "ann", "scopes": expected}));
    }
}

#[tokio::test]
async fn a_login_that_is_set_half_is_refused_at_the_start() {
    let mut admin = Admin::start_with(&STAFF_LOGIN[..2]).await;
    assert_eq!(admin.exit_code().await, Some(1));
    for name in ["JWT_SEND_SCOPE", "JWT_ADMIN_SCOPE"] {
        assert!(admin.logs().contains(name), "{}", admin.logs());
    }
}
