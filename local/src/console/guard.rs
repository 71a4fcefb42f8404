//! Restricts the console to people at this machine.
//!
//! WeChat reaches a real account's gateway through a tunnel or a reverse proxy, and both connect from this machine. So a
//! peer on loopback is not enough:
//!
//! 1. The `Host` must name loopback. A proxy passes on the public name, and a DNS-rebinding page sends its own.
//! 2. With a real account, no proxy header may be present. This catches proxies that rewrite the `Host`.
//! 3. Plain TCP forwarding (`ssh -R`) can pass both checks. Therefore all data needs one of `API_KEYS`, in simulated runs
//!    too; only the pages, the same for everyone, need none.
//!
//! A page of another origin cannot send a key: CORS never allows it. Requests that change something must also come from
//! this origin.

use std::{net::SocketAddr, sync::Arc};

use ::console::{OPENER_POLICY, local::CONTENT_SECURITY_POLICY};
use axum::{
    extract::{ConnectInfo, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_api::{Problem, access::api_key};

use super::Console;
use crate::gateway::{METRICS, access};

/// Headers that proxies and tunnels add. A name that ends in `-` is a prefix.
const PROXY_HEADERS: [&str; 7] = [
    "forwarded",
    "via",
    "x-forwarded-",
    "x-real-ip",
    "cf-",
    "true-client-ip",
    "x-original-",
];

/// Refuses requests that do not come from a browser on this machine.
pub(super) async fn this_machine_only(
    State(console): State<Arc<Console>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let is_local = peer.ip().to_canonical().is_loopback() && access::names_loopback(headers);
    let is_direct = console.is_simulated() || !was_forwarded(headers);
    if is_local && is_direct && is_same_origin(request.method(), headers) {
        return next.run(request).await;
    }
    let refused = if request.uri().path() == METRICS {
        "from elsewhere send one of API_KEYS, as Authorization: Bearer KEY / 从别处访问须携带 API_KEYS 之一：Authorization: Bearer KEY"
    } else {
        "this page is for this machine only, at 127.0.0.1 or localhost and through no proxy / 此页面仅限本机直接访问"
    };
    (StatusCode::FORBIDDEN, refused).into_response()
}

/// Refuses requests that do not come from this machine and have no API key. Prometheus may be in another container.
pub(crate) async fn this_machine_or_api_key(
    console: State<Arc<Console>>,
    peer: ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    if api_key(request.headers(), &console.api_keys).is_some() {
        next.run(request).await
    } else {
        this_machine_only(console, peer, request, next).await
    }
}

/// Refuses callers without an API key.
pub(super) async fn needs_api_key(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    if api_key(request.headers(), &console.api_keys).is_some() {
        next.run(request).await
    } else {
        Problem::unauthorized(!console.api_keys.is_empty())
            .into_response()
            .into_response()
    }
}

/// Adds the security headers to every answer of the console.
pub(super) async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static(OPENER_POLICY), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn was_forwarded(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| {
        PROXY_HEADERS.iter().any(|proxy| match proxy.strip_suffix('-') {
            Some(_) => name.as_str().starts_with(proxy),
            None => name == proxy,
        })
    })
}

/// Whether a request that changes something comes from this origin. Reads always pass: no other origin may see the answer.
fn is_same_origin(method: &Method, headers: &HeaderMap) -> bool {
    if method == Method::GET || method == Method::HEAD {
        return true;
    }
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    match headers.get(header::ORIGIN) {
        None => true,
        Some(_) => {
            let origin = text(header::ORIGIN).and_then(|origin| origin.strip_prefix("http://"));
            origin.is_some() && origin == text(header::HOST)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn proxies_and_tunnels_are_known_by_what_they_add() {
        for name in [
            "forwarded",
            "via",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-real-ip",
            "cf-connecting-ip",
            "cf-ray",
        ] {
            assert!(
                was_forwarded(&headers(&[("host", "127.0.0.1:8000"), (name, "1")])),
                "{name}"
            );
        }
        assert!(!was_forwarded(&headers(&[
            ("host", "127.0.0.1:8000"),
            ("origin", "http://127.0.0.1:8000"),
            ("accept", "*/*")
        ])));
    }

    #[test]
    fn only_this_origin_may_change_something() {
        let may = |origin| {
            is_same_origin(
                &Method::POST,
                &headers(&[("host", "127.0.0.1:8000"), ("origin", origin)]),
            )
        };
        assert!(may("http://127.0.0.1:8000"));
        for origin in [
            "http://localhost:5173",
            "https://127.0.0.1:8000",
            "http://evil.example",
            "null",
        ] {
            assert!(!may(origin), "{origin}");
        }
        assert!(is_same_origin(&Method::POST, &HeaderMap::new()), "curl sends none");
    }
}
