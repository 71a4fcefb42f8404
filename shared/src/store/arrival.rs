//! `callbacks#<appid>`: when a callback of WeChat's was last accepted. The doctor compares it with the clock.

use super::{StoreError, Table, get_number, number, written};

const KIND: &str = "callbacks";

impl Table {
    /// Notes that a callback was accepted at `now`. The note has no end: that there were callbacks once is what makes their
    /// absence tell.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn note_callback(&self, now: i64) -> Result<(), StoreError> {
        let put = self.put(&self.pk(KIND), [("accepted_at", number(now))]);
        written("PutItem", put.send().await)
    }

    /// When a callback was last noted, in epoch seconds.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn last_callback(&self) -> Result<Option<i64>, StoreError> {
        let item = self.read(&self.pk(KIND), false).await?;
        Ok(item.and_then(|item| get_number(&item, "accepted_at")))
    }
}
