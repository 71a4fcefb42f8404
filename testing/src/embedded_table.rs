//! The embedded table on loopback: what a function reaches through `AWS_ENDPOINT_URL_DYNAMODB`.

use std::{net::SocketAddr, path::Path};

use ::embedded_table::{Answer, Engine, StartError};
use aws_sdk_dynamodb::Client;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Response},
    routing::post,
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// The bundle's table, for processes that a test starts. It ends with this value.
#[derive(Debug)]
pub struct EmbeddedTable {
    table: ::embedded_table::EmbeddedTable,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl EmbeddedTable {
    /// Starts on a free port of loopback, in memory or with its file in the folder `data`.
    ///
    /// # Errors
    /// [`StartError`] when the folder cannot be used or the engine does not start.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn start(data: Option<&Path>) -> Result<Self, StartError> {
        let table = ::embedded_table::EmbeddedTable::start(data).await?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.unwrap_or_else(|error| panic!("no port on loopback: {error}"));
        let address = listener.local_addr();
        let address = address.unwrap_or_else(|error| panic!("no address on loopback: {error}"));
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(serve(listener, table.engine(), stopped));
        Ok(Self {
            table,
            address,
            stop,
            server,
        })
    }

    /// Where it listens, for `AWS_ENDPOINT_URL_DYNAMODB`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client in this process.
    #[must_use]
    pub fn client(&self) -> Client {
        self.table.client()
    }

    /// Lets the requests that are running end, then listens no more.
    pub async fn stop(self) {
        // An error means that the server has already ended.
        let _ = self.stop.send(());
        let _ = self.server.await;
    }
}

async fn serve(listener: TcpListener, engine: Engine, stopped: oneshot::Receiver<()>) {
    let router = Router::new().route("/", post(answer)).with_state(engine);
    let stopped = async {
        // A dropped sender stops the server like a message does.
        let _ = stopped.await;
    };
    // It ends with an error only when its listener breaks; clients then see that nothing listens.
    let _ = axum::serve(listener, router).with_graceful_shutdown(stopped).await;
}

async fn answer(State(engine): State<Engine>, headers: HeaderMap, request: Bytes) -> Response<Body> {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let Answer { status, body } = engine
        .answer(target.unwrap_or_default().to_owned(), request.into())
        .await;
    let response = Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.0");
    response.body(Body::from(body)).unwrap_or_default()
}
