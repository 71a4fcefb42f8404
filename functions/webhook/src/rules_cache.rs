//! The reply rules in memory: read at start, again when older than 30 s, and never waited for longer than a reply can
//! bear.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tracing::Instrument as _;
use wechat::{
    clock::Clock,
    rules::{ReplyRules, RulesError},
    store::{StoreError, Table},
};

/// Rules older than this, in milliseconds, are read again.
const FRESH_FOR: i64 = 30_000;
/// After a failed read the known rules serve this long, in milliseconds, before the next one is tried. When none are known
/// yet, the next reply tries.
const RETRY_AFTER: i64 = 5_000;
/// What a reply may wait for newer rules.
const READ_BUDGET: Duration = Duration::from_millis(300);
/// What the start may take, the secret included: DNS, TCP and TLS are part of it. A first callback with effects takes up to
/// 2.5 s more, and WeChat hangs up after 5.
const START_BUDGET: Duration = Duration::from_millis(1500);

/// The rules of one account.
#[derive(Debug)]
pub(crate) struct RulesCache(Arc<Shared>);

/// What a read that takes too long shares with the replies that no longer wait for it.
#[derive(Debug)]
struct Shared {
    table: Table,
    app_id: String,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rules: Arc<ReplyRules>,
    /// The document that `rules` were compiled from: an unchanged one is not compiled again.
    document: Option<String>,
    next_read: i64,
    /// One read at a time: two would compile the same rules beside one another, for twice the time and memory.
    is_reading: bool,
    /// Whether `rules` are the account's own, of whatever age.
    were_read: bool,
}

/// Why the rules in memory stay what they are.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the stored document is damaged: {0}")]
    Damaged(#[from] RulesError),
    #[error("they could not be compiled: {0}")]
    Compile(#[from] tokio::task::JoinError),
}

impl RulesCache {
    pub(crate) fn new(table: Table, app_id: String, clock: Arc<dyn Clock>) -> Self {
        let state = State {
            rules: Arc::new(ReplyRules::default()),
            document: None,
            next_read: i64::MIN,
            is_reading: false,
            were_read: false,
        };
        Self(Arc::new(Shared {
            table,
            app_id,
            clock,
            state: Mutex::new(state),
        }))
    }

    /// Reads them at a start that has already taken as long as `spent`.
    pub(crate) async fn warm(&self, spent: Duration) {
        let budget = START_BUDGET.saturating_sub(spent).max(READ_BUDGET);
        self.read_within(budget).await;
    }

    /// The rules to answer with: fresh ones if they can be had in time, else the last known.
    pub(crate) async fn current(&self) -> Arc<ReplyRules> {
        let now = self.0.clock.now_millis();
        if self.0.lock(|state| now >= state.next_read && !state.is_reading) {
            self.read_within(READ_BUDGET).await;
        }
        self.0.lock(|state| Arc::clone(&state.rules))
    }

    /// A read that is not done in time goes on, and serves a later reply.
    async fn read_within(&self, budget: Duration) {
        let reading = tokio::spawn(Arc::clone(&self.0).read().in_current_span());
        if tokio::time::timeout(budget, reading).await.is_err() {
            tracing::warn!("the reply rules were not read in time, the last known ones serve");
        }
    }
}

impl Shared {
    async fn read(self: Arc<Self>) {
        if self.lock(|state| std::mem::replace(&mut state.is_reading, true)) {
            return;
        }
        // Until this read has succeeded, no other reply need wait for one.
        self.next_read_in(RETRY_AFTER);
        let refreshed = self.refresh().await;
        self.lock(|state| state.is_reading = false);
        match refreshed {
            Ok(()) => {
                self.lock(|state| state.were_read = true);
                self.next_read_in(FRESH_FOR);
            }
            Err(error) => {
                tracing::warn!(%error, "the reply rules cannot be read, the last known ones serve");
                if !self.lock(|state| state.were_read) {
                    self.next_read_in(0);
                }
            }
        }
    }

    async fn refresh(&self) -> Result<(), ReadError> {
        let document = self.table.replies(&self.app_id).await?.map(|stored| stored.document);
        if self.lock(|state| state.document == document) {
            return Ok(());
        }
        // Thousands of rules take a while, in which replies must go out.
        let (rules, document) = tokio::task::spawn_blocking(move || (compile(document.as_deref()), document)).await?;
        let rules = Arc::new(rules?);
        self.lock(|state| {
            state.rules = rules;
            state.document = document;
        });
        Ok(())
    }

    fn next_read_in(&self, millis: i64) {
        let next_read = self.clock.now_millis() + millis;
        self.lock(|state| state.next_read = next_read);
    }

    fn lock<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn compile(document: Option<&str>) -> Result<ReplyRules, RulesError> {
    document.map_or_else(
        || Ok(ReplyRules::default()),
        |document| ReplyRules::parse(document.as_bytes()),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use testing::{EmbeddedTable, ManualClock, TABLE_NAME};

    use super::*;

    const APP_ID: &str = "wx0123456789abcdef";
    /// When rules that were just read have to be read again, in seconds.
    const STALE: i64 = FRESH_FOR / 1000;

    struct Bench {
        embedded: EmbeddedTable,
        table: Table,
        clock: Arc<ManualClock>,
        cache: RulesCache,
    }

    impl Bench {
        /// With rules that answer `reply`.
        async fn start(reply: &str) -> Self {
            let embedded = EmbeddedTable::start(None).await.unwrap();
            let table = Table::new(embedded.client(), TABLE_NAME);
            let clock = ManualClock::new();
            let cache = RulesCache::new(table.clone(), APP_ID.to_owned(), clock.clone());
            let bench = Self {
                embedded,
                table,
                clock,
                cache,
            };
            bench.store(reply).await;
            bench
        }

        async fn store(&self, reply: &str) {
            let document = json!({"default": {"type": "text", "content": reply}}).to_string();
            let saved = self.table.save_replies(APP_ID, &document, None, self.clock.now()).await;
            saved.unwrap();
        }

        async fn reply(&self) -> String {
            let rules = self.cache.current().await;
            let answer = rules.answer_text("在吗").unwrap();
            serde_json::to_value(answer.reply).unwrap()["content"]
                .as_str()
                .unwrap()
                .to_owned()
        }
    }

    #[tokio::test]
    async fn new_rules_are_read_within_half_a_minute_and_not_for_every_callback() {
        let bench = Bench::start("first").await;
        assert_eq!(bench.reply().await, "first");
        bench.store("second").await;
        bench.clock.advance(STALE - 1);
        assert_eq!(bench.reply().await, "first");
        bench.clock.advance(1);
        assert_eq!(bench.reply().await, "second");
    }

    #[tokio::test]
    async fn known_rules_survive_the_store() {
        let bench = Bench::start("known").await;
        assert_eq!(bench.reply().await, "known");
        bench.clock.advance(STALE);
        let Bench {
            embedded, cache, clock, ..
        } = bench;
        embedded.stop().await;
        for _ in 0..3 {
            let rules = cache.current().await;
            assert!(rules.answer_text("在吗").is_some(), "the built-in rules answer nothing");
            clock.advance(RETRY_AFTER / 1000);
        }
    }
}
