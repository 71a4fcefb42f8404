//! Runs the campaigns that are due: loads their audience, sends, and looks up what became of the messages.
//!
//! The table is the queue and the ledger. A run holds the lease of a campaign and is the only one that works on it; it writes into
//! a chunk's ledger whom it is about to ask WeChat for, and after that what WeChat answered. So a run that dies loses nothing: the
//! next one repeats what was in flight, under the same `client_msg_id`, while WeChat recognises it.
//!
//! | to see | read |
//! |---|---|
//! | how a campaign goes from one state to the next | `states` |
//! | how a run holds its campaign, and notices orders | `run` |
//! | how the first messages go out alone | `canary` |
//! | how the audience is read | `loading` |
//! | how messages go out | `phase` opens the chunks, `chunk` claims and repeats, `message` sends one at the turn that `pace` and `quota` give |
//! | what WeChat's answers mean | `judge` |
//! | what is written down of each recipient, and how it is counted | `ledgers` |
//! | how receipts move the totals | `settling` |

mod canary;
mod chunk;
mod judge;
mod ledgers;
mod loading;
mod message;
mod pace;
mod phase;
mod quota;
mod run;
mod settling;
mod states;

use std::time::Duration;

use futures_util::future::join_all;
use wechat::{
    account::Account,
    clock::millis,
    random,
    store::{CampaignLease, StoreError},
};

use self::run::Run;
use crate::time_limit::TimeLimit;

/// The longest run. Where no deadline ends a run, this does, and a later run continues.
const LONGEST_RUN: Duration = Duration::from_secs(600);
/// Time of the function that a run reserves for WeChat's last answers and their records.
const MARGIN: Duration = Duration::from_secs(10);
/// Seconds. A lease expires this long after its holder's last sign of life.
pub(crate) const LEASE: i64 = 30;
/// Seconds. A run that finds a campaign leased waits for it when the other run ends within this time: longer than the
/// schedule's interval, so that the hand-over does not take a whole minute.
const HAND_OVER_WITHIN: i64 = 65;
/// The pause between two looks at a lease that is about to end.
const LEASE_POLL: Duration = Duration::from_millis(500);

/// Works on every campaign that is due, all at the same time, until nothing is left to do or the time is over. Returns how
/// many campaigns it has worked on.
///
/// # Errors
/// [`StoreError`] when the table cannot be read. A failure of one campaign is logged and does not delay the others.
pub(crate) async fn run_due(account: &Account, limit: TimeLimit<'_>) -> Result<usize, StoreError> {
    let now = account.clock.now_millis();
    let due = account.table.due_campaigns(now.div_euclid(1000)).await?;
    let time = limit.deadline.budget(now, LONGEST_RUN, Duration::ZERO);
    let limit = limit.until(now + millis(time - MARGIN.min(time / 3)));
    let runs = due.iter().map(|id| async move {
        match work_on(account, id, limit).await {
            Ok(has_worked) => usize::from(has_worked),
            Err(error) => {
                tracing::error!(campaign = id, %error, "a campaign could not go on, the next run tries again / 任务暂时无法继续，下次运行重试");
                0
            }
        }
    });
    Ok(join_all(runs).await.into_iter().sum())
}

/// Takes the lease of a campaign and works on it. Waits for another run that is about to end.
async fn work_on(account: &Account, id: &str, limit: TimeLimit<'_>) -> Result<bool, StoreError> {
    let owner = random::hex::<8>();
    loop {
        let now = account.clock.now_millis();
        let seconds = now.div_euclid(1000);
        let leased = account
            .table
            .lease_campaign(id, &owner, seconds, seconds + LEASE, limit.ends.div_euclid(1000))
            .await?;
        match leased {
            // A run that deleted it has died before its last step.
            CampaignLease::Gone => return account.table.forget_campaign(id).await.map(|()| false),
            CampaignLease::Won(leased) => {
                return Run::new(account, owner, *leased, limit).work().await.map(|()| true);
            }
            CampaignLease::Held { run_ends_at } => {
                let is_about_to_end = run_ends_at.is_some_and(|at| at <= seconds + HAND_OVER_WITHIN);
                if !is_about_to_end || limit.is_over(now + millis(LEASE_POLL)) {
                    return Ok(false);
                }
                account.clock.sleep(LEASE_POLL).await;
            }
        }
    }
}
