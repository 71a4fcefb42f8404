//! Daily quotas per API, as protocol.md 4.7 lists them for a new account, and the clearing of them.

use std::collections::HashMap;

use crate::api::ApiError;
use crate::clock;

/// Calls a day. An API that is not listed is not counted.
const DAILY_LIMITS: &[(&str, u64)] = &[
    ("/cgi-bin/token", 2_000),
    ("/cgi-bin/stable_token", 500_000),
    ("/cgi-bin/menu/create", 1_000),
    ("/cgi-bin/menu/get", 10_000),
    ("/cgi-bin/menu/delete", 1_000),
    ("/cgi-bin/menu/addconditional", 2_000),
    ("/cgi-bin/menu/delconditional", 2_000),
    ("/cgi-bin/menu/trymatch", 20_000),
    ("/cgi-bin/message/template/send", 100_000),
    ("/cgi-bin/message/custom/send", 500_000),
];
const CLEARINGS_A_MONTH: u32 = 10;

/// What one API has used today.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) daily_limit: u64,
    pub(crate) used: u64,
}

/// The counters of one account.
#[derive(Default)]
pub(crate) struct Quotas {
    day: i64,
    used: HashMap<&'static str, u64>,
    cleared_in: (i64, u32),
}

impl Quotas {
    /// Counts a call; 45009 once the day's quota is used up.
    pub(crate) fn take(&mut self, path: &str, now: i64) -> Result<(), ApiError> {
        self.turn_day(now);
        let Some((path, limit)) = DAILY_LIMITS.iter().find(|(listed, _)| *listed == path) else {
            return Ok(());
        };
        let used = self.used.entry(path).or_default();
        if *used >= *limit {
            return Err(ApiError::of(45009));
        }
        *used += 1;
        Ok(())
    }

    /// The counter of a listed API.
    pub(crate) fn usage(&mut self, path: &str, now: i64) -> Option<Usage> {
        self.turn_day(now);
        let (path, daily_limit) = *DAILY_LIMITS.iter().find(|(listed, _)| *listed == path)?;
        Some(Usage {
            daily_limit,
            used: self.used.get(path).copied().unwrap_or_default(),
        })
    }

    /// Resets all counters, at most ten times a month.
    pub(crate) fn clear(&mut self, now: i64) -> Result<(), ApiError> {
        let month = clock::month(now);
        if self.cleared_in.0 != month {
            self.cleared_in = (month, 0);
        }
        if self.cleared_in.1 >= CLEARINGS_A_MONTH {
            return Err(ApiError::of(48006));
        }
        self.cleared_in.1 += 1;
        self.used.clear();
        Ok(())
    }

    fn turn_day(&mut self, now: i64) {
        let today = clock::day(now);
        if self.day != today {
            self.day = today;
            self.used.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000;
    const CREATE: &str = "/cgi-bin/menu/create";

    fn exhausted() -> Quotas {
        let mut quotas = Quotas::default();
        for _ in 0..1_000 {
            quotas.take(CREATE, NOW).unwrap();
        }
        quotas
    }

    #[test]
    fn a_used_up_quota_comes_back_the_next_day() {
        let mut quotas = exhausted();
        assert_eq!(quotas.take(CREATE, NOW).unwrap_err().errcode, 45009);
        assert_eq!(
            quotas.usage(CREATE, NOW),
            Some(Usage {
                daily_limit: 1_000,
                used: 1_000
            })
        );
        assert!(quotas.take("/cgi-bin/menu/delete", NOW).is_ok());
        assert!(quotas.take(CREATE, NOW + 86_400).is_ok());
    }

    #[test]
    fn clearing_works_ten_times_a_month() {
        let mut quotas = exhausted();
        for _ in 0..10 {
            quotas.clear(NOW).unwrap();
            assert!(quotas.take(CREATE, NOW).is_ok());
        }
        assert_eq!(quotas.clear(NOW).unwrap_err().errcode, 48006);
        assert!(quotas.clear(NOW + 31 * 86_400).is_ok());
    }
}
