//! The Lambda Runtime API: hands a function its events and takes its answers.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, State},
    http::{Response as HttpResponse, StatusCode},
    routing::{get, post},
};
use serde_json::Value;
use tokio::sync::{Mutex, mpsc, watch};

use crate::loopback::{self, Server};

/// Bytes. Lambda takes no longer answer from a function.
/// See [AWS Docs/Lambda quotas](https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html).
const LONGEST_ANSWER: usize = 6 * 1024 * 1024;

/// The outcome of an invocation.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It answered.
    Answered(Value),
    /// It reported an error: `{"errorType","errorMessage"}`.
    Failed(Value),
    /// It could not start.
    InitFailed(Value),
}

/// The Runtime API of one function. It ends with this value.
#[derive(Debug)]
pub(super) struct RuntimeApi {
    events: mpsc::Sender<Invocation>,
    outcomes: mpsc::Receiver<Outcome>,
    polled: watch::Receiver<bool>,
    server: Server,
}

#[derive(Debug)]
struct Invocation {
    event: String,
    deadline_millis: i64,
}

/// What the handlers share with the test.
#[derive(Debug)]
struct Ends {
    events: Mutex<mpsc::Receiver<Invocation>>,
    outcomes: mpsc::Sender<Outcome>,
    polled: watch::Sender<bool>,
}

impl RuntimeApi {
    pub(super) async fn start() -> Self {
        let (events, queue) = mpsc::channel(1);
        let (sender, outcomes) = mpsc::channel(1);
        let (polls, polled) = watch::channel(false);
        let ends = Arc::new(Ends {
            events: Mutex::new(queue),
            outcomes: sender,
            polled: polls,
        });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(answered))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(failed))
            .route("/2018-06-01/runtime/init/error", post(init_failed))
            .layer(DefaultBodyLimit::max(LONGEST_ANSWER))
            .with_state(ends);
        Self {
            events,
            outcomes,
            polled,
            server: loopback::serve(router).await,
        }
    }

    /// The value of `AWS_LAMBDA_RUNTIME_API`.
    pub(super) fn address(&self) -> String {
        self.server.address().to_string()
    }

    /// Waits until the function asks for its first event. Returns whether it does.
    pub(super) async fn polled(&mut self) -> bool {
        self.polled.wait_for(|polled| *polled).await.is_ok()
    }

    /// Hands the function an event, and waits for the outcome.
    pub(super) async fn invoke(&mut self, event: String, deadline_millis: i64) -> Option<Outcome> {
        let invocation = Invocation { event, deadline_millis };
        self.events.send(invocation).await.ok()?;
        self.outcomes.recv().await
    }
}

async fn next(State(ends): State<Arc<Ends>>) -> HttpResponse<Body> {
    ends.polled.send_replace(true);
    let invocation = ends.events.lock().await.recv().await;
    let Some(Invocation { event, deadline_millis }) = invocation else {
        // The test is over; the process is about to be killed.
        return std::future::pending().await;
    };
    let response = HttpResponse::builder()
        .header("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
        .header("lambda-runtime-deadline-ms", deadline_millis)
        .header(
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:eu-central-1:123456789012:function:under-test",
        )
        .header(
            "lambda-runtime-trace-id",
            "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0",
        )
        .header("content-type", "application/json")
        .body(Body::from(event));
    response.unwrap_or_default()
}

async fn answered(State(ends): State<Arc<Ends>>, body: Bytes) -> StatusCode {
    report(&ends, Outcome::Answered, &body).await
}

async fn failed(State(ends): State<Arc<Ends>>, body: Bytes) -> StatusCode {
    report(&ends, Outcome::Failed, &body).await
}

async fn init_failed(State(ends): State<Arc<Ends>>, body: Bytes) -> StatusCode {
    report(&ends, Outcome::InitFailed, &body).await
}

async fn report(ends: &Ends, outcome: impl FnOnce(Value) -> Outcome, body: &[u8]) -> StatusCode {
    let value = serde_json::from_slice(body).unwrap_or(Value::Null);
    // A test that no longer waits does not care.
    let _ = ends.outcomes.send(outcome(value)).await;
    StatusCode::ACCEPTED
}
