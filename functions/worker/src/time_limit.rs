//! How long a run may go on.

use tokio::sync::watch;
use wechat::clock::Deadline;

/// The end of a run: a time before the function's deadline, or the end of the process if that comes first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeLimit<'a> {
    /// The function's deadline.
    pub(crate) deadline: Deadline,
    /// When the run has to end, in epoch milliseconds.
    pub(crate) ends: i64,
    stopping: &'a watch::Sender<bool>,
}

impl<'a> TimeLimit<'a> {
    /// Creates a limit that only `deadline` and `stopping` set.
    pub(crate) const fn new(deadline: Deadline, stopping: &'a watch::Sender<bool>) -> Self {
        Self {
            deadline,
            ends: i64::MAX,
            stopping,
        }
    }

    /// Makes the run end at `ends` (epoch milliseconds).
    pub(crate) const fn until(self, ends: i64) -> Self {
        Self { ends, ..self }
    }

    /// Whether the run has to end, at `now` (epoch milliseconds).
    pub(crate) fn is_over(&self, now: i64) -> bool {
        now >= self.ends || *self.stopping.borrow()
    }

    /// Waits until the process ends.
    pub(crate) async fn stopped(&self) {
        // The sender lives as long as this.
        let _ = self.stopping.subscribe().wait_for(|is_stopping| *is_stopping).await;
    }
}
