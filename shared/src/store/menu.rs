//! `menu#<appid>`: the menu before the last change, to roll back to, and the menu that was saved before that one.

use aws_sdk_dynamodb::{
    operation::update_item::builders::UpdateItemFluentBuilder, types::ReturnValuesOnConditionCheckFailure,
};

use super::{
    Attributes, StoreError, Table,
    claim::{FREE, MINE, is_claimed, retry_after},
    get_text, number, text,
};

const KIND: &str = "menu";
/// Bytes. The most that the two menus of an item may have together: DynamoDB limits an item to 400 KB, and one of WeChat's
/// largest menus, conditional ones included, is almost as large.
const BOTH_MENUS: usize = 390_000;
/// Seconds. A change takes less: a claim that expires belongs to a process that died.
pub const MENU_CLAIMED_FOR: i64 = 30;

/// The menu that was saved before a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptMenu {
    /// WeChat's answer to `menu/get`, as JSON.
    pub menu: String,
    /// The menu that was saved before this one: the target of an interrupted rollback.
    pub earlier: Option<String>,
    /// Whether a rollback to `earlier` has begun and not ended.
    pub is_restoring: bool,
}

/// Why a menu may not be changed.
#[derive(Debug, thiserror::Error)]
pub enum MenuError {
    /// The table cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another run holds the claim. A concurrent change would lose the menus that a rollback has not restored yet, or replace a
    /// menu that its caller has not read.
    #[error(
        "the menu is being changed by another request, or a change was cut off: try again soon \
         / 另一个请求正在修改菜单，或上一次修改中断，请稍后重试"
    )]
    InProgress {
        /// Seconds until the claim expires.
        retry_after: i64,
    },
    /// The menu to restore and the current one do not fit into one item of the table.
    #[error(
        "the current menu and the one before it have more than {BOTH_MENUS} bytes together: both would be lost if the \
         rollback were cut short. Set the menu by POST /api/menu / 新旧菜单合计超过 {BOTH_MENUS} 字节，若回滚中断将两者皆失，请用 POST /api/menu 设置"
    )]
    TooLarge,
}

impl Table {
    /// Saves `menu`, WeChat's answer to `menu/get`, before the run `owner` replaces or deletes it. Saves the `kept` menu with it,
    /// unless both are the same, which an interrupted change leaves behind.
    ///
    /// # Errors
    /// [`MenuError`] when the menu is not saved, also because another run holds the claim. The caller must then change nothing.
    pub async fn keep_menu(&self, owner: &str, kept: Option<&KeptMenu>, menu: &str, now: i64) -> Result<(), MenuError> {
        let is_kept = kept.is_some_and(|kept| kept.menu == menu);
        let earlier = kept.map(|kept| kept.menu.as_str());
        let (expression, mut values) = match earlier.filter(|earlier| fit(earlier, menu)) {
            _ if is_kept => ("REMOVE restoring_since", vec![]),
            Some(earlier) => (
                "SET #menu = :menu, earlier = :earlier, kept_at = :now REMOVE restoring_since",
                vec![(":menu", text(menu)), (":earlier", text(earlier))],
            ),
            None => (
                "SET #menu = :menu, kept_at = :now REMOVE earlier, restoring_since",
                vec![(":menu", text(menu))],
            ),
        };
        values.extend([(":now", number(now)), (":owner", text(owner))]);
        let condition = format!("{MINE} OR {FREE}");
        let update = self.update(&self.pk(KIND), expression, Some(&condition), values);
        self.unless_claimed(update, now).await
    }

    /// Saves `menu` like [`Self::keep_menu`], before a rollback to `kept`, whose claim the run `owner` holds.
    ///
    /// # Errors
    /// [`MenuError`] when the menu is not saved. The caller must then change nothing.
    pub async fn keep_menu_for_rollback(
        &self,
        owner: &str,
        kept: &KeptMenu,
        menu: &str,
        now: i64,
    ) -> Result<(), MenuError> {
        if !fit(&kept.menu, menu) {
            return Err(MenuError::TooLarge);
        }
        let expression = "SET #menu = :menu, earlier = :earlier, kept_at = :now, restoring_since = :now";
        let values = [
            (":menu", text(menu)),
            (":earlier", text(&kept.menu)),
            (":owner", text(owner)),
            (":now", number(now)),
        ];
        let update = self.update(&self.pk(KIND), expression, Some(MINE), values);
        self.unless_claimed(update, now).await
    }

    /// Claims the menu for the run `owner` and returns the saved menu, if any. Two concurrent rollbacks would create the same
    /// conditional menus twice.
    ///
    /// # Errors
    /// [`MenuError`] when the claim is not won. The caller must then change nothing.
    pub async fn claim_menu(&self, owner: &str, now: i64) -> Result<Option<KeptMenu>, MenuError> {
        let pk = self.pk(KIND);
        let expression = "SET #owner = :owner, claim_expires_at = :claim_expires_at";
        let condition = format!("{MINE} OR {FREE}");
        let values = [
            (":owner", text(owner)),
            (":now", number(now)),
            (":claim_expires_at", number(now + MENU_CLAIMED_FOR)),
        ];
        let update = self.update(&pk, expression, Some(&condition), values);
        match self.claim(&pk, update).await? {
            Ok(item) => Ok(kept_menu(&item)),
            Err(item) => Err(in_progress(&item, now)),
        }
    }

    /// Records the end of the rollback and closes the claim of `owner`.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written. The next rollback then restores the same menu again.
    pub async fn finish_menu_rollback(&self, owner: &str) -> Result<(), StoreError> {
        let expression = "REMOVE restoring_since, #owner, claim_expires_at";
        self.update_claimed(&self.pk(KIND), owner, expression, []).await
    }

    /// Ends the claim of `owner`. The next rollback resumes one that was interrupted.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written. The claim then expires by itself.
    pub async fn release_menu(&self, owner: &str) -> Result<(), StoreError> {
        let expression = "REMOVE #owner, claim_expires_at";
        self.update_claimed(&self.pk(KIND), owner, expression, []).await
    }

    /// Fails while a run holds the claim of the menu. A change without a claim of its own calls this first.
    ///
    /// # Errors
    /// [`MenuError`] when a run holds the claim, or the table cannot be read. The caller must then change nothing.
    pub async fn refuse_claimed_menu(&self, now: i64) -> Result<(), MenuError> {
        let item = self.read(&self.pk(KIND), true).await?.unwrap_or_default();
        if is_claimed(&item, now) {
            return Err(in_progress(&item, now));
        }
        Ok(())
    }

    /// Returns the menu that was saved before the last change, if any.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn kept_menu(&self) -> Result<Option<KeptMenu>, StoreError> {
        let item = self.read(&self.pk(KIND), true).await?;
        Ok(item.as_ref().and_then(kept_menu))
    }

    /// Runs `update`, whose condition fails while another run holds the claim.
    async fn unless_claimed(&self, update: UpdateItemFluentBuilder, now: i64) -> Result<(), MenuError> {
        let update = update.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = update.send().await else {
            return Ok(());
        };
        let item = self.refused_update(&self.pk(KIND), &error).await?;
        Err(in_progress(&item, now))
    }
}

fn fit(one: &str, other: &str) -> bool {
    one.len() + other.len() <= BOTH_MENUS
}

fn in_progress(item: &Attributes, now: i64) -> MenuError {
    MenuError::InProgress {
        retry_after: retry_after(item, now, MENU_CLAIMED_FOR),
    }
}

fn kept_menu(item: &Attributes) -> Option<KeptMenu> {
    Some(KeptMenu {
        menu: get_text(item, "menu")?.to_owned(),
        earlier: get_text(item, "earlier").map(str::to_owned),
        is_restoring: item.contains_key("restoring_since"),
    })
}
