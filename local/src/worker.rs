//! The worker in this process: it retries the failed effects of callbacks until they succeed or the process ends.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{sync::Semaphore, time::sleep};
use wechat::{
    clock::Deadline,
    effects::{HandOverError, WorkerPort},
};
use worker::App;

/// Callbacks that may wait for a retry: an event bus that is down for days must not fill the memory. A callback beyond the
/// limit is refused, so WeChat delivers it again.
const WAITING: usize = 10_000;
/// The pause before the first retry. Each further pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Runs the worker in this process.
#[derive(Debug)]
pub(crate) struct InProcessWorker {
    worker: Arc<App>,
    room: Arc<Semaphore>,
}

impl InProcessWorker {
    pub(crate) fn new(worker: App) -> Self {
        Self {
            worker: Arc::new(worker),
            room: Arc::new(Semaphore::new(WAITING)),
        }
    }

    /// The number of callbacks that wait for a retry.
    pub(crate) fn waiting(&self) -> usize {
        WAITING - self.room.available_permits()
    }
}

impl WorkerPort for InProcessWorker {
    fn hand_over(&self, event: Value) -> Pin<Box<dyn Future<Output = Result<(), HandOverError>> + Send + '_>> {
        Box::pin(async move {
            let room = Arc::clone(&self.room).try_acquire_owned();
            let room = room.map_err(|_| HandOverError::Full(WAITING))?;
            let worker = Arc::clone(&self.worker);
            tokio::spawn(async move {
                let mut pause = FIRST_PAUSE;
                while let Err(error) = worker.run(&event, Deadline::NONE).await {
                    tracing::warn!(%error, pause = pause.as_secs(), "effects of a callback failed and will be retried / 回调的后续处理失败，稍后重试");
                    sleep(pause).await;
                    pause = (2 * pause).min(LONGEST_PAUSE);
                }
                drop(room);
            });
            Ok(())
        })
    }
}
