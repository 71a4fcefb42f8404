//! A Secrets Manager with one secret.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
};
use serde_json::{Value, json};
use wechat::lock::lock;

use super::loopback::{self, Server};

/// A Secrets Manager, for `AWS_ENDPOINT_URL_SECRETS_MANAGER`.
#[derive(Debug)]
pub struct SecretsManager {
    state: Arc<Mutex<Vault>>,
    server: Server,
}

#[derive(Debug)]
struct Vault {
    answer: Value,
    delay: Duration,
    asked: Vec<String>,
}

impl SecretsManager {
    /// Starts with `answer` to every call: an error unless it has a `SecretString`.
    pub async fn start(answer: &Value) -> Self {
        let state = Arc::new(Mutex::new(Vault {
            answer: answer.clone(),
            delay: Duration::ZERO,
            asked: Vec::new(),
        }));
        let router = Router::new().fallback(serve).with_state(Arc::clone(&state));
        Self {
            state,
            server: loopback::serve(router).await,
        }
    }

    /// Starts with `values` as the secret.
    pub async fn holding(values: &Value) -> Self {
        Self::start(&secret(values)).await
    }

    /// Starts with every call refused, as without the permission.
    pub async fn refusing() -> Self {
        let message = "User: arn:aws:sts::123456789012:assumed-role/r is not authorized to perform: secretsmanager:GetSecretValue";
        Self::start(&json!({"__type": "AccessDeniedException", "Message": message})).await
    }

    /// Puts `values` into the secret.
    pub fn put(&self, values: &Value) {
        self.with(|vault| vault.answer = secret(values));
    }

    /// Delays every answer by `delay` from now on.
    pub fn delay(&self, delay: Duration) {
        self.with(|vault| vault.delay = delay);
    }

    /// Returns the URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// The calls so far, each with its target and its body.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.with(|vault| vault.asked.clone())
    }

    fn with<T>(&self, act: impl FnOnce(&mut Vault) -> T) -> T {
        act(&mut lock(&self.state))
    }
}

fn secret(values: &Value) -> Value {
    json!({"Name": "wechat", "SecretString": values.to_string()})
}

async fn serve(State(state): State<Arc<Mutex<Vault>>>, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let call = format!("{} {}", target.unwrap_or_default(), String::from_utf8_lossy(&body));
    let (answer, delay) = {
        let mut vault = lock(&state);
        vault.asked.push(call);
        (vault.answer.clone(), vault.delay)
    };
    tokio::time::sleep(delay).await;
    let status = if answer.get("SecretString").is_some() {
        StatusCode::OK
    } else {
        StatusCode::BAD_REQUEST
    };
    let content_type = [(header::CONTENT_TYPE, "application/x-amz-json-1.1")];
    (status, content_type, answer.to_string())
}
