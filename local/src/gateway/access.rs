//! Browser access to a local run: only pages that this machine serves may call it.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use simulator::is_loopback;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::console::Console;

/// Whether the `Host` names loopback. A foreign name that resolves to 127.0.0.1 (DNS rebinding) does not.
pub(crate) fn names_loopback(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.is_some_and(is_loopback)
}

/// Refuses requests to a simulated run whose `Host` does not name loopback.
pub(super) async fn loopback_only(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    if console.is_simulated() && !names_loopback(request.headers()) {
        let detail = "this simulated run serves 127.0.0.1 and localhost only";
        return (StatusCode::FORBIDDEN, detail).into_response();
    }
    next.run(request).await
}

/// CORS with the settings of API Gateway in AWS, for pages of this machine.
pub(super) fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(|origin, _| is_page_of_this_machine(origin)))
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::HeaderName::from_static("idempotency-key"),
            header::IF_MATCH,
        ])
        .expose_headers([
            header::ETAG,
            header::RETRY_AFTER,
            header::HeaderName::from_static("idempotent-replayed"),
        ])
        .max_age(Duration::from_secs(300))
}

fn is_page_of_this_machine(origin: &HeaderValue) -> bool {
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(_, host)| is_loopback(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_served(host: &'static str) -> bool {
        names_loopback(&HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]))
    }

    #[test]
    fn only_the_machines_own_names_are_served() {
        for host in ["127.0.0.1:8000", "localhost", "[::1]:8000", "[::1]"] {
            assert!(is_served(host), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example:8000",
            "localhost.evil.example",
            "",
        ] {
            assert!(!is_served(host), "{host}");
        }
    }

    #[test]
    fn only_pages_of_this_machine_may_read_answers() {
        let may_read = |origin| is_page_of_this_machine(&HeaderValue::from_static(origin));
        assert!(may_read("http://localhost:5173"));
        assert!(!may_read("https://evil.example"));
        assert!(!may_read("null"));
    }
}
