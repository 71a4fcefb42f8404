//! The embedded table, for `AWS_ENDPOINT_URL_DYNAMODB`.

use aws_sdk_dynamodb::Client;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Response},
    routing::post,
};
use embedded_table::{Answer, EmbeddedTable, Engine};

use super::loopback::{self, Server};

/// DynamoDB with the bundle's table, in memory.
#[derive(Debug)]
pub struct TableServer {
    table: EmbeddedTable,
    server: Server,
}

impl TableServer {
    /// Starts with an empty table.
    pub async fn start() -> Self {
        let table = EmbeddedTable::start(None).await.unwrap();
        let router = Router::new().route("/", post(answer)).with_state(table.engine());
        Self {
            table,
            server: loopback::serve(router).await,
        }
    }

    /// Its URL.
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

async fn answer(State(engine): State<Engine>, headers: HeaderMap, request: Bytes) -> Response<Body> {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let Answer { status, body } = engine
        .answer(target.unwrap_or_default().to_owned(), request.into())
        .await;
    let response = Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.0");
    response.body(Body::from(body)).unwrap()
}
