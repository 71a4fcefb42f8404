//! Conditional menus (个性化菜单): what users see who match a rule. The newest menu that matches wins.
//!
//! Rules today know `tag_id` and `client_platform_type`. All conditional menus together may lead to 3 domains.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{ApiError, Client, Done, Id, menu::holding};
use crate::{clock::Deadline, secret::Secret};

impl Client {
    /// Adds a conditional menu, WeChat's own JSON with `button` and `matchrule`, and answers with its menuid. 2,000 a
    /// day. Made once only: a repeat would add a second one.
    ///
    /// # Errors
    /// [`ApiError`]; errcode 65303 while there is no default menu.
    pub async fn add_conditional_menu(
        &self,
        token: &Secret,
        menu: &Value,
        deadline: Deadline,
    ) -> Result<String, ApiError> {
        #[derive(Deserialize)]
        struct Added {
            menuid: Id,
        }
        let added: Added = self
            .post("/cgi-bin/menu/addconditional", token, menu, 1, deadline)
            .await?;
        Ok(added.menuid.into_text())
    }

    /// Deletes a conditional menu. 2,000 a day. Made once only: a repeat would find the menu gone.
    ///
    /// # Errors
    /// [`ApiError`]; errcode 65301 when there is no such menu.
    pub async fn delete_conditional_menu(
        &self,
        token: &Secret,
        menuid: &str,
        deadline: Deadline,
    ) -> Result<(), ApiError> {
        let body = json!({"menuid": menuid});
        let _: Done = self
            .post("/cgi-bin/menu/delconditional", token, &body, 1, deadline)
            .await?;
        Ok(())
    }

    /// The menu that a user sees, by openid or WeChat ID, in WeChat's own JSON. 20,000 a day.
    ///
    /// # Errors
    /// [`ApiError`]; errcode 65302 when there is no such user.
    pub async fn menu_seen_by(
        &self,
        token: &Secret,
        user_id: &str,
        attempts: u8,
        deadline: Deadline,
    ) -> Result<Value, ApiError> {
        let body = json!({"user_id": user_id});
        let operation = "/cgi-bin/menu/trymatch";
        let answer = self.post(operation, token, &body, attempts, deadline).await?;
        holding("/button", answer, operation)
    }
}
