//! Campaigns: one template message to any number of people, with the truth about each of them.
//!
//! An audience is kept in chunks of at most [`CHUNK`] entries. Each chunk has a [`Ledger`] with the state of its entries, and
//! the totals of a campaign are the sum of its ledgers. `send-template` serves the API, `worker` loads, sends and settles.

mod ledger;
mod order;
mod recipient;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use self::{
    ledger::{Change, Ledger, Mark, RecipientState, Totals},
    order::{NewState, Order, Refused},
    recipient::{CHUNK, CHUNK_BYTES, OWN_DATA_BYTES, Recipient, into_chunks},
};
use crate::{
    api::{CLIENT_MSG_ID_LENGTH, FieldValue, TemplateContent, TemplateMessage},
    digest::sha256_hex,
    names::names,
};

/// The state of a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CampaignState {
    /// The campaign can be changed, and has not been started.
    Draft,
    /// The audience is being read, and people who are in it twice are found.
    Loading,
    /// The audience is known or is read later, and the start is in the future.
    Scheduled,
    /// The first few messages go out, and their receipts are awaited.
    Canary,
    /// Messages go out.
    Running,
    /// No message goes out until something outside changes: see [`WaitingFor`].
    Waiting,
    /// Somebody has paused the campaign.
    Paused,
    /// WeChat refuses the message, or too many people: somebody has to look.
    Stopped,
    /// Every person has had a turn.
    Done,
    /// Somebody has cancelled the campaign.
    Cancelled,
}

/// What a waiting campaign waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitingFor {
    /// The next day's quota.
    Quota,
    /// The IP whitelist (40164).
    Whitelist,
    /// A usable access_token.
    Token,
    /// WeChat itself, which does not answer.
    Platform,
}

/// Who gets the message.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Audience {
    /// Those whom the parts name.
    List,
    /// All followers at the time of the start.
    Followers,
    /// The followers with this tag at the time of the start.
    Tag(u32),
}

/// The first few messages, whose receipts decide whether the others go out.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Canary {
    /// Messages.
    pub count: u32,
    /// Seconds to wait for their receipts.
    pub wait: u32,
}

/// What the caller decides when the campaign is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// A name for people.
    pub name: String,
    /// The message.
    pub content: TemplateContent,
    /// Who gets it.
    pub audience: Audience,
    /// Messages a second.
    pub pace: u32,
    /// When the first message may go out, in epoch seconds. `None` for at once.
    pub start_at: Option<i64>,
    /// The first few messages. `None` without any.
    pub canary: Option<Canary>,
    /// Calls of the day's quota that are left to single sends. `None` for 1 %, at most 1,000.
    pub keep_for_single_sends: Option<u64>,
    /// With `"validate": "warn"` the campaign also loads and sends values that break WeChat's rules for fields.
    pub only_warns: bool,
}

/// A campaign as the table keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Campaign {
    /// Its id.
    pub id: String,
    /// What it is.
    pub plan: Plan,
    /// In epoch seconds.
    pub created_at: i64,
    /// Its state.
    pub state: CampaignState,
    /// What it waits for, in the state [`CampaignState::Waiting`].
    pub waiting_for: Option<WaitingFor>,
    /// When a waiting campaign resumes or checks again, in epoch seconds.
    pub resumes_at: Option<i64>,
    /// Why it stopped or waits, in English and Chinese.
    pub reason: Option<String>,
    /// Entries of its complete parts, people named twice included.
    pub entries: u64,
    /// Chunks that have a number. Those of `incomplete` parts do not count.
    pub chunks: u32,
    /// The first chunk and the number of chunks of each part that was begun and not completed.
    pub incomplete: BTreeSet<(u32, u32)>,
    /// When it was started, in epoch seconds.
    pub started_at: Option<i64>,
    /// When it ended, in epoch seconds.
    pub finished_at: Option<i64>,
    /// How far the work on it has come.
    pub progress: Progress,
    /// The number of changes by callers of the API, by which the worker notices them.
    pub changes: u64,
    /// When the run that works on it ends, in epoch seconds.
    pub run_ends_at: Option<i64>,
}

/// How far the work on a campaign has come. Only the run that holds the lease changes it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default)]
pub struct Progress {
    /// The step of loading that is next.
    pub loading: Loading,
    /// The number of recipients; 0 before loading ends.
    pub recipients: u64,
    /// The state of each of them. The sum is `recipients`.
    pub totals: Totals,
    /// People who were refused while the audience was loaded: WeChat was not asked for them.
    pub refused_at_loading: u64,
    /// The refused ones by errcode, or by `unknown-user`.
    pub refusals: BTreeMap<String, u64>,
    /// All chunks before this one are sent.
    pub position: u32,
    /// How far the canary has come, if the plan has one.
    pub canary: CanaryStep,
    /// What WeChat answered first.
    pub first_answers: FirstAnswers,
    /// What WeChat answered last.
    pub last_answers: LastAnswers,
    /// The checks for receipts since the last message.
    pub looks_for_receipts: Looks,
    /// Probes since the wait began.
    pub probes: u32,
    /// The resend in progress.
    pub resend: Option<Resend>,
    /// Chunks that are deleted already.
    pub deleted: u32,
}

/// How far a canary has come.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CanaryStep {
    /// Its messages are not all sent.
    #[default]
    Sending,
    /// Its receipts are awaited until this time, in epoch seconds.
    AwaitingReceipts(i64),
    /// Its receipts were judged.
    Over,
}

/// WeChat's first answers: a campaign is wrong when WeChat refuses its very first messages.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FirstAnswers {
    /// WeChat has accepted no message, and refused this many.
    Refused(u32),
    /// WeChat has accepted a message.
    Accepted,
}

impl Default for FirstAnswers {
    fn default() -> Self {
        Self::Refused(0)
    }
}

/// Answers that [`LastAnswers`] holds.
pub const LAST_ANSWERS: usize = 200;

/// WeChat's last answers: a campaign is wrong when WeChat refuses many messages in a row.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct LastAnswers(String);

impl LastAnswers {
    const ACCEPTED: char = '0';
    const REFUSED: char = '1';

    /// Adds an answer, in place of the oldest one when there are [`LAST_ANSWERS`].
    pub fn push(&mut self, is_refusal: bool) {
        if self.0.len() >= LAST_ANSWERS {
            self.0.remove(0);
        }
        self.0.push(if is_refusal { Self::REFUSED } else { Self::ACCEPTED });
    }

    /// The number of refusals, once there are [`LAST_ANSWERS`].
    #[must_use]
    pub fn refused(&self) -> Option<usize> {
        (self.0.len() >= LAST_ANSWERS).then(|| self.0.matches(Self::REFUSED).count())
    }
}

/// The checks for receipts since the last message.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Looks {
    /// Checks so far.
    pub made: u32,
    /// When the next one is due, in epoch seconds. `None` when none is.
    pub next_at: Option<i64>,
}

/// A resend: the message goes again to the recipients whose outcome was unknown.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Resend {
    /// The state that the campaign returns to.
    pub returns_to: CampaignState,
    /// How far it has come.
    pub step: ResendStep,
}

/// How far a resend has come.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ResendStep {
    /// The recipients whose outcome is unknown are being queued again.
    Requeueing,
    /// They are being sent the message.
    Sending,
}

impl Progress {
    /// Whether recipients are being queued again for a resend.
    #[must_use]
    pub fn is_requeueing(&self) -> bool {
        self.resend.is_some_and(|resend| resend.step == ResendStep::Requeueing)
    }
}

/// A step of loading. Every step can be repeated.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "step")]
pub enum Loading {
    /// Not begun.
    #[default]
    Ahead,
    /// Reads followers after this openid.
    Followers {
        /// The last openid of the page before. Empty for the first page.
        after: String,
    },
    /// Resolves users from this chunk on.
    Users {
        /// The chunk.
        chunk: u32,
    },
    /// Finds people who are in the audience twice.
    Duplicates {
        /// The current pass. Each looks at one of `passes` shares of all people.
        pass: u32,
        /// The number of shares.
        passes: u32,
        /// Different people found in earlier passes.
        people: u64,
    },
    /// The audience is known.
    Over,
}

names!(CampaignState {
    Draft = "draft",
    Loading = "loading",
    Scheduled = "scheduled",
    Canary = "canary",
    Running = "running",
    Waiting = "waiting",
    Paused = "paused",
    Stopped = "stopped",
    Done = "done",
    Cancelled = "cancelled",
});

impl CampaignState {
    /// Whether a run has work to do: messages may go out now or later, without anybody's order.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(
            self,
            Self::Loading | Self::Scheduled | Self::Canary | Self::Running | Self::Waiting
        )
    }

    /// Whether messages go out.
    #[must_use]
    pub const fn sends(self) -> bool {
        matches!(self, Self::Canary | Self::Running)
    }

    /// Whether it has ended. A stopped one can be resumed, and counts as ended too.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Stopped | Self::Done | Self::Cancelled)
    }
}

names!(WaitingFor {
    Quota = "quota",
    Whitelist = "whitelist",
    Token = "token",
    Platform = "platform",
});

impl Campaign {
    /// Returns the state in which work goes on at `now`, in epoch seconds: after a start, a pause, a wait or a stop.
    #[must_use]
    pub fn state_of_work(&self, now: i64) -> CampaignState {
        let Self { plan, progress, .. } = self;
        let is_early = plan.start_at.is_some_and(|start| now < start);
        let is_loaded = progress.loading == Loading::Over;
        match (is_loaded, is_early) {
            // Followers are read when the campaign is due.
            (false, true) if plan.audience != Audience::List => CampaignState::Scheduled,
            (false, _) => CampaignState::Loading,
            (true, true) => CampaignState::Scheduled,
            (true, false)
                if plan.canary.is_some() && progress.canary != CanaryStep::Over && progress.resend.is_none() =>
            {
                CampaignState::Canary
            }
            (true, false) => CampaignState::Running,
        }
    }

    /// Whether messages go out now. A canary sends until all its messages are sent.
    #[must_use]
    pub const fn is_sending(&self) -> bool {
        match self.state {
            CampaignState::Running => true,
            CampaignState::Canary => matches!(self.progress.canary, CanaryStep::Sending),
            _ => false,
        }
    }

    /// Whether the chunk belongs to a part that was not completed.
    #[must_use]
    pub fn skips(&self, chunk: u32) -> bool {
        let mut incomplete = self.incomplete.iter();
        incomplete.any(|(first, count)| (*first..first.saturating_add(*count)).contains(&chunk))
    }

    /// Returns the number of people, or of entries before the audience is loaded.
    #[must_use]
    pub fn recipients(&self) -> u64 {
        if self.progress.loading == Loading::Over {
            self.progress.recipients
        } else {
            self.entries
        }
    }

    /// The state of each person. Before the audience is known, everybody is queued.
    #[must_use]
    pub fn totals(&self) -> Totals {
        if self.progress.loading == Loading::Over {
            self.progress.totals
        } else {
            Totals {
                queued: self.entries,
                ..Totals::default()
            }
        }
    }

    /// The number of people to whom the message is still to be sent: in a resend those whose outcome is unknown.
    #[must_use]
    pub fn left(&self) -> u64 {
        let totals = self.totals();
        match self.progress.resend {
            Some(_) => totals.unknown,
            None => totals.queued,
        }
    }

    /// The message to one recipient whose openid is known. Own data replaces the campaign's member by member.
    #[must_use]
    pub fn message(&self, app_id: &str, openid: &str, own: &BTreeMap<String, FieldValue>) -> TemplateMessage {
        let id = client_msg_id(app_id, &self.id, openid);
        let mut message = self.plan.content.message(openid.to_owned(), id);
        message.data.extend(own.clone());
        message
    }
}

/// Calls of the day's quota that a campaign leaves to single sends: `kept`, or else 1 % of `daily_limit`, at most 1,000.
#[must_use]
pub fn reserve(kept: Option<u64>, daily_limit: u64) -> u64 {
    const MOST: u64 = 1_000;
    kept.unwrap_or_else(|| (daily_limit / 100).min(MOST))
}

/// The `client_msg_id` of a campaign's message to one person: the same at every attempt.
fn client_msg_id(app_id: &str, campaign: &str, openid: &str) -> String {
    let mut id = sha256_hex(format!("{app_id} {campaign} {openid}").as_bytes());
    id.truncate(CLIENT_MSG_ID_LENGTH);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn campaign(audience: Audience) -> Campaign {
        Campaign {
            id: "c1".to_owned(),
            plan: Plan {
                name: "n".to_owned(),
                content: TemplateContent {
                    template_id: "T".to_owned(),
                    url: None,
                    miniprogram: None,
                    data: BTreeMap::new(),
                },
                audience,
                pace: 50,
                start_at: None,
                canary: None,
                keep_for_single_sends: None,
                only_warns: false,
            },
            created_at: 0,
            state: CampaignState::Draft,
            waiting_for: None,
            resumes_at: None,
            reason: None,
            entries: 0,
            chunks: 0,
            incomplete: BTreeSet::new(),
            started_at: None,
            finished_at: None,
            progress: Progress::default(),
            changes: 0,
            run_ends_at: None,
        }
    }

    #[test]
    fn a_list_is_loaded_at_once_and_followers_when_the_campaign_is_due() {
        let mut list = campaign(Audience::List);
        list.plan.start_at = Some(100);
        assert_eq!(list.state_of_work(50), CampaignState::Loading);
        list.progress.loading = Loading::Over;
        assert_eq!(list.state_of_work(50), CampaignState::Scheduled);
        assert_eq!(list.state_of_work(100), CampaignState::Running);

        let mut followers = campaign(Audience::Followers);
        followers.plan.start_at = Some(100);
        assert_eq!(followers.state_of_work(50), CampaignState::Scheduled);
        assert_eq!(followers.state_of_work(100), CampaignState::Loading);
        followers.plan.canary = Some(Canary { count: 10, wait: 60 });
        followers.progress.loading = Loading::Over;
        assert_eq!(followers.state_of_work(100), CampaignState::Canary);
        followers.progress.canary = CanaryStep::Over;
        assert_eq!(followers.state_of_work(100), CampaignState::Running);
    }

    #[test]
    fn the_reserve_is_one_per_cent_and_at_most_a_thousand_unless_given() {
        assert_eq!(reserve(None, 50_000), 500);
        assert_eq!(reserve(None, 10_000_000), 1_000);
        assert_eq!(reserve(Some(7), 50_000), 7);
    }

    #[test]
    fn own_data_replaces_the_campaigns_member_by_member() {
        let text = |value: &str| FieldValue {
            value: value.to_owned(),
            color: None,
        };
        let mut campaign = campaign(Audience::List);
        campaign.plan.content.data = BTreeMap::from([("a".to_owned(), text("1")), ("b".to_owned(), text("2"))]);
        let own = BTreeMap::from([("b".to_owned(), text("3"))]);
        let message = campaign.message("wx1", "o1", &own);
        assert_eq!((&*message.data["a"].value, &*message.data["b"].value), ("1", "3"));
        assert_eq!(message.client_msg_id.len(), 32);
        assert_ne!(message.client_msg_id, campaign.message("wx1", "o2", &own).client_msg_id);
    }
}
