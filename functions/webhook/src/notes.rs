//! Leaves notes in the table, where `GET /api/doctor` finds them: which requests were refused, since "token 验证失败" is what
//! most people meet first and the console does not tell them why; and when a callback was last accepted.

use std::{
    future::Future,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use wechat::{
    callback::{OpenError, VerifyError},
    clock::Clock,
    lock::lock,
    store::{RefusedCallback, Sender, StoreError, Table},
};

use crate::{outcome::Outcome, report::Exchange};

/// Seconds between two notes of one address: anyone can have requests refused, and each write costs.
const REFUSALS_APART: i64 = 10;
/// Seconds between two notes of one kind of refused sender: the noise of one address must not hide what WeChat meets.
const SOURCES_APART: i64 = 1;
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
    clock: Arc<dyn Clock>,
    /// The last note of each kind.
    last: Mutex<[Note; 4]>,
}

/// A note that was taken.
#[derive(Clone, Copy, Debug)]
struct Note {
    source: Option<IpAddr>,
    at: i64,
}

impl Notes {
    pub(crate) const fn new(table: Table, clock: Arc<dyn Clock>) -> Self {
        Self {
            table,
            clock,
            last: Mutex::new(
                [Note {
                    source: None,
                    at: i64::MIN,
                }; 4],
            ),
        }
    }

    /// Notes a request from `source` that was refused, or whose callback was accepted, if the last note of the kind is old
    /// enough. A note that cannot be taken is let go.
    pub(crate) async fn take(&self, exchange: &Exchange, source: Option<IpAddr>) {
        let now = self.clock.now();
        match &exchange.outcome {
            Outcome::Forbidden(error) | Outcome::Refused(error) => {
                let sender = sender(error);
                if self.is_due(sender as usize, source, now) {
                    let refused = RefusedCallback {
                        cause: error.to_string(),
                        sender,
                        source,
                        at: now,
                    };
                    in_time(self.table.record_refused_callback(&refused)).await;
                }
            }
            outcome => {
                let is_accepted = exchange.callback.is_some() && outcome.status() == 200;
                if is_accepted && self.is_due(ACCEPTED, None, now) {
                    in_time(self.table.note_callback(now)).await;
                }
            }
        }
    }

    fn is_due(&self, kind: usize, source: Option<IpAddr>, now: i64) -> bool {
        let mut last = lock(&self.last);
        let last = &mut last[kind];
        let apart = match kind {
            ACCEPTED => CALLBACKS_APART,
            _ if last.source == source => REFUSALS_APART,
            _ => SOURCES_APART,
        };
        let is_due = now >= last.at.saturating_add(apart);
        if is_due {
            *last = Note { source, at: now };
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
