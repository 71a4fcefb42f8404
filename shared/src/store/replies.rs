//! `replies#<appid>`: the current reply rules. `replies#<appid>#<version>`: their earlier versions.

use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;

use super::{Attributes, StoreError, Table, get_number, get_text, number, text, written};

const KIND: &str = "replies";
/// The number of earlier versions in the table.
const KEPT_VERSIONS: u64 = 10;
/// Attempts of a save without an expected version, each of which another editor may overtake.
const ATTEMPTS: u8 = 5;

/// The stored rules document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredReplies {
    /// The document as JSON.
    pub document: String,
    /// Increases by one with each change.
    pub version: u64,
    /// When the rules were changed, in epoch seconds.
    pub updated_at: i64,
    /// The earlier version that this one restores, if any.
    pub restores: Option<u64>,
}

/// The outcome of a save.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SavedReplies {
    /// The document is stored as this version.
    Saved {
        /// The new version.
        version: u64,
    },
    /// The stored version is not the expected one. Nothing was changed.
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
    /// Returns the current rules. `None` when none were ever stored.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn replies(&self) -> Result<Option<StoredReplies>, StoreError> {
        let item = self.read(&self.pk(KIND), true).await?;
        Ok(item.as_ref().and_then(StoredReplies::from_attributes))
    }

    /// Returns an earlier version of the rules, one of the last 10.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn earlier_replies(&self, version: u64) -> Result<Option<StoredReplies>, StoreError> {
        let item = self.read(&self.earlier_pk(version), true).await?;
        Ok(item.as_ref().and_then(StoredReplies::from_attributes))
    }

    /// Stores the rules `document` as the next version and keeps the current one as an earlier version. With `expected`, only
    /// if that is the current version (0: none was ever stored).
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn save_replies(
        &self,
        document: &str,
        expected: Option<u64>,
        now: i64,
    ) -> Result<SavedReplies, StoreError> {
        self.save(document, None, expected, now).await
    }

    /// Stores an `earlier` version again as the next one, if `expected` is the current version.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn restore_replies(
        &self,
        earlier: &StoredReplies,
        expected: u64,
        now: i64,
    ) -> Result<SavedReplies, StoreError> {
        let restores = Some(earlier.version);
        self.save(&earlier.document, restores, Some(expected), now).await
    }

    async fn save(
        &self,
        document: &str,
        restores: Option<u64>,
        expected: Option<u64>,
        now: i64,
    ) -> Result<SavedReplies, StoreError> {
        let mut found = 0;
        for _ in 0..ATTEMPTS {
            let current = self.replies().await?;
            found = current.as_ref().map_or(0, |current| current.version);
            if expected.is_some_and(|expected| expected != found) {
                break;
            }
            // Kept before it is replaced: otherwise a crash in between would lose it.
            if let Some(current) = &current {
                self.keep_replies(current).await?;
            }
            let version = found + 1;
            if self.replace_replies(document, restores, found, now).await? {
                if version > KEPT_VERSIONS + 1 {
                    self.forget_replies(version - (KEPT_VERSIONS + 1)).await;
                }
                return Ok(SavedReplies::Saved { version });
            }
        }
        Ok(SavedReplies::Changed { version: found })
    }

    async fn keep_replies(&self, replies: &StoredReplies) -> Result<(), StoreError> {
        let attributes = [
            ("document", text(&replies.document)),
            ("version", number(replies.version)),
            ("updated_at", number(replies.updated_at)),
        ];
        let put = self.put(&self.earlier_pk(replies.version), attributes);
        written("PutItem", put.send().await)
    }

    /// Returns `false` when another editor was faster.
    async fn replace_replies(
        &self,
        document: &str,
        restores: Option<u64>,
        found: u64,
        now: i64,
    ) -> Result<bool, StoreError> {
        let pk = self.pk(KIND);
        let mut values = vec![
            (":document", text(document)),
            (":now", number(now)),
            (":found", number(found)),
            (":next", number(found + 1)),
        ];
        let origin = match restores {
            Some(version) => {
                values.push((":restores", number(version)));
                ", restores = :restores"
            }
            None => " REMOVE restores",
        };
        let expression = format!("SET #document = :document, updated_at = :now, #version = :next{origin}");
        let condition = "attribute_not_exists(#version) OR #version = :found";
        let update = self
            .update(&pk, &expression, Some(condition), values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = update.send().await else {
            return Ok(true);
        };
        // The SDK retries a write whose answer was lost: then the stored version is this very write.
        let item = self.refused_update(&pk, &error).await?;
        let stored = StoredReplies::from_attributes(&item);
        Ok(stored.is_some_and(|stored| stored.version == found + 1 && stored.document == document))
    }

    async fn forget_replies(&self, version: u64) {
        let outcome = self.delete(&self.earlier_pk(version)).send().await;
        if let Err(error) = written("DeleteItem", outcome) {
            tracing::warn!(%error, "an old version of the rules could not be deleted / 规则的旧版本未能删除");
        }
    }

    fn earlier_pk(&self, version: u64) -> String {
        format!("{}#{version}", self.pk(KIND))
    }
}
