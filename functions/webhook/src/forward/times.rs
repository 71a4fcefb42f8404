//! How long own code may take, so that WeChat gets its answer in time.

use std::time::Duration;

use wechat::{
    clock::{Deadline, duration, millis},
    forward::Showable,
};

use crate::patience::{ANSWERED_WITHIN, PATIENCE};

/// Milliseconds that are reserved after an attempt for the note of its outcome and the note for the doctor.
const AFTER_ATTEMPT: i64 = 600;
/// The longest budget at which the first delivery gets own code's reply. With a longer one the reply may be late, and a
/// repeat gets it.
const LATE_ABOVE: Duration = Duration::from_millis(4500);
/// How long own code may take for a callback that cannot be answered.
const UNANSWERABLE: Duration = Duration::from_secs(1);
/// Milliseconds by which a claim outlives the attempt: for the note of its outcome, and clock skew. With the default budget
/// the claim of a dead run ends before WeChat's next delivery.
const CLAIM_OUTLIVES: i64 = 700;

/// The times of one delivery, in epoch milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// When the gateway received it.
    arrival: i64,
    /// When own code's budget ends.
    budget_ends: i64,
    /// When it has to be answered.
    pub(super) answer_by: i64,
}

impl Times {
    /// Creates the times of a delivery that arrived at `arrival` (epoch milliseconds). Own code may take `budget` for a reply.
    pub(super) fn new(arrival: i64, budget: Duration, showable: Showable, deadline: Deadline, now: i64) -> Self {
        let budget_ends = match showable {
            Showable::TooLate => in_time(arrival).min(now + millis(UNANSWERABLE)),
            Showable::Expected if budget > LATE_ABOVE => arrival + millis(budget),
            Showable::Expected => in_time(arrival).min(arrival + millis(budget)),
        };
        let before_deadline = |end: i64, reserve: i64| {
            let left = deadline.budget(now, duration(end - now), duration(reserve));
            now + millis(left)
        };
        Self {
            arrival,
            budget_ends: before_deadline(budget_ends, AFTER_ATTEMPT),
            answer_by: before_deadline(arrival + ANSWERED_WITHIN, 0),
        }
    }

    /// The times of a repeat that asks own code again because the first delivery's run has died. That delivery came at
    /// `received` (epoch milliseconds), and the budget counts from then: it has to end before WeChat's last delivery does.
    pub(super) fn instead_of(self, received: i64, budget: Duration) -> Self {
        let ends = in_time(self.arrival).max(received + millis(budget));
        Self {
            budget_ends: self.budget_ends.min(ends),
            ..self
        }
    }

    /// The times when a late reply cannot be kept: no repeat would find it.
    pub(super) fn without_repeats(self) -> Self {
        Self {
            budget_ends: self.budget_ends.min(in_time(self.arrival)),
            ..self
        }
    }

    /// How long own code may take from `now` (epoch milliseconds) on.
    pub(super) fn budget(self, now: i64) -> Duration {
        duration(self.budget_ends - now)
    }

    /// How long it is from `now` (epoch milliseconds) until the answer is due.
    pub(super) fn until_answer(self, now: i64) -> Duration {
        duration(self.answer_by - now)
    }

    /// Whether WeChat hangs up before the end of the attempt whose claim ends at `claim_ends` (epoch milliseconds).
    pub(super) const fn hangs_up_before(self, claim_ends: i64) -> bool {
        claim_ends - CLAIM_OUTLIVES > self.arrival + PATIENCE
    }

    /// When the claim of an attempt ends, in epoch milliseconds.
    pub(super) const fn claim_ends(self) -> i64 {
        self.budget_ends + CLAIM_OUTLIVES
    }
}

/// When an attempt must end so that the same delivery can show its reply, in epoch milliseconds.
const fn in_time(arrival: i64) -> i64 {
    arrival + ANSWERED_WITHIN - AFTER_ATTEMPT
}
