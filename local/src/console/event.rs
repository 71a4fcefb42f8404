//! An exchange of the run, as the console shows it: decrypted, explained, and without secrets.

use std::time::Duration;

use http::{HeaderMap, Response, header::CONTENT_TYPE, request::Parts};
use serde::Serialize;
use simulator::{Observation, ObservedCall};
use wechat::{
    api::{
        Call,
        calls::token::{GetClassicToken, GetStableToken},
        read_errcode,
    },
    callback::{CallbackVerifier, aes::EncodingAesKey},
    clock::{self, Clock, SystemClock},
    errcode::{self, Errcode},
    message::Callback,
    xml::{Tree, ciphertexts},
};

use super::mask;
use crate::gateway;

/// Bytes of a body that are shown.
const SHOWN: usize = 16 * 1024;
/// The header that marks the console's own reads, as opposed to what its user asked for.
const OWN_READ: &str = "x-console-read";

/// The kind of exchange.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// WeChat called the webhook.
    #[default]
    Callback,
    /// WeChat could not use the webhook's answer. Known in simulated runs only.
    FailedDelivery,
    /// A function called WeChat. Known in simulated runs only.
    Call,
    /// A client called `/api/*`.
    Api,
}

/// A request and its answer.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Event {
    pub(super) id: u64,
    kind: Kind,
    /// Epoch milliseconds when the request began.
    at: i64,
    millis: f64,
    method: String,
    path: String,
    query: String,
    /// The type of a callback's message or event.
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    openid: Option<String>,
    /// The body's `Content-Type`; empty without one.
    request_type: String,
    request: Shown,
    response: Shown,
    /// The HTTP status; null when there was no answer.
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errcode: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explained: Option<Explained>,
    /// Whether an injected fault caused the answer.
    is_fault: bool,
    /// Whether this is a read of the console's own.
    pub(super) is_own_read: bool,
    /// The number of the failed delivery: 1 to 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<u32>,
}

/// A body, as it is shown.
#[derive(Debug, Default, Serialize)]
struct Shown {
    text: String,
    /// The encrypted body as it was sent; `text` is its decryption.
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed: Option<String>,
    /// Whether `text` was cut at [`SHOWN`].
    is_cut: bool,
    /// Whether `text` is not what was sent: a secret in it is masked, or it only says what file that was.
    is_masked: bool,
}

/// The meaning and remedy of an errcode.
#[derive(Debug, Serialize)]
struct Explained {
    english: &'static str,
    chinese: &'static str,
    remedy_english: &'static str,
    remedy_chinese: &'static str,
}

/// Decrypts bodies with the keys of the running configuration.
#[derive(Debug)]
pub(crate) struct Decoder {
    app_id: String,
    keys: Vec<EncodingAesKey>,
}

impl Decoder {
    pub(crate) fn new(verifier: &CallbackVerifier) -> Self {
        Self {
            app_id: verifier.app_id.clone(),
            keys: verifier.keys.clone(),
        }
    }

    /// The clear text of an encrypted body, if one of the keys opens it.
    fn open(&self, body: &[u8]) -> Option<String> {
        let open = |encrypt: &String| self.keys.iter().find_map(|key| key.decrypt(encrypt, &self.app_id).ok());
        ciphertexts(body).iter().find_map(open)
    }

    fn shown(&self, body: &[u8]) -> Shown {
        let sealed = String::from_utf8_lossy(body);
        match self.open(body) {
            Some(clear) => Shown {
                sealed: Some(cut(&sealed).0),
                ..shown(&clear)
            },
            None => shown(&sealed),
        }
    }
}

impl Event {
    /// The event of a request to the gateway. None unless it was for the webhook or the API.
    pub(crate) fn of_request(
        decoder: &Decoder,
        parts: &Parts,
        body: &[u8],
        response: &Response<String>,
        took: Duration,
    ) -> Option<Self> {
        let path = parts.uri.path();
        let query = parts.uri.query().unwrap_or_default();
        let answered = Self {
            at: began(took),
            millis: millis(took),
            method: parts.method.to_string(),
            path: mask::path(path),
            query: mask::query(
                url_pairs(query)
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str())),
            ),
            status: Some(response.status().as_u16()),
            ..Self::default()
        };
        if gateway::is_webhook(path) {
            Some(answered.with_callback(decoder, body, response.body().as_bytes()))
        } else if path.starts_with("/api/") && !reads_account(path, &parts.headers) {
            Some(answered.with_api_call(&parts.headers, body, response.body()))
        } else {
            None
        }
    }

    fn with_callback(self, decoder: &Decoder, body: &[u8], answer: &[u8]) -> Self {
        let request = decoder.shown(body);
        let callback = Tree::parse_callback(request.text.as_bytes())
            .ok()
            .and_then(|document| Callback::from_document(document).ok());
        Self {
            kind: Kind::Callback,
            what: callback.as_ref().map(Callback::kind),
            openid: callback.map(|callback| callback.from),
            request,
            response: decoder.shown(answer),
            ..self
        }
    }

    fn with_api_call(self, headers: &HeaderMap, body: &[u8], answer: &str) -> Self {
        let errcode = errcode_of(answer);
        let request_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let request_type = request_type.unwrap_or_default();
        Self {
            kind: Kind::Api,
            request_type: request_type.to_owned(),
            request: shown_file_or_text(request_type, body),
            response: masked(answer),
            errcode,
            explained: explain(errcode, errcode::lookup),
            is_own_read: headers.contains_key(OWN_READ),
            ..self
        }
    }

    /// The event of something that the simulated platform observed.
    pub(crate) fn of_observation(observation: Observation) -> Self {
        match observation {
            Observation::Call(call) => Self::of_call(&call),
            Observation::FailedDelivery {
                openid,
                delivery,
                status,
                reason,
                took,
            } => Self {
                kind: Kind::FailedDelivery,
                at: began(took),
                millis: millis(took),
                method: "POST".to_owned(),
                path: "/webhook".to_owned(),
                openid: Some(openid),
                response: shown(&reason),
                status,
                delivery: Some(delivery),
                ..Self::default()
            },
        }
    }

    fn of_call(call: &ObservedCall) -> Self {
        let answered = call.status.is_some();
        let errcode = answered
            .then(|| errcode_of(&String::from_utf8_lossy(&call.response)))
            .flatten();
        let lookup = if [GetStableToken::PATH, GetClassicToken::PATH].contains(&call.path.as_str()) {
            errcode::lookup_at_token_endpoint
        } else {
            errcode::lookup
        };
        Self {
            kind: Kind::Call,
            at: began(call.took),
            millis: millis(call.took),
            method: call.method.clone(),
            path: call.path.clone(),
            query: mask::query(call.query.iter().map(|(name, value)| (name.as_str(), value.as_str()))),
            request_type: call.request_type.clone(),
            request: shown_file_or_text(&call.request_type, &call.request),
            response: if answered {
                shown_file_or_text(&call.response_type, &call.response)
            } else {
                Shown::default()
            },
            status: call.status,
            errcode,
            explained: explain(errcode, lookup),
            is_fault: call.is_fault,
            ..Self::default()
        }
    }
}

/// The errcode of an answer. WeChat leaves it out of some successes.
fn errcode_of(answer: &str) -> Option<i64> {
    let json: serde_json::Value = serde_json::from_str(answer).ok()?;
    read_errcode(json.get("errcode")?)
}

fn explain(errcode: Option<i64>, lookup: fn(i64) -> Errcode) -> Option<Explained> {
    let Errcode {
        english,
        chinese,
        remedy_english,
        remedy_chinese,
        ..
    } = lookup(errcode.filter(|errcode| *errcode != 0)?);
    Some(Explained {
        english,
        chinese,
        remedy_english,
        remedy_chinese,
    })
}

fn shown(text: &str) -> Shown {
    let (text, is_cut) = cut(text);
    Shown {
        text,
        is_cut,
        ..Shown::default()
    }
}

fn masked(text: &str) -> Shown {
    let (text, is_masked) = mask::body(text);
    Shown {
        is_masked,
        ..shown(&text)
    }
}

/// A text with its secrets masked, or the type and the size of files, which are not text.
fn shown_file_or_text(content_type: &str, body: &[u8]) -> Shown {
    let kind = content_type.split(';').next().unwrap_or_default();
    match str::from_utf8(body) {
        Ok(text) if kind != "multipart/form-data" => masked(text),
        _ => Shown {
            is_masked: true,
            ..shown(&format!("({kind}, {} bytes)", body.len()))
        },
    }
}

fn cut(text: &str) -> (String, bool) {
    let end = text.floor_char_boundary(SHOWN);
    (text[..end].to_owned(), end < text.len())
}

fn url_pairs(query: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

fn began(took: Duration) -> i64 {
    SystemClock.now_millis() - clock::millis(took)
}

fn millis(took: Duration) -> f64 {
    let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
    f64::from(micros) / 1000.0
}

/// Whether the console reads the account, which it does every few seconds and after each event: nobody wants to see that.
fn reads_account(path: &str, headers: &HeaderMap) -> bool {
    path == "/api/account" && headers.contains_key(OWN_READ)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_shown_by_their_type_and_size() {
        for (content_type, body, text, is_masked) in [
            ("image/png", &b"\x89PNG"[..], "(image/png, 4 bytes)", true),
            ("text/csv", b"\xc4\xe3", "(text/csv, 2 bytes)", true),
            (
                "multipart/form-data; boundary=a",
                b"--a--",
                "(multipart/form-data, 5 bytes)",
                true,
            ),
            ("text/plain", br#"{"secret":"s"}"#, r#"{"secret":"…"}"#, true),
            ("text/csv", b"touser\nox1", "touser\nox1", false),
            ("", b"", "", false),
        ] {
            let shown = shown_file_or_text(content_type, body);
            assert_eq!((shown.text.as_str(), shown.is_masked), (text, is_masked));
        }
    }
}
