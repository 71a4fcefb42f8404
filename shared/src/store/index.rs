//! The sparse global index `index`: partition key `ipk` (S), sort key `isk` (N), keys only. It finds items whose keys the
//! caller does not know: lists (users, campaigns, the messages to one person, a day's problems) and due work. An item has
//! one `ipk`.

use aws_sdk_dynamodb::{operation::query::builders::QueryFluentBuilder, types::AttributeValue};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{Attributes, StoreError, Table, get_text, named, number, text};

const INDEX: &str = "index";

/// A position in a partition of the index, after which the next page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    isk: String,
    pk: String,
}

/// A text that is not a cursor of this account and this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is not one that an earlier page returned / cursor 不是先前某页返回的值")]
pub struct InvalidCursor;

/// A page of a list, and where the next one begins. A page may be empty and have a next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries.
    pub entries: Vec<T>,
    /// Where the next page begins. `None` after the last page.
    pub next: Option<Cursor>,
}

/// The lists that callers read page by page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// Campaigns.
    Campaigns,
    /// Callbacks that own code has not taken.
    Forwards,
    /// The messages to one person.
    Messages,
    /// The messages of a day that did not arrive.
    Problems,
    /// Scheduled messages that wait.
    Scheduled,
    /// Users whose openid is known.
    Users,
}

impl Table {
    /// Reads the cursor of a page of `list`.
    ///
    /// # Errors
    /// [`InvalidCursor`] when [`Self::cursor_text`] did not write it.
    pub fn parse_cursor(&self, list: List, cursor: &str) -> Result<Cursor, InvalidCursor> {
        Cursor::parse(cursor, &self.prefix_of(list))
    }

    /// Writes the cursor of a page of `list` for a URL.
    #[must_use]
    pub fn cursor_text(&self, list: List, cursor: &Cursor) -> String {
        cursor.to_text(&self.prefix_of(list))
    }

    /// Returns the prefix of the keys of the list's items.
    fn prefix_of(&self, list: List) -> String {
        let kind = match list {
            List::Campaigns => "campaign",
            List::Forwards => "forward",
            List::Messages => "message",
            List::Problems => "problem",
            List::Scheduled => "scheduled",
            List::Users => "user",
        };
        format!("{}#", self.pk(kind))
    }
}

/// A page's size as DynamoDB takes it.
pub(super) fn limit_of(entries: usize) -> i32 {
    i32::try_from(entries).unwrap_or(i32::MAX)
}

impl Cursor {
    /// Reads the place of an item.
    fn of(item: &Attributes) -> Option<Self> {
        Some(Self {
            isk: item.get("isk")?.as_n().ok()?.clone(),
            pk: get_text(item, "pk")?.to_owned(),
        })
    }

    /// Returns the key of the item.
    #[cfg(feature = "client")]
    pub(super) fn pk(&self) -> &str {
        &self.pk
    }

    /// Returns the sort key.
    #[cfg(feature = "client")]
    pub(super) fn at(&self) -> f64 {
        self.isk.parse().unwrap_or_default()
    }

    /// Writes the cursor for a URL. It holds the key of an item without the prefix `prefix`.
    pub(super) fn to_text(&self, prefix: &str) -> String {
        let key = self.pk.strip_prefix(prefix).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(format!("{}#{key}", self.isk))
    }

    /// Reads a cursor that [`Self::to_text`] wrote.
    pub(super) fn parse(cursor: &str, prefix: &str) -> Result<Self, InvalidCursor> {
        let decoded = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| InvalidCursor)?;
        let decoded = String::from_utf8(decoded).map_err(|_| InvalidCursor)?;
        let (isk, key) = decoded.split_once('#').ok_or(InvalidCursor)?;
        let is_number = !isk.is_empty() && isk.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if !is_number || key.is_empty() {
            return Err(InvalidCursor);
        }
        Ok(Self {
            isk: isk.to_owned(),
            pk: format!("{prefix}{key}"),
        })
    }
}

impl Table {
    /// Builds a query of the partition `ipk` from `after` on, oldest first.
    pub(super) fn query_index(&self, ipk: &str, after: Option<&Cursor>) -> QueryFluentBuilder {
        let start = after.map(|cursor| {
            named([
                ("ipk", text(ipk)),
                ("isk", AttributeValue::N(cursor.isk.clone())),
                ("pk", text(&cursor.pk)),
            ])
        });
        self.client
            .query()
            .table_name(&self.name)
            .index_name(INDEX)
            .key_condition_expression("ipk = :ipk")
            .expression_attribute_values(":ipk", text(ipk))
            .set_exclusive_start_key(start)
    }

    /// Runs a query of the index. The index lags behind the table for some milliseconds.
    pub(super) async fn read_keys(&self, query: QueryFluentBuilder) -> Result<Page<String>, StoreError> {
        let Page { entries, next } = self.read_places(query).await?;
        let keys = entries.into_iter().map(|place| place.pk);
        Ok(Page {
            entries: keys.collect(),
            next,
        })
    }

    /// Runs a query of the index, as [`Self::read_keys`], and returns the places of the items too.
    pub(super) async fn read_places(&self, query: QueryFluentBuilder) -> Result<Page<Cursor>, StoreError> {
        let page = query.send().await;
        let page = page.map_err(|error| StoreError::from_sdk("Query", &error))?;
        Ok(Page {
            entries: page.items().iter().filter_map(Cursor::of).collect(),
            next: page.last_evaluated_key().and_then(Cursor::of),
        })
    }

    /// Returns the keys of a page of the partition `ipk`, oldest first.
    pub(super) async fn page_of_keys(
        &self,
        ipk: &str,
        after: Option<&Cursor>,
        limit: i32,
    ) -> Result<Page<String>, StoreError> {
        self.read_keys(self.query_index(ipk, after).limit(limit)).await
    }

    /// Returns the partition of the due items of a `kind`.
    pub(super) fn due(&self, kind: &str) -> String {
        format!("{}#{kind}", self.pk("due"))
    }

    /// Returns the keys, without `prefix`, of a page of the items of a `kind` that are due at `now`, the longest due first.
    pub(super) async fn page_of_due(
        &self,
        kind: &str,
        prefix: &str,
        now: AttributeValue,
        after: Option<&Cursor>,
        limit: i32,
    ) -> Result<Page<String>, StoreError> {
        let query = self
            .query_index(&self.due(kind), after)
            .key_condition_expression("ipk = :ipk AND isk <= :now")
            .expression_attribute_values(":now", now)
            .limit(limit);
        let Page { entries, next } = self.read_keys(query).await?;
        let keys = entries.iter().filter_map(|pk| pk.strip_prefix(prefix));
        Ok(Page {
            entries: keys.map(str::to_owned).collect(),
            next,
        })
    }

    /// Reads the items of a page of keys. `entry` gets each key without `prefix` and its item, and may leave it out.
    pub(super) async fn read_page<T>(
        &self,
        keys: Page<String>,
        prefix: &str,
        entry: impl Fn(&str, &Attributes) -> Option<T>,
    ) -> Result<Page<T>, StoreError> {
        let items = self.read_batch(keys.entries.clone()).await?;
        let entries = keys.entries.iter();
        Ok(Page {
            entries: entries
                .filter_map(|pk| entry(pk.strip_prefix(prefix)?, items.get(pk)?))
                .collect(),
            next: keys.next,
        })
    }
}

/// The attributes that put an item into the partition `ipk`.
pub(super) fn indexed<'a>(ipk: String, isk: impl ToString) -> [(&'a str, AttributeValue); 2] {
    [("ipk", text(ipk)), ("isk", number(isk))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text_and_only_its_text_is_one() {
        let cursor = Cursor {
            isk: "1767225600.123".to_owned(),
            pk: "user#wx1#用户#1".to_owned(),
        };
        assert_eq!(Cursor::parse(&cursor.to_text("user#wx1#"), "user#wx1#"), Ok(cursor));
        for text in [
            "",
            "%",
            "AAAA",
            &URL_SAFE_NO_PAD.encode("x#y"),
            &URL_SAFE_NO_PAD.encode("1#"),
        ] {
            assert_eq!(Cursor::parse(text, "user#wx1#"), Err(InvalidCursor), "{text}");
        }
    }
}
