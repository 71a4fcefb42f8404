//! How many calls each key makes, for the doctor.
//!
//! A call is counted in the table while WeChat answers it, at most once a second: the calls of a busy second are written together,
//! after it. A process that ends before that forgets them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use http_api::Caller;
use wechat::{
    clock::{Clock, beijing_day},
    in_flight::InFlight,
    lock::lock,
    store::{RelayedCalls, Table},
};

/// Milliseconds between two writes.
const APART: i64 = 1_000;
/// The id under which calls with `API_KEYS` are counted.
const ROOT: &str = "root";

/// The calls that this process has counted.
#[derive(Clone, Debug)]
pub(crate) struct Counts(Arc<Shared>);

/// Shared by calls and by the write under way, which may outlive the call that began it.
#[derive(Debug)]
struct Shared {
    table: Table,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The calls and the failures that are not written, by the ids of their keys.
    waiting: BTreeMap<String, (u64, u64)>,
    /// Milliseconds. When the last write began.
    written_at: i64,
    /// Whether a task writes what waits, also what comes while it does.
    is_writing: bool,
}

impl Counts {
    pub(crate) fn new(table: Table, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared {
            table,
            clock,
            state: Mutex::new(State {
                waiting: BTreeMap::new(),
                written_at: i64::MIN,
                is_writing: false,
            }),
        }))
    }

    /// Counts a call of `caller`. Returns the write of it, if that begins at once.
    pub(crate) fn count(&self, caller: &Caller) -> Option<InFlight> {
        self.add(caller, 1, 0)
    }

    /// Counts the failure of a call that is counted.
    pub(crate) fn count_failure(&self, caller: &Caller) {
        self.add(caller, 0, 1);
    }

    fn add(&self, caller: &Caller, calls: u64, failures: u64) -> Option<InFlight> {
        let mut state = lock(&self.0.state);
        let key = caller.key_id().unwrap_or(ROOT);
        let (counted, failed) = state.waiting.entry(key.to_owned()).or_default();
        *counted += calls;
        *failed += failures;
        if std::mem::replace(&mut state.is_writing, true) {
            return None;
        }
        let now = self.0.clock.now_millis();
        let first = state
            .pause(now)
            .is_zero()
            .then(|| InFlight::begin(Arc::clone(&self.0).write()));
        let (shared, awaited) = (Arc::clone(&self.0), first.clone());
        let _ = InFlight::begin(async move {
            if let Some(first) = awaited {
                first.ended().await;
            }
            shared.write_the_rest().await;
        });
        first
    }
}

impl State {
    /// How long the next write has to wait.
    fn pause(&self, now: i64) -> Duration {
        let passed = now.saturating_sub(self.written_at);
        let pause = if (0..APART).contains(&passed) {
            APART - passed
        } else {
            0
        };
        Duration::from_millis(pause.unsigned_abs())
    }
}

impl Shared {
    /// Writes until nothing waits.
    async fn write_the_rest(self: Arc<Self>) {
        loop {
            let pause = {
                let mut state = lock(&self.state);
                if state.waiting.is_empty() {
                    state.is_writing = false;
                    return;
                }
                state.pause(self.clock.now_millis())
            };
            self.clock.sleep(pause).await;
            Arc::clone(&self).write().await;
        }
    }

    async fn write(self: Arc<Self>) {
        let waiting = {
            let mut state = lock(&self.state);
            state.written_at = self.clock.now_millis();
            std::mem::take(&mut state.waiting)
        };
        let counted = waiting
            .into_iter()
            .map(|(key, (calls, failed))| RelayedCalls { key, calls, failed });
        let counted: Vec<_> = counted.collect();
        let now = self.clock.now();
        if let Err(error) = self.table.add_relayed_calls(&beijing_day(now), &counted, now).await {
            tracing::warn!(%error, "relayed calls could not be counted");
        }
    }
}
