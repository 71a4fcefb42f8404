//! What the functions behind `/api/*` have in common: who may call, the body, the deadline, the log line.

use http::Response;
use lambda_http::{Request, RequestExt, request::RequestContext};
use serde_json::Value;
use wechat::{
    auth::has_api_key,
    clock::{Clock, Deadline},
    problem::Problem,
    secret::Secret,
};

/// Bytes that a request's body may have.
pub const BODY_LIMIT: usize = 256 * 1024;

/// Serves one request: refuses callers that may not call, turns a [`Problem`] into its answer, and logs one line.
pub async fn serve<F>(
    request: &Request,
    api_keys: &[Secret],
    clock: &dyn Clock,
    route: impl FnOnce(Deadline) -> F,
) -> Response<String>
where
    F: Future<Output = Result<Response<String>, Problem>>,
{
    let started = clock.now_millis();
    let response = if may_call(request, api_keys) {
        route(deadline(request, started))
            .await
            .unwrap_or_else(Problem::into_response)
    } else {
        Problem::unauthorized().into_response()
    };
    let millis = clock.now_millis() - started;
    tracing::info!(
        method = %request.method(), path = request.raw_http_path(), status = response.status().as_u16(), millis,
        "request answered"
    );
    response
}

/// The body, when it is not too large.
///
/// # Errors
/// [`Problem`] 413.
pub fn body(request: &Request) -> Result<&[u8], Problem> {
    let body = request.body().as_ref();
    if body.len() > BODY_LIMIT {
        Err(Problem::too_large(BODY_LIMIT))
    } else {
        Ok(body)
    }
}

/// The body as JSON.
///
/// # Errors
/// [`Problem`] 413, or 400 when it is no JSON.
pub fn json_body(request: &Request) -> Result<Value, Problem> {
    serde_json::from_slice(body(request)?)
        .map_err(|error| Problem::bad_request(format!("the body is not JSON: {error} / 请求体不是合法的 JSON")))
}

/// The answer to a path or method that no function serves.
#[must_use]
pub fn no_such_path() -> Problem {
    Problem::not_found("there is no such path and method / 路径或方法不存在")
}

/// Holders of a key, and callers that API Gateway's JWT authorizer has let through: only the gateway can write the
/// request's context. Nothing in a query string counts.
fn may_call(request: &Request, api_keys: &[Secret]) -> bool {
    if has_api_key(request.headers(), api_keys) {
        return true;
    }
    let Some(RequestContext::ApiGatewayV2(context)) = request.request_context_ref() else {
        return false;
    };
    context
        .authorizer
        .as_ref()
        .is_some_and(|authorizer| authorizer.jwt.is_some())
}

fn deadline(request: &Request, now_millis: i64) -> Deadline {
    request.lambda_context_ref().map_or(Deadline::NONE, |context| {
        Deadline::from_lambda(context.deadline, now_millis)
    })
}
