//! Sends to each recipient and says of each what happened.

use std::{
    collections::{HashMap, HashSet},
    sync::OnceLock,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use http::Response;
use wechat::{
    api::{ApiError, TemplateMessage},
    clock::Deadline,
    problem::{self, Problem},
    token::CallError,
};

use crate::{
    App,
    answer::{RecipientResult, Results, Sent},
    request::{Recipients, SendTemplate},
    templates,
};

/// Sends that are under way at the same time.
const CONCURRENT_SENDS: usize = 20;
/// Calls for one recipient: `client_msg_id` makes a repeat harmless. Each may be made once more with a fresh token.
const ATTEMPTS: usize = 2;
/// The wait before a repeat.
const BACK_OFF: Duration = Duration::from_millis(300);

/// What a request came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) response: Response<String>,
    pub(crate) fate: Fate,
}

/// What became of one message, or of several under one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// WeChat took it, or some of them and refused the others.
    Taken,
    /// WeChat refused.
    Refused,
    /// WeChat was not asked.
    NotAsked,
    /// WeChat may have taken it; or it took some and was not asked for others. A repeat completes it.
    Unknown,
}

/// One recipient's message.
#[derive(Debug)]
struct Delivery {
    result: Result<String, Problem>,
    fate: Fate,
}

/// Checks and sends what `request` asks for. `client_msg_id` lets WeChat recognise a repeat.
pub(crate) async fn send(app: &App, request: &SendTemplate, client_msg_id: &str, deadline: Deadline) -> Outcome {
    // Without a token every recipient would fail, one request to token-refresher after the other.
    if let Err(error) = app.tokens.ensure(deadline).await {
        return not_asked(Problem::from_call(&CallError::Token(error), app.clock.now()));
    }
    let findings = templates::check(app, request, deadline).await;
    if !findings.is_empty() && !request.only_warns {
        return not_asked(Problem::template_mismatch(findings));
    }
    let findings = request.only_warns.then_some(findings);
    let halted = OnceLock::new();
    let deliver_to = |touser: &str| {
        let message = message(request, touser, client_msg_id);
        let halted = &halted;
        async move { deliver(app, &message, halted, deadline).await }
    };
    match &request.recipients {
        Recipients::One(touser) => {
            let delivery = deliver_to(touser).await;
            record(app, &delivery, touser, &request.template_id, deadline).await;
            let Delivery { result, fate } = delivery;
            let response = match result {
                Ok(msgid) => problem::json(200, &Sent::new(msgid, findings)),
                Err(problem) => problem.with_findings(findings.unwrap_or_default()).into_response(),
            };
            Outcome { response, fate }
        }
        Recipients::Many(tousers) => {
            // A recipient who is named twice gets one message.
            let mut seen = HashSet::new();
            let distinct = tousers.iter().filter(|touser| seen.insert(touser.as_str()));
            let deliveries: Vec<_> = distinct
                .map(|touser| {
                    let delivery = deliver_to(touser);
                    let touser = touser.clone();
                    async move { (touser, delivery.await) }
                })
                .collect();
            // The next message goes out while those before it are recorded.
            let deliveries: HashMap<String, Delivery> = stream::iter(deliveries)
                .buffer_unordered(CONCURRENT_SENDS)
                .map(|(touser, delivery)| async move {
                    record(app, &delivery, &touser, &request.template_id, deadline).await;
                    (touser, delivery)
                })
                .buffer_unordered(tousers.len())
                .collect()
                .await;
            let results = tousers
                .iter()
                .filter_map(|touser| Some(result_of(touser, deliveries.get(touser)?)))
                .collect();
            let all_sent = deliveries.values().all(|delivery| delivery.result.is_ok());
            Outcome {
                response: problem::json(if all_sent { 200 } else { 207 }, &Results { results, findings }),
                fate: fate_of_all(&deliveries.values().map(|delivery| delivery.fate).collect::<Vec<_>>()),
            }
        }
    }
}

fn not_asked(problem: Problem) -> Outcome {
    Outcome {
        response: problem.into_response(),
        fate: Fate::NotAsked,
    }
}

fn message(request: &SendTemplate, touser: &str, client_msg_id: &str) -> TemplateMessage {
    TemplateMessage {
        touser: touser.to_owned(),
        template_id: request.template_id.clone(),
        url: request.url.clone(),
        miniprogram: request.miniprogram.clone(),
        client_msg_id: client_msg_id.to_owned(),
        data: request.data.clone(),
    }
}

/// One recipient. `halted` is why nobody can be sent anything any more.
async fn deliver(app: &App, message: &TemplateMessage, halted: &OnceLock<Problem>, deadline: Deadline) -> Delivery {
    if let Some(problem) = halted.get() {
        return Delivery {
            result: Err(problem.clone()),
            fate: Fate::NotAsked,
        };
    }
    match call(app, message, deadline).await {
        Ok(msgid) => Delivery {
            result: Ok(msgid),
            fate: Fate::Taken,
        },
        Err((error, fate)) => {
            let problem = match &error {
                CallError::Api(ApiError::OutOfTime { .. }) => Problem::not_sent(),
                error => Problem::from_call(error, app.clock.now()),
            };
            if matches!(error, CallError::Token(_)) {
                // A second reason is the same one, found by a send that was under way.
                let _ = halted.set(problem.clone());
            }
            let result = match fate {
                Fate::Unknown => Err(problem.and_hint(&may_have_been_sent(&message.client_msg_id))),
                _ => Err(problem),
            };
            Delivery { result, fate }
        }
    }
}

/// Records a message that WeChat has taken. That this fails must not make the caller send it again.
async fn record(app: &App, delivery: &Delivery, touser: &str, template_id: &str, deadline: Deadline) {
    if let Ok(msgid) = &delivery.result {
        let recorded = app.table.record_sent(msgid, touser, template_id, app.clock.now());
        app.write("a sent message", deadline, recorded).await;
    }
}

/// Calls WeChat, and once more when that may help. A refusal of the repeat does not tell what became of the first call.
async fn call(app: &App, message: &TemplateMessage, deadline: Deadline) -> Result<String, (CallError, Fate)> {
    let send = |token, _| async move { app.client.send_template(&token, message, 1, deadline).await };
    let mut attempts = 1;
    let mut earlier = None;
    loop {
        let error = match app.tokens.call(deadline, send).await {
            Ok(msgid) => return Ok(msgid),
            Err(error) => error,
        };
        if attempts < ATTEMPTS && may_pass(&error) {
            attempts += 1;
            earlier = Some(error);
            app.clock.sleep(BACK_OFF).await;
            continue;
        }
        let may_be_taken = earlier.as_ref().is_some_and(|error| fate_of(error) == Fate::Unknown);
        let fate = if may_be_taken { Fate::Unknown } else { fate_of(&error) };
        return match (error, earlier) {
            (CallError::Api(ApiError::OutOfTime { .. }), Some(earlier)) => Err((earlier, fate)),
            (error, _) => Err((error, fate)),
        };
    }
}

/// Whether the same call may go through a moment later. One that timed out has had its time.
fn may_pass(error: &CallError) -> bool {
    match error {
        CallError::Api(ApiError::Connection { .. }) => true,
        CallError::Api(ApiError::Status { status, .. }) => *status >= 500,
        CallError::Api(error) => error.errcode() == Some(-1),
        _ => false,
    }
}

const fn fate_of(error: &CallError) -> Fate {
    match error {
        CallError::Api(error) if error.is_ambiguous() => Fate::Unknown,
        CallError::Api(ApiError::Rejected { .. }) => Fate::Refused,
        _ => Fate::NotAsked,
    }
}

/// A repeat must stay possible where something is unknown or undone, and the answer be kept where something was sent.
fn fate_of_all(fates: &[Fate]) -> Fate {
    let any = |wanted| fates.contains(&wanted);
    match (
        any(Fate::Unknown),
        any(Fate::Taken),
        any(Fate::NotAsked),
        any(Fate::Refused),
    ) {
        (true, ..) | (_, true, true, _) => Fate::Unknown,
        (_, true, ..) => Fate::Taken,
        (.., true) => Fate::Refused,
        _ => Fate::NotAsked,
    }
}

fn result_of(touser: &str, delivery: &Delivery) -> RecipientResult {
    let touser = touser.to_owned();
    match &delivery.result {
        Ok(msgid) => RecipientResult::Sent {
            touser,
            sent: Sent::new(msgid.clone(), None),
        },
        Err(problem) => RecipientResult::Failed {
            touser,
            problem: problem.clone(),
        },
    }
}

fn may_have_been_sent(client_msg_id: &str) -> String {
    format!(
        "WeChat may have sent it. Within 9 minutes a repeat is harmless: the same request with the same Idempotency-Key, \
         or with \"client_msg_id\": \"{client_msg_id}\". / 微信可能已发送。9 分钟内可放心重试：使用相同的 Idempotency-Key，\
         或带上 \"client_msg_id\": \"{client_msg_id}\"。"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_unknown_fate_leaves_the_request_open_and_one_message_closes_it() {
        use Fate::{NotAsked, Refused, Taken, Unknown};
        for (fates, whole) in [
            (&[Taken, Taken][..], Taken),
            (&[Taken, Refused], Taken),
            (&[Taken, Unknown, Refused], Unknown),
            (&[Refused, Unknown], Unknown),
            (&[Taken, NotAsked], Unknown),
            (&[Refused, NotAsked], Refused),
            (&[Refused], Refused),
            (&[NotAsked, NotAsked], NotAsked),
        ] {
            assert_eq!(fate_of_all(fates), whole, "{fates:?}");
        }
    }
}
