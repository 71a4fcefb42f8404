//! When the secret is read again, and which state a function uses until then.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::json;
use testing::ManualClock;
use tokio::sync::watch;
use wechat::{
    config::{ConfigError, Environment, SecretError, WebhookConfig},
    live::{Live, Secrets, State},
};

/// The variables that are set directly.
const DIRECT: [(&str, &str); 2] = [("WECHAT_APP_ID", "wx0123456789abcdef"), ("TABLE_NAME", "t")];
const WITH_SECRET: [(&str, &str); 1] = [("WECHAT_SECRET_ID", "wechat")];
/// How long a request waits for a secret that is stale.
const STALE_BUDGET: Duration = Duration::from_millis(300);

/// A scripted secret that counts its reads.
#[derive(Clone)]
struct Scripted(Arc<Mutex<Script>>);

struct Script {
    answer: Result<String, SecretError>,
    reads: usize,
    builds: usize,
    /// The number of next reads that never end.
    hanging: usize,
    /// Each next read waits until the sender of its gate is dropped.
    gates: VecDeque<watch::Receiver<()>>,
    /// Each next preparation of a state waits until the sender of its gate is dropped.
    warm_gates: VecDeque<watch::Receiver<()>>,
}

/// The state that a function builds from its configuration.
struct App {
    key: String,
    previous: Option<String>,
    is_warm: Mutex<bool>,
    gate: Option<watch::Receiver<()>>,
}

impl Scripted {
    fn set<T>(&self, act: impl FnOnce(&mut Script) -> T) -> T {
        act(&mut self.0.lock().unwrap())
    }

    fn key(&self, key: &str) {
        self.set(|script| script.answer = Ok(json!({"WECHAT_TOKEN": key}).to_string()));
    }

    fn unreadable(&self) {
        self.set(|script| script.answer = Err(denied()));
    }

    fn reads(&self) -> usize {
        self.set(|script| script.reads)
    }
}

fn denied() -> SecretError {
    SecretError::Unreadable {
        cause: "AccessDeniedException".to_owned(),
        message: String::new(),
    }
}

impl Secrets for Scripted {
    fn read<'a>(&'a self, id: &'a str) -> Pin<Box<dyn Future<Output = Result<String, SecretError>> + Send + 'a>> {
        Box::pin(async move {
            assert_eq!(id, "wechat");
            let (answer, hangs, gate) = self.set(|script| {
                script.reads += 1;
                let hangs = script.hanging > 0;
                script.hanging = script.hanging.saturating_sub(1);
                (script.answer.clone(), hangs, script.gates.pop_front())
            });
            if hangs {
                std::future::pending::<()>().await;
            }
            opened(gate).await;
            answer
        })
    }
}

impl Scripted {
    fn build(&self, environment: &Environment, previous: Option<&App>) -> Result<App, ConfigError> {
        let gate = self.set(|script| {
            script.builds += 1;
            script.warm_gates.pop_front()
        });
        let config = WebhookConfig::read(environment)?;
        Ok(App {
            key: config.verifier.tokens[0].expose().to_owned(),
            previous: previous.map(|app| app.key.clone()),
            is_warm: Mutex::new(false),
            gate,
        })
    }
}

impl State for App {
    const START_BUDGET: Duration = Duration::from_millis(100);

    async fn warm(&self, _spent: Duration) {
        opened(self.gate.clone()).await;
        *self.is_warm.lock().unwrap() = true;
    }
}

async fn opened(gate: Option<watch::Receiver<()>>) {
    if let Some(mut gate) = gate {
        while gate.changed().await.is_ok() {}
    }
}

/// Lets every task that is ready run.
async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

struct Bench {
    secret: Scripted,
    clock: Arc<ManualClock>,
}

impl Bench {
    fn new(key: &str) -> Self {
        let secret = Scripted(Arc::new(Mutex::new(Script {
            answer: Ok(json!({"WECHAT_TOKEN": key}).to_string()),
            reads: 0,
            builds: 0,
            hanging: 0,
            gates: VecDeque::new(),
            warm_gates: VecDeque::new(),
        })));
        Self {
            secret,
            clock: ManualClock::new(),
        }
    }

    async fn try_start(&self, environment: &[(&str, &str)]) -> Result<Live<App>, ConfigError> {
        let environment = Environment::from_pairs(DIRECT.iter().chain(environment).copied());
        let secret = self.secret.clone();
        let build =
            Box::new(move |environment: &Environment, previous: Option<&App>| secret.build(environment, previous));
        Live::start(build, Box::new(self.secret.clone()), environment, self.clock.clone()).await
    }

    async fn start(&self) -> Live<App> {
        self.try_start(&WITH_SECRET).await.unwrap()
    }
}

async fn key(live: &Live<App>) -> String {
    live.current().await.unwrap().key.clone()
}

#[tokio::test]
async fn a_changed_secret_serves_after_five_minutes_and_not_every_request_reads_it() {
    let bench = Bench::new("old");
    let live = bench.start().await;
    bench.secret.key("new");
    for _ in 0..3 {
        assert_eq!(key(&live).await, "old");
    }
    bench.clock.advance(299);
    assert_eq!(key(&live).await, "old");
    assert_eq!(bench.secret.reads(), 1);
    bench.clock.advance(1);
    let app = live.current().await.unwrap();
    assert_eq!((app.key.as_str(), app.previous.as_deref()), ("new", Some("old")));
    assert!(*app.is_warm.lock().unwrap());
    assert_eq!(key(&live).await, "new");
    assert_eq!(bench.secret.reads(), 2);
}

#[tokio::test]
async fn an_unchanged_secret_rebuilds_nothing() {
    let bench = Bench::new("key");
    let live = bench.start().await;
    let first = live.current().await.unwrap();
    bench.clock.advance(300);
    assert!(Arc::ptr_eq(&first, &live.current().await.unwrap()));
    assert!(live.instead_of(&first).await.is_none());
    assert_eq!(bench.secret.set(|script| (script.reads, script.builds)), (3, 1));
}

#[tokio::test]
async fn on_demand_the_secret_is_read_at_once_and_then_at_most_every_ten_seconds() {
    let bench = Bench::new("old");
    let live = bench.start().await;
    let old = live.current().await.unwrap();
    for _ in 0..5 {
        assert!(live.instead_of(&old).await.is_none());
    }
    assert_eq!(bench.secret.reads(), 2);
    bench.secret.key("new");
    bench.clock.advance(9);
    assert!(live.instead_of(&old).await.is_none());
    bench.clock.advance(1);
    assert_eq!(live.instead_of(&old).await.unwrap().key, "new");
    assert_eq!(live.instead_of(&old).await.unwrap().key, "new", "as it is known");
    assert_eq!(bench.secret.reads(), 3);
}

#[tokio::test]
async fn an_unreadable_secret_leaves_the_last_values_serving() {
    let bench = Bench::new("key");
    let live = bench.start().await;
    bench.secret.unreadable();
    bench.clock.advance(300);
    for _ in 0..3 {
        assert_eq!(key(&live).await, "key");
    }
    assert_eq!(bench.secret.reads(), 2);
    bench.secret.key("new");
    bench.clock.advance(10);
    assert_eq!(key(&live).await, "new");
}

/// The first request waits for its part of the budget; later requests do not wait.
#[tokio::test]
async fn a_read_that_hangs_delays_one_request_and_briefly() {
    let bench = Bench::new("key");
    let live = bench.start().await;
    bench.secret.set(|script| script.hanging = 1);
    bench.clock.advance(300);
    let started = Instant::now();
    for _ in 0..10 {
        assert_eq!(key(&live).await, "key");
    }
    let took = started.elapsed();
    assert!(took < 2 * STALE_BUDGET, "{took:?}");
    assert_eq!(bench.secret.reads(), 2);
}

/// A second secret is held back by `freeze`, as Lambda freezes a process after an answer; the third one serves, and stays.
async fn assert_a_later_secret_wins(freeze: fn(&mut Script, watch::Receiver<()>)) {
    let bench = Bench::new("first");
    let live = bench.start().await;
    let (frozen, gate) = watch::channel(());
    bench.secret.set(|script| freeze(script, gate));
    bench.secret.key("second");
    bench.clock.advance(300);
    assert_eq!(key(&live).await, "first", "the second one is held back");
    bench.secret.key("third");
    bench.clock.advance(3600);
    assert_eq!(key(&live).await, "third");
    drop(frozen);
    settle().await;
    assert_eq!(key(&live).await, "third");
}

#[tokio::test]
async fn a_frozen_read_delays_nothing_and_does_not_undo_a_later_one() {
    assert_a_later_secret_wins(|script, gate| script.gates.push_back(gate)).await;
}

/// A late state would bring a revoked value back.
#[tokio::test]
async fn a_state_that_was_frozen_half_made_does_not_replace_a_later_one() {
    assert_a_later_secret_wins(|script, gate| script.warm_gates.push_back(gate)).await;
}

#[tokio::test]
async fn new_values_that_cannot_be_used_leave_the_last_ones_serving() {
    let bench = Bench::new("key");
    let live = bench.start().await;
    for unusable in ["just-the-secret", "{}"] {
        bench.secret.set(|script| script.answer = Ok(unusable.to_owned()));
        bench.clock.advance(300);
        assert_eq!(key(&live).await, "key");
    }
    bench.secret.key("mended");
    bench.clock.advance(300);
    assert_eq!(key(&live).await, "mended");
}

#[tokio::test]
async fn a_start_without_the_secret_names_the_cause_and_a_later_request_reads_it() {
    let bench = Bench::new("key");
    bench.secret.unreadable();
    let live = bench.start().await;
    let error = live.current().await.err().unwrap();
    assert!(
        error.awaits_secret() && error.to_string().contains("AccessDeniedException"),
        "{error}"
    );
    assert_eq!(bench.secret.reads(), 2, "the first request tries again");
    bench.secret.key("key");
    assert!(live.current().await.is_err());
    assert_eq!(bench.secret.reads(), 2, "the next ones not at once");
    bench.clock.advance(10);
    assert_eq!(key(&live).await, "key");
}

#[tokio::test]
async fn a_start_does_not_wait_for_a_secret_that_hangs() {
    let bench = Bench::new("key");
    let (slow, gate) = watch::channel(());
    bench.secret.set(|script| script.gates.push_back(gate));
    let started = Instant::now();
    let live = bench.start().await;
    let error = live.current().await.err().unwrap();
    assert!(error.to_string().contains("no answer in time"), "{error}");
    let took = started.elapsed();
    assert!(took < App::START_BUDGET + 2 * STALE_BUDGET, "{took:?}");
    drop(slow);
    assert_eq!(key(&live).await, "key", "the read of the start has gone on");
    assert_eq!(bench.secret.reads(), 1);
}

#[tokio::test]
async fn a_secret_that_was_read_and_lacks_values_ends_the_start() {
    let bench = Bench::new("key");
    bench.secret.set(|script| script.answer = Ok("{}".to_owned()));
    let ended = bench.try_start(&WITH_SECRET).await;
    assert!(ended.unwrap_err().to_string().contains("WECHAT_TOKEN"));
}

/// The read was late, or denied, at the start.
#[tokio::test]
async fn a_secret_that_is_read_later_and_lacks_values_is_reported_as_such() {
    let bench = Bench::new("key");
    bench.secret.unreadable();
    let live = bench.start().await;
    bench.secret.set(|script| script.answer = Ok("{}".to_owned()));
    let error = live.current().await.err().unwrap();
    assert!(
        !error.awaits_secret() && error.to_string().contains("WECHAT_TOKEN"),
        "{error}"
    );
    bench.secret.key("key");
    bench.clock.advance(10);
    assert_eq!(key(&live).await, "key");
}

#[tokio::test]
async fn without_a_secret_nothing_is_ever_read() {
    let bench = Bench::new("unused");
    let live = bench.try_start(&[("WECHAT_TOKEN", "direct")]).await.unwrap();
    bench.clock.advance(3600);
    let app = live.current().await.unwrap();
    assert_eq!(app.key, "direct");
    assert!(live.instead_of(&app).await.is_none());
    assert_eq!(bench.secret.reads(), 0);
    assert!(bench.try_start(&[]).await.is_err());
}
