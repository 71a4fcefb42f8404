//! `scheduled#<appid>#<id>`: a template message to one person that goes out later. The index finds those that are due.
//!
//! ```text
//! waiting -> claimed by a run -> sent, failed, unknown   kept for 30 days
//!         -> cancelled
//!            (crash: the claim expires; a repeat is safe for 9 minutes after the first attempt, then it is unknown)
//! ```

use aws_sdk_dynamodb::types::AttributeValue;

use super::{
    Attributes, StoreError, Table,
    claim::{FREE, MINE},
    get_number, get_text,
    index::{Cursor, Page, indexed},
    is_kept, number, text, written_if,
};
use crate::{api::TemplateMessage, campaign::Recipient, json, names::names};

/// Seconds. How long the outcome is kept.
const KEPT_FOR: i64 = 30 * 24 * 3600;
/// Scheduled messages in a page.
const PAGE: i32 = 100;
/// The kind in the index.
const DUE: &str = "scheduled";

/// The state of a scheduled message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduledState {
    /// The message waits for its time, or is being sent.
    Waiting,
    /// WeChat accepted it.
    Sent,
    /// The message was not sent, and will not be.
    Failed,
    /// WeChat may have accepted the message.
    Unknown,
    /// Somebody cancelled the message.
    Cancelled,
}

/// A scheduled message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledMessage {
    /// What WeChat is sent. `touser` is empty for a user before the first attempt, which resolves the user.
    pub message: TemplateMessage,
    /// The team's id of the user, for a message that names one.
    pub user: Option<String>,
    /// When the message is to go out, in epoch seconds.
    pub send_at: i64,
    /// The name of the key that scheduled it.
    pub key: String,
    /// The digest of the request, to recognise a repeat.
    pub fingerprint: String,
    /// Its state.
    pub state: ScheduledState,
    /// When WeChat was first asked, in epoch seconds, while the outcome is or may become unknown.
    pub asked_at: Option<i64>,
    /// WeChat's id of it.
    pub msgid: Option<String>,
    /// The errcode with which WeChat refused last.
    pub errcode: Option<i64>,
}

/// How an attempt at a scheduled message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduledEnd<'a> {
    /// WeChat accepted it.
    Sent {
        /// The openid that it went to.
        touser: &'a str,
        /// WeChat's id of it.
        msgid: &'a str,
    },
    /// The message will not be sent.
    Failed(Option<i64>),
    /// WeChat may have accepted the message, and a retry is not safe any more.
    Unknown(Option<i64>),
    /// The message is tried again.
    Again {
        /// When, in epoch seconds.
        at: i64,
        /// Whether WeChat may have accepted the message already. The time of the first attempt then stays.
        may_have_landed: bool,
        /// The errcode with which WeChat refused.
        errcode: Option<i64>,
    },
}

names!(ScheduledState {
    Waiting = "waiting",
    Sent = "sent",
    Failed = "failed",
    Unknown = "unknown",
    Cancelled = "cancelled",
});

impl ScheduledMessage {
    /// Reads a scheduled message's item. One that this version cannot read is an error: it is there, and waits.
    fn stored(operation: &'static str, id: &str, item: &Attributes) -> Result<Self, StoreError> {
        let message = Self::from_attributes(item);
        message.ok_or_else(|| StoreError::damaged(operation, format!("the scheduled message {id}")))
    }

    pub(super) fn from_attributes(item: &Attributes) -> Option<Self> {
        let state = get_text(item, "state")?;
        let mut message: TemplateMessage = serde_json::from_str(get_text(item, "message")?).ok()?;
        if let Some(openid) = get_text(item, "touser") {
            openid.clone_into(&mut message.touser);
        }
        // A claim notes its own time, but a run asks WeChat for a user only after it has noted the openid. Without an
        // openid, WeChat was not asked.
        let was_asked = !message.touser.is_empty();
        Some(Self {
            message,
            user: get_text(item, "user").map(str::to_owned),
            send_at: get_number(item, "send_at")?,
            key: get_text(item, "key").unwrap_or_default().to_owned(),
            fingerprint: get_text(item, "fingerprint").unwrap_or_default().to_owned(),
            state: ScheduledState::parse(state)?,
            asked_at: get_number(item, "asked_at").filter(|_| was_asked),
            msgid: get_text(item, "msgid").map(str::to_owned),
            errcode: get_number(item, "errcode"),
        })
    }

    /// The recipient's openid, if it is known already.
    #[must_use]
    pub fn openid(&self) -> Option<&str> {
        Some(&*self.message.touser).filter(|openid| !openid.is_empty())
    }

    /// The recipient, as an entry of an audience.
    #[must_use]
    pub fn recipient(&self) -> Recipient {
        Recipient {
            openid: self.openid().map(str::to_owned),
            user: self.user.clone(),
            ..Recipient::default()
        }
    }
}

impl Table {
    /// Schedules a message. Returns the existing message when the id is taken.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written. The message may be scheduled.
    pub async fn schedule_message(
        &self,
        id: &str,
        scheduled: &ScheduledMessage,
    ) -> Result<Option<ScheduledMessage>, StoreError> {
        let pk = self.scheduled_pk(id);
        let attributes = [
            ("message", text(json::write(&scheduled.message))),
            ("send_at", number(scheduled.send_at)),
            ("key", text(&scheduled.key)),
            ("fingerprint", text(&scheduled.fingerprint)),
            ("state", text(ScheduledState::Waiting.as_str())),
        ];
        let user = scheduled.user.as_ref().map(|user| ("user", text(user)));
        let more = indexed(self.due(DUE), scheduled.send_at).into_iter();
        let put = self.put(&pk, attributes.into_iter().chain(more).chain(user));
        if written_if(
            "PutItem",
            put.condition_expression("attribute_not_exists(pk)").send().await,
        )? {
            return Ok(None);
        }
        let item = self.read(&pk, true).await?;
        item.map(|item| ScheduledMessage::stored("GetItem", id, &item))
            .transpose()
    }

    /// Returns a scheduled message that is kept at `now` (epoch seconds), read consistently.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn scheduled_message(&self, id: &str, now: i64) -> Result<Option<ScheduledMessage>, StoreError> {
        let item = self.read(&self.scheduled_pk(id), true).await?;
        let kept = item.filter(|item| is_kept(item, now));
        kept.map(|item| ScheduledMessage::stored("GetItem", id, &item))
            .transpose()
    }

    /// Cancels a scheduled message that no run has begun to send. Returns whether it is cancelled.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn cancel_scheduled(&self, id: &str, now: i64) -> Result<bool, StoreError> {
        let values = [
            (":waiting", text(ScheduledState::Waiting.as_str())),
            (":cancelled", text(ScheduledState::Cancelled.as_str())),
            (":now", number(now)),
            (":ttl", number(now + KEPT_FOR)),
        ];
        let condition =
            format!("#state = :cancelled OR (#state = :waiting AND attribute_not_exists(asked_at) AND ({FREE}))");
        let update = self.update(
            &self.scheduled_pk(id),
            "SET #state = :cancelled, #ttl = :ttl REMOVE ipk, isk",
            Some(&condition),
            values,
        );
        written_if("UpdateItem", update.send().await)
    }

    /// Returns the ids of a page of messages that are due at `now` (epoch seconds), the longest due first.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn due_scheduled(&self, now: i64, after: Option<&Cursor>) -> Result<Page<String>, StoreError> {
        let prefix = self.scheduled_pk("");
        self.page_of_due(DUE, &prefix, number(now), after, PAGE).await
    }

    /// Returns a page of the messages that wait, with their ids, the first due first.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn page_of_scheduled(
        &self,
        after: Option<&Cursor>,
    ) -> Result<Page<(String, ScheduledMessage)>, StoreError> {
        let keys = self.page_of_keys(&self.due(DUE), after, PAGE).await?;
        let entry = |id: &str, item: &Attributes| {
            let message = ScheduledMessage::from_attributes(item)?;
            // The index lags behind a message that has just been sent or cancelled.
            (message.state == ScheduledState::Waiting).then(|| (id.to_owned(), message))
        };
        self.read_page(keys, &self.scheduled_pk(""), entry).await
    }

    /// Claims a due message for the run `owner` until `until`, and notes `now` as the time of the first attempt unless there was
    /// one. `None` when it is not due any more, or another run was faster.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written. Nothing may be sent then.
    pub async fn claim_scheduled(
        &self,
        id: &str,
        owner: &str,
        now: i64,
        until: i64,
    ) -> Result<Option<ScheduledMessage>, StoreError> {
        let values = [
            (":waiting", text(ScheduledState::Waiting.as_str())),
            (":owner", text(owner)),
            (":now", number(now)),
            (":until", number(until)),
        ];
        let condition = format!("#state = :waiting AND isk <= :now AND ({FREE})");
        let pk = self.scheduled_pk(id);
        let update = self.update(
            &pk,
            "SET #owner = :owner, claim_expires_at = :until, isk = :until, asked_at = if_not_exists(asked_at, :now)",
            Some(&condition),
            values,
        );
        let item = match self.claim(&pk, update).await? {
            Ok(item) => item,
            // The SDK retried the write, because its answer was lost.
            Err(item) if get_text(&item, "owner") == Some(owner) => item,
            Err(_) => return Ok(None),
        };
        ScheduledMessage::stored("UpdateItem", id, &item).map(Some)
    }

    /// Notes that the run `owner` is about to ask WeChat at `now`, for the first time, for a message to a user whose openid
    /// is `openid`. Retries go to the same openid, even if the user is bound to another one by then. Returns `false` when
    /// another run has taken over the claim.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written. Nothing may be sent then.
    pub async fn address_scheduled(&self, id: &str, owner: &str, openid: &str, now: i64) -> Result<bool, StoreError> {
        let update = self.update(
            &self.scheduled_pk(id),
            "SET touser = :touser, asked_at = :now",
            Some(MINE),
            [
                (":touser", text(openid)),
                (":now", number(now)),
                (":owner", text(owner)),
            ],
        );
        written_if("UpdateItem", update.send().await)
    }

    /// Records how the attempt of the run `owner` ended at `now`. One that failed is listed among the day's problems.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written. The message is then due again when the claim ends.
    pub async fn finish_scheduled(
        &self,
        id: &str,
        owner: &str,
        end: ScheduledEnd<'_>,
        now: i64,
    ) -> Result<(), StoreError> {
        let pk = self.scheduled_pk(id);
        let mut values: Vec<(&str, AttributeValue)> = Vec::new();
        let errcode = match end {
            ScheduledEnd::Sent { .. } => None,
            ScheduledEnd::Failed(errcode) | ScheduledEnd::Unknown(errcode) | ScheduledEnd::Again { errcode, .. } => {
                errcode
            }
        };
        let set_errcode = match errcode {
            Some(errcode) => {
                values.push((":errcode", number(errcode)));
                ", errcode = :errcode"
            }
            None => "",
        };
        let ended = |state: ScheduledState| [(":state", text(state.as_str())), (":ttl", number(now + KEPT_FOR))];
        let end_it = "#state = :state, #ttl = :ttl";
        let expression = match end {
            ScheduledEnd::Sent { touser, msgid } => {
                values.extend(ended(ScheduledState::Sent));
                values.extend([(":touser", text(touser)), (":msgid", text(msgid))]);
                format!(
                    "SET {end_it}, touser = :touser, msgid = :msgid \
                     REMOVE ipk, isk, #owner, claim_expires_at, errcode, asked_at"
                )
            }
            ScheduledEnd::Failed(_) => {
                values.extend(ended(ScheduledState::Failed));
                format!("SET {end_it}{set_errcode} REMOVE ipk, isk, #owner, claim_expires_at, asked_at")
            }
            ScheduledEnd::Unknown(_) => {
                values.extend(ended(ScheduledState::Unknown));
                format!("SET {end_it}{set_errcode} REMOVE ipk, isk, #owner, claim_expires_at")
            }
            ScheduledEnd::Again {
                at, may_have_landed, ..
            } => {
                values.push((":at", number(at)));
                let forget = if may_have_landed { "" } else { ", asked_at, touser" };
                format!("SET isk = :at{set_errcode} REMOVE #owner, claim_expires_at{forget}")
            }
        };
        if matches!(end, ScheduledEnd::Failed(_)) {
            self.note_problem(&pk, now).await?;
        }
        self.update_claimed(&pk, owner, &expression, values).await
    }

    pub(super) fn scheduled_pk(&self, id: &str) -> String {
        format!("{}#{id}", self.pk("scheduled"))
    }
}
