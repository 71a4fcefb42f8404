//! HTTP answers. Each has its content type, and `nosniff` keeps browsers from guessing another one.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, Response, StatusCode, header, response::Parts};
use serde::{Serialize, Serializer};

/// Bytes. A longer text is encoded in base64: JSON would write some of its characters with six bytes.
const TEXT_LIMIT: usize = 512 * 1024;

/// Creates a JSON answer.
#[must_use]
pub fn json(status: u16, body: &impl Serialize) -> Response<String> {
    respond(status, "application/json", wechat::json::write(body))
}

/// Creates an answer with a body of the given type.
#[must_use]
pub fn respond(status: u16, content_type: &'static str, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    // A browser must never render an answer as a page.
    let no_sniff = header::HeaderValue::from_static("nosniff");
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, no_sniff);
    response
}

/// Creates an answer of CSV with a header (RFC 4180). `next` is the address of the next page.
/// See [RFC 4180](https://www.rfc-editor.org/rfc/rfc4180).
#[must_use]
pub fn csv(rows: String, next: Option<&str>) -> Response<String> {
    let mut response = respond(200, "text/csv; charset=utf-8; header=present", rows);
    let link = next.map(|next| header::HeaderValue::from_str(&format!("<{next}>; rel=\"next\"")));
    if let Some(Ok(link)) = link {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

/// Writes a cell of CSV, in quotes where it needs them.
#[must_use]
pub fn csv_cell(text: &str) -> Cow<'_, str> {
    if text.contains(['"', ',', '\r', '\n']) || text.starts_with(' ') || text.ends_with(' ') {
        format!("\"{}\"", text.replace('"', "\"\"")).into()
    } else {
        text.into()
    }
}

/// Creates an answer without a body.
#[must_use]
pub fn empty(status: StatusCode) -> Response<String> {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

/// A function's response to API Gateway (payload 2.0).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayResponse {
    status_code: u16,
    #[serde(serialize_with = "write_headers")]
    headers: HeaderMap,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cookies: Vec<String>,
    body: String,
    is_base64_encoded: bool,
}

impl GatewayResponse {
    fn new(mut parts: Parts, body: String, is_base64_encoded: bool) -> Self {
        let cookies = parts.headers.remove(header::SET_COOKIE);
        let cookies = cookies
            .iter()
            .filter_map(|cookie| Some(cookie.to_str().ok()?.to_owned()));
        Self {
            status_code: parts.status.as_u16(),
            headers: parts.headers,
            cookies: cookies.collect(),
            body,
            is_base64_encoded,
        }
    }
}

impl From<Response<String>> for GatewayResponse {
    fn from(response: Response<String>) -> Self {
        let (parts, body) = response.into_parts();
        Self::new(parts, body, false)
    }
}

impl From<Response<Vec<u8>>> for GatewayResponse {
    fn from(response: Response<Vec<u8>>) -> Self {
        let (parts, body) = response.into_parts();
        match String::from_utf8(body) {
            Ok(text) if text.len() <= TEXT_LIMIT => Self::new(parts, text, false),
            Ok(text) => Self::new(parts, STANDARD.encode(text), true),
            Err(error) => Self::new(parts, STANDARD.encode(error.as_bytes()), true),
        }
    }
}

/// Writes one value for each name, because no answer sets a header twice. A value that is not UTF-8 is left out: JSON cannot hold it.
fn write_headers<S: Serializer>(headers: &HeaderMap, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(
        headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), str::from_utf8(value.as_bytes()).ok()?))),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_is_what_api_gateway_takes() {
        let response = Response::builder().status(405).header("allow", "GET, POST");
        let answer = serde_json::to_value(GatewayResponse::from(response.body("no".to_owned()).unwrap())).unwrap();
        assert_eq!(answer["statusCode"], 405);
        assert_eq!(answer["headers"], json!({"allow": "GET, POST"}));
        assert_eq!(answer["body"], "no");
        assert_eq!(answer["isBase64Encoded"], false);
        assert_eq!(answer.get("cookies"), None);
        let response = Response::builder()
            .header("set-cookie", "a=1; Secure")
            .body(String::new())
            .unwrap();
        let answer = serde_json::to_value(GatewayResponse::from(response)).unwrap();
        assert_eq!(
            (&answer["cookies"], &answer["headers"]),
            (&json!(["a=1; Secure"]), &json!({}))
        );
    }

    #[test]
    fn bytes_that_are_not_text_travel_in_base64() {
        let answer = |body: &[u8]| {
            let response = GatewayResponse::from(Response::new(body.to_vec()));
            let answer = serde_json::to_value(response).unwrap();
            (
                answer["body"].as_str().unwrap().to_owned(),
                answer["isBase64Encoded"].clone(),
            )
        };
        assert_eq!(answer("你".as_bytes()), ("你".to_owned(), json!(false)));
        assert_eq!(answer(&[0xff, 0]), ("/wA=".to_owned(), json!(true)));
        let (long, is_encoded) = answer(&[1; TEXT_LIMIT + 1]);
        assert!(long.starts_with("AQEB") && is_encoded == json!(true));
    }
}
