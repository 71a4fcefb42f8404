//! Access tokens: how they are issued, how long they live, and what ends them early.
//!
//! `GET /cgi-bin/token` and `POST /cgi-bin/stable_token` keep separate chains of tokens; a business call may carry a
//! living token of either.
//!
//! See [WeChat Docs/获取稳定版接口调用凭据](https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken.html).

use serde_json::{Value, json};
use time::Date;

use super::{
    clock::{self, Counter},
    errcode::ApiError,
    random::Random,
};

/// Seconds. The lifetime of a new token.
const LIFETIME: i64 = 7_200;
/// Seconds. A replaced token stays usable for this long, and a stable token is renewed this long before its end.
const OVERLAP: i64 = 300;
/// Forced refreshes a day.
const FORCED_A_DAY: u32 = 20;
/// Seconds between two forced refreshes.
const FORCED_INTERVAL: i64 = 30;

const PREFIX: &str = "97_";
const LENGTH: usize = 136;
/// Tokens. More than the busiest day's calls of `GET /cgi-bin/token`, so a dropped token expired long ago.
const REMEMBERED: usize = 4_096;

/// A token as handed out, with the seconds it still lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) access_token: String,
    pub(crate) expires_in: i64,
}

/// Both chains, and the count of forced refreshes.
#[derive(Default)]
pub(crate) struct Tokens {
    ordinary: Chain,
    stable: Chain,
    last_forced: Option<i64>,
    forced: Counter<Date>,
}

impl Tokens {
    /// `GET /cgi-bin/token`: every call makes a new token.
    pub(crate) fn ordinary(&mut self, now: i64, random: &mut Random) -> Grant {
        self.ordinary.issue(now, OVERLAP, random)
    }

    /// `POST /cgi-bin/stable_token`: the current token until five minutes before its end.
    pub(crate) fn stable(&mut self, now: i64, random: &mut Random) -> Grant {
        let current = self.stable.issued.last();
        match current.filter(|token| !token.retired && token.expires_at - now > OVERLAP) {
            Some(token) => Grant {
                access_token: token.value.clone(),
                expires_in: token.expires_at - now,
            },
            None => self.stable.issue(now, OVERLAP, random),
        }
    }

    /// `POST /cgi-bin/stable_token` with `force_refresh`: ends the last token at once.
    pub(crate) fn forced(&mut self, now: i64, random: &mut Random) -> Result<Grant, ApiError> {
        if self.forced.times(clock::day(now)) >= FORCED_A_DAY {
            return Err(ApiError::of(45009));
        }
        if self.last_forced.is_some_and(|last| now - last < FORCED_INTERVAL) {
            return Err(ApiError::of(45011));
        }
        self.forced.count(clock::day(now), FORCED_A_DAY);
        self.last_forced = Some(now);
        Ok(self.stable.issue(now, 0, random))
    }

    /// Checks the token of a business call: 40014 when it is malformed, 42001 when it has expired, 40001 when it was
    /// replaced or is unknown.
    pub(crate) fn check(&self, access_token: &str, now: i64) -> Result<(), ApiError> {
        if !is_well_formed(access_token) {
            return Err(ApiError::of(40014));
        }
        let mut issued = self.ordinary.issued.iter().chain(&self.stable.issued);
        match issued.find(|token| token.value == access_token) {
            Some(token) if now >= token.expires_at => Err(ApiError::of(42001)),
            Some(token) if now < token.ends_at => Ok(()),
            _ => Err(ApiError::of(40001)),
        }
    }

    /// The state of both newest tokens, without their values, and the forced refreshes left today.
    pub(crate) fn state(&self, now: i64) -> Value {
        json!({
            "stable": self.stable.state(now),
            "ordinary": self.ordinary.state(now),
            "forced_left": FORCED_A_DAY - self.forced.times(clock::day(now)),
        })
    }

    /// Ends the living tokens. With `keep_returning`, `stable_token` keeps returning the dead one until a forced
    /// refresh; otherwise its next call makes a new one.
    pub(crate) fn invalidate(&mut self, now: i64, keep_returning: bool) {
        for token in self.ordinary.issued.iter_mut().chain(&mut self.stable.issued) {
            token.ends_at = token.ends_at.min(now);
            token.retired = !keep_returning;
        }
    }
}

struct Issued {
    value: String,
    expires_at: i64,
    /// Earlier than `expires_at` once the token was replaced or invalidated.
    ends_at: i64,
    /// No longer handed out.
    retired: bool,
}

#[derive(Default)]
struct Chain {
    issued: Vec<Issued>,
}

impl Chain {
    /// The state of the newest token; null before the first.
    fn state(&self, now: i64) -> Value {
        let state = |token: &Issued| {
            json!({
                "alive": now < token.ends_at,
                "expires_in": token.expires_at - now,
                "issued": self.issued.len(),
            })
        };
        self.issued.last().map(state).unwrap_or_default()
    }

    fn issue(&mut self, now: i64, overlap: i64, random: &mut Random) -> Grant {
        for token in &mut self.issued {
            token.ends_at = token.ends_at.min(now + overlap);
        }
        if self.issued.len() == REMEMBERED {
            self.issued.remove(0);
        }
        let value = format!("{PREFIX}{}", random.url_safe(LENGTH - PREFIX.len()));
        let expires_at = now + LIFETIME;
        self.issued.push(Issued {
            value: value.clone(),
            expires_at,
            ends_at: expires_at,
            retired: false,
        });
        Grant {
            access_token: value,
            expires_in: LIFETIME,
        }
    }
}

fn is_well_formed(access_token: &str) -> bool {
    access_token.len() == LENGTH
        && access_token.starts_with(PREFIX)
        && access_token
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000;

    fn made() -> (Tokens, Random) {
        (Tokens::default(), Random::from_seed(7))
    }

    fn errcode(result: Result<(), ApiError>) -> i64 {
        result.map_or_else(|error| error.errcode, |()| 0)
    }

    #[test]
    fn an_ordinary_token_is_replaced_with_five_minutes_of_overlap() {
        let (mut tokens, mut random) = made();
        let first = tokens.ordinary(NOW, &mut random);
        let second = tokens.ordinary(NOW + 100, &mut random);
        assert_ne!(first, second);
        assert_eq!(errcode(tokens.check(&first.access_token, NOW + 399)), 0);
        assert_eq!(errcode(tokens.check(&first.access_token, NOW + 400)), 40001);
        assert_eq!(errcode(tokens.check(&second.access_token, NOW + 7_299)), 0);
        assert_eq!(errcode(tokens.check(&second.access_token, NOW + 7_300)), 42001);
    }

    #[test]
    fn a_third_token_does_not_lengthen_the_life_of_the_first() {
        let (mut tokens, mut random) = made();
        let first = tokens.ordinary(NOW, &mut random);
        tokens.ordinary(NOW + 10, &mut random);
        tokens.ordinary(NOW + 200, &mut random);
        assert_eq!(errcode(tokens.check(&first.access_token, NOW + 310)), 40001);
    }

    #[test]
    fn the_stable_token_stays_until_five_minutes_before_its_end() {
        let (mut tokens, mut random) = made();
        let first = tokens.stable(NOW, &mut random);
        let later = tokens.stable(NOW + 6_899, &mut random);
        assert_eq!(
            (later.access_token, later.expires_in),
            (first.access_token.clone(), 301)
        );
        let renewed = tokens.stable(NOW + 6_900, &mut random);
        assert_ne!(renewed.access_token, first.access_token);
        assert_eq!(renewed.expires_in, 7_200);
        assert_eq!(errcode(tokens.check(&first.access_token, NOW + 7_199)), 0);
        assert_eq!(errcode(tokens.check(&first.access_token, NOW + 7_200)), 42001);
    }

    #[test]
    fn the_two_chains_leave_each_other_alone() {
        let (mut tokens, mut random) = made();
        let stable = tokens.stable(NOW, &mut random);
        let ordinary = tokens.ordinary(NOW, &mut random);
        tokens.forced(NOW + 1, &mut random).unwrap();
        assert_eq!(errcode(tokens.check(&ordinary.access_token, NOW + 1)), 0);
        assert_eq!(errcode(tokens.check(&stable.access_token, NOW + 1)), 40001);
    }

    #[test]
    fn forcing_is_limited_to_every_thirty_seconds_and_twenty_a_day() {
        let (mut tokens, mut random) = made();
        let start = NOW / 86_400 * 86_400; // 08:00 in China
        for call in 0..20 {
            tokens.forced(start + call * 30, &mut random).unwrap();
            assert_eq!(
                tokens.forced(start + call * 30 + 29, &mut random).unwrap_err().errcode,
                if call < 19 { 45011 } else { 45009 }
            );
        }
        assert_eq!(tokens.forced(start + 600, &mut random).unwrap_err().errcode, 45009);
        assert!(tokens.forced(start + 16 * 3_600, &mut random).is_ok());
    }

    #[test]
    fn unknown_and_malformed_tokens_are_told_apart() {
        let (mut tokens, mut random) = made();
        let token = tokens.stable(NOW, &mut random).access_token;
        assert_eq!(errcode(tokens.check(&token[..100], NOW)), 40014);
        assert_eq!(errcode(tokens.check(&token.replace('_', " "), NOW)), 40014);
        let unknown = made().0.stable(NOW, &mut Random::from_seed(8)).access_token;
        assert_eq!(errcode(tokens.check(&unknown, NOW)), 40001);
    }

    #[test]
    fn an_invalidated_token_is_handed_out_again_only_when_ordered() {
        let (mut tokens, mut random) = made();
        let first = tokens.stable(NOW, &mut random).access_token;
        tokens.invalidate(NOW, false);
        assert_eq!(errcode(tokens.check(&first, NOW)), 40001);
        let second = tokens.stable(NOW, &mut random).access_token;
        assert_ne!(first, second);
        tokens.invalidate(NOW + 1, true);
        assert_eq!(errcode(tokens.check(&second, NOW + 1)), 40001);
        assert_eq!(tokens.stable(NOW + 1, &mut random).access_token, second);
        assert_ne!(tokens.forced(NOW + 1, &mut random).unwrap().access_token, second);
    }
}
