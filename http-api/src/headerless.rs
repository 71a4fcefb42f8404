//! Requests without their headers, for a function whose callers prove themselves in the query: `webhook`. Of the event that
//! a callback comes in it needs method, query, body and the source's address; to read the rest would cost more than to answer (BENCHMARKS.md).

use std::{collections::BTreeMap, convert::Infallible, net::IpAddr};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, Method, Response};
use lambda_http::{LambdaEvent, lambda_runtime, service_fn};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::value::RawValue;
use url::form_urlencoded;

/// A request of API Gateway's HTTP API (payload 2.0) without its headers.
#[derive(Debug)]
pub struct HeaderlessRequest {
    method: Method,
    raw_query: String,
    body: Vec<u8>,
    source_ip: Option<String>,
}

impl HeaderlessRequest {
    /// Its method.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// The URL-decoded pairs of its query, in their order and each as often as it occurs.
    #[must_use]
    pub fn query(&self) -> form_urlencoded::Parse<'_> {
        form_urlencoded::parse(self.raw_query.as_bytes())
    }

    /// Its body, decoded. Empty when it has none, or one that is not the base64 that it is said to be.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The address that it came from, as the gateway saw it.
    #[must_use]
    pub fn source_ip(&self) -> Option<IpAddr> {
        self.source_ip.as_deref()?.parse().ok()
    }
}

/// Runs a function as [`crate::run`] does, with requests that have no headers.
///
/// # Errors
/// When Lambda's Runtime API cannot be used.
pub async fn run<H, F>(handler: H) -> Result<(), lambda_http::Error>
where
    H: Fn(HeaderlessRequest) -> F,
    F: Future<Output = Response<String>> + Send,
{
    // On the heap, or the compiler's limit on nested types is met by whoever awaits this.
    Box::pin(lambda_runtime::run(service_fn(
        |event: LambdaEvent<HeaderlessRequest>| {
            let response = handler(event.payload);
            async { Ok::<_, Infallible>(Answer::from(response.await)) }
        },
    )))
    .await
}

/// A response in the form that API Gateway takes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status_code: u16,
    #[serde(serialize_with = "write_headers")]
    headers: HeaderMap,
    body: String,
    is_base64_encoded: bool,
}

impl From<Response<String>> for Answer {
    fn from(response: Response<String>) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            status_code: parts.status.as_u16(),
            headers: parts.headers,
            body,
            is_base64_encoded: false,
        }
    }
}

/// One value of each name: none is set twice here.
fn write_headers<S: Serializer>(headers: &HeaderMap, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(
        headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))),
    )
}

/// What is read of the event.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    raw_query_string: Option<String>,
    /// Read of events without a raw query only: no gateway makes one.
    query_string_parameters: Option<Box<RawValue>>,
    request_context: RequestContext,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
}

#[derive(Deserialize)]
struct RequestContext {
    http: Http,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Http {
    method: String,
    source_ip: Option<String>,
}

impl<'de> Deserialize<'de> for HeaderlessRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let event = Event::deserialize(deserializer).ok();
        // The runtime logs this error: one that quotes the event could tell whom it is from, and what they wrote.
        event
            .and_then(Self::from_event)
            .ok_or_else(|| D::Error::custom("not an event of API Gateway's HTTP API (payload 2.0)"))
    }
}

impl HeaderlessRequest {
    /// Nothing when its method is none that HTTP allows.
    fn from_event(event: Event) -> Option<Self> {
        let body = event.body.unwrap_or_default();
        let Http { method, source_ip } = event.request_context.http;
        Some(Self {
            method: method.parse().ok()?,
            source_ip,
            raw_query: event
                .raw_query_string
                .filter(|query| !query.is_empty())
                .or_else(|| event.query_string_parameters.as_deref().and_then(written))
                .unwrap_or_default(),
            body: if event.is_base64_encoded.unwrap_or_default() {
                STANDARD.decode(body).unwrap_or_default()
            } else {
                body.into_bytes()
            },
        })
    }
}

/// `parameters` as a query, when they are texts: commas stand between the values of one name.
fn written(parameters: &RawValue) -> Option<String> {
    let parameters: BTreeMap<String, String> = serde_json::from_str(parameters.get()).ok()?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, values) in &parameters {
        query.extend_pairs(values.split(',').map(|value| (name, value)));
    }
    Some(query.finish())
}

#[cfg(test)]
mod tests {
    use lambda_http::RequestExt;
    use serde_json::{Value, json};

    use super::*;

    fn event() -> Value {
        json!({
            "version": "2.0",
            "rawPath": "/webhook",
            "rawQueryString": "nonce=1&echostr=a%2Bb+c&nonce=2",
            "queryStringParameters": {"nonce": "1,2", "echostr": "a+b c"},
            "headers": {"content-type": "text/xml"},
            "requestContext": {"http": {"method": "POST", "path": "/webhook"}, "stage": "$default"},
            "body": "<xml>你</xml>",
            "isBase64Encoded": false,
        })
    }

    fn read(event: &Value) -> Result<HeaderlessRequest, serde_json::Error> {
        serde_json::from_str(&event.to_string())
    }

    fn query(request: &HeaderlessRequest) -> Vec<(String, String)> {
        request.query().into_owned().collect()
    }

    /// `event` with `value` at the JSON pointer `place`.
    fn changed(place: &str, value: Value) -> Value {
        let mut event = event();
        *event.pointer_mut(place).unwrap() = value;
        event
    }

    #[test]
    fn it_is_the_request_that_lambda_http_reads() {
        for event in [
            event(),
            changed("/rawQueryString", Value::Null),
            changed("/rawQueryString", json!("")),
            changed("/rawQueryString", json!("%E4%BD%A0=%E5%A5%BD&&x&=y&%zz=%ff")),
            changed("/body", Value::Null),
            changed("/requestContext/http/method", json!("GET")),
        ] {
            let ours = read(&event).unwrap();
            let theirs = crate::request(serde_json::from_value(event.clone()).unwrap());
            assert_eq!(ours.method(), theirs.method(), "{event}");
            assert_eq!(ours.body(), theirs.body().as_ref(), "{event}");
            let parameters = theirs.query_string_parameters();
            for (name, value) in query(&ours) {
                assert!(parameters.all(&name).unwrap().contains(&value.as_str()), "{event}");
            }
            assert_eq!(query(&ours).len(), parameters.iter().count(), "{event}");
        }
    }

    #[test]
    fn a_body_is_decoded_where_it_is_base64() {
        let encoded = |body: &str| {
            let mut event = changed("/isBase64Encoded", json!(true));
            event["body"] = json!(body);
            read(&event).unwrap().body().to_vec()
        };
        assert_eq!(encoded("/////w=="), [0xff; 4]);
        assert_eq!(encoded("<xml>"), b"", "not base64");
    }

    #[test]
    fn the_source_is_the_address_that_the_gateway_saw() {
        let source = |source: Value| {
            let http = json!({"method": "POST", "sourceIp": source});
            read(&changed("/requestContext/http", http)).unwrap().source_ip()
        };
        assert_eq!(source(json!("203.0.113.20")), Some([203, 0, 113, 20].into()));
        assert_eq!(source(json!("2001:db8::1")), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(source(json!("somewhere")), None);
        assert_eq!(source(Value::Null), None);
        assert_eq!(read(&event()).unwrap().source_ip(), None);
    }

    #[test]
    fn a_name_that_occurs_twice_is_seen_twice() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            query(&read(&event()).unwrap()),
            [pair("nonce", "1"), pair("echostr", "a+b c"), pair("nonce", "2")]
        );
    }

    #[test]
    fn what_is_no_event_of_the_http_api_is_refused() {
        let rest_api =
            json!({"httpMethod": "POST", "path": "/webhook", "headers": {}, "body": "", "requestContext": {}});
        for event in [
            rest_api,
            json!({}),
            json!([]),
            changed("/requestContext/http/method", json!("")),
            changed("/requestContext/http/method", json!("G T")),
            changed("/requestContext", json!("<FromUserName>oUser</FromUserName>")),
        ] {
            let error = read(&event).unwrap_err().to_string();
            assert!(error.starts_with("not an event of API Gateway"), "{error}");
        }
    }

    #[test]
    fn an_answer_is_what_api_gateway_takes() {
        let response = Response::builder().status(405).header("allow", "GET, POST");
        let answer = serde_json::to_value(Answer::from(response.body("no".to_owned()).unwrap())).unwrap();
        assert_eq!(answer["statusCode"], 405);
        assert_eq!(answer["headers"], json!({"allow": "GET, POST"}));
        assert_eq!(answer["body"], "no");
        assert_eq!(answer["isBase64Encoded"], false);
    }
}
