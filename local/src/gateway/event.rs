//! Builds the API Gateway event of a request (HTTP API, payload format 2.0).
//!
//! See [AWS Docs/Payload format version](https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html).

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use axum::extract::ConnectInfo;
use http::{HeaderMap, header, request::Parts};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use wechat::clock::{Clock as _, SystemClock};

/// The request as the functions get it, without its body.
///
/// # Errors
/// [`serde_json::Error`] when the functions cannot read the event.
pub(super) fn head(parts: &Parts) -> serde_json::Result<http_api::Request> {
    serde_json::from_str(&event(parts).to_string())
}

fn event(parts: &Parts) -> Value {
    let path = &decoded(parts.uri.path());
    let source = source(parts);
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": parts.uri.query().unwrap_or_default(),
        "headers": joined(&parts.headers, source),
        "cookies": cookies(&parts.headers),
        "requestContext": {
            "accountId": "local",
            "apiId": "local",
            "domainName": "127.0.0.1",
            "domainPrefix": "127",
            "http": {
                "method": parts.method.as_str(),
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": source.to_string(),
                "userAgent": parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default(),
            },
            "requestId": "local",
            "routeKey": "$default",
            "stage": "$default",
            "time": "",
            "timeEpoch": SystemClock.now_millis(),
        },
        "isBase64Encoded": false,
    })
}

/// The path as API Gateway passes it on: percent-decoded.
fn decoded(path: &str) -> Cow<'_, str> {
    percent_decode_str(path).decode_utf8().unwrap_or(Cow::Borrowed(path))
}

/// The cookies, which API Gateway takes out of the headers.
fn cookies(headers: &HeaderMap) -> Vec<String> {
    let headers = headers.get_all(header::COOKIE).iter();
    let texts = headers.filter_map(|cookies| cookies.to_str().ok());
    texts
        .flat_map(|cookies| cookies.split(';'))
        .map(|cookie| cookie.trim().to_owned())
        .collect()
}

/// The address of the peer, which may be a reverse proxy. Headers such as `X-Forwarded-For` are not trusted: anyone can send
/// them.
fn source(parts: &Parts) -> IpAddr {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map_or(Ipv4Addr::LOCALHOST.into(), |ConnectInfo(peer)| peer.ip().to_canonical())
}

/// The headers as API Gateway passes them on: lower-case names, repeated values joined by commas.
fn joined(headers: &HeaderMap, source: IpAddr) -> Map<String, Value> {
    let mut joined = Map::new();
    for name in headers.keys() {
        let values: Vec<_> = headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        joined.insert(name.as_str().to_owned(), values.join(",").into());
    }
    joined.retain(|name, _| name != "forwarded" && name != "cookie" && !name.starts_with("x-forwarded-"));
    // API Gateway sets these itself. A client's value could form an invalid URL.
    joined.insert("host".to_owned(), "127.0.0.1".into());
    joined.insert("x-forwarded-for".to_owned(), source.to_string().into());
    joined.insert("x-forwarded-proto".to_owned(), "http".into());
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_function_sees_what_was_sent() {
        let request = http::Request::post("/webhook?a=1&a=2&b=%E4%BD%A0").body(()).unwrap();
        let head = head(&request.into_parts().0).unwrap();
        assert_eq!(head.path(), "/webhook");
        let query: Vec<(String, String)> = head.query().into_owned().collect();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(query, [pair("a", "1"), pair("a", "2"), pair("b", "你")]);
    }

    #[test]
    fn the_function_sees_who_is_connected_and_no_claim() {
        let mut request = http::Request::get("/api/menu")
            .header("forwarded", "for=198.51.100.7;host=evil.example")
            .header("x-forwarded-for", "198.51.100.7")
            .header("x-forwarded-host", "evil.example")
            .header("x-forwarded-proto", "https")
            .body(())
            .unwrap();
        let peer: SocketAddr = "192.0.2.1:4711".parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(peer));
        let event = event(&request.into_parts().0);
        assert_eq!(event["requestContext"]["http"]["sourceIp"], "192.0.2.1");
        assert_eq!(
            event["headers"],
            json!({"host": "127.0.0.1", "x-forwarded-for": "192.0.2.1", "x-forwarded-proto": "http"})
        );
    }
}
