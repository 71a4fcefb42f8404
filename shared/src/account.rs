//! One Official Account: its access_token, its client of WeChat's API and its items in the table.

use std::sync::Arc;

use crate::{
    api::{ApiError, Call, Client, ClientError},
    clock::{Clock, Deadline},
    config::ApiConfig,
    store::Table,
    token::{CallError, CallFailure, RefreshPort, TokenSource},
};
#[cfg(feature = "relay")]
use crate::{
    api::{RawAnswer, RawCall},
    token::TokenError,
};

/// One account. A process opens it once.
#[derive(Debug)]
pub struct Account {
    client: Client,
    /// The access_token.
    pub tokens: TokenSource,
    /// The account's items.
    pub table: Table,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

impl Account {
    /// Opens the account that `config` describes. `dynamodb` reaches its table, `refresher` refreshes its token.
    ///
    /// # Errors
    /// [`ClientError`] when the address of the API or of the proxy is not a URL.
    pub fn open(
        config: ApiConfig,
        dynamodb: aws_sdk_dynamodb::Client,
        refresher: Arc<dyn RefreshPort>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
        let client = config.client(Arc::clone(&clock))?;
        let table = Table::new(dynamodb, config.table, config.app_id);
        Ok(Self {
            client,
            tokens: TokenSource::new(&table, refresher, Arc::clone(&clock)),
            table,
            clock,
        })
    }

    /// Makes `call` with the access_token, with 3 attempts at most. Replaces a token that WeChat refuses, and retries a
    /// transient failure if the call is repeatable.
    ///
    /// # Errors
    /// [`CallError`] when the call fails or there is no token.
    pub async fn call<C: Call>(&self, call: &C, deadline: Deadline) -> Result<C::Answer, CallError> {
        self.tokens
            .call(deadline, |token, attempts| async move {
                self.client.call(call, &token, attempts, deadline).await
            })
            .await
    }

    /// Makes `call` with the access_token and replaces a token that WeChat refuses, but retries nothing: the caller decides
    /// when a repeat is safe.
    ///
    /// # Errors
    /// [`CallError`] when the call fails or there is no token.
    pub async fn attempt<C: Call>(&self, call: &C, deadline: Deadline) -> Result<C::Answer, CallError> {
        self.attempt_in_turn(call, deadline, || async { true }).await
    }

    /// As [`Self::attempt`], but awaits `turn` before each request to WeChat, after the search for the token, which may take
    /// long. Makes no more requests once `turn` returns `false`.
    ///
    /// # Errors
    /// [`CallError`] when the call fails or there is no token; its cause is [`ApiError::OutOfTime`] when `turn` returns `false`.
    pub async fn attempt_in_turn<C: Call, F: Future<Output = bool>>(
        &self,
        call: &C,
        deadline: Deadline,
        turn: impl Fn() -> F,
    ) -> Result<C::Answer, CallError> {
        let turn = &turn;
        let in_turn = || async move {
            let out_of_turn = ApiError::OutOfTime { operation: C::PATH };
            if turn().await { Ok(()) } else { Err(out_of_turn) }
        };
        self.tokens
            .call_in_turn(deadline, in_turn, |token, _| async move {
                self.client.call(call, &token, 1, deadline).await
            })
            .await
    }

    /// Makes `call` once and replaces no token: for calls whose answer the request can do without.
    ///
    /// # Errors
    /// [`CallFailure`] when the call fails or there is no token.
    pub async fn call_once<C: Call>(&self, call: &C, deadline: Deadline) -> Result<C::Answer, CallFailure> {
        let token = self.tokens.token(deadline).await?;
        Ok(self.client.call(call, &token, 1, deadline).await?)
    }

    /// Passes on `call` with the access_token. Replaces a token that WeChat refuses, and repeats nothing else.
    ///
    /// # Errors
    /// [`CallError`] when there is no answer to pass on or no token.
    #[cfg(feature = "relay")]
    pub async fn pass(&self, call: &RawCall<'_>, deadline: Deadline) -> Result<RawAnswer, CallError> {
        let failed = |error: TokenError, may_have_landed| CallError {
            cause: error.into(),
            may_have_landed,
            at: self.clock.now(),
        };
        let token = self.tokens.stored_token(deadline).await;
        let token = token.map_err(|error| failed(error, false))?;
        if let Some(previous) = &token.previous {
            call.hidden.hide(previous);
        }
        let answer = self.tokens.call(deadline, |token, _| async move {
            self.client.pass(call, &token, deadline).await
        });
        let mut answer = answer.await?;
        // Another instance may have a newer token, which this process has not seen.
        if answer.shows_another_token() {
            let item = self.table.token().await.map_err(|error| failed(error.into(), true))?;
            if let Some(token) = item.token {
                call.hidden.hide(&token.value);
                token.previous.iter().for_each(|previous| call.hidden.hide(previous));
            }
            answer.hide(call.hidden);
        }
        Ok(answer)
    }
}
