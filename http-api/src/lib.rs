//! HTTP behind API Gateway: runs a function, reads its requests and writes its answers.
//!
//! The webhook uses [`Request`], [`response`] and [`run`]. Functions behind `/api` add tables of [`Route`]s. [`serve`]
//! authorizes and answers requests by them; `openapi.json` and the gateway of `local` are generated from them; a test compares
//! the routes of `template.yaml` with that document.

#[cfg(feature = "api")]
pub mod access;
#[cfg(feature = "api")]
mod keys;
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

#[cfg(feature = "api")]
pub use self::{
    access::{Caller, ROOT},
    keys::{KeyStore, Keys, StoreFuture},
    openapi::Operation,
    problem::Problem,
    routes::{Access, Answer, ApiRequest, BODY_LIMIT, Route, is_served},
    serve::{Admission, Api, run_api, serve},
};
pub use self::{
    request::{Jwt, Request},
    response::GatewayResponse,
};
#[cfg(feature = "api")]
pub use wechat::api_key::Scope;

/// Runs a function behind API Gateway until Lambda ends it. `handler` answers every request.
///
/// # Errors
/// [`lambda_runtime::Error`] when Lambda's Runtime API cannot be used.
pub async fn run<H, F, B>(handler: H) -> Result<(), lambda_runtime::Error>
where
    H: Fn(Request) -> F,
    F: Future<Output = Response<B>> + Send,
    GatewayResponse: From<Response<B>>,
{
    // Boxed: an inline future would exceed the compiler's limit on nested types in its callers.
    Box::pin(lambda_runtime::run(service_fn(|event: LambdaEvent<Request>| {
        let response = handler(event.payload.within_invocation(event.context.deadline));
        async { Ok::<_, Infallible>(GatewayResponse::from(response.await)) }
    })))
    .await
}
