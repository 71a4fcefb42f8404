//! The custom menu (自定义菜单): what all users see, unless a conditional menu matches them.

use serde_json::Value;

use super::{ApiError, Client, Done};
use crate::{clock::Deadline, secret::Secret};

impl Client {
    /// Replaces the default menu by `menu`, WeChat's own JSON. 1,000 a day.
    ///
    /// # Errors
    /// [`ApiError`] when WeChat refuses it.
    pub async fn create_menu(
        &self,
        token: &Secret,
        menu: &Value,
        attempts: u8,
        deadline: Deadline,
    ) -> Result<(), ApiError> {
        let _: Done = self
            .post("/cgi-bin/menu/create", token, menu, attempts, deadline)
            .await?;
        Ok(())
    }

    /// The menus that were made through the API, in WeChat's own JSON. 10,000 a day.
    ///
    /// # Errors
    /// [`ApiError`]; errcode 46003 when there is none.
    pub async fn menu(&self, token: &Secret, attempts: u8, deadline: Deadline) -> Result<Value, ApiError> {
        let operation = "/cgi-bin/menu/get";
        holding(
            "/menu/button",
            self.get(operation, token, attempts, deadline).await?,
            operation,
        )
    }

    /// Deletes the default menu and all conditional ones. 1,000 a day.
    ///
    /// # Errors
    /// [`ApiError`] when WeChat refuses.
    pub async fn delete_menu(&self, token: &Secret, attempts: u8, deadline: Deadline) -> Result<(), ApiError> {
        let _: Done = self.get("/cgi-bin/menu/delete", token, attempts, deadline).await?;
        Ok(())
    }

    /// The menu that users see, also one that was made in the console, in WeChat's own JSON. Its shape is another than
    /// that of [`Client::menu`]: `is_menu_open`, `selfmenu_info`, and sub-buttons in `sub_button.list`.
    ///
    /// # Errors
    /// [`ApiError`] when WeChat refuses.
    pub async fn current_menu(&self, token: &Secret, attempts: u8, deadline: Deadline) -> Result<Value, ApiError> {
        let operation = "/cgi-bin/get_current_selfmenu_info";
        holding(
            "/is_menu_open",
            self.get(operation, token, attempts, deadline).await?,
            operation,
        )
    }
}

/// WeChat's own JSON, which has something at `pointer`: what lacks it is another server's, and must not be kept for a menu.
pub(super) fn holding(pointer: &str, answer: Value, operation: &'static str) -> Result<Value, ApiError> {
    match answer.pointer(pointer) {
        Some(_) => Ok(answer),
        None => Err(ApiError::Unreadable {
            operation,
            detail: format!("it has no {pointer}"),
        }),
    }
}
