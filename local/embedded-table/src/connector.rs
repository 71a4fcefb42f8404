//! Connects the SDK to the engine: an HTTP client without a network, so that no other user of the machine can connect.

use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};

use crate::{Answer, Engine};

/// An HTTP client that answers the SDK's requests in this process.
#[derive(Clone, Debug)]
pub(crate) struct Connector(pub(crate) Engine);

impl HttpClient for Connector {
    /// Ignores the timeouts: nothing connects or reads from a network.
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let engine = self.0.clone();
        HttpConnectorFuture::new(async move {
            let target = request.headers().get("x-amz-target").unwrap_or_default().to_owned();
            let body = request.body().bytes().unwrap_or_default().to_vec();
            let Answer { status, body } = engine.answer(target, body).await;
            let status = status
                .try_into()
                .map_err(|error| ConnectorError::other(Box::new(error), None))?;
            Ok(HttpResponse::new(status, body.into()))
        })
    }
}
