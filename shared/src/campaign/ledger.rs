//! The ledger of a chunk: what is known of each of its recipients.
//!
//! A run writes [`Mark::InFlight`] before it asks WeChat for a recipient, and the outcome after that. What a dead run left in
//! flight may have been sent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::names::names;

/// What is known of one recipient, as the ledger keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// WeChat has not been asked, or has refused for a reason that does not concern this recipient.
    Queued,
    /// The outcome is unknown, and the message is to be sent again.
    Again,
    /// A run asks WeChat.
    InFlight,
    /// WeChat accepted the message.
    Sent,
    /// The message reached the user.
    Delivered,
    /// The user blocks messages of this account.
    Blocked,
    /// WeChat accepted the message and could not deliver it.
    Failed,
    /// WeChat refused this recipient.
    Refused,
    /// WeChat may have accepted the message.
    Unknown,
    /// Another entry names the same person.
    Duplicate,
}

/// What callers see of one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecipientState {
    /// The message waits for its turn, or is being sent.
    Queued,
    /// WeChat accepted the message. No receipt has come yet.
    Sent,
    /// The message reached the user.
    Delivered,
    /// The user blocks messages of this account.
    Blocked,
    /// WeChat accepted the message and could not deliver it.
    Failed,
    /// WeChat refused this recipient, or nobody is bound to the user.
    Refused,
    /// WeChat may have accepted the message.
    Unknown,
}

/// People by state.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Totals {
    /// The message waits for its turn, or is being sent.
    pub queued: u64,
    /// WeChat accepted the message. No receipt has come yet.
    pub sent: u64,
    /// The message reached the user.
    pub delivered: u64,
    /// The user blocks messages of this account.
    pub blocked: u64,
    /// WeChat accepted the message and could not deliver it.
    pub failed: u64,
    /// WeChat refused this recipient, or nobody is bound to the user.
    pub refused: u64,
    /// WeChat may have accepted the message.
    pub unknown: u64,
}

/// A new state of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// WeChat refused for a reason that does not concern this recipient, or was not asked.
    Requeued,
    /// WeChat accepted the message, with this msgid.
    Sent(String),
    /// WeChat refused this recipient, with this errcode, or `unknown-user`.
    Refused(String),
    /// WeChat may have accepted the message, asked first at this time (epoch seconds). The errcode of the last answer, if it
    /// had one.
    Unknown(i64, Option<String>),
    /// The receipt came: [`Mark::Delivered`], [`Mark::Blocked`] or [`Mark::Failed`].
    Receipt(Mark),
}

/// The ledger of a chunk: a mark for each entry, and what else is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Ledger {
    /// One letter for each entry.
    #[serde(rename = "m", with = "letters")]
    marks: Vec<Mark>,
    /// When entries were last marked as in flight, in epoch seconds.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    claimed_at: Option<i64>,
    /// The msgids, by position.
    #[serde(rename = "i", default, skip_serializing_if = "BTreeMap::is_empty")]
    msgids: BTreeMap<usize, String>,
    /// The errcodes, by position.
    #[serde(rename = "e", default, skip_serializing_if = "BTreeMap::is_empty")]
    errcodes: BTreeMap<usize, String>,
    /// When WeChat was first asked for an entry whose outcome is unknown, by position.
    #[serde(rename = "u", default, skip_serializing_if = "BTreeMap::is_empty")]
    asked_at: BTreeMap<usize, i64>,
}

// The letters that a stored ledger has.
names!(Mark {
    Queued = "q",
    Again = "w",
    InFlight = "a",
    Sent = "s",
    Delivered = "d",
    Blocked = "b",
    Failed = "f",
    Refused = "r",
    Unknown = "u",
    Duplicate = "x",
});

impl Mark {
    /// What callers see. `None` for an entry that does not count.
    #[must_use]
    pub const fn state(self) -> Option<RecipientState> {
        Some(match self {
            Self::Queued | Self::InFlight => RecipientState::Queued,
            Self::Sent => RecipientState::Sent,
            Self::Delivered => RecipientState::Delivered,
            Self::Blocked => RecipientState::Blocked,
            Self::Failed => RecipientState::Failed,
            Self::Refused => RecipientState::Refused,
            Self::Unknown | Self::Again => RecipientState::Unknown,
            Self::Duplicate => return None,
        })
    }
}

names!(RecipientState {
    Queued = "queued",
    Sent = "sent",
    Delivered = "delivered",
    Blocked = "blocked",
    Failed = "failed",
    Refused = "refused",
    Unknown = "unknown",
});

impl Totals {
    /// Returns the number of people in a state.
    pub const fn of(&mut self, state: RecipientState) -> &mut u64 {
        match state {
            RecipientState::Queued => &mut self.queued,
            RecipientState::Sent => &mut self.sent,
            RecipientState::Delivered => &mut self.delivered,
            RecipientState::Blocked => &mut self.blocked,
            RecipientState::Failed => &mut self.failed,
            RecipientState::Refused => &mut self.refused,
            RecipientState::Unknown => &mut self.unknown,
        }
    }

    /// Moves one person between two states.
    pub const fn shift(&mut self, from: RecipientState, to: RecipientState) {
        let count = self.of(from);
        *count = count.saturating_sub(1);
        *self.of(to) += 1;
    }

    /// Returns the number of all people.
    #[must_use]
    pub const fn all(&self) -> u64 {
        self.queued + self.sent + self.delivered + self.blocked + self.failed + self.refused + self.unknown
    }
}

impl Ledger {
    /// Creates the ledger of a chunk with `entries` entries, all queued.
    #[must_use]
    pub fn new(entries: usize) -> Self {
        Self {
            marks: vec![Mark::Queued; entries],
            ..Self::default()
        }
    }

    /// Returns the marks, by position.
    #[must_use]
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// Returns the positions with a mark that `is_wanted`.
    pub fn positions(&self, is_wanted: impl Fn(Mark) -> bool) -> impl Iterator<Item = usize> {
        let marks = self.marks.iter().enumerate();
        marks
            .filter(move |(_, mark)| is_wanted(**mark))
            .map(|(position, _)| position)
    }

    /// Returns the msgid at a position.
    #[must_use]
    pub fn msgid(&self, position: usize) -> Option<&str> {
        self.msgids.get(&position).map(String::as_str)
    }

    /// Returns the errcode at a position.
    #[must_use]
    pub fn errcode(&self, position: usize) -> Option<&str> {
        self.errcodes.get(&position).map(String::as_str)
    }

    /// Returns when WeChat may first have been asked for the entry at a position, in epoch seconds. `None` when it was not, or
    /// its answer is known.
    #[must_use]
    pub fn asked_at(&self, position: usize) -> Option<i64> {
        match self.marks.get(position) {
            Some(Mark::InFlight) => self.claimed_at,
            Some(Mark::Unknown | Mark::Again) => self.asked_at.get(&position).copied(),
            _ => None,
        }
    }

    /// Returns when entries were last marked as in flight, in epoch seconds.
    #[must_use]
    pub const fn claimed_at(&self) -> Option<i64> {
        self.claimed_at
    }

    /// Marks the entries at `positions` as in flight from `now` (epoch seconds) on. None may be in flight yet.
    pub fn claim(&mut self, positions: &[usize], now: i64) {
        self.claimed_at = Some(now);
        for position in positions {
            self.set(*position, Mark::InFlight);
        }
    }

    /// Drops the entry at a position: another one names the same person.
    pub fn drop_duplicate(&mut self, position: usize) {
        self.set(position, Mark::Duplicate);
    }

    /// Queues the unknown entries for a resend. Until they are sent, their outcome stays unknown.
    pub fn requeue_unknown(&mut self) {
        for mark in &mut self.marks {
            if *mark == Mark::Unknown {
                *mark = Mark::Again;
            }
        }
    }

    /// Queues the entry at a position for a resend, as it was before it was claimed.
    pub fn queue_again(&mut self, position: usize) {
        self.set(position, Mark::Again);
    }

    /// Changes the state of the entry at a position.
    pub fn apply(&mut self, position: usize, change: Change) {
        self.asked_at.remove(&position);
        self.errcodes.remove(&position);
        let mark = match change {
            Change::Requeued => Mark::Queued,
            Change::Sent(msgid) => {
                self.msgids.insert(position, msgid);
                Mark::Sent
            }
            Change::Refused(errcode) => {
                self.errcodes.insert(position, errcode);
                Mark::Refused
            }
            Change::Unknown(asked_at, errcode) => {
                self.asked_at.insert(position, asked_at);
                self.errcodes.extend(errcode.map(|errcode| (position, errcode)));
                Mark::Unknown
            }
            Change::Receipt(mark) => mark,
        };
        self.set(position, mark);
    }

    /// Moves the people whose state differs from `before` in the totals, and counts refusals.
    pub fn count_changes(&self, before: &Self, totals: &mut Totals, refusals: &mut BTreeMap<String, u64>) {
        for (position, (old, new)) in before.marks.iter().zip(&self.marks).enumerate() {
            if let (Some(old), Some(new)) = (old.state(), new.state()) {
                totals.shift(old, new);
            }
            let refused = |ledger: &Self, mark: Mark| {
                let errcode = ledger.errcode(position).filter(|_| mark == Mark::Refused);
                errcode.map(str::to_owned)
            };
            let (was, is) = (refused(before, *old), refused(self, *new));
            if was == is {
                continue;
            }
            if let Some(errcode) = was
                && let Some(count) = refusals.get_mut(&errcode)
            {
                *count = count.saturating_sub(1);
            }
            if let Some(errcode) = is {
                *refusals.entry(errcode).or_default() += 1;
            }
        }
        refusals.retain(|_, count| *count > 0);
    }

    fn set(&mut self, position: usize, mark: Mark) {
        if let Some(place) = self.marks.get_mut(position) {
            *place = mark;
        }
    }
}

/// Writes marks as a text of one letter each.
mod letters {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::Mark;

    pub(super) fn serialize<S: Serializer>(marks: &[Mark], serializer: S) -> Result<S::Ok, S::Error> {
        let letters = marks.iter().map(|mark| mark.as_str());
        serializer.serialize_str(&letters.collect::<String>())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Mark>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mark = |letter: char| Mark::parse(letter.encode_utf8(&mut [0; 4]));
        let marks: Option<Vec<Mark>> = text.chars().map(mark).collect();
        marks.ok_or_else(|| D::Error::custom("an unknown mark in a ledger"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn totals_follow_every_change_and_always_add_up() {
        let mut ledger = Ledger::new(4);
        let mut totals = Totals {
            queued: 4,
            ..Totals::default()
        };
        let mut refusals = BTreeMap::new();
        let mut step = |change: &dyn Fn(&mut Ledger)| {
            let before = ledger.clone();
            change(&mut ledger);
            ledger.count_changes(&before, &mut totals, &mut refusals);
            assert_eq!(totals.all(), 4);
            (totals, refusals.clone())
        };
        let (totals, _) = step(&|ledger| ledger.claim(&[0, 1, 2, 3], 100));
        assert_eq!(totals.queued, 4);
        let (totals, refusals) = step(&|ledger| {
            ledger.apply(0, Change::Sent("7".to_owned()));
            ledger.apply(1, Change::Refused("43004".to_owned()));
            ledger.apply(2, Change::Unknown(100, None));
            ledger.apply(3, Change::Requeued);
        });
        assert_eq!(
            (totals.sent, totals.refused, totals.unknown, totals.queued),
            (1, 1, 1, 1)
        );
        assert_eq!(refusals, BTreeMap::from([("43004".to_owned(), 1)]));
        let (totals, _) = step(&|ledger| {
            ledger.apply(0, Change::Receipt(Mark::Delivered));
            ledger.requeue_unknown();
            assert_eq!(ledger.asked_at(2), Some(100));
        });
        assert_eq!((totals.delivered, totals.unknown, totals.queued), (1, 1, 1));
        let (_, refusals) = step(&|ledger| ledger.apply(1, Change::Requeued));
        assert!(refusals.is_empty());
    }

    #[test]
    fn a_ledger_survives_its_json() {
        let mut ledger = Ledger::new(3);
        ledger.claim(&[0, 1], 100);
        ledger.apply(0, Change::Sent("12345678901234567890".to_owned()));
        ledger.drop_duplicate(2);
        assert_eq!(ledger.asked_at(1), Some(100));
        let written = json::write(&ledger);
        assert_eq!(written, r#"{"m":"sax","t":100,"i":{"0":"12345678901234567890"}}"#);
        assert_eq!(serde_json::from_str::<Ledger>(&written).unwrap(), ledger);
        assert!(serde_json::from_str::<Ledger>(r#"{"m":"?"}"#).is_err());
    }
}
