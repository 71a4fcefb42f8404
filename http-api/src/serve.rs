//! Serves `/api`: authorizes the caller, finds the route, turns a [`Problem`] into an answer and logs one line.

use std::{fmt::Debug, sync::Arc};

use http::{Response, header::AUTHORIZATION};
use wechat::{
    clock::Clock,
    live::{Live, State},
    secret::Secret,
};

use crate::{
    Caller, Problem, Request, Route,
    routes::{self, ApiRequest},
};

/// Bytes. The longest path in logs.
const LOGGED_PATH: usize = 128;

/// The state of a function behind `/api`.
pub trait Api: Debug + Send + Sync + Sized + 'static {
    /// The routes, one table for each module with handlers.
    const ROUTES: &'static [&'static [Route<Self>]];

    /// Returns the accepted keys.
    fn api_keys(&self) -> &[Secret];

    /// Returns the clock.
    fn clock(&self) -> &dyn Clock;

    /// Returns the paths, parameters in braces, of which the nearest is suggested to a caller of an unknown path.
    fn known_paths(&self) -> Vec<String> {
        routes::paths(Self::ROUTES)
    }

    /// Returns why the route with this path (parameters in braces) cannot be served now, if so.
    fn unavailable(&self, path: &'static str) -> Option<Problem> {
        let _ = path;
        None
    }
}

/// Runs a function behind `/api` until Lambda ends it. A wrong key triggers a new read of the secret before the refusal.
/// Without a state, every request gets the reason.
///
/// # Errors
/// [`lambda_runtime::Error`] when Lambda's Runtime API cannot be used.
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

/// Returns the state to serve `request` with, and its caller.
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
    let response = response.unwrap_or_else(Problem::into_response);
    let millis = app.clock().now_millis() - started;
    // An unauthorized caller's path may hold anything: it is not logged.
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
    let is_open = found.as_ref().is_some_and(|(route, _)| route.is_open);
    let caller = caller.or_else(|| is_open.then(Caller::anyone));
    let caller = caller.ok_or_else(|| Problem::unauthorized(!app.api_keys().is_empty()))?;
    let (route, parameters) = found.ok_or_else(|| routes::unserved(A::ROUTES, &app.known_paths(), request))?;
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
