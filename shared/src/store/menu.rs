//! `menu#<appid>`: the menu that was there before the last change, to roll back to, and the one that was kept before it.

use super::{StoreError, Table, get_number, get_text, number, text, written, written_if};

/// Bytes that the two menus of an item may have together: an item has at most 400 KB. WeChat's largest menus, with
/// conditional ones, come near to it by themselves.
const BOTH_MENUS: usize = 390_000;

/// A menu that was kept before a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptMenu {
    /// WeChat's answer to `menu/get`, as JSON.
    pub menu: String,
    /// The one that was kept before this: a roll-back that was cut short was to restore it.
    pub earlier: Option<String>,
    /// Whether a roll-back to `earlier` has begun, and not ended.
    pub is_restoring: bool,
    /// When it was kept, in epoch seconds.
    pub kept_at: i64,
}

/// What a menu is kept before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MenuChange {
    /// Another menu takes its place, or none.
    Replace,
    /// The one that was kept last comes back.
    RollBack,
}

fn pk(app_id: &str) -> String {
    format!("menu#{app_id}")
}

impl Table {
    /// Keeps `menu`, WeChat's answer to `menu/get`, before `change`, in place of what was `kept`. One that is kept already,
    /// by a change that was cut short or by a write whose answer was lost, takes no other's place.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn keep_menu(
        &self,
        app_id: &str,
        kept: Option<&KeptMenu>,
        menu: &str,
        change: MenuChange,
        now: i64,
    ) -> Result<(), StoreError> {
        if let Some(kept) = kept.filter(|kept| kept.menu == menu) {
            return match change {
                MenuChange::Replace if kept.is_restoring => self.end_menu_roll_back(app_id).await,
                _ => Ok(()),
            };
        }
        let earlier = kept.map(|kept| kept.menu.as_str());
        let earlier = earlier.filter(|earlier| earlier.len() + menu.len() <= BOTH_MENUS);
        let mut set = "SET #menu = :menu, kept_at = :now".to_owned();
        let mut remove = Vec::new();
        let mut update = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", text(pk(app_id)))
            .condition_expression("attribute_not_exists(#menu) OR #menu <> :menu")
            .expression_attribute_names("#menu", "menu")
            .expression_attribute_values(":menu", text(menu))
            .expression_attribute_values(":now", number(now));
        match earlier {
            Some(earlier) => {
                set.push_str(", earlier = :earlier");
                update = update.expression_attribute_values(":earlier", text(earlier));
            }
            None => remove.push("earlier"),
        }
        match change {
            MenuChange::RollBack => set.push_str(", restoring_since = :now"),
            MenuChange::Replace => remove.push("restoring_since"),
        }
        if !remove.is_empty() {
            set = format!("{set} REMOVE {}", remove.join(", "));
        }
        written_if("UpdateItem", update.update_expression(set).send().await).map(|_| ())
    }

    /// Notes that a roll-back has ended.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written; the next roll-back then restores the same once more.
    pub async fn end_menu_roll_back(&self, app_id: &str) -> Result<(), StoreError> {
        let outcome = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", text(pk(app_id)))
            .update_expression("REMOVE restoring_since")
            .send()
            .await;
        written("UpdateItem", outcome)
    }

    /// The menu that was kept before the last change, if there is one.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn kept_menu(&self, app_id: &str) -> Result<Option<KeptMenu>, StoreError> {
        let item = self.read(&pk(app_id), true).await?;
        Ok(item.and_then(|item| {
            Some(KeptMenu {
                menu: get_text(&item, "menu")?.to_owned(),
                earlier: get_text(&item, "earlier").map(str::to_owned),
                is_restoring: item.contains_key("restoring_since"),
                kept_at: get_number(&item, "kept_at").unwrap_or(0),
            })
        }))
    }
}
