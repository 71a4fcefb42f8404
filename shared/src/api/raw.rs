//! Passes calls on unchanged, and WeChat's answers back unchanged, except for the access_token: the client puts it into the
//! call, and hides it in the answer.

use std::{error::Error as _, fmt, sync::Mutex, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use memchr::memmem;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use url::form_urlencoded;

use super::{ApiError, Client, Rejection, answer::read_errcode, error::transport_error};
use crate::{clock::Deadline, errcode, json::escape_control_characters, lock::lock, secret::Secret};

/// The name of all these calls in errors and metrics. Their paths are too many for a metric.
const OPERATION: &str = "relay";
/// Bytes. The client reads this much of an answer before it passes any of it on: WeChat's refusals are shorter.
const READ_AHEAD: usize = 1024 * 1024;
/// The byte order mark, which some servers put before JSON.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// The name of an access_token in an answer.
const ACCESS_TOKEN: &[u8] = b"access_token";
/// How many access_tokens are hidden in answers.
const HIDDEN_TOKENS: usize = 4;
/// Time that a call leaves for the rest of the request.
const DEADLINE_MARGIN: Duration = Duration::from_millis(250);
/// The headers of an answer that are passed on.
const PASSED_ON: [HeaderName; 3] = [header::CONTENT_TYPE, header::CONTENT_DISPOSITION, header::LOCATION];

/// A call that is passed on. `Debug` shows only its path: the query and the body may hold anything.
pub struct RawCall<'a> {
    /// The HTTP method.
    pub method: &'a Method,
    /// The path, which needs no encoding.
    pub path: &'a str,
    /// The query around the value of the access_token.
    pub query: (&'a str, &'a str),
    /// The header Content-Type.
    pub content_type: Option<&'a HeaderValue>,
    /// The body.
    pub body: Bytes,
    /// What takes the place of an access_token in the answer.
    pub stand_in: &'a str,
    /// The access_tokens that are hidden in the answer: those of earlier calls, and those of this one.
    pub hidden: &'a HiddenTokens,
}

/// The last access_tokens of a process. WeChat accepts the one before the current one for some minutes more.
#[derive(Debug, Default)]
pub struct HiddenTokens(Mutex<Vec<Secret>>);

impl HiddenTokens {
    /// Hides `token` from now on.
    pub fn hide(&self, token: &Secret) {
        let mut tokens = lock(&self.0);
        if tokens.iter().any(|hidden| hidden.expose() == token.expose()) {
            return;
        }
        tokens.push(token.clone());
        if tokens.len() > HIDDEN_TOKENS {
            tokens.remove(0);
        }
    }

    /// Returns the texts to look for: each token, plain and as a query encodes it.
    fn texts(&self) -> Vec<memmem::Finder<'static>> {
        let tokens = lock(&self.0).clone();
        let mut texts: Vec<String> = tokens
            .iter()
            .flat_map(|token| [token.expose().to_owned(), encoded(token)])
            .filter(|text| !text.is_empty())
            .collect();
        texts.sort();
        texts.dedup();
        let finders = texts.iter().map(|text| memmem::Finder::new(text).into_owned());
        finders.collect()
    }
}

/// An answer of WeChat's. Its body is read in chunks; dropping it hangs up. `Debug` shows only its status.
pub struct RawAnswer {
    /// The HTTP status.
    pub status: StatusCode,
    /// Content-Type, Content-Disposition and Location, as far as the answer has them.
    pub headers: HeaderMap,
    /// The errcode of a refusal, 0 of a success in JSON, else `None`.
    pub errcode: Option<i64>,
    body: Body,
}

/// The body of an answer.
struct Body {
    hidden: Hidden,
    /// What was read and not yet handed out.
    held: Vec<u8>,
    /// The response that brings the rest. `None` at the end of the body.
    rest: Option<reqwest::Response>,
}

impl fmt::Debug for RawCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawCall")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RawAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawAnswer")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl RawAnswer {
    /// Whether the whole body was read: the next chunk is the last.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.body.rest.is_none()
    }

    /// Whether a parameter `name` (lower case) with its value is in the part of the body that was read so far: in a query or in
    /// JSON, however often it is quoted. A short body was read completely.
    #[must_use]
    pub fn shows_parameter(&self, name: &str) -> bool {
        let body = self.body.held.to_ascii_lowercase();
        memmem::find_iter(&body, name.as_bytes()).any(|at| value_after(&body[at + name.len()..]).is_some())
    }

    /// Whether the part of the body that was read so far has an access_token that is not hidden. A short body was read
    /// completely.
    pub(crate) fn shows_another_token(&self) -> bool {
        self.body.hidden.misses_a_token(&self.body.held)
    }

    /// Hides the tokens that `hidden` has by now.
    pub(crate) fn hide(&mut self, hidden: &HiddenTokens) {
        self.body.hidden.texts = hidden.texts();
    }

    /// Returns the next chunk of the body, `None` after the last.
    ///
    /// # Errors
    /// [`ApiError`] when the answer breaks off, or does not end in time.
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>, ApiError> {
        loop {
            let Body { hidden, held, rest } = &mut self.body;
            let chunk = hidden.replaced(held, rest.is_none());
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
            if rest.is_none() {
                return Ok(None);
            }
            self.body.read_more().await?;
        }
    }
}

impl Body {
    /// Reads the next chunk, or finds the end.
    async fn read_more(&mut self) -> Result<(), ApiError> {
        let Some(response) = &mut self.rest else {
            return Ok(());
        };
        match response.chunk().await {
            Ok(Some(chunk)) => self.held.extend_from_slice(&chunk),
            Ok(None) => self.rest = None,
            Err(error) if error.is_timeout() => return Err(transport_error(OPERATION, error)),
            Err(_) => return Err(broken("it breaks off")),
        }
        Ok(())
    }

    /// Reads the whole body, if it is short enough to be a refusal.
    async fn read_ahead(&mut self) -> Result<(), ApiError> {
        while self.rest.is_some() && self.held.len() < READ_AHEAD {
            self.read_more().await?;
        }
        Ok(())
    }
}

impl Client {
    /// Passes on `call` with `token`, once.
    ///
    /// # Errors
    /// [`ApiError`] when WeChat refuses the token or does not answer, or its answer breaks off. Other refusals are answers.
    pub async fn pass(&self, call: &RawCall<'_>, token: &Secret, deadline: Deadline) -> Result<RawAnswer, ApiError> {
        let operation = OPERATION;
        let started = self.clock.now_millis();
        let budget = deadline.budget(started, Duration::MAX, DEADLINE_MARGIN);
        call.hidden.hide(token);
        let outcome = if budget.is_zero() {
            Err(ApiError::OutOfTime { operation })
        } else {
            self.pass_once(call, token, budget).await
        };
        let refusal = match &outcome {
            Ok(answer) => answer.errcode.filter(|errcode| *errcode != 0),
            Err(error) => error.errcode(),
        };
        self.measure(operation, started, refusal.map(errcode::lookup));
        if let Err(error) = &outcome {
            tracing::warn!(operation, errcode = error.errcode(), %error, "WeChat call failed / 调用微信失败");
        }
        outcome
    }

    async fn pass_once(&self, call: &RawCall<'_>, token: &Secret, budget: Duration) -> Result<RawAnswer, ApiError> {
        let mut url = self.url(call.path);
        let (before, after) = call.query;
        url.set_query(Some(&format!("{before}{}{after}", encoded(token))));
        let mut request = self.http.request(call.method.clone(), url).timeout(budget);
        if let Some(content_type) = call.content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        if call.body.is_empty() && !matches!(*call.method, Method::GET | Method::HEAD) {
            request = request.header(header::CONTENT_LENGTH, 0);
        }
        let response = request.body(call.body.clone()).send().await.map_err(failed_head)?;
        let status = response.status();
        if status.is_informational() {
            return Err(broken("an answer that promises another one"));
        }
        let encoding = response.headers().get(header::CONTENT_ENCODING);
        if encoding.is_some_and(|encoding| !matches!(encoding.as_bytes(), b"" | b"identity")) {
            return Err(broken("compressed, though nobody asked for that"));
        }
        let hidden = Hidden::new(call);
        let headers = passed_on(response.headers(), &hidden);
        let mut body = Body {
            hidden,
            held: Vec::new(),
            rest: Some(response),
        };
        body.read_ahead().await?;
        let errcode = if body.rest.is_none() {
            errcode_in(&body.held)
        } else {
            None
        };
        if let Some(errcode) = errcode.filter(|errcode| errcode::is_dead_token(*errcode)) {
            return Err(ApiError::Rejected {
                operation: OPERATION,
                rejection: Rejection {
                    errcode,
                    errmsg: String::new(),
                    at_token_endpoint: false,
                },
                calls: 1,
                after_ambiguous: false,
            });
        }
        Ok(RawAnswer {
            status,
            headers,
            errcode,
            body,
        })
    }
}

fn broken(detail: &str) -> ApiError {
    ApiError::Unreadable {
        operation: OPERATION,
        detail: detail.to_owned(),
    }
}

/// Distinguishes an answer that is not HTTP from a missing answer.
fn failed_head(error: reqwest::Error) -> ApiError {
    let mut cause = error.source();
    while let Some(found) = cause {
        if found.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
            return broken("not HTTP");
        }
        cause = found.source();
    }
    transport_error(OPERATION, error)
}

fn passed_on(headers: &HeaderMap, hidden: &Hidden) -> HeaderMap {
    let passed_on = PASSED_ON.into_iter().filter_map(|name| {
        let value = headers.get(&name)?;
        let value = hidden.replaced(&mut value.as_bytes().to_vec(), true);
        Some((name, HeaderValue::from_bytes(&value).ok()?))
    });
    passed_on.collect()
}

/// Reads the errcode of an answer: 0 when the JSON has none, `None` for an answer that is not a JSON object.
fn errcode_in(body: &[u8]) -> Option<i64> {
    #[derive(Deserialize)]
    struct Answer {
        errcode: Option<Value>,
    }
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body).trim_ascii_start();
    if !body.starts_with(b"{") {
        return None;
    }
    let text = String::from_utf8_lossy(body);
    let answer: Answer = serde_json::from_str(&escape_control_characters(&text)).ok()?;
    answer.errcode.as_ref().map_or(Some(0), read_errcode)
}

/// Returns what follows the `=` or `:` after a name, without the quotes around the sign. `None` when there is no sign. Quotes and
/// signs may be escaped as in JSON, a query, either inside the other, and XML.
fn value_after(mut text: &[u8]) -> Option<&[u8]> {
    const QUOTES: [&[u8]; 17] = [
        b" ", b"\t", b"\r", b"\n", b"\"", b"'", b"\\", b"%22", b"%27", b"%5C", b"%5c", b"%20", b"%2522", b"%255c",
        b"u0022", b"u005c", b"&quot;",
    ];
    const SIGNS: [&[u8]; 11] = [
        b"=", b":", b">", b"%3D", b"%3d", b"%3A", b"%3a", b"%253d", b"%253a", b"u003d", b"u003a",
    ];
    let without = |text: &'_ [u8], any: &[&[u8]]| any.iter().find(|one| text.starts_with(one)).map(|one| one.len());
    let mut has_sign = false;
    loop {
        if let Some(quote) = without(text, &QUOTES) {
            text = &text[quote..];
        } else if let Some(sign) = without(text, &SIGNS).filter(|_| !has_sign) {
            (text, has_sign) = (&text[sign..], true);
        } else {
            return has_sign.then_some(text);
        }
    }
}

fn encoded(token: &Secret) -> String {
    form_urlencoded::byte_serialize(token.expose().as_bytes()).collect()
}

/// The texts that must not be in an answer, and what takes their place.
struct Hidden {
    texts: Vec<memmem::Finder<'static>>,
    stand_in: String,
}

impl Hidden {
    fn new(call: &RawCall<'_>) -> Self {
        Self {
            texts: call.hidden.texts(),
            stand_in: call.stand_in.to_owned(),
        }
    }

    /// Takes from `held` what can be handed out, with the stand-in in place of each hidden text. Unless this is the end, it
    /// leaves the last bytes, in which a hidden text may have begun.
    fn replaced(&self, held: &mut Vec<u8>, is_end: bool) -> Vec<u8> {
        let mut done = Vec::new();
        let mut from = 0;
        while let Some((at, length)) = self.first(&held[from..]) {
            done.extend_from_slice(&held[from..from + at]);
            done.extend_from_slice(self.stand_in.as_bytes());
            from += at + length;
        }
        let longest = self.texts.iter().map(|text| text.needle().len()).max().unwrap_or(1);
        let until = if is_end {
            held.len()
        } else {
            from.max((held.len() + 1).saturating_sub(longest))
        };
        if done.is_empty() && from == 0 && is_end {
            return std::mem::take(held);
        }
        done.extend_from_slice(&held[from..until]);
        held.drain(..until);
        done
    }

    /// Whether `bytes` name an access_token, as JSON or a query does, that is not among the hidden texts.
    fn misses_a_token(&self, bytes: &[u8]) -> bool {
        memmem::find_iter(bytes, ACCESS_TOKEN).any(|at| {
            let Some(value) = value_after(&bytes[at + ACCESS_TOKEN.len()..]) else {
                return false;
            };
            let is_empty = !value
                .first()
                .is_some_and(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
            let is_known = self.texts.iter().any(|text| value.starts_with(text.needle()));
            !is_known && !is_empty && !value.starts_with(self.stand_in.as_bytes())
        })
    }

    /// Finds the first hidden text: where it begins, and its length.
    fn first(&self, bytes: &[u8]) -> Option<(usize, usize)> {
        let texts = self.texts.iter();
        texts
            .filter_map(|text| Some((text.find(bytes)?, text.needle().len())))
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(tokens: &[&str]) -> Hidden {
        let hidden = HiddenTokens::default();
        for token in tokens {
            hidden.hide(&Secret::new(*token));
        }
        let call = RawCall {
            method: &Method::GET,
            path: "/cgi-bin/x",
            query: ("access_token=", ""),
            content_type: None,
            body: Bytes::new(),
            stand_in: "OPAQUE",
            hidden: &hidden,
        };
        Hidden::new(&call)
    }

    /// Returns what an answer in chunks of `size` bytes becomes.
    fn passed(hidden: &Hidden, answer: &[u8], size: usize) -> Vec<u8> {
        let (mut held, mut out) = (Vec::new(), Vec::new());
        for chunk in answer.chunks(size) {
            held.extend_from_slice(chunk);
            out.extend(hidden.replaced(&mut held, false));
        }
        out.extend(hidden.replaced(&mut held, true));
        out
    }

    #[test]
    fn the_token_is_hidden_wherever_the_chunks_cut_it() {
        let hidden = hidden(&["TOK-abc", "TOK-b", "OLD/1"]);
        let answer = b"TOK-abc,\xff\x00TOK-bTOK-abcTOK,OLD/1 OLD%2F1;TOK-ab";
        for size in 1..=answer.len() {
            assert_eq!(
                passed(&hidden, answer, size),
                b"OPAQUE,\xff\x00OPAQUEOPAQUETOK,OPAQUE OPAQUE;TOK-ab",
                "{size}"
            );
        }
    }

    #[test]
    fn a_token_that_is_not_hidden_is_seen() {
        let hidden = hidden(&["TOK-abc", "OLD/1"]);
        for answer in [
            r#"{"access_token":"OTHER"}"#,
            r#"{"request":"POST /x?access_token=OTHER&a=1"}"#,
            r#"{"request":"{\"access_token\" : \"OTHER\"}"}"#,
            "url=%2Fx%3Faccess_token%3DOTHER",
            "body=%7B%22access_token%22%3A%22OTHER%22%7D",
            r"/x?access_token\u003d-OTHER",
            "<access_token>OTHER</access_token>",
            "access_token=TOK-abc&access_token=OTHER",
        ] {
            assert!(hidden.misses_a_token(answer.as_bytes()), "{answer}");
        }
        for answer in [
            "reach max api daily quota limit, could get access_token by getStableAccessToken",
            "access_token=TOK-abc, access_token: OLD%2F1, access_token=OPAQUE, access_token=",
            r#"{"access_token":"","access_token_expired":true}"#,
        ] {
            assert!(!hidden.misses_a_token(answer.as_bytes()), "{answer}");
        }
    }

    #[test]
    fn other_bytes_stay_as_they_are() {
        let hidden = hidden(&["TOK-abc"]);
        let answer: Vec<u8> = (0..=255).cycle().take(3_000).collect();
        for size in [1, 7, 1_000, 3_000] {
            assert_eq!(passed(&hidden, &answer, size), answer);
        }
    }

    #[test]
    fn an_errcode_is_read_where_there_is_one() {
        let errcode = |body: &str| errcode_in(body.as_bytes());
        assert_eq!(errcode(r#" {"errcode":40001,"errmsg":"x"}"#), Some(40001));
        assert_eq!(errcode(r#"{"errcode":"40001"}"#), Some(40001));
        assert_eq!(errcode("{\"errcode\":40001,\"errmsg\":\"a\u{1}b\"}"), Some(40001));
        assert_eq!(errcode("\u{feff}{\"errcode\":40001.0}"), Some(40001));
        assert_eq!(errcode(r#"{"errcode":0.5}"#), None);
        assert_eq!(errcode(r#"{"total":1}"#), Some(0));
        for other in ["[1]", "<html>", "", "{", "\u{89}PNG"] {
            assert_eq!(errcode(other), None, "{other}");
        }
    }
}
