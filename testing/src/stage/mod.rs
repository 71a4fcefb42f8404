//! Everything around the functions: a WeChat, a table, an event bus, and AWS Lambda with a token-refresher.

mod campaign;
mod refresher;
mod table;
mod wechat;

use std::collections::HashMap;

use embedded_table::TABLE_NAME;
use tokio::process::Command;

use self::refresher::Refresher;
pub use self::{
    campaign::{CAMPAIGN, CampaignStage, SEND, plan, scheduled_message},
    table::Table,
    wechat::{WeChat, message, message_for, message_to},
};
use crate::{
    EventBus, FaultProxy, Function, LambdaApi, SecretsManager,
    account::{API_KEY, APP_ID},
};

/// A service that functions reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// DynamoDB.
    Table,
    /// The WeChat platform.
    WeChat,
    /// AWS Lambda.
    Lambda,
    /// EventBridge.
    EventBus,
}

impl Service {
    /// All services.
    pub const ALL: [Self; 4] = [Self::Table, Self::WeChat, Self::Lambda, Self::EventBus];
}

/// The parts of a stage that may differ.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Where the platform pushes callbacks. Default: nowhere.
    pub callback_url: Option<String>,
    /// The binary of token-refresher. Default: the stand-in.
    pub refresher: Option<&'static str>,
}

/// The services of one deployment, for the account of [`crate::account`].
#[derive(Debug)]
pub struct Stage {
    /// The simulated platform.
    pub wechat: WeChat,
    /// The table, past its proxy.
    pub table: Table,
    /// The event bus.
    pub bus: EventBus,
    /// AWS Lambda, whose function is a token-refresher.
    pub lambda: LambdaApi,
    proxies: HashMap<Service, FaultProxy>,
    variables: Vec<(String, String)>,
}

impl Stage {
    /// Creates a stage with an empty table, no callback URL, and a stand-in for token-refresher.
    pub async fn new() -> Self {
        Self::set_up(Setup::default()).await
    }

    /// Creates a stage with a living token in the table, as a deployment has after its first minute.
    pub async fn with_token() -> Self {
        Self::new().await.token().await
    }

    /// Creates a stage from `setup`.
    pub async fn set_up(setup: Setup) -> Self {
        let (wechat, table) = (WeChat::start(setup.callback_url).await, Table::start().await);
        let lambda = match setup.refresher {
            Some(path) => refresher::built(path, &wechat, &table).await,
            None => Refresher::new(&wechat, &table).serve().await,
        };
        Self {
            wechat,
            table,
            bus: EventBus::start().await,
            lambda,
            proxies: HashMap::new(),
            variables: Vec::new(),
        }
    }

    /// Puts a living token into the table.
    pub async fn token(self) -> Self {
        Refresher::new(&self.wechat, &self.table).refresh(false).await.unwrap();
        self
    }

    /// Puts a proxy before each service, through which every function that is started later reaches it.
    pub async fn behind_proxies(mut self) -> Self {
        for service in Service::ALL {
            let proxy = FaultProxy::start(&self.endpoint(service)).await;
            self.proxies.insert(service, proxy);
        }
        self
    }

    /// The proxy before `service`.
    #[must_use]
    pub fn proxy(&self, service: Service) -> &FaultProxy {
        &self.proxies[&service]
    }

    /// Mends all proxies.
    pub async fn mend(&self) {
        for proxy in self.proxies.values() {
            proxy.mend().await;
        }
    }

    /// Sets variables of the functions that are started later; an empty value unsets one.
    pub fn set<V: Into<String>>(&mut self, variables: impl IntoIterator<Item = (&'static str, V)>) {
        for (name, value) in variables {
            self.variables.retain(|(known, _)| known != name);
            self.variables.push((name.to_owned(), value.into()));
        }
    }

    /// Makes functions that are started later read from a secret the values that no variable sets.
    pub fn set_secret(&mut self, secrets: &SecretsManager) {
        self.set([
            ("WECHAT_SECRET_ID", "wechat".to_owned()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.endpoint()),
        ]);
    }

    /// The URL by which functions reach `service`.
    #[must_use]
    pub fn endpoint(&self, service: Service) -> String {
        match (self.proxies.get(&service), service) {
            (Some(proxy), _) => proxy.endpoint(),
            (None, Service::Table) => self.table.endpoint(),
            (None, Service::WeChat) => self.wechat.endpoint(),
            (None, Service::Lambda) => self.lambda.endpoint(),
            (None, Service::EventBus) => self.bus.endpoint(),
        }
    }

    /// The environment of a function, before the variables that were set.
    fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("WECHAT_APP_ID", APP_ID.to_owned()),
            ("WECHAT_API_BASE", self.endpoint(Service::WeChat)),
            ("TABLE_NAME", TABLE_NAME.to_owned()),
            ("TOKEN_REFRESHER_FUNCTION", "token-refresher".to_owned()),
            ("API_KEYS", API_KEY.to_owned()),
            ("AWS_ENDPOINT_URL_DYNAMODB", self.endpoint(Service::Table)),
            ("AWS_ENDPOINT_URL_LAMBDA", self.endpoint(Service::Lambda)),
            ("AWS_ENDPOINT_URL_EVENTBRIDGE", self.endpoint(Service::EventBus)),
        ]
    }

    /// Starts the function whose binary is at `path`.
    pub async fn function(&self, path: &str) -> Function {
        self.function_with(path, &[]).await
    }

    /// Starts the function whose binary is at `path`, with `changes` to its environment.
    pub async fn function_with(&self, path: &str, changes: &[(&str, &str)]) -> Function {
        let environment = self.environment();
        Function::start(path, &self.variables(&environment, changes)).await
    }

    /// Runs `command` as a function, with `changes` to its environment.
    pub async fn run(&self, command: Command, changes: &[(&str, &str)]) -> Function {
        let environment = self.environment();
        Function::run(command, &self.variables(&environment, changes)).await
    }

    /// Joins the variables of a function. Of two values for one variable, the later one counts.
    fn variables<'a>(
        &'a self,
        environment: &'a [(&str, String)],
        changes: &[(&'a str, &'a str)],
    ) -> Vec<(&'a str, &'a str)> {
        let environment = environment.iter().map(|(name, value)| (*name, value.as_str()));
        let set = self
            .variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        environment.chain(set).chain(changes.iter().copied()).collect()
    }
}
