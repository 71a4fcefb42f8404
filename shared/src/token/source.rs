//! Gets the access_token: from memory, else from the table, else from a run of the refresher. Never from WeChat itself, since
//! only the refresher holds the AppSecret.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::Value;
use tokio::sync::Mutex;

use super::{Action, ErrorType, UnknownErrorType};
use crate::{
    api::{ApiError, Rejection},
    bilingual::caused,
    clock::{Clock, Deadline},
    errcode::{BETWEEN_REPLACEMENTS, without_rid},
    secret::Secret,
    store::{Credential, StoreError, StoredToken, Table, TokenStore as _},
};

/// Seconds. A cached token with less life left is stale.
const CACHE_MARGIN: i64 = 60;
/// Calls to WeChat that one request may make, retries and the replacement of its token included.
const CALLS: u8 = 3;

/// A way to run `token-refresher`: as a Lambda function or in this process.
pub trait RefreshPort: fmt::Debug + Send + Sync {
    /// Runs `action`, waits for the end of the run and returns its answer. An action that must not be repeated runs once at
    /// most.
    fn run<'a>(
        &'a self,
        action: &'a Action,
        deadline: Deadline,
    ) -> Pin<Box<dyn Future<Output = Result<Value, RefreshRequestError>> + Send + 'a>>;
}

/// Why a run of `token-refresher` failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RefreshRequestError {
    /// The run failed.
    #[error("{message}")]
    Failed {
        /// WeChat's errcode, if WeChat refused.
        errcode: Option<i64>,
        /// The message of the run's function error.
        message: String,
    },
    /// WeChat refuses the token, and the run may not replace it again yet.
    #[error("{message}")]
    ForcedTooOften {
        /// Seconds until the next replacement is allowed.
        retry_after: u64,
        /// The message of the run's function error.
        message: String,
    },
    /// The run got no answer from WeChat or the table in time, or another run held the lease for too long.
    #[error("{0}")]
    NoAnswer(String),
    /// The run got an answer that is not WeChat's.
    #[error("{0}")]
    BadAnswer(String),
    /// Lambda throttled the run.
    #[error(
        "AWS Lambda throttles token-refresher: see the concurrency limits of the function and the account \
         / token-refresher 被 AWS Lambda 限流，请检查函数与账号的并发上限"
    )]
    Throttled,
    /// Lambda did not answer, or failed internally.
    #[error("AWS Lambda did not run token-refresher ({0}) / 未能调用 token-refresher（{0}）")]
    Lost(String),
    /// Lambda refused the invocation.
    #[error(
        "token-refresher cannot be reached ({0}): check TOKEN_REFRESHER_FUNCTION / 无法调用 token-refresher（{0}），请检查 TOKEN_REFRESHER_FUNCTION"
    )]
    Unreachable(String),
    /// The run did not end in time.
    #[error("token-refresher did not answer in time / token-refresher 未在限定时间内完成")]
    Timeout,
}

impl RefreshRequestError {
    /// Reads a failed run's function error: its type (see [`ErrorType`]) and its message, without the rid of the call, which carried
    /// the AppSecret.
    #[must_use]
    pub fn from_function_error(error_type: &str, message: &str) -> Self {
        let message = without_rid(message);
        match error_type.parse() {
            Ok(ErrorType::WeChatUnreachable | ErrorType::StoreUnreachable | ErrorType::Busy) => Self::NoAnswer(message),
            Ok(ErrorType::WeChatUnreadable) => Self::BadAnswer(message),
            Ok(ErrorType::Refused(errcode)) => Self::Failed {
                errcode: Some(errcode),
                message,
            },
            Err(UnknownErrorType) if is_lambdas_timeout(error_type, &message) => Self::Timeout,
            Ok(ErrorType::ForcedTooOften) => Self::ForcedTooOften {
                retry_after: first_number(&message).unwrap_or(BETWEEN_REPLACEMENTS),
                message,
            },
            Ok(ErrorType::StoreSetUp | ErrorType::OtherRun) | Err(UnknownErrorType) => {
                Self::Failed { errcode: None, message }
            }
        }
    }
}

/// The first number of a run's message. A function error has no other place for the seconds of `ForcedTooOften`.
fn first_number(message: &str) -> Option<u64> {
    let digits = message.split(|c: char| !c.is_ascii_digit());
    digits.filter_map(|digits| digits.parse().ok()).next()
}

/// Whether Lambda reports that the function timed out. Some runtimes send this report without a type.
fn is_lambdas_timeout(error_type: &str, message: &str) -> bool {
    error_type == "Sandbox.Timedout" || (error_type.is_empty() && message.contains("Task timed out"))
}

/// Why there is no usable token.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TokenError {
    /// The table could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// WeChat refused to issue a token.
    #[error("{}", caused("WeChat issues no access_token", "微信未签发 access_token", .0))]
    Refused(Rejection),
    /// The run of the refresher failed.
    #[error("{}", caused("no access_token", "access_token 获取失败", .0))]
    Request(#[from] RefreshRequestError),
    /// The run of the refresher succeeded, but the table has no usable token.
    #[error(
        "token-refresher ran, but stored nothing under this WECHAT_APP_ID and TABLE_NAME \
         / token-refresher 已运行但未写入，请核对 WECHAT_APP_ID 与 TABLE_NAME"
    )]
    Missing,
}

/// Why a call with a token failed, and whether it may have taken effect.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct CallError {
    /// The last failure.
    #[source]
    pub cause: CallFailure,
    /// Whether any attempt of the same request may have taken effect. A later refusal, or a missing token for a retry, does
    /// not rule that out.
    pub may_have_landed: bool,
    /// When the call failed, in epoch seconds: some of WeChat's limits reset at midnight.
    pub at: i64,
}

/// The failure of a call with a token.
#[derive(Debug, thiserror::Error)]
pub enum CallFailure {
    /// The call to WeChat's API failed.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// There is no token for the call.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// The token cache of one account in one process. A cache of tickets is one too: see
/// [`TicketSource`](crate::jssdk::TicketSource).
#[derive(Debug)]
pub struct TokenSource {
    stored: Credential,
    /// The order to refresh what is stored.
    refresh: Action,
    refresher: Arc<dyn RefreshPort>,
    clock: Arc<dyn Clock>,
    /// Locked during a search for a token. Single-flight: many sends with one dead token search once.
    known: Mutex<Known>,
    /// The number of finished searches. A caller that began before a search ended shares its result.
    searches: AtomicU64,
}

/// The result of the last search.
#[derive(Debug, Default)]
struct Known {
    token: Option<(StoredToken, Origin)>,
    failure: Option<TokenError>,
}

/// Where the search found the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Table,
    Refresher,
}

impl TokenSource {
    /// Creates a cache over the token in `table`, which `refresher` refreshes.
    #[must_use]
    pub fn new(table: &Table, refresher: Arc<dyn RefreshPort>, clock: Arc<dyn Clock>) -> Self {
        Self::of(table.access_token(), Action::Refresh, refresher, clock)
    }

    /// Creates a cache over `stored`, which `refresher` refreshes when it gets the order `refresh`.
    pub(crate) fn of(
        stored: Credential,
        refresh: Action,
        refresher: Arc<dyn RefreshPort>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            stored,
            refresh,
            refresher,
            clock,
            known: Mutex::default(),
            searches: AtomicU64::new(0),
        }
    }

    /// Reads the token into memory at start-up. Best effort: the first request reports a failure.
    pub async fn warm(&self) {
        match self.stored.load().await {
            Ok(item) => self.known.lock().await.token = item.token.map(|token| (token, Origin::Table)),
            Err(error) => {
                tracing::warn!(%error, "the token could not be read at start-up / 启动时无法读取 access_token")
            }
        }
    }

    /// Runs `call` with the token and the attempts that it may make. Replaces a token that WeChat refuses and calls again.
    ///
    /// # Errors
    /// [`CallError`] when `call` fails or there is no token.
    pub async fn call<T, C, F>(&self, deadline: Deadline, call: C) -> Result<T, CallError>
    where
        C: Fn(Secret, u8) -> F,
        F: Future<Output = Result<T, ApiError>>,
    {
        self.call_in_turn(deadline, || async { Ok(()) }, call).await
    }

    /// As [`Self::call`], but awaits `turn` before each call, after the search for the token, which may take long. Calls
    /// with the new token if the token was replaced while `turn` waited.
    ///
    /// # Errors
    /// [`CallError`] when `turn` or `call` fails or there is no token.
    pub async fn call_in_turn<T, W, G, C, F>(&self, deadline: Deadline, turn: W, call: C) -> Result<T, CallError>
    where
        W: Fn() -> G,
        G: Future<Output = Result<(), ApiError>>,
        C: Fn(Secret, u8) -> F,
        F: Future<Output = Result<T, ApiError>>,
    {
        let began_after = self.searches.load(Ordering::Acquire);
        let mut may_have_landed = false;
        let failed = |cause: CallFailure, may_have_landed| CallError {
            cause,
            may_have_landed,
            at: self.clock.now(),
        };
        let mut token = self
            .token(deadline)
            .await
            .map_err(|error| failed(error.into(), false))?;
        let mut left = CALLS;
        let mut may_replace = true;
        loop {
            // One call is reserved for the next token, if this one may be replaced.
            let attempts = if may_replace { (left - 1).max(1) } else { left };
            let called = match turn().await {
                Ok(()) => {
                    token = self.newest(token);
                    call(token.clone(), attempts).await
                }
                Err(error) => Err(error),
            };
            let error = match called {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            may_have_landed |= error.may_have_landed();
            left = left.saturating_sub(error.calls());
            if !error.is_dead_token() || !may_replace || left == 0 {
                return Err(failed(error.into(), may_have_landed));
            }
            tracing::warn!("WeChat refuses the token, replacing it / 微信拒绝了 access_token，正在更换");
            let (next, origin) = self
                .replace(&token, began_after, deadline)
                .await
                .map_err(|error| failed(error.into(), may_have_landed))?;
            token = next;
            // A token from the table may be dead too. One from a fresh run is not replaced again.
            may_replace = origin == Origin::Table;
        }
    }

    /// Whether the token is being searched for or replaced.
    #[must_use]
    pub fn is_searching(&self) -> bool {
        self.known.try_lock().is_err()
    }

    /// The cached token, or `token` when there is none or it is being searched for.
    fn newest(&self, token: Secret) -> Secret {
        let known = self.known.try_lock().ok();
        let cached = known.and_then(|known| known.token.as_ref().map(|(token, _)| token.value.clone()));
        cached.unwrap_or(token)
    }

    /// Empties the cache, so that the next request reads the table.
    pub async fn forget(&self) {
        *self.known.lock().await = Known::default();
    }

    /// Returns an unexpired token. WeChat may still refuse it: see [`Self::call`].
    ///
    /// # Errors
    /// [`TokenError`] when there is no token.
    pub async fn token(&self, deadline: Deadline) -> Result<Secret, TokenError> {
        self.stored_token(deadline).await.map(|token| token.value)
    }

    /// As [`Self::token`], with the whole stored token.
    pub(crate) async fn stored_token(&self, deadline: Deadline) -> Result<StoredToken, TokenError> {
        let now = self.clock.now();
        let fresh = |token: &StoredToken| token.life(now) > CACHE_MARGIN;
        let usable = |token: &StoredToken| token.life(self.clock.now()) > 0;
        let began_after = self.searches.load(Ordering::Acquire);
        self.get(&self.refresh, began_after, deadline, fresh, usable)
            .await
            .map(|(token, _)| token)
    }

    async fn replace(
        &self,
        refused: &Secret,
        began_after: u64,
        deadline: Deadline,
    ) -> Result<(Secret, Origin), TokenError> {
        let action = Action::Replace {
            stale_token_sha256: refused.sha256_hex(),
        };
        let usable = |token: &StoredToken| token.life(self.clock.now()) > 0 && !token.value.matches(refused.expose());
        let found = self.get(&action, began_after, deadline, usable, usable).await?;
        Ok((found.0.value, found.1))
    }

    /// Returns the cached token while it is `good`, else searches for a `usable` one. Single-flight: a caller that began when
    /// `began_after` searches had ended shares the result of a later search, also a failure.
    async fn get(
        &self,
        action: &Action,
        began_after: u64,
        deadline: Deadline,
        good: impl Fn(&StoredToken) -> bool,
        usable: impl Fn(&StoredToken) -> bool,
    ) -> Result<(StoredToken, Origin), TokenError> {
        let mut known = self.known.lock().await;
        if let Some(found) = known.token.as_ref().filter(|(token, _)| good(token)) {
            return Ok(found.clone());
        }
        let has_searched = self.searches.load(Ordering::Acquire) != began_after;
        if let Some(failure) = known.failure.as_ref().filter(|_| has_searched) {
            return Err(failure.clone());
        }
        let found = self.find(action, deadline, usable).await;
        self.searches.fetch_add(1, Ordering::Release);
        *known = match &found {
            Ok(found) => Known {
                token: Some(found.clone()),
                failure: None,
            },
            Err(failure) => Known {
                token: None,
                failure: Some(failure.clone()),
            },
        };
        found
    }

    /// Searches the table. Without a usable token there, runs the refresher and searches the table again.
    async fn find(
        &self,
        action: &Action,
        deadline: Deadline,
        usable: impl Fn(&StoredToken) -> bool,
    ) -> Result<(StoredToken, Origin), TokenError> {
        if let Some(token) = self.stored.load().await?.token.filter(&usable) {
            return Ok((token, Origin::Table));
        }
        let requested = self.refresher.run(action, deadline).await;
        let item = self.stored.load().await?;
        if let Some(token) = item.token.filter(&usable) {
            return Ok((token, Origin::Refresher));
        }
        Err(match (requested, item.failure) {
            // The item has WeChat's errmsg, unless its failure is an older one.
            (
                Err(RefreshRequestError::Failed {
                    errcode: Some(errcode), ..
                }),
                Some(failure),
            ) if failure.errcode == Some(errcode) => {
                TokenError::Refused(Rejection::at_token_endpoint(errcode, failure.message))
            }
            (Err(error), _) => error.into(),
            (Ok(_), _) => TokenError::Missing,
        })
    }
}
