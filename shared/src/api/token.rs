//! The two interfaces that issue access_tokens. Their tokens are isolated: an account uses one interface and never both.
//! See [WeChat Docs/获取稳定版接口调用凭据](https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken.html).

use std::future::Future;

use super::{
    ApiError, Client,
    calls::{
        oauth::{Code, ExchangeCode, Identity},
        token::{GetClassicToken, GetStableToken},
    },
};
use crate::{clock::Deadline, secret::Secret};

/// Attempts at an ordinary call. A retry after errcode -1 or a broken connection is harmless.
const ATTEMPTS: u8 = 3;

/// Which interface issues the tokens (`WECHAT_TOKEN_API`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenApi {
    /// `POST /cgi-bin/stable_token`. An ordinary call returns the current token with its remaining life (500,000 a day); a
    /// forced call replaces the token (20 a day, 30 s apart).
    /// See [WeChat Docs/获取稳定版接口调用凭据](https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken.html).
    #[default]
    Stable,
    /// `GET /cgi-bin/token`. Every call replaces the token (2,000 a day); the old token works for 5 more minutes.
    /// See [WeChat Docs/获取接口调用凭据](https://developers.weixin.qq.com/doc/service/api/base/api_getaccesstoken).
    Classic,
}

/// An access_token or a jsapi_ticket as WeChat issued it.
#[derive(Clone, Debug)]
pub struct IssuedToken {
    /// The token or the ticket.
    pub value: Secret,
    /// Seconds of life left, at most 7,200.
    pub expires_in: i64,
}

/// A source of new tokens or tickets: WeChat, or a script in a test.
pub trait TokenIssuer: Send + Sync {
    /// Why WeChat issued no token.
    type Error;

    /// Asks for the current token or ticket, or with `force` for a new one.
    ///
    /// # Errors
    /// [`Self::Error`] when WeChat issues none.
    fn issue(&self, force: bool, deadline: Deadline) -> impl Future<Output = Result<IssuedToken, Self::Error>> + Send;

    /// Whether an ordinary call replaces the token too.
    fn always_replaces(&self) -> bool;
}

/// The calls of one account that carry its AppSecret: the token interface and the exchange of OAuth codes.
#[derive(Clone, Debug)]
pub struct TokenEndpoint {
    client: Client,
    api: TokenApi,
    app_id: String,
    app_secret: Secret,
}

impl TokenEndpoint {
    /// Creates the interface `api` of the account `app_id`.
    #[must_use]
    pub fn new(client: Client, api: TokenApi, app_id: impl Into<String>, app_secret: Secret) -> Self {
        Self {
            client,
            api,
            app_id: app_id.into(),
            app_secret,
        }
    }

    /// Exchanges the code that a person's browser has brought from WeChat's authorisation page. Makes one call: a second
    /// exchange of a code is refused with 40163, also when the first answer was lost.
    ///
    /// # Errors
    /// [`ApiError`] when WeChat refuses, or does not say who the person is.
    pub async fn exchange_code(&self, code: &Code, deadline: Deadline) -> Result<Identity, ApiError> {
        let call = ExchangeCode {
            app_id: &self.app_id,
            app_secret: &self.app_secret,
            code,
        };
        self.client.send(&call, None, 1, deadline).await
    }
}

impl TokenIssuer for TokenEndpoint {
    type Error = ApiError;

    async fn issue(&self, force: bool, deadline: Deadline) -> Result<IssuedToken, ApiError> {
        let (app_id, app_secret) = (self.app_id.as_str(), &self.app_secret);
        match self.api {
            TokenApi::Stable => {
                let call = GetStableToken {
                    app_id,
                    app_secret,
                    force,
                };
                self.client.send(&call, None, attempts(force), deadline).await
            }
            TokenApi::Classic => {
                let call = GetClassicToken { app_id, app_secret };
                self.client.send(&call, None, attempts(force), deadline).await
            }
        }
    }

    fn always_replaces(&self) -> bool {
        self.api == TokenApi::Classic
    }
}

/// Returns the attempts at a call. A forced call gets one: a retry could replace the token twice, and the ledger counts one.
const fn attempts(force: bool) -> u8 {
    if force { 1 } else { ATTEMPTS }
}
