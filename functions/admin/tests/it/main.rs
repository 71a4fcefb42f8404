//! The built binary against the simulated platform and an embedded table.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod console;
mod doctor;
mod forwards;
mod keys;
mod menu;
mod replies;
mod settings;

use std::ops::{Deref, DerefMut};

use serde_json::{Value, json};
use simulator::FOLLOWER;
use testing::{
    Function, Setup, Stage,
    account::{API_KEY, APP_SECRET},
    event::{Request, api, get, sample},
};

const BINARY: &str = env!("CARGO_BIN_EXE_admin");

/// The function on its stage.
struct Admin {
    function: Function,
    stage: Stage,
}

impl Admin {
    /// With a token in the table, as a deployed stack has after its first minute.
    async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same, with `changes` to the function's environment.
    async fn start_with(changes: &[(&str, &str)]) -> Self {
        Self::on(stage().await.token().await, changes).await
    }

    async fn without_token() -> Self {
        Self::on(stage().await, &[]).await
    }

    async fn on(stage: Stage, changes: &[(&str, &str)]) -> Self {
        Self {
            function: stage.function_with(BINARY, changes).await,
            stage,
        }
    }
}

impl Deref for Admin {
    type Target = Function;

    fn deref(&self) -> &Function {
        &self.function
    }
}

impl DerefMut for Admin {
    fn deref_mut(&mut self) -> &mut Function {
        &mut self.function
    }
}

/// A stage whose platform has a callback URL, which the doctor checks.
async fn stage() -> Stage {
    Stage::set_up(Setup {
        callback_url: Some("http://127.0.0.1:9/webhook".to_owned()),
        ..Setup::default()
    })
    .await
}

#[tokio::test]
async fn the_sample_events_are_served() {
    let mut admin = Admin::start_with(&[("API_KEYS", "events-key")]).await;
    let (status, problem) = admin.send(&sample("menu-get")).await.parts();
    assert_eq!(
        (status, &problem["errcode"]),
        (404, &json!(46003)),
        "no menu yet: {problem}"
    );
    assert_eq!(
        admin.send(&sample("menu-create")).await.parts(),
        (200, json!({"errcode": 0, "errmsg": "ok"}))
    );
    let (status, menu) = admin.send(&sample("menu-get")).await.parts();
    assert_eq!(status, 200);
    assert!(menu["menu"]["button"].is_array(), "{menu}");
    assert_eq!(admin.send(&sample("menu-delete")).await.status, 200);

    let (status, rules) = admin.send(&sample("replies-put")).await.parts();
    assert_eq!(status, 200, "{rules}");
    assert_eq!(admin.send(&sample("replies-get")).await.parts(), (200, rules));

    let (status, report) = admin.send(&sample("doctor")).await.parts();
    let failed = |check: &&Value| check["ok"] == false;
    let failed: Vec<&Value> = report["checks"].as_array().unwrap().iter().filter(failed).collect();
    assert_eq!((status, failed.len()), (200, 1), "{report}");
    assert_eq!(failed[0]["name"], "API keys", "theirs is an example, and short");
}

#[tokio::test]
async fn no_key_no_service_and_no_secret_in_the_log() {
    let mut admin = Admin::start().await;
    let stranger = get("/api/doctor").api_key("stranger");
    assert_eq!(admin.send(&stranger).await.status, 401);
    assert_eq!(admin.send(&Request::sample("menu-create")).await.status, 200);
    let fault = json!({"errcode": 65302, "errmsg": format!("no user {FOLLOWER}")});
    admin.stage.wechat.fault("/cgi-bin/menu/trymatch", &fault).await;
    let user = json!({"user_id": FOLLOWER});
    assert_ne!(admin.post("/api/menu/trymatch", &user).await.status, 200);

    let logs = admin.logs();
    assert!(logs.contains("request answered"), "{logs}");
    for secret in [API_KEY, APP_SECRET, "access_token=", FOLLOWER] {
        assert!(!logs.contains(secret), "{secret} in {logs}");
    }
}

#[tokio::test]
async fn a_caller_of_the_jwt_authorizer_needs_no_key() {
    let mut admin = Admin::start().await;
    let request = get("/api/replies");
    assert_eq!(admin.send(&request.clone().keyless()).await.status, 401);
    assert_eq!(admin.send(&request.jwt()).await.status, 200);
}

#[tokio::test]
async fn without_api_keys_the_refusal_says_so() {
    let mut admin = Admin::start_with(&[("API_KEYS", "")]).await;
    let (status, problem) = admin.get("/api/menu").await.parts();
    assert_eq!(status, 401);
    assert!(
        problem["detail"].as_str().unwrap().contains("API_KEYS is not set"),
        "{problem}"
    );
}

/// What stands before the function leaves the body out, and needs it for the `Content-Length`.
#[tokio::test]
async fn a_head_is_answered_as_a_get() {
    let mut admin = Admin::start().await;
    let get = admin.get("/api/replies").await;
    let head = admin.send(&api("HEAD", "/api/replies")).await;
    assert_eq!((head.status, &head.headers, &head.body), (200, &get.headers, &get.body));
    assert_eq!(admin.send(&api("HEAD", "/api/replies").keyless()).await.status, 401);
}

#[tokio::test]
async fn the_openapi_document_is_open_to_all() {
    let mut admin = Admin::start().await;
    let (status, document) = admin.send(&get("/openapi.json").keyless()).await.parts();
    assert_eq!(status, 200);
    assert!(document["paths"]["/api/menu"]["post"].is_object());
    assert_eq!(admin.send(&api("POST", "/openapi.json").keyless()).await.status, 401);
}

#[tokio::test]
async fn a_slip_in_a_path_or_a_body_is_told_what_was_meant() {
    let mut admin = Admin::start().await;
    let (status, problem) = admin.get("/api/doctr").await.parts();
    assert_eq!(status, 404);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("did you mean /api/doctor?"),
        "{problem}"
    );
    let (_, problem) = admin.get("/api/template").await.parts();
    let suggested = problem["detail"]
        .as_str()
        .unwrap()
        .contains("did you mean /api/templates?");
    assert!(suggested, "a path of another function: {problem}");
    let (status, problem) = admin
        .send(&api("PUT", "/api/replies").text("subscribe=hello"))
        .await
        .parts();
    assert_eq!(status, 400);
    assert!(problem["detail"].as_str().unwrap().contains("表单"), "{problem}");
}

#[tokio::test]
async fn a_function_that_cannot_start_says_all_that_is_missing() {
    let variables = [("API_KEYS", "sup3rsecret"), ("WECHAT_APP_ID", "gh_1")];
    let mut function = Function::start(BINARY, &variables).await;
    assert_eq!(function.exit_code().await, Some(1));
    let logs = function.logs();
    for name in ["WECHAT_APP_ID", "TABLE_NAME", "TOKEN_REFRESHER_FUNCTION"] {
        assert!(logs.contains(name), "{name} in {logs}");
    }
    assert!(!logs.contains("sup3rsecret"));
}

#[tokio::test]
async fn an_event_that_http_does_not_allow_is_answered_all_the_same() {
    let mut admin = Admin::start().await;
    let doctor = || get("/api/doctor");
    let long = json!("x".repeat(70_000));
    for (member, odd) in [
        ("/rawQueryString", json!("a=<b> \"c\"")),
        ("/headers/x-forwarded-proto", json!("ht tp")),
        ("/headers/x-forwarded-proto", json!("")),
        ("/headers/x-forwarded-proto", json!("://")),
        ("/headers/host", json!("a b:c")),
        ("/headers/host", json!("a b")),
        ("/headers/host", json!("")),
        ("/requestContext/stage", json!("a b")),
    ] {
        let answer = admin.send(&doctor().with(member, odd.clone())).await;
        assert_eq!(answer.status, 200, "{member}: {odd}");
    }
    let odd_stage = doctor()
        .with("/requestContext/stage", long)
        .with("/requestContext/domainName", "a b");
    assert_eq!(admin.send(&odd_stage).await.status, 200);
    let bad_base64 = api("PUT", "/api/replies")
        .text("not base64!")
        .with("/isBase64Encoded", true);
    assert_eq!(admin.send(&bad_base64).await.status, 400);
    for path in [
        "",
        "*",
        ":x",
        "/\u{0}<>^|{}[]%",
        &*format!("/{}", "x".repeat(70_000)),
        "api",
        ":99999",
        "/api/ \u{1}中\"<>",
        &"/%".repeat(40_000),
    ] {
        let answer = admin.send(&doctor().with("/rawPath", path)).await;
        assert_eq!(answer.status, 404, "{path:.20}");
    }
}
