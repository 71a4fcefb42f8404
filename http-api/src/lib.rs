//! What the functions behind the HTTP API have in common: how they run, and for those behind `/api/*` who may call, the
//! body, the deadline and the log line.

mod caller;
mod event;
mod headerless;

use std::{convert::Infallible, future::ready, pin::Pin, sync::Arc, time::Duration};

use http::{Response, header::AUTHORIZATION};
use lambda_http::{
    Adapter, Body, IntoResponse, LambdaEvent, Request, RequestExt, Service as _, lambda_runtime,
    request::{LambdaRequest, RequestContext},
    service_fn,
};
use serde::Serialize;
use serde_json::Value;
use wechat::{
    clock::{Clock, Deadline},
    live::{Build, Live},
    problem::Problem,
    secret::Secret,
};

pub use self::{
    caller::Caller,
    headerless::{HeaderlessRequest, run as run_headerless},
};

/// Bytes that a request's body may have.
pub const BODY_LIMIT: usize = 256 * 1024;

/// How long a request may take, a cold start included: API Gateway waits for 30 s, and a client that stops waiting earlier
/// would not learn what became of its message.
const ANSWER_WITHIN: Duration = Duration::from_secs(25);
/// Milliseconds. The gateway gives up on a request that is older, so an older time comes from a wrong clock or a sample event.
const GATEWAY_TIMEOUT: i64 = 30_000;

/// Bytes of a path that are logged.
const LOGGED_PATH: usize = 128;

/// Runs a function behind API Gateway until Lambda ends it. `handler` answers every request; an event that HTTP does not
/// allow comes to it without the part at fault.
///
/// # Errors
/// When Lambda's Runtime API cannot be used.
pub async fn run<H, F>(handler: H) -> Result<(), lambda_http::Error>
where
    H: Fn(Request) -> F,
    F: Future<Output = Response<String>> + Send,
{
    lambda_runtime::run(service_fn(|event| async {
        Ok::<_, Infallible>(answer(event, &handler).await)
    }))
    .await
}

/// Runs a function behind `/api/*` as [`run`] does, with the state that the secret makes. A key that is wrong has the secret
/// read again first; while there is no state, every request is answered with the reason.
///
/// # Errors
/// When Lambda's Runtime API cannot be used.
pub async fn run_live<B, H, F>(
    live: &Live<B>,
    api_keys: fn(&B::App) -> &[Secret],
    handler: H,
) -> Result<(), lambda_http::Error>
where
    B: Build,
    H: Fn(Arc<B::App>, Request) -> F + Sync,
    F: Future<Output = Response<String>> + Send,
{
    let handler = &handler;
    run(|request| async move {
        match state(live, api_keys, &request).await {
            Ok(app) => handler(app, request).await,
            Err(problem) => {
                let response = problem.into_response();
                tracing::info!(method = %request.method(), status = response.status().as_u16(), "request answered");
                response
            }
        }
    })
    .await
}

async fn state<B: Build>(
    live: &Live<B>,
    api_keys: fn(&B::App) -> &[Secret],
    request: &Request,
) -> Result<Arc<B::App>, Problem> {
    let current = live.current().await;
    let app = current.map_err(|error| Problem::not_configured(&error))?;
    let has_wrong_key = request.headers().contains_key(AUTHORIZATION) && Caller::of(request, api_keys(&app)).is_none();
    let newer = if has_wrong_key {
        live.instead_of(&app).await
    } else {
        None
    };
    Ok(newer.unwrap_or(app))
}

/// The request that `event` is, without the parts that HTTP does not allow.
#[must_use]
pub fn request(mut event: LambdaRequest) -> Request {
    event::make_readable(&mut event);
    event.into()
}

/// Answers one event, in the form that API Gateway takes.
pub async fn answer<H, F>(mut event: LambdaEvent<LambdaRequest>, handler: &H) -> impl Serialize + use<H, F>
where
    H: Fn(Request) -> F,
    F: Future<Output = Response<String>> + Send,
{
    event::make_readable(&mut event.payload);
    let service = service_fn(|request| {
        let response = handler(request);
        async { Ok::<_, Infallible>(Text(response.await)) }
    });
    let Ok(answer) = Adapter::from(service).call(event).await;
    answer
}

/// An answer whose body is text as it stands: `lambda_http` would decode it by the charset of its content type, with
/// tables for all of the world's.
struct Text(Response<String>);

impl IntoResponse for Text {
    fn into_response(self) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> {
        Box::pin(ready(self.0.map(Body::Text)))
    }
}

/// Serves one request: refuses callers that may not call, turns a [`Problem`] into its answer, and logs one line.
pub async fn serve<F>(
    request: &Request,
    api_keys: &[Secret],
    clock: &dyn Clock,
    route: impl FnOnce(Caller, Deadline) -> F,
) -> Response<String>
where
    F: Future<Output = Result<Response<String>, Problem>>,
{
    let started = clock.now_millis();
    let caller = Caller::of(request, api_keys);
    let key = caller.as_ref().map(|caller| caller.name().to_owned());
    let response = match caller {
        Some(caller) => route(caller, deadline(request, started))
            .await
            .unwrap_or_else(Problem::into_response),
        None => Problem::unauthorized().into_response(),
    };
    let millis = clock.now_millis() - started;
    // What a stranger asks for may be anything, of any length.
    let path = key.is_some().then(|| brief(request.raw_http_path()));
    tracing::info!(
        method = %request.method(), path, key, status = response.status().as_u16(), millis, "request answered"
    );
    response
}

fn brief(path: &str) -> &str {
    &path[..path.floor_char_boundary(LOGGED_PATH)]
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
/// [`Problem`] 413, or 400 when it is no JSON in UTF-8.
pub fn json_body(request: &Request) -> Result<Value, Problem> {
    let body = str::from_utf8(body(request)?)
        .map_err(|_| Problem::bad_request("the body is not UTF-8 / 请求体须为 UTF-8 编码"))?;
    serde_json::from_str(body)
        .map_err(|error| Problem::bad_request(format!("the body is not JSON: {error} / 请求体不是合法的 JSON")))
}

/// The answer to a request that no route matches: 405 when `served` has its path, else 404. `served` holds each path, or
/// its beginning up to a `/` before a parameter, with the methods that it takes.
#[must_use]
pub fn unserved(request: &Request, served: &[(&str, &'static str)]) -> Problem {
    match methods(request, served) {
        Some(methods) => Problem::method_not_allowed(methods),
        None => Problem::not_found("there is no such path / 路径不存在"),
    }
}

/// Whether `served`, as [`unserved`] takes it, has the path of the request with its method.
#[must_use]
pub fn is_served(request: &Request, served: &[(&str, &'static str)]) -> bool {
    methods(request, served).is_some_and(|methods| methods.split(", ").any(|method| request.method() == method))
}

fn methods(request: &Request, served: &[(&str, &'static str)]) -> Option<&'static str> {
    let path = request.raw_http_path().trim_end_matches('/');
    let is_path = |pattern: &str| match pattern.strip_suffix('/') {
        Some(_) => path
            .strip_prefix(pattern)
            .is_some_and(|parameter| !parameter.contains('/')),
        None => path == pattern,
    };
    let found = served.iter().find(|(pattern, _)| is_path(pattern))?;
    Some(found.1)
}

/// 25 s after the request arrived at the gateway, or the end of the invocation if that is sooner.
fn deadline(request: &Request, now_millis: i64) -> Deadline {
    let invocation = request.lambda_context_ref().map_or(Deadline::NONE, |context| {
        Deadline::from_lambda(context.deadline, now_millis)
    });
    invocation.within(arrival(request, now_millis), ANSWER_WITHIN)
}

/// When the gateway took the request, in epoch milliseconds. `now_millis` when it does not say, or nothing plausible.
fn arrival(request: &Request, now_millis: i64) -> i64 {
    let Some(RequestContext::ApiGatewayV2(context)) = request.request_context_ref() else {
        return now_millis;
    };
    let plausible = now_millis - GATEWAY_TIMEOUT..=now_millis;
    Some(context.time_epoch)
        .filter(|arrived| plausible.contains(arrived))
        .unwrap_or(now_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVED: [(&str, &str); 2] = [("/api/menu", "GET, POST"), ("/api/messages/", "GET")];

    fn status(path: &str) -> (u16, Option<String>) {
        let request = Request::default().with_raw_http_path(path);
        let response = unserved(&request, &SERVED).into_response();
        let allow = response
            .headers()
            .get("allow")
            .map(|allow| allow.to_str().unwrap().to_owned());
        (response.status().as_u16(), allow)
    }

    /// What is left at `NOW` of a request whose event has this `timeEpoch`, with an invocation that ends after `invocation` s.
    fn left(time_epoch: i64, invocation: u64) -> Duration {
        const NOW: i64 = 1_767_225_600_000;
        let event = serde_json::json!({
            "version": "2.0", "rawPath": "/api/menu", "headers": {},
            "requestContext": {"http": {"method": "GET", "path": "/api/menu"}, "timeEpoch": NOW + time_epoch},
            "isBase64Encoded": false,
        });
        let mut context = lambda_http::Context::default();
        context.deadline = NOW as u64 + invocation * 1000;
        let request = super::request(serde_json::from_value(event).unwrap()).with_lambda_context(context);
        deadline(&request, NOW).budget(NOW, Duration::MAX, Duration::ZERO)
    }

    #[test]
    fn a_request_has_25_seconds_from_its_arrival_a_cold_start_included() {
        assert_eq!(left(0, 29), Duration::from_secs(25));
        assert_eq!(left(-4_000, 29), Duration::from_secs(21));
        assert_eq!(left(-4_000, 15), Duration::from_secs(15), "the invocation ends sooner");
        for implausible in [-31_000, 1, 3_600_000, i64::MIN / 2] {
            assert_eq!(left(implausible, 29), Duration::from_secs(25), "{implausible}");
        }
    }

    #[test]
    fn a_wrong_method_is_told_apart_from_a_wrong_path() {
        assert_eq!(status("/api/menu/"), (405, Some("GET, POST".to_owned())));
        assert_eq!(status("/api/messages/42"), (405, Some("GET".to_owned())));
        for path in ["/api/menus", "/api/messages", "/api/messages/4/2", "/"] {
            assert_eq!(status(path), (404, None), "{path}");
        }
    }
}
