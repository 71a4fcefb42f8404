//! A function's state that follows the secret it was made of.
//!
//! What `WECHAT_SECRET_ID` names is read at start, again when it is older than 5 minutes, and on demand when a request
//! shows that the values in memory may be old. A changed secret makes the whole state anew. A request waits only briefly
//! for a read: one that takes longer goes on, and serves a later request.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::{
    clock::Clock,
    config::{ConfigError, Environment, SecretError},
    in_flight::InFlight,
    lock::lock,
    secret::Secret,
};

/// Milliseconds. A secret that was read longer ago is read again.
const FRESH_FOR: i64 = 300_000;
/// Milliseconds between two reads after one that failed, and between two on demand: anyone can send a wrong key, and each
/// read costs. Lambda freezes a process between two requests: a read that is in flight for longer than this may have lost its connection,
/// and is not waited for.
const APART: i64 = 10_000;
/// What a request waits for a secret that is merely old, or for a read that another one has begun.
const STALE_BUDGET: Duration = Duration::from_millis(300);
/// What a request waits that would be refused otherwise.
const DEMAND_BUDGET: Duration = Duration::from_secs(1);
/// What preparing a state may take at start, after the secret: Lambda gives a process ten seconds.
const WARM_BUDGET: Duration = Duration::from_secs(2);

/// The state of a function: what its configuration makes of it, once and again for each change of the secret.
pub trait State: Sized + Send + Sync + 'static {
    /// What the start may wait for the secret. One that takes longer completes the state later.
    const START_BUDGET: Duration = Duration::from_secs(6);

    /// Prepares what the first request would have to wait for. The start has already taken as long as `spent`.
    fn warm(&self, spent: Duration) -> impl Future<Output = ()> + Send;
}

/// Makes the state that an environment describes, in place of an earlier one if there is one.
pub type Build<S> = dyn Fn(&Environment, Option<&S>) -> Result<S, ConfigError> + Send + Sync;

/// Where secrets are.
pub trait Secrets: Send + Sync {
    /// Reads the secret `id`.
    ///
    /// # Errors
    /// [`SecretError`] when it cannot be read.
    fn read<'a>(&'a self, id: &'a str) -> Pin<Box<dyn Future<Output = Result<String, SecretError>> + Send + 'a>>;
}

/// The state of a running function.
pub struct Live<S: State>(Arc<Shared<S>>);

/// What a read that takes too long shares with the requests that no longer wait for it.
struct Shared<S> {
    build: Box<Build<S>>,
    secrets: Box<dyn Secrets>,
    /// What the process was started with.
    environment: Environment,
    clock: Arc<dyn Clock>,
    known: Mutex<Known<S>>,
}

struct Known<S> {
    app: Option<Arc<S>>,
    /// Why there is none. `None` while the first read is under way.
    problem: Option<ConfigError>,
    /// The secret as it was last read: an unchanged one makes nothing anew.
    text: Option<Secret>,
    /// When the read that brought it was begun, in milliseconds.
    read_at: i64,
    /// When the last read was begun, in milliseconds.
    begun_at: i64,
    /// When the last one on demand was begun, in milliseconds.
    demanded_at: i64,
    /// The last read.
    reading: InFlight,
}

impl<S: State> Live<S> {
    /// Makes the state that `environment` describes, completed by its secret. When that cannot be read the function starts
    /// all the same: see [`Live::current`].
    ///
    /// # Errors
    /// [`ConfigError`] with every problem, when the secret is not the only one.
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
        let spent = u64::try_from(live.0.clock.now_millis() - started).unwrap_or_default();
        warm(&*app, Duration::from_millis(spent)).await;
        Ok(live)
    }

    /// The state to serve a request with.
    ///
    /// # Errors
    /// [`ConfigError`] while there is none: the secret could not be read since the start, or describes no state. The request
    /// has tried again, if the last one that did is long enough ago.
    pub async fn current(&self) -> Result<Arc<S>, ConfigError> {
        if self.0.environment.secret_id().is_none() {
            return self.0.current();
        }
        let now = self.0.clock.now_millis();
        let (is_complete, read_at) = self.0.lock(|state| (state.is_complete(), state.read_at));
        if !is_complete {
            self.read_on_demand(now).await;
        } else if now.saturating_sub(read_at) >= FRESH_FOR {
            // A read that another request has begun is left to it.
            let begin =
                |state: &mut Known<S>| (now.saturating_sub(state.begun_at) >= APART).then(|| self.begin(state, now));
            if let Some(reading) = self.0.lock(begin) {
                reading.ends_within(STALE_BUDGET).await;
            }
        }
        self.0.current()
    }

    /// The state to serve a request with that `doubted` would refuse: another one, when the secret has changed.
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

    /// Begins to read the secret.
    fn begin(&self, state: &mut Known<S>, now: i64) -> InFlight {
        state.begun_at = now;
        state.reading = InFlight::begin(Arc::clone(&self.0).read(now));
        state.reading.clone()
    }
}

impl<S> Known<S> {
    /// Whether there is a state that the secret has completed.
    const fn is_complete(&self) -> bool {
        self.app.is_some() && self.text.is_some()
    }

    /// Whether a read that was begun later has brought the secret: one that was frozen must not bring old values back.
    const fn is_overtaken(&self, begun_at: i64) -> bool {
        begun_at < self.read_at
    }

    /// Keeps what was `built` of the secret `text`, or without it. False when a later read was faster.
    fn take_over(&mut self, text: Option<String>, begun_at: i64, built: Result<S, ConfigError>) -> bool {
        if self.is_overtaken(begun_at) || (text.is_none() && self.app.is_some()) {
            return false;
        }
        match built {
            Ok(app) => self.app = Some(Arc::new(app)),
            Err(error) => {
                // A state that was made without the secret would tell of an older problem.
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

    /// Makes the state anew of what a read that was begun at `begun_at` brought, unless that describes none.
    async fn make(&self, read: Result<String, SecretError>, begun_at: i64) {
        let previous = self.lock(|state| state.app.clone());
        if let (Err(error), Some(_)) = (&read, &previous) {
            tracing::warn!(%error, "the secret cannot be read, the last known values serve");
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
            None if previous.is_some() => tracing::info!("the new values of the secret serve"),
            None => {}
            Some(error) if self.current().is_ok() => {
                tracing::error!(%error, "the new values of the secret cannot be used, the last ones that could be serve");
            }
            Some(error) => tracing::error!(%error, "no request can be served"),
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
        tracing::warn!("what the first request needs could not be prepared in time");
    }
}
