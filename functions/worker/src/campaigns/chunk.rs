//! Sends the messages of one chunk.
//!
//! Recipients are first written to the ledger as in flight, with the time. Then WeChat is asked for them, and then the
//! outcomes are written. A repeat goes out only while WeChat recognises its `client_msg_id`.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Semaphore;
use wechat::{
    campaign::{CHUNK, Change, FirstAnswers, Mark, Recipient},
    sending::REPEAT_IS_SAFE_FOR,
    store::StoredLedger,
};

use super::{
    judge::is_clear_refusal,
    run::{Ended, Run},
};

/// Seconds. A claim covers the messages of this many seconds at the campaign's pace. When a run dies, all of them may have
/// been sent.
const CLAIMED_AHEAD: usize = 10;
/// Chunks whose messages go out at the same time. With [`CHUNK`] it bounds the messages in flight.
pub(super) const CHUNKS_SENDING: usize = 6;
/// The fewest recipients of a chunk that are claimed at once.
const LEAST_CLAIM: usize = 2;
/// The most recipients that are claimed before WeChat has accepted a first message: it may refuse everybody.
const FIRST_CLAIM: usize = 50;
/// The pause before the first repeat of an unknown outcome. It doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A chunk in work.
struct Open {
    chunk: u32,
    recipients: Vec<Recipient>,
    stored: StoredLedger,
}

impl Run<'_> {
    /// Sends to the recipients of one chunk. Returns whether none is left.
    pub(super) async fn send_chunk(&self, chunk: u32, sending: &Semaphore) -> Result<bool, Ended> {
        // `ok`: nobody closes this semaphore.
        let turn = sending.acquire().await.ok();
        if !self.may_go_on() {
            return Ok(false);
        }
        if self.campaign().skips(chunk) {
            return Ok(true);
        }
        let Some(recipients) = self.recipients(chunk).await? else {
            return Ok(true);
        };
        let stored = self.ledger(chunk, recipients.len()).await?;
        let mut open = Open {
            chunk,
            recipients,
            stored,
        };
        self.take_over(&mut open).await?;
        // Before new messages: their time for a repeat is short.
        self.repeat(&mut open).await?;
        while self.may_go_on() {
            let wanted = self.wanted(&open);
            if wanted.is_empty() {
                break;
            }
            let before = open.stored.clone();
            self.send_claimed(&mut open, &wanted).await?;
            // When nothing got through, the next round waits for a moment.
            if self.wanted(&open).len() == wanted.len() && before.ledger.marks() == open.stored.ledger.marks() {
                self.pause(FIRST_PAUSE).await;
            }
        }
        drop(turn);
        self.repeat_unknown(&mut open).await?;
        let is_left = |mark| matches!(mark, Mark::Queued | Mark::Again | Mark::InFlight);
        let resends = self.campaign().progress.resend.is_some();
        let is_left = |mark| if resends { mark == Mark::Again } else { is_left(mark) };
        let has_repeats = !self.repeatable(&open).is_empty();
        Ok(!has_repeats && open.stored.ledger.positions(is_left).next().is_none())
    }

    /// Takes over the recipients that a dead run has left in flight: their messages may have been sent.
    async fn take_over(&self, open: &mut Open) -> Result<(), Ended> {
        let now = self.now();
        let ledger = &open.stored.ledger;
        let unknown: Vec<(usize, i64)> = ledger
            .positions(|mark| matches!(mark, Mark::InFlight | Mark::Unknown))
            .filter_map(|position| Some((position, ledger.asked_at(position)?)))
            .collect();
        let before = open.stored.clone();
        for (position, asked_at) in unknown {
            let was_in_flight = before.ledger.marks().get(position) == Some(&Mark::InFlight);
            if was_in_flight {
                open.stored.ledger.apply(position, Change::Unknown(asked_at, None));
            }
            let openid = open.recipients.get(position).and_then(|entry| entry.openid.clone());
            if let Some(openid) = openid
                && now - asked_at >= REPEAT_IS_SAFE_FOR
            {
                self.find_lost(&mut open.stored, position, &openid, asked_at).await?;
            }
        }
        if open.stored != before {
            self.store(open, &before).await?;
        }
        Ok(())
    }

    /// The recipients to ask WeChat for next: a part of the chunk.
    fn wanted(&self, open: &Open) -> Vec<usize> {
        let campaign = self.campaign();
        let resends = campaign.progress.resend.is_some();
        let is_wanted = |mark| mark == Mark::Again || (mark == Mark::Queued && !resends);
        let most = campaign.plan.pace as usize * CLAIMED_AHEAD / CHUNKS_SENDING;
        let most = most.clamp(LEAST_CLAIM, CHUNK).min(self.left_of_phase());
        let most = match campaign.progress.first_answers {
            FirstAnswers::Accepted => most,
            FirstAnswers::Refused(_) => most.min(FIRST_CLAIM),
        };
        let wanted = open.stored.ledger.positions(is_wanted);
        wanted.take(most).collect()
    }

    /// The recipients whose outcome is unknown and who can be asked for again. A repeat that WeChat clearly refused is not repeated.
    fn repeatable(&self, open: &Open) -> Vec<(usize, i64)> {
        let now = self.now();
        let ledger = &open.stored.ledger;
        ledger
            .positions(|mark| mark == Mark::Unknown)
            .filter(|position| !ledger.errcode(*position).is_some_and(is_clear_refusal))
            .filter_map(|position| Some((position, ledger.asked_at(position)?)))
            .filter(|(_, asked_at)| now - asked_at < REPEAT_IS_SAFE_FOR)
            .collect()
    }

    /// Writes recipients to the ledger as in flight, asks WeChat for each, and writes the outcomes.
    async fn send_claimed(&self, open: &mut Open, wanted: &[usize]) -> Result<(), Ended> {
        if !self.may_send() {
            self.pause(FIRST_PAUSE).await;
            return Ok(());
        }
        let now = self.now();
        let before = open.stored.clone();
        let was_wanted: Vec<Mark> = wanted
            .iter()
            .filter_map(|position| before.ledger.marks().get(*position).copied())
            .collect();
        open.stored.ledger.claim(wanted, now);
        self.store(open, &before).await?;
        let claimed = open.stored.clone();
        let recipients = &open.recipients;
        let sends = wanted
            .iter()
            .map(async |position| self.send_one(recipients.get(*position)?, now, false).await);
        let changes = join_all(sends).await;
        for ((position, was), change) in wanted.iter().zip(was_wanted).zip(changes) {
            match change.unwrap_or(Change::Requeued) {
                // The refusal of a resend does not say what became of the first message, and is not repeated.
                Change::Refused(errcode) if was == Mark::Again => {
                    let unknown = Change::Unknown(now - REPEAT_IS_SAFE_FOR, Some(errcode));
                    open.stored.ledger.apply(*position, unknown);
                }
                Change::Requeued if was == Mark::Again => open.stored.ledger.queue_again(*position),
                change => open.stored.ledger.apply(*position, change),
            }
        }
        self.store(open, &claimed).await
    }

    /// Repeats unknown outcomes while WeChat recognises a repeat.
    async fn repeat_unknown(&self, open: &mut Open) -> Result<(), Ended> {
        let mut pause = FIRST_PAUSE;
        while !self.repeatable(open).is_empty() && self.left_of_phase() > 0 && self.pause(pause).await {
            pause = (pause * 2).min(LONGEST_PAUSE);
            self.repeat(open).await?;
        }
        Ok(())
    }

    /// Asks WeChat once more for the recipients whose outcome is unknown.
    async fn repeat(&self, open: &mut Open) -> Result<(), Ended> {
        let unknown = self.repeatable(open);
        if unknown.is_empty() {
            return Ok(());
        }
        let before = open.stored.clone();
        // Receipts of the others in this chunk need not wait for the repeats.
        open.stored = match self.with_receipts(open.chunk, &before).await {
            Ok(stored) => stored,
            Err(Ended::Store(_)) => before.clone(),
            Err(error) => return Err(error),
        };
        let recipients = &open.recipients;
        let sends = unknown
            .iter()
            .map(async |(position, asked_at)| self.send_one(recipients.get(*position)?, *asked_at, true).await);
        let changes = join_all(sends).await;
        for ((position, _), change) in unknown.iter().zip(changes) {
            let is_unknown = open.stored.ledger.marks().get(*position) == Some(&Mark::Unknown);
            if let Some(change) = change.filter(|_| is_unknown) {
                open.stored.ledger.apply(*position, change);
            }
        }
        if open.stored != before {
            self.store(open, &before).await?;
        }
        Ok(())
    }

    /// Stores a chunk's ledger and updates the totals.
    async fn store(&self, open: &mut Open, before: &StoredLedger) -> Result<(), Ended> {
        self.report_outcomes();
        let put = || self.put_ledger(open.chunk, &open.stored);
        open.stored = self.persist("a ledger", put).await?;
        self.count(before, &open.stored);
        Ok(())
    }
}
