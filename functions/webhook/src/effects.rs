//! Runs the effects of a callback before its answer. Effects that fail are handed over to `worker`. When it cannot be asked,
//! the answer is 500 and WeChat delivers again. Without `worker` the answer is 500 too, unless only the record of following
//! failed: the reply goes out then, and the failure is logged and counted.

use std::{fmt, time::Duration};

use tokio::time::timeout;
use wechat::{
    effects::{CLOSING, EffectError, HandOverError, LateEffects, Ran},
    message::Callback,
};

use crate::{App, patience};

/// Budget of the effects when there is no `worker`. WeChat hangs up after 5 s, which include a cold start and [`CLOSING`].
/// See [WeChat Docs/被动回复](https://developers.weixin.qq.com/doc/service/guide/product/message/Passive_user_reply_message).
const ALONE: Duration = Duration::from_secs(2);
/// Budget of the effects when there is a `worker`. Together with [`HANDING_OVER`] it is at most [`ALONE`] plus [`CLOSING`].
pub(crate) const BEFORE_WORKER: Duration = Duration::from_millis(1400);
/// The shortest of these budgets, when little of WeChat's patience is left.
const SHORTEST: Duration = Duration::from_millis(300);
/// Budget of the asynchronous invocation of `worker`. It usually takes some 20 ms; the first one also needs a TLS handshake,
/// on a small share of a CPU.
pub(crate) const HANDING_OVER: Duration = Duration::from_secs(1);

const _: () = assert!(BEFORE_WORKER.as_millis() + HANDING_OVER.as_millis() <= ALONE.as_millis() + CLOSING.as_millis());

/// How the effects of a callback ended, when WeChat need not deliver it again.
#[derive(Debug)]
pub(crate) enum EffectsOutcome {
    /// This delivery ran the effects, if the callback has any.
    Done,
    /// An earlier delivery ran the effects.
    Duplicate,
    /// The effects failed for this reason, and `worker` accepted them.
    HandedOver(EffectError),
    /// Whether the user follows was not recorded for this reason, and there is no `worker`. There is no retry.
    Lost(EffectError),
}

impl EffectsOutcome {
    /// Why the effects failed in this delivery, if they did.
    pub(crate) const fn error(&self) -> Option<&EffectError> {
        match self {
            Self::HandedOver(error) | Self::Lost(error) => Some(error),
            Self::Done | Self::Duplicate => None,
        }
    }
}

/// The effects failed, and no `worker` accepted them: WeChat has to deliver again.
#[derive(Debug)]
pub(crate) struct EffectsFailed {
    effects: EffectError,
    /// Why `worker` did not accept the effects. `None` when there is no `worker`.
    worker: Option<HandOverError>,
}

impl fmt::Display for EffectsFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.effects)?;
        self.worker.iter().try_for_each(|error| write!(f, "; {error}"))
    }
}

/// Runs the effects of `callback`, if it has any, or hands them over to `worker`. The callback came at `arrival` (epoch
/// milliseconds). `spent` is deducted from their budget.
pub(crate) async fn run(
    app: &App,
    callback: &Callback,
    arrival: i64,
    spent: Duration,
) -> Result<EffectsOutcome, EffectsFailed> {
    if !app.effects.has_any(callback) {
        return Ok(EffectsOutcome::Done);
    }
    // Boxed: the calls to AWS have a large future. Inside the future of every reply, which is moved many times, it would cost
    // a reply without effects more than all its own work.
    Box::pin(run_or_hand_over(app, callback, arrival, spent)).await
}

async fn run_or_hand_over(
    app: &App,
    callback: &Callback,
    arrival: i64,
    spent: Duration,
) -> Result<EffectsOutcome, EffectsFailed> {
    let received_at = app.clock.now();
    let budget = |after, at_most| patience::budget(arrival, app.clock.now_millis(), after, SHORTEST, at_most);
    let (at_most, after) = match app.worker {
        Some(_) => (BEFORE_WORKER, HANDING_OVER),
        None => (ALONE, CLOSING),
    };
    let running = budget(after, at_most.saturating_sub(spent));
    let failed = match app.effects.run(callback, received_at, running).await {
        Ok(Ran::Now) => return Ok(EffectsOutcome::Done),
        Ok(Ran::Before) => return Ok(EffectsOutcome::Duplicate),
        Err(failed) => failed,
    };
    let Some(worker) = app.worker.as_deref() else {
        if matches!(failed.error, EffectError::Following(_)) {
            return Ok(EffectsOutcome::Lost(failed.error));
        }
        app.effects.give_up(&failed).await;
        return Err(EffectsFailed {
            effects: failed.error,
            worker: None,
        });
    };
    let event = LateEffects::event(callback, received_at, app.effects.publish());
    // Both at once: `worker` waits for a claim that is still held.
    let handing_over = timeout(budget(Duration::ZERO, HANDING_OVER), worker.hand_over(event));
    let ((), handed_over) = tokio::join!(app.effects.give_up(&failed), handing_over);
    match handed_over.unwrap_or(Err(HandOverError::TooLate)) {
        Ok(()) => Ok(EffectsOutcome::HandedOver(failed.error)),
        Err(error) => Err(EffectsFailed {
            effects: failed.error,
            worker: Some(error),
        }),
    }
}
