//! `problem#<appid>#<kind>#<id>`: a message that did not arrive. It holds nothing but its place in the index, in the day's
//! partitions `problems#<appid>#<day>#<shard>`, and the key of what it is about: `message#…` or `scheduled#…`.

#[cfg(feature = "client")]
use std::cmp::Ordering;

#[cfg(feature = "client")]
use futures_util::future::try_join_all;

#[cfg(feature = "client")]
use super::{
    MessageRecord, ScheduledMessage, ScheduledState,
    index::{Cursor, Page, limit_of},
    is_kept,
};
use super::{StoreError, Table, index::indexed, message::KEPT_FOR, number, written_if};
use crate::{clock::beijing_day, digest};

/// Partitions of a day: a campaign that fails may bring hundreds of problems a second.
const SHARDS: u32 = 4;
/// Problems in a page.
#[cfg(feature = "client")]
pub const PROBLEMS_PAGE: usize = 100;

/// A message that did not arrive.
#[cfg(feature = "client")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProblemRecord {
    /// WeChat accepted it, and its receipt says that it was blocked or failed. With its msgid.
    Message(String, MessageRecord),
    /// A scheduled message that was not sent. With its id.
    Scheduled(String, ScheduledMessage),
}

impl Table {
    /// Lists the message or scheduled message with the key `pk` among the problems of the day of `at` (epoch seconds),
    /// unless it is listed already.
    pub(super) async fn note_problem(&self, pk: &str, at: i64) -> Result<(), StoreError> {
        let digest = digest::sha256(pk.as_bytes());
        let [shard, high, low, ..] = digest.map(u32::from);
        let partition = self.problems_of(&beijing_day(at), shard % SHARDS);
        // The fraction makes places almost unique, because the pages of all partitions continue after one place.
        let place = format!("{at}.{:05}", high * 256 + low);
        let attributes = indexed(partition, place)
            .into_iter()
            .chain([("ttl", number(at + KEPT_FOR))]);
        let put = self
            .put(&self.problem_pk(pk), attributes)
            .condition_expression("attribute_not_exists(pk)");
        written_if("PutItem", put.send().await).map(|_| ())
    }

    fn problems_of(&self, day: &str, shard: u32) -> String {
        format!("{}#{day}#{shard}", self.pk("problems"))
    }

    fn problem_pk(&self, of: &str) -> String {
        format!("{}#{of}", self.pk("problem"))
    }
}

#[cfg(feature = "client")]
impl Table {
    /// Returns a page of the problems of a day in Beijing (`YYYY-MM-DD`) that are kept at `now` (epoch seconds), the newest
    /// first.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn page_of_problems(
        &self,
        day: &str,
        after: Option<&Cursor>,
        now: i64,
    ) -> Result<Page<ProblemRecord>, StoreError> {
        let mut found: Vec<Cursor> = Vec::new();
        let mut has_more = false;
        let shards = (0..SHARDS).map(|shard| {
            let query = self
                .query_index(&self.problems_of(day, shard), after)
                .scan_index_forward(false)
                .limit(limit_of(PROBLEMS_PAGE));
            self.read_places(query)
        });
        for page in try_join_all(shards).await? {
            found.extend(page.entries);
            has_more |= page.next.is_some();
        }
        found.sort_by(newest_first);
        has_more |= found.len() > PROBLEMS_PAGE;
        found.truncate(PROBLEMS_PAGE);
        let next = found.last().filter(|_| has_more).cloned();
        Ok(Page {
            entries: self.read_problems(&found, now).await?,
            next,
        })
    }

    async fn read_problems(&self, places: &[Cursor], now: i64) -> Result<Vec<ProblemRecord>, StoreError> {
        let prefix = self.problem_pk("");
        let pks: Vec<String> = places
            .iter()
            .filter_map(|place| place.pk().strip_prefix(&prefix).map(str::to_owned))
            .collect();
        let items = self.read_batch(pks.clone()).await?;
        let (messages, scheduled) = (self.message_pk(""), self.scheduled_pk(""));
        let problems = pks.iter().filter_map(|pk| {
            let item = items.get(pk).filter(|item| is_kept(item, now))?;
            match (pk.strip_prefix(&messages), pk.strip_prefix(&scheduled)) {
                // A second receipt notes a problem too, and the first one counts.
                (Some(msgid), _) => MessageRecord::from_attributes(item)
                    .filter(|message| message.status.is_problem())
                    .map(|message| ProblemRecord::Message(msgid.to_owned(), message)),
                // The problem is noted before the message's end is written, and that write may have failed.
                (_, Some(id)) => ScheduledMessage::from_attributes(item)
                    .filter(|message| message.state == ScheduledState::Failed)
                    .map(|message| ProblemRecord::Scheduled(id.to_owned(), message)),
                _ => None,
            }
        });
        Ok(problems.collect())
    }
}

#[cfg(feature = "client")]
/// Orders two places as a query from the newest on does: by time, then by key.
fn newest_first(a: &Cursor, b: &Cursor) -> Ordering {
    b.at().total_cmp(&a.at()).then_with(|| b.pk().cmp(a.pk()))
}
