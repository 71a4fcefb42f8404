//! Leaves a note of the last refused request in the table, where `GET /api/doctor` finds it: "token 验证失败" is what most
//! people meet first, and the console does not tell them why.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use wechat::{
    clock::Clock,
    store::{RefusedCallback, Table},
};

use crate::outcome::Outcome;

/// Seconds between two notes: anyone can have requests refused, and each write costs.
const INTERVAL: i64 = 60;
/// What a refusal may wait for its note.
const BUDGET: Duration = Duration::from_millis(300);

/// Takes the notes of one process.
#[derive(Debug)]
pub(crate) struct Refusals {
    table: Table,
    app_id: String,
    clock: Arc<dyn Clock>,
    next: AtomicI64,
}

impl Refusals {
    pub(crate) const fn new(table: Table, app_id: String, clock: Arc<dyn Clock>) -> Self {
        Self {
            table,
            app_id,
            clock,
            next: AtomicI64::new(i64::MIN),
        }
    }

    /// Notes `outcome`, if it is a refusal and the last note is old enough. A note that cannot be taken is let go.
    pub(crate) async fn note(&self, outcome: &Outcome) {
        let (Outcome::Forbidden(error) | Outcome::Unreadable(error)) = outcome else {
            return;
        };
        let now = self.clock.now();
        if now < self.next.load(Ordering::Relaxed) {
            return;
        }
        self.next.store(now + INTERVAL, Ordering::Relaxed);
        let refused = RefusedCallback {
            cause: error.to_string(),
            at: now,
        };
        // On the heap, for the reason that effects are.
        let note = Box::pin(self.table.record_refused_callback(&self.app_id, &refused));
        if !matches!(tokio::time::timeout(BUDGET, note).await, Ok(Ok(()))) {
            tracing::warn!("the refusal could not be noted for the doctor");
        }
    }
}
