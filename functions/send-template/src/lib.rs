//! `send-template`: pushes template messages and tells the truth about each.

mod answer;
mod hints;
mod idempotency;
mod messages;
#[cfg(feature = "openapi")]
pub mod openapi;
mod send;
mod templates;

use std::{future::Future, sync::Arc, time::Duration};

use http_api::{Api, Route};
use wechat::{
    account::Account,
    api::ClientError,
    clock::{Clock, Deadline},
    config::CallerConfig,
    secret::Secret,
    store::StoreError,
    token::RefreshPort,
};

use crate::templates::TemplatesCache;

/// The AWS calls that this function makes: its role in `template.yaml` allows these and no other.
pub const AWS_CALLS: &[&str] = &[
    "dynamodb:DeleteItem",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
    "lambda:InvokeFunction",
    "secretsmanager:GetSecretValue",
];

/// What a write may take after which the caller gets its answer in any case.
const WRITE_BUDGET: Duration = Duration::from_secs(1);
/// What such a write leaves of the invocation, for the answer.
const WRITE_MARGIN: Duration = Duration::from_millis(200);

/// The function's state, made once a process.
#[derive(Debug)]
pub struct App {
    account: Account,
    api_keys: Vec<Secret>,
    templates: TemplatesCache,
}

impl App {
    /// The function as `config` describes it, over the table behind `dynamodb`, with `refresher` to ask for a token.
    ///
    /// # Errors
    /// [`ClientError`] when the API's address or the proxy's is no URL.
    pub fn new(
        config: CallerConfig,
        dynamodb: aws_sdk_dynamodb::Client,
        refresher: Arc<dyn RefreshPort>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
        Ok(Self {
            account: Account::open(config.api, dynamodb, refresher, clock)?,
            api_keys: config.api_keys,
            templates: TemplatesCache::default(),
        })
    }

    /// Reads the token and the templates, which also makes the connection that the first request would have to wait for.
    pub async fn warm(&self) {
        self.account.tokens.warm().await;
        templates::warm(self).await;
    }

    /// Waits for a write whose failure must cost the caller neither the answer nor the time to give it.
    /// `message` names the one that it is about in the log: its msgid, or the client_msg_id of a request.
    async fn write(
        &self,
        what: &'static str,
        message: Option<&str>,
        deadline: Deadline,
        write: impl Future<Output = Result<(), StoreError>>,
    ) {
        let budget = deadline.budget(self.account.clock.now_millis(), WRITE_BUDGET, WRITE_MARGIN);
        match tokio::time::timeout(budget, write).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, what, message_id = message, "could not be recorded"),
            Err(_) => tracing::error!(what, message_id = message, "could not be recorded in time"),
        }
    }
}

impl Api for App {
    const ROUTES: &'static [&'static [Route<Self>]] = &[send::ROUTES, messages::ROUTES, templates::ROUTES];

    fn api_keys(&self) -> &[Secret] {
        &self.api_keys
    }

    fn clock(&self) -> &dyn Clock {
        &*self.account.clock
    }
}
