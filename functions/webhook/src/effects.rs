//! The effects of a callback, before its answer: they happen in time, or `worker` has them, or WeChat delivers again.

use std::{fmt, time::Duration};

use tokio::time::timeout;
use wechat::{
    effects::{CLOSING, EffectError, HandOverError, LateEffects, Ran},
    message::Callback,
};

use crate::App;

/// Effects that nobody else will run. WeChat hangs up after 5 s, which a cold start and [`CLOSING`] are part of.
const ALONE: Duration = Duration::from_secs(2);
/// Effects that can be handed over: with [`HANDING_OVER`] they must not take longer than [`ALONE`] and [`CLOSING`].
const BEFORE_WORKER: Duration = Duration::from_millis(1400);
/// Asking AWS Lambda to keep an event: some 20 ms, and a TLS handshake on a small share of a CPU the first time.
const HANDING_OVER: Duration = Duration::from_secs(1);

const _: () = assert!(BEFORE_WORKER.as_millis() + HANDING_OVER.as_millis() <= ALONE.as_millis() + CLOSING.as_millis());

/// What became of the effects.
#[derive(Debug)]
pub(crate) enum Settled {
    /// There are none.
    None,
    /// They have happened now.
    Now,
    /// They had happened at an earlier delivery.
    Before,
    /// They failed, and are `worker`'s from now on.
    HandedOver(EffectError),
}

impl Settled {
    /// Why they were handed over, if they were.
    pub(crate) fn handed_over(&self) -> Option<String> {
        match self {
            Self::HandedOver(error) => Some(error.to_string()),
            Self::None | Self::Now | Self::Before => None,
        }
    }
}

/// Why the effects did not happen, and why `worker` was not asked, if there is one. WeChat delivers again.
#[derive(Debug)]
pub(crate) struct NotSettled {
    effects: EffectError,
    worker: Option<HandOverError>,
}

impl fmt::Display for NotSettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.effects)?;
        self.worker.iter().try_for_each(|error| write!(f, "; {error}"))
    }
}

/// Sees to the effects of `callback`, if it has any.
pub(crate) async fn settle(app: &App, callback: &Callback) -> Result<Settled, NotSettled> {
    if !app.effects.has_any(callback) {
        return Ok(Settled::None);
    }
    // On the heap: inside of the future of every reply, which is moved many times, the calls to AWS would cost a reply
    // without effects more than all its own work.
    Box::pin(run_or_hand_over(app, callback)).await
}

async fn run_or_hand_over(app: &App, callback: &Callback) -> Result<Settled, NotSettled> {
    let received_at = app.clock.now();
    let budget = if app.worker.is_some() { BEFORE_WORKER } else { ALONE };
    let failed = match app.effects.run(callback, received_at, budget).await {
        Ok(Ran::Now) => return Ok(Settled::Now),
        Ok(Ran::Before) => return Ok(Settled::Before),
        Err(failed) => failed,
    };
    let Some(worker) = app.worker.as_deref() else {
        app.effects.give_up(&failed).await;
        return Err(NotSettled {
            effects: failed.error,
            worker: None,
        });
    };
    let event = LateEffects::event(callback, received_at, app.effects.publish());
    // The worker waits for a claim that is not given up by then.
    let handing_over = timeout(HANDING_OVER, worker.hand_over(event));
    let ((), handed_over) = tokio::join!(app.effects.give_up(&failed), handing_over);
    match handed_over.unwrap_or(Err(HandOverError::TooLate)) {
        Ok(()) => Ok(Settled::HandedOver(failed.error)),
        Err(error) => Err(NotSettled {
            effects: failed.error,
            worker: Some(error),
        }),
    }
}
