//! `menu#<appid>`: the menu that was there before the last change, to roll back to.

use super::{StoreError, Table, get_number, get_text, number, text};

/// A menu that was kept before a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptMenu {
    /// WeChat's answer to `menu/get`, as JSON.
    pub menu: String,
    /// When it was kept, in epoch seconds.
    pub kept_at: i64,
}

impl Table {
    /// Keeps `menu`, WeChat's answer to `menu/get`, before a change.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn keep_menu(&self, app_id: &str, menu: &str, now: i64) -> Result<(), StoreError> {
        self.client
            .put_item()
            .table_name(&self.name)
            .item("pk", text(format!("menu#{app_id}")))
            .item("menu", text(menu))
            .item("kept_at", number(now))
            .send()
            .await
            .map(|_| ())
            .map_err(|error| StoreError::from_sdk("PutItem", &error))
    }

    /// The menu that was kept before the last change, if there is one.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn kept_menu(&self, app_id: &str) -> Result<Option<KeptMenu>, StoreError> {
        let item = self.read(&format!("menu#{app_id}"), true).await?;
        Ok(item.and_then(|item| {
            Some(KeptMenu {
                menu: get_text(&item, "menu")?.to_owned(),
                kept_at: get_number(&item, "kept_at").unwrap_or(0),
            })
        }))
    }
}
