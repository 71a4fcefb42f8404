//! `users`: answers who an openid is. Binds a team's users to openids by QR code or link, logs people in on web pages, and
//! signs pages that use the JS-SDK.

mod bindings;
mod domain_check;
mod html;
mod jssdk;
mod login;
mod transfer;
mod users;

use std::{sync::Arc, time::Duration};

use http_api::{Api, Keys, Route};
use wechat::{
    account::Account, api::ClientError, clock::Clock, config::UsersConfig, jssdk::TicketSource, live::State,
    page::Hosts, token::RefreshPort,
};

use self::jssdk::TicketRefusal;

/// The AWS calls that this function makes. Its role in `template.yaml` allows these and no others.
pub const AWS_CALLS: &[&str] = &[
    "dynamodb:BatchGetItem",
    "dynamodb:DeleteItem",
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
    tickets: TicketSource,
    ticket_refusal: TicketRefusal,
    public_url: Option<String>,
    open_base: String,
    login_hosts: Hosts,
    jssdk_hosts: Hosts,
    domain_check: Option<String>,
}

impl App {
    /// Creates the function that `config` describes, on the table behind `dynamodb`. It asks `refresher` when it needs a
    /// token, a ticket or the identity behind a code.
    ///
    /// # Errors
    /// [`ClientError`] when the address of the API or of the proxy is not a URL.
    pub fn new(
        config: UsersConfig,
        dynamodb: aws_sdk_dynamodb::Client,
        refresher: Arc<dyn RefreshPort>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
        let caller = config.caller;
        let account = Account::open(caller.api, dynamodb, Arc::clone(&refresher), Arc::clone(&clock))?;
        Ok(Self {
            keys: Keys::new(caller.api_keys, account.table.clone(), Arc::clone(&clock)),
            tickets: TicketSource::new(&account.table, Arc::clone(&refresher), clock),
            ticket_refusal: TicketRefusal::default(),
            account,
            refresher,
            public_url: config.public_url,
            open_base: config.open_base,
            login_hosts: config.login_hosts,
            jssdk_hosts: config.jssdk_hosts,
            domain_check: config.domain_check,
        })
    }

    fn now(&self) -> i64 {
        self.account.clock.now()
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
        bindings::ROUTES,
        users::ROUTES,
        login::ROUTES,
        jssdk::ROUTES,
        domain_check::ROUTES,
    ];

    fn keys(&self) -> &Keys {
        &self.keys
    }

    fn clock(&self) -> &dyn Clock {
        &*self.account.clock
    }
}

/// The schemas that this function adds to `openapi.json`.
#[cfg(feature = "openapi")]
pub const SCHEMAS: &str = include_str!("schemas.json");
