//! A scheduler that steps two runs of the refresher through every order of their calls to one scripted world.
//!
//! A call to the store is one step. A call to WeChat is two steps, since WeChat acts before its answer arrives. A sleeping run
//! wakes when something has changed or no other run can move: an earlier look would show it nothing new.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
    time::Duration,
};

use crate::{
    api::{ApiError, IssuedToken, Rejection, TokenApi, TokenIssuer},
    clock::{Clock, Deadline},
    lock::lock,
    secret::Secret,
    store::{Lease, RefreshFailure, StoreError, StoreErrorKind, StoredToken, TokenItem, TokenStore},
    token::{RefreshError, Refreshed, Refresher},
};

/// The start of every script, in epoch seconds.
pub(super) const START: i64 = 1_790_000_000;
/// The names of the runs, which own leases.
const RUNS: [&str; 2] = ["first", "second"];

/// The initial world and its faults.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) api: TokenApi,
    /// The digest of the token that the runs replace.
    pub(super) stale: Option<String>,
    /// The initial token in the table, with its seconds of life.
    pub(super) stored: Option<(&'static str, i64)>,
    /// The initial token at WeChat's stable interface.
    pub(super) current: Option<&'static str>,
    /// Seconds of life of the tokens that WeChat issues.
    pub(super) expires_in: i64,
    /// The errcode with which WeChat refuses every call.
    pub(super) refusal: Option<i64>,
    /// Seconds that WeChat's first answer takes.
    pub(super) first_answer_takes: i64,
    /// Steps after which the first run crashes.
    pub(super) dies_after: Option<usize>,
    /// Loses writes of the first run: the first lost write, what is lost, and how many writes.
    pub(super) lost: Option<(usize, Loss, usize)>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            api: TokenApi::Stable,
            stale: None,
            stored: None,
            current: None,
            expires_in: 7_200,
            refusal: None,
            first_answer_takes: 0,
            dies_after: None,
            lost: None,
        }
    }
}

/// The lost part of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// The request: the write never lands.
    Request,
    /// The answer: the write lands, and the run does not learn of it.
    Answer,
}

/// The table's item, WeChat, the time, and a record of all steps.
#[derive(Debug, Default)]
pub(super) struct World {
    now_millis: i64,
    pub(super) item: TokenItem,
    current: Option<String>,
    pub(super) issued: Vec<String>,
    /// The calls to WeChat, `true` for a forced one.
    pub(super) calls: Vec<bool>,
    /// All steps, with the run that made them.
    pub(super) trace: Vec<(&'static str, &'static str)>,
    /// Each sleep of a run.
    pub(super) pauses: Vec<Duration>,
    writes_of_first: usize,
    /// The number of writes and calls to WeChat.
    changes: usize,
}

impl World {
    fn new(plan: &Plan) -> Self {
        let token = plan.stored.map(|(token, life)| StoredToken {
            value: Secret::new(token),
            expires_at: START + life,
            refreshed_at: START - 7_000,
            generation: 7,
            previous: None,
        });
        let generation = if token.is_some() { 7 } else { 0 };
        Self {
            now_millis: START * 1000,
            item: TokenItem {
                token,
                generation,
                ..TokenItem::default()
            },
            current: plan.current.map(str::to_owned),
            ..Self::default()
        }
    }

    pub(super) fn now(&self) -> i64 {
        self.now_millis / 1000
    }

    /// Returns the stored token if it is unexpired.
    pub(super) fn working_token(&self) -> Option<&str> {
        let token = self.item.token.as_ref()?;
        (token.life(self.now()) > 0).then(|| token.value.expose())
    }

    /// Whether `step` comes before `other`. A step that did not happen comes last.
    pub(super) fn comes_before(&self, step: (&str, &str), other: (&str, &str)) -> bool {
        let position = |step| self.trace.iter().position(|made| *made == step).unwrap_or(usize::MAX);
        position(step) < position(other)
    }

    fn holds_lease(&self, owner: &str) -> bool {
        self.item.lease_owner.as_deref() == Some(owner)
    }

    fn free_lease(&mut self) {
        self.item.lease_owner = None;
        self.item.lease_expires_at = None;
    }
}

type Shared = Arc<Mutex<World>>;

/// Hands control back to the scheduler once.
async fn turn() {
    let mut has_waited = false;
    poll_fn(|_| {
        if has_waited {
            return Poll::Ready(());
        }
        has_waited = true;
        Poll::Pending
    })
    .await;
}

/// The world as one run sees it: its store, its WeChat and its clock.
#[derive(Clone, Debug)]
struct Seat {
    world: Shared,
    plan: Plan,
    run: &'static str,
    is_asleep: Arc<Mutex<bool>>,
}

impl Seat {
    async fn step(&self, name: &'static str) -> MutexGuard<'_, World> {
        turn().await;
        let mut world = lock(&self.world);
        world.trace.push((self.run, name));
        world
    }

    /// Makes a write, or loses its request or its answer as the plan says.
    async fn write<T>(&self, name: &'static str, write: impl FnOnce(&mut World) -> T + Send) -> Result<T, StoreError> {
        turn().await;
        let mut world = lock(&self.world);
        world.trace.push((self.run, name));
        let loss = self.plan.lost.filter(|(first, _, times)| {
            let number = world.writes_of_first;
            self.run == RUNS[0] && (*first..first + times).contains(&number)
        });
        world.writes_of_first += usize::from(self.run == RUNS[0]);
        world.changes += 1;
        match loss {
            Some((_, Loss::Request, _)) => Err(StoreError::of_kind(StoreErrorKind::Unreachable, name)),
            Some((_, Loss::Answer, _)) => {
                write(&mut world);
                Err(StoreError::of_kind(StoreErrorKind::Unreachable, name))
            }
            None => Ok(write(&mut world)),
        }
    }
}

/// Behaves like the table's conditional writes.
impl TokenStore for Seat {
    async fn load(&self) -> Result<TokenItem, StoreError> {
        Ok(self.step("load").await.item.clone())
    }

    async fn take_lease(&self, owner: &str, now: i64, until: i64) -> Result<Lease, StoreError> {
        self.write("lease", |world| {
            let is_free = world.item.lease_expires_at.is_none_or(|end| end <= now) || world.holds_lease(owner);
            if !is_free {
                return Lease::Held;
            }
            world.item.lease_owner = Some(owner.to_owned());
            world.item.lease_expires_at = Some(until);
            Lease::Won(Box::new(world.item.clone()))
        })
        .await
    }

    async fn record_forced(&self, owner: &str, at: &[i64]) -> Result<bool, StoreError> {
        self.write("record", |world| {
            let is_ours = world.holds_lease(owner);
            if is_ours {
                world.item.forced_at = at.to_vec();
            }
            is_ours
        })
        .await
    }

    async fn save(&self, owner: &str, read_generation: u64, token: &StoredToken) -> Result<bool, StoreError> {
        self.write("save", |world| {
            if !world.holds_lease(owner) || world.item.generation != read_generation {
                return world.item.refreshed_by.as_deref() == Some(owner);
            }
            world.item.token = Some(token.clone());
            world.item.generation = token.generation;
            world.item.refreshed_by = Some(owner.to_owned());
            world.item.failure = None;
            world.free_lease();
            true
        })
        .await
    }

    async fn release(&self, owner: &str, failure: Option<&RefreshFailure>) -> Result<(), StoreError> {
        self.write("release", |world| {
            if world.holds_lease(owner) {
                world.free_lease();
                if let Some(failure) = failure {
                    world.item.failure = Some(failure.clone());
                }
            }
        })
        .await
    }
}

impl TokenIssuer for Seat {
    type Error = ApiError;

    async fn issue(&self, force: bool, _: Deadline) -> Result<IssuedToken, ApiError> {
        let token = {
            let mut world = self.step("ask").await;
            world.calls.push(force);
            world.changes += 1;
            if world.calls.len() == 1 {
                world.now_millis += self.plan.first_answer_takes * 1000;
            }
            let goes_on = self.plan.api == TokenApi::Stable && !force;
            let token = match world.current.clone().filter(|_| goes_on) {
                Some(current) => current,
                None => format!("token-{}", world.calls.len()),
            };
            if self.plan.refusal.is_none() {
                world.current = Some(token.clone());
                world.issued.push(token.clone());
            }
            token
        };
        drop(self.step("answer").await);
        if let Some(errcode) = self.plan.refusal {
            let operation = "/cgi-bin/stable_token";
            let rejection = Rejection::at_token_endpoint(errcode, "refused");
            return Err(ApiError::Rejected {
                operation,
                rejection,
                calls: 1,
                after_ambiguous: false,
            });
        }
        Ok(IssuedToken {
            value: Secret::new(token),
            expires_in: self.plan.expires_in,
        })
    }

    fn always_replaces(&self) -> bool {
        self.plan.api == TokenApi::Classic
    }
}

impl Clock for Seat {
    fn now_millis(&self) -> i64 {
        lock(&self.world).now_millis
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            *self.is_asleep.lock().unwrap() = true;
            turn().await;
            *self.is_asleep.lock().unwrap() = false;
            let mut world = lock(&self.world);
            world.now_millis += i64::try_from(duration.as_millis()).unwrap();
            world.pauses.push(duration);
        })
    }
}

pub(super) type Outcome = Result<Refreshed, RefreshError>;

/// A run that can be moved one step at a time.
struct Run {
    future: Pin<Box<dyn Future<Output = Outcome>>>,
    is_asleep: Arc<Mutex<bool>>,
    /// The number of changes when the run fell asleep.
    asleep_since: Option<usize>,
    steps: usize,
    outcome: Option<Outcome>,
    is_dead: bool,
}

impl Run {
    fn new(world: &Shared, plan: &Plan, name: &'static str) -> Self {
        let is_asleep = Arc::default();
        let seat = Seat {
            world: Arc::clone(world),
            plan: plan.clone(),
            run: name,
            is_asleep: Arc::clone(&is_asleep),
        };
        let stale = plan.stale.clone();
        let refresher = Refresher::new(seat.clone(), seat.clone(), Arc::new(seat));
        let mut run = Self {
            future: Box::pin(async move { refresher.run(stale.as_deref(), name, Deadline::NONE).await }),
            is_asleep,
            asleep_since: None,
            steps: 0,
            outcome: None,
            is_dead: false,
        };
        // Runs up to the first call.
        run.poll(world);
        run
    }

    fn is_live(&self) -> bool {
        self.outcome.is_none() && !self.is_dead
    }

    fn poll(&mut self, world: &Shared) {
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(outcome) = self.future.as_mut().poll(&mut context) {
            self.outcome = Some(outcome);
        }
        self.asleep_since = self.is_asleep.lock().unwrap().then(|| lock(world).changes);
    }
}

/// Plays one schedule, in which `choose` picks the next run among those that can move, until none can.
fn play(plan: &Plan, mut choose: impl FnMut(usize) -> usize) -> (World, Vec<Option<Outcome>>) {
    let world = Arc::new(Mutex::new(World::new(plan)));
    let mut runs: Vec<Run> = RUNS.iter().map(|name| Run::new(&world, plan, name)).collect();
    loop {
        let changes = lock(&world).changes;
        let live = || runs.iter().enumerate().filter(|(_, run)| run.is_live());
        let all_asleep = live().all(|(_, run)| run.asleep_since.is_some());
        let movable: Vec<usize> = live()
            .filter(|(_, run)| run.asleep_since.is_none_or(|since| all_asleep || changes > since))
            .map(|(index, _)| index)
            .collect();
        if movable.is_empty() {
            break;
        }
        let index = if movable.len() == 1 {
            movable[0]
        } else {
            movable[choose(movable.len())]
        };
        let run = &mut runs[index];
        run.poll(&world);
        run.steps += 1;
        if index == 0 && plan.dies_after == Some(run.steps) {
            run.is_dead = true;
        }
    }
    let outcomes = runs.into_iter().map(|run| run.outcome).collect();
    let world = Arc::try_unwrap(world).unwrap().into_inner().unwrap();
    (world, outcomes)
}

/// Plays all schedules, runs `check` on the end of each, and returns their number.
pub(super) fn explore(plan: &Plan, check: impl Fn(World, Vec<Option<Outcome>>)) -> usize {
    let mut prefix: Vec<usize> = Vec::new();
    let mut schedules = 0;
    loop {
        let mut choices: Vec<(usize, usize)> = Vec::new();
        let (world, outcomes) = play(plan, |options| {
            let choice = prefix.get(choices.len()).copied().unwrap_or(0);
            choices.push((choice, options));
            choice
        });
        schedules += 1;
        check(world, outcomes);
        while choices.last().is_some_and(|(choice, options)| choice + 1 == *options) {
            choices.pop();
        }
        let Some((last, _)) = choices.pop() else {
            return schedules;
        };
        prefix = choices.iter().map(|(choice, _)| *choice).collect();
        prefix.push(last + 1);
    }
}

/// Makes one more run a minute after the end of `world`, alone and without faults.
pub(super) fn a_minute_later(mut world: World, plan: &Plan) -> (World, Outcome) {
    world.now_millis += 60_000;
    let plan = Plan {
        dies_after: None,
        lost: None,
        refusal: None,
        first_answer_takes: 0,
        ..plan.clone()
    };
    alone(world, &plan, "third")
}

/// Makes the run `name` while a crashed run holds the lease.
pub(super) fn behind_a_dead_run(name: &'static str) -> (World, Outcome) {
    let plan = Plan::default();
    let mut world = World::new(&plan);
    world.item.lease_owner = Some("dead".to_owned());
    world.item.lease_expires_at = Some(START + 45);
    alone(world, &plan, name)
}

fn alone(world: World, plan: &Plan, name: &'static str) -> (World, Outcome) {
    let world = Arc::new(Mutex::new(world));
    let mut run = Run::new(&world, plan, name);
    while run.is_live() {
        run.poll(&world);
    }
    let outcome = run.outcome.take().unwrap();
    drop(run);
    (Arc::try_unwrap(world).unwrap().into_inner().unwrap(), outcome)
}
