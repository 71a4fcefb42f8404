//! Work in flight that requests share, such as one read or one write. It runs in its own task, so it goes on even when no
//! request waits for it.

use std::time::Duration;

use tokio::sync::watch;
use tracing::Instrument as _;

/// Some work. Clones wait for the same work.
#[derive(Clone, Debug)]
pub struct InFlight(watch::Receiver<()>);

impl InFlight {
    /// Returns work that has already ended.
    #[must_use]
    pub fn none() -> Self {
        Self(watch::channel(()).1)
    }

    /// Starts `work` in its own task.
    #[must_use]
    pub fn begin(work: impl Future<Output = ()> + Send + 'static) -> Self {
        let (running, ended) = watch::channel(());
        let task = async move {
            work.await;
            drop(running);
        };
        tokio::spawn(task.in_current_span());
        Self(ended)
    }

    /// Whether the work is in flight.
    #[must_use]
    pub fn is_running(&self) -> bool {
        // The task drops its end of the channel when it ends or panics; `has_changed` is an error from then on.
        self.0.has_changed().is_ok()
    }

    /// Waits for the end of the work.
    pub async fn ended(mut self) {
        while self.0.changed().await.is_ok() {}
    }

    /// Whether the work ends within `budget`.
    pub async fn ends_within(self, budget: Duration) -> bool {
        tokio::time::timeout(budget, self.ended()).await.is_ok()
    }
}
