//! Circuit breakers: own code that is down is not asked for a while, so that WeChat need not wait for it.

use wechat::forward::{AskError, Asked, Showable};

/// Failures in a row after which own code is not asked for [`OPEN_FOR`].
const FAILURES: u32 = 5;
/// Milliseconds for which own code is not asked after [`FAILURES`] failures.
pub(super) const OPEN_FOR: i64 = 30_000;

/// The breakers of an instance.
#[derive(Debug, Default)]
pub(super) struct Breakers {
    /// For callbacks that can be answered.
    answerable: Breaker,
    /// For the others, for which own code gets less time.
    unanswerable: Breaker,
}

#[derive(Debug, Default)]
struct Breaker {
    /// Failures in a row.
    failures: u32,
    /// Epoch milliseconds until which own code is not asked.
    open_until: i64,
}

impl Breakers {
    /// Whether the breaker is open at `now` (epoch milliseconds): own code is not asked.
    pub(super) const fn is_open(&self, showable: Showable, now: i64) -> bool {
        let breaker = match showable {
            Showable::Expected => &self.answerable,
            Showable::TooLate => &self.unanswerable,
        };
        now < breaker.open_until
    }

    /// Counts the outcome of asking own code, at `now` (epoch milliseconds).
    pub(super) fn count(&mut self, asked: &Asked, showable: Showable, now: i64) {
        match (asked, showable) {
            (Asked::Taken(_), _) => *self = Self::default(),
            (Asked::Gone, _) => {}
            // A timeout after one second does not mean that own code is down for callbacks that have more time.
            (Asked::NotTaken(AskError::NoAnswer(_)), Showable::TooLate) => self.unanswerable.fail(now),
            (Asked::NotTaken(_), _) => {
                self.answerable.fail(now);
                self.unanswerable.fail(now);
            }
        }
    }
}

impl Breaker {
    fn fail(&mut self, now: i64) {
        self.failures += 1;
        if self.failures >= FAILURES {
            self.open_until = now + OPEN_FOR;
        }
    }
}
