//! `replies#<appid>`: the reply rules, and `replies#<appid>#<version>`: those that they took the place of.

use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;

use super::{Attributes, StoreError, Table, get_number, get_text, number, text, written};

/// Earlier versions that are kept.
const KEPT_VERSIONS: u64 = 10;
/// How often a save without an expected version tries again when another editor was faster.
const ATTEMPTS: u8 = 5;

/// The stored rules document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredReplies {
    /// The document as JSON.
    pub document: String,
    /// Grows by one at each change.
    pub version: u64,
    /// When it was changed, in epoch seconds.
    pub updated_at: i64,
    /// The earlier version that this one brought back, if it is no new document.
    pub restores: Option<u64>,
}

/// What became of a save.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SavedReplies {
    /// The document is stored as this version.
    Saved {
        /// The new version.
        version: u64,
    },
    /// The stored version is not the expected one: nothing was changed.
    Changed {
        /// The stored version.
        version: u64,
    },
}

impl StoredReplies {
    fn from_attributes(item: &Attributes) -> Option<Self> {
        Some(Self {
            document: get_text(item, "document")?.to_owned(),
            version: get_number(item, "version").unwrap_or(0),
            updated_at: get_number(item, "updated_at").unwrap_or(0),
            restores: get_number(item, "restores"),
        })
    }
}

impl Table {
    /// The stored rules; `None` when none were ever stored.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn replies(&self, app_id: &str) -> Result<Option<StoredReplies>, StoreError> {
        let item = self.read(&pk(app_id), true).await?;
        Ok(item.as_ref().and_then(StoredReplies::from_attributes))
    }

    /// An earlier version of the rules, one of the last 10.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn earlier_replies(&self, app_id: &str, version: u64) -> Result<Option<StoredReplies>, StoreError> {
        let item = self.read(&earlier_pk(app_id, version), true).await?;
        Ok(item.as_ref().and_then(StoredReplies::from_attributes))
    }

    /// Stores the rules `document` as the next version and keeps the one before. With `expected`, only when that is
    /// the stored version (0: none was ever stored).
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn save_replies(
        &self,
        app_id: &str,
        document: &str,
        expected: Option<u64>,
        now: i64,
    ) -> Result<SavedReplies, StoreError> {
        self.save(app_id, document, None, expected, now).await
    }

    /// Stores an `earlier` version again, as [`Self::save_replies`] stores a new document, in place of the version `expected`.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn restore_replies(
        &self,
        app_id: &str,
        earlier: &StoredReplies,
        expected: u64,
        now: i64,
    ) -> Result<SavedReplies, StoreError> {
        let restores = Some(earlier.version);
        self.save(app_id, &earlier.document, restores, Some(expected), now)
            .await
    }

    async fn save(
        &self,
        app_id: &str,
        document: &str,
        restores: Option<u64>,
        expected: Option<u64>,
        now: i64,
    ) -> Result<SavedReplies, StoreError> {
        let mut found = 0;
        for _ in 0..ATTEMPTS {
            let current = self.replies(app_id).await?;
            found = current.as_ref().map_or(0, |current| current.version);
            if expected.is_some_and(|expected| expected != found) {
                break;
            }
            // Kept first: a version that was replaced but not kept could not be rolled back to.
            if let Some(current) = &current {
                self.keep_replies(app_id, current).await?;
            }
            let version = found + 1;
            if self.replace_replies(app_id, document, restores, found, now).await? {
                if version > KEPT_VERSIONS + 1 {
                    self.forget_replies(app_id, version - (KEPT_VERSIONS + 1)).await;
                }
                return Ok(SavedReplies::Saved { version });
            }
        }
        Ok(SavedReplies::Changed { version: found })
    }

    async fn keep_replies(&self, app_id: &str, replies: &StoredReplies) -> Result<(), StoreError> {
        let outcome = self
            .client
            .put_item()
            .table_name(&self.name)
            .item("pk", text(earlier_pk(app_id, replies.version)))
            .item("document", text(&replies.document))
            .item("version", number(replies.version))
            .item("updated_at", number(replies.updated_at))
            .send()
            .await;
        written("PutItem", outcome)
    }

    /// False when another editor was faster.
    async fn replace_replies(
        &self,
        app_id: &str,
        document: &str,
        restores: Option<u64>,
        found: u64,
        now: i64,
    ) -> Result<bool, StoreError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", text(pk(app_id)))
            .condition_expression("attribute_not_exists(#version) OR #version = :found")
            .expression_attribute_names("#document", "document")
            .expression_attribute_names("#version", "version")
            .expression_attribute_values(":document", text(document))
            .expression_attribute_values(":now", number(now))
            .expression_attribute_values(":found", number(found))
            .expression_attribute_values(":next", number(found + 1))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let set = "SET #document = :document, updated_at = :now, #version = :next";
        let update = match restores {
            Some(version) => update
                .update_expression(format!("{set}, restores = :restores"))
                .expression_attribute_values(":restores", number(version)),
            None => update.update_expression(format!("{set} REMOVE restores")),
        };
        let outcome = update.send().await;
        let Err(error) = outcome else {
            return Ok(true);
        };
        // The SDK repeats a write whose answer was lost, and the repeat meets the first.
        let item = self.refused_update(&pk(app_id), &error).await?;
        let stored = StoredReplies::from_attributes(&item);
        Ok(stored.is_some_and(|stored| stored.version == found + 1 && stored.document == document))
    }

    async fn forget_replies(&self, app_id: &str, version: u64) {
        let key = text(earlier_pk(app_id, version));
        if let Err(error) = self
            .client
            .delete_item()
            .table_name(&self.name)
            .key("pk", key)
            .send()
            .await
        {
            tracing::warn!(error = %StoreError::from_sdk("DeleteItem", &error), "an old version of the rules stays");
        }
    }
}

fn pk(app_id: &str) -> String {
    format!("replies#{app_id}")
}

fn earlier_pk(app_id: &str, version: u64) -> String {
    format!("replies#{app_id}#{version}")
}
