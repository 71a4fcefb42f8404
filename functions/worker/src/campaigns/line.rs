//! The line in which messages wait for their turn: one after the other, at the campaign's pace, within the day's quota.

use std::time::Duration;

use wechat::{
    account::Account,
    api::{
        Call,
        calls::{management::GetQuota, template::SendTemplateMessage},
    },
    campaign::{WaitingFor, reserve},
    clock::Deadline,
};

use super::{judge::Verdict, pace::Pace};

/// Messages after which WeChat is asked for the quota again.
const ASK_AFTER: u64 = 1_000;
/// Milliseconds after which it is asked again.
const ASK_EVERY: i64 = 60_000;
/// How long a campaign waits for the quota. Without an answer it goes on.
const ASK_FOR: Duration = Duration::from_secs(3);

/// The turns of one run of a campaign.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) pace: Pace,
    /// Messages until WeChat is asked for the quota.
    until_asked: u64,
    /// When it was asked, in epoch milliseconds.
    asked_at: i64,
    /// Campaigns that share what is left of the quota.
    campaigns: u64,
}

impl Line {
    pub(crate) const fn new(pace: Pace, campaigns: u64) -> Self {
        Self {
            pace,
            until_asked: 0,
            asked_at: 0,
            campaigns,
        }
    }

    /// Makes sure that the day's quota has room for one more message above the reserve. Asks WeChat at least every 1,000 messages
    /// and every minute.
    pub(crate) async fn check_quota(&mut self, account: &Account, kept: Option<u64>, deadline: Deadline) -> Verdict {
        let now = account.clock.now_millis();
        if self.until_asked > 0 && now - self.asked_at < ASK_EVERY {
            return Verdict::GoesOn;
        }
        let call = GetQuota {
            cgi_path: SendTemplateMessage::PATH,
        };
        let asked = tokio::time::timeout(ASK_FOR, account.call_once(&call, deadline)).await;
        self.asked_at = now;
        let Ok(Ok(quota)) = asked else {
            // An account that may not ask has no reserve: WeChat's own refusal ends the day.
            self.until_asked = ASK_AFTER;
            return Verdict::GoesOn;
        };
        let reserve = reserve(kept, quota.daily_limit);
        let left = quota.remain.saturating_sub(reserve);
        // Several campaigns take a share each, and ask again.
        let share = left / self.campaigns.max(1);
        if share == 0 {
            return Verdict::Waits(
                WaitingFor::Quota,
                format!(
                    "{} calls are left of today's {}, and {reserve} are kept for single sends \
                     / 今日额度 {} 次剩余 {} 次，其中为单条发送保留 {reserve} 次",
                    quota.remain, quota.daily_limit, quota.daily_limit, quota.remain
                ),
            );
        }
        self.until_asked = share.min(ASK_AFTER);
        Verdict::GoesOn
    }

    /// Takes the next turn. Returns how long to wait for it, in milliseconds.
    pub(crate) fn take(&mut self, now: i64) -> u64 {
        self.until_asked = self.until_asked.saturating_sub(1);
        self.pace.take(now)
    }
}
