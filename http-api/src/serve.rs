//! Serves `/api`: refuses callers that may not call, finds the route, turns a [`Problem`] into its answer and logs one line.

use std::{fmt::Debug, sync::Arc};

use http::{Method, Response, header::AUTHORIZATION};
use wechat::{
    clock::Clock,
    live::{Live, State},
    secret::Secret,
};

use crate::{
    Caller, Problem, Request, Route,
    routes::{self, ApiRequest},
};

/// Bytes of a path that are logged.
const LOGGED_PATH: usize = 128;

/// A function behind `/api`, as its state.
pub trait Api: Debug + Send + Sync + Sized + 'static {
    /// The routes, one table for each module that has handlers.
    const ROUTES: &'static [&'static [Route<Self>]];

    /// The keys whose holders may call.
    fn api_keys(&self) -> &[Secret];

    /// The time.
    fn clock(&self) -> &dyn Clock;

    /// Why the route at `path`, as its table writes it, cannot be served at present.
    fn unavailable(&self, path: &'static str) -> Option<Problem> {
        let _ = path;
        None
    }
}

/// Runs a function behind `/api` until Lambda ends it, with the state that the secret makes. A wrong key has the secret read
/// again first; while there is no state, every request is answered with the reason.
///
/// # Errors
/// When Lambda's Runtime API cannot be used.
pub async fn run_api<A: Api + State>(live: &Live<A>) -> Result<(), lambda_runtime::Error> {
    crate::run(|request| async move {
        match admit(live, &request).await {
            Ok((app, caller)) => answer(&*app, &request, caller).await,
            Err(problem) => {
                let response = problem.into_response();
                tracing::info!(method = %request.method(), status = response.status().as_u16(), "request answered");
                response
            }
        }
    })
    .await
}

/// The state to serve `request` with, and its caller.
async fn admit<A: Api + State>(live: &Live<A>, request: &Request) -> Result<(Arc<A>, Option<Caller>), Problem> {
    let app = live.current().await;
    let app = app.map_err(|error| Problem::not_configured(&error))?;
    let caller = Caller::of(request, app.api_keys());
    if caller.is_none()
        && request.headers().contains_key(AUTHORIZATION)
        && let Some(newer) = live.instead_of(&app).await
    {
        let caller = Caller::of(request, newer.api_keys());
        return Ok((newer, caller));
    }
    Ok((app, caller))
}

/// Answers one request.
pub async fn serve<A: Api>(app: &A, request: &Request) -> Response<String> {
    answer(app, request, Caller::of(request, app.api_keys())).await
}

async fn answer<A: Api>(app: &A, request: &Request, caller: Option<Caller>) -> Response<String> {
    let started = app.clock().now_millis();
    let key = caller.as_ref().map(|caller| caller.name().to_owned());
    let response = route(app, request, caller, started).await;
    let mut response = response.unwrap_or_else(Problem::into_response);
    if *request.method() == Method::HEAD {
        response.body_mut().clear();
    }
    let millis = app.clock().now_millis() - started;
    // A stranger's path may be anything, of any length.
    let path = key.is_some().then(|| brief(request.path()));
    tracing::info!(
        method = %request.method(), path, key, status = response.status().as_u16(), millis, "request answered"
    );
    response
}

async fn route<A: Api>(
    app: &A,
    request: &Request,
    caller: Option<Caller>,
    now: i64,
) -> Result<Response<String>, Problem> {
    let found = routes::find(A::ROUTES, request);
    let is_open = found.as_ref().is_ok_and(|(route, _)| route.is_open);
    let caller = caller.or_else(|| is_open.then(Caller::anyone));
    let caller = caller.ok_or_else(|| Problem::unauthorized(!app.api_keys().is_empty()))?;
    let (route, parameters) = found?;
    routes::refuse_unknown_query(route, request)?;
    if let Some(problem) = app.unavailable(route.path) {
        return Err(problem);
    }
    let request = ApiRequest::new(request, caller, request.deadline(now), parameters);
    (route.handler)(app, &request).await
}

fn brief(path: &str) -> &str {
    &path[..path.floor_char_boundary(LOGGED_PATH)]
}
