//! Sends the messages of a campaign, chunk by chunk.
//!
//! Before WeChat is asked for the recipients of a chunk, they are written down as in flight, with the time. After that the outcomes
//! are written. A repeat goes out only while WeChat recognises its `client_msg_id`.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::Duration,
};

use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, Either, join_all, select},
    stream::FuturesUnordered,
};
use tokio::sync::Semaphore;
use wechat::{
    api::{ApiError, TemplateMessage, calls::template::SendTemplateMessage},
    campaign::{CHUNK, Change, FirstAnswers, Looks, Mark, Recipient},
    lock::lock,
    sending::{self, Outcome, QuotaToday, REPEAT_IS_SAFE_FOR},
    store::StoredLedger,
    token::{CallError, CallFailure},
};

use super::{
    judge::{Judgement, Verdict, is_clear_refusal},
    quota::Others,
    run::{Ended, PhaseEnd, Run},
};

/// Chunks whose messages go out at the same time. With [`CHUNK`] it bounds the messages in flight.
const CHUNKS_SENDING: usize = 6;
/// Chunks in work, also those that only repeat unknown outcomes.
const CHUNKS_OPEN: usize = 40;
/// Seconds of the pace that a chunk is cut into: what is written down as in flight is asked for soon.
const CLAIMED_AHEAD: u32 = 10;
/// The fewest recipients that are claimed at once.
const LEAST_CLAIM: usize = 10;
/// Recipients that are claimed until WeChat has accepted a message: it may refuse everybody.
const FIRST_CLAIM: usize = 50;
/// The pause before the first repeat of an unknown outcome. It doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Seconds from the last message of a chunk to the looks for its receipts, while the campaign goes on.
const LOOKS_AFTER: [i64; 2] = [4, 60];
/// The pause between two looks at a token that is being replaced.
const TOKEN_POLL: Duration = Duration::from_millis(50);
/// How long WeChat has to say how much of the quota is left: as long as a slow answer to a message takes.
const QUOTA_BUDGET: Duration = Duration::from_secs(10);
/// The longest pause between two looks for what is due.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What a task of a phase has done.
enum Task {
    /// Sent to a chunk. Whether none of its recipients is left.
    Sent(u32, Result<bool, Ended>),
    /// Looked for the receipts of a chunk.
    Looked(Result<(), Ended>),
    /// Asked WeChat for the quota.
    Asked,
}

/// A phase in progress: the tasks in work, and what comes next.
struct Phase<'r, 'a> {
    run: &'r Run<'a>,
    sending: &'r Semaphore,
    tasks: FuturesUnordered<BoxFuture<'r, Task>>,
    /// The next chunk to open, of `chunks`.
    next: u32,
    chunks: u32,
    /// Chunks that are sent while one before them is not.
    done: BTreeSet<u32>,
    /// When to look for the receipts of which chunk, in epoch seconds.
    looks: VecDeque<(i64, u32)>,
    is_looking: bool,
    is_asking: bool,
    /// What ends the phase once the tasks have ended.
    failure: Option<Ended>,
}

impl<'r> Phase<'r, '_> {
    fn open_chunks(&mut self) {
        let run = self.run;
        let most = match run.campaign().progress.first_answers {
            FirstAnswers::Accepted => CHUNKS_OPEN,
            FirstAnswers::Refused(_) => 1,
        };
        while self.failure.is_none()
            && run.may_go_on()
            && run.left_of_phase() > 0
            && self.next < self.chunks
            && self.tasks.len() < most
        {
            let chunk = self.next;
            let sent = run.send_chunk(chunk, self.sending);
            self.tasks.push(sent.map(move |sent| Task::Sent(chunk, sent)).boxed());
            self.next += 1;
            if self.tasks.len() > CHUNKS_SENDING && self.sending.available_permits() == 0 {
                break;
            }
        }
    }

    fn start_look(&mut self) {
        if self.is_looking || !self.run.may_go_on() {
            return;
        }
        let now = self.run.seconds();
        let due = self.looks.iter().position(|(at, _)| *at <= now);
        if let Some((_, chunk)) = due.and_then(|due| self.looks.remove(due)) {
            self.is_looking = true;
            self.tasks.push(self.run.settle_chunk(chunk).map(Task::Looked).boxed());
        }
    }

    fn ask_quota(&mut self) {
        let run: &'r Run<'_> = self.run;
        if !self.is_asking && run.may_go_on() && !self.tasks.is_empty() && lock(&run.quota).is_low(run.now()) {
            self.is_asking = true;
            self.tasks.push(run.ask_quota().map(|()| Task::Asked).boxed());
        }
    }

    /// Takes in what a task has done.
    fn note(&mut self, task: Task) {
        match task {
            Task::Sent(chunk, Ok(is_done)) => {
                if is_done {
                    self.done.insert(chunk);
                    let now = self.run.seconds();
                    self.looks.extend(LOOKS_AFTER.map(|after| (now + after, chunk)));
                }
                let progress = &mut self.run.campaign().progress;
                while self.done.remove(&progress.position) {
                    progress.position += 1;
                }
            }
            Task::Asked => self.is_asking = false,
            Task::Looked(Ok(())) => self.is_looking = false,
            Task::Sent(_, Err(error)) | Task::Looked(Err(error)) => {
                self.run.end_phase(PhaseEnd::Interrupted);
                self.failure.get_or_insert(error);
            }
        }
    }
}

/// A chunk in work.
struct Open {
    chunk: u32,
    recipients: Vec<Recipient>,
    stored: StoredLedger,
}

impl Run<'_> {
    /// Sends `messages` at most, as [`Self::send_messages`] does.
    pub(super) async fn send_at_most(&self, messages: usize) -> Result<Option<PhaseEnd>, Ended> {
        self.limit_phase(messages);
        let end = self.send_messages().await;
        self.limit_phase(usize::MAX);
        end
    }

    /// Sends until every recipient has had a turn, this phase's messages are sent, or something ends it. Returns why it
    /// ended early, if it did.
    pub(super) async fn send_messages(&self) -> Result<Option<PhaseEnd>, Ended> {
        if self.campaign().progress.is_requeueing() {
            self.requeue_unknown().await?;
            if self.campaign().progress.is_requeueing() {
                return Ok(self.phase_end());
            }
        }
        let (first, chunks) = {
            let mut campaign = self.campaign();
            campaign.progress.looks_for_receipts = Looks::default();
            (campaign.progress.position, campaign.chunks)
        };
        // From now on the others can see that this one sends.
        lock(&self.quota).forget();
        let sending = Semaphore::new(CHUNKS_SENDING);
        let mut phase = Phase {
            run: self,
            sending: &sending,
            tasks: FuturesUnordered::new(),
            next: first,
            chunks,
            done: BTreeSet::new(),
            looks: VecDeque::new(),
            is_looking: false,
            is_asking: false,
            failure: None,
        };
        loop {
            phase.open_chunks();
            phase.start_look();
            phase.ask_quota();
            let tick = self.account.clock.sleep(LOOK_EVERY);
            match select(phase.tasks.next(), tick).await {
                Either::Right(_) => {}
                Either::Left((None, _)) => break,
                Either::Left((Some(task), _)) => phase.note(task),
            }
        }
        match phase.failure {
            Some(error) => Err(error),
            None => Ok(self.phase_end()),
        }
    }

    /// Sends to the recipients of one chunk. Returns whether none is left.
    async fn send_chunk(&self, chunk: u32, sending: &Semaphore) -> Result<bool, Ended> {
        // A semaphore of this function is never closed.
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

    /// Takes over what a dead run has left in flight: it may have been sent.
    async fn take_over(&self, open: &mut Open) -> Result<(), Ended> {
        let now = self.seconds();
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
        let most = usize::try_from(campaign.plan.pace.saturating_mul(CLAIMED_AHEAD)).unwrap_or(CHUNK);
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
        let now = self.seconds();
        let ledger = &open.stored.ledger;
        ledger
            .positions(|mark| mark == Mark::Unknown)
            .filter(|position| !ledger.errcode(*position).is_some_and(is_clear_refusal))
            .filter_map(|position| Some((position, ledger.asked_at(position)?)))
            .filter(|(_, asked_at)| now - asked_at < REPEAT_IS_SAFE_FOR)
            .collect()
    }

    /// Writes recipients down as in flight, asks WeChat for each, and writes the outcomes.
    async fn send_claimed(&self, open: &mut Open, wanted: &[usize]) -> Result<(), Ended> {
        if !self.may_send() {
            self.pause(FIRST_PAUSE).await;
            return Ok(());
        }
        let now = self.seconds();
        let before = open.stored.clone();
        let was_wanted: Vec<Mark> = wanted
            .iter()
            .filter_map(|position| before.ledger.marks().get(*position).copied())
            .collect();
        open.stored.ledger.claim(wanted, now);
        self.store(open, &before).await?;
        let claimed = open.stored.clone();
        let sends = wanted.iter().map(|position| self.send_one(open, *position, now, false));
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
        loop {
            let unknown = self.repeatable(open);
            if unknown.is_empty() || self.left_of_phase() == 0 || !self.pause(pause).await {
                return Ok(());
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
            let before = open.stored.clone();
            // Receipts of the others in this chunk need not wait for the repeats.
            open.stored = match self.with_receipts(open.chunk, &before).await {
                Ok(stored) => stored,
                Err(Ended::Store(_)) => before.clone(),
                Err(error) => return Err(error),
            };
            let sends = unknown
                .iter()
                .map(|(position, asked_at)| self.send_one(open, *position, *asked_at, true));
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
        }
    }

    /// Asks WeChat for one recipient, for whom it was first asked at `asked_at` (epoch seconds). `None` when it was not asked.
    async fn send_one(&self, open: &Open, position: usize, asked_at: i64, is_repeat: bool) -> Option<Change> {
        let Recipient { openid, data, .. } = open.recipients.get(position)?;
        let message = self
            .campaign()
            .message(self.account.table.app_id(), openid.as_deref()?, data);
        if !self.may_go_on() || !self.take_of_phase() {
            return None;
        }
        // A second turn is for the token that replaces a dead one.
        let (turns, asked_now) = (AtomicU64::new(0), AtomicI64::new(asked_at));
        let turn = || async {
            let is_taken = self.take_turn(asked_at).await;
            turns.fetch_add(is_taken.into(), Ordering::Relaxed);
            asked_now.store(self.seconds(), Ordering::Relaxed);
            is_taken
        };
        let call = SendTemplateMessage(&message);
        let sent = self.account.attempt_in_turn(&call, self.deadline, turn).await;
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
        let now = self.now();
        let Judgement { change, verdict } = {
            let mut judge = lock(&self.judge);
            let judged = judge.judge(sent, asked_at, is_repeat, now);
            self.campaign().progress.first_answers = judge.first_answers;
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
        while lock(&self.quota).is_unknown(self.now()) {
            self.ask_quota().await;
            if !self.may_go_on() {
                return false;
            }
        }
        // A token that is being replaced is dead: whoever goes out now would only be refused.
        while self.account.tokens.is_searching() {
            if !self.pause(TOKEN_POLL).await {
                return false;
            }
        }
        let wait = lock(&self.pace).take(self.now());
        if wait > 0 && !self.pause(Duration::from_millis(wait)).await {
            return false;
        }
        let may_send = self.may_send() && self.seconds() - asked_at < REPEAT_IS_SAFE_FOR;
        if may_send {
            lock(&self.quota).take();
        }
        may_send
    }

    /// Asks WeChat how much of the quota is left, and waits for another day when nothing is left. Whoever comes while WeChat is
    /// being asked waits for that answer.
    async fn ask_quota(&self) {
        let _one_at_a_time = self.asking.lock().await;
        let now = self.now();
        if !lock(&self.quota).needs_an_answer(now) {
            return;
        }
        lock(&self.quota).begin();
        let today = QuotaToday::ask(self.account, QUOTA_BUDGET, self.deadline).await;
        let senders = self.account.table.sending_campaigns(self.seconds()).await;
        let senders = senders.inspect_err(|error| {
            tracing::warn!(campaign = self.id, %error, "the other campaigns that send could not be counted");
        });
        let others = senders.ok().map(|senders| Others::of(&self.id, &senders));
        let kept = self.campaign().plan.keep_for_single_sends;
        let ending = lock(&self.quota).learn(today, kept, others, self.now());
        if let Some(ending) = ending {
            self.end_phase(PhaseEnd::Ending(ending));
        }
        // What is in flight may be all that is left: WeChat counts it in a moment.
        if lock(&self.quota).is_unknown(self.now()) {
            self.account.clock.sleep(LOOK_EVERY).await;
        }
    }

    /// Records what WeChat answered, best effort: the ledger has it too, and a look for receipts records it later.
    async fn record(&self, message: &TemplateMessage, sent: &Result<String, CallError>, asked_at: i64) {
        let now = self.now();
        let record = || async {
            let recorded = sending::record(&self.account.table, message, Some(&self.id), sent, asked_at, now).await;
            recorded.map_err(Ended::Store)
        };
        if let Err(Ended::Store(error)) = self.persist("a sent message", record).await {
            tracing::error!(campaign = self.id, %error, "a sent message could not be recorded");
        }
    }

    /// Stores a chunk's ledger and moves its people in the totals.
    async fn store(&self, open: &mut Open, before: &StoredLedger) -> Result<(), Ended> {
        self.report_outcomes();
        let put = || self.put_ledger(open.chunk, &open.stored);
        open.stored = self.persist("a ledger", put).await?;
        self.count(before, &open.stored);
        Ok(())
    }

    /// Counts in the metrics how the sends since the last ledger fared: one line for each outcome, not for each message.
    fn report_outcomes(&self) {
        let outcomes = std::mem::take(&mut *lock(&self.outcomes));
        for outcome in Outcome::ALL {
            let sends = outcomes.iter().filter(|sent| **sent == outcome).count();
            outcome.count(sends, self.now());
        }
    }
}
