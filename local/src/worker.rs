//! The worker in this process: it does every minute what is due, and retries what the webhook hands over until it succeeds or the
//! process ends.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{
    sync::{Notify, RwLock, Semaphore, oneshot},
    task::JoinSet,
    time::{MissedTickBehavior, sleep},
};
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
/// The interval of the schedule in `template.yaml`.
const INTERVAL: Duration = Duration::from_secs(60);

/// Runs the worker in this process.
#[derive(Debug)]
pub(crate) struct InProcessWorker {
    worker: Arc<App>,
    room: Arc<Semaphore>,
    /// Held for reading by each attempt on a callback, so that a stop can wait for the attempts in flight.
    attempts: Arc<RwLock<()>>,
    is_due: Notify,
}

impl InProcessWorker {
    pub(crate) fn new(worker: App) -> Self {
        Self {
            worker: Arc::new(worker),
            room: Arc::new(Semaphore::new(WAITING)),
            attempts: Arc::default(),
            is_due: Notify::new(),
        }
    }

    /// Begins a run every minute and after [`Self::run_soon`], until `stopped` is sent or dropped. A run of a campaign takes longer,
    /// so runs overlap, as they do in AWS. At the end, runs in progress send nothing new and record what is in flight; one that is
    /// cut then leaves its claims, and they are due again when they end.
    pub(crate) async fn every_minute(&self, mut stopped: oneshot::Receiver<()>) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut runs = JoinSet::new();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.is_due.notified() => {}
                Some(_) = runs.join_next() => continue,
                _ = &mut stopped => break,
            }
            let worker = Arc::clone(&self.worker);
            runs.spawn(async move {
                if let Err(error) = worker.run(&json!({"action": "run"}), Deadline::NONE).await {
                    tracing::error!(%error, "the run failed / 本次运行失败");
                }
            });
        }
        while runs.join_next().await.is_some() {}
        let _attempts_under_way = self.attempts.write().await;
    }

    /// Makes the runs end soon. Work that is handed over is still done.
    pub(crate) fn finish(&self) {
        self.worker.stop();
    }

    /// Makes the next run begin at once: something has just become due.
    pub(crate) fn run_soon(&self) {
        self.is_due.notify_one();
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
            let (worker, attempts) = (Arc::clone(&self.worker), Arc::clone(&self.attempts));
            tokio::spawn(async move {
                let mut pause = FIRST_PAUSE;
                let attempt = async || {
                    let _attempt = attempts.read().await;
                    worker.run(&event, Deadline::NONE).await
                };
                while let Err(error) = attempt().await {
                    if error.is_final() {
                        tracing::error!(%error, "work on a callback failed for good / 回调的后续处理失败，不再重试");
                        break;
                    }
                    tracing::warn!(%error, pause = pause.as_secs(), "work on a callback failed and will be retried / 回调的后续处理失败，稍后重试");
                    sleep(pause).await;
                    pause = (2 * pause).min(LONGEST_PAUSE);
                }
                drop(room);
            });
            Ok(())
        })
    }
}
