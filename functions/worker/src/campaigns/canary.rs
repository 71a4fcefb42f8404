//! The canary: the first messages of a campaign go out alone, and their receipts decide whether the others follow.

use std::time::Duration;

use wechat::campaign::{CampaignState, Canary, CanaryStep, NewState, Progress};

use super::run::{Ended, PhaseEnd, Run};

/// The pause between two looks for the receipts of a canary.
const LOOK_EVERY: Duration = Duration::from_secs(5);

impl Run<'_> {
    /// Does the next step of the canary.
    pub(super) async fn advance_canary(&self) -> Result<(), Ended> {
        let (canary, step) = {
            let campaign = self.campaign();
            (campaign.plan.canary, campaign.progress.canary)
        };
        match (canary, step) {
            (None, _) | (_, CanaryStep::Over) => self.end_canary(NewState::plain(CampaignState::Running)).await,
            (Some(canary), CanaryStep::Sending) => self.send_canary(canary).await,
            (_, CanaryStep::AwaitingReceipts(until)) => {
                let now = self.now();
                if now < until {
                    self.pause(Duration::from_secs(until.abs_diff(now)).min(LOOK_EVERY))
                        .await;
                    return self.settle().await;
                }
                self.settle().await?;
                self.judge_canary().await
            }
        }
    }

    /// Sends the canary's messages. When all are sent, their receipts are awaited.
    async fn send_canary(&self, canary: Canary) -> Result<(), Ended> {
        let asked = {
            let Progress {
                totals,
                recipients,
                refused_at_loading,
                ..
            } = self.campaign().progress;
            recipients.saturating_sub(totals.queued + refused_at_loading)
        };
        let left = u64::from(canary.count).saturating_sub(asked);
        if left > 0 && !self.is_sent() {
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            return match self.send_at_most(left).await? {
                Some(PhaseEnd::Ending(ending)) => self.follow(ending, None).await,
                Some(PhaseEnd::Interrupted) | None => Ok(()),
            };
        }
        let until = self.now() + i64::from(canary.wait);
        self.campaign().progress.canary = CanaryStep::AwaitingReceipts(until);
        Ok(())
    }

    /// Stops the campaign when more than a tenth of the receipts say that the message failed, and goes on otherwise.
    async fn judge_canary(&self) -> Result<(), Ended> {
        let totals = self.campaign().progress.totals;
        let (failed, receipts) = (totals.failed, totals.delivered + totals.blocked + totals.failed);
        if failed * 10 <= receipts {
            return self.end_canary(NewState::plain(CampaignState::Running)).await;
        }
        let reason = format!(
            "{failed} of the first {receipts} receipts say that the message failed: see the recipients with state=failed \
             / 首批 {receipts} 条回执中有 {failed} 条发送失败，请查看 state=failed 的接收者"
        );
        tracing::error!(
            campaign = self.id,
            reason,
            "the canary of a campaign failed / 群发任务试发失败"
        );
        self.end_canary(self.stop_for(reason)).await
    }

    async fn end_canary(&self, state: NewState) -> Result<(), Ended> {
        let ended = self.enter(state, |progress| progress.canary = CanaryStep::Over);
        ended.await.map(|_| ())
    }
}
