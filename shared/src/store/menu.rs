//! `menu#<appid>`: the menu that was there before the last change, to roll back to, and the one that was kept before it.

use super::{StoreError, Table, get_number, get_text, number, text, written_if};

/// A menu that was kept before a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptMenu {
    /// WeChat's answer to `menu/get`, as JSON.
    pub menu: String,
    /// The one that was kept before this: a roll-back that was cut short was to restore it.
    pub earlier: Option<String>,
    /// When it was kept, in epoch seconds.
    pub kept_at: i64,
}

impl Table {
    /// Keeps `menu`, WeChat's answer to `menu/get`, before a change. One that is kept already, by a change that was cut
    /// short or by a write whose answer was lost, takes no other's place.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn keep_menu(&self, app_id: &str, menu: &str, now: i64) -> Result<(), StoreError> {
        let kept = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", text(format!("menu#{app_id}")))
            .update_expression("SET earlier = if_not_exists(#menu, :menu), #menu = :menu, kept_at = :now")
            .condition_expression("attribute_not_exists(#menu) OR #menu <> :menu")
            .expression_attribute_names("#menu", "menu")
            .expression_attribute_values(":menu", text(menu))
            .expression_attribute_values(":now", number(now))
            .send()
            .await;
        written_if("UpdateItem", kept).map(|_| ())
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
                earlier: get_text(&item, "earlier").map(str::to_owned),
                kept_at: get_number(&item, "kept_at").unwrap_or(0),
            })
        }))
    }
}
