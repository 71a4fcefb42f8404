//! The orders of callers, and the state that follows each.

use super::{Audience, Campaign, CampaignState, Looks, Progress, Resend, ResendStep, WaitingFor};

/// A change of a campaign's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewState {
    /// The state.
    pub state: CampaignState,
    /// What it waits for.
    pub waiting_for: Option<WaitingFor>,
    /// When a waiting campaign resumes or checks again, in epoch seconds.
    pub resumes_at: Option<i64>,
    /// Why it stopped or waits.
    pub reason: Option<String>,
    /// When the campaign was started, in epoch seconds. `None` when the change does not start it.
    pub started_at: Option<i64>,
    /// When it ended, in epoch seconds. `None` when it goes on.
    pub finished_at: Option<i64>,
}

impl NewState {
    /// A state that needs no reason.
    #[must_use]
    pub const fn plain(state: CampaignState) -> Self {
        Self {
            state,
            waiting_for: None,
            resumes_at: None,
            reason: None,
            started_at: None,
            finished_at: None,
        }
    }
}

/// An order about a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Starts a draft.
    Start,
    /// Pauses a campaign that works or waits.
    Pause,
    /// Resumes a campaign that is paused, waits or has stopped.
    Resume,
    /// Ends a campaign for good.
    Cancel,
    /// Sends again to the recipients whose outcome is unknown, in a campaign that has ended.
    Resend,
}

/// Why an order cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The state does not allow it.
    InState(CampaignState),
    /// The list is empty.
    NobodyToSendTo,
    /// There is nobody whose outcome is unknown.
    NothingUnknown,
}

impl Order {
    /// Returns the state and the progress of `campaign` after this order at `now` (epoch seconds).
    ///
    /// # Errors
    /// [`Refused`] when the campaign stays as it is.
    pub fn decide(self, campaign: &Campaign, now: i64) -> Result<(NewState, Progress), Refused> {
        let state = campaign.state;
        let mut progress = campaign.progress.clone();
        let is_allowed = match self {
            Self::Start => state == CampaignState::Draft,
            Self::Pause => state.is_active(),
            Self::Resume => matches!(
                state,
                CampaignState::Paused | CampaignState::Waiting | CampaignState::Stopped
            ),
            Self::Cancel => !matches!(state, CampaignState::Done | CampaignState::Cancelled),
            Self::Resend => state.has_ended(),
        };
        if !is_allowed {
            return Err(Refused::InState(state));
        }
        let new = match self {
            Self::Start if campaign.plan.audience == Audience::List && campaign.entries == 0 => {
                return Err(Refused::NobodyToSendTo);
            }
            Self::Start => NewState {
                started_at: Some(now),
                ..NewState::plain(campaign.state_of_work(now))
            },
            Self::Pause => NewState::plain(CampaignState::Paused),
            Self::Resume => NewState::plain(campaign.state_of_work(now)),
            Self::Cancel => NewState {
                finished_at: Some(now),
                ..NewState::plain(CampaignState::Cancelled)
            },
            Self::Resend if progress.totals.unknown == 0 => return Err(Refused::NothingUnknown),
            Self::Resend => {
                // One that stopped in the middle of a resend returns to where it came from.
                let before = progress.resend.filter(|_| state == CampaignState::Stopped);
                progress.resend = Some(Resend {
                    returns_to: before.map_or(state, |before| before.returns_to),
                    step: ResendStep::Requeueing,
                });
                progress.looks_for_receipts = Looks::default();
                NewState::plain(CampaignState::Running)
            }
        };
        Ok((new, progress))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::campaign, *};

    #[test]
    fn a_resend_that_stopped_returns_to_the_state_before_the_first_one() {
        let mut campaign = campaign(Audience::List);
        campaign.state = CampaignState::Cancelled;
        campaign.progress.totals.unknown = 1;
        let (_, progress) = Order::Resend.decide(&campaign, 100).unwrap();
        assert_eq!(progress.resend.unwrap().returns_to, CampaignState::Cancelled);

        campaign.progress = progress;
        campaign.state = CampaignState::Stopped;
        let (_, again) = Order::Resend.decide(&campaign, 100).unwrap();
        assert_eq!(again.resend, campaign.progress.resend);
    }
}
