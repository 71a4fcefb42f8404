//! Notes in the table for `GET /api/doctor`: which requests were refused, and when a callback was last accepted. Most people
//! meet "token 验证失败" first, and WeChat's console does not say why.

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
    store::{RefusedCallback, Sender, StoreError, Table, within},
};

use crate::{outcome::Outcome, report::Handled};

/// Seconds between two notes about refused requests from one address. Anybody can cause them, and each write costs.
const REFUSALS_APART: i64 = 10;
/// Seconds between two notes about one kind of sender when the address differs. Short, so that a noisy address does not
/// hide a refused request of WeChat's.
const SOURCES_APART: i64 = 1;
/// Seconds between two notes about accepted callbacks.
const CALLBACKS_APART: i64 = 300;
/// How long an answer may wait for its note. The note is written last, so that it delays no effect.
const BUDGET: Duration = Duration::from_millis(300);

/// The index of accepted callbacks in [`Notes::last`], after one for each [`Sender`].
const ACCEPTED: usize = 3;

/// Writes the notes of one process.
#[derive(Debug)]
pub(crate) struct Notes {
    table: Table,
    clock: Arc<dyn Clock>,
    /// The last note of each kind: by [`Sender`], then [`ACCEPTED`].
    last: Mutex<[Note; 4]>,
}

/// When a note was written, and from which address its request came.
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

    /// Writes a note about a refused request from `source`, or about an accepted callback, unless the last note of its kind
    /// is too recent. Best effort.
    pub(crate) async fn record(&self, handled: &Handled, source: Option<IpAddr>) {
        let now = self.clock.now();
        match &handled.outcome {
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
                let is_accepted = handled.callback.is_some() && outcome.status() == 200;
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

async fn in_time(note: impl Future<Output = Result<(), StoreError>>) {
    // Boxed: its large future would be part of every reply's.
    if let Err(error) = within(BUDGET, Box::pin(note)).await {
        tracing::warn!(%error, "the request could not be noted for the doctor / 请求未能记录，诊断看不到它");
    }
}

const fn sender(refused: &OpenError) -> Sender {
    match refused {
        OpenError::Verify(VerifyError::PlainMode) => Sender::WeChat,
        // WeChat with another Token, or a stranger who saw one of its URLs.
        OpenError::Verify(VerifyError::Signature(_) | VerifyError::Skew(_)) | OpenError::Envelope(_) => {
            Sender::Unproven
        }
        OpenError::Verify(_) => Sender::Stranger,
        // These come after a good signature.
        OpenError::Document(_) | OpenError::NotEncrypted | OpenError::Encrypted | OpenError::Decrypt(_) => {
            Sender::WeChat
        }
    }
}
