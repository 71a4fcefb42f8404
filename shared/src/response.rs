//! Answers to an HTTP request, each with its content type and none open to a browser's guess.

use http::{Response, StatusCode, header};
use serde::Serialize;

/// A JSON answer.
#[must_use]
pub fn json(status: u16, body: &impl Serialize) -> Response<String> {
    respond(status, "application/json", to_json(body))
}

/// An answer with a body of the given type.
#[must_use]
pub fn respond(status: u16, content_type: &'static str, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    // No answer is ever to be taken for a page, whatever a browser thinks that it looks like.
    let no_sniff = header::HeaderValue::from_static("nosniff");
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, no_sniff);
    response
}

/// The types that are answered here have text keys only, so writing them cannot fail.
pub(crate) fn to_json(body: &impl Serialize) -> String {
    serde_json::to_string(body).unwrap_or_else(|_| "{}".to_owned())
}
