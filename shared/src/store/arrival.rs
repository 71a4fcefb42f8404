//! `callbacks#<appid>`: when a callback of WeChat's was last accepted. The doctor compares it with the clock.

use super::{StoreError, Table, get_number, number, text, written};

impl Table {
    /// Notes that a callback was accepted at `now`. The note has no end: that there were callbacks once is what makes their
    /// absence tell.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn note_callback(&self, app_id: &str, now: i64) -> Result<(), StoreError> {
        let outcome = self
            .client
            .put_item()
            .table_name(&self.name)
            .item("pk", text(pk(app_id)))
            .item("accepted_at", number(now))
            .send()
            .await;
        written("PutItem", outcome)
    }

    /// When a callback was last noted, in epoch seconds.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn last_callback(&self, app_id: &str) -> Result<Option<i64>, StoreError> {
        let item = self.read(&pk(app_id), false).await?;
        Ok(item.and_then(|item| get_number(&item, "accepted_at")))
    }
}

fn pk(app_id: &str) -> String {
    format!("callbacks#{app_id}")
}
