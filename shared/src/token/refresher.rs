//! Keeps the stored access_token alive: any number of concurrent runs make one call to WeChat.
//!
//! ```text
//! read ── enough life ──> done
//!   └─ take the lease ── held by another run ──> done while a token works, else wait for that run
//!          └─ look again ──> call WeChat ──> store, if lease and generation are still ours
//! ```
//!
//! A lease whose holder died ends by itself within a minute.

use std::{future::Future, sync::Arc, time::Duration};

use super::{Action, Refreshed};
use crate::{
    api::{ApiError, IssuedToken, TokenIssuer},
    clock::{Clock, Deadline},
    store::{Lease, RefreshFailure, StoreError, StoredToken, Table, TokenItem},
};

/// A token with less life than this, in seconds, is refreshed. WeChat renews stable tokens 5 minutes before their end.
const REFRESH_BELOW: i64 = 600;
/// How long a lease holds, in seconds: longer than two calls to WeChat and the writes around them.
const LEASE_FOR: i64 = 45;
/// How long a run waits for the run that holds the lease.
const WAIT_AT_MOST: Duration = Duration::from_secs(20);
const WAIT_STEP: Duration = Duration::from_millis(250);
/// What waiting leaves of the invocation.
const WAIT_MARGIN: Duration = Duration::from_secs(2);
/// WeChat's limits of forced refreshes.
const FORCED_A_DAY: usize = 20;
const FORCED_APART: i64 = 30;
const DAY: i64 = 24 * 3600;

/// The token item of one account, as the refresher needs it.
pub trait TokenStore: Send + Sync {
    /// Reads the item consistently.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    fn load(&self) -> impl Future<Output = Result<TokenItem, StoreError>> + Send;

    /// Takes the lease until `until`, if no other run holds it at `now`.
    ///
    /// # Errors
    /// [`StoreError`] when the item cannot be written.
    fn take_lease(&self, owner: &str, now: i64, until: i64) -> impl Future<Output = Result<Lease, StoreError>> + Send;

    /// Writes the ledger of forced refreshes. False when `owner` has lost the lease.
    ///
    /// # Errors
    /// [`StoreError`] when the item cannot be written.
    fn record_forced(&self, owner: &str, at: &[i64]) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Stores the token and gives the lease back. False when another run was faster.
    ///
    /// # Errors
    /// [`StoreError`] when the item could not be written, or may have been.
    fn save(
        &self,
        owner: &str,
        read_generation: Option<u64>,
        token: &StoredToken,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Gives the lease back without a token.
    ///
    /// # Errors
    /// [`StoreError`] when the item cannot be written.
    fn release(
        &self,
        owner: &str,
        failure: Option<&RefreshFailure>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// The token item of `app_id` in the bundle's table.
impl TokenStore for (Table, String) {
    async fn load(&self) -> Result<TokenItem, StoreError> {
        self.0.token(&self.1).await
    }

    async fn take_lease(&self, owner: &str, now: i64, until: i64) -> Result<Lease, StoreError> {
        self.0.take_token_lease(&self.1, owner, now, until).await
    }

    async fn record_forced(&self, owner: &str, at: &[i64]) -> Result<bool, StoreError> {
        self.0.record_forced_refreshes(&self.1, owner, at).await
    }

    async fn save(&self, owner: &str, read: Option<u64>, token: &StoredToken) -> Result<bool, StoreError> {
        self.0.save_token(&self.1, owner, read, token).await
    }

    async fn release(&self, owner: &str, failure: Option<&RefreshFailure>) -> Result<(), StoreError> {
        self.0.release_token_lease(&self.1, owner, failure).await
    }
}

/// Why a run brought no token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefreshError {
    /// The table could not be used.
    #[error("the token cannot be refreshed: {0}")]
    Store(#[from] StoreError),
    /// WeChat gave no token.
    #[error("the token cannot be refreshed: {0}")]
    Api(#[from] ApiError),
    /// The run that this one waited for got no token.
    #[error("another run has just failed to refresh the token: {}", .0.message)]
    OtherRun(RefreshFailure),
    /// Another run holds the lease, and this one could not wait any longer.
    #[error(
        "another run is refreshing the token; its lease ends at {until} (epoch seconds) / 另一个实例正在刷新 access_token"
    )]
    Busy {
        /// When the lease ends, in epoch seconds.
        until: i64,
    },
    /// WeChat allows forced refreshes 20 times a day, 30 s apart.
    #[error(
        "WeChat keeps returning the token that it refuses, and no forced refresh is allowed for {retry_after} s \
         / 微信返回的仍是失效的 access_token，且强制刷新次数受限，请 {retry_after} 秒后再试"
    )]
    ForcedTooOften {
        /// Seconds until the next one is allowed.
        retry_after: i64,
    },
    /// The lease was lost to another run before the token could be stored.
    #[error("another run took over before the token could be stored / 保存前租约已被其他实例取得")]
    Superseded,
}

impl RefreshError {
    /// WeChat's errcode, when it was WeChat that refused.
    #[must_use]
    pub const fn errcode(&self) -> Option<i64> {
        match self {
            Self::Api(error) => error.errcode(),
            Self::OtherRun(failure) => failure.errcode,
            _ => None,
        }
    }

    fn as_failure(&self, at: i64, owner: &str) -> RefreshFailure {
        let message = match self {
            Self::Api(ApiError::Rejected { rejection, .. }) => rejection.errmsg.clone(),
            other => other.to_string(),
        };
        RefreshFailure {
            at,
            owner: owner.to_owned(),
            errcode: self.errcode(),
            message,
        }
    }
}

/// Refreshes the token of one account.
#[derive(Debug)]
pub struct Refresher<S, I> {
    store: S,
    issuer: I,
    clock: Arc<dyn Clock>,
}

impl<S: TokenStore, I: TokenIssuer> Refresher<S, I> {
    /// A refresher that keeps the token in `store` and gets it from `issuer`.
    pub const fn new(store: S, issuer: I, clock: Arc<dyn Clock>) -> Self {
        Self { store, issuer, clock }
    }

    /// One run, as `owner`, a name that no other run has.
    ///
    /// # Errors
    /// [`RefreshError`] when there is no token with life left, or the refused one could not be replaced.
    pub async fn run(&self, action: &Action, owner: &str, deadline: Deadline) -> Result<Refreshed, RefreshError> {
        let started = self.clock.now_millis();
        let patience = deadline.budget(started, WAIT_AT_MOST, WAIT_MARGIN).as_millis();
        let mut seen_failure = None;
        loop {
            let item = self.store.load().await?;
            let now = self.clock.now();
            if let Some(token) = satisfying(action, &item, now) {
                return Ok(unchanged(token));
            }
            match seen_failure.take() {
                Some(before) if before != item.failure => {
                    if let Some(failure) = item.failure {
                        return Err(RefreshError::OtherRun(failure));
                    }
                }
                _ => {}
            }
            if let Lease::Won(item) = self.store.take_lease(owner, now, now + LEASE_FOR).await? {
                return self.refresh_under_lease(action, owner, &item, deadline).await;
            }
            if let Some(token) = still_working(action, &item, now) {
                return Ok(unchanged(token));
            }
            let waited = u128::try_from(self.clock.now_millis() - started).unwrap_or(0);
            if waited >= patience {
                return Err(RefreshError::Busy {
                    until: item.lease_expires_at.unwrap_or(now),
                });
            }
            seen_failure = Some(item.failure);
            self.clock.sleep(WAIT_STEP).await;
        }
    }

    /// The part of a run that only one run at a time is in.
    async fn refresh_under_lease(
        &self,
        action: &Action,
        owner: &str,
        item: &TokenItem,
        deadline: Deadline,
    ) -> Result<Refreshed, RefreshError> {
        let now = self.clock.now();
        if let Some(token) = satisfying(action, item, now) {
            self.release(owner, None).await;
            return Ok(unchanged(token));
        }
        match self.obtain(action, owner, item, deadline).await {
            Ok(issued) => self.store_issued(owner, item, now, issued).await,
            Err(error) => {
                self.release(owner, Some(&error.as_failure(now, owner))).await;
                Err(error)
            }
        }
    }

    /// Asks WeChat; forces it only when the ordinary answer is the token that failed.
    async fn obtain(
        &self,
        action: &Action,
        owner: &str,
        item: &TokenItem,
        deadline: Deadline,
    ) -> Result<IssuedToken, RefreshError> {
        let issued = self.issuer.issue(false, deadline).await?;
        let is_stale = matches!(
            action,
            Action::Replace { stale_token_sha256 } if issued.access_token.sha256_hex() == *stale_token_sha256
        );
        if !is_stale {
            return Ok(issued);
        }
        let now = self.clock.now();
        let mut ledger: Vec<i64> = item.forced_at.iter().copied().filter(|at| *at > now - DAY).collect();
        if let Some(retry_after) = forced_allowed_in(&ledger, now) {
            return Err(RefreshError::ForcedTooOften { retry_after });
        }
        // Written before the call: one that is not recorded could be the 21st of a day.
        ledger.push(now);
        if !self.store.record_forced(owner, &ledger).await? {
            return Err(RefreshError::Superseded);
        }
        tracing::warn!(
            forced_today = ledger.len(),
            "forcing WeChat to replace the token that it refuses"
        );
        Ok(self.issuer.issue(true, deadline).await?)
    }

    async fn store_issued(
        &self,
        owner: &str,
        item: &TokenItem,
        asked_at: i64,
        issued: IssuedToken,
    ) -> Result<Refreshed, RefreshError> {
        let read = item.token.as_ref();
        let is_same = read.is_some_and(|token| token.access_token.matches(issued.access_token.expose()));
        let read_generation = read.map(|token| token.generation);
        let token = StoredToken {
            access_token: issued.access_token,
            expires_at: asked_at + issued.expires_in,
            refreshed_at: asked_at,
            generation: read_generation.unwrap_or(0) + u64::from(!is_same),
        };
        let saved = match self.store.save(owner, read_generation, &token).await {
            Ok(saved) => saved,
            // The write may have landed although its answer was lost.
            Err(error) => match self.store.load().await {
                Ok(item) if item.refreshed_by.as_deref() == Some(owner) => true,
                _ => return Err(error.into()),
            },
        };
        if saved {
            return Ok(Refreshed {
                refreshed: true,
                generation: token.generation,
                expires_at: token.expires_at,
            });
        }
        match self.store.load().await?.token {
            Some(newer) if newer.life(self.clock.now()) > 0 => Ok(unchanged(&newer)),
            _ => Err(RefreshError::Superseded),
        }
    }

    async fn release(&self, owner: &str, failure: Option<&RefreshFailure>) {
        if let Err(error) = self.store.release(owner, failure).await {
            tracing::warn!(%error, "the lease could not be given back; it ends by itself");
        }
    }
}

/// The stored token, when it is all that `action` asks for.
fn satisfying<'a>(action: &Action, item: &'a TokenItem, now: i64) -> Option<&'a StoredToken> {
    item.token.as_ref().filter(|token| match action {
        Action::Refresh => token.life(now) > REFRESH_BELOW,
        Action::Replace { .. } => replaces(action, token) && token.life(now) > 0,
    })
}

/// The stored token, when callers can work with it until the run that holds the lease is done.
fn still_working<'a>(action: &Action, item: &'a TokenItem, now: i64) -> Option<&'a StoredToken> {
    item.token
        .as_ref()
        .filter(|token| token.life(now) > 0 && replaces(action, token))
}

/// Whether `token` is not the one to be replaced.
fn replaces(action: &Action, token: &StoredToken) -> bool {
    match action {
        Action::Refresh => true,
        Action::Replace { stale_token_sha256 } => token.access_token.sha256_hex() != *stale_token_sha256,
    }
}

const fn unchanged(token: &StoredToken) -> Refreshed {
    Refreshed {
        refreshed: false,
        generation: token.generation,
        expires_at: token.expires_at,
    }
}

/// Seconds until the next forced refresh is allowed; `None` when it is allowed now. `ledger` holds those of a day.
fn forced_allowed_in(ledger: &[i64], now: i64) -> Option<i64> {
    let after_day = (ledger.len() >= FORCED_A_DAY).then(|| ledger.iter().min().map_or(0, |oldest| oldest + DAY - now));
    let after_last = ledger.iter().max().map(|last| last + FORCED_APART - now);
    after_day.into_iter().chain(after_last).max().filter(|wait| *wait > 0)
}
