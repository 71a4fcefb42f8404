//! The templates of the account (模板库): adding and deleting them, and the account's industries.

use serde::Deserialize;
use serde_json::json;

use super::{ApiError, Client, Done};
use crate::{clock::Deadline, secret::Secret};

/// An industry (行业) by its two names.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Industry {
    /// The wider one, such as `IT科技`.
    pub first_class: String,
    /// The narrower one, such as `互联网|电子商务`.
    pub second_class: String,
}

/// The account's industries. Accounts with category templates (类目模板) may have none.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Industries {
    /// The first.
    #[serde(rename = "primary_industry")]
    pub primary: Option<Industry>,
    /// The second.
    #[serde(rename = "secondary_industry")]
    pub secondary: Option<Industry>,
}

impl Client {
    /// Adds the template `short_id` of WeChat's library with `keywords` from its page, and answers with its template_id.
    /// An account keeps 25. Made once only: a repeat would add a second one.
    ///
    /// # Errors
    /// [`ApiError`]; errcode 40246 when the keywords are not the library's, 40247 for an id of the old library, 45026
    /// when there are too many templates.
    pub async fn add_template(
        &self,
        token: &Secret,
        short_id: &str,
        keywords: &[&str],
        deadline: Deadline,
    ) -> Result<String, ApiError> {
        #[derive(Deserialize)]
        struct Added {
            template_id: String,
        }
        let body = json!({"template_id_short": short_id, "keyword_name_list": keywords});
        let added: Added = self
            .post("/cgi-bin/template/api_add_template", token, &body, 1, deadline)
            .await?;
        Ok(added.template_id)
    }

    /// Deletes a template of the account. Made once only: a repeat would find the template gone.
    ///
    /// # Errors
    /// [`ApiError`]; errcode 40037 when there is no such template.
    pub async fn delete_template(&self, token: &Secret, template_id: &str, deadline: Deadline) -> Result<(), ApiError> {
        let body = json!({"template_id": template_id});
        let _: Done = self
            .post("/cgi-bin/template/del_private_template", token, &body, 1, deadline)
            .await?;
        Ok(())
    }

    /// The account's industries.
    ///
    /// # Errors
    /// [`ApiError`] when WeChat refuses.
    pub async fn industries(&self, token: &Secret, attempts: u8, deadline: Deadline) -> Result<Industries, ApiError> {
        self.get("/cgi-bin/template/get_industry", token, attempts, deadline)
            .await
    }

    /// Sets the account's industries by WeChat's codes, 1 to 41. Once a month, so it is called once only. The industry
    /// templates of what was set before are deleted.
    ///
    /// # Errors
    /// [`ApiError`]; errcode 43100 within a month of the last change.
    pub async fn set_industries(
        &self,
        token: &Secret,
        primary: u8,
        secondary: u8,
        deadline: Deadline,
    ) -> Result<(), ApiError> {
        let body = json!({"industry_id1": primary.to_string(), "industry_id2": secondary.to_string()});
        let _: Done = self
            .post("/cgi-bin/template/api_set_industry", token, &body, 1, deadline)
            .await?;
        Ok(())
    }
}
