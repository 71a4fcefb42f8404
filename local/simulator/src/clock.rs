//! The simulator's clock: the machine's, moved forward on request.
//!
//! It governs what the platform keeps: token lifetimes, daily quotas, the window of `client_msg_id`. Callbacks carry the
//! machine's own time, because the clock of the server that checks them does not move along.

use std::time::{SystemTime, UNIX_EPOCH};

const SECONDS_A_DAY: i64 = 86_400;
/// WeChat's days and months are China's: UTC+8.
const CHINA_OFFSET: i64 = 8 * 3_600;

/// Seconds since the epoch by the machine's clock.
pub(crate) fn wall_seconds() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX)
}

/// The machine's clock plus what has been skipped.
#[derive(Default)]
pub(crate) struct Clock {
    advanced: i64,
}

impl Clock {
    /// Seconds since the epoch.
    pub(crate) fn now(&self) -> i64 {
        wall_seconds().saturating_add(self.advanced)
    }

    /// Seconds that were skipped so far.
    pub(crate) fn advanced(&self) -> i64 {
        self.advanced
    }

    pub(crate) fn advance(&mut self, seconds: u32) {
        self.advanced = self.advanced.saturating_add(i64::from(seconds));
    }
}

/// The number of the China day that `now` falls in.
pub(crate) fn day(now: i64) -> i64 {
    now.saturating_add(CHINA_OFFSET).div_euclid(SECONDS_A_DAY)
}

/// The number of the China month that `now` falls in, counted from year 0.
pub(crate) fn month(now: i64) -> i64 {
    // Years that begin in March put the leap day last, so that months have a fixed pattern of lengths.
    let days = day(now) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months_since_march = (5 * day_of_year + 2) / 153;
    (era * 400 + year_of_era) * 12 + months_since_march + 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_months_turn_at_midnight_in_china() {
        // 2026-02-28 15:59:59 UTC is one second before March in China.
        let last_of_february = 1_772_294_399;
        assert_eq!(day(last_of_february + 1), day(last_of_february) + 1);
        assert_eq!(month(last_of_february + 1), month(last_of_february) + 1);
        assert_eq!(month(last_of_february), 2026 * 12 + 1);
        // 2026-12-31 and 2027-01-01, at noon UTC.
        assert_eq!(month(1_798_718_400), 2026 * 12 + 11);
        assert_eq!(month(1_798_804_800), 2027 * 12);
    }

    #[test]
    fn advancing_moves_the_clock_forward() {
        let mut clock = Clock::default();
        clock.advance(7_200);
        assert!(clock.now() - wall_seconds() >= 7_199);
    }
}
