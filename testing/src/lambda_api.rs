//! The Invoke API of AWS Lambda on loopback: what a function reaches through `AWS_ENDPOINT_URL_LAMBDA`.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, Response, StatusCode},
    routing::post,
};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

/// What an invoked function comes to: its answer, or the `{"errorType","errorMessage"}` of its error.
pub type Invoked = Result<Value, Value>;

type Run = Box<dyn Fn(Value) -> Pin<Box<dyn Future<Output = Invoked> + Send>> + Send + Sync>;

/// A Lambda service in which every function is the same piece of code. An asynchronous invocation is kept, and nothing is
/// run: a test hands its event to the function itself. It ends with this value.
#[derive(Debug)]
pub struct LambdaApi {
    address: SocketAddr,
    events: Arc<Mutex<Vec<Value>>>,
    kept: Arc<Mutex<Vec<Value>>>,
    server: JoinHandle<()>,
}

struct Shared {
    run: Run,
    events: Arc<Mutex<Vec<Value>>>,
    kept: Arc<Mutex<Vec<Value>>>,
}

impl LambdaApi {
    /// Starts on a free port; `run` is what an invocation does with its event.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start<F>(run: impl Fn(Value) -> F + Send + Sync + 'static) -> io::Result<Self>
    where
        F: Future<Output = Invoked> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (events, kept) = (Arc::default(), Arc::default());
        let shared = Arc::new(Shared {
            run: Box::new(move |event| Box::pin(run(event))),
            events: Arc::clone(&events),
            kept: Arc::clone(&kept),
        });
        let router = Router::new()
            .route("/2015-03-31/functions/{name}/invocations", post(invoke))
            .with_state(shared);
        let server = tokio::spawn(async move {
            // It ends when it is aborted.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            events,
            kept,
            server,
        })
    }

    /// For `AWS_ENDPOINT_URL_LAMBDA`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The events of all invocations so far that were run.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The events of all asynchronous invocations so far.
    #[must_use]
    pub fn kept(&self) -> Vec<Value> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for LambdaApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn invoke(
    State(shared): State<Arc<Shared>>,
    Path(_name): Path<String>,
    headers: HeaderMap,
    payload: Bytes,
) -> Response<Body> {
    let event: Value = serde_json::from_slice(&payload).unwrap_or_default();
    if headers.get("x-amz-invocation-type").is_some_and(|kind| kind == "Event") {
        shared.kept.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        let mut accepted = Response::new(Body::empty());
        *accepted.status_mut() = StatusCode::ACCEPTED;
        return accepted;
    }
    shared
        .events
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(event.clone());
    let response = Response::builder().header("content-type", "application/json");
    let response = match (shared.run)(event).await {
        Ok(answer) => response.body(Body::from(answer.to_string())),
        Err(error) => response
            .header("x-amz-function-error", "Unhandled")
            .body(Body::from(error.to_string())),
    };
    response.unwrap_or_default()
}
