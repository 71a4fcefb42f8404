//! Hands the replies that follow the passive one over to `worker`, before the answer, because Lambda freezes the process
//! after it. `worker` sends them once per callback, so every delivery may hand them over. The reply goes out also when this
//! fails: the failure is logged and counted.

use std::time::Duration;

use tokio::time::timeout;
use wechat::{
    digest::logged_openid,
    effects::{FurtherReplies, HandOverError},
    message::Callback,
    reply::Reply,
    telemetry::{self, Metric},
};

use crate::{App, effects::HANDING_OVER, patience};

/// The shortest budget of the hand-over. Own code may have taken most of WeChat's 5 seconds.
const SHORTEST: Duration = Duration::from_millis(200);

/// Hands over `then`, if there is any, as the replies that follow the one to `callback`. The callback came at `arrival`
/// (epoch milliseconds).
pub(crate) async fn hand_over(app: &App, callback: &Callback, then: &[Reply], arrival: i64) {
    if then.is_empty() {
        return;
    }
    // Boxed, as the effects are: it would make the future of every reply larger.
    Box::pin(try_to_hand_over(app, callback, then, arrival)).await;
}

async fn try_to_hand_over(app: &App, callback: &Callback, then: &[Reply], arrival: i64) {
    let now = app.clock.now_millis();
    let budget = patience::budget(arrival, now, Duration::ZERO, SHORTEST, HANDING_OVER);
    let further = FurtherReplies {
        openid: callback.from.clone(),
        key: callback.dedup_key(),
        messages: then.iter().flat_map(Reply::to_custom).collect(),
        at: app.clock.now(),
    };
    let error = match app.worker.as_deref() {
        None => "WORKER_FUNCTION is not set / 未设置 WORKER_FUNCTION".to_owned(),
        Some(worker) => {
            let handed_over = timeout(budget, worker.hand_over(further.event())).await;
            match handed_over.unwrap_or(Err(HandOverError::TooLate)) {
                Ok(()) => return,
                Err(error) => error.to_string(),
            }
        }
    };
    let openid_sha256 = logged_openid(&callback.from);
    tracing::warn!(
        openid_sha256,
        error,
        "the replies that follow the passive one were not handed over / 后续回复未能交给 worker"
    );
    telemetry::emit(&[Metric::count("LostReplies")], None, now);
}
