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
//! A send names its recipients by openid or by user id. A user may be bound to another openid between two runs, so a claim
//! holds the openids that its run may ask WeChat for, and an unknown outcome holds the openid that it is about: a retry goes on
//! with that one.
//!
//! The SDK retries a write whose answer was lost, and the first attempt may land late, so every write recognises its own run
//! by the owner. A late claim never changes an item that is done or open. After `refused`, or without an item, it takes the
//! key and expires by itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
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
    /// The openids that this run may ask WeChat for, by user id. `None` when the send names openids.
    pub openids: Option<&'a BTreeMap<&'a str, &'a str>>,
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
    /// The recipients' states, by openid or user id, as the send names them.
    recipients: BTreeMap<String, RecipientOutcome>,
    /// When a crashed run began. Recipients without a state may have been sent the message since then.
    crashed_run_began: Option<i64>,
    /// The openids that crashed runs may have asked WeChat for, by user id. `None` when the send names openids.
    openids: Option<BTreeMap<String, String>>,
}

impl SendState {
    /// Returns the state of the recipient `name`, an openid or a user id. `None` when WeChat was not asked to send to them.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<RecipientOutcome> {
        if let Some(known) = self.recipients.get(name) {
            return Some(known.clone());
        }
        let since = self.crashed_run_began?;
        let openid = match &self.openids {
            Some(openids) => Some(openids.get(name)?.clone()),
            None => None,
        };
        Some(RecipientOutcome::Unknown { since, openid })
    }
}

/// The state of one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RecipientOutcome {
    /// WeChat accepted the message, or refused this recipient.
    Settled {
        /// The result that the caller got, and gets again.
        result: Value,
    },
    /// WeChat may have accepted the message.
    Unknown {
        /// When WeChat may first have been asked, in epoch seconds.
        since: i64,
        /// The openid that WeChat may have been asked for. `None` when the send names openids.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        openid: Option<String>,
    },
}

/// How a send ended.
#[derive(Clone, Copy, Debug)]
pub enum SendOutcome<'a> {
    /// Nothing is left to do for a retry: it gets this answer, which is recorded.
    Done(u16, &'a str),
    /// WeChat accepted nothing.
    Refused,
    /// WeChat was not asked. The item is deleted.
    NotAttempted,
    /// A retry can complete the send. WeChat was not asked for absent recipients.
    Open(&'a BTreeMap<String, RecipientOutcome>),
}

/// What a claim may take over from earlier runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takeover<'a> {
    /// Nothing: earlier runs left no state.
    Nothing,
    /// The state of an open or crashed run.
    Open {
        /// The openids that the crashed run may have asked WeChat for, as JSON.
        openids: Option<&'a str>,
    },
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
        let openids = get_text(&existing, "openids");
        match self.take_send(request, now, Takeover::Open { openids }).await? {
            Ok(item) => read_state(&item, openids, now).map(SendClaim::Won),
            Err(item) => Ok(read_claim(&item, request, now)),
        }
    }

    /// Tries to claim the item. Returns the claimed item, or as `Err` the item that another run holds.
    async fn take_send(
        &self,
        request: &SendRequest<'_>,
        now: i64,
        takeover: Takeover<'_>,
    ) -> Result<Result<Attributes, Attributes>, StoreError> {
        let former = match takeover {
            Takeover::Nothing => None,
            Takeover::Open { openids } => openids,
        };
        let openids = openids_of_claim(request, former)?;
        let (set, removed) = match openids {
            Some(_) => ("openids = :openids, ", ""),
            None => ("", ", openids"),
        };
        let (started, condition) = match takeover {
            Takeover::Nothing => (
                format!("started_at = :now REMOVE answer, answer_status, recipients{removed}"),
                "attribute_not_exists(pk) OR #ttl <= :now OR (fingerprint = :fingerprint AND #state = :refused) \
                 OR (#owner = :owner AND #state = :in_progress)"
                    .to_owned(),
            ),
            // A remaining `started_at` is that of a crashed run, and so are the openids, if they are still those that were read.
            Takeover::Open { openids } => {
                let as_read = match openids {
                    Some(_) => "openids = :former",
                    None => "attribute_not_exists(openids)",
                };
                (
                    "started_at = if_not_exists(started_at, :now)".to_owned(),
                    format!(
                        "#state = :in_progress AND (#owner = :owner \
                         OR (fingerprint = :fingerprint AND claim_expires_at <= :now AND {as_read}))"
                    ),
                )
            }
        };
        let expression = format!(
            "SET #state = :in_progress, fingerprint = :fingerprint, #owner = :owner, \
             claim_expires_at = :claim_expires_at, #ttl = :ttl, {set}{started}"
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
        values.extend(openids.map(|openids| (":openids", text(openids))));
        values.extend(former.map(|former| (":former", text(former))));
        let pk = self.send_pk(request);
        let update = self.update(&pk, &expression, Some(&condition), values);
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
                "SET #state = :state, answer = :answer, answer_status = :status REMOVE recipients, openids",
                vec![
                    (":state", text("done")),
                    (":answer", text(body)),
                    (":status", number(status)),
                ],
            ),
            SendOutcome::Open(recipients) => {
                let recipients = json::write(recipients);
                (
                    "SET claim_expires_at = :now, recipients = :recipients REMOVE #owner, started_at, openids",
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

/// Returns the openids that a claim holds, as JSON: those of `request`, and before them those of the crashed run, `former`.
fn openids_of_claim(request: &SendRequest<'_>, former: Option<&str>) -> Result<Option<String>, StoreError> {
    let Some(openids) = request.openids else {
        return Ok(None);
    };
    let mut all = openids.clone();
    let former: BTreeMap<String, String> = read_json(former)?;
    all.extend(former.iter().map(|(user, openid)| (user.as_str(), openid.as_str())));
    Ok(Some(json::write(&all)))
}

/// Reads the state in an item that was claimed at `now`. `openids` are those of the crashed run.
fn read_state(item: &Attributes, openids: Option<&str>, now: i64) -> Result<SendState, StoreError> {
    Ok(SendState {
        recipients: read_json(get_text(item, "recipients"))?,
        crashed_run_began: get_number(item, "started_at").filter(|began| *began < now),
        openids: openids.map(|openids| read_json(Some(openids))).transpose()?,
    })
}

fn read_json<T: Default + DeserializeOwned>(json: Option<&str>) -> Result<T, StoreError> {
    json.map_or_else(|| Ok(T::default()), serde_json::from_str)
        .map_err(|error| StoreError::damaged("UpdateItem", error))
}
