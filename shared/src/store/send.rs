//! `send#<appid>#<caller>#<idempotency key>`: a send that carries an `Idempotency-Key` happens once.
//!
//! ```text
//! claim -> in_progress -> done        retries get the recorded answer, for a day
//!                      -> refused     WeChat accepted nothing: a retry sends again
//!                      -> (no item)   WeChat was not asked: the key is unused
//!                      -> open        the state of each recipient is recorded: a retry sends to the rest
//!                      -> (crash)     the claim expires: unsettled recipients are unknown since the run began
//! ```
//!
//! The SDK retries a write whose answer was lost, and the first attempt may land late, so every write recognises its own run
//! by the owner. A late claim never changes an item that is done or open. After `refused`, or without an item, it takes the
//! key and expires by itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Attributes, StoreError, Table,
    claim::{MINE, retry_after},
    get_number, get_text, number, text,
};
use crate::json;

/// Seconds. The lifetime of a key: 24 hours.
const REMEMBERED_FOR: i64 = 24 * 3600;
/// Seconds after which a claim expires: longer than a request may take, plus some clock skew.
const CLAIMED_FOR: i64 = 35;
/// Seconds. The longest `Retry-After`: most sends end within 2 s, and only a crashed one holds its claim until it expires.
const ASK_AGAIN_WITHIN: i64 = 5;

/// A send as the claim sees it.
#[derive(Clone, Copy, Debug)]
pub struct SendRequest<'a> {
    /// The namespace of this caller's keys.
    pub caller: &'a str,
    /// The caller's `Idempotency-Key`.
    pub key: &'a str,
    /// A digest of the request's body.
    pub fingerprint: &'a str,
    /// The name of this run.
    pub owner: &'a str,
}

/// The recorded answer to a finished send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// The result of a claim: whether this run may send.
#[derive(Clone, Debug, PartialEq)]
pub enum SendClaim {
    /// This run may send to the recipients whom earlier runs did not settle.
    Won(SendState),
    /// The send is done, with this answer.
    Done(RecordedAnswer),
    /// Another run is sending.
    InProgress {
        /// Seconds after which the caller should ask again.
        retry_after: i64,
    },
    /// The key was used with another body.
    OtherBody,
}

/// The state that earlier runs under a key left. Empty for an unused key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SendState {
    /// The recipients' states, by openid.
    recipients: BTreeMap<String, RecipientState>,
    /// When a crashed run began. Recipients without a state may have been sent the message since then.
    crashed_run_began: Option<i64>,
}

impl SendState {
    /// Returns the state of `touser`. `None` when WeChat was not asked to send to them.
    #[must_use]
    pub fn of(&self, touser: &str) -> Option<RecipientState> {
        let known = self.recipients.get(touser).cloned();
        known.or_else(|| self.crashed_run_began.map(|since| RecipientState::Unknown { since }))
    }
}

/// The state of one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RecipientState {
    /// WeChat accepted the message, or refused this recipient.
    Settled {
        /// The result that the caller got, and gets again.
        result: Value,
    },
    /// WeChat may have accepted the message.
    Unknown {
        /// When WeChat may first have been asked, in epoch seconds.
        since: i64,
    },
}

/// How a send ended.
#[derive(Clone, Copy, Debug)]
pub enum SendOutcome<'a> {
    /// Every recipient is settled and WeChat accepted at least one message. The answer is recorded.
    Done(u16, &'a str),
    /// WeChat accepted nothing.
    Refused,
    /// WeChat was not asked. The item is deleted.
    NotAttempted,
    /// A retry can complete the send. WeChat was not asked for absent recipients.
    Open(&'a BTreeMap<String, RecipientState>),
}

/// What a claim may take over from earlier runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takeover {
    /// Nothing: earlier runs left no state.
    Nothing,
    /// The state of an open or crashed run.
    Open,
}

impl Table {
    /// Claims a send.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written. The caller must then send nothing.
    pub async fn claim_send(&self, request: &SendRequest<'_>, now: i64) -> Result<SendClaim, StoreError> {
        let Err(existing) = self.take_send(request, now, Takeover::Nothing).await? else {
            return Ok(SendClaim::Won(SendState::default()));
        };
        if !is_abandoned(&existing, request, now) {
            return Ok(read_claim(&existing, request, now));
        }
        match self.take_send(request, now, Takeover::Open).await? {
            Ok(item) => read_state(&item, now).map(SendClaim::Won),
            Err(item) => Ok(read_claim(&item, request, now)),
        }
    }

    /// Tries to claim the item. Returns the claimed item, or as `Err` the item that another run holds.
    async fn take_send(
        &self,
        request: &SendRequest<'_>,
        now: i64,
        takeover: Takeover,
    ) -> Result<Result<Attributes, Attributes>, StoreError> {
        let (started, condition) = match takeover {
            Takeover::Nothing => (
                "started_at = :now REMOVE answer, answer_status, recipients",
                "attribute_not_exists(pk) OR #ttl <= :now OR (fingerprint = :fingerprint AND #state = :refused) \
                 OR (#owner = :owner AND #state = :in_progress)",
            ),
            // A remaining `started_at` is that of a crashed run.
            Takeover::Open => (
                "started_at = if_not_exists(started_at, :now)",
                "#state = :in_progress AND (#owner = :owner OR (fingerprint = :fingerprint AND claim_expires_at <= :now))",
            ),
        };
        let expression = format!(
            "SET #state = :in_progress, fingerprint = :fingerprint, #owner = :owner, \
             claim_expires_at = :claim_expires_at, #ttl = :ttl, {started}"
        );
        let mut values = vec![
            (":in_progress", text("in_progress")),
            (":fingerprint", text(request.fingerprint)),
            (":owner", text(request.owner)),
            (":now", number(now)),
            (":claim_expires_at", number(now + CLAIMED_FOR)),
            (":ttl", number(now + REMEMBERED_FOR)),
        ];
        if takeover == Takeover::Nothing {
            values.push((":refused", text("refused")));
        }
        let pk = self.send_pk(request);
        let update = self.update(&pk, &expression, Some(condition), values);
        self.claim(&pk, update).await
    }

    /// Records the outcome of this run's send and closes its claim. Changes nothing when another run took over the claim.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written. The claim then expires by itself.
    pub async fn finish_send(
        &self,
        request: &SendRequest<'_>,
        outcome: SendOutcome<'_>,
        now: i64,
    ) -> Result<(), StoreError> {
        let pk = self.send_pk(request);
        let (expression, values) = match outcome {
            SendOutcome::Done(status, body) => (
                "SET #state = :state, answer = :answer, answer_status = :status REMOVE recipients",
                vec![
                    (":state", text("done")),
                    (":answer", text(body)),
                    (":status", number(status)),
                ],
            ),
            SendOutcome::Open(recipients) => {
                let recipients = json::write(recipients);
                (
                    "SET claim_expires_at = :now, recipients = :recipients REMOVE #owner, started_at",
                    vec![(":now", number(now)), (":recipients", text(recipients))],
                )
            }
            SendOutcome::Refused => ("SET #state = :state", vec![(":state", text("refused"))]),
            SendOutcome::NotAttempted => {
                let condition = format!("attribute_not_exists(pk) OR {MINE}");
                return self.delete_claimed(&pk, request.owner, &condition, []).await;
            }
        };
        self.update_claimed(&pk, request.owner, expression, values).await
    }

    fn send_pk(&self, request: &SendRequest<'_>) -> String {
        format!("{}#{}#{}", self.pk("send"), request.caller, request.key)
    }
}

fn is_abandoned(item: &Attributes, request: &SendRequest<'_>, now: i64) -> bool {
    get_text(item, "state") == Some("in_progress")
        && get_text(item, "fingerprint") == Some(request.fingerprint)
        && get_number::<i64>(item, "claim_expires_at").is_none_or(|end| end <= now)
}

fn read_claim(item: &Attributes, request: &SendRequest<'_>, now: i64) -> SendClaim {
    if get_text(item, "fingerprint") != Some(request.fingerprint) {
        return SendClaim::OtherBody;
    }
    if let (Some("done"), Some(body)) = (get_text(item, "state"), get_text(item, "answer")) {
        return SendClaim::Done(RecordedAnswer {
            status: get_number(item, "answer_status").unwrap_or(200),
            body: body.to_owned(),
        });
    }
    SendClaim::InProgress {
        retry_after: retry_after(item, now, ASK_AGAIN_WITHIN),
    }
}

/// Reads the state in an item that was claimed at `now`.
fn read_state(item: &Attributes, now: i64) -> Result<SendState, StoreError> {
    let recipients = get_text(item, "recipients").map_or(Ok(BTreeMap::new()), serde_json::from_str);
    Ok(SendState {
        recipients: recipients.map_err(|error| StoreError::damaged("UpdateItem", error))?,
        crashed_run_began: get_number(item, "started_at").filter(|began| *began < now),
    })
}
