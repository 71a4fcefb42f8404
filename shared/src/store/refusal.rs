//! `refused#<appid>`: the last requests at the webhook that were not accepted as WeChat's, for whoever sets the account up.

use std::{cmp::Reverse, collections::HashMap, net::IpAddr};

use aws_sdk_dynamodb::types::AttributeValue;

use super::{Attributes, StoreError, Table, get_number, get_text, number, text, written_if};

const KIND: &str = "refused";
/// Seconds: a week.
const KEPT_FOR: i64 = 7 * 24 * 3600;
/// Refusals that are kept. WeChat calls from a few addresses at a time.
const KEPT: usize = 16;

/// Seconds for which a refusal is news: longer than a mended set-up takes to show that it is.
pub const REFUSAL_IS_NEWS_FOR: i64 = 3600;

/// Who had a request refused, by how much that says about the set-up, the least first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Sender {
    /// Has signed nothing: a browser, a scanner.
    Stranger = 0,
    /// Has signed with another Token, or at another time, or sends what WeChat does not: a forger, or WeChat before the set-up
    /// is right.
    Unproven = 1,
    /// Has signed with the Token, and sends in another mode or with another key: WeChat, whose callbacks are then lost.
    WeChat = 2,
}

/// A request that the webhook refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedCallback {
    /// Why, in words that name no secret.
    pub cause: String,
    /// Who sent it, as far as the signature tells.
    pub sender: Sender,
    /// The address that it came from.
    pub source: Option<IpAddr>,
    /// When, in epoch seconds.
    pub at: i64,
}

impl RefusedCallback {
    /// Whether it is news at `now`.
    #[must_use]
    pub const fn is_news(&self, now: i64) -> bool {
        now - self.at < REFUSAL_IS_NEWS_FOR
    }

    fn from_attributes(item: &Attributes) -> Option<Self> {
        Some(Self {
            cause: get_text(item, "cause")?.to_owned(),
            sender: match get_number(item, "sender") {
                Some(2) => Sender::WeChat,
                Some(1) => Sender::Unproven,
                _ => Sender::Stranger,
            },
            source: get_text(item, "source").and_then(|source| source.parse().ok()),
            at: get_number(item, "refused_at")?,
        })
    }

    fn to_attributes(&self) -> AttributeValue {
        let mut item = HashMap::from([
            ("cause".to_owned(), text(&self.cause)),
            ("sender".to_owned(), number(self.sender as u8)),
            ("refused_at".to_owned(), number(self.at)),
        ]);
        item.extend(
            self.source
                .map(|source| ("source".to_owned(), text(source.to_string()))),
        );
        AttributeValue::M(item)
    }
}

impl Table {
    /// Records a refused request beside the earlier ones, in place of one from the same sender. When there are too many, those
    /// that say least go, so that nobody hides WeChat's by many of their own that are not signed.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read or written.
    pub async fn record_refused_callback(&self, refused: &RefusedCallback) -> Result<(), StoreError> {
        let pk = self.pk(KIND);
        loop {
            let item = self.read(&pk, true).await?.unwrap_or_default();
            let revision: u64 = get_number(&item, "revision").unwrap_or(0);
            let mut refusals = refusals(&item, refused.at);
            refusals.retain(|other| (other.source, other.sender) != (refused.source, refused.sender));
            refusals.push(refused.clone());
            most_telling_first(&mut refusals, refused.at);
            refusals.truncate(KEPT);
            let refusals = refusals.iter().map(RefusedCallback::to_attributes).collect();
            let attributes = [
                ("refusals", AttributeValue::L(refusals)),
                ("revision", number(revision + 1)),
                ("ttl", number(refused.at + KEPT_FOR)),
            ];
            let put = self.put(&pk, attributes);
            // Another process may have recorded one since.
            let put = match item.get("revision") {
                Some(read) => put
                    .condition_expression("revision = :read")
                    .expression_attribute_values(":read", read.clone()),
                None => put.condition_expression("attribute_not_exists(revision)"),
            };
            if written_if("PutItem", put.send().await)? {
                return Ok(());
            }
        }
    }

    /// The refused requests of the week before `now`: those that are news first, by their senders, and the latest first.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn refused_callbacks(&self, now: i64) -> Result<Vec<RefusedCallback>, StoreError> {
        let item = self.read(&self.pk(KIND), false).await?.unwrap_or_default();
        let mut refusals = refusals(&item, now);
        most_telling_first(&mut refusals, now);
        Ok(refusals)
    }
}

fn refusals(item: &Attributes, now: i64) -> Vec<RefusedCallback> {
    let refusals = item
        .get("refusals")
        .and_then(|list| list.as_l().ok())
        .into_iter()
        .flatten();
    refusals
        .filter_map(|refusal| RefusedCallback::from_attributes(refusal.as_m().ok()?))
        .filter(|refusal| now - refusal.at < KEPT_FOR)
        .collect()
}

fn most_telling_first(refusals: &mut [RefusedCallback], now: i64) {
    refusals.sort_by_key(|refused| {
        let sender = refused.is_news(now).then_some(refused.sender);
        Reverse((sender, refused.at))
    });
}
