//! `replies#<appid>`: the reply rules.

use super::{StoreError, Table, get_number, get_text, number, text};

/// The stored rules document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredReplies {
    /// The document as JSON.
    pub document: String,
    /// Grows by one at each change.
    pub version: u64,
    /// When it was changed, in epoch seconds.
    pub updated_at: i64,
}

impl Table {
    /// The stored rules; `None` when none were ever stored.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn replies(&self, app_id: &str) -> Result<Option<StoredReplies>, StoreError> {
        let item = self.read(&format!("replies#{app_id}"), true).await?;
        Ok(item.and_then(|item| {
            Some(StoredReplies {
                document: get_text(&item, "document")?.to_owned(),
                version: get_number(&item, "version").unwrap_or(0),
                updated_at: get_number(&item, "updated_at").unwrap_or(0),
            })
        }))
    }

    /// Stores the rules `document` as the next version, and answers with that version.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn save_replies(&self, app_id: &str, document: &str, now: i64) -> Result<u64, StoreError> {
        let output = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", text(format!("replies#{app_id}")))
            .update_expression("SET #document = :document, updated_at = :now ADD #version :one")
            .expression_attribute_names("#document", "document")
            .expression_attribute_names("#version", "version")
            .expression_attribute_values(":document", text(document))
            .expression_attribute_values(":now", number(now))
            .expression_attribute_values(":one", number(1))
            .return_values(aws_sdk_dynamodb::types::ReturnValue::AllNew)
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("UpdateItem", &error))?;
        output
            .attributes
            .and_then(|item| get_number(&item, "version"))
            .ok_or_else(|| StoreError::damaged("UpdateItem", "the reply rules have no version"))
    }
}
