//! `Idempotency-Key`: a request that is repeated with the same key is sent once.

use http::{HeaderMap, Response};
use http_api::Caller;
use serde_json::Value;
use wechat::{
    clock::Deadline,
    digest::sha256_hex,
    hex,
    problem::Problem,
    response::respond,
    store::{RecordedAnswer, SendClaim, SendOutcome, SendRequest, SendState},
};

use crate::{
    App,
    request::SendTemplate,
    send::{self, End, Order, Outcome},
};

/// Characters that a key may have.
const KEY_LIMIT: usize = 255;
/// Characters of a `client_msg_id` made here: WeChat's limit for those of mass messages.
const CLIENT_MSG_ID_LENGTH: usize = 32;

/// Serves `POST /api/sendTemplateMessage`.
pub(crate) async fn send(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    body: &Value,
    deadline: Deadline,
) -> Result<Response<String>, Problem> {
    let request = &SendTemplate::read(body)?;
    match idempotency_key(headers)? {
        None => {
            let client_msg_id = &request
                .client_msg_id
                .clone()
                .map_or_else(|| run_name(CLIENT_MSG_ID_LENGTH / 2), Ok)?;
            let order = Order {
                caller,
                request,
                client_msg_id,
                state: &SendState::default(),
                deadline,
            };
            Ok(send::send(app, order).await.response)
        }
        Some(key) => send_once(app, caller, request, key, &fingerprint(body), deadline).await,
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
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

async fn send_once(
    app: &App,
    caller: &Caller,
    request: &SendTemplate,
    key: &str,
    fingerprint: &str,
    deadline: Deadline,
) -> Result<Response<String>, Problem> {
    let owner = run_name(8)?;
    let claim = SendRequest {
        caller: caller.namespace(),
        key,
        fingerprint,
        owner: &owner,
    };
    let claimed = app.table.claim_send(&claim, app.clock.now()).await;
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
    let client_msg_id = match &request.client_msg_id {
        Some(id) => id.clone(),
        None => sha256_hex(format!("{} {} {key}", app.table.app_id(), caller.namespace()).as_bytes())
            [..CLIENT_MSG_ID_LENGTH]
            .to_owned(),
    };
    let order = Order {
        caller,
        request,
        client_msg_id: &client_msg_id,
        state: &state,
        deadline,
    };
    let Outcome { response, end } = send::send(app, order).await;
    let outcome = match &end {
        End::Done => SendOutcome::Done(response.status().as_u16(), response.body()),
        End::Refused => SendOutcome::Refused,
        End::NotAsked => SendOutcome::NotAsked,
        End::Open(recipients) => SendOutcome::Open(recipients),
    };
    let finished = app.table.finish_send(&claim, outcome, app.clock.now());
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
    respond(answer.status, "application/json", answer.body)
}

/// A name that no other run has.
fn run_name(bytes: usize) -> Result<String, Problem> {
    hex::random(bytes).map_err(Problem::no_randomness)
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
