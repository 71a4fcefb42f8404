//! An EventBridge of one process: takes events on loopback and shows what it took.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Json, Router, extract::State, routing::post};
use serde_json::{Value, json};
use wechat::lock::lock;

use super::loopback::{self, Server};

/// An event bus, for `AWS_ENDPOINT_URL_EVENTBRIDGE`.
#[derive(Debug)]
pub struct EventBus {
    state: Arc<Mutex<Bus>>,
    server: Server,
}

#[derive(Debug, Default)]
struct Bus {
    entries: Vec<Value>,
    refusals: usize,
    delay: Duration,
    /// The calls that have come in, those that still wait included.
    calls: usize,
}

impl EventBus {
    /// Starts with nothing published.
    pub async fn start() -> Self {
        let state: Arc<Mutex<Bus>> = Arc::default();
        let router = Router::new()
            .route("/", post(put_events))
            .with_state(Arc::clone(&state));
        Self {
            state,
            server: loopback::serve(router).await,
        }
    }

    /// Returns the URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// The published entries, as `PutEvents` brought them, each with its `Detail` read.
    #[must_use]
    pub fn entries(&self) -> Vec<Value> {
        self.with(|bus| bus.entries.clone())
    }

    /// Refuses the next `calls`: EventBridge answers 200 then, and counts the failed entries.
    pub fn refuse(&self, calls: usize) {
        self.with(|bus| bus.refusals = calls);
    }

    /// Delays every answer by `delay` from now on.
    pub fn delay(&self, delay: Duration) {
        self.with(|bus| bus.delay = delay);
    }

    /// Waits until a call has come in, which may still wait for its answer.
    pub async fn called(&self) {
        while self.with(|bus| bus.calls == 0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Bus) -> T) -> T {
        act(&mut lock(&self.state))
    }
}

async fn put_events(State(state): State<Arc<Mutex<Bus>>>, body: axum::body::Bytes) -> Json<Value> {
    let delay = {
        let mut bus = lock(&state);
        bus.calls += 1;
        bus.delay
    };
    tokio::time::sleep(delay).await;
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let entries = request["Entries"].as_array().cloned().unwrap_or_default();
    let mut bus = lock(&state);
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
