//! Sends to each recipient and says of each what happened.

use futures_util::{StreamExt, stream};
use http::Response;
use serde_json::{Value, json};
use wechat::{
    api::TemplateMessage,
    clock::Deadline,
    problem::{self, Problem},
    token::CallError,
};

use crate::{
    App,
    request::{Recipients, SendTemplate},
};

/// Sends that are under way at the same time.
const CONCURRENT_SENDS: usize = 20;

/// What a request came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) response: Response<String>,
    pub(crate) taken: Taken,
}

/// Whether WeChat took the message, or any of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Yes,
    No,
    Unknown,
}

/// Sends what `request` asks for. `client_msg_id` lets WeChat recognise a repeat.
pub(crate) async fn send(app: &App, request: &SendTemplate, client_msg_id: &str, deadline: Deadline) -> Outcome {
    match &request.recipients {
        Recipients::One(touser) => match send_one(app, request, touser, client_msg_id, deadline).await {
            Ok(msgid) => {
                let body = json!({"errcode": 0, "errmsg": "ok", "msgid": msgid});
                Outcome {
                    response: problem::json(200, &body),
                    taken: Taken::Yes,
                }
            }
            Err(error) => {
                let response = Problem::from_call(&error, app.clock.now()).into_response();
                Outcome {
                    response,
                    taken: taken_despite(&error),
                }
            }
        },
        Recipients::Many(tousers) => send_many(app, request, tousers, client_msg_id, deadline).await,
    }
}

async fn send_many(
    app: &App,
    request: &SendTemplate,
    tousers: &[String],
    client_msg_id: &str,
    deadline: Deadline,
) -> Outcome {
    let sends: Vec<_> = tousers
        .iter()
        .map(|touser| send_one(app, request, touser, client_msg_id, deadline))
        .collect();
    let outcomes: Vec<_> = stream::iter(sends).buffered(CONCURRENT_SENDS).collect().await;
    let now = app.clock.now();
    let results: Vec<Value> = tousers
        .iter()
        .zip(&outcomes)
        .map(|(touser, outcome)| result_of(touser, outcome, now))
        .collect();
    let status = if outcomes.iter().all(Result::is_ok) { 200 } else { 207 };
    let response = problem::json(status, &json!({"results": results}));
    let taken = outcomes
        .iter()
        .map(|outcome| outcome.as_ref().map_or_else(taken_despite, |_| Taken::Yes));
    Outcome {
        response,
        taken: summarise(taken),
    }
}

/// One recipient: the call, and the record of it.
async fn send_one(
    app: &App,
    request: &SendTemplate,
    touser: &str,
    client_msg_id: &str,
    deadline: Deadline,
) -> Result<String, CallError> {
    let message = TemplateMessage {
        touser: touser.to_owned(),
        template_id: request.template_id.clone(),
        url: request.url.clone(),
        miniprogram: request.miniprogram.clone(),
        client_msg_id: client_msg_id.to_owned(),
        data: request.data.clone(),
    };
    let message = &message;
    let send = |token, attempts| async move { app.client.send_template(&token, message, attempts, deadline).await };
    let msgid = app.tokens.call(deadline, send).await?;
    // WeChat has taken the message: a failure to record it must not make the caller send it again.
    if let Err(error) = app
        .table
        .record_sent(&msgid, touser, &request.template_id, app.clock.now())
        .await
    {
        tracing::error!(%error, msgid, "the message was sent, but could not be recorded");
    }
    Ok(msgid)
}

fn result_of(touser: &str, outcome: &Result<String, CallError>, now: i64) -> Value {
    match outcome {
        Ok(msgid) => json!({"touser": touser, "errcode": 0, "errmsg": "ok", "msgid": msgid}),
        Err(error) => {
            let mut result = json!(Problem::from_call(error, now));
            result["touser"] = touser.into();
            result
        }
    }
}

const fn taken_despite(error: &CallError) -> Taken {
    match error {
        CallError::Api(error) if error.is_ambiguous() => Taken::Unknown,
        CallError::Api(_) | CallError::Token(_) => Taken::No,
        _ => Taken::Unknown,
    }
}

/// A message that may have been taken weighs more than one that was, and that more than one that was not: a repeat
/// must be possible where something is unknown, and the recorded answer be given where something was sent.
fn summarise(taken: impl Iterator<Item = Taken>) -> Taken {
    taken.fold(Taken::No, |sum, one| match (sum, one) {
        (Taken::Unknown, _) | (_, Taken::Unknown) => Taken::Unknown,
        (Taken::Yes, _) | (_, Taken::Yes) => Taken::Yes,
        (Taken::No, Taken::No) => Taken::No,
    })
}
