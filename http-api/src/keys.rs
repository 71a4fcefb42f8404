//! The keys that open `/api`: `API_KEYS`, and the keys that were made at run time, of which each instance keeps a copy.
//!
//! - A copy serves for 30 s, so a revoked key ends everywhere within that time. When the copy is older and the table cannot
//!   be read, no such key is accepted: the answer is the table's failure, not 401.
//! - A key that the copy lacks is looked up before it is refused, so a new key works at once. An instance reads the table at
//!   most once a second for that; requests that ask meanwhile wait for the next reading, and share it. Only a few may wait:
//!   a stranger with made-up keys could otherwise hold every instance that AWS gives the account. The others get 503 with
//!   `Retry-After`.
//! - `API_KEYS` are compared first and never wait for the table.

use std::{
    collections::HashSet,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use wechat::{
    api_key::{ApiKey, KEY_PREFIX},
    clock::{Clock, beijing_day},
    digest::sha256_hex,
    in_flight::InFlight,
    lock::lock,
    secret::Secret,
};

use crate::{
    Caller, Problem, Request,
    access::{bearer, matching},
};

/// Milliseconds for which a copy of the keys serves.
const FRESH_FOR: i64 = 30_000;
/// Milliseconds between the starts of two readings: anyone can send a wrong key.
const APART: i64 = 1_000;
/// Requests that may wait for the next reading within [`WAITS_WITHIN`]: a new key needs one or two.
const WAITS: u8 = 3;
/// Milliseconds.
const WAITS_WITHIN: i64 = 10_000;
/// Seconds. The `Retry-After` of the others: by then the next reading is due.
const ASK_AGAIN: u64 = 1;

/// The future of a [`KeyStore`].
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Problem>> + Send + 'a>>;

/// The store of the keys that were made at run time.
pub trait KeyStore: fmt::Debug + Send + Sync {
    /// Reads all keys.
    fn keys(&self) -> StoreFuture<'_, Vec<ApiKey>>;

    /// Records that the key `id` was used on `day`, a day in Beijing.
    fn note_use<'a>(&'a self, id: &'a str, day: &'a str) -> StoreFuture<'a, ()>;
}

#[cfg(feature = "aws")]
impl KeyStore for wechat::store::Table {
    fn keys(&self) -> StoreFuture<'_, Vec<ApiKey>> {
        Box::pin(async { self.api_keys().await.map_err(Problem::from) })
    }

    fn note_use<'a>(&'a self, id: &'a str, day: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(async move { self.note_api_key_use(id, day).await.map_err(Problem::from) })
    }
}

/// The keys that open `/api`.
#[derive(Debug)]
pub struct Keys {
    api_keys: Vec<Secret>,
    store: Arc<dyn KeyStore>,
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
    /// Held while the store is read.
    reading: tokio::sync::Mutex<()>,
}

/// The copy of the keys, and the state of the readings.
#[derive(Debug)]
struct Known {
    /// The copy, as the last successful reading brought it.
    keys: Vec<Arc<ApiKey>>,
    /// Milliseconds. Start of that reading.
    read_at: i64,
    /// The ids of the keys whose use was noted since that reading.
    noted: HashSet<String>,
    /// The number of readings that have begun.
    begun: u64,
    /// Milliseconds. Start of the last one.
    begun_at: i64,
    /// The number of the last reading that ended, and its failure.
    ended: (u64, Option<Problem>),
    /// The number of requests that have waited for a reading since `waits_since`.
    waits: u8,
    /// Milliseconds.
    waits_since: i64,
}

impl Known {
    fn holder(&self, is_meant: impl Fn(&ApiKey) -> bool) -> Option<Caller> {
        let key = self.keys.iter().find(|key| is_meant(key))?;
        Some(Caller::holder(Arc::clone(key)))
    }

    /// Whether one more request may wait for the next reading at `now` (epoch milliseconds). Counts it.
    fn may_wait(&mut self, now: i64) -> bool {
        if !(0..WAITS_WITHIN).contains(&now.saturating_sub(self.waits_since)) {
            (self.waits, self.waits_since) = (0, now);
        }
        self.waits = self.waits.saturating_add(1);
        self.waits <= WAITS
    }
}

impl Keys {
    /// Accepts `api_keys`, and the keys in `store`.
    pub fn new(api_keys: Vec<Secret>, store: impl KeyStore + 'static, clock: Arc<dyn Clock>) -> Self {
        Self {
            api_keys,
            store: Arc::new(store),
            clock,
            known: Mutex::new(Known {
                keys: Vec::new(),
                read_at: i64::MIN,
                noted: HashSet::new(),
                begun: 0,
                begun_at: i64::MIN,
                ended: (0, None),
                waits: 0,
                waits_since: i64::MIN,
            }),
            reading: tokio::sync::Mutex::default(),
        }
    }

    /// Reads the store before a key of it is accepted again.
    pub fn forget(&self) {
        lock(&self.known).read_at = i64::MIN;
    }

    /// Returns `API_KEYS`.
    #[must_use]
    pub fn api_keys(&self) -> &[Secret] {
        &self.api_keys
    }

    /// Returns the caller of `request`. `None` when neither a key nor a JWT shows who it is.
    ///
    /// # Errors
    /// [`Problem`] when the request has a key that was made at run time, and the keys cannot be read.
    pub async fn caller(&self, request: &Request) -> Result<Option<Caller>, Problem> {
        if let Some(key) = bearer(request.headers())
            && let Some(caller) = self.holder(key).await?
        {
            return Ok(Some(caller));
        }
        Ok(request.jwt().as_ref().map(Caller::of_jwt))
    }

    /// Returns the holder of `key`. `None` when it is not a valid key.
    ///
    /// # Errors
    /// [`Problem`] when the key may have been made at run time, and the keys cannot be read.
    pub async fn holder(&self, key: &str) -> Result<Option<Caller>, Problem> {
        if let Some(key) = matching(key, &self.api_keys) {
            return Ok(Some(Caller::root(key)));
        }
        if !key.starts_with(KEY_PREFIX) {
            return Ok(None);
        }
        // Not in constant time: the time reveals at most a part of a stored digest, and nobody can choose a key by the
        // beginning of its SHA-256.
        let digest = sha256_hex(key.as_bytes());
        self.find(|key| key.digest == digest).await
    }

    /// Returns the holder of the key with this id. `None` when there is none any more.
    ///
    /// # Errors
    /// [`Problem`] when the keys cannot be read.
    pub async fn holder_of_id(&self, id: &str) -> Result<Option<Caller>, Problem> {
        self.find(|key| key.id == id).await
    }

    /// Returns the holder of the first of `API_KEYS` for which `is_meant` is true.
    pub fn root(&self, is_meant: impl Fn(&Secret) -> bool) -> Option<Caller> {
        let key = self.api_keys.iter().find(|key| is_meant(key))?;
        Some(Caller::root(key))
    }

    async fn find(&self, is_meant: impl Fn(&ApiKey) -> bool) -> Result<Option<Caller>, Problem> {
        let (found, begun) = self.fresh(&is_meant);
        if found.is_some() {
            return Ok(found);
        }
        let _turn = self.reading.lock().await;
        // A reading may have ended while this request waited for the lock.
        let (found, _) = self.fresh(&is_meant);
        if found.is_some() {
            return Ok(found);
        }
        // The caller is unknown so far, so the failure must reveal nothing private.
        self.read_after(begun).await.map_err(Problem::public)?;
        Ok(lock(&self.known).holder(&is_meant))
    }

    /// Returns the holder, if the copy is fresh and has the key, and the number of readings that have begun.
    fn fresh(&self, is_meant: impl Fn(&ApiKey) -> bool) -> (Option<Caller>, u64) {
        let now = self.clock.now_millis();
        let known = lock(&self.known);
        let is_fresh = (0..FRESH_FOR).contains(&now.saturating_sub(known.read_at));
        let found = if is_fresh { known.holder(is_meant) } else { None };
        (found, known.begun)
    }

    /// Reads the keys, unless a reading has ended that began after the one with the number `begun`. A key may have been made
    /// while reading `begun` was in flight, so that reading cannot prove that a key does not exist.
    async fn read_after(&self, begun: u64) -> Result<(), Problem> {
        let ((number, failure), last) = {
            let known = lock(&self.known);
            (known.ended.clone(), known.begun_at)
        };
        if number > begun {
            return failure.map_or(Ok(()), Err);
        }
        let now = self.clock.now_millis();
        let passed = now.saturating_sub(last);
        if (0..APART).contains(&passed) {
            let may_wait = lock(&self.known).may_wait(now);
            if !may_wait {
                return Err(failure.unwrap_or_else(too_many_unknown));
            }
            let rest = Duration::from_millis((APART - passed).unsigned_abs());
            self.clock.sleep(rest).await;
        }
        let began_at = self.clock.now_millis();
        let number = {
            let mut known = lock(&self.known);
            known.begun += 1;
            known.begun_at = began_at;
            known.begun
        };
        let read = self.store.keys().await;
        let mut known = lock(&self.known);
        known.ended = (number, read.as_ref().err().cloned());
        known.keys = read?.into_iter().map(Arc::new).collect();
        known.read_at = began_at;
        known.noted.clear();
        Ok(())
    }

    /// Starts to record that the caller's key was used today, best effort. Tries at most once for each reading, until a
    /// reading shows today's use.
    pub fn note_use(&self, caller: &Caller) -> Option<InFlight> {
        let key = caller.key()?;
        let today = beijing_day(self.clock.now());
        if key.last_used.as_ref() >= Some(&today) || !lock(&self.known).noted.insert(key.id.clone()) {
            return None;
        }
        let (store, id) = (Arc::clone(&self.store), key.id.clone());
        Some(InFlight::begin(async move {
            if let Err(problem) = store.note_use(&id, &today).await {
                tracing::warn!(
                    error = problem.detail(),
                    "the use of an API key could not be noted / API 密钥的使用未能记录"
                );
            }
        }))
    }
}

fn too_many_unknown() -> Problem {
    Problem::busy(
        "too many requests come with unknown API keys / 携带未知密钥的请求过多",
        ASK_AGAIN,
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use testing::ManualClock;
    use wechat::api_key::{Grants, Scope};

    use super::*;

    /// A store in memory.
    #[derive(Clone, Debug, Default)]
    struct Memory(Arc<Mutex<State>>);

    #[derive(Debug, Default)]
    struct State {
        keys: Vec<ApiKey>,
        is_down: bool,
        readings: usize,
        noted: Vec<(String, String)>,
    }

    impl Memory {
        fn state<T>(&self, access: impl FnOnce(&mut State) -> T) -> T {
            access(&mut lock(&self.0))
        }

        fn make(&self, key: &str) {
            let key = ApiKey {
                id: format!("id{key}"),
                digest: sha256_hex(key.as_bytes()),
                name: format!("name of {}", key.len()),
                grants: Grants::unlimited(|scope| scope == Scope::Send),
                created_at: 0,
                last_used: None,
            };
            self.state(|state| state.keys.push(key));
        }

        fn readings(&self) -> usize {
            self.state(|state| state.readings)
        }
    }

    impl KeyStore for Memory {
        fn keys(&self) -> StoreFuture<'_, Vec<ApiKey>> {
            Box::pin(async {
                // Lets the other requests of a test come up to the reading.
                tokio::task::yield_now().await;
                self.state(|state| {
                    state.readings += 1;
                    if state.is_down {
                        Err(Problem::timeout("down"))
                    } else {
                        Ok(state.keys.clone())
                    }
                })
            })
        }

        fn note_use<'a>(&'a self, id: &'a str, day: &'a str) -> StoreFuture<'a, ()> {
            self.state(|state| state.noted.push((id.to_owned(), day.to_owned())));
            Box::pin(async { Ok(()) })
        }
    }

    struct Stage {
        store: Memory,
        clock: Arc<ManualClock>,
        keys: Keys,
    }

    fn stage() -> Stage {
        let (store, clock) = (Memory::default(), ManualClock::new());
        Stage {
            keys: Keys::new(vec![Secret::new("root key")], store.clone(), clock.clone()),
            store,
            clock,
        }
    }

    fn request(key: &str, is_jwt: bool) -> Request {
        let claims = json!({"jwt": {"claims": {"sub": "u-1"}}});
        let event = json!({
            "rawPath": "/api/menu", "headers": {"authorization": format!("Bearer {key}")},
            "requestContext": {"http": {"method": "GET"}, "authorizer": is_jwt.then_some(claims)},
        });
        serde_json::from_str(&event.to_string()).unwrap()
    }

    impl Stage {
        /// The name of the holder of `key`, and the status when the keys cannot be read.
        async fn name(&self, key: &str) -> Result<Option<String>, u16> {
            let caller = self.keys.caller(&request(key, false)).await;
            let caller = caller.map_err(|problem| problem.into_response().status().as_u16())?;
            Ok(caller.map(|caller| caller.name().to_owned()))
        }
    }

    #[tokio::test]
    async fn a_new_key_works_at_once_also_right_after_a_wrong_one() {
        let stage = stage();
        assert_eq!(stage.name("wk_a").await, Ok(None));
        stage.store.make("wk_a");
        assert_eq!(stage.name("wk_a").await, Ok(Some("name of 4".to_owned())));
        assert_eq!(stage.clock.sleeps(), [Duration::from_secs(1)], "one reading a second");
        for _ in 0..10 {
            assert!(stage.name("wk_a").await.unwrap().is_some());
        }
        assert_eq!(stage.store.readings(), 2, "a known key is not looked up");
    }

    #[tokio::test]
    async fn unknown_keys_one_after_the_other_do_not_hold_the_instance() {
        let stage = stage();
        for number in 0..20 {
            let expected = if number < 4 { Ok(None) } else { Err(503) };
            assert_eq!(stage.name(&format!("wk_{number}")).await, expected, "{number}");
        }
        assert_eq!(
            stage.clock.sleeps(),
            [Duration::from_secs(1); 3],
            "only the first few wait"
        );
        stage.store.make("wk_a");
        let problem = stage.keys.caller(&request("wk_a", false)).await.unwrap_err();
        assert_eq!(problem.into_response().headers()["retry-after"], "1");
        stage.clock.advance(1);
        assert!(stage.name("wk_a").await.unwrap().is_some(), "retried as told");
        stage.store.state(|state| state.is_down = true);
        stage.clock.advance(1);
        for _ in 0..2 {
            assert_eq!(
                stage.name("wk_b").await,
                Err(504),
                "the table's failure is reported as such"
            );
        }
        stage.store.state(|state| state.is_down = false);
        stage.clock.advance(10);
        assert_eq!(stage.name("wk_b").await, Ok(None));
        assert_eq!(stage.name("wk_c").await, Ok(None), "a new key is waited for again");
        assert_eq!(stage.clock.sleeps().len(), 4);
    }

    #[tokio::test]
    async fn a_revoked_key_ends_within_30_seconds() {
        let stage = stage();
        stage.store.make("wk_a");
        assert!(stage.name("wk_a").await.unwrap().is_some());
        stage.store.state(|state| state.keys.clear());
        stage.clock.advance(29);
        assert!(stage.name("wk_a").await.unwrap().is_some());
        stage.clock.advance(1);
        assert_eq!(stage.name("wk_a").await, Ok(None));
    }

    #[tokio::test]
    async fn unreadable_keys_are_not_reported_as_wrong() {
        let stage = stage();
        stage.store.make("wk_a");
        assert!(stage.name("wk_a").await.unwrap().is_some());
        stage.store.state(|state| state.is_down = true);
        assert_eq!(stage.name("wk_b").await, Err(504));
        assert!(stage.name("wk_a").await.unwrap().is_some(), "the copy is still fresh");
        stage.clock.advance(30);
        assert_eq!(stage.name("wk_a").await, Err(504));
        assert_eq!(stage.name("root key").await, Ok(Some("root".to_owned())));
        stage.store.state(|state| state.is_down = false);
        assert!(stage.name("wk_a").await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_clock_that_is_set_back_does_not_keep_a_revoked_key_alive() {
        let stage = stage();
        stage.store.make("wk_a");
        assert!(stage.name("wk_a").await.unwrap().is_some());
        stage.store.state(|state| state.keys.clear());
        stage.clock.advance(-3600);
        assert_eq!(stage.name("wk_a").await, Ok(None));
    }

    #[tokio::test]
    async fn only_a_key_with_the_stores_prefix_has_the_store_read() {
        let stage = stage();
        for key in ["root key", "another key", "eyJhbGciOi", ""] {
            stage.name(key).await.unwrap();
        }
        let caller = stage.keys.caller(&request("eyJhbGciOi", true)).await.unwrap();
        assert_eq!(caller.unwrap().name(), "u-1");
        assert_eq!(stage.store.readings(), 0);
    }

    #[tokio::test]
    async fn requests_that_ask_at_once_share_their_readings() {
        let stage = stage();
        stage.store.make("wk_a");
        let ask = |key| stage.name(key);
        let known = tokio::join!(ask("wk_a"), ask("wk_a"), ask("wk_a"));
        for answer in [known.0, known.1, known.2] {
            assert!(answer.unwrap().is_some());
        }
        assert_eq!(stage.store.readings(), 1);
        let unknown = tokio::join!(ask("wk_b"), ask("wk_c"), ask("wk_b"), ask("wk_a"));
        assert_eq!((unknown.0, unknown.1, unknown.2), (Ok(None), Ok(None), Ok(None)));
        assert!(unknown.3.unwrap().is_some());
        assert!(stage.store.readings() <= 3, "{}", stage.store.readings());
    }

    #[tokio::test]
    async fn a_use_is_noted_once_a_day() {
        let stage = stage();
        stage.store.make("wk_a");
        let use_key = async || {
            let caller = stage.keys.caller(&request("wk_a", false)).await.unwrap().unwrap();
            if let Some(noting) = stage.keys.note_use(&caller) {
                noting.ended().await;
            }
            stage.store.state(|state| state.noted.len())
        };
        assert_eq!(use_key().await, 1);
        assert_eq!(use_key().await, 1);
        let (id, day) = stage.store.state(|state| state.noted[0].clone());
        assert_eq!((id.as_str(), &day), ("idwk_a", &beijing_day(stage.clock.now())));
        stage.clock.advance(30);
        assert_eq!(use_key().await, 2, "the last attempt may have failed");
        stage.store.state(|state| state.keys[0].last_used = Some(day));
        stage.clock.advance(30);
        assert_eq!(use_key().await, 2);
        stage.clock.advance(24 * 3600);
        assert_eq!(use_key().await, 3);
    }
}
