//! The HTTP client of the AWS SDK. Its own would bring a second connection pool, HTTP/2 and a second read of the roots.

use std::{
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;

/// One connector for each connect timeout that is asked for.
#[derive(Debug, Default)]
pub(crate) struct AwsTransport(Mutex<Vec<(Option<Duration>, SharedHttpConnector)>>);

impl HttpClient for AwsTransport {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        let connect_timeout = settings.connect_timeout();
        let mut connectors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, connector)) = connectors.iter().find(|(timeout, _)| *timeout == connect_timeout) {
            return connector.clone();
        }
        let connector = SharedHttpConnector::new(Connector {
            connect_timeout,
            client: OnceLock::new(),
        });
        connectors.push((connect_timeout, connector.clone()));
        connector
    }
}

#[derive(Debug)]
struct Connector {
    connect_timeout: Option<Duration>,
    client: OnceLock<reqwest::Client>,
}

impl Connector {
    fn client(&self) -> Result<reqwest::Client, ConnectorError> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let mut builder = super::client().map_err(|error| ConnectorError::user(error.into()))?;
        if let Some(timeout) = self.connect_timeout {
            builder = builder.connect_timeout(timeout);
        }
        let client = builder.build().map_err(|error| ConnectorError::user(error.into()))?;
        Ok(self.client.get_or_init(|| client).clone())
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.client();
        HttpConnectorFuture::new(async move { exchange(&client?, request).await })
    }
}

/// Sends `request` and reads the whole answer. An end to the wait is the SDK's business.
async fn exchange(client: &reqwest::Client, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let request = request
        .try_into_http1x()
        .map_err(|error| ConnectorError::user(error.into()))?
        .map(|body| body.bytes().map(<[u8]>::to_vec).unwrap_or_default());
    let request = reqwest::Request::try_from(request).map_err(|error| ConnectorError::user(error.into()))?;
    let mut response = client.execute(request).await.map_err(failure)?;
    let mut answer = http::Response::new(SdkBody::empty());
    *answer.status_mut() = response.status();
    *answer.headers_mut() = std::mem::take(response.headers_mut());
    *answer.body_mut() = SdkBody::from(response.bytes().await.map_err(failure)?);
    HttpResponse::try_from(answer).map_err(|error| ConnectorError::other(error.into(), None))
}

/// How the SDK sees a failure: both kinds are repeated on another connection.
fn failure(error: reqwest::Error) -> ConnectorError {
    let error = error.without_url();
    if error.is_timeout() {
        ConnectorError::timeout(error.into())
    } else {
        ConnectorError::io(error.into())
    }
}
