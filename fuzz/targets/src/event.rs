//! Events from API Gateway, or from anyone else who may invoke the function.

use std::sync::Arc;

use http::Response;
use http_api::{
    Admission, Api, ApiRequest, KeyStore, Keys, Operation, Problem, Request, Route, StoreFuture, response, route,
};
use wechat::{
    api_key::ApiKey,
    callback::CallbackQuery,
    clock::{Clock, SystemClock},
    secret::Secret,
};

/// Serves an event, given as JSON.
///
/// Every event is answered with an HTTP status, and only a key or the gateway's JWT authorizer lets a caller in.
pub fn gateway_event(json: &[u8]) {
    let Ok(request) = serde_json::from_slice::<Request>(json) else {
        return;
    };
    // The webhook reads the query before it verifies anything.
    let _ = CallbackQuery::from_pairs(request.query());
    let api_keys = vec![Secret::new("kept from the fuzzer")];
    let echo = Echo {
        keys: Keys::new(api_keys, NoKeys, Arc::new(SystemClock)),
    };
    let admission = now_or_never(Admission::of(&echo, &request));
    let response = now_or_never(http_api::serve(&echo, &request, admission));
    let status = response.status().as_u16();
    assert!([200, 400, 401, 404, 405, 413].contains(&status), "{response:?}");
    assert!(status == 401 || request.jwt().is_some(), "nobody has the key");
}

/// Polls a future once: it is ready, because nothing here does I/O.
fn now_or_never<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => unreachable!("nothing waits"),
    }
}

/// A function that answers with the body of the request.
#[derive(Debug)]
struct Echo {
    keys: Keys,
}

/// A table without keys.
#[derive(Debug)]
struct NoKeys;

impl KeyStore for NoKeys {
    fn keys(&self) -> StoreFuture<'_, Vec<ApiKey>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn note_use<'a>(&'a self, _: &'a str, _: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}

impl Api for Echo {
    const ROUTES: &'static [&'static [Route<Self>]] = &[&[
        route!(Menu, GET "/api/menu" => echo, Operation::NEW),
        route!(Menu, POST "/api/menu/{menuid}" => echo, Operation::NEW),
    ]];

    fn keys(&self) -> &Keys {
        &self.keys
    }

    fn clock(&self) -> &dyn Clock {
        &SystemClock
    }
}

async fn echo(_: &Echo, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let _ = request.parameter("menuid");
    Ok(response::json(200, &request.json()?))
}
