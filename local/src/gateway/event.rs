//! Builds the API Gateway event of a request (HTTP API, payload format 2.0).
//!
//! See [AWS Docs/Payload format version](https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html).

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{SystemTime, UNIX_EPOCH},
};

use axum::extract::ConnectInfo;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, header, request::Parts};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

/// The event as JSON.
pub(super) fn json(parts: &Parts, body: &[u8]) -> String {
    event(parts, body).to_string()
}

fn event(parts: &Parts, body: &[u8]) -> Value {
    let path = &decoded(parts.uri.path());
    let source = source(parts);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut event = json!({
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
            "timeEpoch": u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        },
        "isBase64Encoded": false,
    });
    if !body.is_empty() {
        match std::str::from_utf8(body) {
            Ok(text) if is_text(&parts.headers) => event["body"] = text.into(),
            _ => {
                event["body"] = STANDARD.encode(body).into();
                event["isBase64Encoded"] = true.into();
            }
        }
    }
    event
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

/// Whether a body is passed on as text. API Gateway decides by the content type and encodes all others in base64.
fn is_text(headers: &HeaderMap) -> bool {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let content_type = content_type.split(';').next().unwrap_or_default().trim();
    content_type.starts_with("text/")
        || ["application/json", "application/xml"].contains(&content_type)
        || content_type.ends_with("+json")
        || content_type.ends_with("+xml")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(content_type: &str, body: &[u8]) -> http_api::Request {
        let request = http::Request::post("/webhook?a=1&a=2&b=%E4%BD%A0")
            .header("content-type", content_type)
            .body(())
            .unwrap();
        let event = super::json(&request.into_parts().0, body);
        serde_json::from_str(&event).unwrap()
    }

    #[test]
    fn the_function_sees_what_was_sent() {
        for (content_type, body) in [
            ("text/xml", "<xml>你</xml>".as_bytes()),
            ("application/octet-stream", b"<xml></xml>"),
            ("text/xml", b"\xff\xfe"),
        ] {
            let request = request(content_type, body);
            assert_eq!(request.body(), body);
            assert_eq!(request.path(), "/webhook");
            let query: Vec<(String, String)> = request.query().into_owned().collect();
            let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
            assert_eq!(query, [pair("a", "1"), pair("a", "2"), pair("b", "你")]);
        }
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
        let event = event(&request.into_parts().0, b"");
        assert_eq!(event["requestContext"]["http"]["sourceIp"], "192.0.2.1");
        assert_eq!(
            event["headers"],
            json!({"host": "127.0.0.1", "x-forwarded-for": "192.0.2.1", "x-forwarded-proto": "http"})
        );
    }
}
