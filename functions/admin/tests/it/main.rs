//! The built function on a Lambda Runtime API, with the sample events, against the simulated platform.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod doctor;
mod menu;
mod replies;
mod settings;

use std::sync::Arc;

use serde_json::{Value, json};
use simulator::{FOLLOWER, Settings, Simulator};
use testing::{EmbeddedTable, Function, Invoked, LambdaApi, Outcome, TABLE_NAME, event};
use tokio::net::TcpListener;
use wechat::{
    api::{Client, TokenApi, TokenEndpoint},
    clock::{Deadline, SystemClock},
    secret::Secret,
    store::Table,
    token::{Action, Refresher},
};

/// Long enough for the doctor, which the key of the sample events is not.
const API_KEY: &str = "a-key-of-the-tests-of-admin";

type Refreshing = Refresher<Table, TokenEndpoint>;

/// The function with all that it touches: a token-refresher that is invoked as in AWS among it.
struct Admin {
    function: Function,
    simulator: Simulator,
    table: EmbeddedTable,
    lambda: LambdaApi,
}

impl Admin {
    /// With a token in the table, as a deployed stack has after its first minute.
    async fn start() -> Self {
        Self::start_with(true, &[]).await
    }

    async fn start_with(has_token: bool, more: &[(&str, &str)]) -> Self {
        let table = EmbeddedTable::start(None).await.unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let simulator = Simulator::start(
            listener,
            Settings {
                callback_url: Some("http://127.0.0.1:9/webhook".to_owned()),
                ..Settings::default()
            },
        )
        .unwrap();
        let refresher = Arc::new(refresher(&table, &simulator));
        if has_token {
            refresher.run(&Action::Refresh, "test", Deadline::NONE).await.unwrap();
        }
        let lambda = LambdaApi::start(move |event| run(Arc::clone(&refresher), event))
            .await
            .unwrap();
        Self {
            function: process(&simulator, &table, &lambda, more).await,
            simulator,
            table,
            lambda,
        }
    }

    /// As Lambda starts one for each request that comes while all others are busy.
    async fn another_process(&self) -> Function {
        process(&self.simulator, &self.table, &self.lambda, &[]).await
    }

    /// A call to the simulator's controls.
    async fn sim(&self, path: &str, body: &Value) {
        let request = reqwest::Client::new().post(format!("{}{path}", self.simulator.base_url()));
        let request = request
            .header("content-type", "application/json")
            .body(body.to_string());
        assert_eq!(request.send().await.unwrap().status(), 200, "{path}");
    }

    async fn answer(&mut self, event: &Value) -> (i64, Value) {
        let Outcome::Answered(response) = self.function.invoke(event).await else {
            panic!("no answer")
        };
        let body = serde_json::from_str(response["body"].as_str().unwrap()).unwrap();
        (response["statusCode"].as_i64().unwrap(), body)
    }

    /// Sends a request with a key, as API Gateway would.
    async fn request(&mut self, method: &str, path_and_query: &str, body: &Value) -> (i64, Value) {
        let response = self.respond(&api_event(method, path_and_query, body)).await;
        (
            response["statusCode"].as_i64().unwrap(),
            serde_json::from_str(response["body"].as_str().unwrap()).unwrap(),
        )
    }

    async fn respond(&mut self, event: &Value) -> Value {
        match self.function.invoke(event).await {
            Outcome::Answered(response) => response,
            other => panic!("{other:?}"),
        }
    }

    /// How often the platform was called at `path`.
    async fn calls(&self, path: &str) -> usize {
        let url = format!("{}/sim/calls", self.simulator.base_url());
        let calls = reqwest::get(url).await.unwrap().text().await.unwrap();
        let calls: Vec<Value> = serde_json::from_str(&calls).unwrap();
        calls.iter().filter(|call| call["path"] == path).count()
    }

    async fn answer_to(&mut self, name: &str) -> (i64, Value) {
        self.answer(&sample(name)).await
    }
}

/// The sample event `name`, with the key of these tests.
fn sample(name: &str) -> Value {
    let mut event = event(name);
    event["headers"]["authorization"] = json!(format!("Bearer {API_KEY}"));
    event
}

fn api_event(method: &str, path_and_query: &str, body: &Value) -> Value {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let mut event = sample("menu-create");
    event["rawPath"] = json!(path);
    event["rawQueryString"] = json!(query);
    event["requestContext"]["http"]["path"] = json!(path);
    event["requestContext"]["http"]["method"] = json!(method);
    event["body"] = if body.is_null() {
        Value::Null
    } else {
        json!(body.to_string())
    };
    event
}

async fn process(simulator: &Simulator, table: &EmbeddedTable, lambda: &LambdaApi, more: &[(&str, &str)]) -> Function {
    let (base, dynamodb, lambda) = (simulator.base_url(), table.endpoint(), lambda.endpoint());
    let mut variables = vec![
        ("WECHAT_APP_ID", simulator.account().app_id.as_str()),
        ("WECHAT_API_BASE", &base),
        ("TABLE_NAME", TABLE_NAME),
        ("TOKEN_REFRESHER_FUNCTION", "token-refresher"),
        ("API_KEYS", API_KEY),
        ("AWS_ENDPOINT_URL_DYNAMODB", &dynamodb),
        ("AWS_ENDPOINT_URL_LAMBDA", &lambda),
    ];
    variables.extend(more);
    Function::start(env!("CARGO_BIN_EXE_admin"), &variables).await.unwrap()
}

fn refresher(table: &EmbeddedTable, simulator: &Simulator) -> Refreshing {
    let clock = Arc::new(SystemClock);
    let account = simulator.account();
    let client = Client::new(&simulator.base_url(), None, clock.clone()).unwrap();
    let secret = Secret::new(account.app_secret.as_str());
    let issuer = TokenEndpoint::new(client, TokenApi::Stable, &account.app_id, secret);
    let store = Table::new(table.client(), TABLE_NAME, &account.app_id);
    Refresher::new(store, issuer, clock)
}

/// One invocation of token-refresher, and how AWS reports its error.
async fn run(refresher: Arc<Refreshing>, event: Value) -> Invoked {
    match refresher
        .run(&Action::from_event(&event), "invoked", Deadline::NONE)
        .await
    {
        Ok(done) => Ok(json!(done)),
        Err(error) => Err(json!({
            "errorType": error.errcode().map_or("Other".to_owned(), |errcode| format!("WeChat{errcode}")),
            "errorMessage": error.to_string(),
        })),
    }
}

#[tokio::test]
async fn the_sample_events_are_served() {
    let mut admin = Admin::start_with(true, &[("API_KEYS", "events-key")]).await;
    let (status, problem) = admin.answer(&event("menu-get")).await;
    assert_eq!(
        (status, &problem["errcode"]),
        (404, &json!(46003)),
        "no menu yet: {problem}"
    );
    assert_eq!(
        admin.answer(&event("menu-create")).await,
        (200, json!({"errcode": 0, "errmsg": "ok"}))
    );
    let (status, menu) = admin.answer(&event("menu-get")).await;
    assert_eq!(status, 200);
    assert!(menu["menu"]["button"].is_array(), "{menu}");
    assert_eq!(admin.answer(&event("menu-delete")).await.0, 200);

    let (status, rules) = admin.answer(&event("replies-put")).await;
    assert_eq!(status, 200, "{rules}");
    assert_eq!(admin.answer(&event("replies-get")).await, (200, rules));

    let (status, report) = admin.answer(&event("doctor")).await;
    let failed = |check: &&Value| check["ok"] == false;
    let failed: Vec<&Value> = report["checks"].as_array().unwrap().iter().filter(failed).collect();
    assert_eq!((status, failed.len()), (200, 1), "{report}");
    assert_eq!(failed[0]["name"], "API keys", "theirs is an example, and short");
}

#[tokio::test]
async fn no_key_no_service_and_no_secret_in_the_log() {
    let mut admin = Admin::start().await;
    let mut stranger = sample("doctor");
    stranger["headers"]["authorization"] = json!("Bearer stranger");
    assert_eq!(admin.answer(&stranger).await.0, 401);
    assert_eq!(admin.answer_to("menu-create").await.0, 200);
    let fault = json!({"path": "/cgi-bin/menu/trymatch", "errcode": 65302, "errmsg": format!("no user {FOLLOWER}")});
    admin.sim("/sim/faults", &fault).await;
    let (status, _) = admin
        .request("POST", "/api/menu/trymatch", &json!({"user_id": FOLLOWER}))
        .await;
    assert_ne!(status, 200);

    let logs = admin.function.logs();
    assert!(logs.contains("request answered"), "{logs}");
    for secret in [
        API_KEY,
        &admin.simulator.account().app_secret,
        "access_token=",
        FOLLOWER,
    ] {
        assert!(!logs.contains(secret), "{secret} in {logs}");
    }
}

#[tokio::test]
async fn a_caller_of_the_jwt_authorizer_needs_no_key() {
    let mut admin = Admin::start().await;
    let mut event = sample("replies-get");
    event["headers"].as_object_mut().unwrap().remove("authorization");
    assert_eq!(admin.answer(&event).await.0, 401);
    event["requestContext"]["authorizer"] = json!({"jwt": {"claims": {"sub": "user-1"}, "scopes": []}});
    assert_eq!(admin.answer(&event).await.0, 200);
}

#[tokio::test]
async fn a_function_that_cannot_start_says_all_that_is_missing() {
    let variables = [("API_KEYS", "sup3rsecret"), ("WECHAT_APP_ID", "gh_1")];
    let mut function = Function::start(env!("CARGO_BIN_EXE_admin"), &variables).await.unwrap();
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
    let mut odd_query = sample("doctor");
    odd_query["rawQueryString"] = json!("a=<b> \"c\"");
    assert_eq!(admin.answer(&odd_query).await.0, 200);
    for (header, value) in [
        ("x-forwarded-proto", "ht tp"),
        ("x-forwarded-proto", ""),
        ("host", "a b:c"),
        ("host", ""),
    ] {
        let mut odd_header = sample("doctor");
        odd_header["headers"][header] = json!(value);
        assert_eq!(admin.answer(&odd_header).await.0, 200, "{header}: {value}");
    }
    for path in ["", "*", ":x", "/\u{0}<>^|{}[]%", &*format!("/{}", "x".repeat(70_000))] {
        let mut odd_path = sample("doctor");
        odd_path["rawPath"] = json!(path);
        assert_eq!(admin.answer(&odd_path).await.0, 404, "{path:.20}");
    }
    let mut odd_stage = sample("doctor");
    odd_stage["requestContext"]["stage"] = json!("x".repeat(70_000));
    odd_stage["requestContext"]["domainName"] = json!("a b");
    assert_eq!(admin.answer(&odd_stage).await.0, 200);
    let mut bad_base64 = sample("replies-put");
    bad_base64["isBase64Encoded"] = json!(true);
    bad_base64["body"] = json!("not base64!");
    assert_eq!(admin.answer(&bad_base64).await.0, 400);
    for (member, odd) in [
        ("/headers/host", "a b"),
        ("/headers/x-forwarded-proto", "://"),
        ("/requestContext/stage", "a b"),
    ] {
        let mut event = sample("doctor");
        *event.pointer_mut(member).unwrap() = json!(odd);
        assert_eq!(admin.answer(&event).await.0, 200, "{member}");
    }
    for path in ["", "api", ":99999", "/api/ \u{1}中\"<>", &"/%".repeat(40_000)] {
        let mut event = sample("doctor");
        event["rawPath"] = json!(path);
        assert_eq!(admin.answer(&event).await.0, 404, "{}", &path[..path.len().min(20)]);
    }
}
