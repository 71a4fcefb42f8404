//! The reply rules in memory: read at start, again when older than 30 s, and never waited for longer than a reply can
//! bear.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use wechat::{clock::Clock, rules::ReplyRules, store::Table};

/// Rules older than this, in milliseconds, are read again.
const FRESH_FOR: i64 = 30_000;
/// After a failed read the known rules serve this long, in milliseconds, before the next one is tried.
const RETRY_AFTER: i64 = 5_000;
/// What a reply may wait for newer rules.
const READ_BUDGET: Duration = Duration::from_millis(300);
/// What the start may wait: DNS, TCP and TLS are part of it.
const START_BUDGET: Duration = Duration::from_millis(1500);

/// The rules of one account.
#[derive(Debug)]
pub(crate) struct RulesCache {
    table: Table,
    app_id: String,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rules: Arc<ReplyRules>,
    /// The version that `rules` were compiled from: an unchanged document is not compiled again.
    version: Option<u64>,
    next_read: i64,
}

impl RulesCache {
    pub(crate) fn new(table: Table, app_id: String, clock: Arc<dyn Clock>) -> Self {
        let state = State {
            rules: Arc::new(ReplyRules::default()),
            version: None,
            next_read: i64::MIN,
        };
        Self {
            table,
            app_id,
            clock,
            state: Mutex::new(state),
        }
    }

    pub(crate) async fn warm(&self) {
        self.read_within(START_BUDGET).await;
    }

    /// The rules to answer with: fresh ones if they can be had in time, else the last known.
    pub(crate) async fn current(&self) -> Arc<ReplyRules> {
        if self.clock.now_millis() >= self.lock(|state| state.next_read) {
            self.read_within(READ_BUDGET).await;
        }
        self.lock(|state| Arc::clone(&state.rules))
    }

    async fn read_within(&self, budget: Duration) {
        let read = tokio::time::timeout(budget, self.table.replies(&self.app_id)).await;
        let now = self.clock.now_millis();
        let stored = match read {
            Ok(Ok(stored)) => stored,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the reply rules cannot be read, the last known ones serve");
                return self.lock(|state| state.next_read = now + RETRY_AFTER);
            }
            Err(_) => {
                tracing::warn!("the reply rules were not read in time, the last known ones serve");
                return self.lock(|state| state.next_read = now + RETRY_AFTER);
            }
        };
        let version = stored.as_ref().map(|stored| stored.version);
        let is_known = self.lock(|state| {
            state.next_read = now + FRESH_FOR;
            state.version == version
        });
        if is_known {
            return;
        }
        let rules = match &stored {
            None => ReplyRules::default(),
            Some(stored) => match ReplyRules::parse(stored.document.as_bytes()) {
                Ok(rules) => rules,
                Err(error) => {
                    tracing::error!(%error, "the stored reply rules are damaged, the last known ones serve");
                    return;
                }
            },
        };
        self.lock(|state| {
            state.rules = Arc::new(rules);
            state.version = version;
        });
    }

    fn lock<T>(&self, read: impl FnOnce(&mut State) -> T) -> T {
        read(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
