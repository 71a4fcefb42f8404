//! A Secrets Manager with one answer, on loopback.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

/// A running Secrets Manager. It ends when this is dropped.
#[derive(Debug)]
pub struct EmbeddedSecretsManager {
    endpoint: String,
    asked: Arc<Mutex<Vec<String>>>,
    server: JoinHandle<()>,
}

impl EmbeddedSecretsManager {
    /// Starts on a free port of loopback. It gives `answer` to every call after `delay`, as an error unless there is a
    /// `SecretString` in it.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(answer: &Value, delay: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let log = Arc::clone(&asked);
        let status = if answer.get("SecretString").is_some() {
            StatusCode::OK
        } else {
            StatusCode::BAD_REQUEST
        };
        let answer = answer.to_string();
        let serve = async move |headers: HeaderMap, body: Bytes| {
            let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
            let call = format!("{} {}", target.unwrap_or_default(), String::from_utf8_lossy(&body));
            log.lock().unwrap_or_else(PoisonError::into_inner).push(call);
            tokio::time::sleep(delay).await;
            (status, [(header::CONTENT_TYPE, "application/x-amz-json-1.1")], answer).into_response()
        };
        let server = tokio::spawn(async move {
            // It ends with an error only when its listener breaks; clients then see that nothing listens.
            let _ = axum::serve(listener, Router::new().fallback(serve)).await;
        });
        Ok(Self {
            endpoint,
            asked,
            server,
        })
    }

    /// Where it listens, for `AWS_ENDPOINT_URL_SECRETS_MANAGER`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The calls so far, each with its target and its body.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for EmbeddedSecretsManager {
    fn drop(&mut self) {
        self.server.abort();
    }
}
