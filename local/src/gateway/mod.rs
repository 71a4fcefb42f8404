//! The HTTP gateway: what API Gateway does in AWS. Every request becomes the event that AWS would send, so the
//! handlers run as they are.

pub(crate) mod access;
mod connections;
mod event;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    middleware,
    response::Response,
};
use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use http_api::{Api as _, Problem, access::api_key};
use tokio::{net::TcpListener, sync::oneshot, time::timeout};

use self::connections::Limits;
use crate::console::{self, Console};

/// Bytes of a body that a function gets to see, and refuse: API Gateway takes 10 MiB, which many callers at once could fill
/// this machine's memory with.
const BODY_LIMIT: usize = 1024 * 1024;
/// What a body may take to come in.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// What a callback's body may take to come in: WeChat hangs up after this.
const CALLBACK_TIMEOUT: Duration = Duration::from_secs(5);
/// Far more than a reverse proxy, a browser and scripts hold at a time, and half of the files that a process may usually
/// have open. From one address come an eighth of them: more than one of WeChat's servers, which wait 5 s at most, holds open
/// at a few hundred callbacks a second.
const LIMITS: Limits = Limits {
    connections: 512,
    per_peer: 64,
    head: Duration::from_secs(30),
};

/// Bytes of a stranger's path that are logged.
const LOGGED_PATH: usize = 64;

/// The functions that serve HTTP.
#[derive(Debug)]
pub(crate) struct Functions {
    pub(crate) webhook: webhook::App,
    pub(crate) send_template: send_template::App,
    pub(crate) admin: admin::App,
}

#[derive(Debug)]
struct Gateway {
    functions: Functions,
    console: Arc<Console>,
}

/// Serves until `stopped` is sent or dropped.
pub(crate) async fn serve(
    listener: TcpListener,
    functions: Functions,
    console: Arc<Console>,
    stopped: oneshot::Receiver<()>,
) {
    functions.webhook.warm(Duration::ZERO).await;
    let gateway = Arc::new(Gateway {
        functions,
        console: Arc::clone(&console),
    });
    let router = Router::new()
        .fallback(answer)
        .with_state(gateway)
        .layer(access::cors())
        .layer(middleware::from_fn_with_state(
            Arc::clone(&console),
            access::loopback_only,
        ))
        .merge(console::routes(Arc::clone(&console)));
    let stopped = async move {
        let _ = stopped.await;
        console.close();
    };
    connections::serve(listener, router, LIMITS, stopped).await;
}

/// Answers as the function that the path belongs to.
async fn answer(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = if needs_body(&gateway.functions, &parts) {
        body
    } else {
        Body::empty()
    };
    let waits = if is_webhook(parts.uri.path()) {
        CALLBACK_TIMEOUT
    } else {
        BODY_TIMEOUT
    };
    let body = match timeout(waits, to_bytes(body, BODY_LIMIT)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large").map(Body::from),
        Err(_) => return message(StatusCode::REQUEST_TIMEOUT, "Request Timeout").map(Body::from),
    };
    let started = Instant::now();
    let response = serve_function(&gateway.functions, &parts, &body).await;
    if response.status().is_success() && changes_rules(&parts) {
        // In AWS the webhook is another process, which reads them within 30 s. Here it can do so at once.
        gateway.functions.webhook.warm(Duration::ZERO).await;
    }
    gateway.console.show(&parts, &body, &response, started.elapsed());
    response.map(Body::from)
}

/// The webhook's path, also as it is often entered in WeChat's console.
pub(crate) fn is_webhook(path: &str) -> bool {
    matches!(path, "/webhook" | "/webhook/")
}

/// Whether the head of a request does not yet show that it has to be refused: by its query, of a callback, and by its key, of a
/// call of the API. Anyone can open connections and leave their bodies out.
fn needs_body(functions: &Functions, parts: &Parts) -> bool {
    if is_webhook(parts.uri.path()) {
        serde_json::from_str(&event::json(parts, b""))
            .is_ok_and(|request| webhook::needs_body(&functions.webhook, &request))
    } else {
        api_key(&parts.headers, functions.send_template.api_keys()).is_some()
    }
}

fn changes_rules(parts: &Parts) -> bool {
    let path = parts.uri.path().trim_end_matches('/');
    match parts.method {
        Method::PUT => path == "/api/replies",
        Method::POST => path == "/api/replies/rollback",
        _ => false,
    }
}

async fn serve_function(functions: &Functions, parts: &Parts, body: &[u8]) -> http::Response<String> {
    let path = parts.uri.path();
    let event = event::json(parts, body);
    if !is_webhook(path) && is_stray_check(parts) {
        tracing::warn!(
            path = &path[..path.floor_char_boundary(LOGGED_PATH)],
            "WeChat's console checks a URL that is not the webhook's: it must end in /webhook \
             / 微信后台正在校验的 URL 不是本服务的回调地址：服务器地址应以 /webhook 结尾"
        );
    }
    route(functions, path, &event).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "a request cannot be an API Gateway event");
        message(StatusCode::BAD_REQUEST, "Bad Request")
    })
}

/// Each function reads the event as it does in AWS. What it does is kept on the heap: moved about on the small stack of one of
/// the runtime's threads, the doctor overflowed it.
async fn route(functions: &Functions, path: &str, event: &str) -> Result<http::Response<String>, serde_json::Error> {
    let request = &serde_json::from_str(event)?;
    Ok(if is_webhook(path) {
        Box::pin(webhook::handle(&functions.webhook, request)).await
    } else if http_api::is_served(send_template::App::ROUTES, path) {
        Box::pin(http_api::serve(&functions.send_template, request)).await
    } else if http_api::is_served(admin::App::ROUTES, path) {
        Box::pin(http_api::serve(&functions.admin, request)).await
    } else if path.starts_with("/api/") {
        let keys = functions.admin.api_keys();
        if api_key(request.headers(), keys).is_none() {
            Problem::unauthorized(!keys.is_empty()).into_response()
        } else {
            let known = http_api::paths(send_template::App::ROUTES).chain(http_api::paths(admin::App::ROUTES));
            http_api::no_such_path(known, path).into_response()
        }
    } else {
        message(StatusCode::NOT_FOUND, "Not Found")
    })
}

/// Whether a request that no function serves is the check of WeChat's console, which only says that the check failed.
fn is_stray_check(parts: &Parts) -> bool {
    let query = parts.uri.query().unwrap_or_default();
    let has = |name| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    has("signature") && has("echostr")
}

/// API Gateway's own answers.
fn message(status: StatusCode, text: &str) -> http::Response<String> {
    let mut response = http::Response::new(serde_json::json!({"message": text}).to_string());
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
