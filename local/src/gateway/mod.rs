//! The HTTP gateway: what API Gateway does in AWS. Every request becomes the event that AWS would send, so the
//! handlers run as they are.

mod access;
mod event;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    response::{Html, IntoResponse, Response},
};
use http::{StatusCode, request::Parts};
use tokio::{net::TcpListener, sync::oneshot};

/// Bytes that API Gateway takes.
const BODY_LIMIT: usize = 10 * 1024 * 1024;
const CONSOLE: &str = include_str!("console.html");

/// The functions that serve HTTP.
#[derive(Debug)]
pub(crate) struct Functions {
    pub(crate) webhook: webhook::App,
    pub(crate) send_template: send_template::App,
    pub(crate) admin: admin::App,
}

/// What the console at `/` shows.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// The simulated platform; a real account has none.
    pub(crate) simulator: Option<String>,
}

#[derive(Debug)]
struct Gateway {
    functions: Functions,
    page: Page,
}

/// Serves until `stopped` is sent or dropped.
pub(crate) async fn serve(listener: TcpListener, functions: Functions, page: Page, stopped: oneshot::Receiver<()>) {
    functions.webhook.warm().await;
    let gateway = Arc::new(Gateway { functions, page });
    let router = Router::new()
        .fallback(answer)
        .with_state(gateway)
        .into_make_service_with_connect_info::<SocketAddr>();
    let stopped = async {
        let _ = stopped.await;
    };
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
        tracing::error!(%error, "the gateway has ended");
    }
}

fn console(page: &Page) -> Response {
    let platform = page.simulator.as_deref().unwrap_or("https://api.weixin.qq.com");
    Html(CONSOLE.replace("{{platform}}", platform)).into_response()
}

/// Answers with the console, or as the function that the path belongs to.
async fn answer(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if gateway.page.simulator.is_some() && !access::names_loopback(&parts.headers) {
        return (
            StatusCode::FORBIDDEN,
            "this simulated run serves 127.0.0.1 and localhost only",
        )
            .into_response();
    }
    if let Some(preflight) = access::preflight(&parts) {
        return preflight;
    }
    if parts.uri.path() == "/" {
        return console(&gateway.page);
    }
    let Ok(body) = to_bytes(body, BODY_LIMIT).await else {
        return message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
    };
    let mut response = serve_function(&gateway.functions, &parts, &body).await;
    access::allow_origin(&parts.headers, response.headers_mut());
    response
}

async fn serve_function(functions: &Functions, parts: &Parts, body: &[u8]) -> Response {
    let request = match event::to_lambda_request(parts, body) {
        Ok(request) => request,
        Err(error) => {
            tracing::warn!(%error, "a request cannot be an API Gateway event");
            return message(StatusCode::BAD_REQUEST, "Bad Request");
        }
    };
    let path = parts.uri.path();
    let response = if path == "/webhook" {
        webhook::handle(&functions.webhook, request).await
    } else if path == "/api/sendTemplateMessage" || path == "/api/templates" || path.starts_with("/api/messages/") {
        send_template::handle(&functions.send_template, request).await
    } else if path.starts_with("/api/") {
        admin::handle(&functions.admin, request).await
    } else {
        return message(StatusCode::NOT_FOUND, "Not Found");
    };
    response.map(Body::from)
}

/// API Gateway's own answers.
fn message(status: StatusCode, text: &str) -> Response {
    (status, axum::Json(serde_json::json!({"message": text}))).into_response()
}
