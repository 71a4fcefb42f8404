//! How long WeChat waits for an answer, and how much of that is left.

use std::time::Duration;

use http_api::Request;

/// Milliseconds. WeChat hangs up so long after a request, and delivers again.
/// See [WeChat Docs/被动回复](https://developers.weixin.qq.com/doc/service/guide/product/message/Passive_user_reply_message).
pub(crate) const PATIENCE: i64 = 5000;
/// Milliseconds from a request's arrival in which it is answered.
pub(crate) const ANSWERED_WITHIN: i64 = 4700;
/// Milliseconds. A gateway's time that is older comes from another clock.
const OLDEST_ARRIVAL: i64 = 10_000;

/// When the gateway received `request`, in epoch milliseconds. `now` when it does not say.
pub(crate) fn arrival(request: &Request, now: i64) -> i64 {
    request.arrival(now, OLDEST_ARRIVAL)
}

/// How long it is from `now` to the time at which a request has to be answered that came at `arrival`. Epoch milliseconds.
pub(crate) fn left(arrival: i64, now: i64) -> Duration {
    duration(arrival + ANSWERED_WITHIN - now)
}

pub(crate) fn duration(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
