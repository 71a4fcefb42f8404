//! The custom menu (自定义菜单).

use serde_json::Value;

use super::{ApiError, Call, Client};
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
        let query = [("access_token", token.expose())];
        let operation = "/cgi-bin/menu/create";
        let _: Value = self
            .call(Call {
                operation,
                query: &query,
                body: Some(menu),
                attempts,
                deadline,
            })
            .await?;
        Ok(())
    }

    /// The menus that were made through the API, in WeChat's own JSON. 10,000 a day.
    ///
    /// # Errors
    /// [`ApiError`]; errcode 46003 when there is none.
    pub async fn menu(&self, token: &Secret, attempts: u8, deadline: Deadline) -> Result<Value, ApiError> {
        let query = [("access_token", token.expose())];
        self.call(Call {
            operation: "/cgi-bin/menu/get",
            query: &query,
            body: None,
            attempts,
            deadline,
        })
        .await
    }

    /// Deletes the default menu and all conditional ones. 1,000 a day.
    ///
    /// # Errors
    /// [`ApiError`] when WeChat refuses.
    pub async fn delete_menu(&self, token: &Secret, attempts: u8, deadline: Deadline) -> Result<(), ApiError> {
        let query = [("access_token", token.expose())];
        let operation = "/cgi-bin/menu/delete";
        let _: Value = self
            .call(Call {
                operation,
                query: &query,
                body: None,
                attempts,
                deadline,
            })
            .await?;
        Ok(())
    }
}
