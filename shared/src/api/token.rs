//! The two interfaces that issue access_tokens. They are isolated from one another: choose one and never mix.

use std::future::Future;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{ApiError, Call, Client};
use crate::{clock::Deadline, secret::Secret};

/// How often an ordinary call may be made in all: a repeat after -1 or a broken connection brings a token all the same.
const ATTEMPTS: u8 = 3;

/// Seconds that WeChat lets a token live at most. A relay that says more would keep a dead one from being refreshed.
const LONGEST_LIFE: i64 = 7200;

/// Which interface issues the tokens (`WECHAT_TOKEN_API`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenApi {
    /// `POST /cgi-bin/stable_token`: an ordinary call gives the current token with its remaining life, 500,000 a day;
    /// a forced one replaces it, 20 a day and 30 s apart.
    #[default]
    Stable,
    /// `GET /cgi-bin/token`: every call replaces the token, the old one works 5 minutes more; 2,000 a day.
    Classic,
}

impl TokenApi {
    const fn path(self) -> &'static str {
        match self {
            Self::Stable => "/cgi-bin/stable_token",
            Self::Classic => "/cgi-bin/token",
        }
    }

    /// Whether one of the two is at `path`. There 40001 is about the AppSecret.
    #[must_use]
    pub fn serves(path: &str) -> bool {
        [Self::Stable, Self::Classic].iter().any(|api| api.path() == path)
    }
}

/// A token as WeChat issued it.
#[derive(Clone, Debug)]
pub struct IssuedToken {
    /// The token.
    pub access_token: Secret,
    /// Seconds of life it has left: 7,200 at most.
    pub expires_in: i64,
}

/// Where tokens come from: WeChat, or a script in a test.
pub trait TokenIssuer: Send + Sync {
    /// Asks for the token, or with `force` for another one than the current.
    ///
    /// # Errors
    /// [`ApiError`] when WeChat gives none.
    fn issue(&self, force: bool, deadline: Deadline) -> impl Future<Output = Result<IssuedToken, ApiError>> + Send;

    /// Whether an ordinary call brings another token than the current one too.
    fn always_replaces(&self) -> bool;
}

/// The token interface of one account.
#[derive(Clone, Debug)]
pub struct TokenEndpoint {
    client: Client,
    api: TokenApi,
    app_id: String,
    app_secret: Secret,
}

impl TokenEndpoint {
    /// The interface `api` for the account `app_id`.
    #[must_use]
    pub fn new(client: Client, api: TokenApi, app_id: impl Into<String>, app_secret: Secret) -> Self {
        Self {
            client,
            api,
            app_id: app_id.into(),
            app_secret,
        }
    }

    async fn call_stable(&self, force: bool, deadline: Deadline) -> Result<TokenAnswer, ApiError> {
        let body: Value = json!({
            "grant_type": "client_credential",
            "appid": self.app_id,
            "secret": self.app_secret.expose(),
            "force_refresh": force,
        });
        let call = Call {
            operation: TokenApi::Stable.path(),
            query: &[],
            body: Some(&body),
            attempts: attempts(force),
            deadline,
        };
        self.client.call(call).await
    }

    async fn call_classic(&self, force: bool, deadline: Deadline) -> Result<TokenAnswer, ApiError> {
        let query = [
            ("grant_type", "client_credential"),
            ("appid", self.app_id.as_str()),
            ("secret", self.app_secret.expose()),
        ];
        self.client
            .call(Call {
                operation: TokenApi::Classic.path(),
                query: &query,
                body: None,
                attempts: attempts(force),
                deadline,
            })
            .await
    }
}

impl TokenIssuer for TokenEndpoint {
    async fn issue(&self, force: bool, deadline: Deadline) -> Result<IssuedToken, ApiError> {
        let answer = match self.api {
            TokenApi::Stable => self.call_stable(force, deadline).await?,
            TokenApi::Classic => self.call_classic(force, deadline).await?,
        };
        if answer.access_token.is_empty() || answer.expires_in <= 0 {
            return Err(ApiError::Unreadable {
                operation: self.api.path(),
                detail: "an access_token that is empty or has ended".to_owned(),
            });
        }
        Ok(IssuedToken {
            access_token: Secret::new(answer.access_token),
            expires_in: answer.expires_in.min(LONGEST_LIFE),
        })
    }

    fn always_replaces(&self) -> bool {
        self.api == TokenApi::Classic
    }
}

/// A forced call that is repeated could replace the token twice, and the ledger knows of one.
const fn attempts(force: bool) -> u8 {
    if force { 1 } else { ATTEMPTS }
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: i64,
}
