//! `POST /api/sendTemplateMessage`: sends to each recipient and says of each what happened.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream};
use http::Response;
use http_api::{
    ApiRequest, Caller, Operation, Problem, Route,
    openapi::{Body, Location, Parameter, Schema},
    response, route,
};
use serde_json::{Value, json};
use wechat::{
    api::{ApiError, TemplateMessage, calls::template::SendTemplateMessage},
    clock::Deadline,
    random,
    store::{RecipientState, SendState},
    telemetry::{self, Metric},
    token::{CallError, CallFailure},
    validate::{
        send::{Recipients, SendTemplate},
        template::Finding,
    },
};

use crate::{
    App,
    answer::{RecipientResult, Results, Sent},
    hints,
    idempotency::{self, CLIENT_MSG_ID_LENGTH},
    templates,
};

pub(crate) const ROUTES: &[Route<App>] = &[
    route!(POST "/api/sendTemplateMessage" => send_template_message, Operation {
        id: "sendTemplateMessage",
        summary: "Send a template message / 发送模板消息",
        parameters: &[Parameter {
            name: "Idempotency-Key",
            location: Location::Header,
            description: "A request that is repeated with the same key within 24 hours is sent once, and answered the same; where something is still unknown or undone, the repeat asks for that alone. Keys belong to the caller's API key.",
            schema: r#"{"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"}"#,
        }],
        body: Some(Body::required("TemplateMessage")),
        answers: &[
            (200, "WeChat took it; with an array, every one of them", Schema::OneOf(&["Sent", "Results"])),
            (
                207,
                "Some recipients failed: `results` says which. When all failed alike, the answer is that failure",
                Schema::Named("Results"),
            ),
        ],
        failures: &[400, 409, 413, 422, 429],
        ..Operation::NEW
    }),
];

/// Sends that are in flight at the same time.
const CONCURRENT_SENDS: usize = 20;
/// What the sends leave of the request's time, to record what became of them.
const RECORDING: Duration = Duration::from_millis(500);
/// Seconds. WeChat recognises a client_msg_id for 10 minutes; a minute is left for the repeat itself.
const REPEAT_IS_HARMLESS_FOR: i64 = 9 * 60;
/// WeChat's codes for a mini program that is not linked to the account, and for a page that it does not have.
const NO_SUCH_APPID: [i64; 2] = [40013, 40166];
const NO_SUCH_PAGE: i64 = 40165;
/// What is said of those who were not asked for after a refusal of everybody.
const NOT_ASKED: &str = "WeChat was not asked for this recipient, since it had refused another for this reason. / 因前面的接收者已因此被拒，未再为该用户请求微信。";
/// What to do when WeChat could not even be asked.
const NOT_SENT: &str = "Nothing was sent: send it again. / 尚未发送，请重新发送。";

/// One request to send, as far as the sends need to know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order<'a> {
    /// Who asks for it.
    pub(crate) caller: &'a Caller,
    /// What to send, and to whom.
    pub(crate) request: &'a SendTemplate,
    /// With which WeChat recognises a repeat.
    pub(crate) client_msg_id: &'a str,
    /// What earlier runs under the same `Idempotency-Key` have left.
    pub(crate) state: &'a SendState,
    /// When it has to be answered.
    pub(crate) deadline: Deadline,
}

/// What a request came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) response: Response<String>,
    pub(crate) end: End,
}

/// How far a request with all its recipients has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Every recipient is settled, and WeChat took at least one message.
    Done,
    /// WeChat refused all that it was asked.
    Refused,
    /// WeChat was not asked.
    NotAsked,
    /// A repeat can complete it, with what is known of each recipient.
    Open(BTreeMap<String, RecipientState>),
}

/// What became of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// WeChat took it.
    Taken,
    /// WeChat refused this recipient.
    Refused,
    /// WeChat refused what every recipient was to get: this one may be asked for again.
    RefusedWithAll,
    /// WeChat was not asked.
    NotAsked,
    /// WeChat may have taken it.
    Unknown {
        /// When it may first have been asked, in epoch seconds.
        since: i64,
    },
}

impl Fate {
    /// Its name as a dimension of metrics, which the dashboard shows.
    const fn name(self) -> &'static str {
        match self {
            Self::Taken => "Taken",
            Self::Refused | Self::RefusedWithAll => "Refused",
            Self::NotAsked => "NotAsked",
            Self::Unknown { .. } => "Unknown",
        }
    }
}

/// What a run does for one recipient.
enum Plan {
    /// Gives the result of an earlier run again.
    AnswerAgain(Value),
    /// Neither asks nor knows: WeChat may have been asked too long ago to recognise a repeat.
    LeaveUnknown {
        /// When it may first have been asked, in epoch seconds.
        since: i64,
    },
    /// Asks WeChat.
    Ask {
        /// When an earlier run may first have asked, in epoch seconds.
        unknown_since: Option<i64>,
    },
}

/// One recipient's message.
#[derive(Debug)]
struct Delivery {
    result: RecipientResult,
    fate: Fate,
}

/// Serves `POST /api/sendTemplateMessage`.
async fn send_template_message(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let body = request.json()?;
    let message = &SendTemplate::read(&body).map_err(Problem::faulty_request)?;
    if let Some(key) = idempotency::key(request.headers())? {
        return idempotency::send_once(app, request, message, &body, key).await;
    }
    let client_msg_id = match &message.client_msg_id {
        Some(id) => id.clone(),
        None => random::hex::<{ CLIENT_MSG_ID_LENGTH / 2 }>(),
    };
    let order = Order {
        caller: request.caller(),
        request: message,
        client_msg_id: &client_msg_id,
        state: &SendState::default(),
        deadline: request.deadline(),
    };
    Ok(deliver(app, order).await.response)
}

/// Checks and sends what `order` asks for.
pub(crate) async fn deliver(app: &App, order: Order<'_>) -> Outcome {
    let batch = Batch {
        app,
        order,
        started: app.account.clock.now(),
        halted: OnceLock::new(),
        has_doubtful_refusal: AtomicBool::new(false),
    };
    let tousers = match &order.request.recipients {
        Recipients::One(touser) => std::slice::from_ref(touser),
        Recipients::Many(tousers) => tousers,
    };
    let mut findings = None;
    if tousers
        .iter()
        .any(|touser| matches!(batch.plan(touser), Plan::Ask { .. }))
    {
        match check(app, order).await {
            Ok(found) => findings = found,
            Err(problem) => batch.halt(problem),
        }
    }
    let deliveries = batch.deliver_to_all(tousers).await;
    let end = end(&deliveries);
    let results = tousers
        .iter()
        .filter_map(|touser| deliveries.get(touser).map(|delivery| delivery.result.clone()));
    let response = match &order.request.recipients {
        Recipients::One(_) => answer_one(results.collect(), findings),
        Recipients::Many(_) => answer_many(results.collect(), refusal_of_all(&deliveries), findings),
    };
    Outcome { response, end }
}

/// What to tell of the message beside its fate, or why it cannot be sent to anybody.
async fn check(app: &App, order: Order<'_>) -> Result<Option<Vec<Finding>>, Problem> {
    let Order { request, deadline, .. } = order;
    // Without a token every recipient would fail, one request to token-refresher after the other.
    if let Err(error) = app.account.tokens.token(deadline).await {
        return Err(Problem::from_token(&error, app.account.clock.now()));
    }
    let findings = templates::check(app, request, deadline).await;
    if findings.iter().any(Finding::is_refusal) && !request.only_warns {
        return Err(Problem::template_mismatch(findings));
    }
    Ok(Some(findings).filter(|findings| request.only_warns || !findings.is_empty()))
}

fn answer_one(results: Vec<RecipientResult>, findings: Option<Vec<Finding>>) -> Response<String> {
    match results.into_iter().next() {
        Some(RecipientResult::Sent { sent, .. }) => response::json(200, &Sent { findings, ..sent }),
        Some(RecipientResult::Failed { problem, .. }) => {
            let findings = findings.unwrap_or_default();
            let problem = if findings.is_empty() {
                problem
            } else {
                problem.with_findings(findings)
            };
            problem.into_response()
        }
        Some(RecipientResult::Known(result)) => {
            let status = result.get("status").and_then(Value::as_u64);
            response::json(status.and_then(|status| status.try_into().ok()).unwrap_or(200), &result)
        }
        None => Problem::bad_request("nobody to send to / 没有接收者").into_response(),
    }
}

/// What WeChat refused everybody with, in the words of one whom it was asked for.
fn refusal_of_all(deliveries: &HashMap<String, Delivery>) -> Option<&Problem> {
    deliveries.values().find_map(|delivery| match &delivery.result {
        RecipientResult::Failed { problem, .. } if delivery.fate == Fate::RefusedWithAll => Some(problem),
        _ => None,
    })
}

/// When all have failed alike, one failure with its own status says it better than a list.
fn answer_many(
    results: Vec<RecipientResult>,
    refusal: Option<&Problem>,
    findings: Option<Vec<Finding>>,
) -> Response<String> {
    let failure = |result: &RecipientResult| match result {
        RecipientResult::Failed { problem, .. } => Some(problem.clone()),
        RecipientResult::Sent { .. } | RecipientResult::Known(_) => None,
    };
    if let Some(first) = results.first().and_then(failure) {
        let is_like_first = |result| failure(result).is_some_and(|problem| problem.is_like(&first));
        if results.iter().all(is_like_first) {
            let refusal = refusal.filter(|refusal| refusal.is_like(&first)).cloned();
            return refusal.unwrap_or(first).into_response();
        }
    }
    let all_sent = results.iter().all(RecipientResult::is_sent);
    response::json(if all_sent { 200 } else { 207 }, &Results { results, findings })
}

/// The messages of one request.
struct Batch<'a> {
    app: &'a App,
    order: Order<'a>,
    /// When this run began, in epoch seconds.
    started: i64,
    /// Why nobody can be sent anything any more.
    halted: OnceLock<Problem>,
    /// Whether a recipient was refused by a code that may be about them alone.
    has_doubtful_refusal: AtomicBool,
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

    /// What is to be done for `touser`, by what earlier runs have left.
    fn plan(&self, touser: &str) -> Plan {
        match self.order.state.of(touser) {
            Some(RecipientState::Settled { result }) => Plan::AnswerAgain(result),
            Some(RecipientState::Unknown { since }) if !self.is_harmless(since) => Plan::LeaveUnknown { since },
            Some(RecipientState::Unknown { since }) => Plan::Ask {
                unknown_since: Some(since),
            },
            None => Plan::Ask { unknown_since: None },
        }
    }

    /// Whether WeChat would still recognise a repeat of what it may have been asked at `since`.
    const fn is_harmless(&self, since: i64) -> bool {
        self.started - since < REPEAT_IS_HARMLESS_FOR
    }

    async fn deliver(&self, touser: &str) -> Delivery {
        let unknown_since = match self.plan(touser) {
            Plan::AnswerAgain(result) => {
                let result = RecipientResult::Known(result);
                let fate = if result.is_sent() { Fate::Taken } else { Fate::Refused };
                return Delivery { result, fate };
            }
            Plan::LeaveUnknown { since } => {
                let problem = Problem::outcome_unknown(self.order.client_msg_id);
                return Delivery {
                    result: RecipientResult::failed(touser, problem),
                    fate: Fate::Unknown { since },
                };
            }
            Plan::Ask { unknown_since } => unknown_since,
        };
        if let Some(problem) = self.halted.get() {
            return self.not_taken(touser, problem.clone(), unknown_since, Fate::NotAsked);
        }
        match self.call(touser).await {
            Ok(msgid) => Delivery {
                result: RecipientResult::Sent {
                    touser: touser.to_owned(),
                    sent: Sent::new(msgid, None),
                },
                fate: Fate::Taken,
            },
            Err(error) => {
                let unknown_since = unknown_since.or(error.may_have_landed.then_some(self.started));
                let problem = self.explain(&error);
                let is_of_all = self.refuses_everybody(&error);
                if is_of_all {
                    self.halt(problem.clone().and_hint(NOT_ASKED));
                }
                self.not_taken(touser, problem, unknown_since, fate_of(&error, is_of_all))
            }
        }
    }

    /// That the last attempt was not taken does not tell what became of one before.
    fn not_taken(&self, touser: &str, problem: Problem, unknown_since: Option<i64>, fate: Fate) -> Delivery {
        let (problem, fate) = match unknown_since {
            Some(since) => {
                let problem = Problem::may_have_been_sent(self.order.client_msg_id, &problem);
                (problem, Fate::Unknown { since })
            }
            None => (problem, fate),
        };
        Delivery {
            result: RecipientResult::failed(touser, problem),
            fate,
        }
    }

    /// Asks WeChat nothing more. A second reason is the same one, found by a send that was in flight.
    fn halt(&self, problem: Problem) {
        let _ = self.halted.set(problem);
    }

    fn explain(&self, error: &CallError) -> Problem {
        let problem = match &error.cause {
            CallFailure::Api(ApiError::OutOfTime { .. }) => Problem::not_sent(),
            CallFailure::Api(ApiError::Connection { .. }) => Problem::from(error).and_hint(NOT_SENT),
            _ => hints::explain(Problem::from(error), self.order.request, error),
        };
        match self.member_at_fault(error) {
            Some(member) => problem.blaming(member),
            None => problem,
        }
    }

    /// Whether every other recipient would fail likewise. A refusal that may be about one of them counts from the second on,
    /// or one frozen user would keep the message from all others.
    fn refuses_everybody(&self, error: &CallError) -> bool {
        match &error.cause {
            CallFailure::Token(_) => true,
            CallFailure::Api(ApiError::Rejected { rejection, .. }) => {
                let entry = rejection.entry();
                entry.refuses_everybody()
                    && (!entry.may_be_about_one_recipient() || self.has_doubtful_refusal.swap(true, Ordering::Relaxed))
            }
            _ => false,
        }
    }

    /// What the caller wrote and WeChat refuses by a code that otherwise blames the set-up: it does not name the member.
    fn member_at_fault(&self, error: &CallError) -> Option<&'static str> {
        let CallFailure::Api(error) = &error.cause else {
            return None;
        };
        self.order.request.miniprogram.as_ref()?;
        match error.errcode()? {
            errcode if NO_SUCH_APPID.contains(&errcode) => Some("miniprogram.appid"),
            NO_SUCH_PAGE => Some("miniprogram.pagepath"),
            _ => None,
        }
    }

    /// Tells of a message in one line and one metric, and records one that WeChat has taken. That this fails must not make
    /// the caller send it again.
    async fn record(&self, touser: &str, delivery: &Delivery) {
        let Self { app, order, .. } = *self;
        let outcome = delivery.fate.name();
        let (msgid, errcode) = match &delivery.result {
            RecipientResult::Sent { sent, .. } => (Some(sent.msgid.as_str()), Some(sent.errcode)),
            RecipientResult::Failed { problem, .. } => (None, problem.errcode()),
            RecipientResult::Known(_) => return,
        };
        tracing::info!(
            msgid,
            errcode,
            outcome,
            client_msg_id = order.client_msg_id,
            key = order.caller.name(),
            "template message"
        );
        telemetry::emit(
            &[Metric::count("Sends")],
            Some(("Outcome", outcome)),
            app.account.clock.now_millis(),
        );
        if let Some(msgid) = msgid {
            let template_id = &order.request.template_id;
            let now = app.account.clock.now();
            let recorded = app.account.table.record_sent(msgid, touser, template_id, now);
            app.write("a sent message", Some(msgid), order.deadline, recorded).await;
        }
    }

    /// Calls WeChat, and again when that may help, which `client_msg_id` makes harmless.
    async fn call(&self, touser: &str) -> Result<String, CallError> {
        let Self { app, order, .. } = *self;
        let deadline = order.deadline.before(RECORDING);
        let message = &self.message(touser);
        app.account.call(&SendTemplateMessage(message), deadline).await
    }

    fn message(&self, touser: &str) -> TemplateMessage {
        let Order {
            request, client_msg_id, ..
        } = self.order;
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

const fn fate_of(error: &CallError, is_of_all: bool) -> Fate {
    match &error.cause {
        CallFailure::Api(ApiError::Rejected { .. }) if is_of_all => Fate::RefusedWithAll,
        CallFailure::Api(ApiError::Rejected { .. }) => Fate::Refused,
        _ => Fate::NotAsked,
    }
}

/// A repeat must stay possible where something is unknown or undone, and the answer be kept where all is settled.
fn end(deliveries: &HashMap<String, Delivery>) -> End {
    let fates = || deliveries.values().map(|delivery| delivery.fate);
    let is_taken = fates().any(|fate| fate == Fate::Taken);
    let is_settled = |fate| matches!(fate, Fate::Taken | Fate::Refused);
    if is_taken && fates().all(is_settled) {
        return End::Done;
    }
    if is_taken || fates().any(|fate| matches!(fate, Fate::Unknown { .. })) {
        let states = deliveries
            .iter()
            .filter_map(|(touser, delivery)| Some((touser.clone(), state(delivery)?)));
        return End::Open(states.collect());
    }
    if fates().all(|fate| fate == Fate::NotAsked) {
        End::NotAsked
    } else {
        End::Refused
    }
}

fn state(delivery: &Delivery) -> Option<RecipientState> {
    match delivery.fate {
        Fate::Taken | Fate::Refused => Some(RecipientState::Settled {
            result: json!(delivery.result),
        }),
        Fate::Unknown { since } => Some(RecipientState::Unknown { since }),
        Fate::RefusedWithAll | Fate::NotAsked => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SINCE: i64 = 1_767_225_600;

    fn end_of(fates: &[Fate]) -> End {
        let delivery = |(index, fate): (usize, &Fate)| {
            let touser = index.to_string();
            let result = RecipientResult::failed(&touser, Problem::not_sent());
            (touser, Delivery { result, fate: *fate })
        };
        end(&fates.iter().enumerate().map(delivery).collect())
    }

    #[test]
    fn one_unknown_fate_leaves_the_request_open_and_one_message_closes_it() {
        use Fate::{NotAsked, Refused, RefusedWithAll, Taken};
        let unknown = Fate::Unknown { since: SINCE };
        for (fates, whole) in [
            (&[Taken, Taken][..], End::Done),
            (&[Taken, Refused], End::Done),
            (&[Refused, NotAsked], End::Refused),
            (&[RefusedWithAll, NotAsked], End::Refused),
            (&[Refused], End::Refused),
            (&[NotAsked, NotAsked], End::NotAsked),
        ] {
            assert_eq!(end_of(fates), whole, "{fates:?}");
        }
        for (fates, known) in [
            (&[Taken, unknown, Refused][..], 3),
            (&[Refused, unknown], 2),
            (&[Taken, NotAsked], 1),
            (&[Taken, RefusedWithAll, NotAsked], 1),
        ] {
            let End::Open(states) = end_of(fates) else {
                panic!("{fates:?} is closed");
            };
            assert_eq!(states.len(), known, "{fates:?}");
        }
    }
}
