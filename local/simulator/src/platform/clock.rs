//! The simulator's clock: the machine's, moved forward on request.
//!
//! It governs what the platform keeps: token lifetimes, daily quotas, the window of `client_msg_id`. Callbacks carry
//! the machine's own time, because the server that checks them keeps an unmoved clock.

use std::time::{SystemTime, UNIX_EPOCH};

use time::{Date, Month, OffsetDateTime};

/// Seconds. WeChat's days and months are China's: UTC+8.
const CHINA_OFFSET: i64 = 8 * 3_600;

/// Seconds since the epoch by the machine's clock.
pub(crate) fn wall_seconds() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX)
}

/// The machine's clock plus the seconds skipped so far.
#[derive(Default)]
pub(crate) struct Clock {
    advanced: i64,
}

impl Clock {
    /// Seconds since the epoch.
    pub(crate) fn now(&self) -> i64 {
        wall_seconds().saturating_add(self.advanced)
    }

    /// Seconds skipped so far.
    pub(crate) fn advanced(&self) -> i64 {
        self.advanced
    }

    pub(crate) fn advance(&mut self, seconds: u32) {
        self.advanced = self.advanced.saturating_add(i64::from(seconds));
    }
}

/// The date in China. After the year 9999 it no longer changes.
pub(crate) fn day(now: i64) -> Date {
    OffsetDateTime::from_unix_timestamp(now.saturating_add(CHINA_OFFSET)).map_or(Date::MAX, OffsetDateTime::date)
}

/// The year and month in China.
pub(crate) fn month(now: i64) -> (i32, Month) {
    let day = day(now);
    (day.year(), day.month())
}

/// How often something happened in the current period, such as a day or a month.
pub(crate) struct Counter<P> {
    period: Option<P>,
    times: u32,
}

impl<P> Default for Counter<P> {
    fn default() -> Self {
        Self { period: None, times: 0 }
    }
}

impl<P: PartialEq + Copy> Counter<P> {
    pub(crate) fn times(&self, period: P) -> u32 {
        if self.period == Some(period) { self.times } else { 0 }
    }

    /// Counts once more; false when the period's limit is reached.
    pub(crate) fn count(&mut self, period: P, limit: u32) -> bool {
        let times = self.times(period);
        if times < limit {
            *self = Self {
                period: Some(period),
                times: times + 1,
            };
        }
        times < limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_months_turn_at_midnight_in_china() {
        // 2026-02-28 15:59:59 UTC is one second before March in China.
        let last_of_february = 1_772_294_399;
        assert_eq!(day(last_of_february).next_day(), Some(day(last_of_february + 1)));
        assert_eq!(month(last_of_february), (2026, Month::February));
        assert_eq!(month(last_of_february + 1), (2026, Month::March));
        // 2026-12-31 and 2027-01-01, at noon UTC.
        assert_eq!(month(1_798_718_400), (2026, Month::December));
        assert_eq!(month(1_798_804_800), (2027, Month::January));
    }

    #[test]
    fn advancing_moves_the_clock_forward() {
        let mut clock = Clock::default();
        clock.advance(7_200);
        assert!(clock.now() - wall_seconds() >= 7_199);
    }
}
