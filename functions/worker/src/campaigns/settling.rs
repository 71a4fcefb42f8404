//! Looks up what became of the messages: receipts move people from `sent` to `delivered`, `blocked` or `failed`, and find
//! messages whose answer was lost.

use std::{collections::BTreeMap, time::Duration};

use wechat::{
    campaign::{Change, Looks, Mark},
    sending::REPEAT_IS_SAFE_FOR,
    store::{MessageRecord, MessageStatus, SentMessage, StoredLedger},
};

use super::{
    ledgers::chunk_steps,
    run::{Ended, Run},
};

/// Seconds after a send within which its record may still be written late.
const RECORDED_WITHIN: i64 = 29 * 24 * 3600;
/// Seconds from one look for receipts to the next. Receipts usually come within seconds.
const LOOKS: [i64; 14] = [
    60, 60, 60, 60, 60, 300, 300, 900, 3_600, 3_600, 21_600, 21_600, 86_400, 172_800,
];
/// Pauses before the looks that a run makes itself once the last message is sent.
const FIRST_LOOKS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(3)];

impl Run<'_> {
    /// Looks for receipts now and in the next seconds, and says when the next look is due.
    pub(super) async fn look_for_receipts(&self) -> Result<(), Ended> {
        let now = self.now();
        let Looks { made, next_at } = self.campaign().progress.looks_for_receipts;
        if next_at.is_some_and(|at| now < at) {
            return Ok(());
        }
        self.settle().await?;
        for pause in FIRST_LOOKS {
            if made > 0 || !self.waits_for_receipts() || !self.pause(pause).await {
                break;
            }
            self.settle().await?;
        }
        let next = LOOKS.get(usize::try_from(made).unwrap_or(usize::MAX));
        let next = next.filter(|_| self.waits_for_receipts());
        self.campaign().progress.looks_for_receipts = Looks {
            made: made + 1,
            next_at: next.map(|pause| now + pause),
        };
        Ok(())
    }

    fn waits_for_receipts(&self) -> bool {
        let totals = self.campaign().progress.totals;
        totals.sent + totals.unknown > 0
    }

    /// Looks for the receipts of all messages.
    pub(super) async fn settle(&self) -> Result<(), Ended> {
        let chunks = self.campaign().chunks;
        for step in chunk_steps(chunks) {
            if !self.has_time() {
                break;
            }
            for (chunk, stored) in self.account.table.ledgers(&self.id, step).await? {
                self.settle_ledger(chunk, stored).await?;
            }
        }
        Ok(())
    }

    /// Looks for the receipts of one chunk that no task works on.
    pub(super) async fn settle_chunk(&self, chunk: u32) -> Result<(), Ended> {
        let mut found = self.account.table.ledgers(&self.id, [chunk]).await?;
        match found.remove(&chunk) {
            Some(stored) => self.settle_ledger(chunk, stored).await,
            None => Ok(()),
        }
    }

    async fn settle_ledger(&self, chunk: u32, stored: StoredLedger) -> Result<(), Ended> {
        let changed = self.with_receipts(chunk, &stored).await?;
        if changed != stored {
            self.put_ledger(chunk, &changed).await?;
            self.count(&stored, &changed);
        }
        Ok(())
    }

    /// Returns a ledger with the receipts that have come, and with the lost messages that are found.
    pub(super) async fn with_receipts(&self, chunk: u32, stored: &StoredLedger) -> Result<StoredLedger, Ended> {
        let mut changed = stored.clone();
        let table = &self.account.table;
        // Nobody calls this while messages of the chunk are in flight, so a mark in flight was left by a run that died.
        let in_flight: Vec<usize> = stored.ledger.positions(|mark| mark == Mark::InFlight).collect();
        for position in in_flight {
            let asked_at = stored.ledger.asked_at(position).unwrap_or_default();
            changed.ledger.apply(position, Change::Unknown(asked_at, None));
        }
        let ledger = changed.ledger.clone();
        let sent: BTreeMap<&str, usize> = ledger
            .positions(|mark| mark == Mark::Sent)
            .filter_map(|position| Some((ledger.msgid(position)?, position)))
            .collect();
        if !sent.is_empty() {
            let messages = table.messages(&sent.keys().copied().collect::<Vec<_>>()).await?;
            for (msgid, message) in &messages {
                if let (Some(position), Some(mark)) = (sent.get(msgid.as_str()), receipt_of(message)) {
                    changed.ledger.apply(*position, Change::Receipt(mark));
                }
            }
            let has_record = |msgid: &str| {
                let mut records = messages.iter().filter(|(_, message)| message.campaign.is_some());
                records.any(|(recorded, _)| recorded == msgid)
            };
            let unrecorded: Vec<_> = sent.iter().filter(|(msgid, _)| !has_record(msgid)).collect();
            // A record expires after 30 days.
            let asked_at = ledger.claimed_at().filter(|at| self.now() - at < RECORDED_WITHIN);
            if let Some(asked_at) = asked_at.filter(|_| !unrecorded.is_empty()) {
                self.record_late(chunk, &unrecorded, asked_at).await?;
            }
        }
        let now = self.now();
        let lost: Vec<(usize, i64)> = ledger
            .positions(|mark| matches!(mark, Mark::Unknown | Mark::Again))
            .filter_map(|position| Some((position, ledger.asked_at(position)?)))
            .filter(|(_, asked_at)| now - asked_at >= REPEAT_IS_SAFE_FOR)
            .collect();
        if !lost.is_empty() {
            let recipients = self.recipients(chunk).await?.unwrap_or_default();
            for (position, asked_at) in lost {
                let openid = recipients.get(position).and_then(|entry| entry.openid.as_deref());
                if let Some(openid) = openid {
                    self.find_lost(&mut changed, position, openid, asked_at).await?;
                }
            }
        }
        Ok(changed)
    }

    /// Records messages that the table did not take when they were sent, at about `asked_at` (epoch seconds): `sent` has their msgids
    /// and positions in the chunk.
    async fn record_late(&self, chunk: u32, sent: &[(&&str, &usize)], asked_at: i64) -> Result<(), Ended> {
        let table = &self.account.table;
        let recipients = self.recipients(chunk).await?.unwrap_or_default();
        let template_id = self.campaign().plan.content.template_id.clone();
        for (msgid, position) in sent {
            let openid = recipients.get(**position).and_then(|entry| entry.openid.as_deref());
            let Some(touser) = openid else { continue };
            let message = SentMessage {
                msgid,
                touser,
                template_id: &template_id,
                campaign: Some(&self.id),
            };
            table.record_sent(message, asked_at * 1000).await?;
        }
        Ok(())
    }

    /// Looks for the message of a recipient whose answer was lost: a record of it, or its receipt.
    pub(super) async fn find_lost(
        &self,
        stored: &mut StoredLedger,
        position: usize,
        openid: &str,
        asked_at: i64,
    ) -> Result<(), Ended> {
        let table = &self.account.table;
        let Some((msgid, message)) = table.find_message(&self.id, openid, asked_at).await? else {
            return Ok(());
        };
        if message.campaign.is_none() {
            let template_id = self.campaign().plan.content.template_id.clone();
            let sent = SentMessage {
                msgid: &msgid,
                touser: openid,
                template_id: &template_id,
                campaign: Some(&self.id),
            };
            table.record_sent(sent, asked_at * 1000).await?;
        }
        stored.ledger.apply(position, Change::Sent(msgid));
        if let Some(mark) = receipt_of(&message) {
            stored.ledger.apply(position, Change::Receipt(mark));
        }
        Ok(())
    }
}

/// The receipt in a record, if it has come.
fn receipt_of(message: &MessageRecord) -> Option<Mark> {
    match message.status {
        MessageStatus::Sent => None,
        MessageStatus::Delivered => Some(Mark::Delivered),
        MessageStatus::Blocked => Some(Mark::Blocked),
        MessageStatus::Failed => Some(Mark::Failed),
    }
}
