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
        header::{CONTENT_DISPOSITION, CONTENT_TYPE, HOST, ORIGIN},
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::any,
};
use serde_json::json;
use tokio::time::sleep;

use crate::{
    api::{self, Answer},
    connection::Connection,
    control,
    observe::{Observation, ObservedCall},
    platform::{call::Call, form::Form, hosts::is_loopback, notice::Notice},
    simulation::Simulation,
};

/// Bytes. More than any upload that WeChat takes, so that a file which is too large is answered with its errcode.
const MAX_BODY_BYTES: usize = 64 << 20;

/// The platform and its controls. Every other path is a server's call, as on the platform's host.
pub(crate) fn router(simulation: Arc<Simulation>) -> Router {
    let routes = control::pages()
        .nest("/sim", control::routes().fallback(not_found))
        .route("/connect/{*path}", any(not_found))
        .fallback(call);
    guarded(routes, simulation)
}

/// The controls alone.
pub(crate) fn controls(simulation: Arc<Simulation>) -> Router {
    guarded(control::routes().fallback(not_found), simulation)
}

fn guarded(routes: Router<Arc<Simulation>>, simulation: Arc<Simulation>) -> Router {
    routes
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
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let started = Instant::now();
    let request_type = header(&headers, &CONTENT_TYPE).unwrap_or_default();
    let form = Form::read(request_type, &body).await;
    let call = Call {
        method: &method,
        path: uri.path(),
        query: &query,
        body: &body,
        form: form.as_ref(),
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
            request_type: request_type.to_owned(),
            request: body.to_vec(),
            status: (!drops).then_some(answer.status),
            response_type: answer.content_type.to_string(),
            response: answer.body.to_vec(),
            is_fault,
            took: started.elapsed(),
        })
    });
    into_response(answer)
}

fn into_response(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, [(CONTENT_TYPE, answer.content_type.into_owned())], answer.body).into_response();
    let disposition = answer.content_disposition.and_then(|value| value.try_into().ok());
    response
        .headers_mut()
        .extend(disposition.map(|disposition| (CONTENT_DISPOSITION, disposition)));
    response
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
        "no route {}; the controls are below /sim, a page of the platform is at /connect/oauth2/authorize",
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
