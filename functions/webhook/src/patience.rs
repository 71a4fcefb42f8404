//! How long WeChat waits for an answer, and how much of that is left.

use std::time::Duration;

use http_api::Request;
use wechat::clock::duration;

/// Milliseconds after a request at which WeChat hangs up. It delivers again then.
/// See [WeChat Docs/被动回复](https://developers.weixin.qq.com/doc/service/guide/product/message/Passive_user_reply_message).
pub(crate) const PATIENCE: i64 = 5000;
/// Milliseconds. A request is answered within this time of its arrival.
pub(crate) const ANSWERED_WITHIN: i64 = 4700;
/// Milliseconds. An older time from the gateway counts as clock skew and is ignored.
const OLDEST_ARRIVAL: i64 = 10_000;

/// When the gateway received `request`, in epoch milliseconds. `now` when it does not say.
pub(crate) fn arrival(request: &Request, now: i64) -> i64 {
    request.arrival(now, OLDEST_ARRIVAL)
}

/// The budget of a step of a request that came at `arrival`: between `at_least` and `at_most`, and leaving the time `after`
/// for later steps. Once WeChat has hung up nobody waits, so the step gets `at_most`. Times are epoch milliseconds.
pub(crate) fn budget(arrival: i64, now: i64, after: Duration, at_least: Duration, at_most: Duration) -> Duration {
    if now - arrival > PATIENCE {
        return at_most;
    }
    let left = duration(arrival + ANSWERED_WITHIN - now).saturating_sub(after);
    left.max(at_least).min(at_most)
}
