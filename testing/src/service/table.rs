//! The embedded table, for `AWS_ENDPOINT_URL_DYNAMODB`.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use aws_sdk_dynamodb::Client;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Response},
    routing::post,
};
use embedded_table::{Answer, EmbeddedTable, Engine};
use wechat::lock::lock;

use super::loopback::{self, Server};

/// DynamoDB with the bundle's table, in memory.
#[derive(Debug)]
pub struct TableServer {
    table: EmbeddedTable,
    counter: Arc<Counter>,
    server: Server,
}

/// Whether units are counted, and how many have been.
#[derive(Debug, Default)]
struct Counter(AtomicBool, Mutex<f64>);

/// Calls that write.
const WRITES: [&str; 5] = [
    "PutItem",
    "UpdateItem",
    "DeleteItem",
    "BatchWriteItem",
    "TransactWriteItems",
];
/// The member in which an answer has the units of the table and its index together.
const UNITS: &str = "\"CapacityUnits\":";

impl TableServer {
    /// Starts with an empty table.
    pub async fn start() -> Self {
        let table = EmbeddedTable::start(None).await.unwrap();
        let counter = Arc::new(Counter::default());
        let state = (table.engine(), Arc::clone(&counter));
        let router = Router::new().route("/", post(answer)).with_state(state);
        Self {
            table,
            counter,
            server: loopback::serve(router).await,
        }
    }

    /// Counts the write units of all calls from now on, as DynamoDB would bill them: see [`Self::write_units`].
    pub fn count_units(&self) {
        self.counter.0.store(true, Ordering::Relaxed);
    }

    /// Write units counted so far.
    #[must_use]
    pub fn write_units(&self) -> f64 {
        *lock(&self.counter.1)
    }

    /// Returns the URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// A client in this process.
    #[must_use]
    pub fn client(&self) -> Client {
        self.table.client()
    }
}

async fn answer(
    State((engine, counter)): State<(Engine, Arc<Counter>)>,
    headers: HeaderMap,
    request: Bytes,
) -> Response<Body> {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let target = target.unwrap_or_default().to_owned();
    let is_counted = counter.0.load(Ordering::Relaxed) && WRITES.iter().any(|write| target.ends_with(write));
    let request = if is_counted {
        let members = request.strip_prefix(b"{").unwrap_or_default();
        [br#"{"ReturnConsumedCapacity":"TOTAL","#, members].concat()
    } else {
        request.into()
    };
    let Answer { status, body } = engine.answer(target, request).await;
    if is_counted {
        let units = body
            .split(UNITS)
            .skip(1)
            .filter_map(|rest| rest.split([',', '}']).next());
        let units: f64 = units.filter_map(|units| units.trim().parse::<f64>().ok()).sum();
        *lock(&counter.1) += units;
    }
    let response = Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.0");
    response.body(Body::from(body)).unwrap()
}
