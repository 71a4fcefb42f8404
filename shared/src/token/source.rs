//! How a function gets the access_token: from its own memory, from the table, or by asking the refresher. Never from
//! WeChat itself: only the refresher holds the AppSecret.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Mutex;

use super::{Action, ErrorType, UnknownErrorType};
use crate::{
    api::{ApiError, Rejection},
    clock::{Clock, Deadline},
    secret::Secret,
    store::{StoreError, StoredToken, Table},
};

/// A cached token is given up this many seconds before its end.
const CACHE_MARGIN: i64 = 60;
/// How often a request may call WeChat in all, over repeats of what is transient and over the replacement of its token.
const CALLS: u8 = 3;

/// Asks `token-refresher` for a run, wherever it is.
pub trait RefreshPort: fmt::Debug + Send + Sync {
    /// Runs `action` and waits for its end.
    fn run<'a>(
        &'a self,
        action: &'a Action,
        deadline: Deadline,
    ) -> Pin<Box<dyn Future<Output = Result<(), RefreshRequestError>> + Send + 'a>>;
}

/// Why a run could not be had, or brought no token.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefreshRequestError {
    /// It ran and brought no token.
    #[error("{message}")]
    Failed {
        /// WeChat's errcode, when it was WeChat that refused.
        errcode: Option<i64>,
        /// What the run said.
        message: String,
    },
    /// It ran, and had no answer from WeChat or the table in time, or no time left for its turn.
    #[error("{0}")]
    NoAnswer(String),
    /// It ran, and got an answer that is not WeChat's.
    #[error("{0}")]
    BadAnswer(String),
    /// Lambda had no room for it.
    #[error(
        "AWS Lambda throttles token-refresher: see the concurrency limits of the function and the account \
         / token-refresher 被 AWS Lambda 限流，请检查函数与账号的并发上限"
    )]
    Throttled,
    /// AWS Lambda did not answer, or failed itself.
    #[error("AWS Lambda did not run token-refresher ({0}) / 未能调用 token-refresher（{0}）")]
    Lost(String),
    /// It could not be started.
    #[error(
        "token-refresher cannot be reached ({0}): check TOKEN_REFRESHER_FUNCTION / 无法调用 token-refresher（{0}），请检查 TOKEN_REFRESHER_FUNCTION"
    )]
    Unreachable(String),
    /// It did not end in time.
    #[error("token-refresher did not answer in time / token-refresher 未在限定时间内完成")]
    Timeout,
}

impl RefreshRequestError {
    /// Reads what a failed run reports: the type and the message of its function error. See [`ErrorType`].
    #[must_use]
    pub fn from_function_error(error_type: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        match error_type.parse() {
            Ok(ErrorType::WeChatUnreachable | ErrorType::StoreUnreachable | ErrorType::Busy) => Self::NoAnswer(message),
            Ok(ErrorType::WeChatUnreadable) => Self::BadAnswer(message),
            Ok(ErrorType::Refused(errcode)) => Self::Failed {
                errcode: Some(errcode),
                message,
            },
            Err(UnknownErrorType) if is_lambdas_timeout(error_type, &message) => Self::Timeout,
            Ok(ErrorType::StoreSetUp | ErrorType::OtherRun | ErrorType::ForcedTooOften) | Err(UnknownErrorType) => {
                Self::Failed { errcode: None, message }
            }
        }
    }
}

/// Whether Lambda reports in place of the function that it ran out of time. Some runtimes' reports have no type.
fn is_lambdas_timeout(error_type: &str, message: &str) -> bool {
    error_type == "Sandbox.Timedout" || (error_type.is_empty() && message.contains("Task timed out"))
}

/// Why there is no usable token.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The table could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// WeChat refused a token to the refresher.
    #[error("WeChat issues no access_token / 微信未签发 access_token，原因: {0}")]
    Refused(Rejection),
    /// The refresher brought none.
    #[error("no access_token / access_token 获取失败: {0}")]
    Request(#[from] RefreshRequestError),
    /// The refresher ran, and the table still holds no usable token.
    #[error(
        "no access_token: token-refresher ran, but stored none under this WECHAT_APP_ID and TABLE_NAME / 没有 access_token：token-refresher 已运行但未写入，请核对 WECHAT_APP_ID 与 TABLE_NAME"
    )]
    Missing,
}

/// Why a call that needs a token failed, and whether it may have taken effect all the same.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct CallError {
    /// What it failed with last.
    #[source]
    pub cause: CallFailure,
    /// Whether this call, or an earlier one of the same request, may have taken effect: WeChat may have done what a
    /// later refusal, or the want of a token for a repeat, says nothing of.
    pub may_have_landed: bool,
    /// When, in epoch seconds: some of WeChat's limits end at midnight.
    pub at: i64,
}

/// What a call that needs a token failed with.
#[derive(Debug, thiserror::Error)]
pub enum CallFailure {
    /// WeChat's API.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// No token to call it with.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// The token of one account, for one process.
#[derive(Debug)]
pub struct TokenSource {
    table: Table,
    refresher: Arc<dyn RefreshPort>,
    clock: Arc<dyn Clock>,
    /// Held while a token is looked for, so that twenty sends with one dead token ask once.
    known: Mutex<Known>,
    /// How many searches have ended. One that began before another ended shares its outcome.
    searches: AtomicU64,
}

/// What the last search for a token brought.
#[derive(Debug, Default)]
struct Known {
    token: Option<(StoredToken, Origin)>,
    failure: Option<TokenError>,
}

/// Where a token was found, before it was remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Table,
    Refresher,
}

impl TokenSource {
    /// The token in `table`, which `refresher` keeps alive.
    #[must_use]
    pub fn new(table: Table, refresher: Arc<dyn RefreshPort>, clock: Arc<dyn Clock>) -> Self {
        Self {
            table,
            refresher,
            clock,
            known: Mutex::default(),
            searches: AtomicU64::new(0),
        }
    }

    /// Reads the token into memory while the process starts. A failure is left to the first request.
    pub async fn warm(&self) {
        match self.table.token().await {
            Ok(item) => self.known.lock().await.token = item.token.map(|token| (token, Origin::Table)),
            Err(error) => tracing::warn!(%error, "the token could not be read while starting"),
        }
    }

    /// Calls WeChat with the token. When WeChat refuses the token, it is replaced and the call made once more.
    /// `call` gets the token and how often it may try.
    ///
    /// # Errors
    /// [`CallError`]: what `call` failed with, or why there is no token to call with.
    pub async fn call<T, C, F>(&self, deadline: Deadline, call: C) -> Result<T, CallError>
    where
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
            // While the token may be replaced, one call is left for the next.
            let attempts = if may_replace { (left - 1).max(1) } else { left };
            let error = match call(token.clone(), attempts).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            may_have_landed |= error.may_have_landed();
            left = left.saturating_sub(error.calls());
            if !error.is_dead_token() || !may_replace || left == 0 {
                return Err(failed(error.into(), may_have_landed));
            }
            tracing::warn!("WeChat refuses the token, replacing it");
            let (next, origin) = self
                .replace(&token, began_after, deadline)
                .await
                .map_err(|error| failed(error.into(), may_have_landed))?;
            token = next;
            // What another process had left in the table may be dead too, and no run of the refresher was asked for yet.
            may_replace = origin == Origin::Table;
        }
    }

    /// Gives up what is remembered, so that the next request sees the table as it is.
    pub async fn forget(&self) {
        *self.known.lock().await = Known::default();
    }

    /// A token that has not ended. Whether WeChat takes it only a call can tell: see [`Self::call`].
    ///
    /// # Errors
    /// [`TokenError`] when there is none.
    pub async fn token(&self, deadline: Deadline) -> Result<Secret, TokenError> {
        let now = self.clock.now();
        let fresh = |token: &StoredToken| token.life(now) > CACHE_MARGIN;
        let usable = |token: &StoredToken| token.life(self.clock.now()) > 0;
        let began_after = self.searches.load(Ordering::Acquire);
        self.get(&Action::Refresh, began_after, deadline, fresh, usable)
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
        let usable =
            |token: &StoredToken| token.life(self.clock.now()) > 0 && !token.access_token.matches(refused.expose());
        self.get(&action, began_after, deadline, usable, usable).await
    }

    /// The token in memory while it is `good`, else a `usable` one from the table or a run of the refresher. A request
    /// that began when `began_after` searches had ended shares what a later one brought, be it a failure: of a hundred
    /// sends with one dead token, one asks.
    async fn get(
        &self,
        action: &Action,
        began_after: u64,
        deadline: Deadline,
        good: impl Fn(&StoredToken) -> bool,
        usable: impl Fn(&StoredToken) -> bool,
    ) -> Result<(Secret, Origin), TokenError> {
        let mut known = self.known.lock().await;
        if let Some((token, origin)) = known.token.as_ref().filter(|(token, _)| good(token)) {
            return Ok((token.access_token.clone(), *origin));
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
        found.map(|(token, origin)| (token.access_token, origin))
    }

    /// Looks into the table, has the refresher run if need be, and looks again.
    async fn find(
        &self,
        action: &Action,
        deadline: Deadline,
        usable: impl Fn(&StoredToken) -> bool,
    ) -> Result<(StoredToken, Origin), TokenError> {
        if let Some(token) = self.table.token().await?.token.filter(&usable) {
            return Ok((token, Origin::Table));
        }
        let requested = self.refresher.run(action, deadline).await;
        let item = self.table.token().await?;
        if let Some(token) = item.token.filter(&usable) {
            return Ok((token, Origin::Refresher));
        }
        Err(match (requested, item.failure) {
            // The item has WeChat's own words; an older failure in it would mislead.
            (
                Err(RefreshRequestError::Failed {
                    errcode: Some(errcode), ..
                }),
                Some(failure),
            ) if failure.errcode == Some(errcode) => {
                TokenError::Refused(Rejection::at_token_endpoint(errcode, failure.message))
            }
            (Err(error), _) => error.into(),
            (Ok(()), _) => TokenError::Missing,
        })
    }
}
