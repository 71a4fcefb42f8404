//! Quotas per API, by day and by minute, as WeChat lists them, and clearing them.
//!
//! See [WeChat Docs/接口调用频次限制](https://developers.weixin.qq.com/doc/service/Message_Management/API_Call_Limits.html),
//! [WeChat Docs/调用额度](https://developers.weixin.qq.com/doc/service/guide/dev/api/limit.html), and for the minute limit
//! [WeChat Docs/获取稳定版接口调用凭据](https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken.html).

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use time::{Date, Month};

use super::{
    account_type::AccountType,
    clock::{self, Counter},
    errcode::ApiError,
};

/// Path, calls a day for an account, and for a test account (接口测试号). Other APIs have no quota.
const DAILY_LIMITS: &[(&str, u64, u64)] = &[
    ("/cgi-bin/token", 2_000, 200),
    ("/cgi-bin/stable_token", 500_000, 500_000),
    ("/cgi-bin/menu/create", 1_000, 100),
    ("/cgi-bin/menu/get", 10_000, 1_000),
    ("/cgi-bin/menu/delete", 1_000, 100),
    ("/cgi-bin/menu/addconditional", 2_000, 2_000),
    ("/cgi-bin/menu/delconditional", 2_000, 2_000),
    ("/cgi-bin/menu/trymatch", 20_000, 20_000),
    ("/cgi-bin/message/template/send", 100_000, 100_000),
    ("/cgi-bin/message/custom/send", 500_000, 50_000),
    ("/cgi-bin/qrcode/create", 100_000, 10_000),
    ("/cgi-bin/ticket/getticket", 1_000_000, 1_000_000),
    ("/cgi-bin/media/upload", 100_000, 500),
    ("/cgi-bin/media/get", 200_000, 1_000),
    ("/cgi-bin/draft/add", 1_000, 1_000),
    ("/cgi-bin/freepublish/submit", 100, 100),
    ("/cgi-bin/user/get", 500, 100),
    ("/cgi-bin/user/info", 5_000_000, 500_000),
    ("/cgi-bin/user/info/batchget", 5_000_000, 500_000),
    ("/cgi-bin/user/info/updateremark", 10_000, 10_000),
];
/// Calls a minute.
const MINUTE_LIMITS: &[(&str, u64)] = &[("/cgi-bin/stable_token", 10_000)];
/// Calls of `clear_quota` and `clear_quota/v2`, and clicks on the console's button, together.
const CLEARINGS_A_MONTH: u32 = 10;
/// Calls of `openapi/quota/clear`.
const SINGLE_CLEARINGS_A_MONTH: u32 = 50;

/// The limits and the use of one API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Usage {
    pub(crate) path: &'static str,
    pub(crate) daily_limit: u64,
    pub(crate) used: u64,
    pub(crate) minute_limit: Option<u64>,
    pub(crate) used_this_minute: u64,
}

/// Limits in place of the platform's own, low enough to reach.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) daily: Option<u64>,
    pub(crate) minute: Option<u64>,
}

/// The counters of one account.
#[derive(Default)]
pub(crate) struct Quotas {
    day: Option<Date>,
    used: HashMap<&'static str, u64>,
    minute: i64,
    used_this_minute: HashMap<&'static str, u64>,
    set: BTreeMap<&'static str, Limits>,
    cleared: Counter<(i32, Month)>,
    cleared_singly: Counter<(i32, Month)>,
}

impl Quotas {
    /// Counts a call: 45009 when the day's quota is used up, 45011 when the minute's is.
    pub(crate) fn take(&mut self, path: &str, account: AccountType, now: i64) -> Result<(), ApiError> {
        let Some(usage) = self.usage(path, account, now) else {
            return Ok(());
        };
        if usage.used >= usage.daily_limit {
            return Err(ApiError::of(45009));
        }
        if usage.minute_limit.is_some_and(|limit| usage.used_this_minute >= limit) {
            return Err(ApiError::of(45011));
        }
        *self.used.entry(usage.path).or_default() += 1;
        *self.used_this_minute.entry(usage.path).or_default() += 1;
        Ok(())
    }

    /// The counter of a listed API.
    pub(crate) fn usage(&mut self, path: &str, account: AccountType, now: i64) -> Option<Usage> {
        self.start_new_periods(now);
        let (path, limit, test_limit) = *DAILY_LIMITS.iter().find(|(listed, ..)| *listed == path)?;
        let set = self.set.get(path).copied().unwrap_or_default();
        let minute_limit = MINUTE_LIMITS.iter().find(|(listed, _)| *listed == path);
        Some(Usage {
            path,
            daily_limit: set.daily.unwrap_or(if account.is_test() { test_limit } else { limit }),
            used: self.used.get(path).copied().unwrap_or_default(),
            minute_limit: set.minute.or(minute_limit.map(|(_, limit)| *limit)),
            used_this_minute: self.used_this_minute.get(path).copied().unwrap_or_default(),
        })
    }

    /// The counters of all listed APIs.
    pub(crate) fn state(&mut self, account: AccountType, now: i64) -> Vec<Usage> {
        let paths = DAILY_LIMITS.iter();
        paths.filter_map(|(path, ..)| self.usage(path, account, now)).collect()
    }

    /// Replaces the platform's own limits. False when the API has no quota.
    pub(crate) fn limit(&mut self, path: &str, limits: Limits) -> bool {
        let listed = DAILY_LIMITS.iter().find(|(listed, ..)| *listed == path);
        if let Some((path, ..)) = listed {
            self.set.insert(path, limits);
        }
        listed.is_some()
    }

    /// Resets all of today's counters; 48006 when the month's limit is reached.
    pub(crate) fn clear(&mut self, now: i64) -> Result<(), ApiError> {
        if !self.cleared.count(clock::month(now), CLEARINGS_A_MONTH) {
            return Err(ApiError::of(48006));
        }
        self.used.clear();
        Ok(())
    }

    /// Resets today's counter of one API; 48006 when the month's limit is reached.
    pub(crate) fn clear_one(&mut self, path: &str, now: i64) -> Result<(), ApiError> {
        if !self.cleared_singly.count(clock::month(now), SINGLE_CLEARINGS_A_MONTH) {
            return Err(ApiError::of(48006));
        }
        self.used.remove(path);
        Ok(())
    }

    /// How often all counters can still be cleared this month.
    pub(crate) fn clearings_left(&self, now: i64) -> u32 {
        CLEARINGS_A_MONTH - self.cleared.times(clock::month(now))
    }

    fn start_new_periods(&mut self, now: i64) {
        let (day, minute) = (Some(clock::day(now)), now.div_euclid(60));
        if self.day != day {
            self.day = day;
            self.used.clear();
        }
        if self.minute != minute {
            self.minute = minute;
            self.used_this_minute.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000;
    const CREATE: &str = "/cgi-bin/menu/create";
    const ACCOUNT: AccountType = AccountType::VerifiedService;

    fn take(quotas: &mut Quotas, path: &str, now: i64) -> i64 {
        match quotas.take(path, ACCOUNT, now) {
            Ok(()) => 0,
            Err(error) => error.errcode,
        }
    }

    fn exhausted() -> Quotas {
        let mut quotas = Quotas::default();
        for _ in 0..1_000 {
            assert_eq!(take(&mut quotas, CREATE, NOW), 0);
        }
        quotas
    }

    #[test]
    fn a_used_up_quota_comes_back_at_midnight_in_china() {
        let mut quotas = exhausted();
        assert_eq!(take(&mut quotas, CREATE, NOW), 45009);
        let usage = quotas.usage(CREATE, ACCOUNT, NOW).unwrap();
        assert_eq!((usage.daily_limit, usage.used), (1_000, 1_000));
        assert_eq!(take(&mut quotas, "/cgi-bin/menu/delete", NOW), 0);
        let midnight = (NOW + 8 * 3_600) / 86_400 * 86_400 + 16 * 3_600;
        assert_eq!(take(&mut quotas, CREATE, midnight - 1), 45009);
        assert_eq!(take(&mut quotas, CREATE, midnight), 0);
    }

    #[test]
    fn a_minutes_quota_comes_back_with_the_next_minute_and_refusals_do_not_count() {
        let mut quotas = Quotas::default();
        let stable = "/cgi-bin/stable_token";
        let minute = NOW - NOW % 60;
        for _ in 0..10_000 {
            assert_eq!(take(&mut quotas, stable, minute), 0);
        }
        assert_eq!(take(&mut quotas, stable, minute + 59), 45011);
        assert_eq!(quotas.usage(stable, ACCOUNT, minute).unwrap().used, 10_000);
        assert_eq!(take(&mut quotas, stable, minute + 60), 0);
    }

    #[test]
    fn test_accounts_have_less() {
        let mut quotas = Quotas::default();
        for _ in 0..100 {
            quotas.take(CREATE, AccountType::Test, NOW).unwrap();
        }
        assert_eq!(quotas.take(CREATE, AccountType::Test, NOW).unwrap_err().errcode, 45009);
        assert_eq!(take(&mut quotas, CREATE, NOW), 0);
    }

    #[test]
    fn clearing_works_ten_times_a_month() {
        let mut quotas = exhausted();
        for _ in 0..10 {
            quotas.clear(NOW).unwrap();
            assert_eq!(take(&mut quotas, CREATE, NOW), 0);
        }
        assert_eq!(quotas.clear(NOW).unwrap_err().errcode, 48006);
        assert!(quotas.clear(NOW + 31 * 86_400).is_ok());
    }

    #[test]
    fn clearing_one_api_works_fifty_times_a_month_and_leaves_the_others() {
        let mut quotas = exhausted();
        assert_eq!(take(&mut quotas, "/cgi-bin/menu/get", NOW), 0);
        for _ in 0..50 {
            quotas.clear_one(CREATE, NOW).unwrap();
        }
        assert_eq!(quotas.usage(CREATE, ACCOUNT, NOW).unwrap().used, 0);
        assert_eq!(quotas.usage("/cgi-bin/menu/get", ACCOUNT, NOW).unwrap().used, 1);
        assert_eq!(quotas.clear_one(CREATE, NOW).unwrap_err().errcode, 48006);
        assert_eq!(quotas.clearings_left(NOW), 10);
    }
}
