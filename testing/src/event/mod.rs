//! The events that functions are invoked with: the sample events of `events/`, requests of API Gateway, callbacks of WeChat.

mod callback;

use std::ops::{Deref, DerefMut};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::form_urlencoded;

pub use self::callback::{CREATED_AT, Callback, callback, check, message, message_from, receipt, signed_query, text};
use crate::account::API_KEY;

/// The event `events/{name}.json`.
#[must_use]
pub fn sample(name: &str) -> Value {
    let path = format!("{}/../events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The event by which a function asks token-refresher to replace the refused token `stale`.
#[must_use]
pub fn replace(stale: &str) -> Value {
    let digest: String = Sha256::digest(stale).iter().map(|byte| format!("{byte:02x}")).collect();
    json!({"action": "replace", "stale_token_sha256": digest})
}

/// Messages of a queue, each with an id and the event of an invocation that Lambda gave up.
#[must_use]
pub fn queue(events: &[(&str, Value)]) -> Value {
    let sample = sample("worker-queue");
    let records: Vec<Value> = events
        .iter()
        .map(|(id, event)| {
            let mut record = sample["Records"][0].clone();
            let mut body: Value = serde_json::from_str(record["body"].as_str().unwrap()).unwrap();
            body["requestPayload"] = event.clone();
            record["body"] = json!(body.to_string());
            record["messageId"] = json!(id);
            record
        })
        .collect();
    json!({"Records": records})
}

/// The event of a request as API Gateway's HTTP API hands it over, payload 2.0.
#[derive(Clone, Debug)]
pub struct Request(Value);

/// A request to the API by the holder of the stage's key, without a body.
#[must_use]
pub fn api(method: &str, path_and_query: &str) -> Request {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    Request(sample("menu-create"))
        .api_key(API_KEY)
        .with("/rawPath", path)
        .with("/rawQueryString", query)
        .with("/requestContext/http/path", path)
        .with("/requestContext/http/method", method)
        .with("/body", Value::Null)
}

/// `GET path_and_query`.
#[must_use]
pub fn get(path_and_query: &str) -> Request {
    api("GET", path_and_query)
}

/// `POST path_and_query` with a JSON body.
#[must_use]
pub fn post(path_and_query: &str, body: &Value) -> Request {
    api("POST", path_and_query).json(body)
}

impl Request {
    /// The sample event `name`, made by the holder of the stage's key.
    #[must_use]
    pub fn sample(name: &str) -> Self {
        Self(sample(name)).api_key(API_KEY)
    }

    /// With `value` at the JSON pointer `pointer`.
    #[must_use]
    pub fn with(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        self.0.pointer_mut(parent).unwrap()[name] = value.into();
        self
    }

    /// With the header `name`, in lower case.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        self.with(&format!("/headers/{name}"), value)
    }

    /// With an `Idempotency-Key`.
    #[must_use]
    pub fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    /// By the holder of another API key.
    #[must_use]
    pub fn api_key(self, key: &str) -> Self {
        self.header("authorization", &format!("Bearer {key}"))
    }

    /// Without an API key.
    #[must_use]
    pub fn keyless(mut self) -> Self {
        self.0["headers"].as_object_mut().unwrap().remove("authorization");
        self
    }

    /// By a caller whose JWT the gateway's authorizer has verified, in place of an API key.
    #[must_use]
    pub fn jwt(self) -> Self {
        let jwt = json!({"jwt": {"claims": {"sub": "1", "aud": "shop"}, "scopes": null}});
        self.keyless().with("/requestContext/authorizer", jwt)
    }

    /// With a JSON body; null stands for no body.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        match body {
            Value::Null => self.with("/body", Value::Null),
            body => self.text(&body.to_string()),
        }
    }

    /// With a body.
    #[must_use]
    pub fn text(self, body: &str) -> Self {
        self.with("/body", body)
    }

    /// With a body that the gateway has encoded, as it does with any that is not text.
    #[must_use]
    pub fn base64(self, body: impl AsRef<[u8]>) -> Self {
        self.text(&STANDARD.encode(body)).with("/isBase64Encoded", true)
    }

    /// The parameters of the query, in their order.
    #[must_use]
    pub fn query(&self) -> Vec<(String, String)> {
        let raw = self.0["rawQueryString"].as_str().unwrap();
        form_urlencoded::parse(raw.as_bytes()).into_owned().collect()
    }

    /// With `parameters` as the query.
    #[must_use]
    pub fn with_query<N: AsRef<str>, V: AsRef<str>>(self, parameters: &[(N, V)]) -> Self {
        let raw = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameters)
            .finish();
        let parsed: Value = parameters
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_ref()))
            .collect();
        self.with("/rawQueryString", raw).with("/queryStringParameters", parsed)
    }
}

impl From<Request> for Value {
    fn from(request: Request) -> Self {
        request.0
    }
}

impl Deref for Request {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0
    }
}

impl DerefMut for Request {
    fn deref_mut(&mut self) -> &mut Value {
        &mut self.0
    }
}
