//! `message#<appid>#<msgid>`: the delivery status of a template message. The index finds the messages to one person, by the
//! time of the send.
//! See [WeChat Docs/模板消息](https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Template_Message_Interface.html).

use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;

use super::{
    Attributes, StoreError, Table, get_number, get_text,
    index::{Cursor, Page, indexed, limit_of},
    is_kept, number, seconds, text,
    transaction::{ATTEMPTS, contended},
    written, written_if,
};
use crate::{digest::logged_openid, message::DeliveryStatus, names::names};

/// Seconds. The lifetime of a record: 30 days.
pub(super) const KEPT_FOR: i64 = 30 * 24 * 3600;
/// Messages in a page of a person's history.
pub const MESSAGES_PAGE: usize = 100;
/// Seconds. How long after the first attempt a receipt without a record can be the one of a lost answer.
const RECEIPT_COMES_WITHIN: i64 = 15 * 60;
/// Seconds by which the clocks of two processes may differ.
const CLOCK_SKEW: i64 = 60;
/// The messages that one step of [`Table::forget_messages`] changes.
const FORGOTTEN_AT_ONCE: i32 = 25;

const FORGET: &str = "SET openid_sha256 = :digest REMOVE touser, ipk, isk";

/// The delivery status of a template message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Whether the message did not arrive.
    #[must_use]
    pub const fn is_problem(self) -> bool {
        matches!(self, Self::Blocked | Self::Failed)
    }
}

names!(MessageStatus {
    Sent = "sent",
    Delivered = "delivered",
    Blocked = "blocked",
    Failed = "failed",
});

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
    /// The id of the campaign that the message belongs to.
    pub campaign: Option<String>,
}

/// A message that WeChat accepted.
#[derive(Clone, Copy, Debug)]
pub struct SentMessage<'a> {
    /// WeChat's id of it.
    pub msgid: &'a str,
    /// The recipient's openid.
    pub touser: &'a str,
    /// The template's id.
    pub template_id: &'a str,
    /// The id of the campaign that it belongs to.
    pub campaign: Option<&'a str>,
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

/// The result of recording a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The receipt is recorded now.
    Now,
    /// An earlier delivery of the receipt was recorded.
    Before,
    /// The receipt is another account's: the recipient of the message differs, and openids are unique to an account.
    No,
}

impl Recorded {
    /// Whether it is recorded, now or before.
    #[must_use]
    pub fn is_recorded(self) -> bool {
        self != Self::No
    }
}

impl MessageRecord {
    pub(super) fn from_attributes(item: &Attributes) -> Option<Self> {
        Some(Self {
            touser: get_text(item, "touser").map(str::to_owned),
            template_id: get_text(item, "template_id").map(str::to_owned),
            status: MessageStatus::parse(get_text(item, "status")?)?,
            sent_at: get_number(item, "sent_at"),
            finished_at: get_number(item, "finished_at"),
            receipt: get_text(item, "receipt").map(str::to_owned),
            campaign: get_text(item, "campaign").map(str::to_owned),
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
        let kept = item.filter(|item| is_kept(item, now));
        Ok(kept.as_ref().and_then(MessageRecord::from_attributes))
    }

    /// Returns those of at most 100 messages that have a record, by msgid, in one read.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn messages(&self, msgids: &[&str]) -> Result<Vec<(String, MessageRecord)>, StoreError> {
        let entries = msgids.iter().map(|msgid| self.message_pk(msgid)).collect();
        let page = self.read_messages(Page { entries, next: None }).await?;
        Ok(page.entries)
    }

    /// Returns a page of the messages to one person at `now` (epoch seconds), the newest first, by msgid.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn page_of_messages(
        &self,
        openid: &str,
        after: Option<&Cursor>,
        now: i64,
    ) -> Result<Page<(String, MessageRecord)>, StoreError> {
        let limit = limit_of(MESSAGES_PAGE);
        let query = self.query_index(&self.messages_to(openid), after).limit(limit);
        let keys = self.read_keys(query.scan_index_forward(false)).await?;
        let mut page = self.read_messages(keys).await?;
        page.entries.retain(|(_, message)| {
            let at = message.sent_at.or(message.finished_at);
            at.is_some_and(|at| at + KEPT_FOR > now)
        });
        Ok(page)
    }

    /// Returns the message of a campaign to one person when the answer to the send was lost. `since` (epoch seconds) is when
    /// WeChat was first asked. Prefers a message that a run recorded to one of which only the receipt is known.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn find_message(
        &self,
        campaign: &str,
        openid: &str,
        since: i64,
    ) -> Result<Option<(String, MessageRecord)>, StoreError> {
        let query = self
            .query_index(&self.messages_to(openid), None)
            .key_condition_expression("ipk = :ipk AND isk >= :since")
            .expression_attribute_values(":since", number(since - CLOCK_SKEW))
            .limit(limit_of(MESSAGES_PAGE));
        let found = self.read_messages(self.read_keys(query).await?).await?.entries;
        let is_recorded = |(_, message): &&(String, MessageRecord)| message.campaign.as_deref() == Some(campaign);
        let is_receipt_alone = |(_, message): &&(String, MessageRecord)| {
            let came = message.finished_at.unwrap_or(i64::MAX);
            message.template_id.is_none() && came <= since + RECEIPT_COMES_WITHIN
        };
        let recorded = found.iter().find(is_recorded);
        Ok(recorded.or_else(|| found.iter().find(is_receipt_alone)).cloned())
    }

    /// Reads records, in the order of `keys`.
    async fn read_messages(&self, keys: Page<String>) -> Result<Page<(String, MessageRecord)>, StoreError> {
        let entry = |msgid: &str, item: &Attributes| Some((msgid.to_owned(), MessageRecord::from_attributes(item)?));
        self.read_page(keys, &self.message_pk(""), entry).await
    }

    /// Records that WeChat accepted a message. Keeps a receipt that came first, and the time of the first send: WeChat answers
    /// a retry with the same msgid.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn record_sent(&self, sent: SentMessage<'_>, now_millis: i64) -> Result<(), StoreError> {
        let expression = "SET touser = :touser, template_id = :template_id, #ttl = :ttl, ipk = :ipk, \
                          isk = if_not_exists(isk, :isk), sent_at = if_not_exists(sent_at, :now), \
                          #status = if_not_exists(#status, :sent)";
        let at = now_millis.div_euclid(1000);
        let mut values = vec![
            (":touser", text(sent.touser)),
            (":template_id", text(sent.template_id)),
            (":now", number(at)),
            (":ttl", number(at + KEPT_FOR)),
            (":sent", text(MessageStatus::Sent.as_str())),
            (":ipk", text(self.messages_to(sent.touser))),
            (":isk", seconds(now_millis)),
        ];
        let of_campaign = sent.campaign.map(|campaign| {
            values.push((":campaign", text(campaign)));
            format!("{expression}, campaign = :campaign")
        });
        let expression = of_campaign.as_deref().unwrap_or(expression);
        let update = self.update(&self.message_pk(sent.msgid), expression, None, values);
        written("UpdateItem", update.send().await)
    }

    /// Records a receipt, and creates the record if the receipt comes before the send is recorded. A message that did not arrive
    /// is listed among the problems of its day.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn record_receipt(&self, receipt: Receipt<'_>) -> Result<Recorded, StoreError> {
        let pk = self.message_pk(receipt.msgid);
        let recorded = self.write_receipt(&pk, receipt).await?;
        if recorded.is_recorded() && receipt.status.is_problem() {
            self.note_problem(&pk, receipt.at).await?;
        }
        Ok(recorded)
    }

    /// Writes a receipt into the record of its message, unless it has one. In the usual order of events this is one write.
    async fn write_receipt(&self, pk: &str, receipt: Receipt<'_>) -> Result<Recorded, StoreError> {
        const SET: &str = "SET #status = :status, finished_at = :at, receipt = :words";
        let values = || {
            [
                (":status", text(receipt.status.as_str())),
                (":at", number(receipt.at)),
                (":words", text(receipt.words)),
            ]
        };
        let is_recipient = (":openid", text(receipt.openid));
        let condition = "touser = :openid AND attribute_not_exists(finished_at)";
        for _ in 0..ATTEMPTS {
            let update = self
                .update(
                    pk,
                    SET,
                    Some(condition),
                    values().into_iter().chain([is_recipient.clone()]),
                )
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            let Err(error) = update.send().await else {
                return Ok(Recorded::Now);
            };
            let item = self.refused_update(pk, &error).await?;
            if let Some(touser) = get_text(&item, "touser") {
                if touser != receipt.openid {
                    return Ok(Recorded::No);
                }
                if item.contains_key("finished_at") {
                    return Ok(Recorded::Before);
                }
                // The send was recorded after the refusal.
                continue;
            }
            if !item.is_empty() {
                // Its recipient asked to be forgotten.
                let condition = "attribute_not_exists(touser) AND attribute_not_exists(finished_at)";
                let update = self.update(pk, SET, Some(condition), values());
                let is_new = written_if("UpdateItem", update.send().await)?;
                return Ok(if is_new { Recorded::Now } else { Recorded::Before });
            }
            let created = [
                ("status", text(receipt.status.as_str())),
                ("finished_at", number(receipt.at)),
                ("receipt", text(receipt.words)),
                ("touser", text(receipt.openid)),
                ("ttl", number(receipt.at + KEPT_FOR)),
            ];
            let place = indexed(self.messages_to(receipt.openid), receipt.at).into_iter();
            let put = self
                .put(pk, created.into_iter().chain(place))
                .condition_expression("attribute_not_exists(pk)");
            if written_if("PutItem", put.send().await)? {
                return Ok(Recorded::Now);
            }
            // The send was recorded meanwhile.
        }
        Err(contended("UpdateItem"))
    }

    /// Removes `openid` from a few records of messages to this person. The digest that log lines show stays. Returns where
    /// to continue, or `None` when no record is left.
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

    pub(super) fn message_pk(&self, msgid: &str) -> String {
        format!("{}#{msgid}", self.pk("message"))
    }
}
