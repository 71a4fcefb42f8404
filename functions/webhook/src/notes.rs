//! Leaves notes in the table, where `GET /api/doctor` finds them: which requests were refused, since "token 验证失败" is what
//! most people meet first and the console does not tell them why; and when a callback was last accepted.

use std::{
    future::Future,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use wechat::{
    callback::{OpenError, VerifyError},
    clock::Clock,
    store::{RefusedCallback, Sender, StoreError, Table},
};

use crate::{outcome::Outcome, report::Exchange};

/// Seconds between two notes of one kind of refused sender: anyone can have requests refused, and each write costs.
const REFUSALS_APART: i64 = 10;
/// Seconds between two notes that a callback was accepted.
const CALLBACKS_APART: i64 = 300;
/// What an answer may wait for its note. It is taken after all else, so that it delays no effect.
const BUDGET: Duration = Duration::from_millis(300);

/// The place in [`Notes::next`] of accepted callbacks, behind those of the senders.
const ACCEPTED: usize = 3;

/// Takes the notes of one process.
#[derive(Debug)]
pub(crate) struct Notes {
    table: Table,
    app_id: String,
    clock: Arc<dyn Clock>,
    /// When the next note of each kind may be taken.
    next: [AtomicI64; 4],
}

impl Notes {
    pub(crate) const fn new(table: Table, app_id: String, clock: Arc<dyn Clock>) -> Self {
        Self {
            table,
            app_id,
            clock,
            next: [const { AtomicI64::new(i64::MIN) }; 4],
        }
    }

    /// Notes a request from `source` that was refused, or whose callback was accepted, if the last note of the kind is old
    /// enough. A note that cannot be taken is let go.
    pub(crate) async fn take(&self, exchange: &Exchange, source: Option<IpAddr>) {
        let now = self.clock.now();
        match &exchange.outcome {
            Outcome::Forbidden(error) | Outcome::Refused(error) => {
                let sender = sender(error);
                if self.is_due(sender as usize, now, REFUSALS_APART) {
                    let refused = RefusedCallback {
                        cause: error.to_string(),
                        sender,
                        source,
                        at: now,
                    };
                    in_time(self.table.record_refused_callback(&self.app_id, &refused)).await;
                }
            }
            outcome => {
                let is_accepted = exchange.callback.is_some() && outcome.status() == 200;
                if is_accepted && self.is_due(ACCEPTED, now, CALLBACKS_APART) {
                    in_time(self.table.note_callback(&self.app_id, now)).await;
                }
            }
        }
    }

    fn is_due(&self, kind: usize, now: i64, apart: i64) -> bool {
        let next = &self.next[kind];
        let is_due = now >= next.load(Ordering::Relaxed);
        if is_due {
            next.store(now + apart, Ordering::Relaxed);
        }
        is_due
    }
}

/// On the heap, for the reason that effects are.
async fn in_time(note: impl Future<Output = Result<(), StoreError>>) {
    if !matches!(tokio::time::timeout(BUDGET, Box::pin(note)).await, Ok(Ok(()))) {
        tracing::warn!("the request could not be noted for the doctor");
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
