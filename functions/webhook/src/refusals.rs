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
    callback::{OpenError, VerifyError},
    clock::Clock,
    store::{RefusedCallback, Sender, Table},
};

use crate::outcome::Outcome;

/// Seconds between two notes of one kind of sender: anyone can have requests refused, and each write costs.
const INTERVAL: i64 = 10;
/// What a refusal may wait for its note.
const BUDGET: Duration = Duration::from_millis(300);

/// Takes the notes of one process.
#[derive(Debug)]
pub(crate) struct Refusals {
    table: Table,
    app_id: String,
    clock: Arc<dyn Clock>,
    /// When the next note may be taken, for each kind of sender.
    next: [AtomicI64; 3],
}

impl Refusals {
    pub(crate) const fn new(table: Table, app_id: String, clock: Arc<dyn Clock>) -> Self {
        Self {
            table,
            app_id,
            clock,
            next: [const { AtomicI64::new(i64::MIN) }; 3],
        }
    }

    /// Notes `outcome`, if it is a refusal and the last note is old enough. A note that cannot be taken is let go.
    pub(crate) async fn note(&self, outcome: &Outcome) {
        let (Outcome::Forbidden(error) | Outcome::Refused(error)) = outcome else {
            return;
        };
        let now = self.clock.now();
        let sender = sender(error);
        let next = &self.next[sender as usize];
        if now < next.load(Ordering::Relaxed) {
            return;
        }
        next.store(now + INTERVAL, Ordering::Relaxed);
        let refused = RefusedCallback {
            cause: error.to_string(),
            sender,
            at: now,
        };
        // On the heap, for the reason that effects are.
        let note = Box::pin(self.table.record_refused_callback(&self.app_id, &refused));
        if !matches!(tokio::time::timeout(BUDGET, note).await, Ok(Ok(()))) {
            tracing::warn!("the refusal could not be noted for the doctor");
        }
    }
}

const fn sender(refused: &OpenError) -> Sender {
    match refused {
        OpenError::Verify(VerifyError::PlainMode) => Sender::WeChat,
        // WeChat sends documents: whoever has seen one of its URLs can send something else with it.
        OpenError::Verify(VerifyError::Signature(_) | VerifyError::Skew(_)) | OpenError::Envelope(_) => {
            Sender::Unproven
        }
        OpenError::Verify(_) => Sender::Stranger,
        // The body comes after the signature.
        _ => Sender::WeChat,
    }
}
