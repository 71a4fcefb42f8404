//! `forward#<appid>#<callback key>`: a callback for the team's own code, kept from before the first attempt until own code
//! has taken it. Its answer is then kept for an hour.
//!
//! ```text
//! begin -> waiting, claimed -> done     own code took it: the body is deleted, redeliveries get its answer, for an hour
//!                           -> waiting  it did not: tried again by the schedule
//!                           -> dead     it did not at the last attempt, or refused for good: kept for 30 days
//!                           -> (crash)  the claim expires: the next delivery, or `worker` when it is due, tries again
//! ```
//!
//! `attempts` is counted, and the next one scheduled, by the write that begins an attempt, so that a crash loses neither.
//! Waiting items are in the index's partition `due#<appid>#forward` by the time of the next attempt, dead ones in
//! `due#<appid>#dead` by the time when they became dead. Times with milliseconds are epoch seconds with a fraction.

use aws_sdk_dynamodb::{
    operation::put_item::PutItemError,
    types::{ReturnValuesOnConditionCheckFailure, Select},
};
use serde::Serialize;
use tokio::task::JoinSet;

use super::{
    Attributes, StoreError, Table,
    claim::{FREE, MINE},
    get_millis, get_number, get_text,
    index::{Cursor, Page, limit_of},
    is_kept, named, names_in, number, seconds, text, written_if,
};
use crate::{forward::OwnReply, json, random};

/// Attempts after which a callback is dead, the webhook's own included.
pub const FORWARD_ATTEMPTS: u32 = 17;
/// Callbacks in a page of a list, or of those that are due.
pub const FORWARDS_PAGE: usize = 100;

/// Seconds between the first attempts. All later ones are [`LATER`] apart.
const FIRST_DELAYS: [i64; 4] = [60, 5 * 60, 15 * 60, 60 * 60];
/// Seconds between all later attempts.
const LATER: i64 = 6 * 3600;
/// Per cent by which a delay is longer or shorter, at random: callbacks that failed together are not tried again together.
const JITTER: i64 = 10;
/// Seconds. How long repeats of a taken callback get its answer. WeChat delivers for 15 s.
const ANSWER_KEPT_FOR: i64 = 3600;
/// Seconds. How long a dead callback is kept.
const DEAD_KEPT_FOR: i64 = 30 * 24 * 3600;
/// Bytes. A longer reason of a failed attempt is cut.
const LONGEST_ERROR: usize = 300;
/// Dead callbacks that are retried at once.
const RETRIED_AT_ONCE: usize = 20;

/// Own code has not taken the callback, so its body is still there.
const NOT_TAKEN: &str = "attribute_exists(#body)";
/// The item has expired, and only waits for its deletion.
const EXPIRED: &str = "#ttl <= :now";

/// A callback to keep for own code.
#[derive(Clone, Copy, Debug)]
pub struct NewForward<'a> {
    /// The callback's key.
    pub id: &'a str,
    /// What own code is sent, the same bytes at every attempt.
    pub body: &'a str,
    /// The type, in WeChat's spelling: `text`, `event.CLICK`.
    pub kind: &'a str,
    /// Who sent the message or caused the event.
    pub from: &'a str,
}

/// An attempt at own code: this run holds the claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardAttempt {
    /// The callback's key.
    pub id: String,
    /// The name of this run.
    pub owner: String,
    /// The number of this attempt, from 1.
    pub number: u32,
    /// When it began, in epoch milliseconds.
    pub began: i64,
}

impl ForwardAttempt {
    /// Whether own code is not asked again after this attempt.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        self.number >= FORWARD_ATTEMPTS
    }
}

/// The state in which a delivery finds a callback that an earlier one kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardState {
    /// Another run asks own code, and holds the claim until this time, in epoch milliseconds.
    InProgress(i64),
    /// A run that asked own code has died. Holds the time when the callback was received, in epoch milliseconds.
    Abandoned(i64),
    /// Own code has not taken it; it waits for `worker`, or is dead.
    NotTaken,
    /// Own code took it with this answer.
    Taken(OwnReply),
}

/// The result of keeping a callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// The callback is new, and now kept.
    New,
    /// An earlier delivery kept it.
    Repeat(ForwardState),
}

/// The list that a callback is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardList {
    /// Own code will be asked again.
    Waiting,
    /// Own code will not be asked again, unless somebody retries it.
    Dead,
}

/// A callback that own code has not taken, without its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ForwardRecord {
    /// The callback's key.
    pub id: String,
    /// The type, in WeChat's spelling.
    #[serde(rename = "type")]
    pub kind: String,
    /// Who sent the message or caused the event.
    pub from: String,
    /// When the callback was received, in epoch seconds.
    pub at: i64,
    /// How often own code was asked.
    pub attempts: u32,
    /// When own code is asked again, in epoch seconds. `None` for a dead one.
    pub next_at: Option<i64>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
}

/// A callback whose next attempt is due, claimed by this run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueForward {
    /// The attempt.
    pub attempt: ForwardAttempt,
    /// What own code is sent.
    pub body: String,
    /// The type, in WeChat's spelling.
    pub kind: String,
    /// Who sent the message or caused the event.
    pub from: String,
    /// When the callback was received, in epoch seconds.
    pub at: i64,
}

/// How many callbacks own code has not taken. Counts at most some thousands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardCounts {
    /// Callbacks that own code will be asked for again.
    pub waiting: i32,
    /// Callbacks that own code will not be asked for again.
    pub dead: i32,
}

impl ForwardList {
    const fn kind(self) -> &'static str {
        match self {
            Self::Waiting => "forward",
            Self::Dead => "dead",
        }
    }

    const fn state(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Dead => "dead",
        }
    }
}

impl ForwardState {
    fn from_attributes(item: &Attributes, now_millis: i64) -> Self {
        if let Some(answer) = get_text(item, "answer") {
            // An answer that only a later version can read counts as left to the rules.
            return Self::Taken(serde_json::from_str(answer).unwrap_or(OwnReply::LeftToRules));
        }
        match get_millis(item, "claim_expires_at") {
            Some(until) if now_millis < until => Self::InProgress(until),
            Some(_) => Self::Abandoned(1000 * get_number::<i64>(item, "at").unwrap_or(0)),
            None => Self::NotTaken,
        }
    }
}

impl ForwardRecord {
    fn from_attributes(id: &str, item: &Attributes) -> Option<Self> {
        let is_waiting = get_text(item, "state") == Some(ForwardList::Waiting.state());
        Some(Self {
            id: id.to_owned(),
            kind: get_text(item, "type")?.to_owned(),
            from: get_text(item, "from").unwrap_or_default().to_owned(),
            at: get_number(item, "at")?,
            attempts: get_number(item, "attempts")?,
            next_at: get_millis(item, "isk")
                .filter(|_| is_waiting)
                .map(|at| at.div_euclid(1000)),
            last_error: get_text(item, "last_error").map(str::to_owned),
        })
    }
}

impl Table {
    /// Keeps a callback that was received at `now_millis`, before own code is asked. `run` is the name of the run that asks
    /// now, and the end of its claim. A claim that has already ended leaves the callback to WeChat's redelivery. Without
    /// `run` the callback waits for `worker`.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written. The callback may be kept.
    pub async fn begin_forward(
        &self,
        forward: NewForward<'_>,
        now_millis: i64,
        run: Option<(&str, i64)>,
    ) -> Result<Begun, StoreError> {
        let pk = self.forward_pk(forward.id);
        let attempts = u32::from(run.is_some_and(|(_, until)| until > now_millis));
        let attributes = [
            ("state", text(ForwardList::Waiting.state())),
            ("body", text(forward.body)),
            ("type", text(forward.kind)),
            ("from", text(forward.from)),
            ("at", number(now_millis.div_euclid(1000))),
            ("attempts", number(attempts)),
            ("ipk", text(self.due(ForwardList::Waiting.kind()))),
            ("isk", seconds(now_millis + delay_after(1))),
        ];
        let mut put = self.put(&pk, attributes);
        let mut condition = format!("attribute_not_exists(pk) OR {EXPIRED}");
        let mut values = named([(":now", seconds(now_millis))]);
        if let Some((owner, until)) = run {
            put = put.item("owner", text(owner)).item("claim_expires_at", seconds(until));
            // The SDK retries a write whose answer was lost.
            condition.push_str(&format!(" OR ({MINE} AND attempts = :attempts)"));
            values.extend(named([(":owner", text(owner)), (":attempts", number(attempts))]));
        }
        let put = put
            .set_expression_attribute_names(names_in(&[&condition]))
            .set_expression_attribute_values(Some(values))
            .condition_expression(condition)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = put.send().await else {
            return Ok(Begun::New);
        };
        let Some(PutItemError::ConditionalCheckFailedException(failure)) = error.as_service_error() else {
            return Err(StoreError::from_sdk("PutItem", &error));
        };
        let item = self.conflicting_item(&pk, failure).await?;
        Ok(Begun::Repeat(ForwardState::from_attributes(&item, now_millis)))
    }

    /// Returns the state of a callback at `now_millis`, read consistently. `None` when it is not kept.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn forward_state(&self, id: &str, now_millis: i64) -> Result<Option<ForwardState>, StoreError> {
        let item = self.read(&self.forward_pk(id), true).await?;
        Ok(item.map(|item| ForwardState::from_attributes(&item, now_millis)))
    }

    /// Begins another attempt in place of a run that has died, for the run `owner`, which holds the claim until `until`. Times
    /// are in epoch milliseconds. `None` when there was no such run, or another run was faster.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn take_over_forward(
        &self,
        id: &str,
        owner: &str,
        now_millis: i64,
        until: i64,
    ) -> Result<Option<ForwardAttempt>, StoreError> {
        let condition = "attribute_exists(#owner) AND claim_expires_at <= :now";
        let begun = self.attempt_forward(id, owner, now_millis, until, condition).await?;
        Ok(begun.map(|due| due.attempt))
    }

    /// Begins the next attempt at a callback that is due, for the run `owner`, which holds the claim until `until`. Times are in
    /// epoch milliseconds. `None` when it is not due any more, or another run was faster.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn claim_due_forward(
        &self,
        id: &str,
        owner: &str,
        now_millis: i64,
        until: i64,
    ) -> Result<Option<DueForward>, StoreError> {
        let due = self
            .attempt_forward(id, owner, now_millis, until, &format!("isk <= :now AND ({FREE})"))
            .await?;
        match due {
            // The run died in the last attempt.
            Some(DueForward { attempt, .. }) if attempt.number > FORWARD_ATTEMPTS => {
                self.fail_forward(
                    &attempt,
                    "the last attempt was cut off / 最后一次尝试中断",
                    true,
                    now_millis,
                )
                .await?;
                Ok(None)
            }
            due => Ok(due),
        }
    }

    /// Counts and claims an attempt. It is due again when the claim ends, in case the run dies.
    async fn attempt_forward(
        &self,
        id: &str,
        owner: &str,
        now_millis: i64,
        until: i64,
        condition: &str,
    ) -> Result<Option<DueForward>, StoreError> {
        let pk = self.forward_pk(id);
        let condition = format!("#state = :waiting AND ({condition})");
        let values = [
            (":waiting", text(ForwardList::Waiting.state())),
            (":owner", text(owner)),
            (":now", seconds(now_millis)),
            (":until", seconds(until)),
            (":one", number(1)),
        ];
        let update = self.update(
            &pk,
            "SET #owner = :owner, claim_expires_at = :until, isk = :until, attempts = attempts + :one",
            Some(&condition),
            values,
        );
        let item = match self.claim(&pk, update).await? {
            Ok(item) => item,
            // The SDK retried the write, because its answer was lost.
            Err(item) if get_text(&item, "owner") == Some(owner) => item,
            Err(_) => return Ok(None),
        };
        let record = ForwardRecord::from_attributes(id, &item);
        let (Some(record), Some(body)) = (record, get_text(&item, "body")) else {
            return Err(StoreError::damaged(
                "UpdateItem",
                "a callback for own code lacks a member",
            ));
        };
        Ok(Some(DueForward {
            attempt: ForwardAttempt {
                id: record.id,
                owner: owner.to_owned(),
                number: record.attempts,
                began: now_millis,
            },
            body: body.to_owned(),
            kind: record.kind,
            from: record.from,
            at: record.at,
        }))
    }

    /// Records that own code has taken a callback, with its answer: at most once, whatever run holds the claim and whatever
    /// the state is. Returns `false`, and changes nothing, when that is recorded already or the callback was deleted.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written. Own code is then asked again.
    pub async fn finish_forward(&self, id: &str, answer: &OwnReply, now_millis: i64) -> Result<bool, StoreError> {
        let values = [
            (":done", text("done")),
            (":answer", text(json::write(answer))),
            (":ttl", number(now_millis.div_euclid(1000) + ANSWER_KEPT_FOR)),
        ];
        let update = self.update(
            &self.forward_pk(id),
            "SET #state = :done, answer = :answer, #ttl = :ttl \
             REMOVE #body, #type, #from, ipk, isk, #owner, claim_expires_at, last_error",
            Some(NOT_TAKEN),
            values,
        );
        written_if("UpdateItem", update.send().await)
    }

    /// Records that own code has not taken a callback, for the reason `error`, and schedules the next attempt. After the last
    /// one, or when own code refused `for_good`, the callback is dead. Changes nothing when
    /// another run has claimed it since, or somebody retried it.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written. The callback then stays as it was when the attempt began.
    pub async fn fail_forward(
        &self,
        attempt: &ForwardAttempt,
        error: &str,
        for_good: bool,
        now_millis: i64,
    ) -> Result<bool, StoreError> {
        let condition = format!("{MINE} AND attempts = :number");
        let error = &error[..error.floor_char_boundary(LONGEST_ERROR)];
        let mut values = vec![
            (":owner", text(&attempt.owner)),
            (":number", number(attempt.number)),
            (":error", text(error)),
        ];
        let expression = if for_good || attempt.is_last() {
            values.extend([
                (":dead", text(ForwardList::Dead.state())),
                (":ipk", text(self.due(ForwardList::Dead.kind()))),
                (":isk", seconds(now_millis)),
                (":ttl", number(now_millis.div_euclid(1000) + DEAD_KEPT_FOR)),
                (":counted", number(attempt.number.min(FORWARD_ATTEMPTS))),
            ]);
            "SET #state = :dead, ipk = :ipk, isk = :isk, #ttl = :ttl, attempts = :counted, last_error = :error \
             REMOVE #owner, claim_expires_at"
        } else {
            values.push((":isk", seconds(attempt.began + delay_after(attempt.number))));
            "SET isk = :isk, last_error = :error REMOVE #owner, claim_expires_at"
        };
        let update = self.update(&self.forward_pk(&attempt.id), expression, Some(&condition), values);
        written_if("UpdateItem", update.send().await)
    }

    /// Returns the ids of a page of callbacks that are due at `now_millis`, the longest due first. The index lags
    /// behind the table: [`Self::claim_due_forward`] decides.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn due_forwards(&self, now_millis: i64, after: Option<&Cursor>) -> Result<Page<String>, StoreError> {
        let (kind, prefix) = (ForwardList::Waiting.kind(), self.forward_pk(""));
        self.page_of_due(kind, &prefix, seconds(now_millis), after, page_limit())
            .await
    }

    /// Returns a page of a list at `now_millis`: waiting ones by the time of their next attempt, dead ones by the
    /// time when they became dead.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn page_of_forwards(
        &self,
        list: ForwardList,
        after: Option<&Cursor>,
        now_millis: i64,
    ) -> Result<Page<ForwardRecord>, StoreError> {
        let keys = self.page_of_keys(&self.due(list.kind()), after, page_limit()).await?;
        let entry = |id: &str, item: &Attributes| {
            let is_listed = is_kept(item, now_millis.div_euclid(1000)) && get_text(item, "state") == Some(list.state());
            is_listed.then(|| ForwardRecord::from_attributes(id, item))?
        };
        self.read_page(keys, &self.forward_pk(""), entry).await
    }

    /// Makes a waiting or dead callback due at `now_millis`, and counts its attempts from 0 again. An attempt in progress
    /// ends first. Returns `false` when there is no such callback.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn retry_forward(&self, id: &str, now_millis: i64) -> Result<bool, StoreError> {
        let condition = format!("{NOT_TAKEN} AND NOT ({EXPIRED})");
        let values = [
            (":waiting", text(ForwardList::Waiting.state())),
            (":ipk", text(self.due(ForwardList::Waiting.kind()))),
            (":now", seconds(now_millis)),
            (":none", number(0)),
        ];
        let update = self.update(
            &self.forward_pk(id),
            "SET #state = :waiting, attempts = :none, ipk = :ipk, isk = :now REMOVE #ttl",
            Some(&condition),
            values,
        );
        written_if("UpdateItem", update.send().await)
    }

    /// Retries all dead callbacks: see [`Self::retry_forward`]. Returns their number.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read or written. Some may be due, and the next call continues.
    pub async fn retry_dead_forwards(&self, now_millis: i64) -> Result<usize, StoreError> {
        let mut retried = 0;
        let mut after = None;
        loop {
            let page = self
                .page_of_forwards(ForwardList::Dead, after.as_ref(), now_millis)
                .await?;
            for forwards in page.entries.chunks(RETRIED_AT_ONCE) {
                let mut retries = JoinSet::new();
                for ForwardRecord { id, .. } in forwards {
                    let (table, id) = (self.clone(), id.clone());
                    retries.spawn(async move { table.retry_forward(&id, now_millis).await });
                }
                for done in retries.join_all().await {
                    retried += usize::from(done?);
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(retried);
            }
        }
    }

    /// Deletes a callback that own code has not taken. Returns `false` when there is no such callback.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn delete_forward(&self, id: &str) -> Result<bool, StoreError> {
        let delete = self
            .delete(&self.forward_pk(id))
            .condition_expression(NOT_TAKEN)
            .set_expression_attribute_names(names_in(&[NOT_TAKEN]));
        written_if("DeleteItem", delete.send().await)
    }

    /// Counts the callbacks that own code has not taken.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn count_forwards(&self) -> Result<ForwardCounts, StoreError> {
        let count = async |list: ForwardList| {
            let query = self.query_index(&self.due(list.kind()), None).select(Select::Count);
            let counted = query.send().await;
            counted
                .map(|page| page.count())
                .map_err(|error| StoreError::from_sdk("Query", &error))
        };
        let (waiting, dead) = tokio::try_join!(count(ForwardList::Waiting), count(ForwardList::Dead))?;
        Ok(ForwardCounts { waiting, dead })
    }

    fn forward_pk(&self, id: &str) -> String {
        format!("{}#{id}", self.pk("forward"))
    }
}

fn page_limit() -> i32 {
    limit_of(FORWARDS_PAGE)
}

/// Returns the milliseconds from the attempt `number` to the next one, with jitter.
fn delay_after(number: u32) -> i64 {
    delay(number, u32::from_ne_bytes(random::bytes()))
}

fn delay(number: u32, random: u32) -> i64 {
    let index = usize::try_from(number.max(1) - 1).unwrap_or(usize::MAX);
    let millis = FIRST_DELAYS.get(index).copied().unwrap_or(LATER) * 1000;
    let spread = millis * JITTER / 100;
    millis - spread + i64::from(random) % (2 * spread + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seventeen_attempts_take_three_days_and_their_delays_differ_by_ten_per_cent() {
        let delays: Vec<i64> = (1..FORWARD_ATTEMPTS).map(|number| delay(number, 0) / 900).collect();
        assert_eq!(delays[..6], [60, 300, 900, 3600, 21_600, 21_600]);
        let later: i64 = delays[4..].iter().sum();
        assert_eq!(later, 3 * 24 * 3600);
        for random in [0, 1, 6_000, 12_000, 12_001, u32::MAX] {
            assert!((54_000..=66_000).contains(&delay(1, random)), "{random}");
        }
        assert_eq!(delay(1, 12_000), 66_000);
    }
}
