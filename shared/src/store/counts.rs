//! `relay#<appid>#<day>`: how many calls the relay has passed on for each key on a day in Beijing.
//! `deliveries#<appid>#<day>`: how many messages have arrived on a day, and how many have not.

use std::collections::BTreeMap;

use super::{Attributes, MessageStatus, StoreError, Table, get_number, number, written};
use crate::clock::beijing_day;

/// Seconds for which a day's numbers are kept.
const KEPT: i64 = 31 * DAY;
const DAY: i64 = 24 * 3600;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// The relay's calls.
    Relayed,
    /// WeChat's receipts for messages.
    Deliveries,
}

impl Counted {
    /// Returns the first part of the items' keys.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Relayed => "relay",
            Self::Deliveries => "deliveries",
        }
    }
}

/// The calls of one key on one day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelayedCalls {
    /// The id of the key, or `root` for `API_KEYS`.
    pub key: String,
    /// The calls.
    pub calls: u64,
    /// How many of them WeChat refused, or did not answer.
    pub failed: u64,
}

/// The receipts of one day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deliveries {
    /// The day in Beijing, `YYYY-MM-DD`.
    pub day: String,
    /// Messages that arrived.
    pub delivered: u64,
    /// Messages that their recipients block.
    pub blocked: u64,
    /// Messages that failed.
    pub failed: u64,
}

impl Table {
    /// Adds `counts` to those of `day`, at `now` in epoch seconds. Names are ASCII letters, digits and `_`. An update that DynamoDB
    /// carries out twice, because its answer was lost, counts twice.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written. The counts may be added all the same.
    pub async fn add_counts(
        &self,
        kind: Counted,
        day: &str,
        counts: &BTreeMap<String, u64>,
        now: i64,
    ) -> Result<(), StoreError> {
        let added: Vec<_> = counts.keys().map(|name| format!("#{name} :{name}")).collect();
        let mut values: Vec<_> = counts
            .iter()
            .map(|(name, count)| (format!(":{name}"), number(count)))
            .collect();
        values.push((":ttl".to_owned(), number(now + KEPT)));
        let expression = format!("SET #ttl = :ttl ADD {}", added.join(", "));
        let values = values.iter().map(|(name, value)| (name.as_str(), value.clone()));
        let update = self.update(&self.counts_pk(kind, day), &expression, None, values);
        written("UpdateItem", update.send().await)
    }

    /// Returns the relay's calls of `day`, the busiest key first.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn relayed_calls(&self, day: &str) -> Result<Vec<RelayedCalls>, StoreError> {
        let item = self
            .read(&self.counts_pk(Counted::Relayed, day), false)
            .await?
            .unwrap_or_default();
        let keys = item.keys().filter_map(|name| name.strip_prefix("calls_"));
        let mut counted: Vec<_> = keys
            .map(|key| RelayedCalls {
                key: key.to_owned(),
                calls: count(&item, &format!("calls_{key}")),
                failed: count(&item, &format!("failed_{key}")),
            })
            .collect();
        counted.sort_by(|one, other| (other.calls, &one.key).cmp(&(one.calls, &other.key)));
        Ok(counted)
    }

    /// Returns the receipts of each of the last `days`, at most 100, the oldest first. `now` is in epoch seconds.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn deliveries(&self, days: u8, now: i64) -> Result<Vec<Deliveries>, StoreError> {
        let days: Vec<_> = (0..i64::from(days))
            .rev()
            .map(|ago| beijing_day(now - ago * DAY))
            .collect();
        let pks: Vec<_> = days
            .iter()
            .map(|day| self.counts_pk(Counted::Deliveries, day))
            .collect();
        let items = self.read_batch(pks.clone()).await?;
        let none = Attributes::new();
        let read = days.into_iter().zip(pks).map(|(day, pk)| {
            let item = items.get(&pk).unwrap_or(&none);
            let of = |status: MessageStatus| count(item, status.as_str());
            Deliveries {
                day,
                delivered: of(MessageStatus::Delivered),
                blocked: of(MessageStatus::Blocked),
                failed: of(MessageStatus::Failed),
            }
        });
        Ok(read.collect())
    }

    fn counts_pk(&self, kind: Counted, day: &str) -> String {
        format!("{}#{day}", self.pk(kind.as_str()))
    }
}

fn count(item: &Attributes, name: &str) -> u64 {
    get_number(item, name).unwrap_or_default()
}
