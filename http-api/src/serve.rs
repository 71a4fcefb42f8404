//! Serves `/api`: authorizes the caller, finds the route, turns a [`Problem`] into an answer and logs one line.

use std::{fmt::Debug, sync::Arc, time::Duration};

use http::{Response, header::AUTHORIZATION};
use wechat::{
    clock::Clock,
    live::{Live, State},
};

use crate::{
    Access, Caller, Keys, Problem, Request, Route,
    routes::{self, ApiRequest},
};

/// How long an answer waits for the note that its caller's key was used today.
const NOTE_BUDGET: Duration = Duration::from_millis(200);

/// The state of a function behind `/api`.
pub trait Api: Debug + Send + Sync + Sized + 'static {
    /// The routes, one table for each module with handlers.
    const ROUTES: &'static [&'static [Route<Self>]];

    /// Returns the accepted keys.
    fn keys(&self) -> &Keys;

    /// Returns the clock.
    fn clock(&self) -> &dyn Clock;

    /// Returns the known paths, with parameters in braces. A caller of an unknown path gets the nearest one as a suggestion.
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
/// Without a state, every request is answered with the reason.
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

/// The caller of a request. `None` when neither a key nor a JWT shows one, an error when the keys cannot be read.
type Authorized = Result<Option<Caller>, Problem>;

/// Returns the state to serve `request` with, and its caller.
async fn admit<A: Api + State>(live: &Live<A>, request: &Request) -> Result<(Arc<A>, Authorized), Problem> {
    let app = live.current().await;
    let app = app.map_err(|error| Problem::not_configured(&error))?;
    let caller = authorize(&*app, request).await;
    if matches!(caller, Ok(None))
        && !is_open::<A>(request)
        && request.headers().contains_key(AUTHORIZATION)
        && let Some(newer) = live.instead_of(&app).await
    {
        let caller = authorize(&*newer, request).await;
        return Ok((newer, caller));
    }
    Ok((app, caller))
}

/// Who sent a request, as its head shows before its body comes.
#[derive(Debug)]
pub struct Admission(Authorized);

impl Admission {
    /// Finds out who sent `request`.
    pub async fn of<A: Api>(app: &A, request: &Request) -> Self {
        Self(authorize(app, request).await)
    }

    /// Whether the answer needs the body. Strangers are refused without it, and open routes do not read it.
    #[must_use]
    pub const fn needs_body(&self) -> bool {
        matches!(self.0, Ok(Some(_)))
    }
}

/// Answers one request of the sender that `admission` has found. A second look-up of an unknown key would wait for the table.
pub async fn serve<A: Api>(app: &A, request: &Request, admission: Admission) -> Response<String> {
    answer(app, request, admission.0).await
}

/// Returns the caller of `request`. Skips the look-up for an open route, which needs no caller.
async fn authorize<A: Api>(app: &A, request: &Request) -> Authorized {
    if is_open::<A>(request) {
        return Ok(None);
    }
    app.keys().caller(request).await
}

fn is_open<A: Api>(request: &Request) -> bool {
    routes::find(A::ROUTES, request).is_some_and(|(route, _)| route.access == Access::Open)
}

async fn answer<A: Api>(app: &A, request: &Request, caller: Authorized) -> Response<String> {
    let started = app.clock().now_millis();
    let known = caller.as_ref().ok().and_then(Option::as_ref);
    let key = known.map(|caller| caller.name().to_owned());
    let noting = known.and_then(|caller| app.keys().note_use(caller));
    let response = route(app, request, caller, started).await;
    let response = response.unwrap_or_else(|problem| {
        let told = if key.is_some() { problem } else { problem.public() };
        told.into_response()
    });
    if let Some(noting) = noting {
        noting.ends_within(NOTE_BUDGET).await;
    }
    let millis = app.clock().now_millis() - started;
    // A path may hold ids and codes, so its pattern is logged instead. An unknown path may hold anything, so a stranger's is
    // not logged.
    let unknown = || {
        key.is_some()
            .then(|| routes::redacted(&app.known_paths(), request.path()))
    };
    let path = routes::pattern(A::ROUTES, request.path())
        .map(str::to_owned)
        .or_else(unknown);
    tracing::info!(
        method = %request.method(), path, key, status = response.status().as_u16(), millis, "request answered"
    );
    response
}

async fn route<A: Api>(app: &A, request: &Request, caller: Authorized, now: i64) -> Result<Response<String>, Problem> {
    let found = routes::find(A::ROUTES, request);
    let access = found.as_ref().map(|(route, _)| route.access);
    let caller = match access {
        Some(Access::Open) => Caller::anyone(),
        _ => caller?.ok_or_else(|| Problem::unauthorized(!app.keys().api_keys().is_empty()))?,
    };
    let (route, parameters) = found.ok_or_else(|| routes::unserved(A::ROUTES, &app.known_paths(), request))?;
    if let Access::Scopes(needed) = route.access
        && !needed.iter().any(|scope| caller.grants().has(*scope))
    {
        return Err(Problem::missing_scope(needed));
    }
    routes::refuse_unknown_query(route, request)?;
    if let Some(problem) = app.unavailable(route.path) {
        return Err(problem);
    }
    let request = ApiRequest::new(request, caller, request.deadline(now), parameters);
    (route.handler)(app, &request).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use testing::ManualClock;
    use wechat::{api::Rejection, secret::Secret};

    use super::*;
    use crate::{ApiRequest, KeyStore, Operation, StoreFuture, route};

    /// A function whose routes fail, and whose keys cannot be read.
    #[derive(Debug)]
    struct Broken {
        keys: Keys,
        clock: Arc<ManualClock>,
    }

    impl Api for Broken {
        const ROUTES: &'static [&'static [Route<Self>]] = &[&[
            route!(open, GET "/open" => fail, Operation::NEW),
            route!(Menu, GET "/api/menu" => fail, Operation::NEW),
        ]];

        fn keys(&self) -> &Keys {
            &self.keys
        }

        fn clock(&self) -> &dyn Clock {
            &*self.clock
        }
    }

    async fn fail(_: &Broken, _: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
        Err(refusal())
    }

    fn refusal() -> Problem {
        let errmsg = "invalid ip 198.51.100.7, not in whitelist rid: 1-2-3";
        Problem::from_rejection(&Rejection::at_token_endpoint(40164, errmsg), 0)
    }

    #[derive(Debug)]
    struct Unreadable;

    impl KeyStore for Unreadable {
        fn keys(&self) -> StoreFuture<'_, Vec<wechat::api_key::ApiKey>> {
            Box::pin(async { Err(refusal()) })
        }

        fn note_use<'a>(&'a self, _: &'a str, _: &'a str) -> StoreFuture<'a, ()> {
            Box::pin(async { Ok(()) })
        }
    }

    #[tokio::test]
    async fn a_stranger_is_told_no_address_and_no_name() {
        let clock = ManualClock::new();
        let keys = Keys::new(vec![Secret::new("root key")], Unreadable, clock.clone());
        let app = Broken { keys, clock };
        for (path, key, is_told) in [
            ("/open", "root key", false),
            ("/api/menu", "wk_made-up", false),
            ("/api/menu", "root key", true),
        ] {
            let event = json!({
                "rawPath": path, "headers": {"authorization": format!("Bearer {key}")},
                "requestContext": {"http": {"method": "GET"}},
            });
            let request = serde_json::from_str(&event.to_string()).unwrap();
            let answer = serve(&app, &request, Admission::of(&app, &request).await).await;
            assert_eq!(answer.status(), 503, "{path}");
            let body = answer.into_body();
            assert_eq!(body.contains("198.51.100.7"), is_told, "{path}: {body}");
            assert!(body.contains("40164") && body.contains("IP"), "what to do: {body}");
            assert!(is_told || !body.contains("rid"), "{body}");
        }
    }
}
