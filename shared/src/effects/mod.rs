//! What a callback changes: the record of a delivery receipt, and an event on the bus. `webhook` runs these effects before
//! it answers; when they fail it hands them over to `worker`.
//!
//! They happen once, however often WeChat or Lambda delivers, unless the process dies between an effect and the note that
//! it has happened, or an answer is lost: then they are repeated. A receipt may be written twice, and an event on the bus
//! has the same `id` both times.

mod event_bus;
mod late;

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout, timeout_at};

#[cfg(feature = "invoke")]
pub use self::late::LambdaWorker;
pub use self::{
    event_bus::{EventBus, PublishError},
    late::{HandOverError, LateEffects, NotLateEffects, WorkerPort},
};
use crate::{
    clock::Clock,
    message::{Callback, Content, Event, is_msgid},
    random,
    store::{Claim, MessageStatus, Receipt, StoreError, Table},
};

/// What marking the claim as done, or giving it up, may take after the effects' budget.
pub const CLOSING: Duration = Duration::from_millis(500);

/// A claim outlives the budget and [`CLOSING`] by a second at least, so that a crash is told from a slow run.
const CLAIMED_LONGER: i64 = 2;

/// Between two looks at the claim of another delivery.
const CLAIM_POLL: Duration = Duration::from_millis(200);

/// Bytes that are kept of WeChat's words for an outcome.
const LONGEST_WORDS: usize = 200;

/// Why the effects did not happen, as far as can be told. Holds no text and no openid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EffectError {
    /// The table could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The event was not published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Another delivery has the claim.
    #[error("an earlier delivery is still at work / 前一次推送仍在处理")]
    InProgress,
    /// The table did not answer in time.
    #[error("the table did not answer within {0:?} / 数据表未及时应答")]
    TooLate(Duration),
}

/// Effects that failed, and the claim that they may still have: see [`Effects::give_up`].
#[derive(Debug)]
#[must_use]
pub struct Failed {
    /// Why.
    pub error: EffectError,
    claim: Option<Claimed>,
}

impl<E: Into<EffectError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self {
            error: error.into(),
            claim: None,
        }
    }
}

#[derive(Debug)]
struct Claimed {
    key: String,
    owner: String,
}

/// Whether a run was the one that had the effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ran {
    /// It was.
    Now,
    /// They had happened at an earlier delivery.
    Before,
}

/// Runs the effects of the callbacks of one account.
#[derive(Debug)]
pub struct Effects {
    table: Table,
    event_bus: Option<EventBus>,
    clock: Arc<dyn Clock>,
}

impl Effects {
    /// Effects in `table` and, if there is one, on `event_bus`.
    #[must_use]
    pub const fn new(table: Table, event_bus: Option<EventBus>, clock: Arc<dyn Clock>) -> Self {
        Self {
            table,
            event_bus,
            clock,
        }
    }

    /// Whether callbacks are published.
    #[must_use]
    pub const fn publish(&self) -> bool {
        self.event_bus.is_some()
    }

    /// Whether `callback` has any effects.
    #[must_use]
    pub fn has_any(&self, callback: &Callback) -> bool {
        self.publish() || receipt(callback, 0).is_some()
    }

    /// Runs the effects of `callback`, which came in at `received_at`, unless another delivery of it does or has. Takes
    /// `budget` at most, and [`CLOSING`] when they have happened.
    ///
    /// # Errors
    /// [`Failed`]: they may have happened all the same. Its claim is to be given up.
    pub async fn run(&self, callback: &Callback, received_at: i64, budget: Duration) -> Result<Ran, Failed> {
        let deadline = Instant::now() + budget;
        let key = callback.dedup_key();
        let owner = random::hex::<8>();
        match self.claim(&key, &owner, budget, deadline).await? {
            Claim::Won => {}
            Claim::Done => return Ok(Ran::Before),
            Claim::InProgress => return Err(EffectError::InProgress.into()),
        }
        let claim = Claimed { key, owner };
        match self.act(callback, received_at, budget, deadline).await {
            Ok(()) => {
                self.close(&claim, true).await;
                Ok(Ran::Now)
            }
            Err(error) => Err(Failed {
                error,
                claim: Some(claim),
            }),
        }
    }

    /// Gives up the claim of a run that has failed, so that the next one need not wait for its end. Takes [`CLOSING`] at
    /// most.
    pub async fn give_up(&self, failed: &Failed) {
        if let Some(claim) = &failed.claim {
            self.close(claim, false).await;
        }
    }

    /// Claims a callback. Another delivery of it, which is at work at the same time, is waited for: its outcome is that of both.
    async fn claim(&self, key: &str, owner: &str, budget: Duration, deadline: Instant) -> Result<Claim, EffectError> {
        let seconds = i64::try_from(budget.as_millis().div_ceil(1000)).unwrap_or(i64::MAX);
        loop {
            let claim = self
                .table
                .claim_callback(key, owner, self.clock.now(), seconds.saturating_add(CLAIMED_LONGER));
            let claim = timeout_at(deadline, claim)
                .await
                .map_err(|_| EffectError::TooLate(budget))??;
            if claim != Claim::InProgress || Instant::now() + CLAIM_POLL >= deadline {
                return Ok(claim);
            }
            sleep(CLAIM_POLL).await;
        }
    }

    /// Both effects at once. When one fails both are repeated by the next run, so neither is cut short.
    async fn act(
        &self,
        callback: &Callback,
        received_at: i64,
        budget: Duration,
        deadline: Instant,
    ) -> Result<(), EffectError> {
        let record = async {
            match receipt(callback, received_at) {
                Some(receipt) => timeout_at(deadline, self.table.record_receipt(receipt))
                    .await
                    .map_err(|_| EffectError::TooLate(budget))?
                    .map_err(EffectError::from),
                None => Ok(true),
            }
        };
        let publish = async {
            match &self.event_bus {
                Some(bus) => timeout_at(deadline, bus.publish(callback, received_at))
                    .await
                    .unwrap_or(Err(PublishError::TooLate)),
                None => Ok(()),
            }
        };
        let (recorded, published) = tokio::join!(record, publish);
        if !recorded? {
            tracing::warn!(
                "a receipt names another user than its message was sent to, and was not recorded: does another account's \
                 console name this URL? / 回执的用户与消息的接收者不符，未予记录：是否有其他公众号的服务器配置指向了此 URL？"
            );
        }
        Ok(published?)
    }

    /// Ends the claim, best effort: it ends by itself anyway. An effect that has happened would only be repeated, and one
    /// that has not is asked for again.
    async fn close(&self, Claimed { key, owner }: &Claimed, is_done: bool) {
        let closing = async {
            if is_done {
                self.table.finish_callback(key, owner, self.clock.now()).await
            } else {
                self.table.give_up_callback(key, owner).await
            }
        };
        match timeout(CLOSING, closing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the claim of a callback ends by itself"),
            Err(_) => tracing::warn!("the claim of a callback ends by itself: the store did not answer in time"),
        }
    }
}

/// The delivery receipt that `callback` is, if it is one that names a message.
fn receipt(callback: &Callback, at: i64) -> Option<Receipt<'_>> {
    let Content::Event(Event::TemplateSendJobFinish {
        msg_id: Some(msg_id),
        status,
        status_text,
    }) = &callback.content
    else {
        return None;
    };
    if !is_msgid(msg_id) {
        return None;
    }
    Some(Receipt {
        msgid: msg_id,
        openid: &callback.from,
        status: MessageStatus::from(*status),
        words: &status_text[..status_text.floor_char_boundary(LONGEST_WORDS)],
        at,
    })
}
