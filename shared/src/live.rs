//! A function's state, rebuilt when its secret changes.
//!
//! The function reads the secret that `WECHAT_SECRET_ID` names at start, again after 5 minutes, and on demand when a
//! request suggests that the cached values are stale. A changed secret rebuilds the whole state. A request waits for a read
//! only within a budget: a slower read goes on in the background and serves a later request.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::{
    clock::{Clock, duration},
    config::{ConfigError, Environment, SecretError},
    in_flight::InFlight,
    lock::lock,
    secret::Secret,
};

/// Milliseconds after which a secret is stale.
const FRESH_FOR: i64 = 300_000;
/// Milliseconds between two reads after a failure, and between two reads on demand: anyone can send a wrong key, and each
/// read costs money. Requests do not wait for a read in flight that is older: Lambda freezes the process between requests, so
/// it may have lost its connection.
const APART: i64 = 10_000;
/// How long a request waits for a stale secret, or for a read that another request started.
const STALE_BUDGET: Duration = Duration::from_millis(300);
/// How long a request waits when it would otherwise be refused.
const DEMAND_BUDGET: Duration = Duration::from_secs(1);
/// Budget of [`State::warm`], after the secret was read: Lambda allows 10 s for start-up.
const WARM_BUDGET: Duration = Duration::from_secs(2);

/// The state of a function, built from its configuration at start and after each change of the secret.
pub trait State: Sized + Send + Sync + 'static {
    /// How long the start waits for the secret. A slower read completes the state later.
    const START_BUDGET: Duration = Duration::from_secs(6);

    /// Prepares what the first request would otherwise wait for. `spent` is how long the start took so far.
    fn warm(&self, spent: Duration) -> impl Future<Output = ()> + Send;
}

/// Builds the state from an environment. The second argument is the state that it replaces, if any.
pub type Build<S> = dyn Fn(&Environment, Option<&S>) -> Result<S, ConfigError> + Send + Sync;

/// A store of secrets.
pub trait Secrets: Send + Sync {
    /// Reads the secret `id`.
    ///
    /// # Errors
    /// [`SecretError`] when the secret cannot be read.
    fn read<'a>(&'a self, id: &'a str) -> Pin<Box<dyn Future<Output = Result<String, SecretError>> + Send + 'a>>;
}

/// The state of a running function.
pub struct Live<S: State>(Arc<Shared<S>>);

/// Shared by requests and by the read in flight, which may outlive the request that started it.
struct Shared<S> {
    build: Box<Build<S>>,
    secrets: Box<dyn Secrets>,
    /// The process's environment, without the secret.
    environment: Environment,
    clock: Arc<dyn Clock>,
    known: Mutex<Known<S>>,
}

struct Known<S> {
    app: Option<Arc<S>>,
    /// Why there is no `app`. `None` while the first read is in flight.
    problem: Option<ConfigError>,
    /// The secret as last read. An unchanged secret rebuilds nothing.
    text: Option<Secret>,
    /// Milliseconds. Start of the read that brought `text`.
    read_at: i64,
    /// Milliseconds. Start of the last read.
    begun_at: i64,
    /// Milliseconds. Start of the last read on demand.
    demanded_at: i64,
    reading: InFlight,
}

impl<S: State> Live<S> {
    /// Builds the state from `environment` and its secret. A function whose secret cannot be read starts without a state:
    /// see [`Live::current`].
    ///
    /// # Errors
    /// [`ConfigError`] with every problem of the configuration, unless the unread secret is the only one.
    pub async fn start(
        build: Box<Build<S>>,
        secrets: Box<dyn Secrets>,
        environment: Environment,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        let started = clock.now_millis();
        let live = Self(Arc::new(Shared {
            build,
            secrets,
            environment,
            clock,
            known: Mutex::new(Known {
                app: None,
                problem: None,
                text: None,
                read_at: i64::MIN,
                begun_at: i64::MIN,
                demanded_at: i64::MIN,
                reading: InFlight::none(),
            }),
        }));
        if live.0.environment.secret_id().is_some() {
            let reading = live.0.lock(|state| live.begin(state, started));
            let is_known = reading.ends_within(S::START_BUDGET).await;
            if !is_known && live.0.lock(|state| state.app.is_none()) {
                live.0.make(Err(SecretError::late()), started).await;
            }
        } else {
            let app = (live.0.build)(&live.0.environment, None)?;
            live.0.lock(|state| state.app = Some(Arc::new(app)));
        }
        let app = match live.0.current() {
            Ok(app) => app,
            Err(error) if error.awaits_secret() => return Ok(live),
            Err(error) => return Err(error),
        };
        let spent = live.0.clock.now_millis() - started;
        warm(&*app, duration(spent)).await;
        Ok(live)
    }

    /// Returns the state to serve a request with. Reads a stale or missing secret first, at most once in 10 s.
    ///
    /// # Errors
    /// [`ConfigError`] while there is no state: the secret was never read, or its values are invalid.
    pub async fn current(&self) -> Result<Arc<S>, ConfigError> {
        if self.0.environment.secret_id().is_none() {
            return self.0.current();
        }
        let now = self.0.clock.now_millis();
        let (is_complete, read_at) = self.0.lock(|state| (state.is_complete(), state.read_at));
        if !is_complete {
            self.read_on_demand(now).await;
        } else if now.saturating_sub(read_at) >= FRESH_FOR {
            // Only the request that starts the read waits for it; the others serve the stale state.
            let begin =
                |state: &mut Known<S>| (now.saturating_sub(state.begun_at) >= APART).then(|| self.begin(state, now));
            if let Some(reading) = self.0.lock(begin) {
                reading.ends_within(STALE_BUDGET).await;
            }
        }
        self.0.current()
    }

    /// Returns a newer state than `doubted`, which would refuse the request, if the secret has changed.
    pub async fn instead_of(&self, doubted: &Arc<S>) -> Option<Arc<S>> {
        let other = || {
            self.0
                .lock(|state| state.app.clone())
                .filter(|app| !Arc::ptr_eq(app, doubted))
        };
        if other().is_none() && self.0.environment.secret_id().is_some() {
            self.read_on_demand(self.0.clock.now_millis()).await;
        }
        other()
    }

    async fn read_on_demand(&self, now: i64) {
        let reading = self.0.lock(|state| {
            if state.is_reading(now) {
                Some((state.reading.clone(), STALE_BUDGET))
            } else if now.saturating_sub(state.demanded_at) >= APART {
                state.demanded_at = now;
                Some((self.begin(state, now), DEMAND_BUDGET))
            } else {
                None
            }
        });
        if let Some((reading, budget)) = reading {
            reading.ends_within(budget).await;
        }
    }

    /// Starts a read of the secret.
    fn begin(&self, state: &mut Known<S>, now: i64) -> InFlight {
        state.begun_at = now;
        state.reading = InFlight::begin(Arc::clone(&self.0).read(now));
        state.reading.clone()
    }
}

impl<S> Known<S> {
    /// Whether there is a state built with the secret.
    const fn is_complete(&self) -> bool {
        self.app.is_some() && self.text.is_some()
    }

    /// Whether a later read already brought the secret: a read that Lambda froze must not bring old values back.
    const fn is_overtaken(&self, begun_at: i64) -> bool {
        begun_at < self.read_at
    }

    /// Stores the state `built` from the secret `text`, or without it. Returns `false` when a later read was faster.
    fn take_over(&mut self, text: Option<String>, begun_at: i64, built: Result<S, ConfigError>) -> bool {
        if self.is_overtaken(begun_at) || (text.is_none() && self.app.is_some()) {
            return false;
        }
        match built {
            Ok(app) => self.app = Some(Arc::new(app)),
            Err(error) => {
                // Drops a state that was built without the secret: it would report an older problem.
                self.app = self.app.take().filter(|_| self.text.is_some());
                self.problem = Some(error);
            }
        }
        self.text = text.map(Secret::new).or(self.text.take());
        true
    }

    fn is_reading(&self, now: i64) -> bool {
        self.reading.is_running() && now.saturating_sub(self.begun_at) < APART
    }
}

impl<S: State> Shared<S> {
    async fn read(self: Arc<Self>, begun_at: i64) {
        let id = self.environment.secret_id().unwrap_or_default();
        let read = self.secrets.read(id).await;
        let is_news = self.lock(|state| match &read {
            Err(_) => true,
            Ok(_) if state.is_overtaken(begun_at) => false,
            Ok(text) => {
                state.read_at = begun_at;
                !state.text.as_ref().is_some_and(|known| known.matches(text))
            }
        });
        if is_news {
            self.make(read, begun_at).await;
        }
    }

    /// Rebuilds the state from the result of the read that started at `begun_at`. Keeps the previous state on failure.
    async fn make(&self, read: Result<String, SecretError>, begun_at: i64) {
        let previous = self.lock(|state| state.app.clone());
        if let (Err(error), Some(_)) = (&read, &previous) {
            tracing::warn!(%error, "the secret cannot be read: using the last known values / 无法读取密钥，继续使用上一次的值");
            return;
        }
        let environment = self
            .environment
            .clone()
            .completed(read.as_deref().map_err(Clone::clone));
        let built = (self.build)(&environment, previous.as_deref());
        if let (Ok(app), Some(_)) = (&built, &previous) {
            warm(app, Duration::ZERO).await;
        }
        let error = built.as_ref().err().cloned();
        if !self.lock(|state| state.take_over(read.ok(), begun_at, built)) {
            return;
        }
        match error {
            None if previous.is_some() => tracing::info!("using the new values of the secret"),
            None => {}
            Some(error) if self.current().is_ok() => {
                tracing::error!(%error, "the new values of the secret are invalid: using the last valid ones / 密钥的新值无效，继续使用上一次的有效值");
            }
            Some(error) => tracing::error!(%error, "no request can be served / 无法处理任何请求"),
        }
    }

    fn current(&self) -> Result<Arc<S>, ConfigError> {
        self.lock(|state| match (&state.app, &state.problem) {
            (Some(app), _) => Ok(Arc::clone(app)),
            (None, Some(problem)) => Err(problem.clone()),
            (None, None) => Err(SecretError::late().into()),
        })
    }

    fn lock<T>(&self, act: impl FnOnce(&mut Known<S>) -> T) -> T {
        act(&mut lock(&self.known))
    }
}

impl<S: State> fmt::Debug for Live<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live")
            .field("environment", &self.0.environment)
            .finish_non_exhaustive()
    }
}

async fn warm<S: State>(app: &S, spent: Duration) {
    if tokio::time::timeout(WARM_BUDGET, app.warm(spent)).await.is_err() {
        tracing::warn!(
            "the warm-up did not end in time: the first request takes longer / 预热未能及时完成，首个请求会较慢"
        );
    }
}
