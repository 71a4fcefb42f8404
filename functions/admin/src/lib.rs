//! `admin`: manages the menu, the reply rules, the API keys and the callbacks that own code has not taken, checks the set-up
//! (the doctor), and serves the console's pages.

mod account;
mod conditional_menu;
mod console;
mod doctor;
mod etag;
mod forwards;
mod keys;
mod menu;
mod openapi;
mod replies;

use std::{sync::Arc, time::Duration};

use http_api::{Api, Keys, Problem, Route};
use wechat::{
    account::Account,
    api::ClientError,
    callback::MessageMode,
    clock::Clock,
    config::{AdminConfig, ConfigError, ForwardUrl, SecretError, StaffLogin},
    live::State,
    token::RefreshPort,
};

use self::console::Console;

/// The AWS calls that this function makes. Its role in `template.yaml` allows these and no others.
pub const AWS_CALLS: &[&str] = &[
    "dynamodb:BatchGetItem",
    "dynamodb:DeleteItem",
    "dynamodb:DescribeTimeToLive",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:UpdateItem",
    "lambda:InvokeFunction",
    "secretsmanager:GetSecretValue",
];

/// The function's state, built once per process.
#[derive(Debug)]
pub struct App {
    account: Account,
    keys: Keys,
    refresher: Arc<dyn RefreshPort>,
    /// The webhook's message mode, or what is wrong with its settings. `None` when they cannot be seen from here.
    webhook_mode: Option<Result<MessageMode, ConfigError>>,
    /// The address of own code, for the doctor.
    forward_url: Option<ForwardUrl>,
    staff_login: Option<StaffLogin>,
    console: Console,
    /// Why the secret could not be read. Only the doctor is served then.
    secret: Option<SecretError>,
    is_simulated: bool,
}

impl App {
    /// Creates the function that `config` describes, on the table behind `dynamodb`. It asks `refresher` when it needs a
    /// token.
    ///
    /// # Errors
    /// [`ClientError`] when the address of the API or of the proxy is not a URL.
    pub fn new(
        config: AdminConfig,
        dynamodb: aws_sdk_dynamodb::Client,
        refresher: Arc<dyn RefreshPort>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
        let AdminConfig {
            caller,
            webhook_mode,
            forward_url,
            staff_login,
            secret,
            is_simulated,
        } = config;
        let account = Account::open(caller.api, dynamodb, Arc::clone(&refresher), Arc::clone(&clock))?;
        Ok(Self {
            keys: Keys::new(caller.api_keys, account.table.clone(), clock),
            account,
            refresher,
            webhook_mode,
            forward_url,
            console: Console::new(staff_login.as_ref()),
            staff_login,
            secret,
            is_simulated,
        })
    }
}

impl State for App {
    /// Reads the token. This also opens the connection to the table for the first request.
    async fn warm(&self, _spent: Duration) {
        self.account.tokens.warm().await;
    }
}

impl Api for App {
    const ROUTES: &'static [&'static [Route<Self>]] = &[
        menu::ROUTES,
        conditional_menu::ROUTES,
        replies::ROUTES,
        keys::ROUTES,
        forwards::ROUTES,
        doctor::ROUTES,
        openapi::ROUTES,
        account::ROUTES,
        console::ROUTES,
    ];

    fn keys(&self) -> &Keys {
        &self.keys
    }

    fn clock(&self) -> &dyn Clock {
        &*self.account.clock
    }

    fn known_paths(&self) -> Vec<String> {
        openapi::paths()
    }

    /// While the secret cannot be read, serves only the doctor, which says what is wrong with it, the console and the
    /// account, which the console shows, and the description of the API.
    fn unavailable(&self, path: &'static str) -> Option<Problem> {
        let is_served = [
            doctor::PATH,
            openapi::PATH,
            account::PATH,
            console::PATH,
            console::FILES,
        ]
        .contains(&path);
        let error = self.secret.clone().filter(|_| !is_served)?;
        Some(Problem::not_configured(&error.into()))
    }
}

/// The schemas of this function in `openapi.json`: WeChat's menu, the rules document, API keys, callbacks for own code and
/// the doctor's checks.
#[cfg(feature = "openapi")]
pub const SCHEMAS: &str = include_str!("schemas.json");
