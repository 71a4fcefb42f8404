//! The reply rules: what the webhook answers. It reads a change within 30 seconds.

use http::Response;
use serde_json::{Value, json};
use wechat::{
    problem::{self, Problem},
    rules::{ReplyRules, RulesError},
};

use crate::App;

/// Serves `GET /api/replies`: the document; `{}` when none was stored, as which the default greeting serves.
pub(crate) async fn get(app: &App) -> Result<Response<String>, Problem> {
    let stored = app
        .table
        .replies(&app.app_id)
        .await
        .map_err(|error| Problem::from(&error))?;
    let document = match &stored {
        None => json!({}),
        Some(stored) => serde_json::from_str(&stored.document)
            .map_err(|error| Problem::set_up(format!("the stored reply rules are damaged: {error}")))?,
    };
    Ok(with_version(
        problem::json(200, &document),
        stored.map_or(0, |stored| stored.version),
    ))
}

/// Serves `PUT /api/replies`: replaces the whole document, or refuses it whole.
pub(crate) async fn put(app: &App, document: &Value) -> Result<Response<String>, Problem> {
    let json = document.to_string();
    ReplyRules::parse(json.as_bytes()).map_err(refused)?;
    let saved = app.table.save_replies(&app.app_id, &json, app.clock.now()).await;
    let version = saved.map_err(|error| Problem::from(&error))?;
    Ok(with_version(problem::json(200, document), version))
}

fn refused(error: RulesError) -> Problem {
    let detail = error.to_string();
    match error {
        RulesError::Faults(faults) => Problem::bad_request(detail).with_faults(faults),
        _ => Problem::bad_request(detail),
    }
}

fn with_version(mut response: Response<String>, version: u64) -> Response<String> {
    if let Ok(etag) = format!("\"{version}\"").parse() {
        response.headers_mut().insert(http::header::ETAG, etag);
    }
    response
}
