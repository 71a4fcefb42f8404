//! `relay#<appid>#<day>`: how many calls the relay has passed on for each key on a day in Beijing.

use super::{StoreError, Table, get_number, number, written};

/// Seconds for which a day's numbers are kept.
const KEPT: i64 = 30 * 24 * 3600;

/// The calls of one key on one day. For people: an update that DynamoDB carries out twice, because its answer was lost, counts
/// twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelayedCalls {
    /// The id of the key, or `root` for `API_KEYS`.
    pub key: String,
    /// The calls.
    pub calls: u64,
    /// How many of them WeChat refused, or did not answer.
    pub failed: u64,
}

impl Table {
    /// Adds `counted` to the calls of `day`, at `now` in epoch seconds. Ids of keys are letters and digits.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written. The calls may be counted all the same.
    pub async fn add_relayed_calls(&self, day: &str, counted: &[RelayedCalls], now: i64) -> Result<(), StoreError> {
        let mut added = Vec::new();
        let mut values = vec![(":ttl".to_owned(), number(now + KEPT))];
        for (index, RelayedCalls { key, calls, failed }) in counted.iter().enumerate() {
            for (name, count) in [("calls", calls), ("failed", failed)] {
                added.push(format!("#{name}_{key} :{name}{index}"));
                values.push((format!(":{name}{index}"), number(count)));
            }
        }
        let expression = format!("SET #ttl = :ttl ADD {}", added.join(", "));
        let values = values.iter().map(|(name, value)| (name.as_str(), value.clone()));
        let update = self.update(&self.relayed_pk(day), &expression, None, values);
        written("UpdateItem", update.send().await)
    }

    /// Returns the calls of `day`, the busiest key first.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn relayed_calls(&self, day: &str) -> Result<Vec<RelayedCalls>, StoreError> {
        let item = self.read(&self.relayed_pk(day), false).await?.unwrap_or_default();
        let keys = item.keys().filter_map(|name| name.strip_prefix("calls_"));
        let read = |name: &str, key: &str| get_number(&item, &format!("{name}_{key}")).unwrap_or_default();
        let mut counted: Vec<_> = keys
            .map(|key| RelayedCalls {
                key: key.to_owned(),
                calls: read("calls", key),
                failed: read("failed", key),
            })
            .collect();
        counted.sort_by(|one, other| (other.calls, &one.key).cmp(&(one.calls, &other.key)));
        Ok(counted)
    }

    fn relayed_pk(&self, day: &str) -> String {
        format!("{}#{day}", self.pk("relay"))
    }
}
