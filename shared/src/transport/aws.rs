//! The HTTP client for the AWS SDK.
//!
//! This file exists to save milliseconds at a cold start: the SDK's own client would bring a second connection pool, HTTP/2
//! and a second read of the root certificates.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::lock::lock;
use aws_smithy_runtime_api::client::{
    connection::{CaptureSmithyConnection, ConnectionMetadata},
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;

/// One connector for each connect timeout that the SDK asks for.
#[derive(Debug, Default)]
pub(crate) struct AwsTransport(Mutex<Vec<(Option<Duration>, SharedHttpConnector)>>);

impl HttpClient for AwsTransport {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        let connect_timeout = settings.connect_timeout();
        let mut connectors = lock(&self.0);
        if let Some((_, connector)) = connectors.iter().find(|(timeout, _)| *timeout == connect_timeout) {
            return connector.clone();
        }
        let connector = SharedHttpConnector::new(Connector {
            connect_timeout,
            client: Arc::default(),
        });
        connectors.push((connect_timeout, connector.clone()));
        connector
    }
}

/// An HTTP client with its idle connections, made at the first call. After an answer that a faulty host may have caused, the
/// SDK discards the whole client, because `reqwest` does not tell which connection the answer used.
#[derive(Clone, Debug)]
struct Connector {
    connect_timeout: Option<Duration>,
    client: Arc<Mutex<Option<Arc<reqwest::Client>>>>,
}

impl Connector {
    fn client(&self) -> Result<Arc<reqwest::Client>, ConnectorError> {
        let mut slot = lock(&self.client);
        if let Some(client) = &*slot {
            return Ok(Arc::clone(client));
        }
        let mut builder = super::client().map_err(|error| ConnectorError::user(error.into()))?;
        if let Some(timeout) = self.connect_timeout {
            builder = builder.connect_timeout(timeout);
        }
        let client = builder.build().map_err(|error| ConnectorError::user(error.into()))?;
        Ok(Arc::clone(slot.insert(Arc::new(client))))
    }

    /// Sends `request` and reads the whole answer. The SDK sets the timeout.
    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let client = self.client()?;
        let request = request
            .try_into_http1x()
            .map_err(|error| ConnectorError::user(error.into()))?
            .map(|body| body.bytes().map(<[u8]>::to_vec).unwrap_or_default());
        if let Some(captured) = request.extensions().get::<CaptureSmithyConnection>() {
            let connection = self.connection(&client);
            captured.set_connection_retriever(move || Some(connection.clone()));
        }
        let request = reqwest::Request::try_from(request).map_err(|error| ConnectorError::user(error.into()))?;
        let mut response = client.execute(request).await.map_err(failure)?;
        let mut answer = http::Response::new(SdkBody::empty());
        *answer.status_mut() = response.status();
        *answer.headers_mut() = std::mem::take(response.headers_mut());
        *answer.body_mut() = SdkBody::from(response.bytes().await.map_err(failure)?);
        HttpResponse::try_from(answer).map_err(|error| ConnectorError::other(error.into(), None))
    }

    /// Lets the SDK discard `client`. Requests in flight finish on it.
    fn connection(&self, client: &Arc<reqwest::Client>) -> ConnectionMetadata {
        let (slot, client) = (Arc::clone(&self.client), Arc::clone(client));
        let discard = move || {
            lock(&slot).take_if(|current| Arc::ptr_eq(current, &client));
        };
        ConnectionMetadata::builder().proxied(false).poison_fn(discard).build()
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let connector = self.clone();
        HttpConnectorFuture::new(async move { connector.exchange(request).await })
    }
}

/// Turns an error into one of two kinds that the SDK retries on another connection.
fn failure(error: reqwest::Error) -> ConnectorError {
    let error = error.without_url();
    if error.is_timeout() {
        ConnectorError::timeout(error.into())
    } else {
        ConnectorError::io(error.into())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// Answers the first request with 500, every other one with an empty item, and counts connections.
    async fn serve(listener: TcpListener, connections: Arc<AtomicUsize>) {
        let answered = Arc::new(AtomicUsize::new(0));
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            connections.fetch_add(1, Ordering::SeqCst);
            let answered = Arc::clone(&answered);
            tokio::spawn(async move {
                let mut request = [0; 8192];
                while stream.read(&mut request).await.unwrap_or(0) > 0 {
                    let status = match answered.fetch_add(1, Ordering::SeqCst) {
                        0 => "500 Internal Server Error",
                        _ => "200 OK",
                    };
                    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\n{{}}");
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    }

    /// The host behind the connection may be the one with the fault.
    #[tokio::test]
    async fn a_connection_whose_answer_was_a_failure_is_not_used_again() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        tokio::spawn(serve(listener, Arc::clone(&connections)));
        let config = Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("local"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .endpoint_url(endpoint)
            .http_client(AwsTransport::default())
            .build();
        let client = aws_sdk_dynamodb::Client::from_conf(config);
        let key = aws_sdk_dynamodb::types::AttributeValue::S("key".to_owned());
        for expected in [2, 2] {
            let get = client.get_item().table_name("table").key("pk", key.clone());
            get.send().await.unwrap();
            assert_eq!(connections.load(Ordering::SeqCst), expected);
        }
    }
}
