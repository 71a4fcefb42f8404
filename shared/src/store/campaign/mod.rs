//! `campaign#<appid>#<id>`: a campaign, its audience and its ledgers.
//!
//! | item | what |
//! |---|---|
//! | `campaign#<appid>#<id>` | the campaign: what callers decide, its state, how far the work has come, the lease of the run that works on it; in the index's partition `campaigns#<appid>` by the time of its making |
//! | `…#due` | when the worker has to look at it next: in `due#<appid>#campaign` |
//! | `…#part#<name>` | a part of the audience that a caller has sent: its digest, its chunks, whether it is complete |
//! | `…#chunk#<n>` | at most 100 entries of the audience |
//! | `…#ledger#<n>` | the state of those entries, from the first change on |
//!
//! Callers change the state and count `changes`. A run changes the state only while `changes` is still what it has read, so
//! an order is never overwritten. Ledgers are written by the run that holds the lease, under the version that it has read.

mod audience;
mod ledgers;

use std::fmt::Write as _;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use serde::de::DeserializeOwned;

use self::audience::parse_range;
pub use self::{
    audience::{CHUNKS_AT_ONCE, PartOutcome},
    ledgers::StoredLedger,
};
use super::{
    Attributes, StoreError, Table,
    claim::{FREE, MINE, is_claimed},
    fraction, get_number, get_text,
    index::{Cursor, Page, indexed, limit_of},
    is_condition_failure, number, text,
    transaction::{ATTEMPTS, TRANSACTION, Transaction, contended},
    written, written_if,
};
use crate::{
    api::TemplateContent,
    campaign::{Audience, Campaign, CampaignState, Canary, NewState, Order, Plan, Progress, Refused, WaitingFor},
    json,
};

/// Campaigns in a page of the list.
pub const CAMPAIGNS_PAGE: usize = 100;
/// The kind in the index of the item that makes a campaign due.
const DUE: &str = "campaign";

impl Campaign {
    /// Reads a campaign's item. A campaign that this version cannot read is an error: it is there, and must not be deleted.
    fn stored(operation: &'static str, id: &str, item: &Attributes) -> Result<Self, StoreError> {
        Self::from_attributes(id, item).ok_or_else(|| StoreError::damaged(operation, format!("the campaign {id}")))
    }

    fn from_attributes(id: &str, item: &Attributes) -> Option<Self> {
        fn json<T: DeserializeOwned>(item: &Attributes, name: &str) -> Option<T> {
            serde_json::from_str(get_text(item, name)?).ok()
        }
        /// `None` when the attribute is there and cannot be read.
        fn optional_json<T: DeserializeOwned>(item: &Attributes, name: &str) -> Option<Option<T>> {
            match item.get(name) {
                Some(_) => json(item, name).map(Some),
                None => Some(None),
            }
        }
        let incomplete = item.get("incomplete").and_then(|set| set.as_ss().ok());
        let incomplete = incomplete.into_iter().flatten().filter_map(|range| parse_range(range));
        Some(Self {
            id: id.to_owned(),
            plan: Plan {
                name: get_text(item, "name")?.to_owned(),
                content: json::<TemplateContent>(item, "content")?,
                audience: json::<Audience>(item, "audience")?,
                pace: get_number(item, "pace")?,
                start_at: get_number(item, "start_at"),
                canary: optional_json::<Canary>(item, "canary")?,
                keep_for_single_sends: get_number(item, "keep_for_single_sends"),
                only_warns: item.get("only_warns").is_some_and(|value| value.as_bool() == Ok(&true)),
            },
            created_at: get_number(item, "created_at")?,
            state: CampaignState::parse(get_text(item, "state")?)?,
            waiting_for: get_text(item, "waiting_for").and_then(WaitingFor::parse),
            resumes_at: get_number(item, "resumes_at"),
            reason: get_text(item, "reason").map(str::to_owned),
            entries: get_number(item, "entries").unwrap_or(0),
            chunks: get_number(item, "chunks").unwrap_or(0),
            incomplete: incomplete.collect(),
            started_at: get_number(item, "started_at"),
            finished_at: get_number(item, "finished_at"),
            progress: optional_json::<Progress>(item, "progress")?.unwrap_or_default(),
            changes: get_number(item, "changes").unwrap_or(0),
            run_ends_at: get_number(item, "run_ends_at"),
        })
    }
}

impl Table {
    /// Creates a campaign, a draft.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written. The campaign may exist.
    pub async fn create_campaign(&self, id: &str, plan: &Plan, now_millis: i64) -> Result<(), StoreError> {
        let attributes = [
            ("name", text(&plan.name)),
            ("content", text(json::write(&plan.content))),
            ("audience", text(json::write(&plan.audience))),
            ("pace", number(plan.pace)),
            ("created_at", number(now_millis.div_euclid(1000))),
            ("state", text(CampaignState::Draft.as_str())),
            ("entries", number(0)),
            ("chunks", number(0)),
            ("changes", number(0)),
            ("only_warns", AttributeValue::Bool(plan.only_warns)),
        ];
        let start_at = plan.start_at.map(|at| ("start_at", number(at)));
        let canary = plan.canary.map(|canary| ("canary", text(json::write(&canary))));
        let reserve = plan
            .keep_for_single_sends
            .map(|calls| ("keep_for_single_sends", number(calls)));
        let place = indexed(self.pk("campaigns"), fraction(now_millis));
        let more = place.into_iter().chain(start_at).chain(canary).chain(reserve);
        let put = self.put(&self.campaign_pk(id), attributes.into_iter().chain(more));
        written("PutItem", put.send().await)
    }

    /// Returns a campaign, read consistently.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn campaign(&self, id: &str) -> Result<Option<Campaign>, StoreError> {
        let item = self.read(&self.campaign_pk(id), true).await?;
        // An id with a `#` may name another item of a campaign, which has no state.
        let item = item.filter(|item| item.contains_key("state") && !item.contains_key("deleted"));
        item.map(|item| Campaign::stored("GetItem", id, &item)).transpose()
    }

    /// Returns a page of campaigns, the newest first.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn page_of_campaigns(&self, after: Option<&Cursor>) -> Result<Page<Campaign>, StoreError> {
        let query = self.query_index(&self.pk("campaigns"), after).scan_index_forward(false);
        let limit = limit_of(CAMPAIGNS_PAGE);
        let keys = self.read_keys(query.limit(limit)).await?;
        let entry = |id: &str, item: &Attributes| {
            (!item.contains_key("deleted")).then(|| Campaign::from_attributes(id, item))?
        };
        self.read_page(keys, &self.campaign_pk(""), entry).await
    }

    /// Changes a campaign by a caller's order at `now` (epoch seconds), and has the worker look at it at once. Returns the changed
    /// campaign or why it stays as it is; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read or written. The change may have happened.
    pub async fn order_campaign(
        &self,
        id: &str,
        order: Order,
        now: i64,
    ) -> Result<Option<Result<Campaign, Refused>>, StoreError> {
        for _ in 0..ATTEMPTS {
            let Some(mut campaign) = self.campaign(id).await? else {
                return Ok(None);
            };
            let (state, progress) = match order.decide(&campaign, now) {
                Ok(decided) => decided,
                Err(refused) => return Ok(Some(Err(refused))),
            };
            let (mut set, mut removed, mut values) = state_change(&state);
            set.push_str(", changes = :next");
            values.extend([
                (":next", number(campaign.changes + 1)),
                (":changes", number(campaign.changes)),
            ]);
            if progress != campaign.progress {
                // Only the run with the lease writes the progress, so this change ends any lease.
                set.push_str(", progress = :progress");
                removed.push_str(", #owner, claim_expires_at");
                values.push((":progress", text(json::write(&progress))));
            }
            let change = Transaction::new(self)
                .update(
                    &self.campaign_pk(id),
                    &format!("SET {set} REMOVE {removed}"),
                    "changes = :changes AND attribute_not_exists(deleted)",
                    values,
                )
                .put_always(&self.due_pk(id), self.due_place(now));
            if change.commit().await? {
                apply(&mut campaign, &state);
                campaign.progress = progress;
                campaign.changes += 1;
                return Ok(Some(Ok(campaign)));
            }
        }
        Err(contended(TRANSACTION))
    }

    /// Marks a campaign as deleted: nobody sees it any more, and the worker deletes its items. `may_be_deleted` decides on the
    /// campaign as it is.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read or written. It may be marked.
    pub async fn delete_campaign(
        &self,
        id: &str,
        now: i64,
        may_be_deleted: impl Fn(&Campaign) -> bool,
    ) -> Result<Option<Result<(), Campaign>>, StoreError> {
        for _ in 0..ATTEMPTS {
            let Some(campaign) = self.campaign(id).await? else {
                return Ok(None);
            };
            if !may_be_deleted(&campaign) {
                return Ok(Some(Err(campaign)));
            }
            let delete = Transaction::new(self)
                .update(
                    &self.campaign_pk(id),
                    "SET deleted = :now, changes = changes + :one REMOVE ipk, isk",
                    "changes = :changes AND attribute_not_exists(deleted)",
                    [
                        (":now", number(now)),
                        (":one", number(1)),
                        (":changes", number(campaign.changes)),
                    ],
                )
                .put_always(&self.due_pk(id), self.due_place(now));
            if delete.commit().await? {
                return Ok(Some(Ok(())));
            }
        }
        Err(contended(TRANSACTION))
    }

    /// Returns the ids of a page of campaigns that are due at `now` (epoch seconds), the longest due first.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn due_campaigns(&self, now: i64) -> Result<Vec<String>, StoreError> {
        let (prefix, limit) = (self.campaign_pk(""), limit_of(CAMPAIGNS_PAGE));
        let due = self.page_of_due(DUE, &prefix, number(now), None, limit).await?.entries;
        let ids = due.iter().filter_map(|key| key.strip_suffix("#due"));
        Ok(ids.map(str::to_owned).collect())
    }

    /// Returns the ids of the campaigns that send messages at `now` (epoch seconds): those that are due, and neither wait nor have to
    /// load first. One that a caller has just paused or cancelled may send until its run notices.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn sending_campaigns(&self, now: i64) -> Result<Vec<String>, StoreError> {
        let mut due = self.due_campaigns(now).await?;
        if due.len() > 1 {
            let items = self
                .read_batch(due.iter().map(|id| self.campaign_pk(id)).collect())
                .await?;
            due.retain(|id| {
                let item = items.get(&self.campaign_pk(id));
                let campaign = item.and_then(|item| Some((item, Campaign::from_attributes(id, item)?)));
                // No run of this version works on one that it cannot read.
                campaign.is_some_and(|(item, campaign)| {
                    let is_ordered_off = matches!(campaign.state, CampaignState::Paused | CampaignState::Cancelled);
                    campaign.is_sending() || (is_ordered_off && is_claimed(item, now))
                })
            });
        }
        Ok(due)
    }

    /// Takes the lease of a campaign for the run `owner` until `until`. The run itself ends at `ends`. Times are in epoch
    /// seconds.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn lease_campaign(
        &self,
        id: &str,
        owner: &str,
        now: i64,
        until: i64,
        ends: i64,
    ) -> Result<CampaignLease, StoreError> {
        let pk = self.campaign_pk(id);
        let Some(item) = self.read(&pk, true).await? else {
            return Ok(CampaignLease::Gone);
        };
        let has_died = item.contains_key("owner");
        let values = [
            (":owner", text(owner)),
            (":now", number(now)),
            (":until", number(until)),
            (":ends", number(ends)),
        ];
        let condition = format!("attribute_exists(pk) AND ({FREE} OR {MINE})");
        let update = self.update(
            &pk,
            "SET #owner = :owner, claim_expires_at = :until, run_ends_at = :ends",
            Some(&condition),
            values,
        );
        match self.claim(&pk, update).await? {
            Ok(item) => Ok(CampaignLease::Won(Box::new(LeasedCampaign {
                campaign: Campaign::stored("UpdateItem", id, &item)?,
                has_died,
                is_deleted: item.contains_key("deleted"),
            }))),
            Err(item) if item.is_empty() => Ok(CampaignLease::Gone),
            Err(item) => Ok(CampaignLease::Held {
                run_ends_at: get_number(&item, "run_ends_at"),
            }),
        }
    }

    /// Renews the lease of the run `owner` until `until` (epoch seconds) and stores how far it has come. Returns the campaign as
    /// it is now, or `None` when another run has the lease.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written. The run must not send without a lease.
    pub async fn renew_campaign(
        &self,
        id: &str,
        owner: &str,
        progress: &Progress,
        until: i64,
    ) -> Result<Option<LeasedCampaign>, StoreError> {
        let values = [
            (":owner", text(owner)),
            (":until", number(until)),
            (":progress", text(json::write(progress))),
        ];
        let update = self
            .update(
                &self.campaign_pk(id),
                "SET claim_expires_at = :until, progress = :progress",
                Some(MINE),
                values,
            )
            .return_values(ReturnValue::AllNew);
        match update.send().await {
            Ok(output) => {
                let item = output.attributes.unwrap_or_default();
                Ok(Some(LeasedCampaign {
                    campaign: Campaign::stored("UpdateItem", id, &item)?,
                    has_died: false,
                    is_deleted: item.contains_key("deleted"),
                }))
            }
            Err(error) if is_condition_failure(&error) => Ok(None),
            Err(error) => Err(StoreError::from_sdk("UpdateItem", &error)),
        }
    }

    /// Stores the chunks and entries that a run has read from WeChat, and how far it has come. Returns `false` when another run
    /// has the lease.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn extend_campaign(
        &self,
        id: &str,
        owner: &str,
        progress: &Progress,
        chunks: u32,
        entries: u64,
    ) -> Result<bool, StoreError> {
        let values = [
            (":owner", text(owner)),
            (":progress", text(json::write(progress))),
            (":chunks", number(chunks)),
            (":entries", number(entries)),
        ];
        let update = self.update(
            &self.campaign_pk(id),
            "SET progress = :progress, chunks = :chunks, entries = :entries",
            Some(MINE),
            values,
        );
        written_if("UpdateItem", update.send().await)
    }

    /// Stores the state that the run `owner` has reached. `due` (epoch seconds) ends the run's lease and says when the
    /// worker has to look at the campaign next, `None` keeps the lease. Returns `false`, and changes nothing, when a caller
    /// has changed the campaign since `changes` was read, or another run has the lease.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written. The change may have happened.
    pub async fn advance_campaign(
        &self,
        campaign: &Campaign,
        owner: &str,
        state: &NewState,
        due: Option<i64>,
    ) -> Result<bool, StoreError> {
        let (set, mut removed, mut values) = state_change(state);
        values.extend([
            (":owner", text(owner)),
            (":changes", number(campaign.changes)),
            (":progress", text(json::write(&campaign.progress))),
        ]);
        if due.is_some() {
            removed.push_str(", #owner, claim_expires_at, run_ends_at");
        }
        let expression = format!("SET {set}, progress = :progress REMOVE {removed}");
        let condition = format!("{MINE} AND changes = :changes");
        let pk = self.campaign_pk(&campaign.id);
        let Some(due) = due else {
            let update = self.update(&pk, &expression, Some(&condition), values);
            return written_if("UpdateItem", update.send().await);
        };
        Transaction::new(self)
            .update(&pk, &expression, &condition, values)
            .put_always(&self.due_pk(&campaign.id), self.due_place(due))
            .commit()
            .await
    }

    /// Deletes what is left of a campaign after [`Self::delete_chunks`]. Its parts expire by themselves.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn forget_campaign(&self, id: &str) -> Result<(), StoreError> {
        for pk in [self.campaign_pk(id), self.due_pk(id)] {
            written("DeleteItem", self.delete(&pk).send().await)?;
        }
        Ok(())
    }

    fn due_place(&self, due: i64) -> [(&'static str, AttributeValue); 2] {
        indexed(self.due(DUE), due)
    }

    fn campaign_pk(&self, id: &str) -> String {
        format!("{}#{id}", self.pk("campaign"))
    }

    fn due_pk(&self, id: &str) -> String {
        format!("{}#due", self.campaign_pk(id))
    }
}

/// A campaign whose lease this run holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeasedCampaign {
    /// The campaign.
    pub campaign: Campaign,
    /// Whether the run before has died: its totals may be behind its ledgers.
    pub has_died: bool,
    /// Whether somebody has deleted it.
    pub is_deleted: bool,
}

/// The result of taking a campaign's lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CampaignLease {
    /// This run has the lease.
    Won(Box<LeasedCampaign>),
    /// Another run has the lease.
    Held {
        /// When that run ends, in epoch seconds.
        run_ends_at: Option<i64>,
    },
    /// There is no such campaign.
    Gone,
}

/// The expressions of a change of state: what it sets, what it removes, and its values. The removals are never empty: no
/// state both waits and has ended.
fn state_change(state: &NewState) -> (String, String, Vec<(&'static str, AttributeValue)>) {
    let mut set = "#state = :state".to_owned();
    let mut removed = Vec::new();
    let mut values = vec![(":state", text(state.state.as_str()))];
    let optional = [
        (
            "waiting_for",
            ":waiting_for",
            state.waiting_for.map(|waiting| text(waiting.as_str())),
        ),
        ("resumes_at", ":resumes_at", state.resumes_at.map(number)),
        ("reason", ":reason", state.reason.as_ref().map(text)),
        ("finished_at", ":finished_at", state.finished_at.map(number)),
    ];
    for (name, value_name, value) in optional {
        match value {
            Some(value) => {
                // Writing to a text cannot fail.
                let _ = write!(set, ", {name} = {value_name}");
                values.push((value_name, value));
            }
            None => removed.push(name),
        }
    }
    if let Some(started_at) = state.started_at {
        set.push_str(", started_at = :started_at");
        values.push((":started_at", number(started_at)));
    }
    (set, removed.join(", "), values)
}

fn apply(campaign: &mut Campaign, state: &NewState) {
    campaign.state = state.state;
    campaign.waiting_for = state.waiting_for;
    campaign.resumes_at = state.resumes_at;
    campaign.reason.clone_from(&state.reason);
    campaign.finished_at = state.finished_at;
    campaign.started_at = state.started_at.or(campaign.started_at);
}
