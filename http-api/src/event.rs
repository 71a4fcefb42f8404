//! API Gateway's event, made fit for `lambda_http`, which panics on what HTTP does not allow.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::header::HOST;
use lambda_http::request::LambdaRequest;

/// Bytes of a path: API Gateway takes fewer, and a URI holds them all escaped.
const PATH_LIMIT: usize = 16 * 1024;

/// Takes away a body that is not the base64 it is said to be, a path that is none, and all else that `lambda_http` would
/// make a URI of. Nothing here reads that URI: path and query are kept beside it.
pub(crate) fn make_readable(event: &mut LambdaRequest) {
    // With API Gateway's HTTP API the only source of events, there is no other kind.
    #[allow(irrefutable_let_patterns)]
    let LambdaRequest::ApiGatewayV2(request) = event else {
        return;
    };
    if request.is_base64_encoded && request.body.as_ref().is_some_and(|body| STANDARD.decode(body).is_err()) {
        request.body = None;
    }
    if let Some(query) = request.raw_query_string.take().filter(|query| !query.is_empty()) {
        request.query_string_parameters = query.parse().unwrap_or_default();
    }
    request.raw_path = request
        .raw_path
        .take()
        .filter(|path| path.starts_with('/') && path.len() <= PATH_LIMIT);
    request.headers.remove(HOST);
    request.request_context.domain_name = None;
    request.request_context.stage = None;
}
