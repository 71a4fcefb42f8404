//! API Gateway's event, made fit for `lambda_http`, which panics on what HTTP does not allow.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{header, uri::PathAndQuery};
use lambda_http::request::LambdaRequest;

/// Bytes of the longest request line with its headers that API Gateway takes.
const LONGEST_LINE: usize = 10_240;

/// Takes away what the gateway never sends: a body that is not the base64 it is said to be, a query and a path that no URI
/// may have. Without them the request is refused like any other that lacks them.
///
/// The URI of the request is made of the path alone: nothing here reads host, scheme and stage, and `lambda_http` would take
/// them from where anything may stand.
pub(crate) fn make_readable(event: &mut LambdaRequest) {
    // With API Gateway's HTTP API the only source of events, there is no other kind.
    #[allow(irrefutable_let_patterns)]
    let LambdaRequest::ApiGatewayV2(request) = event else {
        return;
    };
    if request.is_base64_encoded && request.body.as_ref().is_some_and(|body| STANDARD.decode(body).is_err()) {
        request.body = None;
    }
    if let Some(query) = &request.raw_query_string
        && (query.len() > LONGEST_LINE || PathAndQuery::try_from(format!("/?{query}")).is_err())
    {
        request.query_string_parameters = query.parse().unwrap_or_default();
        request.raw_query_string = None;
    }
    request
        .raw_path
        .take_if(|path| !path.starts_with('/') || path.len() > LONGEST_LINE);
    request.headers.remove(header::HOST);
    request.request_context.domain_name = None;
    request.request_context.stage = None;
}
