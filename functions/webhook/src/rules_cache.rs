//! The reply rules in memory: read at start, again when older than 30 s, and never waited for longer than a reply can
//! bear.

use std::{
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use wechat::{
    clock::Clock,
    in_flight::InFlight,
    lock::lock,
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
/// What the start may take with the secret, when the secret leaves more than [`READ_BUDGET`] of it. DNS, TCP and TLS are part
/// of it. A first callback with effects takes up to 2.8 s more, and WeChat hangs up after 5 s.
const START_BUDGET: Duration = Duration::from_millis(1500);

/// The rules of one account.
#[derive(Clone, Debug)]
pub(crate) struct RulesCache(Arc<Shared>);

/// What a read that takes too long shares with the replies that no longer wait for it.
#[derive(Debug)]
struct Shared {
    table: Table,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The account's own, of whatever age; `None` until they were read once.
    rules: Option<Arc<ReplyRules>>,
    /// The document that `rules` were compiled from: an unchanged one is not compiled again.
    document: Option<String>,
    next_read: i64,
    /// The last read. One at a time: two would compile the same rules beside one another, for twice the time and memory.
    reading: InFlight,
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
    pub(crate) fn new(table: Table, clock: Arc<dyn Clock>) -> Self {
        let state = State {
            rules: None,
            document: None,
            next_read: i64::MIN,
            reading: InFlight::none(),
        };
        Self(Arc::new(Shared {
            table,
            clock,
            state: Mutex::new(state),
        }))
    }

    /// Whether both read the same item.
    pub(crate) fn are_of(&self, other: &Self) -> bool {
        self.0.table.is_same_as(&other.0.table)
    }

    /// Reads them at a start that has already taken as long as `spent`. Also after a change, which a read that is under way
    /// may not have seen.
    pub(crate) async fn warm(&self, spent: Duration) {
        let budget = START_BUDGET.saturating_sub(spent).max(READ_BUDGET);
        within(budget, async {
            let in_flight = self.0.lock(|state| state.reading.clone());
            in_flight.ended().await;
            self.reading().ended().await;
        })
        .await;
    }

    /// The rules to answer with: fresh ones if they can be had in time, else the last known. `None` when they were never
    /// read: what the account answers is not known then.
    pub(crate) async fn current(&self) -> Option<Arc<ReplyRules>> {
        let now = self.0.clock.now_millis();
        if self.0.lock(|state| now >= state.next_read) {
            within(READ_BUDGET, self.reading().ended()).await;
        }
        self.0.lock(|state| state.rules.clone())
    }

    /// The read that is under way, or else a new one. One that is not done in time goes on, and serves a later reply.
    fn reading(&self) -> InFlight {
        self.0.lock(|state| {
            if !state.reading.is_running() {
                state.reading = InFlight::begin(Arc::clone(&self.0).read());
            }
            state.reading.clone()
        })
    }
}

async fn within(budget: Duration, read: impl Future<Output = ()>) {
    if tokio::time::timeout(budget, read).await.is_err() {
        tracing::warn!("the reply rules were not read in time: the last known ones serve, if there are any");
    }
}

impl Shared {
    async fn read(self: Arc<Self>) {
        let refreshed = self.refresh().await;
        let now = self.clock.now_millis();
        self.lock(|state| {
            state.next_read = match (&refreshed, state.rules.is_some()) {
                (Ok(()), _) => now + FRESH_FOR,
                (Err(_), true) => now + RETRY_AFTER,
                (Err(_), false) => now,
            };
        });
        if let Err(error) = refreshed {
            tracing::warn!(%error, "the reply rules cannot be read: the last known ones serve, if there are any");
        }
    }

    async fn refresh(&self) -> Result<(), ReadError> {
        let document = self.table.replies().await?.map(|stored| stored.document);
        if self.lock(|state| state.rules.is_some() && state.document == document) {
            return Ok(());
        }
        // Thousands of rules take a while, in which replies must go out.
        let (rules, document) = tokio::task::spawn_blocking(move || (compile(document.as_deref()), document)).await?;
        let rules = Arc::new(rules?);
        self.lock(|state| {
            state.rules = Some(rules);
            state.document = document;
        });
        Ok(())
    }

    fn lock<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut lock(&self.state))
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
            let table = Table::new(embedded.client(), TABLE_NAME, APP_ID);
            let clock = ManualClock::new();
            let cache = RulesCache::new(table.clone(), clock.clone());
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
            let saved = self.table.save_replies(&document, None, self.clock.now()).await;
            saved.unwrap();
        }

        async fn reply(&self) -> String {
            let rules = self.cache.current().await.unwrap();
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
            let rules = cache.current().await.unwrap();
            assert!(rules.answer_text("在吗").is_some());
            clock.advance(RETRY_AFTER / 1000);
        }
    }
}
