//! `refused#<appid>`: the last request at the webhook that was not accepted as WeChat's, for whoever sets the account up.

use super::{StoreError, Table, get_number, get_text, number, text, written_if};

/// The record is kept this long, in seconds: a week.
const KEPT_FOR: i64 = 7 * 24 * 3600;

/// Seconds for which a refusal is not replaced by one that tells less.
const TELLS_MORE_FOR: i64 = 600;

/// Who had a request refused, by how much that tells of the set-up: the least first, as the table compares them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// When, in epoch seconds.
    pub at: i64,
}

impl Table {
    /// Records a refused request in place of the last one, unless that tells more and is younger than ten minutes.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn record_refused_callback(&self, app_id: &str, refused: &RefusedCallback) -> Result<(), StoreError> {
        let outcome = self
            .client
            .put_item()
            .table_name(&self.name)
            .item("pk", text(format!("refused#{app_id}")))
            .item("cause", text(&refused.cause))
            .item("sender", number(refused.sender as u8))
            .item("refused_at", number(refused.at))
            .item("ttl", number(refused.at + KEPT_FOR))
            .condition_expression("attribute_not_exists(sender) OR sender <= :sender OR refused_at <= :old")
            .expression_attribute_values(":sender", number(refused.sender as u8))
            .expression_attribute_values(":old", number(refused.at - TELLS_MORE_FOR))
            .send()
            .await;
        written_if("PutItem", outcome).map(|_| ())
    }

    /// The last refused request of the week before `now`.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn refused_callback(&self, app_id: &str, now: i64) -> Result<Option<RefusedCallback>, StoreError> {
        let item = self.read(&format!("refused#{app_id}"), false).await?;
        let refused = item.and_then(|item| {
            Some(RefusedCallback {
                cause: get_text(&item, "cause")?.to_owned(),
                sender: match get_number(&item, "sender") {
                    Some(2) => Sender::WeChat,
                    Some(1) => Sender::Unproven,
                    _ => Sender::Stranger,
                },
                at: get_number(&item, "refused_at")?,
            })
        });
        Ok(refused.filter(|refused| now - refused.at < KEPT_FOR))
    }
}
