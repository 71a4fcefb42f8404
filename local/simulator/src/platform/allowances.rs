//! The customer-service messages that the account may send to a user, by what the user did last.
//!
//! See [WeChat Docs/发送客服消息](https://developers.weixin.qq.com/doc/service/api/customer/message/api_sendcustommessage).

use serde::Serialize;
use serde_json::{Value, json};

use super::errcode::ApiError;

/// Seconds. How long a phone shows that the account is typing.
const TYPING_SECONDS: i64 = 15;
/// Seconds. The account may show that it is typing for this long after either of them did something.
const TYPING_WINDOW: i64 = 30;

/// What a user did that allows customer-service messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    /// A message: 5 within 48 hours.
    Message,
    /// A tap on the menu, a subscription or a scan: 3 within a minute.
    Tap,
    Follow,
    Scan,
    /// A payment: any number within 48 hours.
    Pay,
}

impl Action {
    /// How many messages the action allows (`None` is any number), and for how many seconds.
    const fn allows(self) -> (Option<u32>, i64) {
        match self {
            Self::Message => (Some(5), 48 * 3_600),
            Self::Pay => (None, 48 * 3_600),
            Self::Tap | Self::Follow | Self::Scan => (Some(3), 60),
        }
    }
}

/// What one action still allows.
#[derive(Debug)]
struct Allowance {
    after: Action,
    left: Option<u32>,
    ends_at: i64,
}

/// The allowances of one user, the newest of each action. They are not added up: a message counts against all.
#[derive(Debug, Default)]
pub(crate) struct Allowances {
    list: Vec<Allowance>,
    last_contact: Option<i64>,
    typing_until: i64,
}

impl Allowances {
    pub(crate) fn record(&mut self, after: Action, now: i64) {
        let (left, seconds) = after.allows();
        let ends_at = now + seconds;
        self.list.retain(|allowance| allowance.after != after);
        self.list.push(Allowance { after, left, ends_at });
        self.last_contact = Some(now);
    }

    /// Counts one message: 45015 when no allowance is left in time, 45047 when all are used up.
    pub(crate) fn take(&mut self, now: i64) -> Result<(), ApiError> {
        self.list.retain(|allowance| now < allowance.ends_at);
        if self.list.is_empty() {
            return Err(ApiError::of(45015));
        }
        if self.list.iter().all(|allowance| allowance.left == Some(0)) {
            return Err(ApiError::of(45047));
        }
        for left in self.list.iter_mut().filter_map(|allowance| allowance.left.as_mut()) {
            *left = left.saturating_sub(1);
        }
        self.typing_until = 0;
        self.last_contact = Some(now);
        Ok(())
    }

    /// What may still be sent, and for how long.
    pub(crate) fn state(&self, now: i64) -> Vec<Value> {
        let current = self.list.iter().filter(|allowance| now < allowance.ends_at);
        current
            .map(|Allowance { after, left, ends_at }| json!({"after": after, "left": left, "ends_in": ends_at - now}))
            .collect()
    }

    /// Shows or hides that the account is typing: 45080 without a recent contact, 45081 when it is shown
    /// already.
    pub(crate) fn show_typing(&mut self, start: bool, now: i64) -> Result<(), ApiError> {
        if self.last_contact.is_none_or(|at| now - at > TYPING_WINDOW) {
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
        let mut allowances = Allowances::default();
        assert_eq!(errcode(allowances.take(NOW)), 45015);
        allowances.record(Action::Message, NOW);
        for _ in 0..5 {
            assert_eq!(errcode(allowances.take(NOW + 48 * 3_600 - 1)), 0);
        }
        assert_eq!(errcode(allowances.take(NOW + 1)), 45047);
        allowances.record(Action::Message, NOW + 2);
        assert_eq!(errcode(allowances.take(NOW + 2)), 0);
        assert_eq!(errcode(allowances.take(NOW + 2 + 48 * 3_600)), 45015);
    }

    #[test]
    fn allowances_of_several_kinds_are_not_added_up() {
        let mut allowances = Allowances::default();
        allowances.record(Action::Follow, NOW);
        allowances.record(Action::Message, NOW);
        for _ in 0..5 {
            assert_eq!(errcode(allowances.take(NOW)), 0);
        }
        assert_eq!(errcode(allowances.take(NOW)), 45047);
        allowances.record(Action::Tap, NOW);
        assert_eq!(errcode(allowances.take(NOW)), 0);
    }

    #[test]
    fn typing_shows_after_whatever_happened_last() {
        let mut allowances = Allowances::default();
        assert_eq!(errcode(allowances.show_typing(true, NOW)), 45080);
        allowances.record(Action::Tap, NOW);
        assert_eq!(errcode(allowances.show_typing(true, NOW + 30)), 0);
        allowances.take(NOW + 50).unwrap();
        assert_eq!(errcode(allowances.show_typing(true, NOW + 80)), 0);
        assert_eq!(errcode(allowances.show_typing(false, NOW + 81)), 45080);
    }

    #[test]
    fn a_tap_allows_three_within_a_minute() {
        let mut allowances = Allowances::default();
        allowances.record(Action::Tap, NOW);
        for _ in 0..3 {
            assert_eq!(errcode(allowances.take(NOW + 59)), 0);
        }
        assert_eq!(errcode(allowances.take(NOW + 59)), 45047);
        assert_eq!(errcode(allowances.take(NOW + 60)), 45015);
    }
}
