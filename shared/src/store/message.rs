//! `message#<appid>#<msgid>`: the delivery status of a template message.
//! See [WeChat Docs/模板消息](https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Template_Message_Interface.html).

use serde::Serialize;

use super::{
    Attributes, StoreError, Table, get_number, get_text,
    index::{Cursor, Page},
    number, seconds, text, written, written_if,
};
use crate::{digest::logged_openid, message::DeliveryStatus};

/// Seconds. The lifetime of a record: 30 days.
const KEPT_FOR: i64 = 30 * 24 * 3600;
/// The messages that one step of [`Table::forget_messages`] changes.
const FORGOTTEN_AT_ONCE: i32 = 25;

const FORGET: &str = "SET openid_sha256 = :digest REMOVE touser, ipk, isk";

/// The delivery status of a template message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageStatus {
    /// WeChat accepted the message. No receipt has come yet.
    Sent,
    /// The message reached the user.
    Delivered,
    /// The user blocks messages of this account.
    Blocked,
    /// WeChat could not deliver the message.
    Failed,
}

impl From<DeliveryStatus> for MessageStatus {
    fn from(status: DeliveryStatus) -> Self {
        match status {
            DeliveryStatus::Delivered => Self::Delivered,
            DeliveryStatus::Blocked => Self::Blocked,
            DeliveryStatus::FrequencyLimited | DeliveryStatus::Failed => Self::Failed,
        }
    }
}

impl MessageStatus {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Blocked => "blocked",
            Self::Failed => "failed",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Sent, Self::Delivered, Self::Blocked, Self::Failed]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// The record of one message. A receipt may come before the send is recorded, so only the status is always there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRecord {
    /// The recipient's openid.
    pub touser: Option<String>,
    /// The template's id.
    pub template_id: Option<String>,
    /// The delivery status.
    pub status: MessageStatus,
    /// When WeChat accepted the message, in epoch seconds.
    pub sent_at: Option<i64>,
    /// When the receipt came, in epoch seconds.
    pub finished_at: Option<i64>,
    /// WeChat's text for the outcome, such as `failed:user block`.
    pub receipt: Option<String>,
}

/// A delivery receipt (TEMPLATESENDJOBFINISH).
#[derive(Clone, Copy, Debug)]
pub struct Receipt<'a> {
    /// The message's msgid.
    pub msgid: &'a str,
    /// The recipient's openid.
    pub openid: &'a str,
    /// The outcome.
    pub status: MessageStatus,
    /// WeChat's text for the outcome.
    pub words: &'a str,
    /// When the receipt came, in epoch seconds.
    pub at: i64,
}

impl MessageRecord {
    fn from_attributes(item: &Attributes) -> Option<Self> {
        Some(Self {
            touser: get_text(item, "touser").map(str::to_owned),
            template_id: get_text(item, "template_id").map(str::to_owned),
            status: MessageStatus::parse(get_text(item, "status")?)?,
            sent_at: get_number(item, "sent_at"),
            finished_at: get_number(item, "finished_at"),
            receipt: get_text(item, "receipt").map(str::to_owned),
        })
    }
}

impl Table {
    /// Returns a message's record, read consistently. `None` when there is none or it has expired.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn message(&self, msgid: &str, now: i64) -> Result<Option<MessageRecord>, StoreError> {
        let item = self.read(&self.message_pk(msgid), true).await?;
        let alive = item.filter(|item| get_number::<i64>(item, "ttl").is_none_or(|ttl| ttl > now));
        Ok(alive.as_ref().and_then(MessageRecord::from_attributes))
    }

    /// Records that WeChat accepted a message. Keeps a receipt that came first, and the time of the first send: WeChat answers
    /// a retry with the same msgid. `now` is in epoch milliseconds.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn record_sent(&self, msgid: &str, touser: &str, template_id: &str, now: i64) -> Result<(), StoreError> {
        let expression = "SET touser = :touser, template_id = :template_id, #ttl = :ttl, ipk = :ipk, \
                          isk = if_not_exists(isk, :isk), sent_at = if_not_exists(sent_at, :now), \
                          #status = if_not_exists(#status, :sent)";
        let at = now.div_euclid(1000);
        let values = [
            (":touser", text(touser)),
            (":template_id", text(template_id)),
            (":now", number(at)),
            (":ttl", number(at + KEPT_FOR)),
            (":sent", text(MessageStatus::Sent.as_str())),
            (":ipk", text(self.messages_to(touser))),
            (":isk", seconds(now)),
        ];
        let update = self.update(&self.message_pk(msgid), expression, None, values);
        written("UpdateItem", update.send().await)
    }

    /// Records a receipt, and creates the record if the receipt comes before the send is recorded. Returns `false` and changes
    /// nothing when the recipient differs: openids are unique to an account, so the receipt is another account's.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn record_receipt(&self, receipt: Receipt<'_>) -> Result<bool, StoreError> {
        let expression = "SET #status = :status, finished_at = :at, receipt = :words, #ttl = if_not_exists(#ttl, :ttl)";
        let condition = "attribute_not_exists(touser) OR touser = :openid";
        let values = [
            (":status", text(receipt.status.as_str())),
            (":openid", text(receipt.openid)),
            (":at", number(receipt.at)),
            (":words", text(receipt.words)),
            (":ttl", number(receipt.at + KEPT_FOR)),
        ];
        let update = self.update(&self.message_pk(receipt.msgid), expression, Some(condition), values);
        written_if("UpdateItem", update.send().await)
    }

    /// Removes `openid` from a few records of messages to this person; its digest stays, by which log lines name the person.
    /// Returns where to go on, or `None` when none is left.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read or written. Some records may have changed.
    pub async fn forget_messages(&self, openid: &str, after: Option<&Cursor>) -> Result<Option<Cursor>, StoreError> {
        let Page { entries: pks, next } = self
            .page_of_keys(&self.messages_to(openid), after, FORGOTTEN_AT_ONCE)
            .await?;
        let digest = logged_openid(openid);
        for pk in &pks {
            let values = [(":digest", text(&digest)), (":openid", text(openid))];
            let update = self.update(pk, FORGET, Some("touser = :openid"), values);
            written_if("UpdateItem", update.send().await)?;
        }
        Ok(next)
    }

    /// The partition of the index with the messages to one person.
    fn messages_to(&self, openid: &str) -> String {
        format!("{}#{openid}", self.pk("to"))
    }

    fn message_pk(&self, msgid: &str) -> String {
        format!("{}#{msgid}", self.pk("message"))
    }
}
