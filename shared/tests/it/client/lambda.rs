//! Requests of a token refresh through AWS Lambda.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use aws_sdk_lambda::config::{Credentials, Region, SharedCredentialsProvider};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use testing::ManualClock;
use tokio::net::TcpListener;
use wechat::{
    aws,
    clock::{Clock, Deadline, SystemClock},
    oauth::{self, Code, Identity},
    token::{Action, LambdaRefresher, RefreshError, RefreshPort, RefreshRequestError},
};

/// Lambda's answer to one invocation.
enum Scripted {
    Done,
    Answered(Value),
    Throttled,
    Failed(Value),
    Refused(u16, &'static str),
    SlowlyDone(Duration),
}

/// A Lambda that gives the answers of its script, then succeeds.
struct Lambda {
    script: Mutex<VecDeque<Scripted>>,
    asked: Mutex<Vec<(String, Value)>>,
}

impl Lambda {
    async fn start(script: impl IntoIterator<Item = Scripted>) -> (Arc<Self>, aws_sdk_lambda::Client) {
        let lambda = Arc::new(Self {
            script: Mutex::new(script.into_iter().collect()),
            asked: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(invoke).with_state(Arc::clone(&lambda));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let credentials = Credentials::new("test", "test", None, None, "test");
        let sdk = aws::load(&["lambda:InvokeFunction"])
            .into_builder()
            .region(Region::new("eu-central-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .endpoint_url(endpoint)
            .build();
        (lambda, aws::lambda_client(&sdk))
    }

    fn asked(&self) -> Vec<(String, Value)> {
        self.asked.lock().unwrap().clone()
    }
}

async fn invoke(State(lambda): State<Arc<Lambda>>, uri: Uri, body: Bytes) -> Response {
    let event = serde_json::from_slice(&body).unwrap();
    lambda.asked.lock().unwrap().push((uri.path().to_owned(), event));
    let scripted = lambda.script.lock().unwrap().pop_front();
    let refusal = |status: u16, kind: &'static str| {
        let headers = [("x-amzn-errortype", kind)];
        let body = json!({"message": "no"}).to_string();
        (StatusCode::from_u16(status).unwrap(), headers, body).into_response()
    };
    match scripted.unwrap_or(Scripted::Done) {
        Scripted::Done => "{}".into_response(),
        Scripted::Answered(answer) => answer.to_string().into_response(),
        Scripted::Throttled => refusal(429, "TooManyRequestsException"),
        Scripted::Refused(status, kind) => refusal(status, kind),
        Scripted::Failed(error) => ([("x-amz-function-error", "Unhandled")], error.to_string()).into_response(),
        Scripted::SlowlyDone(duration) => {
            tokio::time::sleep(duration).await;
            "{}".into_response()
        }
    }
}

async fn run(script: impl IntoIterator<Item = Scripted>) -> (Result<Value, RefreshRequestError>, Arc<Lambda>) {
    let (lambda, client) = Lambda::start(script).await;
    let refresher = LambdaRefresher::new(client, "token-refresher", Arc::new(SystemClock));
    (refresher.run(&Action::Refresh, Deadline::NONE).await, lambda)
}

async fn exchange(script: impl IntoIterator<Item = Scripted>) -> (Result<Identity, RefreshRequestError>, Arc<Lambda>) {
    let (lambda, client) = Lambda::start(script).await;
    let refresher = LambdaRefresher::new(client, "token-refresher", ManualClock::new());
    let outcome = oauth::exchange(&refresher, Code::new("c0de"), Deadline::NONE).await;
    (outcome, lambda)
}

#[tokio::test]
async fn an_invocation_carries_the_action() {
    let (lambda, client) = Lambda::start([]).await;
    let refresher = LambdaRefresher::new(client, "token-refresher", Arc::new(SystemClock));
    let replace = Action::Replace {
        stale_token_sha256: "ab12".to_owned(),
    };
    for action in [&Action::Refresh, &replace] {
        refresher.run(action, Deadline::NONE).await.unwrap();
    }
    let path = "/2015-03-31/functions/token-refresher/invocations".to_owned();
    let replace = json!({"action": "replace", "stale_token_sha256": "ab12"});
    assert_eq!(
        lambda.asked(),
        [(path.clone(), json!({"action": "refresh"})), (path, replace)]
    );
}

#[tokio::test]
async fn a_throttled_refresher_is_asked_again_after_growing_and_uneven_waits() {
    let clock = ManualClock::new();
    let (lambda, client) = Lambda::start((0..3).map(|_| Scripted::Throttled)).await;
    let refresher = LambdaRefresher::new(client.clone(), "token-refresher", clock.clone());
    refresher.run(&Action::Refresh, Deadline::NONE).await.unwrap();
    assert_eq!(lambda.asked().len(), 4);
    let waits: Vec<u128> = clock.sleeps().iter().map(Duration::as_millis).collect();
    assert_eq!(waits.len(), 3);
    for (wait, least) in waits.iter().zip([100, 200, 400]) {
        assert!((least..2 * least).contains(wait), "{waits:?}");
    }

    // Jitter: two callers that were throttled together retry at different times.
    let (_, client) = Lambda::start((0..3).map(|_| Scripted::Throttled)).await;
    let other = ManualClock::new();
    let refresher = LambdaRefresher::new(client, "token-refresher", other.clone());
    refresher.run(&Action::Refresh, Deadline::NONE).await.unwrap();
    assert_ne!(other.sleeps(), clock.sleeps());
}

#[tokio::test]
async fn a_refresher_that_stays_throttled_is_given_up() {
    let clock = ManualClock::new();
    let (lambda, client) = Lambda::start((0..50).map(|_| Scripted::Throttled)).await;
    let refresher = LambdaRefresher::new(client, "token-refresher", clock.clone());
    let error = refresher.run(&Action::Refresh, Deadline::NONE).await.unwrap_err();
    assert!(matches!(error, RefreshRequestError::Throttled), "{error}");
    assert_eq!((lambda.asked().len(), clock.sleeps().len()), (5, 4));
}

#[tokio::test]
async fn a_run_takes_the_time_that_wechat_takes() {
    let (outcome, _) = run([Scripted::SlowlyDone(Duration::from_millis(2_500))]).await;
    outcome.unwrap();
}

#[tokio::test]
async fn a_run_is_not_waited_for_past_the_callers_own_deadline() {
    let (_, client) = Lambda::start([Scripted::SlowlyDone(Duration::from_secs(60))]).await;
    let refresher = LambdaRefresher::new(client, "token-refresher", Arc::new(SystemClock));
    let now = SystemClock.now_millis();
    let deadline = Deadline::from_lambda(now as u64 + 3_000, now);
    let started = Instant::now();
    let error = refresher.run(&Action::Refresh, deadline).await.unwrap_err();
    assert!(matches!(error, RefreshRequestError::Timeout), "{error}");
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_function_error_tells_what_happened() {
    let failed = |kind: &str| Scripted::Failed(json!({"errorType": kind, "errorMessage": "why / 原因"}));
    for (kind, code) in [
        ("WeChat40164", Some(40164)),
        ("WeChat-1", Some(-1)),
        ("Runtime.ExitError", None),
    ] {
        let (outcome, _) = run([failed(kind)]).await;
        match outcome.unwrap_err() {
            RefreshRequestError::Failed { errcode, message } => {
                assert_eq!((errcode, message.as_str()), (code, "why / 原因"), "{kind}");
            }
            other => panic!("{kind}: {other:?}"),
        }
    }
    let words = RefreshError::ForcedTooOften { retry_after: 27 }.to_string();
    for (message, seconds) in [(words.as_str(), 27), ("why / 原因", 30)] {
        let failed = Scripted::Failed(json!({"errorType": "ForcedTooOften", "errorMessage": message}));
        let error = run([failed]).await.0.unwrap_err();
        assert!(
            matches!(error, RefreshRequestError::ForcedTooOften { retry_after, .. } if retry_after == seconds),
            "{error:?}"
        );
    }
    for kind in ["WeChatUnreachable", "StoreUnreachable", "Busy"] {
        let error = run([failed(kind)]).await.0.unwrap_err();
        assert!(matches!(error, RefreshRequestError::NoAnswer(_)), "{kind}: {error:?}");
    }
    let error = run([failed("Sandbox.Timedout")]).await.0.unwrap_err();
    assert!(matches!(error, RefreshRequestError::Timeout), "{error:?}");
    let error = run([failed("WeChatUnreadable")]).await.0.unwrap_err();
    assert!(matches!(error, RefreshRequestError::BadAnswer(_)), "{error:?}");
    let error = run([Scripted::Failed(json!("garbage"))]).await.0.unwrap_err();
    assert!(
        matches!(error, RefreshRequestError::Failed { errcode: None, .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn lambdas_refusal_is_reported_and_not_retried() {
    let (outcome, lambda) = run([Scripted::Refused(404, "ResourceNotFoundException")]).await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, RefreshRequestError::Unreachable(_)), "{error:?}");
    assert!(error.to_string().contains("TOKEN_REFRESHER_FUNCTION"), "{error}");
    assert_eq!(lambda.asked().len(), 1);
}

#[tokio::test]
async fn lambdas_own_failure_is_retried_once() {
    let failing = || Scripted::Refused(500, "ServiceException");
    let (outcome, lambda) = run([failing()]).await;
    outcome.unwrap();
    assert_eq!(lambda.asked().len(), 2);
    let (outcome, lambda) = run([failing(), failing(), failing()]).await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, RefreshRequestError::Lost(_)), "{error:?}");
    assert_eq!(lambda.asked().len(), 2);
}

#[tokio::test]
async fn an_exchange_brings_the_identity_that_the_run_answers() {
    let answer = json!({"openid": "o1", "unionid": "u1", "scope": "snsapi_base", "is_snapshotuser": true});
    let (outcome, lambda) = exchange([Scripted::Throttled, Scripted::Answered(answer)]).await;
    let identity = outcome.unwrap();
    assert_eq!(
        (identity.openid.as_str(), identity.unionid.as_deref()),
        ("o1", Some("u1"))
    );
    assert!(identity.is_snapshot);
    let events: Vec<Value> = lambda.asked().into_iter().map(|(_, event)| event).collect();
    let event = json!({"action": "exchange_code", "code": "c0de"});
    assert_eq!(events, [event.clone(), event], "a throttled function has not run");

    // The answer of a version of token-refresher that does not know the action.
    let answer = json!({"refreshed": false, "generation": 1, "expires_at": 1});
    let error = exchange([Scripted::Answered(answer)]).await.0.unwrap_err();
    assert!(matches!(error, RefreshRequestError::BadAnswer(_)), "{error:?}");
}

/// WeChat refuses the second exchange of a code, and the person would read that their own code is spent.
#[tokio::test]
async fn an_exchange_that_may_have_run_is_not_repeated() {
    let (outcome, lambda) = exchange([Scripted::Refused(500, "ServiceException")]).await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, RefreshRequestError::Lost(_)), "{error:?}");
    assert_eq!(lambda.asked().len(), 1);

    let refused = json!({"errorType": "WeChat40163", "errorMessage": "why / 原因"});
    let (outcome, lambda) = exchange([Scripted::Failed(refused)]).await;
    let error = outcome.unwrap_err();
    assert!(
        matches!(
            error,
            RefreshRequestError::Failed {
                errcode: Some(40163),
                ..
            }
        ),
        "{error:?}"
    );
    assert!(!format!("{error} {error:?}").contains("c0de"), "{error:?}");
    assert_eq!(lambda.asked().len(), 1);
}
