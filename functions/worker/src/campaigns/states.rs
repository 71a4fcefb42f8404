//! Takes a campaign from state to state while there is something to do.

use std::time::Duration;

use wechat::{
    campaign::{CampaignState, FirstAnswers, LastAnswers, Loading, Looks, NewState, Progress, WaitingFor},
    lock::lock,
    telemetry::{self, Metric},
};

use super::{
    judge::{Ending, NO_CLEAR_ANSWER, quota_returns_at, until_next_probe},
    ledgers::CHUNK_STEP,
    run::{Ended, KEPT_FOR, PhaseEnd, Run},
};

/// Seconds. A campaign that leaves the rest of the quota to another one looks again after this time.
const YIELDS_FOR: i64 = 15;
/// Seconds. The run itself waits this long at most; a longer wait is left to a later run.
const SHORT_WAIT: i64 = 20;
/// The reason shown when a resend ends and the campaign is stopped as before.
const RESENT: &str = "the unknown outcomes were sent again; resume goes on with the rest / 结果未知的消息已重发，resume 可继续发送其余消息";

impl Run<'_> {
    /// Takes the campaign from state to state while there is something to do.
    pub(super) async fn advance(&self) -> Result<(), Ended> {
        if self.is_deleted() {
            return self.sweep().await;
        }
        if self.has_died {
            self.recount().await?;
        }
        loop {
            match self.begin_phase() {
                CampaignState::Draft => return self.release(self.now() + KEPT_FOR).await,
                CampaignState::Loading => self.load().await?,
                CampaignState::Scheduled => {
                    let now = self.now();
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
                CampaignState::Canary => self.advance_canary().await?,
                CampaignState::Running => self.send().await?,
                CampaignState::Waiting => {
                    let now = self.now();
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
                    let now = self.now();
                    let finished_at = self.campaign().finished_at;
                    if finished_at.is_some_and(|at| now >= at + KEPT_FOR) {
                        self.delete(now).await?;
                        return self.sweep().await;
                    }
                    self.look_for_receipts().await?;
                    return self.release(i64::MAX).await;
                }
            }
            if !self.has_time() {
                return self.release(self.now()).await;
            }
        }
    }

    /// Goes on with the work: a start, or the end of a wait.
    pub(super) async fn resume(&self) -> Result<(), Ended> {
        let state = self.campaign().state_of_work(self.now());
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
        let end = self.send_at_most(1).await?;
        let is_answered = lock(&self.judge).clear_answers > answers;
        match end {
            // A probe that fails for another reason, or cannot be made, starts a wait for that.
            Some(PhaseEnd::Ending(ending)) => self.follow(ending, waiting_for).await,
            Some(PhaseEnd::Interrupted) => Ok(()),
            None if is_answered || self.is_sent() => {
                self.campaign().progress.probes = 0;
                self.resume().await
            }
            None if !self.has_time() => Ok(()),
            None => {
                // Nobody said that the quota is still used up: a wait for it would last until midnight.
                let waiting_for = waiting_for.filter(|waiting_for| *waiting_for != WaitingFor::Quota);
                let waiting_for = waiting_for.unwrap_or(WaitingFor::Platform);
                let ending = Ending::Waits(waiting_for, NO_CLEAR_ANSWER.to_owned());
                self.follow(ending, Some(waiting_for)).await
            }
        }
    }

    /// Sends, until the phase ends, and goes to the state that follows.
    async fn send(&self) -> Result<(), Ended> {
        match self.send_messages().await? {
            Some(PhaseEnd::Ending(ending)) => self.follow(ending, None).await,
            None if self.is_sent() => self.finish().await,
            Some(PhaseEnd::Interrupted) | None => Ok(()),
        }
    }

    /// Counts the stop in the metrics, and returns the state of a campaign that stops now.
    pub(super) fn stop_for(&self, reason: String) -> NewState {
        telemetry::emit(&[Metric::count("CampaignStops")], None, self.now_millis());
        NewState {
            reason: Some(reason),
            finished_at: Some(self.now()),
            ..NewState::plain(CampaignState::Stopped)
        }
    }

    /// Whether every recipient has had a turn.
    pub(super) fn is_sent(&self) -> bool {
        let campaign = self.campaign();
        !campaign.progress.is_requeueing() && campaign.progress.position >= campaign.chunks
    }

    /// Goes to the state that `ending` asks for. `waited_for` is what a probe was for.
    pub(super) async fn follow(&self, ending: Ending, waited_for: Option<WaitingFor>) -> Result<(), Ended> {
        let now = self.now();
        let (waiting_for, reason, resumes_at) = match ending {
            Ending::Stops(reason) => {
                tracing::error!(campaign = self.id, reason, "a campaign stopped / 群发任务已中止");
                // A person who resumes it has looked at the refusals.
                let forget_refusals = |progress: &mut Progress| {
                    if let FirstAnswers::Refused(refused) = &mut progress.first_answers {
                        *refused = 0;
                    }
                    progress.last_answers = LastAnswers::default();
                };
                return self.enter(self.stop_for(reason), forget_refusals).await.map(|_| ());
            }
            Ending::Yields(reason) => (WaitingFor::Quota, reason, now + YIELDS_FOR),
            Ending::Waits(WaitingFor::Quota, reason) => (WaitingFor::Quota, reason, quota_returns_at(now)),
            Ending::Waits(waiting_for, reason) => {
                let progress = &mut self.campaign().progress;
                progress.probes = waited_for.map_or(0, |_| progress.probes + 1);
                (waiting_for, reason, now + until_next_probe(progress.probes))
            }
        };
        tracing::warn!(
            campaign = self.id,
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
    pub(super) async fn finish(&self) -> Result<(), Ended> {
        self.recount().await?;
        let (state, totals) = {
            let Progress { resend, totals, .. } = self.campaign().progress;
            let before = resend.filter(|_| totals.queued > 0);
            (before.map_or(CampaignState::Done, |resend| resend.returns_to), totals)
        };
        tracing::info!(
            campaign = self.id,
            state = state.as_str(),
            ?totals,
            "a campaign has ended / 群发任务已结束"
        );
        let ended = NewState {
            reason: (state == CampaignState::Stopped).then(|| RESENT.to_owned()),
            finished_at: Some(self.now()),
            ..NewState::plain(state)
        };
        let again = |progress: &mut Progress| {
            progress.looks_for_receipts = Looks::default();
            progress.resend = None;
            // A resume goes through all chunks for those who are queued.
            if state != CampaignState::Done {
                progress.position = 0;
            }
        };
        self.enter(ended, again).await.map(|_| ())
    }

    /// Deletes all data of the campaign.
    async fn sweep(&self) -> Result<(), Ended> {
        let chunks = {
            let campaign = self.campaign();
            // A run that died may have written a page of followers that the campaign does not count.
            let uncounted = match campaign.progress.loading {
                Loading::Followers { .. } => CHUNK_STEP,
                _ => 0,
            };
            campaign.chunks.saturating_add(uncounted)
        };
        loop {
            let deleted = self.campaign().progress.deleted;
            if deleted >= chunks {
                self.account.table.forget_campaign(&self.id).await?;
                tracing::info!(campaign = self.id, "what a campaign had left is deleted");
                return Ok(());
            }
            if !self.has_time() {
                return self.release(self.now()).await;
            }
            let next = chunks.min(deleted + CHUNK_STEP);
            self.account.table.delete_chunks(&self.id, deleted..next).await?;
            self.campaign().progress.deleted = next;
        }
    }
}
