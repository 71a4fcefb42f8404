//! `menu#<appid>`: the menu that was there before the last change, to roll back to, and the one that was kept before it.

use aws_sdk_dynamodb::{
    operation::update_item::builders::UpdateItemFluentBuilder,
    types::{ReturnValue, ReturnValuesOnConditionCheckFailure},
};

use super::{Attributes, StoreError, Table, get_number, get_text, number, text, written_if};

/// Bytes that the two menus of an item may have together: an item has at most 400 KB. WeChat's largest menus, with
/// conditional ones, come near to it by themselves.
const BOTH_MENUS: usize = 390_000;
/// Seconds after which the claim of a roll-back ends that has not been given up: its process has died, since a roll-back
/// takes less.
pub const ROLL_BACK_CLAIMED_FOR: i64 = 30;

/// A menu that was kept before a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptMenu {
    /// WeChat's answer to `menu/get`, as JSON.
    pub menu: String,
    /// The one that was kept before this: a roll-back that was cut short was to restore it.
    pub earlier: Option<String>,
    /// Whether a roll-back to `earlier` has begun, and not ended.
    pub is_restoring: bool,
}

/// Why a menu may not be changed.
#[derive(Debug, thiserror::Error)]
pub enum MenuError {
    /// The table cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A roll-back is under way, for so many seconds at most: a change beside it would lose what it has not restored yet.
    #[error("the menu is being rolled back by another request / 另一个请求正在回滚菜单")]
    RollBackInProgress {
        /// Seconds after which it has ended.
        retry_after: i64,
    },
    /// The menu to restore and the one in its place do not fit an item of the table together.
    #[error(
        "the menu there is and the one before it have more than {BOTH_MENUS} bytes together: neither would be left if the \
         roll-back were cut short. Set the menu by POST /api/menu / 新旧菜单合计过大，无法安全回滚，请用 POST /api/menu 设置"
    )]
    TooLarge,
}

fn pk(app_id: &str) -> String {
    format!("menu#{app_id}")
}

/// Holds unless a roll-back has claimed the item.
const NOT_CLAIMED: &str = "attribute_not_exists(#owner) OR claim_expires_at <= :now";

impl Table {
    /// Keeps `menu`, WeChat's answer to `menu/get`, before another takes its place, or none; and with it what was `kept`,
    /// unless that is the same, kept by a change that was cut short.
    ///
    /// # Errors
    /// [`MenuError`]; then nothing may be changed.
    pub async fn keep_menu(
        &self,
        app_id: &str,
        kept: Option<&KeptMenu>,
        menu: &str,
        now: i64,
    ) -> Result<(), MenuError> {
        let update = self
            .update_menu(app_id)
            .condition_expression(NOT_CLAIMED)
            .expression_attribute_values(":now", number(now));
        let is_kept = kept.is_some_and(|kept| kept.menu == menu);
        let earlier = kept.map(|kept| kept.menu.as_str());
        let update = match earlier.filter(|earlier| fit(earlier, menu)) {
            _ if is_kept => update.update_expression("REMOVE restoring_since"),
            Some(earlier) => with_menus(update, menu, earlier)
                .update_expression("SET #menu = :menu, earlier = :earlier, kept_at = :now REMOVE restoring_since"),
            None => update
                .expression_attribute_names("#menu", "menu")
                .expression_attribute_values(":menu", text(menu))
                .update_expression("SET #menu = :menu, kept_at = :now REMOVE earlier, restoring_since"),
        };
        self.updated(app_id, update, now).await
    }

    /// Keeps `menu`, as [`Self::keep_menu`] does, before the one that is `kept` comes back, by the run `owner` that has
    /// claimed the roll-back.
    ///
    /// # Errors
    /// [`MenuError`]; then nothing may be changed.
    pub async fn keep_menu_to_roll_back(
        &self,
        app_id: &str,
        owner: &str,
        kept: &KeptMenu,
        menu: &str,
        now: i64,
    ) -> Result<(), MenuError> {
        if !fit(&kept.menu, menu) {
            return Err(MenuError::TooLarge);
        }
        let update = with_menus(self.update_menu(app_id), menu, &kept.menu)
            .update_expression("SET #menu = :menu, earlier = :earlier, kept_at = :now, restoring_since = :now")
            .condition_expression("#owner = :owner")
            .expression_attribute_values(":owner", text(owner))
            .expression_attribute_values(":now", number(now));
        self.updated(app_id, update, now).await
    }

    /// Claims the roll-back for the run `owner`, and answers what is kept, if anything: of two at once, each would add the
    /// conditional menus that it misses.
    ///
    /// # Errors
    /// [`MenuError`]; then nothing may be rolled back.
    pub async fn claim_menu_roll_back(
        &self,
        app_id: &str,
        owner: &str,
        now: i64,
    ) -> Result<Option<KeptMenu>, MenuError> {
        let outcome = self
            .update_menu(app_id)
            .update_expression("SET #owner = :owner, claim_expires_at = :claim_expires_at")
            .condition_expression(format!(
                "attribute_exists(#menu) AND (#owner = :owner OR {NOT_CLAIMED})"
            ))
            .expression_attribute_names("#menu", "menu")
            .expression_attribute_values(":owner", text(owner))
            .expression_attribute_values(":now", number(now))
            .expression_attribute_values(":claim_expires_at", number(now + ROLL_BACK_CLAIMED_FOR))
            .return_values(ReturnValue::AllNew)
            .send()
            .await;
        let error = match outcome {
            Ok(output) => return Ok(output.attributes.as_ref().and_then(kept_menu)),
            Err(error) => error,
        };
        let item = self.refused_update(&pk(app_id), &error).await?;
        if item.contains_key("menu") {
            Err(in_progress(&item, now))
        } else {
            Ok(None)
        }
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

    /// The menu that was kept before the last change, if there is one.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn kept_menu(&self, app_id: &str) -> Result<Option<KeptMenu>, StoreError> {
        let item = self.read(&pk(app_id), true).await?;
        Ok(item.as_ref().and_then(kept_menu))
    }

    fn update_menu(&self, app_id: &str) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.name)
            .key("pk", text(pk(app_id)))
            .expression_attribute_names("#owner", "owner")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }

    /// Makes a change that a roll-back of another run stands in the way of.
    async fn updated(&self, app_id: &str, update: UpdateItemFluentBuilder, now: i64) -> Result<(), MenuError> {
        let Err(error) = update.send().await else {
            return Ok(());
        };
        let item = self.refused_update(&pk(app_id), &error).await?;
        Err(in_progress(&item, now))
    }

    /// A claim that has passed to another run, or that has ended at an attempt whose answer was lost, is left as it is.
    async fn end_claim(&self, app_id: &str, owner: &str, update_expression: &str) -> Result<(), StoreError> {
        let outcome = self
            .update_menu(app_id)
            .update_expression(update_expression)
            .condition_expression("#owner = :owner")
            .expression_attribute_values(":owner", text(owner))
            .send()
            .await;
        written_if("UpdateItem", outcome).map(|_| ())
    }
}

fn fit(one: &str, other: &str) -> bool {
    one.len() + other.len() <= BOTH_MENUS
}

fn with_menus(update: UpdateItemFluentBuilder, menu: &str, earlier: &str) -> UpdateItemFluentBuilder {
    update
        .expression_attribute_names("#menu", "menu")
        .expression_attribute_values(":menu", text(menu))
        .expression_attribute_values(":earlier", text(earlier))
}

fn in_progress(item: &Attributes, now: i64) -> MenuError {
    let ends: i64 = get_number(item, "claim_expires_at").unwrap_or(now);
    MenuError::RollBackInProgress {
        retry_after: (ends - now).clamp(1, ROLL_BACK_CLAIMED_FOR),
    }
}

fn kept_menu(item: &Attributes) -> Option<KeptMenu> {
    Some(KeptMenu {
        menu: get_text(item, "menu")?.to_owned(),
        earlier: get_text(item, "earlier").map(str::to_owned),
        is_restoring: item.contains_key("restoring_since"),
    })
}
