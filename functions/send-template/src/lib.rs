//! `send-template`: sends template messages and customer-service messages, now, later, or to a million people, and answers for each
//! recipient whether WeChat accepted the message, refused it, or may have accepted it.

mod answer;
mod batch;
mod campaigns;
mod custom;
mod hints;
mod idempotency;
mod messages;
#[cfg(feature = "openapi")]
pub mod openapi;
mod recipients;
mod scheduled;
mod send;
mod templates;
mod users;

use std::{future::Future, sync::Arc, time::Duration};

use http_api::{Api, Keys, Route};
use wechat::{
    account::Account,
    api::ClientError,
    clock::{Clock, Deadline},
    config::CallerConfig,
    live::State,
    store::{StoreError, within},
    token::RefreshPort,
};

use crate::templates::TemplatesCache;

/// The AWS calls that this function makes. Its role in `template.yaml` allows these and no others.
pub const AWS_CALLS: &[&str] = &[
    "dynamodb:BatchGetItem",
    "dynamodb:BatchWriteItem",
    "dynamodb:DeleteItem",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:UpdateItem",
    "lambda:InvokeFunction",
    "secretsmanager:GetSecretValue",
];

/// Budget of a write to the table before the answer.
const WRITE_BUDGET: Duration = Duration::from_secs(1);
/// Time of the invocation that such a write must leave, so that the answer arrives in time.
const WRITE_MARGIN: Duration = Duration::from_millis(200);

/// The function's state, built once per process.
#[derive(Debug)]
pub struct App {
    account: Account,
    keys: Keys,
    templates: TemplatesCache,
}

impl App {
    /// Creates the function that `config` describes, on the table behind `dynamodb`. It asks `refresher` when it needs a
    /// token.
    ///
    /// # Errors
    /// [`ClientError`] when the address of the API or of the proxy is not a URL.
    pub fn new(
        config: CallerConfig,
        dynamodb: aws_sdk_dynamodb::Client,
        refresher: Arc<dyn RefreshPort>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
        let account = Account::open(config.api, dynamodb, refresher, Arc::clone(&clock))?;
        Ok(Self {
            keys: Keys::new(config.api_keys, account.table.clone(), clock),
            account,
            templates: TemplatesCache::default(),
        })
    }

    /// Waits for `write` within its budget, best effort: a failure does not change the answer. `message` identifies the
    /// message in the log: its msgid, or the client_msg_id of the request.
    async fn write(
        &self,
        what: &'static str,
        message: Option<&str>,
        deadline: Deadline,
        write: impl Future<Output = Result<(), StoreError>>,
    ) {
        let budget = deadline.budget(self.account.clock.now_millis(), WRITE_BUDGET, WRITE_MARGIN);
        if let Err(error) = within(budget, write).await {
            tracing::error!(%error, what, message_id = message, "could not be recorded / 未能记录");
        }
    }
}

impl State for App {
    /// Reads the token and the templates. This also opens the connection to the table for the first request.
    async fn warm(&self, _spent: Duration) {
        self.account.tokens.warm().await;
        templates::warm(self).await;
    }
}

impl Api for App {
    const ROUTES: &'static [&'static [Route<Self>]] = &[
        send::ROUTES,
        custom::ROUTES,
        scheduled::ROUTES,
        messages::ROUTES,
        templates::ROUTES,
        campaigns::ROUTES,
        recipients::ROUTES,
    ];

    fn keys(&self) -> &Keys {
        &self.keys
    }

    fn clock(&self) -> &dyn Clock {
        &*self.account.clock
    }
}
