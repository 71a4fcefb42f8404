//! The one door for HTTP: how a function behind API Gateway runs, the request that it gets, and the answer that it gives.
//!
//! The webhook uses [`Request`], [`response`] and [`run`]. Functions behind `/api` add a table of [`Route`]s, from which
//! [`serve`] decides who may call and what is answered, and from which `openapi.json` and the gateway of `local` are made.
//! A test holds the routes of `template.yaml` to that document.

#[cfg(feature = "api")]
pub mod access;
#[cfg(feature = "api")]
pub mod openapi;
#[cfg(feature = "api")]
pub mod problem;
mod request;
pub mod response;
#[cfg(feature = "api")]
mod routes;
#[cfg(feature = "api")]
mod serve;

use std::convert::Infallible;

use http::Response;
use lambda_runtime::{LambdaEvent, service_fn};

pub use self::request::Request;
#[cfg(feature = "api")]
pub use self::{
    access::Caller,
    openapi::Operation,
    problem::Problem,
    routes::{Answer, ApiRequest, BODY_LIMIT, Route, is_served, no_such_path, paths},
    serve::{Api, run_api, serve},
};

/// Runs a function behind API Gateway until Lambda ends it. `handler` answers every request.
///
/// # Errors
/// When Lambda's Runtime API cannot be used.
pub async fn run<H, F>(handler: H) -> Result<(), lambda_runtime::Error>
where
    H: Fn(Request) -> F,
    F: Future<Output = Response<String>> + Send,
{
    // The future is on the heap, or callers that await it meet the compiler's limit on nested types.
    Box::pin(lambda_runtime::run(service_fn(|event: LambdaEvent<Request>| {
        let response = handler(event.payload.within_invocation(event.context.deadline));
        async { Ok::<_, Infallible>(response::GatewayResponse::from(response.await)) }
    })))
    .await
}
