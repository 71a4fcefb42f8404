//! The two interfaces that issue access_tokens. They are isolated from one another: choose one and never mix.

use std::future::Future;

use super::{
    ApiError, Client,
    calls::token::{GetClassicToken, GetStableToken},
};
use crate::{clock::Deadline, secret::Secret};

/// How often an ordinary call may be made in all: a repeat after -1 or a broken connection brings a token all the same.
const ATTEMPTS: u8 = 3;

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
}

impl TokenIssuer for TokenEndpoint {
    async fn issue(&self, force: bool, deadline: Deadline) -> Result<IssuedToken, ApiError> {
        let (app_id, app_secret) = (self.app_id.as_str(), &self.app_secret);
        match self.api {
            TokenApi::Stable => {
                let call = GetStableToken {
                    app_id,
                    app_secret,
                    force,
                };
                self.client.send(&call, &[], attempts(force), deadline).await
            }
            TokenApi::Classic => {
                let query = [
                    ("grant_type", "client_credential"),
                    ("appid", app_id),
                    ("secret", app_secret.expose()),
                ];
                let attempts = attempts(force);
                self.client.send(&GetClassicToken, &query, attempts, deadline).await
            }
        }
    }

    fn always_replaces(&self) -> bool {
        self.api == TokenApi::Classic
    }
}

/// A forced call that is repeated could replace the token twice, and the ledger knows of one.
const fn attempts(force: bool) -> u8 {
    if force { 1 } else { ATTEMPTS }
}
