//! `callbacks#<appid>`: the time of the last accepted callback. The doctor compares it with the clock.

use super::{StoreError, Table, get_number, number, written};

const KIND: &str = "callbacks";

impl Table {
    /// Records that a callback was accepted at `now`. The item never expires: missing callbacks are a symptom only on an
    /// account that once had some.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn note_callback(&self, now: i64) -> Result<(), StoreError> {
        let put = self.put(&self.pk(KIND), [("accepted_at", number(now))]);
        written("PutItem", put.send().await)
    }

    /// Returns the time of the last accepted callback, in epoch seconds.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn last_callback(&self) -> Result<Option<i64>, StoreError> {
        let item = self.read(&self.pk(KIND), false).await?;
        Ok(item.and_then(|item| get_number(&item, "accepted_at")))
    }
}
