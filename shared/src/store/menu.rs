//! `menu#<appid>`: the menu that was there before the last change, to roll back to, and the one that was kept before it.

use aws_sdk_dynamodb::{
    operation::update_item::UpdateItemError,
    types::{ReturnValue, ReturnValuesOnConditionCheckFailure},
};

use super::{Attributes, StoreError, Table, get_number, get_text, number, text, written, written_if};

/// Bytes that the two menus of an item may have together: an item has at most 400 KB. WeChat's largest menus, with
/// conditional ones, come near to it by themselves.
const BOTH_MENUS: usize = 390_000;
/// The claim of a roll-back whose process died ends after this many seconds: longer than the function may run.
const CLAIMED_FOR: i64 = 30;

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

/// Whether this run may roll the menu back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RollBackClaim {
    /// It may: what is kept.
    Won(KeptMenu),
    /// Another run is at it, for so many seconds at most.
    InProgress {
        /// Seconds after which it has ended.
        retry_after: i64,
    },
    /// No menu was kept yet.
    NothingKept,
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
                MenuChange::Replace if kept.is_restoring => self.forget_roll_back(app_id).await,
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

    /// Claims the roll-back for the run `owner`: of two at once, each would add the conditional menus that it misses.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written; then nothing may be rolled back.
    pub async fn claim_menu_roll_back(&self, app_id: &str, owner: &str, now: i64) -> Result<RollBackClaim, StoreError> {
        let outcome = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", text(pk(app_id)))
            .update_expression("SET #owner = :owner, claim_expires_at = :claim_expires_at")
            .condition_expression(
                "attribute_exists(#menu) AND \
                 (attribute_not_exists(#owner) OR #owner = :owner OR claim_expires_at <= :now)",
            )
            .expression_attribute_names("#menu", "menu")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":owner", text(owner))
            .expression_attribute_values(":now", number(now))
            .expression_attribute_values(":claim_expires_at", number(now + CLAIMED_FOR))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let error = match outcome {
            Ok(output) => {
                let kept = output.attributes.as_ref().and_then(kept_menu);
                return Ok(kept.map_or(RollBackClaim::NothingKept, RollBackClaim::Won));
            }
            Err(error) => error,
        };
        let Some(UpdateItemError::ConditionalCheckFailedException(failure)) = error.as_service_error() else {
            return Err(StoreError::from_sdk("UpdateItem", &error));
        };
        let item = self.in_the_way(&pk(app_id), failure).await?;
        if !item.contains_key("menu") {
            return Ok(RollBackClaim::NothingKept);
        }
        let ends: i64 = get_number(&item, "claim_expires_at").unwrap_or(now);
        Ok(RollBackClaim::InProgress {
            retry_after: (ends - now).clamp(1, CLAIMED_FOR),
        })
    }

    /// Notes that the roll-back that `owner` claimed has ended.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written; the next roll-back then restores the same once more.
    pub async fn finish_menu_roll_back(&self, app_id: &str, owner: &str) -> Result<(), StoreError> {
        self.end_claim(app_id, owner, "REMOVE restoring_since, #owner, claim_expires_at")
            .await
    }

    /// Gives up the claim of `owner`: the next roll-back goes on.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written; the claim then ends by itself.
    pub async fn give_up_menu_roll_back(&self, app_id: &str, owner: &str) -> Result<(), StoreError> {
        self.end_claim(app_id, owner, "REMOVE #owner, claim_expires_at").await
    }

    /// A claim that has passed to another run, or that has ended at an attempt whose answer was lost, is left as it is.
    async fn end_claim(&self, app_id: &str, owner: &str, update_expression: &str) -> Result<(), StoreError> {
        let outcome = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", text(pk(app_id)))
            .update_expression(update_expression)
            .condition_expression("#owner = :owner")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":owner", text(owner))
            .send()
            .await;
        written_if("UpdateItem", outcome).map(|_| ())
    }

    async fn forget_roll_back(&self, app_id: &str) -> Result<(), StoreError> {
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
        Ok(item.as_ref().and_then(kept_menu))
    }
}

fn kept_menu(item: &Attributes) -> Option<KeptMenu> {
    Some(KeptMenu {
        menu: get_text(item, "menu")?.to_owned(),
        earlier: get_text(item, "earlier").map(str::to_owned),
        is_restoring: item.contains_key("restoring_since"),
        kept_at: get_number(item, "kept_at").unwrap_or(0),
    })
}
