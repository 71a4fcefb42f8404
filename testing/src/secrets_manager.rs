//! A Secrets Manager with one secret, on loopback.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
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
use tokio::{net::TcpListener, task::JoinHandle};

/// A running Secrets Manager. It ends when this is dropped.
#[derive(Debug)]
pub struct EmbeddedSecretsManager {
    endpoint: String,
    state: Arc<Mutex<Vault>>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Vault {
    answer: Value,
    delay: Duration,
    asked: Vec<String>,
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
        let state = Arc::new(Mutex::new(Vault {
            answer: answer.clone(),
            delay,
            asked: Vec::new(),
        }));
        let router = Router::new().fallback(serve).with_state(Arc::clone(&state));
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

    /// Starts with `values` as the secret.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn holding(values: &Value) -> io::Result<Self> {
        Self::start(&secret(values), Duration::ZERO).await
    }

    /// Starts with calls refused, as for want of a permission.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn refusing() -> io::Result<Self> {
        let message = "User: arn:aws:sts::123456789012:assumed-role/r is not authorized to perform: secretsmanager:GetSecretValue";
        let refusal = json!({"__type": "AccessDeniedException", "Message": message});
        Self::start(&refusal, Duration::ZERO).await
    }

    /// Puts `values` into the secret.
    pub fn put(&self, values: &Value) {
        self.with(|vault| vault.answer = secret(values));
    }

    /// Takes `delay` over every call from now on.
    pub fn delay(&self, delay: Duration) {
        self.with(|vault| vault.delay = delay);
    }

    /// Where it listens, for `AWS_ENDPOINT_URL_SECRETS_MANAGER`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The calls so far, each with its target and its body.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.with(|vault| vault.asked.clone())
    }

    fn with<T>(&self, act: impl FnOnce(&mut Vault) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for EmbeddedSecretsManager {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn secret(values: &Value) -> Value {
    json!({"Name": "wechat", "SecretString": values.to_string()})
}

async fn serve(State(state): State<Arc<Mutex<Vault>>>, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let call = format!("{} {}", target.unwrap_or_default(), String::from_utf8_lossy(&body));
    let (answer, delay) = {
        let mut vault = state.lock().unwrap_or_else(PoisonError::into_inner);
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
