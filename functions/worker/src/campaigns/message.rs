//! Sends one message, at its turn.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::Duration,
};

use wechat::{
    api::{ApiError, TemplateMessage, calls::template::SendTemplateMessage},
    campaign::{Change, Recipient},
    lock::lock,
    sending::{self, Outcome, REPEAT_IS_SAFE_FOR},
    token::{CallError, CallFailure},
};

use super::{
    judge::{Judgement, Verdict},
    run::{Ended, PhaseEnd, Run},
};

/// The pause between two looks at a token that is being replaced.
const TOKEN_POLL: Duration = Duration::from_millis(50);

impl Run<'_> {
    /// Sends the message to one recipient, for whom WeChat was first asked at `asked_at` (epoch seconds). `None` when WeChat
    /// was not asked.
    pub(super) async fn send_one(&self, recipient: &Recipient, asked_at: i64, is_repeat: bool) -> Option<Change> {
        let Recipient { openid, data, .. } = recipient;
        let message = self
            .campaign()
            .message(self.account.table.app_id(), openid.as_deref()?, data);
        if !self.may_go_on() || !self.take_from_phase() {
            return None;
        }
        // WeChat is asked a second time, in a second turn, when a new token replaces a dead one.
        let (turns, asked_now) = (AtomicU64::new(0), AtomicI64::new(asked_at));
        let turn = || async {
            let is_taken = self.take_turn(asked_at).await;
            turns.fetch_add(is_taken.into(), Ordering::Relaxed);
            asked_now.store(self.now(), Ordering::Relaxed);
            is_taken
        };
        let call = SendTemplateMessage(&message);
        let sent = self.account.attempt_in_turn(&call, self.limit.deadline, turn).await;
        let (turns, asked_now) = (turns.into_inner(), asked_now.into_inner());
        lock(&self.quota).answered(turns);
        let is_out_of_turn = |error: &CallError| matches!(error.cause, CallFailure::Api(ApiError::OutOfTime { .. }));
        if turns == 0 && sent.as_ref().is_err_and(is_out_of_turn) {
            return None;
        }
        let outcome = Outcome::of(&sent);
        lock(&self.outcomes).push(outcome);
        if outcome == Outcome::Accepted || sent.as_ref().is_err_and(sending::is_unfollowed) {
            self.record(&message, &sent, asked_now).await;
        }
        let now = self.now_millis();
        let Judgement { change, verdict } = {
            let mut judge = lock(&self.judge);
            let judged = judge.judge(sent, asked_at, is_repeat, now);
            let progress = &mut self.campaign().progress;
            progress.first_answers = judge.first_answers;
            progress.last_answers.clone_from(&judge.last_answers);
            judged
        };
        match verdict {
            Verdict::GoesOn => {}
            Verdict::Slower => lock(&self.pace).slow_down(now),
            Verdict::Ends(ending) => self.end_phase(PhaseEnd::Ending(ending)),
        }
        Some(change)
    }

    /// Waits for the turn of one message, for which WeChat was first asked at `asked_at` (epoch seconds). Returns whether it may go
    /// out.
    async fn take_turn(&self, asked_at: i64) -> bool {
        let _in_line = self.line.lock().await;
        if !self.may_go_on() {
            return false;
        }
        while lock(&self.quota).is_unknown(self.now_millis()) {
            self.ask_quota().await;
            if !self.may_go_on() {
                return false;
            }
        }
        // A token that is being replaced is dead: a message that goes out now would only be refused.
        while self.account.tokens.is_searching() {
            if !self.pause(TOKEN_POLL).await {
                return false;
            }
        }
        let wait = lock(&self.pace).take(self.now_millis());
        if wait > 0 && !self.pause(Duration::from_millis(wait)).await {
            return false;
        }
        let may_send = self.may_send() && self.now() - asked_at < REPEAT_IS_SAFE_FOR;
        if may_send {
            lock(&self.quota).take();
        }
        may_send
    }

    /// Records what WeChat answered, best effort: the ledger has it too, and a look for receipts records it later.
    async fn record(&self, message: &TemplateMessage, sent: &Result<String, CallError>, asked_at: i64) {
        let now = self.now_millis();
        let record = || async {
            let recorded = sending::record(&self.account.table, message, Some(&self.id), sent, asked_at, now).await;
            recorded.map_err(Ended::Store)
        };
        if let Err(Ended::Store(error)) = self.persist("a sent message", record).await {
            tracing::error!(campaign = self.id, %error, "a sent message could not be recorded / 已发送的消息未能记录");
        }
    }

    /// Writes the metrics of the sends since the last write of a ledger: one line for each outcome, not for each message.
    pub(super) fn report_outcomes(&self) {
        let outcomes = std::mem::take(&mut *lock(&self.outcomes));
        for outcome in Outcome::ALL {
            let sends = outcomes.iter().filter(|sent| **sent == outcome).count();
            outcome.count(sends, self.now_millis());
        }
    }
}
