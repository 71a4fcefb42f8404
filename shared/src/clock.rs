//! Time as an argument: domain code reads a [`Clock`] instead of the machine's clock, so that tests need not sleep.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A clock that can be read and waited on.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn now_millis(&self) -> i64;

    /// Waits until `duration` has passed on this clock.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// Seconds since the Unix epoch.
    fn now(&self) -> i64 {
        self.now_millis().div_euclid(1000)
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_millis(&self) -> i64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        millis(since_epoch)
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// Returns the milliseconds of `duration`, as times of a [`Clock`] are counted.
#[must_use]
pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Returns the duration of `millis` milliseconds: none when they are below 0.
#[must_use]
pub fn duration(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// Seconds. Beijing's time is this far ahead of UTC, all year.
const BEIJING: i64 = 8 * 3600;

const SECONDS_A_DAY: i64 = 24 * 3600;

/// Returns the seconds to the next midnight in Beijing: 1 to 86,400.
#[must_use]
pub const fn until_midnight_in_beijing(now: i64) -> i64 {
    SECONDS_A_DAY - now.saturating_add(BEIJING).rem_euclid(SECONDS_A_DAY)
}

/// Returns the day in Beijing at `now`, in epoch seconds, as `YYYY-MM-DD`.
#[must_use]
pub fn beijing_day(now: i64) -> String {
    // Counts from 0000-03-01, so that a leap day is the last day of its year: 400 years have 146,097 days.
    let days = now.saturating_add(BEIJING).div_euclid(SECONDS_A_DAY) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March have 31, 30, 31, 30, 31 days, and again: 153 days in five.
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = 400 * era + year_of_era + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Milliseconds. A deadline further in the past is ignored: some local emulators send a constant of 1970.
const IMPLAUSIBLE_AFTER_MILLIS: i64 = 60_000;

/// The time at which Lambda ends the invocation, in epoch milliseconds, if there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deadline(Option<i64>);

impl Deadline {
    /// No deadline: one machine, or a test.
    pub const NONE: Self = Self(None);

    /// Reads Lambda's `lambda-runtime-deadline-ms`. Ignores a deadline that passed more than a minute ago.
    #[must_use]
    pub fn from_lambda(deadline_millis: u64, now_millis: i64) -> Self {
        let deadline = i64::try_from(deadline_millis).unwrap_or(i64::MAX);
        Self((now_millis.saturating_sub(deadline) <= IMPLAUSIBLE_AFTER_MILLIS).then_some(deadline))
    }

    /// The earlier of this deadline and the end of `at_most` from now.
    #[must_use]
    pub fn within(self, now_millis: i64, at_most: Duration) -> Self {
        let end = now_millis.saturating_add(millis(at_most));
        Self(Some(self.0.map_or(end, |deadline| deadline.min(end))))
    }

    /// This deadline moved earlier by `reserve`, the time for the work after it.
    #[must_use]
    pub fn before(self, reserve: Duration) -> Self {
        Self(self.0.map(|deadline| deadline.saturating_sub(millis(reserve))))
    }

    /// The time budget of a step: `at_most`, or less when the step must end `margin` before the deadline.
    #[must_use]
    pub fn budget(self, now_millis: i64, at_most: Duration, margin: Duration) -> Duration {
        let Some(deadline) = self.0 else { return at_most };
        let left = duration(deadline.saturating_sub(now_millis));
        left.saturating_sub(margin).min(at_most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_767_225_600_000;
    const EIGHT: Duration = Duration::from_secs(8);
    const MARGIN: Duration = Duration::from_secs(1);

    #[test]
    fn a_day_begins_at_midnight_in_beijing() {
        for (now, day) in [
            (0, "1970-01-01"),
            (951_753_599, "2000-02-28"),
            (951_753_600, "2000-02-29"),
            (951_840_000, "2000-03-01"),
            (1_767_196_799, "2025-12-31"),
            (1_767_196_800, "2026-01-01"),
            (4_107_513_600, "2100-03-01"),
        ] {
            assert_eq!(beijing_day(now), day, "{now}");
        }
    }

    #[test]
    fn a_budget_ends_before_the_deadline() {
        let deadline = Deadline::from_lambda(NOW as u64 + 5_000, NOW);
        assert_eq!(deadline.budget(NOW, EIGHT, MARGIN), Duration::from_secs(4));
        assert_eq!(deadline.budget(NOW + 4_500, EIGHT, MARGIN), Duration::ZERO);
        assert_eq!(
            Deadline::from_lambda(NOW as u64 + 60_000, NOW).budget(NOW, EIGHT, MARGIN),
            EIGHT
        );
    }

    #[test]
    fn a_deadline_of_1970_counts_as_none() {
        assert_eq!(Deadline::from_lambda(600_000, NOW), Deadline::NONE);
        assert_eq!(Deadline::NONE.budget(NOW, EIGHT, MARGIN), EIGHT);
    }

    #[test]
    fn the_sooner_of_a_deadline_and_a_limit_counts() {
        let deadline = Deadline::from_lambda(NOW as u64 + 5_000, NOW);
        assert_eq!(deadline.within(NOW, EIGHT), deadline);
        let limited = Deadline::NONE.within(NOW, EIGHT);
        assert_eq!(limited.budget(NOW, 2 * EIGHT, MARGIN), Duration::from_secs(7));
    }

    #[test]
    fn a_deadline_that_has_just_passed_counts() {
        let deadline = Deadline::from_lambda(NOW as u64 - 10, NOW);
        assert_eq!(deadline.budget(NOW, EIGHT, MARGIN), Duration::ZERO);
    }
}
