//! Who may drive a local run from a browser: pages that this machine serves itself, and no others.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};

/// Whether the `Host` is this machine's own: a name elsewhere that resolves to 127.0.0.1 is not.
pub(crate) fn names_loopback(headers: &HeaderMap) -> bool {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    simulator::is_loopback(host)
}

/// The answer to a CORS preflight, which API Gateway gives in AWS.
pub(crate) fn preflight(parts: &Parts) -> Option<Response> {
    if parts.method != Method::OPTIONS || !parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
        return None;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    allow_origin(&parts.headers, response.headers_mut());
    if response.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET,POST,PUT,DELETE"),
            (
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                "authorization,content-type,idempotency-key,if-match",
            ),
            (header::ACCESS_CONTROL_MAX_AGE, "300"),
        ] {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
    }
    Some(response)
}

/// Lets a page of this machine read the answer.
pub(crate) fn allow_origin(request: &HeaderMap, response: &mut HeaderMap) {
    let Some(origin) = request.get(header::ORIGIN) else {
        return;
    };
    response.insert(header::VARY, HeaderValue::from_static("origin"));
    let host = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"))
        .map(|(_, host)| host);
    if host.is_some_and(simulator::is_loopback) {
        response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        let exposed = HeaderValue::from_static("etag,retry-after");
        response.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn only_the_machines_own_names_are_served() {
        for host in ["127.0.0.1:8000", "localhost", "[::1]:8000", "[::1]"] {
            assert!(names_loopback(&headers(header::HOST, host)), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example:8000",
            "localhost.evil.example",
            "",
        ] {
            assert!(!names_loopback(&headers(header::HOST, host)), "{host}");
        }
    }

    #[test]
    fn only_pages_of_this_machine_may_read_answers() {
        let allowed = |origin| {
            let mut response = HeaderMap::new();
            allow_origin(&headers(header::ORIGIN, origin), &mut response);
            response.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).cloned()
        };
        assert_eq!(allowed("http://localhost:5173").unwrap(), "http://localhost:5173");
        assert_eq!(allowed("https://evil.example"), None);
        assert_eq!(allowed("null"), None);
    }
}
