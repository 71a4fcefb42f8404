//! `send#<appid>#<idempotency key>`: a send that carries an `Idempotency-Key` happens once.
//!
//! ```text
//! claim -> in_progress -> done        the recorded answer is given again, for a day
//!                      -> refused     WeChat took nothing: may be tried again
//!                      -> (no item)   WeChat was not asked: as if there had been no request
//!                      -> (crash, or an outcome that is not known) the claim ends; within WeChat's memory of
//!                         client_msg_id a repeat is harmless, after that the outcome stays unknown
//! ```
//!
//! The SDK repeats a write whose answer it missed, and the first one may land late: every write recognises its own run
//! by the owner, and a claim that lands after the end of its run changes nothing, unless the run had given it back: then it
//! stands until it ends by itself.

use aws_sdk_dynamodb::{
    operation::update_item::builders::UpdateItemFluentBuilder, types::ReturnValuesOnConditionCheckFailure,
};

use super::{Attributes, StoreError, Table, get_number, get_text, number, text, written_if};

/// A key is remembered this long, in seconds: 24 hours.
const REMEMBERED_FOR: i64 = 24 * 3600;
/// A claim whose holder died ends after this many seconds: longer than the function may run.
const CLAIMED_FOR: i64 = 35;
/// Most sends end within a second or two: waiting for the end of the claim would be waiting for a crash.
const ASK_AGAIN_WITHIN: i64 = 5;
/// WeChat recognises a client_msg_id for 10 minutes; a minute is left for the repeat itself.
const REPEAT_IS_HARMLESS_FOR: i64 = 9 * 60;

/// A send as the claim sees it.
#[derive(Clone, Copy, Debug)]
pub struct SendRequest<'a> {
    /// The account.
    pub app_id: &'a str,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendClaim {
    /// It may.
    Won(Turn),
    /// It was sent: this was the answer.
    Done(RecordedAnswer),
    /// Another run is sending, for so many seconds at most.
    InProgress {
        /// Seconds after which it is sensible to ask again.
        retry_after: i64,
    },
    /// The key was used with another body.
    OtherBody,
    /// An earlier run ended without knowing whether WeChat took the message, too long ago for a repeat to be harmless;
    /// with the answer that it gave, if that tells of some recipients.
    Unknown(Option<RecordedAnswer>),
}

/// Which run under a key this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing was sent under this key so far.
    First,
    /// An earlier run may have sent something, recently enough for WeChat to recognise a repeat.
    Repeat,
}

/// How a send ended.
#[derive(Clone, Copy, Debug)]
pub enum SendOutcome<'a> {
    /// WeChat took it: the answer is kept.
    Done(u16, &'a str),
    /// WeChat took nothing.
    Refused,
    /// WeChat was not asked: the claim is given back.
    NotAsked,
    /// It is not known whether WeChat took it, or all of it. What is known of some recipients is kept, to be told when
    /// a repeat would no longer be harmless.
    Ambiguous(Option<(u16, &'a str)>),
}

fn pk(request: &SendRequest<'_>) -> String {
    format!("send#{}#{}", request.app_id, request.key)
}

impl Table {
    /// Claims a send.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written; then nothing may be sent.
    pub async fn claim_send(&self, request: &SendRequest<'_>, now: i64) -> Result<SendClaim, StoreError> {
        match self.take_send(request, now, Turn::First).await? {
            Some(item) if is_abandoned(&item, request, now) => {
                let in_the_way = self.take_send(request, now, Turn::Repeat).await?;
                Ok(in_the_way.map_or(SendClaim::Won(Turn::Repeat), |item| read_claim(&item, request, now)))
            }
            Some(item) => Ok(read_claim(&item, request, now)),
            None => Ok(SendClaim::Won(Turn::First)),
        }
    }

    /// Tries to take the item; answers with the one that stands in the way.
    async fn take_send(
        &self,
        request: &SendRequest<'_>,
        now: i64,
        turn: Turn,
    ) -> Result<Option<Attributes>, StoreError> {
        let (started, condition) = match turn {
            Turn::First => (
                "started_at = :now",
                "attribute_not_exists(pk) OR #ttl <= :now OR (fingerprint = :fingerprint AND #state = :refused) \
                 OR (#owner = :owner AND #state = :in_progress)",
            ),
            Turn::Repeat => (
                "started_at = if_not_exists(started_at, :now)",
                "#state = :in_progress AND (#owner = :owner OR (fingerprint = :fingerprint \
                 AND claim_expires_at <= :now AND started_at > :harmless_since))",
            ),
        };
        let mut update = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", text(pk(request)))
            .update_expression(format!(
                "SET #state = :in_progress, fingerprint = :fingerprint, #owner = :owner, {started}, \
                 claim_expires_at = :claim_expires_at, #ttl = :ttl REMOVE answer, answer_status"
            ))
            .condition_expression(condition)
            .expression_attribute_names("#state", "state")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":in_progress", text("in_progress"))
            .expression_attribute_values(":fingerprint", text(request.fingerprint))
            .expression_attribute_values(":owner", text(request.owner))
            .expression_attribute_values(":now", number(now))
            .expression_attribute_values(":claim_expires_at", number(now + CLAIMED_FOR))
            .expression_attribute_values(":ttl", number(now + REMEMBERED_FOR))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        update = match turn {
            Turn::First => update.expression_attribute_values(":refused", text("refused")),
            Turn::Repeat => update.expression_attribute_values(":harmless_since", number(now - REPEAT_IS_HARMLESS_FOR)),
        };
        match update.send().await {
            Ok(_) => Ok(None),
            Err(error) => self.refused_update(&pk(request), &error).await.map(Some),
        }
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
        let update = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", text(pk(request)))
            .condition_expression("#owner = :owner")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":owner", text(request.owner));
        let with_answer = |update: UpdateItemFluentBuilder, status: u16, body: &str| {
            update
                .expression_attribute_values(":answer", text(body))
                .expression_attribute_values(":status", number(status))
        };
        let with_state = |update: UpdateItemFluentBuilder, state: &str| {
            update
                .expression_attribute_names("#state", "state")
                .expression_attribute_values(":state", text(state))
        };
        let update = match outcome {
            SendOutcome::Done(status, body) => with_answer(with_state(update, "done"), status, body)
                .update_expression("SET #state = :state, answer = :answer, answer_status = :status"),
            SendOutcome::Ambiguous(Some((status, body))) => with_answer(update, status, body)
                .update_expression(
                    "SET claim_expires_at = :now, answer = :answer, answer_status = :status REMOVE #owner",
                )
                .expression_attribute_values(":now", number(now)),
            SendOutcome::Ambiguous(None) => update
                .update_expression("SET claim_expires_at = :now REMOVE #owner")
                .expression_attribute_values(":now", number(now)),
            SendOutcome::Refused => with_state(update, "refused").update_expression("SET #state = :state"),
            SendOutcome::NotAsked => return self.give_back_send(request).await,
        };
        written_if("UpdateItem", update.send().await).map(|_| ())
    }

    async fn give_back_send(&self, request: &SendRequest<'_>) -> Result<(), StoreError> {
        let outcome = self
            .client
            .delete_item()
            .table_name(&self.name)
            .key("pk", text(pk(request)))
            .condition_expression("attribute_not_exists(pk) OR #owner = :owner")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":owner", text(request.owner))
            .send()
            .await;
        written_if("DeleteItem", outcome).map(|_| ())
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
    let answer = get_text(item, "answer").map(|body| RecordedAnswer {
        status: get_number(item, "answer_status").unwrap_or(200),
        body: body.to_owned(),
    });
    match (get_text(item, "state"), answer) {
        (Some("done"), Some(answer)) => return SendClaim::Done(answer),
        (_, answer) if is_abandoned(item, request, now) => return SendClaim::Unknown(answer),
        _ => {}
    }
    let ends = get_number::<i64>(item, "claim_expires_at").unwrap_or(now);
    SendClaim::InProgress {
        retry_after: (ends - now).clamp(1, ASK_AGAIN_WITHIN),
    }
}
