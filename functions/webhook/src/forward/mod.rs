//! Hands callbacks to the team's own code, at least once, and answers WeChat with its reply.
//!
//! A callback is kept in the table before own code is asked. What own code does not take stays there for `worker`. A repeat of a
//! callback waits for the answer that the first delivery gets, also from another instance.

mod breakers;
mod error;
mod times;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http_api::Request;
use tokio::time::{sleep, timeout};
use tracing::Instrument as _;
use wechat::{
    clock::{Clock, Deadline},
    config::ForwardConfig,
    forward::{AskError, Asked, Forward, OwnCode, OwnReply, Showable, can_be_answered},
    lock::lock,
    message::Callback,
    random,
    store::{Begun, ForwardAttempt, ForwardState, NewForward, StoreError, Table, within},
};

pub(crate) use self::error::ForwardFailed;
use self::{
    breakers::{Breakers, OPEN_FOR},
    error::RefusedError,
    times::Times,
};
use crate::App;

/// Budget of the note about an attempt's outcome before the answer.
const NOTING: Duration = Duration::from_millis(300);
/// Budget of that note when WeChat has hung up. It is longer, because a repeat needs the note.
const NOTING_LATE: Duration = Duration::from_secs(2);
/// Budget of keeping a callback before own code is asked: two attempts at the table, or a first connection to it.
const KEEPING: Duration = Duration::from_secs(1);
/// The least time with which own code is asked.
const SHORTEST: Duration = Duration::from_millis(50);
/// The pause before looking again at the callback of another delivery: at most 4 times a second.
const LOOK_EVERY: Duration = Duration::from_millis(260);
/// How long connecting to own code may take.
const CONNECT: Duration = Duration::from_secs(2);

/// Hands the callbacks of one account to own code.
#[derive(Debug)]
pub(crate) struct Forwarder {
    own_code: OwnCode,
    budget: Duration,
    table: Table,
    clock: Arc<dyn Clock>,
    breakers: Mutex<Breakers>,
}

/// The outcome of handing a callback to own code.
#[derive(Debug)]
pub(crate) enum Forwarded {
    /// Own code took it, and wants this reply.
    Taken(OwnReply),
    /// A repeat, which gets the first delivery's reply.
    Repeat(OwnReply),
    /// It is kept for `worker`: own code did not take it, for this reason, or was not asked (`None`).
    Kept(Option<AskError>),
    /// Own code refused it for good.
    Dead,
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

/// Hands `callback`, which came in `request` at `arrival` (epoch milliseconds), to own code. Returns `None` without own code.
pub(crate) async fn run(
    app: &App,
    callback: &Callback,
    request: &Request,
    arrival: i64,
) -> Result<Option<Forwarded>, ForwardFailed> {
    let Some(forwarder) = &app.forwarder else {
        return Ok(None);
    };
    let now = app.clock.now_millis();
    // Boxed: its large future would be part of every reply's.
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
        let times = Times::new(arrival, self.budget, showable, deadline, self.clock.now_millis());
        let forwarded = self.keep_and_ask(callback, times, showable).await?;
        Ok(match (showable, forwarded) {
            (Showable::TooLate, Forwarded::Taken(_)) => Forwarded::Taken(OwnReply::LeftToRules),
            (Showable::TooLate, Forwarded::Repeat(_)) => Forwarded::Repeat(OwnReply::LeftToRules),
            (_, forwarded) => forwarded,
        })
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
        let (has_time, is_open) = (self.has_time(times), self.is_open(showable));
        // Without time the claim ends at once, so that WeChat's repeat, which has its full time, may ask.
        let until = if has_time { times.claim_ends() } else { now };
        let run = (!is_open).then_some((&*owner, until));
        let table = match within(KEEPING, self.table.begin_forward(new, now, run)).await {
            Ok(Begun::New) if is_open || !has_time => return Ok(Forwarded::Kept(None)),
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
        let times = times.without_repeats();
        let own_code = match self.ask(&forward.id, &forward.body, times, showable).await {
            Asked::Taken(reply) => {
                // The callback may be kept: the table's answer may have been lost.
                let noted = self.table.finish_forward(&forward.id, &reply, self.clock.now_millis());
                self.note(noted, times).await;
                return Ok(Forwarded::Taken(reply));
            }
            Asked::Gone => RefusedError::Gone,
            Asked::NotTaken(error) => RefusedError::NotTaken(error),
        };
        Err(ForwardFailed::NotKept { table, own_code })
    }

    /// Asks own code for a callback that is kept, and notes the outcome. Runs in its own task, which goes on when WeChat
    /// hangs up, so that a repeat finds the reply.
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
                    match within(KEEPING, take_over).await {
                        Ok(Some(attempt)) => {
                            return Ok(self.attempt(attempt, forward.body.clone(), times, showable).await);
                        }
                        // Another delivery was faster.
                        Ok(None) => {}
                        Err(error) => tracing::warn!(%error, "a callback could not be taken over / 未能接手回调"),
                    }
                }
                ForwardState::InProgress(_) if showable == Showable::Expected => {}
                _ => return Ok(Forwarded::Repeat(OwnReply::LeftToRules)),
            }
            let left = times.until_answer(self.clock.now_millis());
            if left < LOOK_EVERY {
                sleep(left).await;
                return match state {
                    ForwardState::InProgress(until) if times.hangs_up_before(until) => Err(ForwardFailed::StillAtWork),
                    _ => Ok(Forwarded::Repeat(OwnReply::LeftToRules)),
                };
            }
            sleep(LOOK_EVERY).await;
            let look = self.table.forward_state(&forward.id, self.clock.now_millis());
            state = match timeout(left.saturating_sub(LOOK_EVERY), look).await {
                Ok(Ok(Some(now))) => now,
                // Somebody deleted it.
                Ok(Ok(None)) => ForwardState::NotTaken,
                // The state could not be read: it counts as unchanged.
                Ok(Err(error)) => {
                    tracing::warn!(%error, "what became of the first delivery could not be read / 无法读取首次推送的处理结果");
                    state
                }
                Err(_) => state,
            };
        }
    }

    async fn ask(&self, id: &str, body: &str, times: Times, showable: Showable) -> Asked {
        let now = self.clock.now_millis();
        let budget = times.budget(now).max(SHORTEST);
        let asked = self
            .own_code
            .ask(id, body, showable, now.div_euclid(1000), budget)
            .await;
        let now = self.clock.now_millis();
        let mut breakers = lock(&self.breakers);
        let was_open = breakers.is_open(showable, now);
        breakers.count(&asked, showable, now);
        if !was_open && breakers.is_open(showable, now) {
            tracing::warn!(
                "own code is not asked for {} s / {0} 秒内不再请求自有服务",
                OPEN_FOR / 1000
            );
        }
        asked
    }

    fn may_ask(&self, times: Times, showable: Showable) -> bool {
        self.has_time(times) && !self.is_open(showable)
    }

    fn has_time(&self, times: Times) -> bool {
        times.budget(self.clock.now_millis()) >= SHORTEST
    }

    fn is_open(&self, showable: Showable) -> bool {
        lock(&self.breakers).is_open(showable, self.clock.now_millis())
    }

    /// Writes the outcome of an attempt, best effort: without it the callback is retried.
    async fn note(&self, note: impl Future<Output = Result<bool, StoreError>>, times: Times) {
        let has_hung_up = self.clock.now_millis() > times.answer_by;
        let budget = if has_hung_up { NOTING_LATE } else { NOTING };
        if let Err(error) = within(budget, note).await {
            tracing::warn!(%error, "what came of a callback at own code was not noted: it is asked again / 未能记录自有服务的处理结果，将再次请求");
        }
    }
}
