//! `Idempotency-Key`: a request that is repeated with the same key is sent once.

use http::{HeaderMap, HeaderValue, Response};
use http_api::{ApiRequest, Problem, response::respond};
use serde_json::Value;
use wechat::{
    digest::sha256_hex,
    random,
    store::{RecordedAnswer, SendClaim, SendOutcome, SendRequest},
    validate::send::SendTemplate,
};

use crate::{
    App,
    send::{self, End, Order, Outcome},
};

/// Characters that a key may have.
const KEY_LIMIT: usize = 255;
/// Characters of a `client_msg_id` made here: WeChat's limit for those of mass messages.
pub(crate) const CLIENT_MSG_ID_LENGTH: usize = 32;

/// The `Idempotency-Key` of a request.
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
            "Idempotency-Key must be 1 to {KEY_LIMIT} visible ASCII characters / 应为 1 至 {KEY_LIMIT} 个可见 ASCII 字符"
        ))
        .with_field("Idempotency-Key")
    };
    key.map(Some).ok_or_else(fault)
}

/// Sends `message`, which `body` holds, unless an earlier request with `key` has sent it.
pub(crate) async fn send_once(
    app: &App,
    request: &ApiRequest<'_>,
    message: &SendTemplate,
    body: &Value,
    key: &str,
) -> Result<Response<String>, Problem> {
    let (caller, deadline) = (request.caller(), request.deadline());
    let (owner, fingerprint) = (random::hex::<8>(), &fingerprint(body));
    let claim = SendRequest {
        caller: caller.namespace(),
        key,
        fingerprint,
        owner: &owner,
    };
    let claimed = app.account.table.claim_send(&claim, app.account.clock.now()).await;
    let state = match claimed? {
        SendClaim::Won(state) => state,
        SendClaim::Done(answer) => return Ok(again(answer)),
        SendClaim::InProgress { retry_after } => {
            return Err(Problem::in_progress(
                "a request with this Idempotency-Key is still in progress / 相同 Idempotency-Key 的请求仍在处理中",
                retry_after.unsigned_abs(),
            ));
        }
        SendClaim::OtherBody => return Err(Problem::key_reused()),
    };
    let client_msg_id = match &message.client_msg_id {
        Some(id) => id.clone(),
        None => sha256_hex(format!("{} {} {key}", app.account.table.app_id(), caller.namespace()).as_bytes())
            [..CLIENT_MSG_ID_LENGTH]
            .to_owned(),
    };
    let order = Order {
        caller,
        request: message,
        client_msg_id: &client_msg_id,
        state: &state,
        deadline,
    };
    let Outcome { response, end } = send::deliver(app, order).await;
    let outcome = match &end {
        End::Done => SendOutcome::Done(response.status().as_u16(), response.body()),
        End::Refused => SendOutcome::Refused,
        End::NotAsked => SendOutcome::NotAsked,
        End::Open(recipients) => SendOutcome::Open(recipients),
    };
    let finished = app.account.table.finish_send(&claim, outcome, app.account.clock.now());
    app.write("the outcome of a send", Some(&client_msg_id), deadline, finished)
        .await;
    Ok(response)
}

/// The same for the same members in whatever order and layout they are written.
fn fingerprint(body: &Value) -> String {
    sha256_hex(body.to_string().as_bytes())
}

/// Only answers that tell of a message that was sent are recorded: none of them is a problem.
fn again(answer: RecordedAnswer) -> Response<String> {
    let mut response = respond(answer.status, "application/json", answer.body);
    let headers = response.headers_mut();
    headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that repeats a request may write its members in another order.
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
