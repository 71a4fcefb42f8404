//! The HTTP gateway, in place of API Gateway. It turns every request into the event that AWS would send, so the handlers
//! run unchanged.

pub(crate) mod access;
mod body;
mod connections;
mod event;
mod probes;
mod relayed;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware,
    response::Response,
};
use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use http_api::{Admission, Api as _};
use tokio::{
    net::TcpListener,
    sync::{RwLock, Semaphore, oneshot},
};
use wechat::live::State as _;

pub(crate) use self::probes::{HEALTH, METRICS};
use self::{
    body::Incoming,
    connections::Limits,
    relayed::{LARGE_CALLS, TOKEN_REQUESTS, relayed},
};
use crate::{
    console::{self, Console},
    worker::InProcessWorker,
};

/// Bytes of a request body. API Gateway takes 10 MiB, but here many callers at once could fill this machine's memory.
const BODY_LIMIT: usize = 1024 * 1024;
/// The time for a body to arrive. It is part of the 25 s within which a request is answered.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);
/// The time for a callback's body to arrive: WeChat hangs up after this.
const CALLBACK_TIMEOUT: Duration = Duration::from_secs(5);
/// 512 connections are far more than a reverse proxy, a browser and scripts hold, and half of the usual limit of 1,024 open
/// files. 64 from one public address are more than one WeChat server holds at a few hundred callbacks a second.
const LIMITS: Limits = Limits {
    connections: 512,
    per_peer: 64,
    head: Duration::from_secs(30),
    answer: Duration::from_secs(30),
};

/// Bytes of a request's path that are logged.
const LOGGED_PATH: usize = 64;

/// The functions that serve HTTP.
#[derive(Debug)]
pub(crate) struct Functions {
    pub(crate) webhook: webhook::App,
    pub(crate) worker: Arc<InProcessWorker>,
    pub(crate) send_template: send_template::App,
    pub(crate) users: users::App,
    pub(crate) relay: relay::App,
    pub(crate) admin: admin::App,
}

impl Functions {
    fn forget_keys(&self) {
        for keys in [
            self.send_template.keys(),
            self.users.keys(),
            self.relay.keys(),
            self.admin.keys(),
        ] {
            keys.forget();
        }
    }
}

/// Which function serves a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Served {
    Webhook,
    SendTemplate,
    Users,
    Relay,
    Admin,
    Nobody,
}

impl Served {
    /// Finds the function that serves `path`. In AWS a path with a slash at its end is a different path, and only admin
    /// takes all of `/api/`.
    fn by(path: &str) -> Self {
        let is_exact = !path.ends_with('/');
        if is_webhook(path) {
            Self::Webhook
        } else if is_exact && http_api::is_served(send_template::App::ROUTES, path) {
            Self::SendTemplate
        } else if is_exact && http_api::is_served(users::App::ROUTES, path) {
            Self::Users
        } else if relay::is_served(path) {
            Self::Relay
        } else if path.starts_with("/api/") || http_api::is_served(admin::App::ROUTES, path) {
            Self::Admin
        } else {
            Self::Nobody
        }
    }
}

#[derive(Debug)]
struct Gateway {
    functions: Functions,
    console: Arc<Console>,
    /// Places for calls of the relay with large bodies: others wait, so that many files at once do not fill the memory.
    large_calls: Semaphore,
    /// Places for requests for a token: others are refused at once, so that strangers who send no body hold few connections.
    token_requests: Semaphore,
    /// Held for reading by each function at work, so that a stop can wait for those whose client has hung up.
    at_work: Arc<RwLock<()>>,
}

/// Serves the functions and the console until `stopped` is sent or dropped.
pub(crate) async fn serve(
    listener: TcpListener,
    functions: Functions,
    console: Arc<Console>,
    table: aws_sdk_dynamodb::Client,
    stopped: oneshot::Receiver<()>,
) {
    functions.webhook.warm(Duration::ZERO).await;
    let at_work = Arc::<RwLock<()>>::default();
    let gateway = Arc::new(Gateway {
        at_work: Arc::clone(&at_work),
        functions,
        console: Arc::clone(&console),
        large_calls: Semaphore::new(LARGE_CALLS),
        token_requests: Semaphore::new(TOKEN_REQUESTS),
    });
    let router = Router::new()
        .fallback(answer)
        .with_state(gateway)
        .layer(access::cors())
        .layer(middleware::from_fn_with_state(
            Arc::clone(&console),
            access::loopback_only,
        ))
        .merge(console::routes(Arc::clone(&console)))
        .merge(probes::routes(table, Arc::clone(&console)));
    let stopped = async move {
        let _ = stopped.await;
        console.close();
    };
    connections::serve(listener, router, LIMITS, stopped).await;
    let _none_at_work = at_work.write().await;
}

/// Answers with the function that serves the path.
async fn answer(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = Incoming::new(&parts, body);
    // The head is read before the body comes, so the time that a request may take begins here.
    let head = match event::head(&parts) {
        Ok(head) => head,
        Err(error) => {
            tracing::warn!(%error, "a request cannot be turned into an API Gateway event / 请求无法转换为 API Gateway 事件");
            return refused(StatusCode::BAD_REQUEST);
        }
    };
    let served = Served::by(parts.uri.path());
    if served == Served::Relay {
        return relayed(&gateway, head, body).await;
    }
    let admission = admit(&gateway.functions, served, &head).await;
    let limit = if needs_body(&gateway.functions, served, &head, admission.as_ref()) {
        BODY_LIMIT
    } else {
        0
    };
    let time_limit = if served == Served::Webhook {
        CALLBACK_TIMEOUT
    } else {
        BODY_TIMEOUT
    };
    let body = match body.read(limit, time_limit).await {
        Ok(body) => body,
        Err(status) => return refused(status),
    };
    // A task of its own goes on when the client hangs up, as a Lambda function does.
    let work = tokio::spawn(async move {
        let _at_work = gateway.at_work.read().await;
        let started = Instant::now();
        let request = head.with_body(body.clone());
        let response = serve_function(&gateway.functions, served, &parts, &request, admission).await;
        if response.status().is_success() && may_change_rules(&parts) {
            // In AWS the webhook is another process and reads changed rules within 30 s. Here it reads them at once.
            gateway.functions.webhook.warm(Duration::ZERO).await;
        }
        if response.status().is_success() && may_end_a_key(&parts) {
            // In AWS each function is a process of its own, whose copy of the keys serves for 30 s.
            gateway.functions.forget_keys();
        }
        if response.status().is_success() && may_make_due(&parts) {
            // In AWS the worker's schedule finds them within a minute.
            gateway.functions.worker.run_soon();
        }
        gateway.console.show(&parts, &body, &response, started.elapsed());
        response.map(Body::from)
    });
    work.await
        .unwrap_or_else(|_panic| refused(StatusCode::INTERNAL_SERVER_ERROR))
}

/// Answers as API Gateway does in place of a function.
fn refused(status: StatusCode) -> Response {
    let text = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "Request Entity Too Large",
        status => status.canonical_reason().unwrap_or_default(),
    };
    message(status, text).map(Body::from)
}

/// Whether `path` is the webhook's, also with the trailing slash that many enter in WeChat's console.
pub(crate) fn is_webhook(path: &str) -> bool {
    matches!(path, "/webhook" | "/webhook/")
}

/// Whether the request's body has to be read. A callback with a bad query and an API call without a valid key are refused by
/// their head alone, so that strangers cannot hold connections open by sending no body.
fn needs_body(functions: &Functions, served: Served, head: &http_api::Request, admission: Option<&Admission>) -> bool {
    match served {
        Served::Webhook => webhook::needs_body(&functions.webhook, head),
        _ => admission.is_some_and(Admission::needs_body),
    }
}

/// Finds out who sent a request of the API.
async fn admit(functions: &Functions, served: Served, head: &http_api::Request) -> Option<Admission> {
    Some(match served {
        Served::SendTemplate => Admission::of(&functions.send_template, head).await,
        Served::Users => Admission::of(&functions.users, head).await,
        Served::Admin => Admission::of(&functions.admin, head).await,
        Served::Webhook | Served::Relay | Served::Nobody => return None,
    })
}

/// Whether the request may have changed the reply rules: any write below their path, so that a new route needs no entry here.
fn may_change_rules(parts: &Parts) -> bool {
    !parts.method.is_safe() && parts.uri.path().starts_with("/api/replies")
}

/// Whether the request may have revoked a key.
fn may_end_a_key(parts: &Parts) -> bool {
    parts.method == Method::DELETE && parts.uri.path().starts_with("/api/keys/")
}

/// Whether the request may have made something due for the worker: callbacks that own code has not taken, or a campaign.
fn may_make_due(parts: &Parts) -> bool {
    let path = parts.uri.path();
    let is_order = path.starts_with("/api/campaigns/") && !path.ends_with("/recipients");
    !parts.method.is_safe() && (path.starts_with("/api/forwards") || is_order)
}

/// Calls the function that serves the request. The futures are boxed because the doctor's overflowed the small stack of a runtime
/// thread.
async fn serve_function(
    functions: &Functions,
    served: Served,
    parts: &Parts,
    request: &http_api::Request,
    admission: Option<Admission>,
) -> http::Response<String> {
    if served != Served::Webhook && is_stray_check(parts) {
        let path = parts.uri.path();
        // Another path may hold an id.
        let path = (served == Served::Nobody).then(|| &path[..path.floor_char_boundary(LOGGED_PATH)]);
        tracing::warn!(
            path,
            "WeChat's console checks a URL that is not the webhook's: it must end in /webhook \
             / 微信后台正在校验的 URL 不是本服务的回调地址：服务器地址应以 /webhook 结尾"
        );
    }
    match (served, admission) {
        (Served::Webhook, _) => Box::pin(webhook::handle(&functions.webhook, request)).await,
        (Served::SendTemplate, Some(by)) => Box::pin(http_api::serve(&functions.send_template, request, by)).await,
        (Served::Users, Some(by)) => Box::pin(http_api::serve(&functions.users, request, by)).await,
        (Served::Admin, Some(by)) => Box::pin(http_api::serve(&functions.admin, request, by)).await,
        _ => message(StatusCode::NOT_FOUND, "Not Found"),
    }
}

/// Whether the request is WeChat's URL check, sent to the wrong path. WeChat's console says only that the check failed.
fn is_stray_check(parts: &Parts) -> bool {
    let query = parts.uri.query().unwrap_or_default();
    let has = |name| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    has("signature") && has("echostr")
}

/// An answer in API Gateway's own form.
fn message(status: StatusCode, text: &str) -> http::Response<String> {
    let mut response = http::Response::new(serde_json::json!({"message": text}).to_string());
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
