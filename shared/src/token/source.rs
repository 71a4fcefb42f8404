//! How a function gets the access_token: from its own memory, from the table, or by asking the refresher. Never from
//! WeChat itself: only the refresher holds the AppSecret.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use tokio::sync::Mutex;

use super::Action;
use crate::{
    api::ApiError,
    clock::{Clock, Deadline},
    errcode,
    secret::Secret,
    store::{RefreshFailure, StoreError, StoredToken, Table, TokenItem},
};

/// A cached token is given up this many seconds before its end.
const CACHE_MARGIN: i64 = 60;
/// How often a request may call WeChat before its one replacement of the token: once, and once more when the first
/// failure was transient and a repeat is harmless. With the call after the replacement that makes three.
const ATTEMPTS_BEFORE_REPLACEMENT: u8 = 2;

/// Asks `token-refresher` for a run, wherever it is.
pub trait RefreshPort: fmt::Debug + Send + Sync {
    /// Runs `action` and waits for its end.
    fn run<'a>(
        &'a self,
        action: &'a Action,
        deadline: Deadline,
    ) -> Pin<Box<dyn Future<Output = Result<(), RefreshRequestError>> + Send + 'a>>;
}

/// Why a run could not be had.
#[derive(Debug, thiserror::Error)]
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
    /// It could not be started.
    #[error(
        "token-refresher cannot be reached ({0}): check TOKEN_REFRESHER_FUNCTION / 无法调用 token-refresher，请检查 TOKEN_REFRESHER_FUNCTION"
    )]
    Unreachable(String),
    /// It did not end in time.
    #[error("token-refresher did not answer in time / token-refresher 未在限定时间内完成")]
    Timeout,
}

/// Why there is no usable token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The table could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// WeChat refused a token to the refresher.
    #[error("no access_token: WeChat refuses to issue one, {}", .0.message)]
    Refused(RefreshFailure),
    /// The refresher brought none.
    #[error("no access_token: {0}")]
    Request(#[from] RefreshRequestError),
    /// The refresher ran, and the table still holds no usable token.
    #[error(
        "no access_token: token-refresher ran, but stored none under this WECHAT_APP_ID and TABLE_NAME / token-refresher 未写入 access_token，请核对 WECHAT_APP_ID 与 TABLE_NAME"
    )]
    Missing,
}

/// Why a call that needs a token failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
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
    app_id: String,
    refresher: Arc<dyn RefreshPort>,
    clock: Arc<dyn Clock>,
    /// Held while the token is looked for, so that twenty sends with one dead token ask once.
    cached: Mutex<Option<StoredToken>>,
}

impl TokenSource {
    /// The token of `app_id` in `table`.
    #[must_use]
    pub fn new(
        table: Table,
        app_id: impl Into<String>,
        refresher: Arc<dyn RefreshPort>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            table,
            app_id: app_id.into(),
            refresher,
            clock,
            cached: Mutex::new(None),
        }
    }

    /// Reads the token into memory while the process starts. A failure is left to the first request.
    pub async fn warm(&self) {
        match self.stored().await {
            Ok(item) => *self.cached.lock().await = item.token,
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
        let token = self.current(deadline).await?;
        match call(token.clone(), ATTEMPTS_BEFORE_REPLACEMENT).await {
            Err(error) if error.errcode().is_some_and(errcode::is_dead_token) => {
                tracing::warn!(%error, "WeChat refuses the token, replacing it");
                let token = self.replace(&token, deadline).await?;
                Ok(call(token, 1).await?)
            }
            outcome => Ok(outcome?),
        }
    }

    /// Makes sure that there is a working token.
    ///
    /// # Errors
    /// [`TokenError`] when there is none.
    pub async fn ensure(&self, deadline: Deadline) -> Result<(), TokenError> {
        self.current(deadline).await.map(|_| ())
    }

    async fn current(&self, deadline: Deadline) -> Result<Secret, TokenError> {
        let mut cached = self.cached.lock().await;
        let now = self.clock.now();
        if let Some(token) = cached.as_ref().filter(|token| token.life(now) > CACHE_MARGIN) {
            return Ok(token.access_token.clone());
        }
        let usable = |token: &StoredToken| token.life(self.clock.now()) > 0;
        self.find(&mut cached, &Action::Refresh, deadline, usable).await
    }

    async fn replace(&self, refused: &Secret, deadline: Deadline) -> Result<Secret, TokenError> {
        let mut cached = self.cached.lock().await;
        let usable =
            |token: &StoredToken| token.life(self.clock.now()) > 0 && !token.access_token.matches(refused.expose());
        if let Some(token) = cached.as_ref().filter(|token| usable(token)) {
            return Ok(token.access_token.clone());
        }
        let action = Action::Replace {
            stale_token_sha256: refused.sha256_hex(),
        };
        self.find(&mut cached, &action, deadline, usable).await
    }

    /// Looks into the table, has the refresher run if need be, and looks again.
    async fn find(
        &self,
        cached: &mut Option<StoredToken>,
        action: &Action,
        deadline: Deadline,
        usable: impl Fn(&StoredToken) -> bool,
    ) -> Result<Secret, TokenError> {
        if let Some(token) = self.stored().await?.token.filter(&usable) {
            return Ok(cached.insert(token).access_token.clone());
        }
        let requested = self.refresher.run(action, deadline).await;
        let item = self.stored().await?;
        if let Some(token) = item.token.filter(&usable) {
            return Ok(cached.insert(token).access_token.clone());
        }
        *cached = None;
        Err(match (requested, item.failure) {
            (Err(_), Some(failure)) if failure.errcode.is_some() => TokenError::Refused(failure),
            (Err(error), _) => error.into(),
            (Ok(()), _) => TokenError::Missing,
        })
    }

    async fn stored(&self) -> Result<TokenItem, StoreError> {
        self.table.token(&self.app_id).await
    }
}
