//! Sends one message to its recipients: checks it, sends it, and keeps how far the job has come.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, OnceLock},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use http::Response;
use http_api::{Caller, Problem};
use serde_json::{Value, json};
use wechat::{
    api::{ApiError, calls::template::SendTemplateMessage},
    clock::Deadline,
    digest::logged_openid,
    lock::lock,
    sending::{Doubt, Outcome, REPEAT_IS_SAFE_FOR, is_unfollowed},
    store::{RecipientOutcome, SendState, SentMessage},
    token::{CallError, CallFailure},
    validate::{send::SendTemplate, template::Finding},
};

use crate::{
    App,
    answer::{self, Recipient, RecipientResult, Sent},
    hints,
    idempotency::Progress,
    templates,
    users::{NOT_FOLLOWING, Unreachable, Users},
};

/// Sends in flight at the same time.
const CONCURRENT_SENDS: usize = 20;
/// Time of the request that is reserved for recording the outcomes of the sends.
pub(crate) const RECORDING: Duration = Duration::from_millis(500);
/// The hint for recipients that come after a refusal for all.
const NOT_ATTEMPTED: &str = "WeChat was not asked for this recipient, because it had refused another one for this reason. \
    / 因前面的接收者已因此被拒，未再为该用户请求微信。";
/// The hint for a user whose message may have been sent: WeChat recognises a retry to the same openid only.
const SAME_OPENID: &str = "With the client_msg_id alone, repeat it to the same openid (touser), because the user may be bound to \
    another one by then. / 仅凭 client_msg_id 重试时，请发给同一 openid（touser），因为该用户届时可能已改绑。";
/// One message, its recipients, and what is needed to send it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendJob<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) message: &'a SendTemplate,
    /// The users that the message names. `None` when it names openids.
    pub(crate) users: Option<&'a Users>,
    /// The id by which WeChat recognises a retry.
    pub(crate) client_msg_id: &'a str,
    /// What earlier runs with the same `Idempotency-Key` left.
    pub(crate) state: &'a SendState,
    /// When the caller must have the answer.
    pub(crate) deadline: Deadline,
}

/// Checks and sends the message of `job`. Returns the answer, and how far the job has come.
pub(crate) async fn deliver(app: &App, job: SendJob<'_>) -> (Response<String>, Progress) {
    let batch = Batch::new(app, job);
    let recipients = &job.message.recipients;
    let names = recipients.names();
    let mut findings = None;
    if batch.has_attempts(names) {
        match check(app, job).await {
            Ok(found) => findings = found,
            Err(problem) => batch.halt(problem),
        }
    }
    let deliveries = batch.deliver_to_all(names).await;
    let progress = progress(&deliveries);
    let results = names
        .iter()
        .filter_map(|name| deliveries.get(name).map(|delivery| delivery.result.clone()))
        .collect();
    let response = if recipients.is_list() {
        answer::to_many(results, refusal_for_all(&deliveries), findings)
    } else {
        answer::to_one(results, findings)
    };
    (response, progress)
}

/// Returns the findings to answer, or the reason why the message can be sent to nobody.
async fn check(app: &App, job: SendJob<'_>) -> Result<Option<Vec<Finding>>, Problem> {
    let SendJob { message, deadline, .. } = job;
    // Without a token every recipient would fail, each after its own call of token-refresher.
    if let Err(error) = app.account.tokens.token(deadline).await {
        return Err(Problem::from_token(&error, app.account.clock.now()));
    }
    let content = &message.content;
    let findings = templates::check(app, &content.template_id, &content.data, deadline).await;
    let findings = templates::refuse_mismatch(findings, message.only_warns)?;
    Ok(Some(findings).filter(|findings| message.only_warns || !findings.is_empty()))
}

/// The outcome of the message for one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DeliveryOutcome {
    /// WeChat accepted the message.
    Accepted,
    /// WeChat refused this recipient.
    Refused,
    /// The recipient is a user whom no message can reach, so WeChat was not asked. A retry may find the user bound.
    Unreachable,
    /// WeChat refused the message for every recipient. A retry may send it to this one.
    RefusedForAll,
    /// WeChat was not asked.
    NotAttempted,
    /// WeChat may have accepted the message.
    Unknown {
        /// Epoch seconds of the first attempt whose outcome is unknown.
        since: i64,
    },
}

impl DeliveryOutcome {
    const fn outcome(self) -> Outcome {
        match self {
            Self::Accepted => Outcome::Accepted,
            Self::Refused | Self::RefusedForAll => Outcome::Refused,
            Self::NotAttempted | Self::Unreachable => Outcome::NotAttempted,
            Self::Unknown { .. } => Outcome::Unknown,
        }
    }
}

/// What a run does for one recipient.
enum Plan {
    /// Answers the result of an earlier run again.
    Replay(Value),
    /// Does not ask WeChat, which would no longer recognise the retry. The outcome stays unknown.
    LeaveUnknown {
        openid: String,
        /// Epoch seconds of the first attempt whose outcome is unknown.
        since: i64,
    },
    /// Does not ask WeChat: no message can reach this user.
    Refuse(Unreachable),
    /// Asks WeChat.
    Attempt {
        openid: String,
        /// Epoch seconds of an earlier attempt whose outcome is unknown.
        unknown_since: Option<i64>,
    },
}

/// The result for one recipient, and its outcome.
#[derive(Debug)]
struct Delivery {
    result: RecipientResult,
    outcome: DeliveryOutcome,
    /// When WeChat said that the recipient does not follow the account, in epoch seconds.
    unfollowed_at: Option<i64>,
}

impl Plan {
    /// Asks WeChat for the first time.
    fn attempt(openid: &str) -> Self {
        Self::Attempt {
            openid: openid.to_owned(),
            unknown_since: None,
        }
    }
}

impl Delivery {
    const fn new(result: RecipientResult, outcome: DeliveryOutcome) -> Self {
        Self {
            result,
            outcome,
            unfollowed_at: None,
        }
    }
}

/// Sends the message of one job to its recipients.
struct Batch<'a> {
    app: &'a App,
    job: SendJob<'a>,
    /// Epoch seconds at which this run began.
    started: i64,
    /// Why the batch sends no more messages.
    halted: OnceLock<Problem>,
    doubt: Mutex<Doubt>,
}

impl<'a> Batch<'a> {
    fn new(app: &'a App, job: SendJob<'a>) -> Self {
        Self {
            app,
            job,
            started: app.account.clock.now(),
            halted: OnceLock::new(),
            doubt: Mutex::default(),
        }
    }

    /// Whether WeChat has to be asked for any of the recipients `names`.
    fn has_attempts(&self, names: &[String]) -> bool {
        names.iter().any(|name| matches!(self.plan(name), Plan::Attempt { .. }))
    }

    /// Sends the message to each of the recipients `names`. A recipient that is named twice gets one message.
    async fn deliver_to_all(&self, names: &[String]) -> HashMap<String, Delivery> {
        let distinct: HashSet<&String> = names.iter().collect();
        let deliveries: Vec<_> = distinct
            .into_iter()
            .map(|name| async move { (name.clone(), self.deliver(name).await) })
            .collect();
        // Two stages: the next messages go out while earlier ones are recorded.
        stream::iter(deliveries)
            .buffer_unordered(CONCURRENT_SENDS)
            .map(|(name, delivery)| async move {
                self.record(&delivery).await;
                (name, delivery)
            })
            .buffer_unordered(names.len())
            .collect()
            .await
    }

    /// Decides what to do for the recipient `name`, from what earlier runs left. A user stays with the openid that an earlier
    /// run may have asked WeChat for: a new openid would get a second message.
    fn plan(&self, name: &str) -> Plan {
        match self.job.state.of(name) {
            Some(RecipientOutcome::Settled { result }) => Plan::Replay(result),
            Some(RecipientOutcome::Unknown { since, openid }) => {
                let openid = openid.unwrap_or_else(|| name.to_owned());
                if self.is_safe_to_retry(since) {
                    let unknown_since = Some(since);
                    Plan::Attempt { openid, unknown_since }
                } else {
                    Plan::LeaveUnknown { openid, since }
                }
            }
            None => match self.job.users.map_or(Ok(name), |users| users.openid(name)) {
                Ok(openid) => Plan::attempt(openid),
                Err(unreachable) => Plan::Refuse(unreachable),
            },
        }
    }

    /// Whether WeChat still recognises a retry of an attempt at `since`.
    const fn is_safe_to_retry(&self, since: i64) -> bool {
        self.started - since < REPEAT_IS_SAFE_FOR
    }

    /// Sends the message to the recipient `name`, unless the plan or a halt forbids it.
    async fn deliver(&self, name: &str) -> Delivery {
        let recipient = |openid: String| self.recipient(name, Some(openid));
        let (openid, unknown_since) = match self.plan(name) {
            Plan::Replay(result) => {
                let result = RecipientResult::Known(result);
                let outcome = if result.is_sent() {
                    DeliveryOutcome::Accepted
                } else {
                    DeliveryOutcome::Refused
                };
                return Delivery::new(result, outcome);
            }
            Plan::LeaveUnknown { openid, since } => {
                let problem = Problem::outcome_unknown(self.job.client_msg_id);
                let result = RecipientResult::failed(recipient(openid), problem);
                return Delivery::new(result, DeliveryOutcome::Unknown { since });
            }
            Plan::Refuse(Unreachable { openid, problem }) => {
                let result = RecipientResult::failed(self.recipient(name, openid), problem);
                return Delivery::new(result, DeliveryOutcome::Unreachable);
            }
            Plan::Attempt { openid, unknown_since } => (openid, unknown_since),
        };
        if let Some(problem) = self.halted.get() {
            let (problem, outcome) = (problem.clone(), DeliveryOutcome::NotAttempted);
            return self.failed(recipient(openid), problem, unknown_since, outcome);
        }
        let asked_at = self.app.account.clock.now();
        match self.call(&openid).await {
            Ok(msgid) => {
                let (recipient, sent) = (recipient(openid), Sent::new(msgid));
                Delivery::new(RecipientResult::Sent { recipient, sent }, DeliveryOutcome::Accepted)
            }
            Err(error) => {
                let unknown_since = unknown_since.or(error.may_have_landed.then_some(self.started));
                let problem = self.explain(&error);
                let is_for_all = self.refuses_everybody(&error);
                if is_for_all {
                    self.halt(problem.clone().and_hint(NOT_ATTEMPTED));
                }
                let outcome = outcome_of(&error, is_for_all);
                let delivery = self.failed(recipient(openid), problem, unknown_since, outcome);
                Delivery {
                    unfollowed_at: is_unfollowed(&error).then_some(asked_at),
                    ..delivery
                }
            }
        }
    }

    /// Whom a result for `name` is about.
    fn recipient(&self, name: &str, touser: Option<String>) -> Recipient {
        let user = self.job.users.map(|_| name.to_owned());
        Recipient { user, touser }
    }

    /// Builds the delivery of a failed attempt. When an earlier attempt has an unknown outcome, WeChat may have accepted
    /// that one.
    fn failed(
        &self,
        recipient: Recipient,
        problem: Problem,
        unknown_since: Option<i64>,
        outcome: DeliveryOutcome,
    ) -> Delivery {
        let (problem, outcome) = match unknown_since {
            Some(since) => {
                let mut problem = Problem::may_have_been_sent(self.job.client_msg_id, &problem);
                if recipient.user.is_some() {
                    problem = problem.and_hint(SAME_OPENID);
                }
                (problem, DeliveryOutcome::Unknown { since })
            }
            None => (problem, outcome),
        };
        Delivery::new(RecipientResult::failed(recipient, problem), outcome)
    }

    /// Stops the batch: no further message is sent. The first reason counts; sends in flight may find it again.
    fn halt(&self, problem: Problem) {
        let _ = self.halted.set(problem);
    }

    /// Builds the problem for a failed attempt, with a hint where the request shows the cause.
    fn explain(&self, error: &CallError) -> Problem {
        let problem = hints::explain(hints::problem(error), self.job.message, error);
        match self.job.message.content.miniprogram {
            Some(_) => problem.blaming_mini_program(error, "miniprogram"),
            None => problem,
        }
    }

    /// Whether every other recipient would fail for the same reason.
    fn refuses_everybody(&self, error: &CallError) -> bool {
        match &error.cause {
            CallFailure::Token(_) => true,
            CallFailure::Api(ApiError::Rejected { rejection, .. }) => lock(&self.doubt).is_about_everybody(rejection),
            CallFailure::Api(_) => false,
        }
    }

    /// Writes one log line and one metric for a message, stores the record of an accepted one, and that a recipient does not
    /// follow. Best effort: a failure must not make the caller send the message again.
    async fn record(&self, delivery: &Delivery) {
        let Self { app, job, .. } = *self;
        let outcome = delivery.outcome.outcome();
        let (msgid, errcode) = match &delivery.result {
            RecipientResult::Sent { sent, .. } => (Some(sent.msgid.as_str()), Some(sent.errcode)),
            RecipientResult::Failed { problem, .. } => (None, problem.errcode()),
            RecipientResult::Known(_) => return,
        };
        let touser = delivery.result.touser();
        tracing::info!(
            msgid,
            errcode,
            outcome = outcome.as_str(),
            client_msg_id = job.client_msg_id,
            openid_sha256 = touser.map(logged_openid),
            key = job.caller.name(),
            "template message"
        );
        let now = app.account.clock.now_millis();
        outcome.count(1, now);
        let Some(touser) = touser else { return };
        if let Some(msgid) = msgid {
            let sent = SentMessage {
                msgid,
                touser,
                template_id: &job.message.content.template_id,
                campaign: None,
            };
            let recorded = app.account.table.record_sent(sent, now);
            app.write("a sent message", Some(msgid), job.deadline, recorded).await;
        }
        if let Some(at) = delivery.unfollowed_at {
            let recorded = app.account.table.set_followed(touser, false, at);
            app.write(NOT_FOLLOWING, Some(job.client_msg_id), job.deadline, recorded)
                .await;
        }
    }

    /// Calls WeChat, with retries: `client_msg_id` makes them safe.
    async fn call(&self, touser: &str) -> Result<String, CallError> {
        let Self { app, job, .. } = *self;
        let deadline = job.deadline.before(RECORDING);
        let content = &job.message.content;
        let message = &content.message(touser.to_owned(), job.client_msg_id.to_owned());
        app.account.call(&SendTemplateMessage(message), deadline).await
    }
}

const fn outcome_of(error: &CallError, is_for_all: bool) -> DeliveryOutcome {
    match &error.cause {
        CallFailure::Api(ApiError::Rejected { .. }) if is_for_all => DeliveryOutcome::RefusedForAll,
        CallFailure::Api(ApiError::Rejected { .. }) => DeliveryOutcome::Refused,
        _ => DeliveryOutcome::NotAttempted,
    }
}

/// The problem of a refusal for all recipients, as WeChat gave it to the one that it was asked for.
fn refusal_for_all(deliveries: &HashMap<String, Delivery>) -> Option<&Problem> {
    deliveries.values().find_map(|delivery| match &delivery.result {
        RecipientResult::Failed { problem, .. } if delivery.outcome == DeliveryOutcome::RefusedForAll => Some(problem),
        _ => None,
    })
}

/// Judges how far a job has come. A retry must stay possible while an outcome is unknown or a message unsent. The answer is
/// kept once all recipients are settled.
fn progress(deliveries: &HashMap<String, Delivery>) -> Progress {
    use DeliveryOutcome::{Accepted, NotAttempted, Refused, Unknown, Unreachable};
    let outcomes = || deliveries.values().map(|delivery| delivery.outcome);
    let is_any_accepted = outcomes().any(|outcome| outcome == Accepted);
    if is_any_accepted && outcomes().all(|outcome| matches!(outcome, Accepted | Refused | Unreachable)) {
        return Progress::Done;
    }
    if is_any_accepted || outcomes().any(|outcome| matches!(outcome, Unknown { .. })) {
        let states = deliveries
            .iter()
            .filter_map(|(name, delivery)| Some((name.clone(), recipient_outcome(name, delivery)?)));
        return Progress::Open(states.collect());
    }
    if outcomes().all(|outcome| matches!(outcome, NotAttempted | Unreachable)) {
        Progress::NotAttempted
    } else {
        Progress::Refused
    }
}

/// What a retry must know of the recipient `name`. `None` when WeChat accepted nothing.
fn recipient_outcome(name: &str, delivery: &Delivery) -> Option<RecipientOutcome> {
    match delivery.outcome {
        DeliveryOutcome::Accepted | DeliveryOutcome::Refused => Some(RecipientOutcome::Settled {
            result: json!(delivery.result),
        }),
        DeliveryOutcome::Unknown { since } => {
            let openid = delivery.result.touser().filter(|openid| *openid != name);
            Some(RecipientOutcome::Unknown {
                since,
                openid: openid.map(str::to_owned),
            })
        }
        DeliveryOutcome::Unreachable | DeliveryOutcome::RefusedForAll | DeliveryOutcome::NotAttempted => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SINCE: i64 = 1_767_225_600;

    fn progress_of(outcomes: &[DeliveryOutcome]) -> Progress {
        let delivery = |(index, &outcome): (usize, &DeliveryOutcome)| {
            let recipient = Recipient {
                user: None,
                touser: Some(index.to_string()),
            };
            let result = RecipientResult::failed(recipient, Problem::not_sent());
            (index.to_string(), Delivery::new(result, outcome))
        };
        progress(&outcomes.iter().enumerate().map(delivery).collect())
    }

    #[test]
    fn one_unknown_outcome_keeps_the_job_open_and_one_accepted_message_closes_it() {
        use DeliveryOutcome::{Accepted, NotAttempted, Refused, RefusedForAll, Unreachable};
        let unknown = DeliveryOutcome::Unknown { since: SINCE };
        for (outcomes, expected) in [
            (&[Accepted, Accepted][..], Progress::Done),
            (&[Accepted, Refused], Progress::Done),
            (&[Refused, NotAttempted], Progress::Refused),
            (&[RefusedForAll, NotAttempted], Progress::Refused),
            (&[Refused], Progress::Refused),
            (&[NotAttempted, NotAttempted], Progress::NotAttempted),
            (&[Accepted, Unreachable], Progress::Done),
            (&[Refused, Unreachable], Progress::Refused),
            (&[Unreachable, NotAttempted], Progress::NotAttempted),
        ] {
            assert_eq!(progress_of(outcomes), expected, "{outcomes:?}");
        }
        for (outcomes, known) in [
            (&[Accepted, unknown, Refused][..], 3),
            (&[Refused, unknown], 2),
            (&[Accepted, NotAttempted], 1),
            (&[Accepted, RefusedForAll, NotAttempted], 1),
            (&[unknown, Unreachable], 1),
        ] {
            let Progress::Open(states) = progress_of(outcomes) else {
                panic!("{outcomes:?} is closed");
            };
            assert_eq!(states.len(), known, "{outcomes:?}");
        }
    }
}
