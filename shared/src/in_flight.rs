//! A read that requests wait for together, and that goes on when they no longer wait (single-flight).

use std::time::Duration;

use tokio::sync::watch;
use tracing::Instrument as _;

/// The last read that was begun. A clone waits for the same read.
#[derive(Clone, Debug)]
pub struct InFlight(watch::Receiver<()>);

impl InFlight {
    /// No read.
    #[must_use]
    pub fn none() -> Self {
        Self(watch::channel(()).1)
    }

    /// Begins `read` in a task of its own.
    #[must_use]
    pub fn begin(read: impl Future<Output = ()> + Send + 'static) -> Self {
        let (running, ended) = watch::channel(());
        let task = async move {
            read.await;
            drop(running);
        };
        tokio::spawn(task.in_current_span());
        Self(ended)
    }

    /// Whether the read has not ended.
    #[must_use]
    pub fn is_running(&self) -> bool {
        // An error means that the task has dropped its end of the channel, at its end or in a panic.
        self.0.has_changed().is_ok()
    }

    /// Waits until the read has ended.
    pub async fn ended(mut self) {
        while self.0.changed().await.is_ok() {}
    }

    /// Whether the read ends within `budget`.
    pub async fn ends_within(self, budget: Duration) -> bool {
        tokio::time::timeout(budget, self.ended()).await.is_ok()
    }
}
