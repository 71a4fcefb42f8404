//! The bundle on one machine: the handlers of the four functions behind an HTTP gateway, on an embedded table, with
//! the refresher on its schedule, against a simulated WeChat platform or the real one.

mod console;
mod gateway;
mod made_account;
mod options;
mod schedule;

use std::{io, net::SocketAddr, path::Path, sync::Arc};

use embedded_table::{EmbeddedTable, StartError, TABLE_NAME};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use wechat::{
    api::ClientError,
    clock::SystemClock,
    config::{AdminConfig, CallerConfig, ConfigError, Environment, RefresherConfig, WebhookConfig},
    store::Table,
};
use wechat_simulator::{Account, Settings, Simulator};

pub use self::options::{Mode, Options};
use self::{
    console::{Activity, Console},
    gateway::Functions,
    schedule::InProcessRefresher,
};

/// The API key of a run with the simulated platform.
pub const SIMULATED_API_KEY: &str = "local";

/// Why the bundle could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// The port is taken, or may not be used.
    #[error(
        "port {port} on 127.0.0.1 cannot be used: {source} (choose another with --port) / 端口 {port} 无法使用，可用 --port 另选"
    )]
    Port {
        /// The port.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// There is no port after the last one for the simulator.
    #[error("--port must be below 65535: the simulator takes the next one / --port 应小于 65535")]
    NoPortForSimulator,
    /// The table does not start.
    #[error(transparent)]
    Table(#[from] StartError),
    /// The simulator does not start.
    #[error("the simulated platform does not start: {0}")]
    Simulator(io::Error),
    /// The environment does not describe a real account.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The platform's address cannot be used.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// A running bundle.
#[derive(Debug)]
pub struct Local {
    address: SocketAddr,
    simulator: Option<Simulator>,
    table: EmbeddedTable,
    schedule: JoinHandle<()>,
    stop_gateway: oneshot::Sender<()>,
    gateway: JoinHandle<()>,
}

impl Local {
    /// Starts everything that `options` ask for.
    ///
    /// # Errors
    /// [`LocalError`] says in one line what is in the way.
    pub async fn start(options: &Options) -> Result<Self, LocalError> {
        let (listener, address) = listen(options.port).await?;
        let activity = Activity::new();
        let simulator = match &options.wechat {
            Some(_) => None,
            None => Some(start_simulator(options, address, &activity).await?),
        };
        let environment = environment(options, simulator.as_ref());
        let table = EmbeddedTable::start(options.data.as_deref()).await?;
        let configs = read_configs(&environment)?;
        let console = Arc::new(Console::new(
            &configs.webhook,
            &configs.caller,
            Table::new(table.client(), TABLE_NAME),
            activity,
            simulator.as_ref().map(Simulator::controls),
        ));
        let (functions, refresher) = functions(configs, &table)?;
        let schedule = tokio::spawn(schedule::every_minute(refresher));
        let (stop_gateway, stopped) = oneshot::channel();
        let gateway = tokio::spawn(gateway::serve(listener, functions, console, stopped));
        Ok(Self {
            address,
            simulator,
            table,
            schedule,
            stop_gateway,
            gateway,
        })
    }

    /// Where the gateway listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where the simulated platform listens, if there is one.
    #[must_use]
    pub fn simulator_url(&self) -> Option<String> {
        self.simulator.as_ref().map(Simulator::base_url)
    }

    /// Lets the requests that are running end, then stops everything.
    pub async fn stop(self) {
        self.schedule.abort();
        // An error means that the gateway has already ended.
        let _ = self.stop_gateway.send(());
        let _ = self.gateway.await;
        if let Some(simulator) = self.simulator {
            simulator.shutdown().await;
        }
        self.table.stop().await;
    }
}

async fn listen(port: u16) -> Result<(TcpListener, SocketAddr), LocalError> {
    let failed = |source| LocalError::Port { port, source };
    let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// The simulator listens on the next port, or like the gateway on any when the port is 0.
async fn start_simulator(options: &Options, gateway: SocketAddr, activity: &Activity) -> Result<Simulator, LocalError> {
    let port = match options.port {
        0 => 0,
        port => port.checked_add(1).ok_or(LocalError::NoPortForSimulator)?,
    };
    let (listener, _) = listen(port).await?;
    let folder = options.data.as_deref();
    let unusable = |source| StartError::Folder {
        folder: folder.unwrap_or(Path::new("")).display().to_string(),
        source,
    };
    let settings = Settings {
        account: folder.map(made_account::load).transpose().map_err(unusable)?.flatten(),
        mode: options.mode.unwrap_or_default().into(),
        callback_url: Some(format!("http://{gateway}/webhook")),
        observer: Some(console::observer(activity)),
        ..Settings::default()
    };
    let simulator = Simulator::start(listener, settings).map_err(LocalError::Simulator)?;
    if let Some(folder) = folder {
        made_account::save(folder, simulator.account()).map_err(unusable)?;
    }
    Ok(simulator)
}

/// What the functions read in AWS from their environment: the process's own for a real account, the made account's
/// otherwise.
fn environment(options: &Options, simulator: Option<&Simulator>) -> Environment {
    let here = [
        ("TABLE_NAME", TABLE_NAME.to_owned()),
        ("TOKEN_REFRESHER_FUNCTION", "in-process".to_owned()),
    ];
    let mode = options
        .mode
        .map(|mode| ("WECHAT_MESSAGE_MODE", mode.as_str().to_owned()));
    match simulator {
        Some(simulator) => {
            let Account {
                app_id,
                app_secret,
                token,
                encoding_aes_key,
                ..
            } = simulator.account().clone();
            let account = [
                ("WECHAT_APP_ID", app_id),
                ("WECHAT_APP_SECRET", app_secret),
                ("WECHAT_TOKEN", token),
                ("WECHAT_ENCODING_AES_KEY", encoding_aes_key),
                ("WECHAT_API_BASE", simulator.base_url()),
                ("API_KEYS", SIMULATED_API_KEY.to_owned()),
            ];
            Environment::from_pairs(here.into_iter().chain(account).chain(mode))
        }
        None => {
            let base = options.wechat.clone().map(|base| ("WECHAT_API_BASE", base));
            Environment::process().with(here.into_iter().chain(base).chain(mode))
        }
    }
}

fn functions(configs: Configs, table: &EmbeddedTable) -> Result<(Functions, Arc<token_refresher::App>), LocalError> {
    let Configs {
        refresher,
        webhook,
        caller,
        admin,
    } = configs;
    let clock = Arc::new(SystemClock);
    let dynamodb = table.client();
    let refresher = Arc::new(token_refresher::App::new(refresher, dynamodb.clone(), clock.clone())?);
    let port = Arc::new(InProcessRefresher::new(Arc::clone(&refresher)));
    let functions = Functions {
        webhook: webhook::App::new(webhook, dynamodb.clone(), clock.clone()),
        send_template: send_template::App::new(caller, dynamodb.clone(), port.clone(), clock.clone())?,
        admin: admin::App::new(admin, dynamodb, port, clock)?,
    };
    Ok((functions, refresher))
}

struct Configs {
    refresher: RefresherConfig,
    webhook: WebhookConfig,
    caller: CallerConfig,
    admin: AdminConfig,
}

/// All problems of all functions at once.
fn read_configs(environment: &Environment) -> Result<Configs, ConfigError> {
    let refresher = RefresherConfig::read(environment);
    let webhook = WebhookConfig::read(environment);
    let caller = CallerConfig::read(environment);
    let admin = AdminConfig::read(environment);
    match (refresher, webhook, caller, admin) {
        (Ok(refresher), Ok(webhook), Ok(caller), Ok(admin)) => Ok(Configs {
            refresher,
            webhook,
            caller,
            admin,
        }),
        (refresher, webhook, caller, admin) => {
            let errors = [refresher.err(), webhook.err(), caller.err(), admin.err()];
            Err(ConfigError::union(errors.into_iter().flatten()))
        }
    }
}
