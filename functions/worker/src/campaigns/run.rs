//! One run of one campaign: it keeps the lease, notices what callers order, and writes the states that it comes to.

use std::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use wechat::{
    account::Account,
    campaign::{Campaign, CampaignState, NewState, Progress},
    clock::{duration, millis},
    lock::lock,
    sending::Outcome,
    store::{LeasedCampaign, StoreError},
};

use super::{
    LEASE,
    judge::{Ending, Judge},
    pace::Pace,
    quota::Quota,
};
use crate::time_limit::TimeLimit;

/// The pause between two signs of life. A caller's order is noticed at one, so a pause works within this time and a call.
const HEARTBEAT: Duration = Duration::from_millis(1_500);
/// Milliseconds. No message goes out when the last sign of life is older: the order to pause may have been missed.
const TRUSTED_FOR: i64 = 2_900;
/// A wait checks this often whether the phase has ended.
const SLICE: Duration = Duration::from_millis(200);
/// Seconds. The data of a campaign is deleted this long after its end.
pub(super) const KEPT_FOR: i64 = 30 * 24 * 3600;
/// Attempts at writing a state while callers change the campaign.
const ATTEMPTS: u8 = 20;

/// A run that holds the lease of a campaign.
pub(crate) struct Run<'a> {
    pub(crate) account: &'a Account,
    /// The campaign's id.
    pub(crate) id: String,
    pub(crate) owner: String,
    /// When the last message may go out.
    pub(crate) limit: TimeLimit<'a>,
    is_deleted: AtomicBool,
    /// Whether the run before has died: the totals may be behind the ledgers.
    pub(super) has_died: bool,
    /// The campaign, with the progress of this run.
    campaign: Mutex<Campaign>,
    /// The first reason to end this phase.
    phase_end: Mutex<Option<PhaseEnd>>,
    /// Whether a caller has changed the campaign in this phase. Changed under the lock of `campaign`.
    has_order: AtomicBool,
    pub(crate) judge: Mutex<Judge>,
    pub(crate) quota: Mutex<Quota>,
    /// Held while WeChat is asked for the quota.
    pub(crate) asking: tokio::sync::Mutex<()>,
    /// The outcomes of sends that the metrics do not count yet.
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

/// Why a phase ends before its work is done.
#[derive(Clone, Debug)]
pub(crate) enum PhaseEnd {
    /// A caller has changed the campaign, or the table has failed.
    Interrupted,
    /// The campaign sends no more for now.
    Ending(Ending),
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
    pub(crate) fn new(account: &'a Account, owner: String, leased: LeasedCampaign, limit: TimeLimit<'a>) -> Self {
        let LeasedCampaign {
            campaign,
            has_died,
            is_deleted,
        } = leased;
        let now = account.clock.now_millis();
        let pace = Pace::new(campaign.plan.pace, now);
        let progress = &campaign.progress;
        let judge = Judge::new(progress.first_answers, progress.last_answers.clone());
        Self {
            account,
            id: campaign.id.clone(),
            owner,
            limit,
            is_deleted: AtomicBool::new(is_deleted),
            has_died,
            judge: Mutex::new(judge),
            quota: Mutex::new(Quota::new()),
            asking: tokio::sync::Mutex::default(),
            outcomes: Mutex::default(),
            pace: Mutex::new(pace),
            line: tokio::sync::Mutex::default(),
            writing: tokio::sync::Mutex::default(),
            campaign: Mutex::new(campaign),
            phase_end: Mutex::new(None),
            has_order: AtomicBool::new(false),
            left_of_phase: AtomicUsize::new(usize::MAX),
            alive_at: AtomicI64::new(now),
        }
    }

    /// Works until the campaign has nothing to do for now, or the time is over, and gives the lease back.
    ///
    /// # Errors
    /// [`StoreError`] when the table fails. The lease then expires.
    pub(crate) async fn work(self) -> Result<(), StoreError> {
        let ended = tokio::select! {
            ended = self.advance() => ended,
            ended = self.keep_lease() => Err(ended),
        };
        match ended {
            Ok(()) => Ok(()),
            Err(Ended::Lost) => {
                let campaign = self.id;
                tracing::info!(
                    campaign,
                    "another run has taken over the campaign, or somebody deleted it"
                );
                Ok(())
            }
            Err(Ended::Store(error)) => Err(error),
        }
    }

    /// The campaign. Never hold the guard over an await.
    pub(crate) fn campaign(&self) -> MutexGuard<'_, Campaign> {
        lock(&self.campaign)
    }

    /// The time, in epoch milliseconds.
    pub(crate) fn now_millis(&self) -> i64 {
        self.account.clock.now_millis()
    }

    /// The time, in epoch seconds.
    pub(crate) fn now(&self) -> i64 {
        self.account.clock.now()
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.is_deleted.load(Ordering::Relaxed)
    }

    /// Deletes the campaign: from now on nobody sees it.
    pub(super) async fn delete(&self, now: i64) -> Result<(), StoreError> {
        self.is_deleted.store(true, Ordering::Relaxed);
        let deleted = self.account.table.delete_campaign(&self.id, now, |_| true);
        deleted.await.map(|_| ())
    }

    /// Begins a phase with what callers have ordered so far, and returns the campaign's state.
    pub(super) fn begin_phase(&self) -> CampaignState {
        let campaign = self.campaign();
        self.has_order.store(false, Ordering::Relaxed);
        *lock(&self.phase_end) = None;
        campaign.state
    }

    /// Whether there is time left.
    pub(crate) fn has_time(&self) -> bool {
        !self.limit.is_over(self.now_millis())
    }

    /// Whether a message may go out now.
    pub(crate) fn may_send(&self) -> bool {
        self.may_go_on() && self.now_millis() - self.alive_at.load(Ordering::Relaxed) < TRUSTED_FOR
    }

    /// Whether this phase goes on: nobody has stopped it, and there is time left.
    pub(crate) fn may_go_on(&self) -> bool {
        self.has_time() && lock(&self.phase_end).is_none()
    }

    /// Ends this phase, unless it has ended.
    pub(crate) fn end_phase(&self, why: PhaseEnd) {
        lock(&self.phase_end).get_or_insert(why);
    }

    /// Limits the messages of this phase.
    pub(super) fn limit_phase(&self, messages: usize) {
        self.left_of_phase.store(messages, Ordering::Relaxed);
    }

    /// Messages that may still go out in this phase.
    pub(crate) fn left_of_phase(&self) -> usize {
        self.left_of_phase.load(Ordering::Relaxed)
    }

    /// Takes one message of this phase, if any is left. All sends of a run share one task.
    pub(crate) fn take_from_phase(&self) -> bool {
        let left = self.left_of_phase();
        self.limit_phase(left.saturating_sub(1));
        left > 0
    }

    /// Why this phase has ended, if something has ended it.
    pub(crate) fn phase_end(&self) -> Option<PhaseEnd> {
        lock(&self.phase_end).clone()
    }

    /// Waits, at most until this phase ends. Returns whether it goes on.
    pub(crate) async fn pause(&self, time: Duration) -> bool {
        let until = self.now_millis() + millis(time);
        while self.may_go_on() {
            let left = duration(until - self.now_millis());
            if left.is_zero() {
                return true;
            }
            self.account.clock.sleep(SLICE.min(left)).await;
        }
        false
    }

    /// Renews the lease until another run has it or the table has failed for as long as a lease lasts. A caller's order ends the
    /// phase.
    async fn keep_lease(&self) -> Ended {
        loop {
            self.account.clock.sleep(HEARTBEAT).await;
            let _one_at_a_time = self.writing.lock().await;
            let began = self.now_millis();
            let (progress, changes) = {
                let campaign = self.campaign();
                (campaign.progress.clone(), campaign.changes)
            };
            let until = began.div_euclid(1000) + LEASE;
            let table = &self.account.table;
            match table.renew_campaign(&self.id, &self.owner, &progress, until).await {
                Ok(Some(LeasedCampaign { is_deleted, .. })) if is_deleted && !self.is_deleted() => return Ended::Lost,
                Ok(Some(LeasedCampaign { campaign: stored, .. })) => {
                    self.alive_at.store(began, Ordering::Relaxed);
                    if stored.changes != changes {
                        self.take_order(stored);
                    }
                }
                Ok(None) => return Ended::Lost,
                Err(error) => {
                    tracing::warn!(campaign = self.id, %error, "the lease of a campaign was not renewed / 群发任务的租约未能续期");
                    if self.now_millis() - self.alive_at.load(Ordering::Relaxed) > LEASE * 1000 {
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
        self.end_phase(PhaseEnd::Interrupted);
    }

    /// Writes the state that this run has come to, with a change of the progress. Returns whether it was written: a
    /// concurrent change by a caller wins.
    pub(crate) async fn enter(&self, state: NewState, change: impl Fn(&mut Progress)) -> Result<bool, Ended> {
        self.write_state(&state, None, &change).await
    }

    /// Gives the lease back. The campaign is due again at `due` (epoch seconds) or, if that is sooner, at the next look for
    /// receipts or when its data is to be deleted; at once when a caller has changed it.
    pub(super) async fn release(&self, due: i64) -> Result<(), Ended> {
        let now = self.now();
        let mut due = {
            let campaign = self.campaign();
            let end = campaign.finished_at.map(|at| at + KEPT_FOR);
            let others = [campaign.progress.looks_for_receipts.next_at, end]
                .into_iter()
                .flatten();
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
            // A caller was faster, or this run's own write landed although its answer was lost.
            let until = self.now() + LEASE;
            let own = self.campaign().progress.clone();
            let renewed = table.renew_campaign(&self.id, &self.owner, &own, until).await?;
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
}
