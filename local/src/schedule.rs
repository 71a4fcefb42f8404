//! The token refresher in this process: its schedule and its runs on demand.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use serde_json::Value;
use token_refresher::App;
use tokio::{sync::oneshot, time::MissedTickBehavior};
use wechat::{
    clock::Deadline,
    token::{Action, RefreshPort, RefreshRequestError},
};

/// The interval of the schedule in `template.yaml`.
const INTERVAL: Duration = Duration::from_secs(60);

/// Runs the refresher now and every minute, until `stopped` is sent or dropped.
///
/// A run in flight is not cancelled: it would leave its lease behind, and the next start would wait until the lease expires.
pub(crate) async fn every_minute(refresher: Arc<App>, mut stopped: oneshot::Receiver<()>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = &mut stopped => return,
        }
        // The run logs its own failure; the next minute's run is the retry.
        let _ = refresher.keep(Deadline::NONE).await;
    }
}

/// Runs the refresher in this process when a function asks for it.
#[derive(Debug)]
pub(crate) struct InProcessRefresher(Arc<App>);

impl InProcessRefresher {
    pub(crate) const fn new(refresher: Arc<App>) -> Self {
        Self(refresher)
    }
}

impl RefreshPort for InProcessRefresher {
    fn run<'a>(
        &'a self,
        action: &'a Action,
        deadline: Deadline,
    ) -> Pin<Box<dyn Future<Output = Result<Value, RefreshRequestError>> + Send + 'a>> {
        let (refresher, action) = (Arc::clone(&self.0), action.clone());
        // Spawned, so that the run continues when its caller stops waiting, like a Lambda invocation: it may hold the lease.
        let run = tokio::spawn(async move { refresher.run(&action, deadline).await });
        Box::pin(async move {
            let done = run
                .await
                .map_err(|error| RefreshRequestError::from_function_error("Panic", &error.to_string()))?;
            done.map_err(|error| RefreshRequestError::from_function_error(&error.error_type(), &error.to_string()))
        })
    }
}
