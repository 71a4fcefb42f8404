//! The ledgers of a campaign: the state of each recipient, chunk by chunk. The totals follow them.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use wechat::{
    campaign::{Ledger, Recipient, RecipientState, ResendStep, Totals},
    store::{CHUNKS_AT_ONCE, StoredLedger},
};

use super::run::{Ended, Run};

/// Attempts at writing a ledger or a record while the table fails, and the pause after the first.
const WRITE_ATTEMPTS: u32 = 6;
const WRITE_PAUSE: Duration = Duration::from_millis(300);
/// Chunks of one step.
#[expect(clippy::cast_possible_truncation, reason = "it is 100")]
pub(super) const CHUNK_STEP: u32 = CHUNKS_AT_ONCE as u32;

/// Divides `chunks` chunks into steps of at most [`CHUNK_STEP`].
pub(super) fn chunk_steps(chunks: u32) -> impl Iterator<Item = Range<u32>> {
    let starts = (0..chunks).step_by(CHUNKS_AT_ONCE);
    starts.map(move |from| from..chunks.min(from + CHUNK_STEP))
}

impl Run<'_> {
    /// Returns the entries of a chunk. `None` when there is no such chunk.
    pub(super) async fn recipients(&self, chunk: u32) -> Result<Option<Vec<Recipient>>, Ended> {
        let mut found = self.account.table.chunks(&self.id, [chunk]).await?;
        Ok(found.remove(&chunk))
    }

    /// Returns the ledger of a chunk with `entries` entries.
    pub(super) async fn ledger(&self, chunk: u32, entries: usize) -> Result<StoredLedger, Ended> {
        let mut found = self.account.table.ledgers(&self.id, [chunk]).await?;
        Ok(found.remove(&chunk).unwrap_or_else(|| new_ledger(entries)))
    }

    /// Stores a ledger, and returns it under its new version.
    pub(super) async fn put_ledger(&self, chunk: u32, stored: &StoredLedger) -> Result<StoredLedger, Ended> {
        let put = self
            .account
            .table
            .put_ledger(&self.id, chunk, stored, &self.owner)
            .await?;
        let version = put.ok_or(Ended::Lost)?;
        Ok(StoredLedger {
            version,
            ledger: stored.ledger.clone(),
        })
    }

    /// Makes a write that must not be lost, with retries while the table fails and there is time.
    pub(super) async fn persist<T, F>(&self, what: &'static str, write: impl Fn() -> F) -> Result<T, Ended>
    where
        F: Future<Output = Result<T, Ended>>,
    {
        let (mut attempts, mut pause) = (1, WRITE_PAUSE);
        loop {
            match write().await {
                Err(Ended::Store(error)) if attempts < WRITE_ATTEMPTS && self.has_time() => {
                    tracing::warn!(campaign = self.id, %error, what, "a write failed and is repeated / 写入失败，正在重试");
                }
                written => return written,
            }
            self.account.clock.sleep(pause).await;
            (attempts, pause) = (attempts + 1, pause * 2);
        }
    }

    /// Updates the totals with the people whose state has changed.
    pub(super) fn count(&self, before: &StoredLedger, after: &StoredLedger) {
        let progress = &mut self.campaign().progress;
        after
            .ledger
            .count_changes(&before.ledger, &mut progress.totals, &mut progress.refusals);
    }

    /// Counts all ledgers again: the totals of a run that died may be behind them.
    pub(super) async fn recount(&self) -> Result<(), Ended> {
        let chunks = self.campaign().chunks;
        let mut totals = Totals::default();
        let mut refusals = BTreeMap::new();
        for step in chunk_steps(chunks) {
            let counted = step.filter(|chunk| !self.campaign().skips(*chunk));
            for stored in self.account.table.ledgers(&self.id, counted).await?.into_values() {
                let ledger = &stored.ledger;
                let states = ledger.marks().iter().enumerate();
                for (position, state) in states.filter_map(|(position, mark)| Some((position, mark.state()?))) {
                    *totals.of(state) += 1;
                    if state == RecipientState::Refused
                        && let Some(errcode) = ledger.errcode(position)
                    {
                        *refusals.entry(errcode.to_owned()).or_default() += 1;
                    }
                }
            }
        }
        let progress = &mut self.campaign().progress;
        // Chunks without a ledger are queued.
        totals.queued = 0;
        totals.queued = progress.recipients.saturating_sub(totals.all());
        progress.totals = totals;
        progress.refusals = refusals;
        Ok(())
    }

    /// Queues again the recipients whose outcome is unknown, as the order to resend asks. Receipts that have come meanwhile
    /// settle some of them.
    pub(super) async fn requeue_unknown(&self) -> Result<(), Ended> {
        let chunks = self.campaign().chunks;
        for step in chunk_steps(chunks) {
            if !self.may_go_on() {
                return Ok(());
            }
            for (chunk, before) in self.account.table.ledgers(&self.id, step).await? {
                let mut stored = self.with_receipts(chunk, &before).await?;
                stored.ledger.requeue_unknown();
                if stored != before {
                    self.put_ledger(chunk, &stored).await?;
                }
            }
        }
        // The order that began the resend may have replaced newer totals.
        self.recount().await?;
        let mut campaign = self.campaign();
        if let Some(resend) = &mut campaign.progress.resend {
            resend.step = ResendStep::Sending;
        }
        campaign.progress.position = 0;
        Ok(())
    }
}

/// The ledger of a chunk of which nothing is sent.
pub(super) fn new_ledger(entries: usize) -> StoredLedger {
    StoredLedger {
        ledger: Ledger::new(entries),
        version: 0,
    }
}
