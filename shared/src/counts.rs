//! Daily counts (Beijing time), kept in the table: the relay's calls and the outcomes of messages.
//!
//! A count is written at once, until a process has used up its burst; then the counts of a second are written together. A
//! process that ends before that loses them, so the counts give an overview, and nothing may be billed by them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::{
    clock::{Clock, beijing_day},
    in_flight::InFlight,
    lock::lock,
    store::{Counted, Table},
};

/// Milliseconds between two writes of a process that has used up its burst.
const APART: i64 = 1_000;

/// The counts of one kind. Clones are the same counts.
#[derive(Clone, Debug)]
pub struct DailyCounts(Arc<Shared>);

/// Shared by all clones and by the write in flight, which may outlive them.
#[derive(Debug)]
struct Shared {
    kind: Counted,
    /// Milliseconds. How far the writes of a burst may be ahead of one a second.
    burst: i64,
    table: Table,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The counts that are not written yet, by name.
    waiting: BTreeMap<String, u64>,
    /// Milliseconds. When the writes so far would have ended at one a second.
    paid_until: i64,
    /// Whether a task is writing. It also writes the counts that arrive meanwhile.
    is_writing: bool,
}

impl DailyCounts {
    /// Creates the counts of `kind`. A process writes `burst` times without a pause, and then once a second.
    #[must_use]
    pub fn new(kind: Counted, burst: u16, table: Table, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared {
            kind,
            burst: APART * i64::from(burst.max(1) - 1),
            table,
            clock,
            state: Mutex::new(State {
                waiting: BTreeMap::new(),
                paid_until: 0,
                is_writing: false,
            }),
        }))
    }

    /// Counts one `name`, of ASCII letters, digits and `_`. Returns the write, if it starts at once.
    #[must_use = "a process that may be frozen after its answer waits for the write"]
    pub fn count(&self, name: &str) -> Option<InFlight> {
        let mut state = lock(&self.0.state);
        *state.waiting.entry(name.to_owned()).or_default() += 1;
        if std::mem::replace(&mut state.is_writing, true) {
            return None;
        }
        let pause = self.0.pause(&state);
        let first = pause.is_zero().then(|| InFlight::begin(Arc::clone(&self.0).write()));
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

impl Shared {
    /// How long the next write has to wait.
    fn pause(&self, state: &State) -> Duration {
        let ahead = state.paid_until.saturating_sub(self.clock.now_millis());
        // More than a whole burst ahead: the clock was set back.
        let pause = if ahead > self.burst + APART {
            0
        } else {
            ahead - self.burst
        };
        Duration::from_millis(pause.max(0).unsigned_abs())
    }

    /// Writes until nothing waits.
    async fn write_the_rest(self: Arc<Self>) {
        loop {
            let pause = {
                let mut state = lock(&self.state);
                if state.waiting.is_empty() {
                    state.is_writing = false;
                    return;
                }
                self.pause(&state)
            };
            self.clock.sleep(pause).await;
            Arc::clone(&self).write().await;
        }
    }

    async fn write(self: Arc<Self>) {
        let now = self.clock.now_millis();
        let waiting = {
            let mut state = lock(&self.state);
            let paid = state.paid_until.min(now + self.burst);
            state.paid_until = paid.max(now) + APART;
            std::mem::take(&mut state.waiting)
        };
        let now = now.div_euclid(1000);
        if let Err(error) = self.table.add_counts(self.kind, &beijing_day(now), &waiting, now).await {
            tracing::warn!(%error, kind = self.kind.as_str(), "something could not be counted / 未能计数");
        }
    }
}
