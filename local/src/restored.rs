//! The first start on a restored backup. What went out after the backup was made must not go out again.

use std::path::Path;

use embedded_table::{BackupError, TABLE_NAME, backup_made_at, forget_backup};
use wechat::{
    campaign::Order,
    clock::{Clock as _, SystemClock},
    store::{ScheduledEnd, StoreError, Table},
};

use crate::LocalError;

/// Seconds. Longer than the note of an outcome takes; nobody else is at work yet.
const CLAIMED_FOR: i64 = 60;

/// What a restored backup would have sent.
#[derive(Debug, Default)]
struct Held {
    /// Campaigns that are paused now.
    campaigns: usize,
    /// Scheduled messages that were due, and are `unknown` now.
    scheduled: usize,
}

/// Pauses the campaigns of a restored backup in the folder `data`, and ends its scheduled messages that are due as `unknown`. Does
/// nothing for other data.
///
/// # Errors
/// [`LocalError`] when the data cannot be read or written. The next start tries again.
pub(crate) async fn hold(data: &Path, client: aws_sdk_dynamodb::Client, app_id: &str) -> Result<(), LocalError> {
    let Some(made_at) = backup_made_at(data)? else {
        return Ok(());
    };
    let table = Table::new(client, TABLE_NAME, app_id);
    let Held { campaigns, scheduled } = hold_sends(&table, SystemClock.now()).await?;
    forget_backup(data)?;
    tracing::warn!(
        made_at,
        campaigns,
        scheduled,
        "this data is a backup that was restored: its campaigns are paused, and scheduled messages that are due are unknown, \
         because they may have gone out after the backup. Check campaigns, revoked keys and deleted users \
         / 数据来自恢复的备份：其中的群发任务已暂停，到期的定时消息记为 unknown，因为备份之后它们可能已经发出；请核对群发任务、已吊销的密钥与已删除的用户"
    );
    Ok(())
}

async fn hold_sends(table: &Table, now: i64) -> Result<Held, StoreError> {
    let mut held = Held::default();
    let mut after = None;
    loop {
        let page = table.page_of_campaigns(after.as_ref()).await?;
        for campaign in page.entries {
            let paused = table.order_campaign(&campaign.id, Order::Pause, now).await?;
            held.campaigns += usize::from(matches!(paused, Some(Ok(_))));
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    loop {
        let page = table.due_scheduled(now, after.as_ref()).await?;
        for id in page.entries {
            let owner = "restored";
            if table
                .claim_scheduled(&id, owner, now, now + CLAIMED_FOR)
                .await?
                .is_some()
            {
                table
                    .finish_scheduled(&id, owner, ScheduledEnd::Unknown(None), now)
                    .await?;
                held.scheduled += 1;
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(held);
        }
    }
}

impl From<BackupError> for LocalError {
    fn from(error: BackupError) -> Self {
        Self::Stored(error.to_string())
    }
}

impl From<StoreError> for LocalError {
    fn from(error: StoreError) -> Self {
        Self::Stored(error.to_string())
    }
}
