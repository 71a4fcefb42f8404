//! `admin`: the menu, the reply rules and the doctor.

mod conditional_menu;
mod doctor;
mod etag;
mod menu;
mod openapi;
mod replies;

use std::sync::Arc;

use http_api::{Api, Problem, Route};
use wechat::{
    account::Account,
    api::ClientError,
    callback::MessageMode,
    clock::Clock,
    config::{AdminConfig, ConfigError, SecretError},
    secret::Secret,
    token::RefreshPort,
};

/// The AWS calls that this function makes: its role in `template.yaml` allows these and no other.
pub const AWS_CALLS: &[&str] = &[
    "dynamodb:DeleteItem",
    "dynamodb:DescribeTimeToLive",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
    "lambda:InvokeFunction",
    "secretsmanager:GetSecretValue",
];

/// The function's state, made once a process.
#[derive(Debug)]
pub struct App {
    account: Account,
    api_keys: Vec<Secret>,
    refresher: Arc<dyn RefreshPort>,
    callback: Option<Result<MessageMode, ConfigError>>,
    /// Why the secret could not be read: the doctor alone serves then.
    secret: Option<SecretError>,
    is_simulated: bool,
}

impl App {
    /// The function as `config` describes it, over the table behind `dynamodb`, with `refresher` to ask for a token.
    ///
    /// # Errors
    /// [`ClientError`] when the API's address or the proxy's is no URL.
    pub fn new(
        config: AdminConfig,
        dynamodb: aws_sdk_dynamodb::Client,
        refresher: Arc<dyn RefreshPort>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
        let AdminConfig {
            caller,
            callback,
            secret,
            is_simulated,
        } = config;
        Ok(Self {
            account: Account::open(caller.api, dynamodb, Arc::clone(&refresher), clock)?,
            api_keys: caller.api_keys,
            refresher,
            callback,
            secret,
            is_simulated,
        })
    }

    /// Reads the token, which also makes the connection that the first request would have to wait for.
    pub async fn warm(&self) {
        self.account.tokens.warm().await;
    }
}

impl Api for App {
    const ROUTES: &'static [&'static [Route<Self>]] = &[
        menu::ROUTES,
        conditional_menu::ROUTES,
        replies::ROUTES,
        doctor::ROUTES,
        openapi::ROUTES,
    ];

    fn api_keys(&self) -> &[Secret] {
        &self.api_keys
    }

    fn clock(&self) -> &dyn Clock {
        &*self.account.clock
    }

    /// The doctor says what is wrong with the secret, so it is served without one.
    fn unavailable(&self, path: &'static str) -> Option<Problem> {
        let error = self.secret.clone().filter(|_| path != doctor::PATH)?;
        Some(Problem::not_configured(&error.into()))
    }
}

/// The schemas that `openapi.json` names for this function: WeChat's own menu, the rules document, the doctor's checks.
#[cfg(feature = "openapi")]
pub const SCHEMAS: &str = include_str!("schemas.json");
