//! `refused#<appid>`: the last requests that the webhook refused. They help to find a wrong set-up.

use std::{cmp::Reverse, collections::HashMap, net::IpAddr};

use aws_sdk_dynamodb::types::AttributeValue;

use super::{
    Attributes, StoreError, Table, get_number, get_text, number, text,
    transaction::{ATTEMPTS, contended},
    written_if,
};

const KIND: &str = "refused";
/// Seconds. The lifetime of a refusal: a week.
const KEPT_FOR: i64 = 7 * 24 * 3600;
/// The most refusals in the item. WeChat calls from a few addresses at a time.
const KEPT: usize = 16;

/// Seconds. How long a refusal counts as news: longer than a corrected set-up needs to show up.
pub const REFUSAL_IS_NEWS_FOR: i64 = 3600;

/// The sender of a refused request, as far as the signature proves. The order is significant: a later variant tells more
/// about the set-up, and displaces an earlier one from a full item.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Sender {
    /// Sent no signature: a browser, a scanner.
    Stranger = 0,
    /// Signed with another Token or at an implausible time, or sent what WeChat never sends: a forger, or WeChat while the
    /// set-up is wrong.
    Unproven = 1,
    /// Signed with the Token, in another mode or with another key: WeChat, whose callbacks are being lost.
    WeChat = 2,
}

/// A request that the webhook refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedCallback {
    /// Why the webhook refused. Holds no secret.
    pub cause: String,
    /// The sender, as far as the signature proves.
    pub sender: Sender,
    /// The sender's address.
    pub source: Option<IpAddr>,
    /// When the webhook refused, in epoch seconds.
    pub at: i64,
}

impl RefusedCallback {
    /// Whether the refusal is news at `now`.
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
    /// Records a refused request and replaces an earlier one of the same sender and address. A full item drops the least
    /// telling refusals, so many unsigned requests cannot displace one of WeChat's.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read or written.
    pub async fn record_refused_callback(&self, refused: &RefusedCallback) -> Result<(), StoreError> {
        let pk = self.pk(KIND);
        for _ in 0..ATTEMPTS {
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
            // Optimistic locking: another process may have written the item since.
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
        Err(contended("PutItem"))
    }

    /// Returns the refused requests of the week before `now`, sorted: news first, then by sender, then the latest.
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
