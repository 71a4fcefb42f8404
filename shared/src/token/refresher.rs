//! Refreshes a stored access_token or jsapi_ticket, called token here. Any number of concurrent runs make one call to WeChat.
//!
//! ```text
//! read ── enough life ──> done
//!   └─ held by another run ──> done while a token works, else read again after a pause
//!   └─ take the lease
//!          └─ look again ──> call WeChat ──> store, if lease and generation are still ours
//! ```
//!
//! A run shares the result, token or failure, of another run that ended since this one began. The lease of a run that died
//! expires within a minute.

use std::{sync::Arc, time::Duration};

use super::{ErrorType, Refreshed};
use crate::{
    api::{ApiError, IssuedToken, Rejection, TokenIssuer},
    bilingual::caused,
    clock::{Clock, Deadline},
    digest::sha256,
    errcode::{BETWEEN_REPLACEMENTS, Class},
    secret::Secret,
    store::{Lease, RefreshFailure, StoreError, StoreErrorKind, StoredToken, TokenItem, TokenStore},
    telemetry::{self, Metric},
};

/// Seconds. A run refreshes a token with less life left. WeChat renews stable tokens 5 minutes before they expire.
/// See [WeChat Docs/获取稳定版接口调用凭据](https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken.html).
const REFRESH_BELOW: i64 = 600;
/// Seconds. The life of a lease: longer than two calls to WeChat and the writes around them, and shorter than the minute for
/// which a dead holder may delay the others.
const LEASE_FOR: i64 = 45;
/// How long a run waits for the run that holds the lease.
const WAIT_AT_MOST: Duration = Duration::from_secs(20);
/// How often a run that loses its lease each time asks WeChat: a broken item must not cause endless calls.
const MAX_LEASES: u8 = 2;
/// The first pause of a waiting run between two reads of the item. It doubles up to [`LONGEST_PAUSE`], so that a hundred
/// waiting senders do not slow down the table for the run that makes the call.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Time that waiting leaves for the rest of the invocation.
const WAIT_MARGIN: Duration = Duration::from_secs(2);
/// WeChat's limit of forced refreshes a day. [`TokenApi::Classic`](crate::api::TokenApi::Classic) has no such limit: there it
/// keeps refused sends from using up the day's 2,000 calls.
/// See [WeChat Docs/获取稳定版接口调用凭据](https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken.html).
const FORCED_A_DAY: usize = 20;
/// Seconds. WeChat's shortest interval between two forced refreshes.
/// See [WeChat Docs/获取稳定版接口调用凭据](https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken.html).
const FORCED_APART: i64 = BETWEEN_REPLACEMENTS.cast_signed();
const DAY: i64 = 24 * 3600;

/// Why a run brought no token.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// The table failed.
    #[error("{}", caused("the refresh failed", "刷新失败", .0))]
    Store(#[from] StoreError),
    /// WeChat issued no token.
    #[error("{}", caused("the refresh failed", "刷新失败", .0))]
    Api(#[from] ApiError),
    /// The run that this one waited for failed.
    #[error("{}", caused("another run has just failed to refresh it", "另一个实例刚刚刷新失败", &words_of(.0)))]
    OtherRun(RefreshFailure),
    /// Another run holds the lease, and this one could not wait any longer.
    #[error(
        "another run is refreshing it; its lease ends at {until} (epoch seconds) \
         / 另一个实例正在刷新，其租约于 {until}（epoch 秒）结束"
    )]
    Busy {
        /// When the lease expires, in epoch seconds.
        until: i64,
    },
    /// The token may not be replaced again yet: at most 20 times a day, 30 s apart.
    #[error(
        "WeChat refuses one token after another, and none may be replaced for {retry_after} s (20 times a day, 30 s apart): \
         does another program ask for tokens of this account? \
         / access_token 一再失效，而强制刷新受限（每日 20 次，间隔 30 秒），请 {retry_after} 秒后再试，并检查是否有其他程序也在获取该账号的 access_token"
    )]
    ForcedTooOften {
        /// Seconds until the next replacement is allowed.
        retry_after: i64,
    },
}

impl RefreshError {
    /// Returns WeChat's errcode, if WeChat refused.
    #[must_use]
    pub const fn errcode(&self) -> Option<i64> {
        match self {
            Self::Api(error) => error.errcode(),
            Self::OtherRun(failure) => failure.errcode,
            _ => None,
        }
    }

    /// Returns the type of the run's function error.
    #[must_use]
    pub fn error_type(&self) -> ErrorType {
        if let Some(errcode) = self.errcode() {
            return ErrorType::Refused(errcode);
        }
        match self {
            Self::Api(error) => error.into(),
            Self::Store(error) => match error.kind() {
                StoreErrorKind::Unreachable | StoreErrorKind::Busy => ErrorType::StoreUnreachable,
                StoreErrorKind::SetUp | StoreErrorKind::Damaged => ErrorType::StoreSetUp,
            },
            // Unknown types come from an older or a newer version.
            Self::OtherRun(failure) => failure.error_type.parse().unwrap_or(ErrorType::OtherRun),
            Self::Busy { .. } => ErrorType::Busy,
            Self::ForcedTooOften { .. } => ErrorType::ForcedTooOften,
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
            error_type: self.error_type().to_string(),
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

impl<S: TokenStore, I: TokenIssuer<Error: Into<RefreshError>>> Refresher<S, I> {
    /// Creates a refresher that gets tokens from `issuer` and stores them in `store`.
    pub const fn new(store: S, issuer: I, clock: Arc<dyn Clock>) -> Self {
        Self { store, issuer, clock }
    }

    /// Makes one run as `owner`, a unique name: makes sure that the stored token has enough life left, or replaces the token
    /// whose SHA-256 in hex is `stale`, if the store still has it.
    ///
    /// # Errors
    /// [`RefreshError`] when no unexpired token results, or the refused token could not be replaced.
    pub async fn run(&self, stale: Option<&str>, owner: &str, deadline: Deadline) -> Result<Refreshed, RefreshError> {
        let before = self.store.load().await?;
        let mut item = before.clone();
        let mut waited = Duration::ZERO;
        let mut pauses = 0;
        let mut leases = 0;
        loop {
            let now = self.clock.now();
            if let Some(outcome) = settled(stale, &before, &item, now) {
                return outcome;
            }
            let lease = if item.is_leased_by_another(owner, now, now + LEASE_FOR) {
                Lease::Held
            } else {
                retry_once(|| self.store.take_lease(owner, now, now + LEASE_FOR)).await?
            };
            match lease {
                Lease::Won(item) => {
                    if let Some(done) = self.run_under_lease(stale, owner, &before, &item, deadline).await? {
                        return Ok(done);
                    }
                    leases += 1;
                }
                Lease::Held => {
                    if let Some(token) = usable(stale, &item, now) {
                        return Ok(unchanged(token));
                    }
                }
            }
            let pause = deadline.budget(self.clock.now_millis(), pause(owner, pauses), WAIT_MARGIN);
            if pause.is_zero() || waited >= WAIT_AT_MOST || leases == MAX_LEASES {
                return Err(RefreshError::Busy {
                    until: item.lease_expires_at.unwrap_or(now),
                });
            }
            self.clock.sleep(pause).await;
            waited += pause;
            pauses += 1;
            item = self.store.load().await?;
        }
    }

    /// The part of a run that holds the lease. Returns `None` when the lease expired before the token was stored.
    async fn run_under_lease(
        &self,
        stale: Option<&str>,
        owner: &str,
        before: &TokenItem,
        item: &TokenItem,
        deadline: Deadline,
    ) -> Result<Option<Refreshed>, RefreshError> {
        let now = self.clock.now();
        if let Some(outcome) = settled(stale, before, item, now) {
            self.release(owner, None).await;
            return outcome.map(Some);
        }
        let outcome = match self.obtain(stale, owner, item, deadline).await {
            Ok(Some(issued)) => self.store_issued(owner, item, now, issued).await,
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        if let Err(error) = &outcome {
            self.release(owner, Some(&error.as_failure(now, owner))).await;
        }
        outcome
    }

    /// Asks WeChat for a token. Makes a forced call only when the ordinary call returns the refused token, or when the
    /// interface replaces the token with every call, which the ledger must then count. Returns `None` when the lease is lost.
    async fn obtain(
        &self,
        stale: Option<&str>,
        owner: &str,
        item: &TokenItem,
        deadline: Deadline,
    ) -> Result<Option<IssuedToken>, RefreshError> {
        let now = self.clock.now();
        // The ledger limits replacements of unexpired tokens only: it must never delay the refresh of an expired one.
        let replaces = |token: &StoredToken| token.life(now) > 0 && is_stale(stale, &token.value);
        let is_ordinary = !(self.issuer.always_replaces() && item.token.as_ref().is_some_and(replaces));
        if is_ordinary {
            let issued = self.issuer.issue(false, deadline).await.map_err(Into::into)?;
            if !is_stale(stale, &issued.value) {
                return Ok(Some(issued));
            }
        }
        let now = self.clock.now();
        let mut ledger: Vec<i64> = item.forced_at.iter().copied().filter(|at| *at > now - DAY).collect();
        if let Some(retry_after) = forced_allowed_in(&ledger, now) {
            return Err(RefreshError::ForcedTooOften { retry_after });
        }
        // Written before the call: an unrecorded call could be the 21st of the day.
        ledger.push(now);
        if !retry_once(|| self.store.record_forced(owner, &ledger)).await? {
            return Ok(None);
        }
        tracing::warn!(
            forced_today = ledger.len(),
            "forcing WeChat to replace the token that it refuses / 强制微信更换其拒绝的 access_token"
        );
        telemetry::emit(&[Metric::count("ForcedRefreshes")], None, self.clock.now_millis());
        let issued = match self.issuer.issue(true, deadline).await {
            Ok(issued) => issued,
            Err(error) => {
                let error = error.into();
                // WeChat replaced nothing: the ledger must not delay a corrected AppSecret or whitelist. Best effort.
                if is_refused_for_the_set_up(&error) {
                    ledger.pop();
                    if let Err(error) = self.store.record_forced(owner, &ledger).await {
                        tracing::warn!(%error, "a refused replacement stays in the ledger / 被拒绝的更换仍留在记录中");
                    }
                }
                return Err(error);
            }
        };
        if is_stale(stale, &issued.value) {
            return Err(RefreshError::ForcedTooOften {
                retry_after: FORCED_APART,
            });
        }
        Ok(Some(issued))
    }

    /// Stores the issued token. Returns `None` when another run was faster.
    async fn store_issued(
        &self,
        owner: &str,
        item: &TokenItem,
        asked_at: i64,
        issued: IssuedToken,
    ) -> Result<Option<Refreshed>, RefreshError> {
        let is_same = item
            .token
            .as_ref()
            .is_some_and(|token| token.value.matches(issued.value.expose()));
        let token = StoredToken {
            value: issued.value,
            expires_at: asked_at.saturating_add(issued.expires_in),
            refreshed_at: asked_at,
            generation: item.generation + u64::from(!is_same),
            previous: item.token.as_ref().and_then(|token| {
                let replaced = Some(token.value.clone()).filter(|_| !is_same);
                replaced.or_else(|| token.previous.clone())
            }),
        };
        let saved = retry_once(|| self.store.save(owner, item.generation, &token)).await?;
        Ok(saved.then_some(Refreshed {
            refreshed: true,
            generation: token.generation,
            expires_at: token.expires_at,
        }))
    }

    async fn release(&self, owner: &str, failure: Option<&RefreshFailure>) {
        if let Err(error) = retry_once(|| self.store.release(owner, failure)).await {
            tracing::warn!(%error, "the lease could not be released: it expires by itself / 租约未能释放，将自行过期");
        }
    }
}

/// Returns the pause of a waiting run that has already paused `pauses` times. The run's random name is the jitter, which
/// spreads runs that began to wait together.
fn pause(owner: &str, pauses: u32) -> Duration {
    let longest = FIRST_PAUSE
        .saturating_mul(2_u32.saturating_pow(pauses))
        .min(LONGEST_PAUSE);
    let [spread, ..] = sha256(format!("{owner} {pauses}").as_bytes());
    longest / 2 + longest / 2 * u32::from(spread) / u32::from(u8::MAX)
}

/// Runs `write`, and retries it once when its answer was lost.
async fn retry_once<T, F>(write: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    match write().await {
        Err(error) if matches!(error.kind(), StoreErrorKind::Unreachable | StoreErrorKind::Busy) => {
            tracing::warn!(%error, "a write may or may not have landed: retrying it / 写入结果未知，正在重试");
            write().await
        }
        outcome => outcome,
    }
}

/// Returns the outcome that `item` holds for a run that found `before` when it began. `None` while there is work left.
fn settled(
    stale: Option<&str>,
    before: &TokenItem,
    item: &TokenItem,
    now: i64,
) -> Option<Result<Refreshed, RefreshError>> {
    let was_refreshed = item.refreshed_by != before.refreshed_by;
    let lasts = |token: &StoredToken| stale.is_some() || token.life(now) > REFRESH_BELOW;
    if let Some(token) = usable(stale, item, now).filter(|token| was_refreshed || lasts(token)) {
        return Some(Ok(unchanged(token)));
    }
    let failure = item.failure.clone().filter(|_| item.failure != before.failure)?;
    Some(Err(RefreshError::OtherRun(failure)))
}

/// Returns the stored token if it is unexpired and not the refused one.
fn usable<'a>(stale: Option<&str>, item: &'a TokenItem, now: i64) -> Option<&'a StoredToken> {
    item.token
        .as_ref()
        .filter(|token| token.life(now) > 0 && !is_stale(stale, &token.value))
}

/// Whether `token` is the one to replace.
fn is_stale(stale: Option<&str>, token: &Secret) -> bool {
    stale.is_some_and(|stale| token.sha256_hex().eq_ignore_ascii_case(stale))
}

/// Describes a recorded failure, an errcode with its meaning and its remedy.
fn words_of(failure: &RefreshFailure) -> String {
    match failure.errcode {
        Some(errcode) => Rejection::at_token_endpoint(errcode, failure.message.as_str()).to_string(),
        None => failure.message.clone(),
    }
}

const fn unchanged(token: &StoredToken) -> Refreshed {
    Refreshed {
        refreshed: false,
        generation: token.generation,
        expires_at: token.expires_at,
    }
}

/// Whether WeChat refuses every call because of the set-up: the AppSecret, the IP whitelist or the account.
fn is_refused_for_the_set_up(error: &RefreshError) -> bool {
    let RefreshError::Api(error) = error else { return false };
    matches!(error, ApiError::Rejected { rejection, .. } if rejection.entry().class == Class::SetUp)
        && !error.may_have_landed()
}

/// Returns the seconds until the next forced refresh is allowed. `None` when it is allowed now. `ledger` covers one day.
fn forced_allowed_in(ledger: &[i64], now: i64) -> Option<i64> {
    let after_day = (ledger.len() >= FORCED_A_DAY).then(|| ledger.iter().min().map_or(0, |oldest| oldest + DAY - now));
    let after_last = ledger.iter().max().map(|last| last + FORCED_APART - now);
    after_day.into_iter().chain(after_last).max().filter(|wait| *wait > 0)
}
