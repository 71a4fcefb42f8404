//! One run of one campaign: it keeps the lease, notices what callers order, and takes the campaign from state to state.

use std::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use wechat::{
    account::Account,
    campaign::{Campaign, CampaignState, Loading, NewState, Progress, WaitingFor},
    clock::Deadline,
    lock::lock,
    sending::Outcome,
    store::{LeasedCampaign, StoreError},
    telemetry::{self, Metric},
};

use super::{
    LEASE,
    judge::{Judge, NO_CLEAR_ANSWER, Verdict, quota_returns_at, until_next_probe},
    pace::Pace,
    quota::Quota,
};

/// The pause between two signs of life. A caller's order is noticed at one, so a pause works within this time and a call.
const SIGN_OF_LIFE: Duration = Duration::from_millis(1_500);
/// Milliseconds. No message goes out when the last sign of life is older: the order to pause may have been missed.
const TRUSTED_FOR: i64 = 2_900;
/// A wait looks for the end of the phase this often.
const SLICE: Duration = Duration::from_millis(200);
/// Seconds. What a campaign left ends this long after its end.
const KEPT_FOR: i64 = 30 * 24 * 3600;
/// Seconds. A campaign that leaves the rest of the quota to another one looks again after this time.
const YIELDS_FOR: i64 = 15;
/// Seconds. A wait up to this long is waited for by the run itself.
const SHORT_WAIT: i64 = 20;
/// The reason shown when a resend ends and the campaign is stopped as before.
const RESENT: &str = "the unknown outcomes were sent again; resume goes on with the rest / 结果未知的消息已重发，resume 可继续发送其余消息";
/// Attempts at writing a state while callers change the campaign.
const ATTEMPTS: u8 = 20;

/// A run that holds the lease of a campaign.
pub(crate) struct Run<'a> {
    pub(crate) account: &'a Account,
    pub(crate) owner: String,
    pub(crate) deadline: Deadline,
    /// When the last message may go out, in epoch milliseconds.
    ends: i64,
    /// Whether the process is about to end, so that no further message may go out.
    is_stopping: &'a AtomicBool,
    is_deleted: AtomicBool,
    has_died: bool,
    /// The campaign, with the progress of this run.
    campaign: Mutex<Campaign>,
    /// Why this phase ends: the first verdict that is not to go on.
    verdict: Mutex<Option<Verdict>>,
    /// Whether a caller has changed the campaign in this phase. Changed under the lock of `campaign`.
    has_order: AtomicBool,
    pub(crate) judge: Mutex<Judge>,
    pub(crate) quota: Mutex<Quota>,
    /// Held while WeChat is asked for the quota.
    pub(crate) asking: tokio::sync::Mutex<()>,
    /// How the sends fared that the metrics do not count yet.
    pub(crate) outcomes: Mutex<Vec<Outcome>>,
    pub(crate) pace: Mutex<Pace>,
    /// The line in which messages wait for their turn, one after the other.
    pub(crate) line: tokio::sync::Mutex<()>,
    /// Held while the campaign is written, so that an older progress never replaces a newer one.
    pub(crate) writing: tokio::sync::Mutex<()>,
    /// Messages that may still go out in this phase.
    left_of_phase: AtomicUsize,
    /// When the last successful sign of life began, in epoch milliseconds.
    alive_at: AtomicI64,
}

/// Why a run ends before its work is done.
pub(crate) enum Ended {
    /// Another run has the lease, or the campaign is deleted: nothing may be written any more.
    Lost,
    /// The table failed.
    Store(StoreError),
}

impl From<StoreError> for Ended {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        account: &'a Account,
        owner: String,
        leased: LeasedCampaign,
        ends: i64,
        deadline: Deadline,
        is_stopping: &'a AtomicBool,
    ) -> Self {
        let LeasedCampaign {
            campaign,
            has_died,
            is_deleted,
        } = leased;
        let now = account.clock.now_millis();
        let Progress {
            has_accepted,
            refused_first,
            ..
        } = campaign.progress;
        let pace = Pace::new(campaign.plan.pace, now);
        Self {
            account,
            owner,
            deadline,
            ends,
            is_stopping,
            is_deleted: AtomicBool::new(is_deleted),
            has_died,
            judge: Mutex::new(Judge::new(has_accepted, refused_first)),
            quota: Mutex::new(Quota::new()),
            asking: tokio::sync::Mutex::default(),
            outcomes: Mutex::default(),
            pace: Mutex::new(pace),
            line: tokio::sync::Mutex::default(),
            writing: tokio::sync::Mutex::default(),
            campaign: Mutex::new(campaign),
            verdict: Mutex::new(None),
            has_order: AtomicBool::new(false),
            left_of_phase: AtomicUsize::new(usize::MAX),
            alive_at: AtomicI64::new(now),
        }
    }

    /// Works until the campaign has nothing to do for now, or the time is over, and gives the lease back.
    ///
    /// # Errors
    /// [`StoreError`] when the table fails. The lease then ends by itself.
    pub(crate) async fn work(self) -> Result<(), StoreError> {
        let ended = tokio::select! {
            ended = self.advance() => ended,
            ended = self.keep_lease() => Err(ended),
        };
        match ended {
            Ok(()) => Ok(()),
            Err(Ended::Lost) => {
                let campaign = self.id();
                tracing::info!(
                    campaign,
                    "another run has taken over the campaign, or somebody deleted it"
                );
                Ok(())
            }
            Err(Ended::Store(error)) => Err(error),
        }
    }

    pub(crate) fn id(&self) -> String {
        self.campaign().id.clone()
    }

    /// The campaign. Never hold the guard over an await.
    pub(crate) fn campaign(&self) -> MutexGuard<'_, Campaign> {
        lock(&self.campaign)
    }

    pub(crate) fn now(&self) -> i64 {
        self.account.clock.now_millis()
    }

    pub(crate) fn seconds(&self) -> i64 {
        self.now().div_euclid(1000)
    }

    fn is_deleted(&self) -> bool {
        self.is_deleted.load(Ordering::Relaxed)
    }

    /// Whether there is time left.
    pub(crate) fn has_time(&self) -> bool {
        self.now() < self.ends && !self.is_stopping.load(Ordering::Relaxed)
    }

    /// Whether a message may go out now.
    pub(crate) fn may_send(&self) -> bool {
        self.may_go_on() && self.now() - self.alive_at.load(Ordering::Relaxed) < TRUSTED_FOR
    }

    /// Whether this phase goes on: nobody has stopped it, and there is time left.
    pub(crate) fn may_go_on(&self) -> bool {
        self.has_time() && lock(&self.verdict).is_none()
    }

    /// Ends this phase, unless it has ended.
    pub(crate) fn conclude(&self, verdict: Verdict) {
        lock(&self.verdict).get_or_insert(verdict);
    }

    /// Limits the messages of this phase.
    fn limit_phase(&self, messages: usize) {
        self.left_of_phase.store(messages, Ordering::Relaxed);
    }

    /// Messages that may still go out in this phase.
    pub(crate) fn left_of_phase(&self) -> usize {
        self.left_of_phase.load(Ordering::Relaxed)
    }

    /// Takes one message of this phase, if any is left. All sends of a run share one task.
    pub(crate) fn take_of_phase(&self) -> bool {
        let left = self.left_of_phase();
        self.limit_phase(left.saturating_sub(1));
        left > 0
    }

    /// Why this phase has ended, if something has ended it.
    pub(crate) fn concluded(&self) -> Option<Verdict> {
        lock(&self.verdict).clone()
    }

    /// Waits, at most until this phase ends. Returns whether it goes on.
    pub(crate) async fn pause(&self, time: Duration) -> bool {
        let until = self.now() + i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        while self.may_go_on() {
            let left = u64::try_from(until - self.now()).unwrap_or(0);
            if left == 0 {
                return true;
            }
            self.account.clock.sleep(SLICE.min(Duration::from_millis(left))).await;
        }
        false
    }

    /// Renews the lease until another run has it or the table has failed for as long as a lease lasts. A caller's order ends the
    /// phase.
    async fn keep_lease(&self) -> Ended {
        loop {
            self.account.clock.sleep(SIGN_OF_LIFE).await;
            let _one_at_a_time = self.writing.lock().await;
            let began = self.now();
            let (id, progress, changes) = {
                let campaign = self.campaign();
                (campaign.id.clone(), campaign.progress.clone(), campaign.changes)
            };
            let until = began.div_euclid(1000) + LEASE;
            let table = &self.account.table;
            match table.renew_campaign(&id, &self.owner, &progress, until).await {
                Ok(Some(LeasedCampaign { is_deleted, .. })) if is_deleted && !self.is_deleted() => return Ended::Lost,
                Ok(Some(LeasedCampaign { campaign: stored, .. })) => {
                    self.alive_at.store(began, Ordering::Relaxed);
                    if stored.changes != changes {
                        self.take_order(stored);
                    }
                }
                Ok(None) => return Ended::Lost,
                Err(error) => {
                    tracing::warn!(campaign = id, %error, "the lease of a campaign was not renewed");
                    if self.now() - self.alive_at.load(Ordering::Relaxed) > LEASE * 1000 {
                        return Ended::Store(error);
                    }
                }
            }
        }
    }

    /// Takes over what a caller has changed, and ends the phase.
    fn take_order(&self, stored: Campaign) {
        let mut campaign = self.campaign();
        let progress = std::mem::take(&mut campaign.progress);
        // Only the run adds chunks, and what it has added may be newer.
        let Campaign { chunks, entries, .. } = *campaign;
        *campaign = Campaign {
            progress,
            chunks,
            entries,
            ..stored
        };
        self.has_order.store(true, Ordering::Relaxed);
        drop(campaign);
        self.conclude(Verdict::GoesOn);
    }

    /// Takes the campaign from state to state while there is something to do.
    async fn advance(&self) -> Result<(), Ended> {
        if self.is_deleted() {
            return self.sweep().await;
        }
        if self.has_died {
            self.recount().await?;
        }
        loop {
            let state = {
                let campaign = self.campaign();
                self.has_order.store(false, Ordering::Relaxed);
                *lock(&self.verdict) = None;
                campaign.state
            };
            match state {
                CampaignState::Draft => return self.release(self.seconds() + KEPT_FOR).await,
                CampaignState::Loading => self.load().await?,
                CampaignState::Scheduled => {
                    let now = self.seconds();
                    let start = self.campaign().plan.start_at.unwrap_or(now);
                    if now < start {
                        if start - now > SHORT_WAIT || !self.has_time() {
                            return self.release(start).await;
                        }
                        self.pause(Duration::from_secs(start.abs_diff(now))).await;
                    } else {
                        self.resume().await?;
                    }
                }
                CampaignState::Canary | CampaignState::Running => self.send().await?,
                CampaignState::Waiting => {
                    let now = self.seconds();
                    let resumes_at = self.campaign().resumes_at.unwrap_or(now);
                    if now < resumes_at {
                        if resumes_at - now > SHORT_WAIT || !self.has_time() {
                            self.look_for_receipts().await?;
                            return self.release(resumes_at).await;
                        }
                        self.pause(Duration::from_secs(resumes_at.abs_diff(now))).await;
                    } else {
                        self.probe().await?;
                    }
                }
                CampaignState::Paused | CampaignState::Stopped | CampaignState::Done | CampaignState::Cancelled => {
                    let now = self.seconds();
                    let finished_at = self.campaign().finished_at;
                    if finished_at.is_some_and(|at| now >= at + KEPT_FOR) {
                        // From now on nobody sees it.
                        self.is_deleted.store(true, Ordering::Relaxed);
                        self.account.table.delete_campaign(&self.id(), now, |_| true).await?;
                        return self.sweep().await;
                    }
                    self.look_for_receipts().await?;
                    return self.release(i64::MAX).await;
                }
            }
            if !self.has_time() {
                return self.release(self.seconds()).await;
            }
        }
    }

    /// Goes on with the work: a start, or the end of a wait.
    pub(crate) async fn resume(&self) -> Result<(), Ended> {
        let state = self.campaign().state_of_work(self.seconds());
        self.enter(NewState::plain(state), |_| {}).await.map(|_| ())
    }

    /// Sends one message to see whether WeChat takes it again.
    async fn probe(&self) -> Result<(), Ended> {
        let (waiting_for, is_loaded) = {
            let campaign = self.campaign();
            (campaign.waiting_for, campaign.progress.loading == Loading::Over)
        };
        if !is_loaded {
            return self.resume().await;
        }
        let answers = lock(&self.judge).clear_answers;
        self.limit_phase(1);
        let verdict = self.send_messages().await;
        self.limit_phase(usize::MAX);
        let is_answered = lock(&self.judge).clear_answers > answers;
        match verdict? {
            // A probe that fails in another way, or cannot be made, is a wait for that.
            Some(verdict @ (Verdict::Waits(..) | Verdict::Yields(_) | Verdict::Stops(_))) => {
                self.follow(verdict, waiting_for).await
            }
            Some(Verdict::GoesOn | Verdict::Slower) => Ok(()),
            None if is_answered || self.is_sent() => {
                self.campaign().progress.probes = 0;
                self.resume().await
            }
            None if !self.has_time() => Ok(()),
            None => {
                let waiting_for = waiting_for.unwrap_or(WaitingFor::Platform);
                let verdict = Verdict::Waits(waiting_for, NO_CLEAR_ANSWER.to_owned());
                self.follow(verdict, Some(waiting_for)).await
            }
        }
    }

    /// Sends, until the phase ends, and goes to the state that follows.
    async fn send(&self) -> Result<(), Ended> {
        let is_canary = self.campaign().state == CampaignState::Canary;
        if is_canary {
            return self.send_canary().await;
        }
        let verdict = self.send_messages().await?;
        match verdict {
            Some(verdict) => self.follow(verdict, None).await,
            None if self.is_sent() => self.finish().await,
            None => Ok(()),
        }
    }

    /// Sends the canary's messages, waits for their receipts and judges them.
    async fn send_canary(&self) -> Result<(), Ended> {
        let (canary, asked, ends) = {
            let campaign = self.campaign();
            let Progress {
                totals,
                recipients,
                refused_at_loading,
                canary_ends,
                ..
            } = campaign.progress;
            let asked = recipients.saturating_sub(totals.queued + refused_at_loading);
            (campaign.plan.canary, asked, canary_ends)
        };
        let Some(canary) = canary else {
            self.campaign().progress.is_canary_over = true;
            return self.resume().await;
        };
        let left = u64::from(canary.count).saturating_sub(asked);
        if left > 0 && !self.is_sent() {
            self.limit_phase(usize::try_from(left).unwrap_or(usize::MAX));
            let verdict = self.send_messages().await;
            self.limit_phase(usize::MAX);
            if let Some(verdict) = verdict? {
                return self.follow(verdict, None).await;
            }
            return Ok(());
        }
        if ends == 0 {
            let ends = self.seconds() + i64::from(canary.wait);
            self.campaign().progress.canary_ends = ends;
            return Ok(());
        }
        let now = self.seconds();
        if now < ends {
            self.pause(Duration::from_secs(ends.abs_diff(now).min(5))).await;
            self.settle().await?;
            return Ok(());
        }
        self.settle().await?;
        let totals = self.campaign().progress.totals;
        let receipts = totals.delivered + totals.blocked + totals.failed;
        if totals.failed * 10 > receipts {
            let reason = format!(
                "{} of the first {receipts} receipts say that the message failed: see the recipients with state=failed \
                 / 首批 {receipts} 条回执中有 {} 条发送失败，请查看 state=failed 的接收者",
                totals.failed, totals.failed
            );
            tracing::error!(
                campaign = self.id(),
                reason,
                "the canary of a campaign failed / 群发任务试发失败"
            );
            let stopped = self.stopped(reason);
            return self
                .enter(stopped, |progress| progress.is_canary_over = true)
                .await
                .map(|_| ());
        }
        let running = NewState::plain(CampaignState::Running);
        self.enter(running, |progress| progress.is_canary_over = true)
            .await
            .map(|_| ())
    }

    /// The state of a campaign that stops now.
    fn stopped(&self, reason: String) -> NewState {
        telemetry::emit(&[Metric::count("CampaignStops")], None, self.now());
        NewState {
            reason: Some(reason),
            finished_at: Some(self.seconds()),
            ..NewState::plain(CampaignState::Stopped)
        }
    }

    /// Whether every recipient has had a turn.
    fn is_sent(&self) -> bool {
        let campaign = self.campaign();
        campaign.progress.position >= campaign.chunks
    }

    /// Goes to the state that `verdict` asks for. `waited_for` is what a probe was for.
    pub(crate) async fn follow(&self, verdict: Verdict, waited_for: Option<WaitingFor>) -> Result<(), Ended> {
        let now = self.seconds();
        let (waiting_for, reason, resumes_at) = match verdict {
            Verdict::GoesOn | Verdict::Slower => return Ok(()),
            Verdict::Stops(reason) => {
                tracing::error!(campaign = self.id(), reason, "a campaign stopped / 群发任务已停止");
                // Whoever resumes it has looked at the refusals.
                let stopped = self.enter(self.stopped(reason), |progress| progress.refused_first = 0);
                return stopped.await.map(|_| ());
            }
            Verdict::Yields(reason) => (WaitingFor::Quota, reason, now + YIELDS_FOR),
            Verdict::Waits(WaitingFor::Quota, reason) => (WaitingFor::Quota, reason, quota_returns_at(now)),
            Verdict::Waits(waiting_for, reason) => {
                let progress = &mut self.campaign().progress;
                progress.probes = waited_for.map_or(0, |_| progress.probes + 1);
                (waiting_for, reason, now + until_next_probe(progress.probes))
            }
        };
        tracing::warn!(
            campaign = self.id(),
            waiting_for = waiting_for.as_str(),
            resumes_at,
            reason,
            "a campaign waits / 群发任务等待中"
        );
        let waiting = NewState {
            waiting_for: Some(waiting_for),
            resumes_at: Some(resumes_at),
            reason: Some(reason),
            ..NewState::plain(CampaignState::Waiting)
        };
        self.enter(waiting, |_| {}).await.map(|_| ())
    }

    /// Ends the campaign: every recipient has had a turn. A resend ends in the state that the campaign had before.
    pub(crate) async fn finish(&self) -> Result<(), Ended> {
        self.recount().await?;
        let (state, totals) = {
            let Progress { resending, totals, .. } = self.campaign().progress;
            let before = resending.filter(|_| totals.queued > 0);
            (before.unwrap_or(CampaignState::Done), totals)
        };
        tracing::info!(
            campaign = self.id(),
            state = state.as_str(),
            ?totals,
            "a campaign has ended / 群发任务已结束"
        );
        let ended = NewState {
            reason: (state == CampaignState::Stopped).then(|| RESENT.to_owned()),
            finished_at: Some(self.seconds()),
            ..NewState::plain(state)
        };
        let again = |progress: &mut Progress| {
            progress.looks = 0;
            progress.looks_at = None;
            progress.resending = None;
            // A resume goes through all chunks for those who are queued.
            if state != CampaignState::Done {
                progress.position = 0;
            }
        };
        self.enter(ended, again).await.map(|_| ())
    }

    /// Writes the state that this run has come to, with a change of the progress. Returns whether it did: a caller who was faster
    /// wins.
    pub(crate) async fn enter(&self, state: NewState, change: impl Fn(&mut Progress)) -> Result<bool, Ended> {
        self.write_state(&state, None, &change).await
    }

    /// Gives the lease back. The campaign is due again at `due` (epoch seconds) or, if that is sooner, at the next look for
    /// receipts or at the end of what it left; at once when a caller has changed it.
    async fn release(&self, due: i64) -> Result<(), Ended> {
        let now = self.seconds();
        let mut due = {
            let campaign = self.campaign();
            let end = campaign.finished_at.map(|at| at + KEPT_FOR);
            let others = [campaign.progress.looks_at, end].into_iter().flatten();
            others.fold(due.min(now + KEPT_FOR), i64::min)
        };
        for _ in 0..ATTEMPTS {
            let state = self.as_it_is();
            if self.write_state(&state, Some(due), &|_| {}).await? {
                break;
            }
            self.has_order.store(false, Ordering::Relaxed);
            due = now;
        }
        Ok(())
    }

    /// The state that the campaign has.
    fn as_it_is(&self) -> NewState {
        let campaign = self.campaign();
        NewState {
            state: campaign.state,
            waiting_for: campaign.waiting_for,
            resumes_at: campaign.resumes_at,
            reason: campaign.reason.clone(),
            started_at: None,
            finished_at: campaign.finished_at,
        }
    }

    /// Writes `state`, unless a caller has changed the campaign in this phase: then returns `false`. `due` (epoch seconds) gives
    /// the lease back.
    async fn write_state(
        &self,
        state: &NewState,
        due: Option<i64>,
        change: &impl Fn(&mut Progress),
    ) -> Result<bool, Ended> {
        let _one_at_a_time = self.writing.lock().await;
        for _ in 0..ATTEMPTS {
            let mut campaign = {
                let campaign = self.campaign();
                if self.has_order.load(Ordering::Relaxed) {
                    return Ok(false);
                }
                campaign.clone()
            };
            change(&mut campaign.progress);
            let table = &self.account.table;
            if table.advance_campaign(&campaign, &self.owner, state, due).await? {
                let mut campaign = self.campaign();
                change(&mut campaign.progress);
                if !self.has_order.load(Ordering::Relaxed) {
                    campaign.state = state.state;
                    campaign.waiting_for = state.waiting_for;
                    campaign.resumes_at = state.resumes_at;
                    campaign.reason.clone_from(&state.reason);
                    campaign.finished_at = state.finished_at;
                }
                return Ok(true);
            }
            // A caller was faster, or it is this run's own write, whose answer was lost.
            let until = self.seconds() + LEASE;
            let own = self.campaign().progress.clone();
            let renewed = table.renew_campaign(&campaign.id, &self.owner, &own, until).await?;
            let Some(LeasedCampaign { campaign: stored, .. }) = renewed else {
                return if due.is_some() { Ok(true) } else { Err(Ended::Lost) };
            };
            if stored.changes != campaign.changes {
                self.take_order(stored);
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// Deletes all that the campaign has left.
    async fn sweep(&self) -> Result<(), Ended> {
        const AT_ONCE: u32 = 100;
        let (id, chunks) = {
            let campaign = self.campaign();
            (campaign.id.clone(), campaign.chunks)
        };
        loop {
            let deleted = self.campaign().progress.deleted;
            if deleted >= chunks {
                self.account.table.forget_campaign(&id).await?;
                tracing::info!(campaign = id, "what a campaign had left is deleted");
                return Ok(());
            }
            if !self.has_time() {
                return self.release(self.seconds()).await;
            }
            let next = chunks.min(deleted + AT_ONCE);
            self.account.table.delete_chunks(&id, deleted..next).await?;
            self.campaign().progress.deleted = next;
        }
    }
}
