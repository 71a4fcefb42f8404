//! A request of API Gateway's HTTP API (payload 2.0), parsed leniently and lazily. The laziness saves microseconds.
//!
//! Headers and the authorizer's claims are parsed on first use: the webhook uses neither, and parsing them would cost it more
//! time than its answer.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::OnceLock,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::{Value, value::RawValue};
use url::form_urlencoded;
use wechat::clock::Deadline;

/// How long a request may take, a cold start included. API Gateway waits for 30 s, and a client that gave up before the answer
/// would not learn whether its message was sent.
const ANSWER_WITHIN: Duration = Duration::from_secs(25);
/// Milliseconds. The gateway gives up on older requests, so an older time comes from clock skew or a sample event.
const GATEWAY_TIMEOUT: i64 = 30_000;

/// The claims of an accepted JWT. A missing claim is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwt {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// `scope` or `scp`: issuers use either name.
    pub scopes: Vec<String>,
}

/// A request of API Gateway's HTTP API (payload 2.0).
#[derive(Debug)]
pub struct Request {
    method: Method,
    path: String,
    raw_query: String,
    raw_headers: Option<Box<RawValue>>,
    headers: OnceLock<HeaderMap>,
    raw_cookies: Option<Box<RawValue>>,
    body: Bytes,
    source_ip: Option<String>,
    /// When the gateway received the request, in epoch milliseconds.
    time_epoch: Option<i64>,
    raw_authorizer: Option<Box<RawValue>>,
    /// When the invocation ends, in epoch milliseconds.
    invocation_ends: Option<u64>,
}

impl Request {
    /// Returns the HTTP method.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// Returns the path, as the gateway sends it.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the query, as the gateway sends it.
    #[must_use]
    pub fn raw_query(&self) -> &str {
        &self.raw_query
    }

    /// Returns the URL-decoded pairs of the query, in order, with duplicates.
    #[must_use]
    pub fn query(&self) -> form_urlencoded::Parse<'_> {
        form_urlencoded::parse(self.raw_query.as_bytes())
    }

    /// Returns the first value of a query parameter.
    #[must_use]
    pub fn query_value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.query().find(|(found, _)| found == name).map(|(_, value)| value)
    }

    /// Returns the valid headers. The gateway joins repeated ones by commas.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.headers.get_or_init(|| {
            let raw = self.raw_headers.as_deref();
            let headers: HashMap<Cow<'_, str>, Value> = raw
                .and_then(|raw| serde_json::from_str(raw.get()).ok())
                .unwrap_or_default();
            let headers = headers.iter().filter_map(|(name, value)| {
                let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
                Some((name, HeaderValue::from_bytes(value.as_str()?.as_bytes()).ok()?))
            });
            headers.collect()
        })
    }

    /// Returns the value of the first cookie `name`. The gateway takes cookies out of the headers; some emulators do not.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<String> {
        let raw = self.raw_cookies.as_deref();
        let cookies: Vec<Cow<'_, str>> = raw
            .and_then(|raw| serde_json::from_str(raw.get()).ok())
            .unwrap_or_default();
        let header = self
            .headers()
            .get(header::COOKIE)
            .and_then(|cookies| cookies.to_str().ok());
        let cookies = cookies.iter().map(Cow::as_ref).chain(header);
        let mut pairs = cookies
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|pair| pair.split_once('='));
        pairs
            .find(|(found, _)| found.trim() == name)
            .map(|(_, value)| value.trim().to_owned())
    }

    /// Returns the decoded body. Empty when there is none or its base64 is invalid.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Returns the decoded body, which clones share.
    #[must_use]
    pub fn shared_body(&self) -> Bytes {
        self.body.clone()
    }

    /// Sets the body, so that a gateway in this process can pass a file on without encoding it.
    #[must_use]
    pub fn with_body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    /// Returns the client's address, as the gateway saw it.
    #[must_use]
    pub fn source_ip(&self) -> Option<IpAddr> {
        self.source_ip.as_deref()?.parse().ok()
    }

    /// Returns the JWT that the gateway's authorizer accepted. Clients cannot forge it.
    #[must_use]
    pub fn jwt(&self) -> Option<Jwt> {
        #[derive(Deserialize)]
        struct Authorizer {
            jwt: Option<Accepted>,
        }
        #[derive(Deserialize)]
        struct Accepted {
            claims: Option<HashMap<String, Value>>,
        }
        let authorizer: Authorizer = serde_json::from_str(self.raw_authorizer.as_deref()?.get()).ok()?;
        let claims = authorizer.jwt?.claims.unwrap_or_default();
        let claim = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let text = |name: &str| claims.get(name).map(Value::to_string).unwrap_or_default();
        Some(Jwt {
            issuer: claim("iss"),
            subject: claim("sub"),
            // API Gateway writes a list as the text "[one two]".
            scopes: [text("scope"), text("scp")]
                .iter()
                .flat_map(|all| all.split(['"', ' ', ',', '[', ']']))
                .filter(|scope| !scope.is_empty())
                .map(str::to_owned)
                .collect(),
        })
    }

    /// Sets the end of the invocation, in epoch milliseconds.
    #[must_use]
    pub fn within_invocation(mut self, ends: u64) -> Self {
        self.invocation_ends = Some(ends);
        self
    }

    /// Returns the request's deadline: 25 s after its arrival at the gateway, or the end of the invocation if that is sooner.
    #[must_use]
    pub fn deadline(&self, now_millis: i64) -> Deadline {
        let invocation = self
            .invocation_ends
            .map_or(Deadline::NONE, |ends| Deadline::from_lambda(ends, now_millis));
        invocation.within(self.arrival(now_millis, GATEWAY_TIMEOUT), ANSWER_WITHIN)
    }

    /// Returns when the gateway received the request, in epoch milliseconds. `now_millis` if that time is implausible: in the
    /// future, or more than `oldest` milliseconds ago.
    #[must_use]
    pub fn arrival(&self, now_millis: i64, oldest: i64) -> i64 {
        let plausible = now_millis - oldest..=now_millis;
        self.time_epoch
            .filter(|arrived| plausible.contains(arrived))
            .unwrap_or(now_millis)
    }
}

/// The members of the event that the request uses.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    raw_path: Option<String>,
    raw_query_string: Option<String>,
    /// Only for sample events without a raw query. The gateway always sends the raw query.
    query_string_parameters: Option<Box<RawValue>>,
    headers: Option<Box<RawValue>>,
    cookies: Option<Box<RawValue>>,
    request_context: RequestContext,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext {
    http: Http,
    time_epoch: Option<i64>,
    authorizer: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Http {
    method: String,
    source_ip: Option<String>,
}

impl<'de> Deserialize<'de> for Request {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let event = Event::deserialize(deserializer).ok();
        // The runtime logs this error, so it must not quote the event: that may hold openids and messages.
        event
            .and_then(Self::from_event)
            .ok_or_else(|| D::Error::custom("not an event of API Gateway's HTTP API (payload 2.0)"))
    }
}

impl Request {
    /// Reads the event. `None` when its method is invalid.
    fn from_event(event: Event) -> Option<Self> {
        let body = event.body.unwrap_or_default();
        let RequestContext {
            http: Http { method, source_ip },
            time_epoch,
            authorizer,
        } = event.request_context;
        Some(Self {
            method: method.parse().ok()?,
            path: event.raw_path.unwrap_or_default(),
            raw_query: event
                .raw_query_string
                .filter(|query| !query.is_empty())
                .or_else(|| event.query_string_parameters.as_deref().and_then(encoded_query))
                .unwrap_or_default(),
            raw_headers: event.headers,
            headers: OnceLock::new(),
            raw_cookies: event.cookies,
            body: if event.is_base64_encoded.unwrap_or_default() {
                STANDARD.decode(body).unwrap_or_default().into()
            } else {
                body.into()
            },
            source_ip,
            time_epoch,
            raw_authorizer: authorizer,
            invocation_ends: None,
        })
    }
}

/// Encodes `parameters` as a query, if all of them are texts. Commas separate the values of one name.
fn encoded_query(parameters: &RawValue) -> Option<String> {
    let parameters: BTreeMap<String, String> = serde_json::from_str(parameters.get()).ok()?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, values) in &parameters {
        query.extend_pairs(values.split(',').map(|value| (name, value)));
    }
    Some(query.finish())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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

    fn read(event: &Value) -> Result<Request, serde_json::Error> {
        serde_json::from_str(&event.to_string())
    }

    fn query(request: &Request) -> Vec<(String, String)> {
        request.query().into_owned().collect()
    }

    /// Returns `event` with `value` at the JSON pointer `place`.
    fn changed(place: &str, value: Value) -> Value {
        let mut event = event();
        *event.pointer_mut(place).unwrap() = value;
        event
    }

    /// Returns the time left at `NOW` for an event from `time_epoch` ms after `NOW`, in an invocation that ends after
    /// `invocation` s.
    fn left(time_epoch: i64, invocation: u64) -> Duration {
        const NOW: i64 = 1_767_225_600_000;
        let context = json!({"http": {"method": "GET", "path": "/api/menu"}, "timeEpoch": NOW + time_epoch});
        let request = read(&changed("/requestContext", context)).unwrap();
        let request = request.within_invocation(NOW as u64 + invocation * 1000);
        request.deadline(NOW).budget(NOW, Duration::MAX, Duration::ZERO)
    }

    #[test]
    fn a_request_has_25_seconds_from_its_arrival_a_cold_start_included() {
        assert_eq!(left(0, 29), Duration::from_secs(25));
        assert_eq!(left(-4_000, 29), Duration::from_secs(21));
        assert_eq!(left(-4_000, 15), Duration::from_secs(15), "the invocation ends sooner");
        for implausible in [-31_000, 1, 3_600_000, i64::MIN / 2] {
            assert_eq!(left(implausible, 29), Duration::from_secs(25), "{implausible}");
        }
    }

    #[test]
    fn a_jwt_names_its_issuer_and_its_subject_whatever_else_it_claims() {
        let jwt = |authorizer: Value| {
            let context = json!({"http": {"method": "GET"}, "authorizer": authorizer});
            read(&changed("/requestContext", context)).unwrap().jwt()
        };
        let claims = json!({"iss": "https://one.example", "sub": "u-1", "aud": ["a", "b"], "exp": 1, "verified": true});
        let accepted = jwt(json!({"jwt": {"claims": claims, "scopes": null}})).unwrap();
        assert_eq!(
            (accepted.issuer.as_str(), accepted.subject.as_str()),
            ("https://one.example", "u-1")
        );
        assert_eq!(jwt(json!({"jwt": {"claims": null}})).unwrap().subject, "");
        for scopes in [
            json!({"scope": "openid wechat/send"}),
            json!({"scp": ["openid", "wechat/send"]}),
            json!({"scp": "[openid wechat/send]"}),
        ] {
            let accepted = jwt(json!({"jwt": {"claims": scopes}})).unwrap();
            assert_eq!(accepted.scopes, ["openid", "wechat/send"], "{scopes}");
        }
        for none in [
            Value::Null,
            json!({"jwt": null}),
            json!({"lambda": {"sub": "u-1"}}),
            json!("jwt"),
        ] {
            assert_eq!(jwt(none), None);
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
        assert_eq!(read(&event()).unwrap().body(), "<xml>你</xml>".as_bytes());
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
    fn a_cookie_is_found_where_the_gateway_or_an_emulator_puts_it() {
        let mut event = event();
        event["cookies"] = json!(["a=1", "login-1=x=y"]);
        event["headers"]["cookie"] = json!("b=2; c = 3 ;d");
        let request = read(&event).unwrap();
        for (name, value) in [("a", "1"), ("login-1", "x=y"), ("b", "2"), ("c", "3")] {
            assert_eq!(request.cookie(name).as_deref(), Some(value), "{name}");
        }
        assert_eq!(request.cookie("d"), None);
        assert_eq!(read(&changed("/headers", json!({}))).unwrap().cookie("a"), None);
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
    fn a_query_is_decoded_leniently_and_read_from_its_parameters_where_it_is_missing() {
        let pairs = |event: &Value| query(&read(event).unwrap());
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            pairs(&changed("/rawQueryString", json!("%E4%BD%A0=%E5%A5%BD&&x&=y&%zz=%ff"))),
            [pair("你", "好"), pair("x", ""), pair("", "y"), pair("%zz", "\u{fffd}")]
        );
        for missing in [Value::Null, json!("")] {
            assert_eq!(
                pairs(&changed("/rawQueryString", missing)),
                [pair("echostr", "a+b c"), pair("nonce", "1"), pair("nonce", "2")]
            );
        }
    }

    #[test]
    fn headers_that_http_does_not_allow_are_left_out() {
        let headers = |headers: Value| read(&changed("/headers", headers)).unwrap().headers().clone();
        let read = headers(
            json!({"Authorization": "Bearer k", "a b": "1", "x": "line\nbreak", "y": 7, "z": null, "host": "a b"}),
        );
        assert_eq!(read["authorization"], "Bearer k");
        assert_eq!(read["host"], "a b");
        assert_eq!(read.len(), 2);
        for broken in [Value::Null, json!([]), json!("x")] {
            assert!(headers(broken).is_empty());
        }
    }

    #[test]
    fn an_event_of_another_api_is_refused() {
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
}
