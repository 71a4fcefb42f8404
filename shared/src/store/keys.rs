//! `keys#<appid>`: the API keys that were made at run time, in one map by their ids, as digests; and the secret with which the relay
//! signs its tokens.
//!
//! Each write changes one entry of the map, so that two of them never undo one another.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};

use super::{
    Attributes, StoreError, Table, get_number, get_text, number, text,
    transaction::{ATTEMPTS, contended},
    written, written_if,
};
use crate::{
    api_key::{ApiKey, Grants, Scope},
    secret::Secret,
};

const KIND: &str = "keys";
/// The attribute with the secret of the relay's tokens.
const RELAY_SECRET: &str = "relay_secret";
/// Characters. A shorter one could be guessed.
const SHORTEST_RELAY_SECRET: usize = 32;
/// The most keys of one account. With names of 256 bytes and limits of 2 KiB each, they fill 300 KB of an item's 400.
pub const KEYS_LIMIT: usize = 100;

/// The outcome of storing a new key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreatedKey {
    /// The key is stored.
    Created,
    /// There are [`KEYS_LIMIT`] keys already. Nothing was changed.
    TooMany,
}

impl Table {
    /// Returns the keys, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read or a key is damaged.
    pub async fn api_keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        let item = self.read(&self.pk(KIND), true).await?;
        let entries = item
            .as_ref()
            .and_then(|item| item.get("keys"))
            .map(AttributeValue::as_m);
        let entries = entries
            .transpose()
            .map_err(|_| StoreError::damaged("GetItem", "the keys are not a map"))?;
        let keys = entries.into_iter().flatten().map(|(id, entry)| {
            let key = entry.as_m().ok().and_then(|entry| read_key(id, entry));
            key.ok_or_else(|| StoreError::damaged("GetItem", format!("the key {id}")))
        });
        let mut keys = keys.collect::<Result<Vec<_>, _>>()?;
        keys.sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
        Ok(keys)
    }

    /// Stores a new key.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written. The key may be stored all the same.
    pub async fn create_api_key(&self, key: &ApiKey) -> Result<CreatedKey, StoreError> {
        for _ in 0..ATTEMPTS {
            let Some(refused) = self.add_key(key).await? else {
                return Ok(CreatedKey::Created);
            };
            match entries(&refused) {
                None => self.begin_keys().await?,
                // Another run made the map, or deleted a key, since.
                Some(entries) if entries.len() < KEYS_LIMIT && !entries.contains_key(&key.id) => {}
                Some(_) => return created(key, &refused),
            }
        }
        Err(contended("UpdateItem"))
    }

    /// Adds `key` to the map. Returns the item when it has no map, the map is full, or the id is taken.
    async fn add_key(&self, key: &ApiKey) -> Result<Option<Attributes>, StoreError> {
        let pk = self.pk(KIND);
        let id = &key.id;
        let condition =
            format!("attribute_exists(#keys) AND attribute_not_exists(#keys.#{id}) AND size(#keys) < :limit");
        let values = [(":key", write_key(key)), (":limit", number(KEYS_LIMIT))];
        let update = self.update(&pk, &format!("SET #keys.#{id} = :key"), Some(&condition), values);
        let update = update.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match update.send().await {
            Ok(_) => Ok(None),
            Err(error) => self.refused_update(&pk, &error).await.map(Some),
        }
    }

    /// Makes the map of the first key.
    async fn begin_keys(&self) -> Result<(), StoreError> {
        let none = [(":none", AttributeValue::M(HashMap::new()))];
        let update = self.update(&self.pk(KIND), "SET #keys = if_not_exists(#keys, :none)", None, none);
        written("UpdateItem", update.send().await)
    }

    /// Deletes the key `id`. Returns `false` when there is no such key.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read or written. The key may be deleted all the same.
    pub async fn delete_api_key(&self, id: &str) -> Result<bool, StoreError> {
        let item = self.read(&self.pk(KIND), true).await?;
        let entries = item.as_ref().and_then(entries);
        if !entries.is_some_and(|entries| entries.contains_key(id)) {
            return Ok(false);
        }
        let condition = format!("attribute_exists(#keys.#{id})");
        let update = self.update(&self.pk(KIND), &format!("REMOVE #keys.#{id}"), Some(&condition), []);
        // The condition fails when the SDK repeats a write whose answer was lost: the key was there, and is gone.
        written_if("UpdateItem", update.send().await).map(|_| true)
    }

    /// Records that the key `id` was used on `day`, unless that or a later day is recorded, or the key is gone.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn note_api_key_use(&self, id: &str, day: &str) -> Result<(), StoreError> {
        let last_used = format!("#keys.#{id}.last_used");
        let condition =
            format!("attribute_exists(#keys.#{id}) AND (attribute_not_exists({last_used}) OR {last_used} < :day)");
        let expression = format!("SET {last_used} = :day");
        let update = self.update(&self.pk(KIND), &expression, Some(&condition), [(":day", text(day))]);
        written_if("UpdateItem", update.send().await).map(|_| ())
    }
}

impl Table {
    /// Returns the secret with which the relay signs its tokens: the stored one, or else `candidate`, which is stored then.
    /// Two callers at once get the same secret.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read or written.
    pub async fn relay_secret(&self, candidate: &Secret) -> Result<Secret, StoreError> {
        let pk = self.pk(KIND);
        let item = self.read(&pk, true).await?;
        if let Some(stored) = item.as_ref().and_then(|item| item.get(RELAY_SECRET)) {
            return relay_secret_in(stored);
        }
        let expression = format!("SET {RELAY_SECRET} = if_not_exists({RELAY_SECRET}, :candidate)");
        let update = self.update(&pk, &expression, None, [(":candidate", text(candidate.expose()))]);
        let written = update.return_values(ReturnValue::UpdatedNew).send().await;
        let written = written.map_err(|error| StoreError::from_sdk("UpdateItem", &error))?;
        let stored = written.attributes.as_ref().and_then(|item| item.get(RELAY_SECRET));
        relay_secret_in(stored.unwrap_or(&AttributeValue::Null(true)))
    }
}

/// Reads the relay's secret. A secret short enough to guess was not written by the relay.
fn relay_secret_in(stored: &AttributeValue) -> Result<Secret, StoreError> {
    let secret = stored
        .as_s()
        .ok()
        .filter(|secret| secret.len() >= SHORTEST_RELAY_SECRET);
    secret.map(|secret| Secret::new(secret.as_str())).ok_or_else(|| {
        StoreError::damaged(
            "GetItem",
            format!("{RELAY_SECRET} is not one of the relay's: delete it"),
        )
    })
}

/// Reads why `key` was not added to `item`. The SDK repeats a write whose answer was lost: then the key is there.
fn created(key: &ApiKey, item: &Attributes) -> Result<CreatedKey, StoreError> {
    let entries = entries(item);
    let same = entries.and_then(|entries| entries.get(&key.id)?.as_m().ok());
    match same {
        Some(same) if get_text(same, "digest") == Some(&key.digest) => Ok(CreatedKey::Created),
        Some(_) => Err(StoreError::damaged("UpdateItem", "the id of the new key is taken")),
        None => Ok(CreatedKey::TooMany),
    }
}

fn entries(item: &Attributes) -> Option<&Attributes> {
    item.get("keys")?.as_m().ok()
}

fn write_key(key: &ApiKey) -> AttributeValue {
    let ApiKey {
        digest,
        name,
        grants,
        created_at,
        ..
    } = key;
    let scopes = grants.scopes.iter().map(|scope| scope.as_str());
    let optional = [("templates", &grants.templates), ("paths", &grants.paths)];
    let optional = optional
        .into_iter()
        .filter_map(|(name, limit)| Some((name, list(limit.as_ref()?))));
    let attributes = [
        ("digest", text(digest)),
        ("name", text(name)),
        ("scopes", list(scopes)),
        ("created_at", number(created_at)),
    ];
    let attributes = attributes.into_iter().chain(optional);
    AttributeValue::M(attributes.map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Reads a key. Ignores scopes that this version does not know.
fn read_key(id: &str, entry: &Attributes) -> Option<ApiKey> {
    Some(ApiKey {
        id: id.to_owned(),
        digest: get_text(entry, "digest")?.to_owned(),
        name: get_text(entry, "name")?.to_owned(),
        grants: Grants {
            scopes: get_list(entry, "scopes")??
                .iter()
                .filter_map(|name| Scope::parse(name))
                .collect(),
            templates: get_list(entry, "templates")?,
            paths: get_list(entry, "paths")?,
        },
        created_at: get_number(entry, "created_at")?,
        last_used: get_text(entry, "last_used").map(str::to_owned),
    })
}

fn list(texts: impl IntoIterator<Item = impl Into<String>>) -> AttributeValue {
    AttributeValue::L(texts.into_iter().map(text).collect())
}

/// Reads a list of texts, or its absence. `None` when it is damaged: a limit that cannot be read must not count as no limit.
fn get_list(entry: &Attributes, name: &str) -> Option<Option<Vec<String>>> {
    let Some(list) = entry.get(name) else {
        return Some(None);
    };
    let texts = list.as_l().ok()?.iter();
    texts
        .map(|text| text.as_s().ok().cloned())
        .collect::<Option<_>>()
        .map(Some)
}
