//! An EventBridge of one process: takes events on loopback and shows what it took.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Json, Router, extract::State, routing::post};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

/// A running event bus. It ends when this is dropped.
#[derive(Debug)]
pub struct EmbeddedEventBus {
    endpoint: String,
    state: Arc<Mutex<Bus>>,
    server: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Bus {
    entries: Vec<Value>,
    refusals: usize,
    delay: Duration,
}

impl EmbeddedEventBus {
    /// Starts on a free port of loopback.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let state: Arc<Mutex<Bus>> = Arc::default();
        let router = Router::new()
            .route("/", post(put_events))
            .with_state(Arc::clone(&state));
        let server = tokio::spawn(async move {
            // It ends with an error only when its listener breaks; clients then see that nothing listens.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            endpoint,
            state,
            server,
        })
    }

    /// Where it listens, for `AWS_ENDPOINT_URL_EVENTBRIDGE`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The entries that it has taken, as `PutEvents` brought them, each with its `Detail` read.
    #[must_use]
    pub fn entries(&self) -> Vec<Value> {
        self.with(|bus| bus.entries.clone())
    }

    /// Refuses the next `calls`: EventBridge answers 200 then, and counts the failed entries.
    pub fn refuse(&self, calls: usize) {
        self.with(|bus| bus.refusals = calls);
    }

    /// Takes `delay` over every call from now on.
    pub fn delay(&self, delay: Duration) {
        self.with(|bus| bus.delay = delay);
    }

    fn with<T>(&self, act: impl FnOnce(&mut Bus) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for EmbeddedEventBus {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn put_events(State(state): State<Arc<Mutex<Bus>>>, body: axum::body::Bytes) -> Json<Value> {
    let delay = state.lock().unwrap_or_else(PoisonError::into_inner).delay;
    tokio::time::sleep(delay).await;
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let entries = request["Entries"].as_array().cloned().unwrap_or_default();
    let mut bus = state.lock().unwrap_or_else(PoisonError::into_inner);
    let is_refused = bus.refusals > 0;
    bus.refusals = bus.refusals.saturating_sub(1);
    let answers: Vec<Value> = entries
        .iter()
        .map(|_| match is_refused {
            true => json!({"ErrorCode": "InternalFailure", "ErrorMessage": "refused by the test"}),
            false => json!({"EventId": "11710aed-b79e-4468-a20b-bb3c0c3b4860"}),
        })
        .collect();
    let failed = if is_refused { answers.len() } else { 0 };
    if !is_refused {
        bus.entries.extend(entries.into_iter().map(read_detail));
    }
    Json(json!({"FailedEntryCount": failed, "Entries": answers}))
}

fn read_detail(mut entry: Value) -> Value {
    let detail = entry["Detail"].as_str().unwrap_or_default();
    entry["Detail"] = serde_json::from_str(detail).unwrap_or(Value::Null);
    entry
}
