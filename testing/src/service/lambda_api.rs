//! The Invoke API of AWS Lambda.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Response, StatusCode},
    routing::post,
};
use serde_json::Value;
use wechat::lock::lock;

use super::loopback::{self, Server};

/// The result of an invoked function: its answer, or the `{"errorType","errorMessage"}` of its error.
pub type Invoked = Result<Value, Value>;

type Run = Box<dyn Fn(Value) -> Pin<Box<dyn Future<Output = Invoked> + Send>> + Send + Sync>;
type Events = Arc<Mutex<Vec<Value>>>;

/// A Lambda service, for `AWS_ENDPOINT_URL_LAMBDA`, in which every function is the same piece of code. It keeps the event of
/// an asynchronous invocation and runs nothing: a test hands the event to the function itself.
#[derive(Debug)]
pub struct LambdaApi {
    events: Events,
    kept: Events,
    server: Server,
}

struct Shared {
    run: Run,
    events: Events,
    kept: Events,
}

impl LambdaApi {
    /// Starts with `run` as the function.
    pub async fn start<F>(run: impl Fn(Value) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Invoked> + Send + 'static,
    {
        let (events, kept) = (Events::default(), Events::default());
        let shared = Arc::new(Shared {
            run: Box::new(move |event| Box::pin(run(event))),
            events: Arc::clone(&events),
            kept: Arc::clone(&kept),
        });
        let router = Router::new()
            .route("/2015-03-31/functions/{name}/invocations", post(invoke))
            .with_state(shared);
        Self {
            events,
            kept,
            server: loopback::serve(router).await,
        }
    }

    /// Returns the URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// The events of all synchronous invocations so far.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        read(&self.events)
    }

    /// The events of all asynchronous invocations so far.
    #[must_use]
    pub fn kept(&self) -> Vec<Value> {
        read(&self.kept)
    }
}

fn read(events: &Events) -> Vec<Value> {
    lock(events).clone()
}

fn note(events: &Events, event: &Value) {
    lock(events).push(event.clone());
}

async fn invoke(State(shared): State<Arc<Shared>>, headers: HeaderMap, payload: Bytes) -> Response<Body> {
    let event: Value = serde_json::from_slice(&payload).unwrap_or_default();
    let response = Response::builder();
    if headers.get("x-amz-invocation-type").is_some_and(|kind| kind == "Event") {
        note(&shared.kept, &event);
        return response.status(StatusCode::ACCEPTED).body(Body::empty()).unwrap();
    }
    note(&shared.events, &event);
    let response = response.header("content-type", "application/json");
    let response = match (shared.run)(event).await {
        Ok(answer) => response.body(Body::from(answer.to_string())),
        Err(error) => response
            .header("x-amz-function-error", "Unhandled")
            .body(Body::from(error.to_string())),
    };
    response.unwrap()
}
