//! The account that a run serves: the simulator's, or the one in the process's environment.

use std::net::SocketAddr;

use aws_types::SdkConfig;
use embedded_table::TABLE_NAME;
use simulator::{Account, Simulator};
use wechat::{
    aws::{self, SecretsManager},
    config::{
        AdminConfig, CallerConfig, ConfigError, Environment, RefresherConfig, UsersConfig, WebhookConfig, WorkerConfig,
    },
    live::Secrets as _,
};

use crate::{LocalError, Options, SIMULATED_API_KEY};

/// The AWS calls that a run may make. DynamoDB is not among them: the table is embedded.
const AWS_CALLS: &[&str] = &["events:PutEvents", "secretsmanager:GetSecretValue"];

/// The variables that a simulated run takes from the process's environment.
const OWN_CODE: &[&str] = &[
    "FORWARD_URL",
    "FORWARD_SECRET",
    "FORWARD_SECRET_PREVIOUS",
    "FORWARD_BUDGET_MS",
];

/// The hosts of pages on this machine.
const THIS_MACHINE: &str = "127.0.0.1,localhost,[::1]";

/// The configuration of each function, as it reads it from its environment in AWS.
pub(crate) struct Configs {
    pub(crate) refresher: RefresherConfig,
    pub(crate) webhook: WebhookConfig,
    pub(crate) worker: WorkerConfig,
    pub(crate) caller: CallerConfig,
    pub(crate) users: UsersConfig,
    pub(crate) admin: AdminConfig,
}

impl Configs {
    /// Reads every function's configuration and reports all their problems at once.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem.
    pub(crate) fn read(environment: &Environment) -> Result<Self, ConfigError> {
        let refresher = RefresherConfig::read(environment);
        let webhook = WebhookConfig::read(environment);
        let worker = WorkerConfig::read(environment);
        let caller = CallerConfig::read(environment);
        let users = UsersConfig::read(environment);
        let admin = AdminConfig::read(environment);
        match (refresher, webhook, worker, caller, users, admin) {
            (Ok(refresher), Ok(webhook), Ok(worker), Ok(caller), Ok(users), Ok(admin)) => Ok(Self {
                refresher,
                webhook,
                worker,
                caller,
                users,
                admin,
            }),
            (refresher, webhook, worker, caller, users, admin) => {
                let errors = [
                    refresher.err(),
                    webhook.err(),
                    worker.err(),
                    caller.err(),
                    users.err(),
                    admin.err(),
                ];
                Err(ConfigError::union(errors.into_iter().flatten()))
            }
        }
    }
}

/// The environment of the functions: that of the `process` for a real account, otherwise that of the simulated account with the
/// own code of the `process`.
///
/// # Errors
/// [`LocalError`] when the secret that the environment names cannot be read.
pub(crate) async fn environment(
    options: &Options,
    gateway: SocketAddr,
    simulator: Option<&Simulator>,
    process: &Environment,
) -> Result<Environment, LocalError> {
    match simulator {
        Some(simulator) => {
            let account = simulated(simulator.account(), &simulator.base_url(), gateway);
            Ok(Environment::from_pairs(
                every_run(options).chain(account).chain(own_code(process)),
            ))
        }
        None => {
            let base = options.wechat.clone().map(|base| ("WECHAT_API_BASE", base));
            // No JWT authorizer stands before this machine's API.
            let no_login = [("JWT_ISSUER", String::new())];
            Ok(with_secret(process)
                .await?
                .with(every_run(options).chain(base).chain(no_login)))
        }
    }
}

/// The environment of a simulated run that does not start: its account does not exist yet.
pub(crate) fn stand_in(options: &Options) -> Environment {
    let gateway = SocketAddr::new(options.listen, options.port);
    let account = simulated(&Account::random(), "http://127.0.0.1", gateway);
    let process = Environment::process();
    Environment::from_pairs(every_run(options).chain(account).chain(own_code(&process)))
}

/// What every run on one machine has.
fn every_run(options: &Options) -> impl Iterator<Item = (&'static str, String)> {
    let here = [("TABLE_NAME", TABLE_NAME), ("TOKEN_REFRESHER_FUNCTION", "in-process")];
    let mode = options.mode.map(|mode| ("WECHAT_MESSAGE_MODE", mode.as_str()));
    let all = here.into_iter().chain(mode);
    all.map(|(name, value)| (name, value.to_owned()))
}

/// What the environment of the process says of own code.
fn own_code(process: &Environment) -> impl Iterator<Item = (&'static str, String)> {
    OWN_CODE
        .iter()
        .filter_map(|name| Some((*name, process.get(name)?.to_owned())))
}

/// The variables of a simulated run. Its pages are on this machine.
fn simulated(account: &Account, platform: &str, gateway: SocketAddr) -> [(&'static str, String); 10] {
    let Account {
        app_id,
        app_secret,
        token,
        encoding_aes_key,
        ..
    } = account.clone();
    [
        ("WECHAT_APP_ID", app_id),
        ("WECHAT_APP_SECRET", app_secret),
        ("WECHAT_TOKEN", token),
        ("WECHAT_ENCODING_AES_KEY", encoding_aes_key),
        ("WECHAT_API_BASE", platform.to_owned()),
        ("API_KEYS", SIMULATED_API_KEY.to_owned()),
        ("PUBLIC_URL", format!("http://{gateway}")),
        ("WECHAT_OPEN_BASE", platform.to_owned()),
        ("LOGIN_HOSTS", THIS_MACHINE.to_owned()),
        ("JSSDK_HOSTS", THIS_MACHINE.to_owned()),
    ]
}

/// The environment of the process, completed by the AWS secret that it names, if any.
async fn with_secret(process: &Environment) -> Result<Environment, LocalError> {
    let environment = process.clone();
    let Some(id) = process.secret_id() else {
        return Ok(environment);
    };
    let sdk = aws_sdk("WECHAT_SECRET_ID")?;
    let read = SecretsManager::new(sdk).read(id).await;
    Ok(environment.completed(read.as_deref().map_err(Clone::clone)))
}

/// The AWS SDK's configuration from the standard variables. `variable` is the one that asked for AWS.
///
/// # Errors
/// [`LocalError`] when no region is set: every call would fail.
pub(crate) fn aws_sdk(variable: &'static str) -> Result<SdkConfig, LocalError> {
    aws_sdk_for(variable, AWS_CALLS)
}

/// The AWS SDK's configuration for `calls`, as [`aws_sdk`] returns it.
///
/// # Errors
/// [`LocalError`] when no region is set.
pub(crate) fn aws_sdk_for(variable: &'static str, calls: &'static [&'static str]) -> Result<SdkConfig, LocalError> {
    let sdk = aws::load(calls);
    match sdk.region() {
        Some(_) => Ok(sdk),
        None => Err(LocalError::NoRegion { variable }),
    }
}
