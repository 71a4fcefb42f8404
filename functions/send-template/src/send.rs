//! Sends to each recipient and says of each what happened.

use std::{
    collections::{HashMap, HashSet},
    sync::OnceLock,
};

use futures_util::{StreamExt, stream};
use http::Response;
use wechat::{
    api::{ApiError, TemplateMessage},
    clock::Deadline,
    problem::Problem,
    response,
    store::Turn,
    telemetry::{self, Metric},
    token::{CallError, CallFailure},
};

use crate::{
    App,
    answer::{RecipientResult, Results, Sent},
    request::{Recipients, SendTemplate},
    templates,
};

/// Sends that are under way at the same time.
const CONCURRENT_SENDS: usize = 20;
/// WeChat's codes for a mini program that is not linked to the account, and for a page that it does not have.
const NO_SUCH_APPID: [i64; 2] = [40013, 40166];
const NO_SUCH_PAGE: i64 = 40165;

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

impl Fate {
    /// Its name as a dimension of metrics, which the dashboard shows.
    const fn name(self) -> &'static str {
        match self {
            Self::Taken => "Taken",
            Self::Refused => "Refused",
            Self::NotAsked => "NotAsked",
            Self::Unknown => "Unknown",
        }
    }
}

/// What to do when WeChat could not even be asked.
const NOT_SENT: &str = "Nothing was sent: send it again. / 尚未发送，请重新发送。";

/// One recipient's message.
#[derive(Debug)]
struct Delivery {
    result: Result<String, Problem>,
    fate: Fate,
}

/// Checks and sends what `request` asks for. `client_msg_id` lets WeChat recognise a repeat, such as this is when it is not the
/// first `turn`.
pub(crate) async fn send(
    app: &App,
    request: &SendTemplate,
    client_msg_id: &str,
    turn: Turn,
    deadline: Deadline,
) -> Outcome {
    // Without a token every recipient would fail, one request to token-refresher after the other.
    if let Err(error) = app.tokens.token(deadline).await {
        return not_asked(Problem::from_token(&error, app.clock.now()));
    }
    let findings = templates::check(app, request, deadline).await;
    if !findings.is_empty() && !request.only_warns {
        return not_asked(Problem::template_mismatch(findings));
    }
    let findings = request.only_warns.then_some(findings);
    let batch = Batch {
        app,
        request,
        client_msg_id,
        turn,
        deadline,
        halted: OnceLock::new(),
    };
    match &request.recipients {
        Recipients::One(touser) => {
            let Delivery { result, fate } = batch.deliver_and_record(touser).await;
            let response = match result {
                Ok(msgid) => response::json(200, &Sent::new(msgid, findings)),
                Err(problem) => problem.with_findings(findings.unwrap_or_default()).into_response(),
            };
            Outcome { response, fate }
        }
        Recipients::Many(tousers) => {
            let deliveries = batch.deliver_to_all(tousers).await;
            let results = tousers
                .iter()
                .filter_map(|touser| Some(result_of(touser, deliveries.get(touser)?)))
                .collect();
            let all_sent = deliveries.values().all(|delivery| delivery.result.is_ok());
            let fates: Vec<_> = deliveries.values().map(|delivery| delivery.fate).collect();
            Outcome {
                response: response::json(if all_sent { 200 } else { 207 }, &Results { results, findings }),
                fate: fate_of_all(&fates),
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

/// The messages of one request.
struct Batch<'a> {
    app: &'a App,
    request: &'a SendTemplate,
    client_msg_id: &'a str,
    turn: Turn,
    deadline: Deadline,
    /// Why nobody can be sent anything any more.
    halted: OnceLock<Problem>,
}

impl Batch<'_> {
    /// To everyone in `tousers`. Who is named twice gets one message.
    async fn deliver_to_all(&self, tousers: &[String]) -> HashMap<String, Delivery> {
        let distinct: HashSet<&String> = tousers.iter().collect();
        let deliveries: Vec<_> = distinct
            .into_iter()
            .map(|touser| async move { (touser.clone(), self.deliver(touser).await) })
            .collect();
        // The next message goes out while those before it are recorded.
        stream::iter(deliveries)
            .buffer_unordered(CONCURRENT_SENDS)
            .map(|(touser, delivery)| async move {
                self.record(&touser, &delivery).await;
                (touser, delivery)
            })
            .buffer_unordered(tousers.len())
            .collect()
            .await
    }

    async fn deliver_and_record(&self, touser: &str) -> Delivery {
        let delivery = self.deliver(touser).await;
        self.record(touser, &delivery).await;
        delivery
    }

    async fn deliver(&self, touser: &str) -> Delivery {
        if let Some(problem) = self.halted.get() {
            return Delivery {
                result: Err(problem.clone()),
                fate: self.not_taken(Fate::NotAsked),
            };
        }
        match self.call(touser).await {
            Ok(msgid) => Delivery {
                result: Ok(msgid),
                fate: Fate::Taken,
            },
            Err(error) => Delivery {
                result: Err(self.explain(&error)),
                fate: self.not_taken(fate_of(&error)),
            },
        }
    }

    /// That a repeat was not taken does not tell what became of the first.
    const fn not_taken(&self, fate: Fate) -> Fate {
        match self.turn {
            Turn::First => fate,
            Turn::Repeat => Fate::Unknown,
        }
    }

    fn explain(&self, error: &CallError) -> Problem {
        let is_not_sent = !error.may_have_landed;
        let problem = match &error.cause {
            CallFailure::Api(ApiError::OutOfTime { .. }) if is_not_sent => Problem::not_sent(),
            CallFailure::Api(ApiError::Connection { .. }) if is_not_sent => {
                Problem::from_call(error, self.app.clock.now()).and_hint(NOT_SENT)
            }
            _ => Problem::from_call(error, self.app.clock.now()),
        };
        if matches!(error.cause, CallFailure::Token(_)) {
            // A second reason is the same one, found by a send that was under way.
            let _ = self.halted.set(problem.clone());
        }
        let problem = match self.member_at_fault(error) {
            Some(member) => problem.blaming(member),
            None => problem,
        };
        if error.may_have_landed || self.turn == Turn::Repeat {
            problem.and_hint(&may_have_been_sent(self.client_msg_id))
        } else {
            problem
        }
    }

    /// What the caller wrote and WeChat refuses by a code that otherwise blames the set-up: it does not name the member.
    fn member_at_fault(&self, error: &CallError) -> Option<&'static str> {
        let CallFailure::Api(error) = &error.cause else {
            return None;
        };
        self.request.miniprogram.as_ref()?;
        match error.errcode()? {
            errcode if NO_SUCH_APPID.contains(&errcode) => Some("miniprogram.appid"),
            NO_SUCH_PAGE => Some("miniprogram.pagepath"),
            _ => None,
        }
    }

    /// Counts what became of a message, and records one that WeChat has taken. That this fails must not make the caller
    /// send it again.
    async fn record(&self, touser: &str, delivery: &Delivery) {
        let Self {
            app, request, deadline, ..
        } = *self;
        let outcome = delivery.fate.name();
        telemetry::emit(
            &[Metric::count("Sends")],
            Some(("Outcome", outcome)),
            app.clock.now_millis(),
        );
        if let Ok(msgid) = &delivery.result {
            let recorded = app
                .table
                .record_sent(&app.app_id, msgid, touser, &request.template_id, app.clock.now());
            app.write("a sent message", deadline, recorded).await;
        }
    }

    /// Calls WeChat, and again when that may help, which `client_msg_id` makes harmless.
    async fn call(&self, touser: &str) -> Result<String, CallError> {
        let Self { app, deadline, .. } = *self;
        let message = &self.message(touser);
        let send = |token, attempts| async move { app.client.send_template(&token, message, attempts, deadline).await };
        app.tokens.call(deadline, send).await
    }

    fn message(&self, touser: &str) -> TemplateMessage {
        let Self {
            request, client_msg_id, ..
        } = *self;
        TemplateMessage {
            touser: touser.to_owned(),
            template_id: request.template_id.clone(),
            url: request.url.clone(),
            miniprogram: request.miniprogram.clone(),
            client_msg_id: client_msg_id.to_owned(),
            data: request.data.clone(),
        }
    }
}

const fn fate_of(error: &CallError) -> Fate {
    match error.cause {
        _ if error.may_have_landed => Fate::Unknown,
        CallFailure::Api(ApiError::Rejected { .. }) => Fate::Refused,
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
