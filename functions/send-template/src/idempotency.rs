//! `Idempotency-Key`: a request and its retries with the same key send each message once.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderValue, Response};
use http_api::{
    ApiRequest, Caller, Problem,
    openapi::{Location, Parameter},
    response::respond,
};
use serde_json::Value;
use wechat::{
    api::CLIENT_MSG_ID_LENGTH,
    digest::sha256_hex,
    random,
    store::{RecipientOutcome, RecordedAnswer, SendClaim, SendOutcome, SendRequest, SendState},
};

use crate::{App, users::Users};

/// Characters. The longest key.
const KEY_LIMIT: usize = 255;

/// How far a request has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing is left to do: retries get the same answer.
    Done,
    /// WeChat refused every message that it was asked to send.
    Refused,
    /// WeChat was not asked.
    NotAttempted,
    /// A retry can complete the request. Holds what is known of each recipient.
    Open(BTreeMap<String, RecipientOutcome>),
}

/// Describes the header, and what it does for an operation.
pub(crate) const fn parameter(description: &'static str) -> Parameter {
    Parameter {
        name: "Idempotency-Key",
        location: Location::Header,
        description,
        schema: r#"{"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"}"#,
    }
}

/// The `Idempotency-Key` in `headers`.
pub(crate) fn key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let key = value
        .to_str()
        .ok()
        .map(str::trim)
        .filter(|key| (1..=KEY_LIMIT).contains(&key.len()));
    let fault = || {
        Problem::bad_request(format!(
            "Idempotency-Key must be 1 to {KEY_LIMIT} visible ASCII characters \
             / Idempotency-Key 应为 1 至 {KEY_LIMIT} 个可见 ASCII 字符"
        ))
        .with_field("Idempotency-Key")
    };
    key.map(Some).ok_or_else(fault)
}

/// The `client_msg_id` of a request with `key`: the same for every retry.
pub(crate) fn client_msg_id(app: &App, caller: &Caller, key: &str) -> String {
    sha256_hex(name(app, caller, key).as_bytes())[..CLIENT_MSG_ID_LENGTH].to_owned()
}

/// The name of the requests with `key`. Keys belong to the caller.
pub(crate) fn name(app: &App, caller: &Caller, key: &str) -> String {
    format!("{} {} {key}", app.account.table.app_id(), caller.namespace())
}

/// Runs `send` unless an earlier request with the same `Idempotency-Key` and `body` is done: then answers as that one did.
/// `send` gets what earlier requests left, and returns its answer and how far it has come. Without a key, `send` runs.
/// `message` identifies the message in the log.
pub(crate) async fn once<F>(
    app: &App,
    request: &ApiRequest<'_>,
    body: &Value,
    users: Option<&Users>,
    message: Option<&str>,
    send: impl FnOnce(SendState) -> F,
) -> Result<Response<String>, Problem>
where
    F: Future<Output = (Response<String>, Progress)>,
{
    let Some(key) = key(request.headers())? else {
        return Ok(send(SendState::default()).await.0);
    };
    let (owner, fingerprint) = (random::hex::<8>(), &fingerprint(body));
    let openids = users.map(Users::openids);
    let claim = SendRequest {
        caller: request.caller().namespace(),
        key,
        fingerprint,
        owner: &owner,
        openids: openids.as_ref(),
    };
    let claimed = app.account.table.claim_send(&claim, app.account.clock.now()).await;
    let state = match claimed? {
        SendClaim::Won(state) => state,
        SendClaim::Done(answer) => return Ok(replay(answer)),
        SendClaim::InProgress { retry_after } => {
            return Err(Problem::in_progress(
                "a request with this Idempotency-Key is still in progress / 相同 Idempotency-Key 的请求仍在处理中",
                retry_after.unsigned_abs(),
            ));
        }
        SendClaim::OtherBody => return Err(Problem::key_reused()),
    };
    let (response, progress) = send(state).await;
    let outcome = match &progress {
        Progress::Done => SendOutcome::Done(response.status().as_u16(), response.body()),
        Progress::Refused => SendOutcome::Refused,
        Progress::NotAttempted => SendOutcome::NotAttempted,
        Progress::Open(recipients) => SendOutcome::Open(recipients),
    };
    let finished = app.account.table.finish_send(&claim, outcome, app.account.clock.now());
    app.write("the outcome of a send", message, request.deadline(), finished)
        .await;
    Ok(response)
}

/// A digest of the content of `body`: order and layout of its members do not matter.
pub(crate) fn fingerprint(body: &Value) -> String {
    sha256_hex(body.to_string().as_bytes())
}

/// Answers as an earlier request did.
fn replay(answer: RecordedAnswer) -> Response<String> {
    let content_type = if answer.status < 400 {
        "application/json"
    } else {
        "application/problem+json"
    };
    let mut response = respond(answer.status, content_type, answer.body);
    let headers = response.headers_mut();
    headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A caller that retries may write the members in another order.
    #[test]
    fn the_fingerprint_is_that_of_the_content() {
        let of = |json: &str| fingerprint(&serde_json::from_str(json).unwrap());
        let body = r#"{"touser":"o","data":{"thing1":{"value":"x","color":"red"},"time2":"10:00"}}"#;
        let same = r#"{ "data": {"time2": "10:00", "thing1": {"color": "red", "value": "\u0078"}},
                        "touser": "o" }"#;
        assert_eq!(of(body), of(same));
        assert_ne!(of(body), of(&body.replace("10:00", "10:01")));
        assert_ne!(of(r#"{"touser":["a","b"]}"#), of(r#"{"touser":["b","a"]}"#));
    }
}
