//! `send#<appid>#<caller>#<idempotency key>`: a send that carries an `Idempotency-Key` happens once.
//!
//! ```text
//! claim -> in_progress -> done        the recorded answer is given again, for a day
//!                      -> refused     WeChat took nothing: may be tried again
//!                      -> (no item)   WeChat was not asked: as if there had been no request
//!                      -> open        what is known of each recipient is kept, and a repeat asks for the rest
//!                      -> (crash)     the claim ends; every recipient that is not settled is unknown since its run began
//! ```
//!
//! The SDK repeats a write whose answer it missed, and the first one may land late, so every write recognises its own run by
//! the owner. A claim that lands after its run has ended changes nothing that is done or open. After `refused`, or where the
//! item is gone, it takes the key, and expires by itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Attributes, StoreError, Table,
    claim::{MINE, retry_after},
    get_number, get_text, number, text,
};
use crate::json;

/// Seconds. A key is remembered for 24 hours.
const REMEMBERED_FOR: i64 = 24 * 3600;
/// Seconds. A claim whose holder died ends after this time: longer than a request may take, and clocks differ a little.
const CLAIMED_FOR: i64 = 35;
/// Seconds. Most sends end within a second or two: waiting for the end of the claim would be waiting for a crash.
const ASK_AGAIN_WITHIN: i64 = 5;

/// A send as the claim sees it.
#[derive(Clone, Copy, Debug)]
pub struct SendRequest<'a> {
    /// Tells the keys of this caller from those of others.
    pub caller: &'a str,
    /// The caller's `Idempotency-Key`.
    pub key: &'a str,
    /// Digest of the request's body.
    pub fingerprint: &'a str,
    /// This run.
    pub owner: &'a str,
}

/// An answer that was given, to be given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Whether this run may send.
#[derive(Clone, Debug, PartialEq)]
pub enum SendClaim {
    /// It may, to those whom earlier runs have not settled.
    Won(SendState),
    /// It was sent: this was the answer.
    Done(RecordedAnswer),
    /// Another run is sending, for so many seconds at most.
    InProgress {
        /// Seconds after which it is sensible to ask again.
        retry_after: i64,
    },
    /// The key was used with another body.
    OtherBody,
}

/// What earlier runs under a key have left. Empty when nothing was sent under it so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SendState {
    /// What is known, by openid.
    recipients: BTreeMap<String, RecipientState>,
    /// When a run began that died without a word: whoever is not among `recipients` may have been sent the message since.
    crashed_run_began: Option<i64>,
}

impl SendState {
    /// What is known of `touser`. `None` when WeChat was not asked to send to them.
    #[must_use]
    pub fn of(&self, touser: &str) -> Option<RecipientState> {
        let known = self.recipients.get(touser).cloned();
        known.or_else(|| self.crashed_run_began.map(|since| RecipientState::Unknown { since }))
    }
}

/// What is known of one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RecipientState {
    /// WeChat took the message, or refused this recipient.
    Settled {
        /// What the caller was told, to be told again.
        result: Value,
    },
    /// WeChat may have taken it.
    Unknown {
        /// When it may first have been asked, in epoch seconds.
        since: i64,
    },
}

/// How a send ended.
#[derive(Clone, Copy, Debug)]
pub enum SendOutcome<'a> {
    /// Every recipient is settled, and WeChat took at least one message: the answer is kept.
    Done(u16, &'a str),
    /// WeChat took nothing.
    Refused,
    /// WeChat was not asked: the claim is given back.
    NotAttempted,
    /// A repeat can complete it. Whoever is absent was not asked for.
    Open(&'a BTreeMap<String, RecipientState>),
}

/// What the claim may take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takeover {
    /// Nothing: no run has left anything that a repeat must know.
    Nothing,
    /// What a run has left open, or one that died.
    Open,
}

impl Table {
    /// Claims a send.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written; then nothing may be sent.
    pub async fn claim_send(&self, request: &SendRequest<'_>, now: i64) -> Result<SendClaim, StoreError> {
        let Err(in_the_way) = self.take_send(request, now, Takeover::Nothing).await? else {
            return Ok(SendClaim::Won(SendState::default()));
        };
        if !is_abandoned(&in_the_way, request, now) {
            return Ok(read_claim(&in_the_way, request, now));
        }
        match self.take_send(request, now, Takeover::Open).await? {
            Ok(item) => read_state(&item, now).map(SendClaim::Won),
            Err(item) => Ok(read_claim(&item, request, now)),
        }
    }

    /// Tries to take the item. Returns it as it is now, or the one that stands in the way.
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
            // A start that is still there is that of a run that died.
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

    /// Records how the send ended that this run had claimed. A claim that has passed to another run stays that run's.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written; the claim then ends by itself.
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

/// Reads an item that was claimed at `now`.
fn read_state(item: &Attributes, now: i64) -> Result<SendState, StoreError> {
    let recipients = get_text(item, "recipients").map_or(Ok(BTreeMap::new()), serde_json::from_str);
    Ok(SendState {
        recipients: recipients.map_err(|error| StoreError::damaged("UpdateItem", error))?,
        crashed_run_began: get_number(item, "started_at").filter(|began| *began < now),
    })
}
