//! What machines ask about the process: `/health` for a load balancer or a container, `/metrics` for Prometheus.

use std::{sync::Arc, time::Duration};

use aws_sdk_dynamodb::{Client, types::AttributeValue};
use axum::{
    Json, Router,
    extract::State,
    middleware,
    response::{IntoResponse as _, Response},
    routing::get,
};
use embedded_table::TABLE_NAME;
use http::{StatusCode, header};
use serde_json::json;
use tokio::time::timeout;

use crate::{
    console::{Console, guard},
    metrics::Metrics,
};

/// The path that says whether the process serves.
pub(crate) const HEALTH: &str = "/health";
/// The path of the process's figures.
pub(crate) const METRICS: &str = "/metrics";
/// The time for the table to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// `/health` for anybody, and `/metrics` for this machine and for holders of an API key.
pub(super) fn routes(table: Client, console: Arc<Console>) -> Router {
    let metrics = Router::new()
        .route(METRICS, get(metrics))
        .with_state(Metrics::start())
        .layer(middleware::from_fn_with_state(console, guard::this_machine_or_api_key));
    Router::new()
        .route(HEALTH, get(health))
        .with_state(table)
        .merge(metrics)
}

/// Healthy means that the table answers. What WeChat answers is the doctor's: a restart would not mend it.
async fn health(State(table): State<Client>) -> Response {
    let read = table
        .get_item()
        .table_name(TABLE_NAME)
        .key("pk", AttributeValue::S("health".to_owned()));
    let is_up = matches!(timeout(PATIENCE, read.send()).await, Ok(Ok(_)));
    let (status, text) = if is_up {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the table does not answer")
    };
    (
        status,
        Json(json!({"status": text, "version": env!("CARGO_PKG_VERSION")})),
    )
        .into_response()
}

async fn metrics(State(metrics): State<Metrics>) -> Response {
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], metrics.text()).into_response()
}
