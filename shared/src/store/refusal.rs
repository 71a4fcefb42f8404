//! `refused#<appid>`: the last request at the webhook that was not accepted as WeChat's, for whoever sets the account up.

use super::{StoreError, Table, get_number, get_text, number, text, written};

/// The record is kept this long, in seconds: a week.
const KEPT_FOR: i64 = 7 * 24 * 3600;

/// A request that the webhook refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedCallback {
    /// Why, in words that name no secret.
    pub cause: String,
    /// When, in epoch seconds.
    pub at: i64,
}

impl Table {
    /// Records a refused request in place of the last one.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn record_refused_callback(&self, app_id: &str, refused: &RefusedCallback) -> Result<(), StoreError> {
        let outcome = self
            .client
            .put_item()
            .table_name(&self.name)
            .item("pk", text(format!("refused#{app_id}")))
            .item("cause", text(&refused.cause))
            .item("refused_at", number(refused.at))
            .item("ttl", number(refused.at + KEPT_FOR))
            .send()
            .await;
        written("PutItem", outcome)
    }

    /// The last refused request of the week before `now`.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn refused_callback(&self, app_id: &str, now: i64) -> Result<Option<RefusedCallback>, StoreError> {
        let item = self.read(&format!("refused#{app_id}"), false).await?;
        let refused = item.and_then(|item| {
            Some(RefusedCallback {
                cause: get_text(&item, "cause")?.to_owned(),
                at: get_number(&item, "refused_at")?,
            })
        });
        Ok(refused.filter(|refused| now - refused.at < KEPT_FOR))
    }
}
