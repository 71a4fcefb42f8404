//! Cache of the reply rules. It reads them at start-up and again when they are older than 30 s. A reply waits for a read
//! only as long as WeChat's 5 s allow, and then uses stale rules.

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

/// Milliseconds after which cached rules are stale and are read again.
const FRESH_FOR: i64 = 30_000;
/// Milliseconds between a failed read and its retry. Without cached rules the next reply retries at once.
const RETRY_AFTER: i64 = 5_000;
/// How long a reply waits for a read.
const READ_BUDGET: Duration = Duration::from_millis(300);
/// Budget of start-up for reading the secret and the rules, DNS, TCP and TLS included. The rules get at least
/// [`READ_BUDGET`]. A first callback with effects takes up to 2.8 s more, and WeChat hangs up after 5 s.
const START_BUDGET: Duration = Duration::from_millis(1500);

/// Caches the rules of one account.
#[derive(Clone, Debug)]
pub(crate) struct RulesCache(Arc<Shared>);

/// The state that replies share with a read in flight, which outlives the replies that no longer wait for it.
#[derive(Debug)]
struct Shared {
    table: Table,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The cached rules, fresh or stale. `None` until the first read succeeds.
    rules: Option<Arc<ReplyRules>>,
    /// The document from which `rules` were compiled. An unchanged document is not compiled again.
    document: Option<String>,
    /// Epoch milliseconds of the next read.
    next_read: i64,
    /// The last read. Single-flight: two reads would compile the same rules twice, for twice the time and memory.
    reading: InFlight,
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the stored document is damaged: {0}")]
    Damaged(#[from] RulesError),
    #[error("the compilation failed: {0}")]
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

    /// Whether both caches read the same item.
    pub(crate) fn are_of(&self, other: &Self) -> bool {
        self.0.table.is_same_as(&other.0.table)
    }

    /// Reads the rules at start-up, which took `spent` so far. A read in flight is awaited first and then repeated, because
    /// it may have missed a change.
    pub(crate) async fn warm(&self, spent: Duration) {
        let budget = START_BUDGET.saturating_sub(spent).max(READ_BUDGET);
        within(budget, async {
            let in_flight = self.0.lock(|state| state.reading.clone());
            in_flight.ended().await;
            self.reading().ended().await;
        })
        .await;
    }

    /// Returns fresh rules if they arrive in time, else stale ones. `None` when no read has succeeded yet: nobody knows then
    /// what the account answers.
    pub(crate) async fn current(&self) -> Option<Arc<ReplyRules>> {
        let now = self.0.clock.now_millis();
        if self.0.lock(|state| now >= state.next_read) {
            within(READ_BUDGET, self.reading().ended()).await;
        }
        self.0.lock(|state| state.rules.clone())
    }

    /// Joins the read in flight, or starts one. A read that takes too long goes on and serves a later reply.
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
        tracing::warn!(
            "the reply rules were not read in time: using the cached ones, if any / 未能及时读取回复规则，继续使用已缓存的规则（如有）"
        );
    }
}

impl Shared {
    /// Reads the rules into the cache.
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
            tracing::warn!(%error, "the reply rules cannot be read: using the cached ones, if any / 无法读取回复规则，继续使用已缓存的规则（如有）");
        }
    }

    async fn refresh(&self) -> Result<(), ReadError> {
        let document = self.table.replies().await?.map(|stored| stored.document);
        if self.lock(|state| state.rules.is_some() && state.document == document) {
            return Ok(());
        }
        // On another thread: thousands of rules take a while to compile, and replies must go out meanwhile.
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
    use testing::{ManualClock, TABLE_NAME, TableServer};

    use super::*;

    const APP_ID: &str = "wx0123456789abcdef";
    /// Seconds after which rules are stale.
    const STALE: i64 = FRESH_FOR / 1000;

    struct Bench {
        server: TableServer,
        table: Table,
        clock: Arc<ManualClock>,
        cache: RulesCache,
    }

    impl Bench {
        /// Starts with rules that answer `reply`.
        async fn start(reply: &str) -> Self {
            let server = TableServer::start().await;
            let table = Table::new(server.client(), TABLE_NAME, APP_ID);
            let clock = ManualClock::new();
            let cache = RulesCache::new(table.clone(), clock.clone());
            let bench = Self {
                server,
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
        let deletion = bench.server.client().delete_table().table_name(TABLE_NAME);
        deletion.send().await.unwrap();
        bench.table.replies().await.unwrap_err();
        bench.clock.advance(STALE);
        for _ in 0..3 {
            assert_eq!(bench.reply().await, "known");
            bench.clock.advance(RETRY_AFTER / 1000);
        }
    }
}
