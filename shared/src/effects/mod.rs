//! The effects of a callback: recording a delivery receipt, publishing an event on the bus, and recording whether a bound user
//! follows the account. `webhook` runs them before it answers; when they fail, it hands them over to `worker`.
//!
//! A receipt stays the same however often it comes, and of a user's follow and unfollow events the newest wins, so neither
//! needs a claim. A claim in the table makes an event on the bus happen once, however often WeChat or Lambda delivers. The
//! event can happen twice when the process dies between the event and closing the claim, or when an answer is lost. This is
//! harmless: both have the same `id`.

mod event_bus;
mod further;
mod late;

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout_at};

#[cfg(feature = "invoke")]
pub use self::late::LambdaWorker;
pub use self::{
    event_bus::{EventBus, PublishError},
    further::{FurtherReplies, NotFurtherReplies},
    late::{HandOverError, LateEffects, NotLateEffects, WorkerPort},
};
use crate::{
    bilingual::caused,
    clock::Clock,
    counts::DailyCounts,
    message::{Callback, Content, Event},
    random,
    store::{Claim, Counted, MessageStatus, Receipt, Recorded, StoreError, Table, within},
};

/// The time to close the claim after the effects' budget.
pub const CLOSING: Duration = Duration::from_millis(500);

/// Seconds by which a claim outlives the budget. This is over a second more than [`CLOSING`], so a claim does not expire while
/// a slow run still holds it.
const CLAIMED_LONGER: i64 = 2;

/// The pause before looking again at the claim of another delivery.
const CLAIM_POLL: Duration = Duration::from_millis(200);

/// How long recording whether a user follows may take. The greeting waits for it.
const FOLLOWING: Duration = Duration::from_millis(800);

/// Seconds by which the `CreateTime` of an event may be ahead of our clock. In plain mode a stranger can forge one, and the
/// newest event wins: one of next year would win for a year.
const AHEAD: i64 = 600;

/// How long an answer waits for the count of a receipt.
const COUNTING: Duration = Duration::from_millis(300);

/// The receipts that a process counts one by one before it counts those of a second together.
const BURST: u16 = 20;

/// Bytes that the record keeps of `Status`, WeChat's text for the result of a send.
const LONGEST_WORDS: usize = 200;

/// Why the effects failed. They may have happened all the same. Holds no text of users and no openid.
#[derive(Debug, thiserror::Error)]
pub enum EffectError {
    /// The table could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The event was not published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Another delivery holds the claim.
    #[error("an earlier delivery of this callback is still in progress / 前一次推送仍在处理")]
    InProgress,
    /// Only this failed: whether the user follows the account was not recorded.
    #[error("{}", caused("whether the user follows the account may not be recorded", "用户的关注状态可能未记录", .0))]
    Following(#[source] StoreError),
}

/// Failed effects, and the claim that they may still hold: see [`Effects::give_up`].
#[derive(Debug)]
#[must_use]
pub struct Failed {
    /// The reason.
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

/// When the effects happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ran {
    /// In this run.
    Now,
    /// At an earlier delivery.
    Before,
}

/// Runs the effects of the callbacks of one account.
#[derive(Debug)]
pub struct Effects {
    table: Table,
    event_bus: Option<EventBus>,
    deliveries: DailyCounts,
    clock: Arc<dyn Clock>,
}

impl Effects {
    /// Creates the runner of effects in `table` and on `event_bus`, if there is one.
    #[must_use]
    pub fn new(table: Table, event_bus: Option<EventBus>, clock: Arc<dyn Clock>) -> Self {
        Self {
            deliveries: DailyCounts::new(Counted::Deliveries, BURST, table.clone(), Arc::clone(&clock)),
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
        self.publish() || receipt(callback, 0).is_some() || following(callback).is_some()
    }

    /// Runs the effects of `callback`, received at `received_at` (epoch seconds). The event is left out when another delivery
    /// publishes it or has published it. Takes at most `budget`, and [`CLOSING`] after a success.
    ///
    /// # Errors
    /// [`Failed`], although the effects may have happened. The caller then gives up the claim with [`Self::give_up`].
    /// [`EffectError::Following`] when all others have happened.
    pub async fn run(&self, callback: &Callback, received_at: i64, budget: Duration) -> Result<Ran, Failed> {
        let deadline = Instant::now() + budget;
        let left = || deadline.saturating_duration_since(Instant::now());
        let recorded = self.record_receipt(callback, received_at, left()).await?;
        let (ran, followed) = tokio::join!(
            self.run_claimed(callback, received_at, left()),
            self.record_following(callback, received_at, left())
        );
        let ran = ran?;
        followed.map_err(EffectError::Following)?;
        self.confirm_following(callback, received_at, left()).await;
        // Without a bus a receipt is all that can have happened before.
        Ok(match recorded {
            Some(Recorded::Before) if !self.publish() => Ran::Before,
            _ => ran,
        })
    }

    async fn record_receipt(
        &self,
        callback: &Callback,
        received_at: i64,
        budget: Duration,
    ) -> Result<Option<Recorded>, StoreError> {
        let began = Instant::now();
        let Some(receipt) = receipt(callback, received_at) else {
            return Ok(None);
        };
        let recorded = within(budget, self.table.record_receipt(receipt)).await?;
        match recorded {
            Recorded::Now => {
                self.count_delivery(receipt.status, budget.saturating_sub(began.elapsed()))
                    .await;
            }
            Recorded::Before => {}
            Recorded::No => tracing::warn!(
                "a receipt was not recorded: its user is not the recipient of the message; does another account send its \
                 callbacks to this URL too? / 回执的用户与消息的接收者不符，未予记录：是否有其他公众号的消息推送也指向此 URL？"
            ),
        }
        Ok(Some(recorded))
    }

    /// Counts the outcome of a message, best effort: the record of the message is the truth, and the count only gives an
    /// overview of a day. A slow write goes on in the background.
    async fn count_delivery(&self, status: MessageStatus, budget: Duration) {
        if let Some(writing) = self.deliveries.count(status.as_str()) {
            let _ = writing.ends_within(budget.min(COUNTING)).await;
        }
    }

    async fn record_following(
        &self,
        callback: &Callback,
        received_at: i64,
        budget: Duration,
    ) -> Result<(), StoreError> {
        let is_followed = match following(callback) {
            Some(Following::Begins) => true,
            Some(Following::Ends) => false,
            Some(Following::GoesOn) | None => return Ok(()),
        };
        let Some(openid) = callback.openid() else {
            return Ok(());
        };
        let at = callback.created_at.min(received_at + AHEAD);
        within(budget.min(FOLLOWING), self.table.set_followed(openid, is_followed, at)).await
    }

    /// Mends the record of a user whose `subscribe` was lost, best effort.
    async fn confirm_following(&self, callback: &Callback, received_at: i64, budget: Duration) {
        let Some((openid, Following::GoesOn)) = callback.openid().zip(following(callback)) else {
            return;
        };
        let at = callback.created_at.min(received_at + AHEAD);
        let confirmed = within(budget.min(FOLLOWING), self.table.confirm_follower(openid, at)).await;
        if let Err(error) = confirmed {
            tracing::warn!(%error, "that a user follows the account may not be recorded / 用户的关注状态可能未记录");
        }
    }

    async fn run_claimed(&self, callback: &Callback, received_at: i64, budget: Duration) -> Result<Ran, Failed> {
        let Some(bus) = &self.event_bus else {
            return Ok(Ran::Now);
        };
        let deadline = Instant::now() + budget;
        let key = callback.dedup_key();
        let owner = random::hex::<8>();
        match self.claim(&key, &owner, budget, deadline).await? {
            Claim::Won => {}
            Claim::Done => return Ok(Ran::Before),
            Claim::InProgress => return Err(EffectError::InProgress.into()),
        }
        let claim = Claimed { key, owner };
        let published = timeout_at(deadline, bus.publish(callback, received_at)).await;
        match published.unwrap_or(Err(PublishError::TooLate)) {
            Ok(()) => {
                self.close(&claim, true).await;
                Ok(Ran::Now)
            }
            Err(error) => Err(Failed {
                error: error.into(),
                claim: Some(claim),
            }),
        }
    }

    /// Gives up the claim of a failed run, so that the next run need not wait until it expires. Takes at most [`CLOSING`].
    pub async fn give_up(&self, failed: &Failed) {
        if let Some(claim) = &failed.claim {
            self.close(claim, false).await;
        }
    }

    /// Claims a callback. While another delivery holds the claim, waits for its result until `deadline`.
    async fn claim(&self, key: &str, owner: &str, budget: Duration, deadline: Instant) -> Result<Claim, StoreError> {
        let seconds = i64::try_from(budget.as_millis().div_ceil(1000)).unwrap_or(i64::MAX);
        loop {
            let claim = self
                .table
                .claim_callback(key, owner, self.clock.now(), seconds.saturating_add(CLAIMED_LONGER));
            let claim = within(deadline - Instant::now(), claim).await?;
            if claim != Claim::InProgress || Instant::now() + CLAIM_POLL >= deadline {
                return Ok(claim);
            }
            sleep(CLAIM_POLL).await;
        }
    }

    /// Closes the claim, best effort: it expires anyway. A redelivery waits until then, and then repeats the effects.
    async fn close(&self, Claimed { key, owner }: &Claimed, is_done: bool) {
        let closing = async {
            if is_done {
                self.table.finish_callback(key, owner, self.clock.now()).await
            } else {
                self.table.give_up_callback(key, owner).await
            }
        };
        if let Err(error) = within(CLOSING, closing).await {
            tracing::warn!(%error, "the claim of a callback was not closed, it will expire / 回调的处理标记未能关闭，将自行过期");
        }
    }
}

/// Reads `callback` as a delivery receipt; `None` when it is another callback or names no message.
fn receipt(callback: &Callback, at: i64) -> Option<Receipt<'_>> {
    let (msgid, status, words) = callback.delivery_receipt()?;
    Some(Receipt {
        msgid,
        openid: &callback.from,
        status: MessageStatus::from(status),
        words: &words[..words.floor_char_boundary(LONGEST_WORDS)],
        at,
    })
}

/// What a callback says of its user and the account.
enum Following {
    /// The user follows from now on.
    Begins,
    /// The user has unfollowed.
    Ends,
    /// The user did what only followers can do.
    GoesOn,
}

/// Reads what `callback` says of following. A message says so too, but it is not worth a read of the table each time.
const fn following(callback: &Callback) -> Option<Following> {
    let Content::Event(event) = &callback.content else {
        return None;
    };
    match event {
        Event::Subscribe { .. } => Some(Following::Begins),
        Event::Unsubscribe => Some(Following::Ends),
        Event::Scan { .. }
        | Event::Click { .. }
        | Event::ScanCodePush(_)
        | Event::ScanCodeWaitMsg(_)
        | Event::PicSysPhoto(_)
        | Event::PicPhotoOrAlbum(_)
        | Event::PicWeixin(_)
        | Event::LocationSelect { .. } => Some(Following::GoesOn),
        _ => None,
    }
}
