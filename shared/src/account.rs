//! One account as a function sees it: its access_token, WeChat's API and its items in the table.

use std::sync::Arc;

use crate::{
    api::{Call, Client, ClientError},
    clock::{Clock, Deadline},
    config::ApiConfig,
    store::Table,
    token::{CallError, CallFailure, RefreshPort, TokenSource},
};

/// An account, made once a process.
#[derive(Debug)]
pub struct Account {
    client: Client,
    /// The access_token.
    pub tokens: TokenSource,
    /// The account's items.
    pub table: Table,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Account {
    /// The account that `config` describes, over the table behind `dynamodb`, with `refresher` to ask for a token.
    ///
    /// # Errors
    /// [`ClientError`] when the API's address or the proxy's is no URL.
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
            tokens: TokenSource::new(table.clone(), refresher, Arc::clone(&clock)),
            table,
            clock,
        })
    }

    /// Makes `call` with the access_token. A token that WeChat refuses is replaced, and the call made once more; what is
    /// transient is repeated if the call allows that. Three calls at most.
    ///
    /// # Errors
    /// [`CallError`]: what the call failed with, or why there is no token to make it with.
    pub async fn call<C: Call>(&self, call: &C, deadline: Deadline) -> Result<C::Answer, CallError> {
        self.tokens
            .call(deadline, |token, attempts| async move {
                self.client.call(call, &token, attempts, deadline).await
            })
            .await
    }

    /// Makes `call` once, with the token that is known: for what the request can do without.
    ///
    /// # Errors
    /// [`CallFailure`]: what the call failed with, or why there is no token to make it with.
    pub async fn call_once<C: Call>(&self, call: &C, deadline: Deadline) -> Result<C::Answer, CallFailure> {
        let token = self.tokens.token(deadline).await?;
        Ok(self.client.call(call, &token, 1, deadline).await?)
    }
}
