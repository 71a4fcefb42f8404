//! API Gateway's event, made fit for `lambda_http`, which panics on what HTTP does not allow.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::uri::PathAndQuery;
use lambda_http::request::LambdaRequest;

/// Takes away a body that is not the base64 it is said to be, and a query that no URI may have. Without them the request
/// is refused like any other that lacks them.
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
        && PathAndQuery::try_from(format!("/?{query}")).is_err()
    {
        request.query_string_parameters = query.parse().unwrap_or_default();
        request.raw_query_string = None;
    }
}
