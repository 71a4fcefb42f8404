//! `GET /openapi.json`: the description of the whole API, for tools. It holds no secret, so it needs no API key.

use http::Response;
use http_api::{ApiRequest, Operation, Problem, Route, openapi::Schema, response::respond, route};

use serde_json::Value;

use crate::App;

const DOCUMENT: &str = include_str!("../../../openapi.json");

/// The path of the document.
pub(crate) const PATH: &str = "/openapi.json";

pub(crate) const ROUTES: &[Route<App>] = &[route!(open, GET PATH => get, Operation {
    id: "getOpenApi",
    summary: "This document / 本文档",
    answers: &[(200, "The OpenAPI document", Schema::Object)],
    ..Operation::NEW
})];

/// The paths of the whole API. Admin answers every unknown path under `/api`, so it suggests those of other functions too.
pub(crate) fn paths() -> Vec<String> {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap_or_default();
    let paths = document["paths"].as_object();
    paths.map(|paths| paths.keys().cloned().collect()).unwrap_or_default()
}

/// Serves `GET /openapi.json`.
async fn get(_: &App, _: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    Ok(respond(200, "application/json", DOCUMENT.to_owned()))
}
