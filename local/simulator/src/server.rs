//! The HTTP server: routes, who may call, and the faults of the connection.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{ConnectInfo, DefaultBodyLimit, Query, Request, State},
    http::{
        HeaderMap, HeaderName, Method, StatusCode, Uri,
        header::{CONTENT_TYPE, HOST, ORIGIN},
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::any,
};
use serde_json::json;
use tokio::time::sleep;

use crate::{
    api,
    connection::Connection,
    control,
    observe::{Observation, ObservedCall},
    platform::{call::Call, hosts::is_loopback, notice::Notice},
    simulation::Simulation,
};

const MAX_BODY_BYTES: usize = 1 << 20;

/// The platform and its controls.
pub(crate) fn router(simulation: Arc<Simulation>) -> Router {
    let platform = control::pages()
        .route("/cgi-bin/{*path}", any(call))
        .route("/sns/{*path}", any(call));
    guarded(control::routes().merge(platform), simulation)
}

/// The controls alone.
pub(crate) fn controls(simulation: Arc<Simulation>) -> Router {
    guarded(control::routes(), simulation)
}

fn guarded(routes: Router<Arc<Simulation>>, simulation: Arc<Simulation>) -> Router {
    routes
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn(refuse_other_sites))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&simulation),
            end_when_stopped,
        ))
        .with_state(simulation)
}

async fn call(
    State(simulation): State<Arc<Simulation>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    method: Method,
    uri: Uri,
    query: Query<Vec<(String, String)>>,
    body: Bytes,
) -> Response {
    let started = Instant::now();
    let call = Call {
        method: &method,
        path: uri.path(),
        query: &query,
        body: &body,
        peer: connection.peer.ip(),
    };
    let (answer, fault, notices) = {
        let mut platform = simulation.platform();
        let (answer, fault) = api::serve(&mut platform, &call);
        (answer, fault, std::mem::take(&mut platform.outbox))
    };
    for notice in notices {
        tokio::spawn(deliver_later(Arc::clone(&simulation), notice));
    }
    let is_fault = fault.is_some();
    let drops = fault.as_ref().is_some_and(|fault| fault.drop);
    if let Some(fault) = fault {
        sleep(Duration::from_millis(fault.delay_ms.unwrap_or_default())).await;
    }
    if drops {
        connection.break_off();
    }
    simulation.channel.settings.observe(|| {
        Observation::Call(ObservedCall {
            method: method.to_string(),
            path: uri.path().to_owned(),
            query: query.0.clone(),
            request: body.to_vec(),
            status: (!drops).then_some(answer.status),
            response: answer.body.clone(),
            is_fault,
            took: started.elapsed(),
        })
    });
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(CONTENT_TYPE, answer.content_type.into_owned())], answer.body).into_response()
}

async fn deliver_later(simulation: Arc<Simulation>, notice: Notice) {
    let delivery = async {
        sleep(simulation.channel.settings.receipt_delay).await;
        simulation.channel.deliver(&notice).await
    };
    simulation.until_stopped(delivery).await;
}

async fn not_found(uri: Uri) -> Response {
    let error = format!(
        "no route {}; the platform is at /cgi-bin/…, /sns/… and /connect/oauth2/authorize, its controls at /sim/…",
        uri.path()
    );
    (StatusCode::NOT_FOUND, Json(json!({"error": error}))).into_response()
}

/// Ends requests in flight when the simulator stops.
async fn end_when_stopped(State(simulation): State<Arc<Simulation>>, request: Request, next: Next) -> Response {
    match simulation.until_stopped(next.run(request)).await {
        Some(response) => response,
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// Refuses pages of other sites, which could drive the simulator by DNS rebinding (a foreign Host) or by a cross-site
/// request (a foreign Origin).
async fn refuse_other_sites(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let host_is_loopback = header(headers, &HOST).is_some_and(is_loopback);
    let origin_is_loopback = !headers.contains_key(ORIGIN)
        || header(headers, &ORIGIN)
            .and_then(|origin| origin.split_once("://"))
            .is_some_and(|(_, host)| is_loopback(host));
    if host_is_loopback && origin_is_loopback {
        return next.run(request).await;
    }
    let error = json!({"error": "the simulator answers to loopback names and addresses only"});
    (StatusCode::FORBIDDEN, Json(error)).into_response()
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
