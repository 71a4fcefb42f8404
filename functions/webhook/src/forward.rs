//! Hands callbacks to the team's own code, at least once, and answers WeChat with its reply.
//!
//! A callback is kept in the table before own code is asked. What own code does not take stays there for `worker`. A repeat of a
//! callback waits for the answer that the first delivery gets, also from another instance.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http_api::Request;
use tokio::time::{sleep, timeout};
use tracing::Instrument as _;
use wechat::{
    bilingual::{both, caused, halves},
    clock::{Clock, Deadline, millis},
    config::ForwardConfig,
    forward::{AskError, Asked, Forward, GONE, OwnCode, OwnReply, Showable, can_be_answered},
    lock::lock,
    message::Callback,
    random,
    store::{Begun, ForwardAttempt, ForwardState, NewForward, StoreError, Table},
};

use crate::App;

/// Milliseconds. WeChat hangs up so long after a request, and delivers again.
/// See [WeChat Docs/被动回复](https://developers.weixin.qq.com/doc/service/guide/product/message/Passive_user_reply_message).
const PATIENCE: i64 = 5000;
/// Milliseconds from a request's arrival in which it is answered.
const ANSWERED_WITHIN: i64 = 4700;
/// Budget of the note about an attempt's outcome before the answer.
const NOTING: Duration = Duration::from_millis(300);
/// Budget of that note when WeChat has hung up: a repeat needs it.
const NOTING_LATE: Duration = Duration::from_secs(2);
/// Milliseconds after an attempt for [`NOTING`] and for the note for the doctor.
const AFTER_ATTEMPT: i64 = 600;
/// The longest budget with which the first delivery is answered by own code. With a longer one, replies may be late: a repeat is.
const LATE_ABOVE: Duration = Duration::from_millis(4500);
/// Budget of keeping a callback before own code is asked: two attempts at the table, or a first connection to it.
const KEEPING: Duration = Duration::from_secs(1);
/// How long own code may take for a callback that cannot be answered.
const UNANSWERABLE: Duration = Duration::from_secs(1);
/// Own code is not asked with less time left.
const SHORTEST: Duration = Duration::from_millis(50);
/// Milliseconds by which a claim outlives the attempt: for [`NOTING`], and clocks that differ. With the default budget the claim of
/// a dead run ends before WeChat's next delivery.
const CLAIM_OUTLIVES: i64 = 700;
/// The pause before looking again at the callback of another delivery: at most 4 times a second.
const LOOK_EVERY: Duration = Duration::from_millis(260);
/// Milliseconds. A gateway's time that is older comes from another clock.
const OLDEST_ARRIVAL: i64 = 10_000;
/// How long connecting to own code may take.
const CONNECT: Duration = Duration::from_secs(2);

/// Failures in a row after which own code is not asked for [`REST`].
const FAILURES: u32 = 5;
/// Milliseconds.
const REST: i64 = 30_000;

/// Hands the callbacks of one account to own code.
#[derive(Debug)]
pub(crate) struct Forwarder {
    own_code: OwnCode,
    budget: Duration,
    table: Table,
    clock: Arc<dyn Clock>,
    breakers: Mutex<Breakers>,
}

/// Spare own code that is down, and WeChat the wait for it.
#[derive(Debug, Default)]
struct Breakers {
    /// For callbacks that can be answered.
    answerable: Breaker,
    /// For the others, for which own code gets less time.
    unanswerable: Breaker,
}

#[derive(Debug, Default)]
struct Breaker {
    /// Failures in a row.
    failures: u32,
    /// Epoch milliseconds until which own code is not asked.
    rests_until: i64,
}

impl Breakers {
    const fn of(&mut self, showable: Showable) -> &mut Breaker {
        match showable {
            Showable::Expected => &mut self.answerable,
            Showable::TooLate => &mut self.unanswerable,
        }
    }

    /// Counts what came of asking own code, at `now` (epoch milliseconds).
    fn count(&mut self, asked: &Asked, showable: Showable, now: i64) {
        match (asked, showable) {
            (Asked::Taken(_), _) => *self = Self::default(),
            (Asked::Gone, _) => {}
            // Own code that needs more than a second for its work is not down for those who wait for a reply.
            (Asked::NotTaken(AskError::NoAnswer(_)), Showable::TooLate) => self.unanswerable.fail(now),
            (Asked::NotTaken(_), _) => {
                self.answerable.fail(now);
                self.unanswerable.fail(now);
            }
        }
    }
}

impl Breaker {
    fn fail(&mut self, now: i64) {
        self.failures += 1;
        if self.failures >= FAILURES {
            self.rests_until = now + REST;
        }
    }
}

/// What came of handing a callback to own code.
#[derive(Debug)]
pub(crate) enum Forwarded {
    /// Own code took it, and wants this reply.
    Taken(OwnReply),
    /// A repeat, which gets the first delivery's reply.
    Repeat(OwnReply),
    /// It is kept for `worker`, for this reason: own code did not take it, or was not asked.
    Kept(Option<AskError>),
    /// Own code refused it for good.
    Dead,
}

/// Why WeChat has to deliver a callback again. Holds no text of users and no openid.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardFailed {
    /// The callback could not be kept, and own code did not take it.
    #[error("{}", not_kept(table, own_code))]
    NotKept { table: KeepError, own_code: RefusedError },
    /// Own code is still at work on the first delivery, for longer than WeChat waits for this one.
    #[error("own code is still at work, and WeChat will deliver again / 自有服务仍在处理，等待微信重新推送")]
    StillAtWork,
}

fn not_kept(table: &KeepError, own_code: &RefusedError) -> String {
    let (table, own_code) = (table.to_string(), own_code.to_string());
    let (table, own_code) = (halves(&table), halves(&own_code));
    caused(
        "own code did not take the callback, which could not be kept",
        "自有服务未接收回调，且回调未能保存",
        &both(
            &format!("{}; {}", table.0, own_code.0),
            &format!("{}；{}", table.1, own_code.1),
        ),
    )
}

/// Why the table was not written. It may be written all the same.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeepError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the table did not answer within {0:?} / 数据表未在 {0:?} 内应答")]
    TooLate(Duration),
}

/// Why own code did not take a callback.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RefusedError {
    #[error(transparent)]
    NotTaken(AskError),
    #[error("{GONE}")]
    Gone,
}

/// The times of one delivery, in epoch milliseconds.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// When the gateway received it.
    arrival: i64,
    /// When own code's budget ends.
    budget_ends: i64,
    /// When it has to be answered.
    answer_by: i64,
}

impl Forwarded {
    /// The reply that own code chose.
    pub(crate) const fn reply(&self) -> &OwnReply {
        match self {
            Self::Taken(reply) | Self::Repeat(reply) => reply,
            Self::Kept(_) | Self::Dead => &OwnReply::LeftToRules,
        }
    }

    /// The name in the log.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Taken(_) => "taken",
            Self::Repeat(_) => "repeat",
            Self::Kept(_) => "kept",
            Self::Dead => "dead",
        }
    }

    /// Why own code did not take the callback, if it was asked.
    pub(crate) const fn error(&self) -> Option<&AskError> {
        match self {
            Self::Kept(error) => error.as_ref(),
            Self::Taken(_) | Self::Repeat(_) | Self::Dead => None,
        }
    }
}

/// Hands `callback`, which came in `request`, to own code. Returns `None` without own code.
pub(crate) async fn run(app: &App, callback: &Callback, request: &Request) -> Result<Option<Forwarded>, ForwardFailed> {
    let Some(forwarder) = &app.forwarder else {
        return Ok(None);
    };
    let now = app.clock.now_millis();
    let arrival = request.arrival(now, OLDEST_ARRIVAL);
    // Boxed for the same reason as the effects.
    Box::pin(forwarder.run(callback, arrival, request.deadline(now)))
        .await
        .map(Some)
}

impl Forwarder {
    /// Creates the forwarder to own code, which may take `budget` for a reply.
    pub(crate) fn new(own_code: ForwardConfig, budget: Duration, table: Table, clock: Arc<dyn Clock>) -> Self {
        Self {
            own_code: OwnCode::new(own_code, CONNECT),
            budget,
            table,
            clock,
            breakers: Mutex::default(),
        }
    }

    async fn run(
        self: &Arc<Self>,
        callback: &Callback,
        arrival: i64,
        deadline: Deadline,
    ) -> Result<Forwarded, ForwardFailed> {
        let showable = if can_be_answered(callback) {
            Showable::Expected
        } else {
            Showable::TooLate
        };
        let times = self.times(arrival, deadline, showable);
        let forwarded = self.keep_and_ask(callback, times, showable).await?;
        Ok(match (showable, forwarded) {
            (Showable::TooLate, Forwarded::Taken(_)) => Forwarded::Taken(OwnReply::LeftToRules),
            (Showable::TooLate, Forwarded::Repeat(_)) => Forwarded::Repeat(OwnReply::LeftToRules),
            (_, forwarded) => forwarded,
        })
    }

    fn times(&self, arrival: i64, deadline: Deadline, showable: Showable) -> Times {
        let now = self.clock.now_millis();
        let budget_ends = match showable {
            Showable::TooLate => in_time(arrival).min(now + millis(UNANSWERABLE)),
            Showable::Expected if self.budget > LATE_ABOVE => arrival + millis(self.budget),
            Showable::Expected => in_time(arrival).min(arrival + millis(self.budget)),
        };
        let before_deadline = |end: i64, reserve: i64| {
            let left = deadline.budget(now, duration(end - now), duration(reserve));
            now + millis(left)
        };
        Times {
            arrival,
            budget_ends: before_deadline(budget_ends, AFTER_ATTEMPT),
            answer_by: before_deadline(arrival + ANSWERED_WITHIN, 0),
        }
    }

    async fn keep_and_ask(
        self: &Arc<Self>,
        callback: &Callback,
        times: Times,
        showable: Showable,
    ) -> Result<Forwarded, ForwardFailed> {
        let forward = Forward::new(callback);
        let new = NewForward {
            id: &forward.id,
            body: &forward.body,
            kind: &forward.kind,
            from: &callback.from,
        };
        let now = self.clock.now_millis();
        let owner = random::hex::<8>();
        let run = self.may_ask(times, showable).then_some((&*owner, times.claim_ends()));
        let kept = timeout(KEEPING, self.table.begin_forward(new, now, run)).await;
        let table = match kept.map_err(|_| KeepError::TooLate(KEEPING)).and_then(|kept| Ok(kept?)) {
            Ok(Begun::New) if run.is_none() => return Ok(Forwarded::Kept(None)),
            Ok(Begun::New) => {
                let attempt = ForwardAttempt {
                    id: forward.id,
                    owner,
                    number: 1,
                    began: now,
                };
                return Ok(self.attempt(attempt, forward.body, times, showable).await);
            }
            Ok(Begun::Repeat(state)) => return self.repeat(&forward, state, times, showable).await,
            Err(error) => error,
        };
        // No repeat would find a late reply.
        let times = Times {
            budget_ends: times.budget_ends.min(in_time(times.arrival)),
            ..times
        };
        let own_code = match self.ask(&forward.id, &forward.body, times, showable).await {
            Asked::Taken(reply) => {
                // The callback may be kept: its answer was lost.
                let noted = self.table.finish_forward(&forward.id, &reply, self.clock.now_millis());
                self.note(noted, times).await;
                return Ok(Forwarded::Taken(reply));
            }
            Asked::Gone => RefusedError::Gone,
            Asked::NotTaken(error) => RefusedError::NotTaken(error),
        };
        Err(ForwardFailed::NotKept { table, own_code })
    }

    /// Asks own code for a callback that is kept, and notes what came of it. It goes on in its own task when WeChat hangs up: a
    /// repeat finds the reply.
    async fn attempt(
        self: &Arc<Self>,
        attempt: ForwardAttempt,
        body: String,
        times: Times,
        showable: Showable,
    ) -> Forwarded {
        let this = Arc::clone(self);
        let attempt = async move {
            let asked = this.ask(&attempt.id, &body, times, showable).await;
            let now = this.clock.now_millis();
            match asked {
                Asked::Taken(reply) => {
                    this.note(this.table.finish_forward(&attempt.id, &reply, now), times)
                        .await;
                    Forwarded::Taken(reply)
                }
                Asked::Gone => {
                    let gone = RefusedError::Gone.to_string();
                    this.note(this.table.fail_forward(&attempt, &gone, true, now), times)
                        .await;
                    Forwarded::Dead
                }
                Asked::NotTaken(error) => {
                    let reason = error.to_string();
                    this.note(this.table.fail_forward(&attempt, &reason, false, now), times)
                        .await;
                    Forwarded::Kept(Some(error))
                }
            }
        };
        let attempt = tokio::spawn(attempt.in_current_span());
        attempt.await.unwrap_or(Forwarded::Kept(None))
    }

    /// Answers a repeat as the first delivery is answered. Own code is asked again only when the first delivery's run has died.
    async fn repeat(
        self: &Arc<Self>,
        forward: &Forward,
        mut state: ForwardState,
        times: Times,
        showable: Showable,
    ) -> Result<Forwarded, ForwardFailed> {
        loop {
            match state {
                ForwardState::Taken(reply) => return Ok(Forwarded::Repeat(reply)),
                ForwardState::Abandoned(received)
                    if self.may_ask(times.instead_of(received, self.budget), showable) =>
                {
                    let times = times.instead_of(received, self.budget);
                    let owner = random::hex::<8>();
                    let now = self.clock.now_millis();
                    let take_over = self
                        .table
                        .take_over_forward(&forward.id, &owner, now, times.claim_ends());
                    if let Ok(Ok(Some(attempt))) = timeout(KEEPING, take_over).await {
                        return Ok(self.attempt(attempt, forward.body.clone(), times, showable).await);
                    }
                }
                ForwardState::InProgress(_) if showable == Showable::Expected => {}
                _ => return Ok(Forwarded::Repeat(OwnReply::LeftToRules)),
            }
            let left = times.answer_by - self.clock.now_millis();
            if left < millis(LOOK_EVERY) {
                sleep(duration(left)).await;
                return match state {
                    ForwardState::InProgress(until) if until - CLAIM_OUTLIVES > times.arrival + PATIENCE => {
                        Err(ForwardFailed::StillAtWork)
                    }
                    _ => Ok(Forwarded::Repeat(OwnReply::LeftToRules)),
                };
            }
            sleep(LOOK_EVERY).await;
            let look = self.table.forward_state(&forward.id, self.clock.now_millis());
            state = match timeout(duration(left).saturating_sub(LOOK_EVERY), look).await {
                Ok(Ok(Some(now))) => now,
                // Somebody deleted it.
                Ok(Ok(None)) => ForwardState::NotTaken,
                // Unread, it is as it was.
                Ok(Err(_)) | Err(_) => state,
            };
        }
    }

    async fn ask(&self, id: &str, body: &str, times: Times, showable: Showable) -> Asked {
        let now = self.clock.now_millis();
        let budget = duration(times.budget_ends - now).max(SHORTEST);
        let asked = self
            .own_code
            .ask(id, body, showable, now.div_euclid(1000), budget)
            .await;
        let now = self.clock.now_millis();
        let mut breakers = lock(&self.breakers);
        breakers.count(&asked, showable, now);
        let breaker = breakers.of(showable);
        if matches!(asked, Asked::NotTaken(_)) && breaker.rests_until > now {
            tracing::warn!(
                failures = breaker.failures,
                "own code is not asked for {} s / {0} 秒内不再请求自有服务",
                REST / 1000
            );
        }
        asked
    }

    fn may_ask(&self, times: Times, showable: Showable) -> bool {
        let now = self.clock.now_millis();
        now + millis(SHORTEST) <= times.budget_ends && now >= lock(&self.breakers).of(showable).rests_until
    }

    /// Writes the outcome of an attempt, best effort: without it the callback is tried again.
    async fn note(&self, note: impl Future<Output = Result<bool, StoreError>>, times: Times) {
        let has_hung_up = self.clock.now_millis() > times.answer_by;
        let budget = if has_hung_up { NOTING_LATE } else { NOTING };
        let error = match timeout(budget, note).await {
            Ok(Ok(_)) => return,
            Ok(Err(error)) => KeepError::Store(error),
            Err(_) => KeepError::TooLate(budget),
        };
        tracing::warn!(%error, "what came of a callback at own code was not noted: it is asked again / 未能记录自有服务的处理结果，将再次请求");
    }
}

impl Times {
    /// The times of a delivery that asks own code in place of the first one's run, which has died: `received` is when that one came
    /// (epoch milliseconds). WeChat's last delivery has to outlast the budget, so it does not begin anew.
    fn instead_of(self, received: i64, budget: Duration) -> Self {
        let ends = in_time(self.arrival).max(received + millis(budget));
        Self {
            budget_ends: self.budget_ends.min(ends),
            ..self
        }
    }

    const fn claim_ends(self) -> i64 {
        self.budget_ends + CLAIM_OUTLIVES
    }
}

/// When an attempt has to end whose reply the same delivery shows, in epoch milliseconds.
const fn in_time(arrival: i64) -> i64 {
    arrival + ANSWERED_WITHIN - AFTER_ATTEMPT
}

fn duration(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_half_of_a_failure_says_both_causes() {
        let error = ForwardFailed::NotKept {
            table: KeepError::TooLate(Duration::from_secs(1)),
            own_code: RefusedError::NotTaken(AskError::Refused(500)),
        };
        assert_eq!(
            error.to_string(),
            "own code did not take the callback, which could not be kept: the table did not answer within 1s; own code answered 500 \
             / 自有服务未接收回调，且回调未能保存：数据表未在 1s 内应答；自有服务应答 500"
        );
    }
}
