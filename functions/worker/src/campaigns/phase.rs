//! Sends a phase of a campaign: the chunks in work, what comes next, and what ends it.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, Either, select},
    stream::FuturesUnordered,
};
use tokio::sync::Semaphore;
use wechat::{
    campaign::{FirstAnswers, Looks},
    lock::lock,
};

use super::{
    chunk::CHUNKS_SENDING,
    run::{Ended, PhaseEnd, Run},
};

/// Chunks in work, also those that only repeat unknown outcomes.
const CHUNKS_OPEN: usize = 40;
/// Seconds from the last message of a chunk to the looks for its receipts, while the campaign goes on.
const LOOKS_AFTER: [i64; 2] = [4, 60];
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
    /// Chunks that are sent, while an earlier one is not.
    done: BTreeSet<u32>,
    /// When to look for the receipts of which chunk, in epoch seconds.
    looks: VecDeque<(i64, u32)>,
    is_looking: bool,
    is_asking: bool,
    /// Why the phase ends once its tasks have ended.
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
        let now = self.run.now();
        let due = self.looks.iter().position(|(at, _)| *at <= now);
        if let Some((_, chunk)) = due.and_then(|due| self.looks.remove(due)) {
            self.is_looking = true;
            self.tasks.push(self.run.settle_chunk(chunk).map(Task::Looked).boxed());
        }
    }

    fn ask_quota(&mut self) {
        let run: &'r Run<'_> = self.run;
        if !self.is_asking && run.may_go_on() && !self.tasks.is_empty() && lock(&run.quota).is_low(run.now_millis()) {
            self.is_asking = true;
            self.tasks.push(run.ask_quota().map(|()| Task::Asked).boxed());
        }
    }

    /// Processes the result of a task.
    fn note(&mut self, task: Task) {
        match task {
            Task::Sent(chunk, Ok(is_done)) => {
                if is_done {
                    self.done.insert(chunk);
                    let now = self.run.now();
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

impl Run<'_> {
    /// Sends at most `messages`, as [`Self::send_messages`] does.
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
        // From now on other campaigns can see that this one sends.
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
}
