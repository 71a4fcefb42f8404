//! What a user has done lately, which decides on what the account may send unasked.

use serde::Serialize;
use serde_json::{Value, json};

use crate::api::ApiError;

/// How long the sign that the account is typing stays.
const TYPING_SECONDS: i64 = 15;
/// How fresh a message of the user's must be for it.
const TYPING_WINDOW: i64 = 30;

/// What allows customer-service messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Doing {
    /// A message: 5 within 48 hours.
    Message,
    /// A tap on the menu, a subscription or a scan: 3 within a minute.
    Tap,
    Follow,
    Scan,
    /// A payment: any number within 48 hours.
    Pay,
}

impl Doing {
    /// How many messages (`None` is any number), and for how many seconds.
    const fn allows(self) -> (Option<u32>, i64) {
        match self {
            Self::Message => (Some(5), 48 * 3_600),
            Self::Pay => (None, 48 * 3_600),
            Self::Tap | Self::Follow | Self::Scan => (Some(3), 60),
        }
    }
}

/// An allowance that ends with its messages or its time.
#[derive(Debug)]
struct Allowance {
    by: Doing,
    left: Option<u32>,
    ends_at: i64,
}

/// The allowances of one user, the newest of each kind. They are not added up: a message counts against all.
#[derive(Debug, Default)]
pub(crate) struct Doings {
    allowances: Vec<Allowance>,
    last_message: Option<i64>,
    typing_until: i64,
}

impl Doings {
    pub(crate) fn record(&mut self, by: Doing, now: i64) {
        let (left, seconds) = by.allows();
        let ends_at = now + seconds;
        self.allowances.retain(|allowance| allowance.by != by);
        self.allowances.push(Allowance { by, left, ends_at });
        if by == Doing::Message {
            self.last_message = Some(now);
        }
    }

    /// Uses one message up: 45015 when the user has done nothing lately, 45047 when all were sent.
    pub(crate) fn take(&mut self, now: i64) -> Result<(), ApiError> {
        self.allowances.retain(|allowance| now < allowance.ends_at);
        if self.allowances.is_empty() {
            return Err(ApiError::of(45015));
        }
        if self.allowances.iter().all(|allowance| allowance.left == Some(0)) {
            return Err(ApiError::of(45047));
        }
        for left in self
            .allowances
            .iter_mut()
            .filter_map(|allowance| allowance.left.as_mut())
        {
            *left = left.saturating_sub(1);
        }
        self.typing_until = 0;
        Ok(())
    }

    /// What may still be sent, and for how long.
    pub(crate) fn state(&self, now: i64) -> Vec<Value> {
        let lasting = self.allowances.iter().filter(|allowance| now < allowance.ends_at);
        lasting
            .map(|Allowance { by, left, ends_at }| json!({"after": by, "left": left, "ends_in": ends_at - now}))
            .collect()
    }

    /// Shows or hides the sign: 45080 without a message of late, 45081 when it is shown already.
    pub(crate) fn show_typing(&mut self, start: bool, now: i64) -> Result<(), ApiError> {
        if self.last_message.is_none_or(|at| now - at > TYPING_WINDOW) {
            return Err(ApiError::of(45080));
        }
        if start && now < self.typing_until {
            return Err(ApiError::of(45081));
        }
        self.typing_until = if start { now + TYPING_SECONDS } else { 0 };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000;

    fn errcode(result: Result<(), ApiError>) -> i64 {
        result.map_or_else(|error| error.errcode, |()| 0)
    }

    #[test]
    fn a_message_allows_five_within_two_days() {
        let mut doings = Doings::default();
        assert_eq!(errcode(doings.take(NOW)), 45015);
        doings.record(Doing::Message, NOW);
        for _ in 0..5 {
            assert_eq!(errcode(doings.take(NOW + 48 * 3_600 - 1)), 0);
        }
        assert_eq!(errcode(doings.take(NOW + 1)), 45047);
        doings.record(Doing::Message, NOW + 2);
        assert_eq!(errcode(doings.take(NOW + 2)), 0);
        assert_eq!(errcode(doings.take(NOW + 2 + 48 * 3_600)), 45015);
    }

    #[test]
    fn allowances_of_several_kinds_are_not_added_up() {
        let mut doings = Doings::default();
        doings.record(Doing::Follow, NOW);
        doings.record(Doing::Message, NOW);
        for _ in 0..5 {
            assert_eq!(errcode(doings.take(NOW)), 0);
        }
        assert_eq!(errcode(doings.take(NOW)), 45047);
        doings.record(Doing::Tap, NOW);
        assert_eq!(errcode(doings.take(NOW)), 0);
    }

    #[test]
    fn a_tap_allows_three_within_a_minute() {
        let mut doings = Doings::default();
        doings.record(Doing::Tap, NOW);
        for _ in 0..3 {
            assert_eq!(errcode(doings.take(NOW + 59)), 0);
        }
        assert_eq!(errcode(doings.take(NOW + 59)), 45047);
        assert_eq!(errcode(doings.take(NOW + 60)), 45015);
    }
}
