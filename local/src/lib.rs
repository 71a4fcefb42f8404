//! The bundle on one machine: the handlers of the functions behind an HTTP gateway, on an embedded table, with the
//! refresher on its schedule, against a simulated WeChat platform or the real one.

mod account;
mod commands;
mod console;
mod data_folder;
mod gateway;
mod metrics;
mod options;
mod own_code;
mod restored;
mod schedule;
mod stored_account;
mod worker;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use aws_sdk_dynamodb::Client;
use embedded_table::{EmbeddedTable, StartError};
use simulator::{Settings, Simulator};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time::timeout};
use wechat::{
    api::ClientError,
    clock::SystemClock,
    config::{ConfigError, Environment},
    effects::EventBus,
};

use self::{
    account::Configs,
    console::{Activity, Console},
    data_folder::DataFolder,
    gateway::Functions,
    own_code::OwnCode,
    schedule::InProcessRefresher,
    worker::InProcessWorker,
};
pub use self::{
    commands::{CommandError, Outcome, check, run},
    data_folder::DataError,
    options::{Command, LogFormat, Mode, Options},
};

/// The API key of a run with the simulated platform.
pub const SIMULATED_API_KEY: &str = "local";

/// Why the bundle could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The port is taken or not allowed.
    #[error(
        "port {} on {} cannot be used: {source} (choose another with --port; the simulator takes the one after it) \
         / 端口无法使用，可用 --port 另选（模拟器使用其后一个端口）",
        .address.port(), .address.ip()
    )]
    Port {
        /// Address and port.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// `--port` is the last port, so the simulator has none after it.
    #[error(
        "--port must be below 65535: the simulator takes the next one / --port 应小于 65535，模拟器使用其后一个端口"
    )]
    NoPortForSimulator,
    /// `--wechat` is not the address of a platform. The value may hold a password.
    #[error(
        "--wechat must be an http or https URL without user name and password, such as https://api.weixin.qq.com \
         / --wechat 应为 http 或 https 地址，不含用户名与密码"
    )]
    Platform,
    /// `--listen` names an address outside loopback for a simulated run.
    #[error(
        "the simulator is for development: it serves on loopback only (--listen {0} needs --wechat) \
         / 模拟器仅供开发使用，只监听回环地址；--listen {0} 需要与 --wechat 一起使用"
    )]
    SimulatorElsewhere(IpAddr),
    /// `--listen` names an address outside loopback for a real account, and `API_KEYS` is not set.
    #[error(
        "--listen {0} needs API_KEYS: without any, /api answers 401 to everyone / --listen {0} 需要设置 API_KEYS，否则 /api 一律返回 401"
    )]
    NoApiKeys(IpAddr),
    /// The data folder cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The table does not start.
    #[error(transparent)]
    Table(#[from] StartError),
    /// What earlier runs stored cannot be read or changed.
    #[error(
        "the data of earlier runs cannot be used: {0} (choose another folder with --data) / 无法使用此前运行的数据，可用 --data 另选目录"
    )]
    Stored(String),
    /// The simulator does not start.
    #[error("the simulated platform does not start: {0} / 模拟平台无法启动")]
    Simulator(io::Error),
    /// The environment does not configure a real account.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A variable names an AWS resource, but no region is set.
    #[error("{variable} is set: set AWS_REGION and credentials too / 已设置 {variable}，还需设置 AWS_REGION 与凭证")]
    NoRegion {
        /// The variable's name.
        variable: &'static str,
    },
    /// The platform's address cannot be used.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl LocalError {
    /// Whether the command line is the cause.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::NoPortForSimulator | Self::SimulatorElsewhere(_) | Self::Platform
        )
    }
}

/// A running bundle.
#[derive(Debug)]
pub struct Local {
    address: SocketAddr,
    simulator: Option<Simulator>,
    stop_schedule: oneshot::Sender<()>,
    schedule: JoinHandle<()>,
    stop_worker: oneshot::Sender<()>,
    worker_runs: JoinHandle<()>,
    worker: Arc<InProcessWorker>,
    stop_gateway: oneshot::Sender<()>,
    gateway: JoinHandle<()>,
    _table: EmbeddedTable,
    /// The last field, so it is dropped, and unlocked, after everything that uses the folder.
    _data: Option<DataFolder>,
}

impl Local {
    /// Starts the bundle, and the simulator unless `options` name a real platform.
    ///
    /// # Errors
    /// [`LocalError`] says in one line why the bundle cannot start.
    pub async fn start(options: &Options) -> Result<Self, LocalError> {
        Self::start_in(options, &Environment::process()).await
    }

    /// The same in an environment that is not this process's, as a test needs it.
    ///
    /// # Errors
    /// [`LocalError`] says in one line why the bundle cannot start.
    pub async fn start_in(options: &Options, process: &Environment) -> Result<Self, LocalError> {
        Self::check_addresses(options)?;
        let data = options.data.as_deref().map(DataFolder::open).transpose()?;
        let (listener, address) = listen(options.listen, options.port).await?;
        let activity = Activity::new();
        let table = EmbeddedTable::start(data.as_ref().map(DataFolder::path)).await?;
        let simulator = match &options.wechat {
            Some(_) => None,
            None => Some(start_simulator(options, address, &table.client(), &activity).await?),
        };
        let environment = account::environment(options, address, simulator.as_ref(), process).await?;
        let mut configs = Configs::read(&environment)?;
        configs.admin.is_simulated = simulator.is_some();
        let own_code = OwnCode::of(&mut configs, simulator.is_some()).await;
        check_keys(&configs, options)?;
        if let Some(warning) = configs.caller.api.clear_text_warning() {
            tracing::warn!("{warning}");
        }
        // The key of a simulated run is public.
        if let Some(warning) = configs.caller.short_key_warning().filter(|_| simulator.is_none()) {
            tracing::warn!("{warning}");
        }
        let has_api_keys = !configs.caller.api_keys.is_empty();
        stored_account::warn_of_another(&table.client(), &configs.caller.api.app_id).await?;
        if let Some(data) = &data {
            restored::hold(data.path(), table.client(), &configs.caller.api.app_id).await?;
        }
        let console = Arc::new(Console::new(
            &configs.webhook,
            &configs.caller,
            activity,
            simulator.as_ref(),
            own_code,
        ));
        let (functions, refresher) = functions(configs, &table).await?;
        let worker = Arc::clone(&functions.worker);
        let (stop_schedule, schedule_stopped) = oneshot::channel();
        let schedule = tokio::spawn(schedule::every_minute(refresher, schedule_stopped));
        let (stop_worker, worker_stopped) = oneshot::channel();
        let running = Arc::clone(&worker);
        let worker_runs = tokio::spawn(async move { running.every_minute(worker_stopped).await });
        let (stop_gateway, stopped) = oneshot::channel();
        let gateway = tokio::spawn(gateway::serve(listener, functions, console, table.client(), stopped));
        if !has_api_keys {
            tracing::warn!("API_KEYS is not set: /api answers 401 to everyone / 未设置 API_KEYS，/api 一律返回 401");
        }
        Ok(Self {
            address,
            simulator,
            stop_schedule,
            schedule,
            stop_worker,
            worker_runs,
            worker,
            stop_gateway,
            gateway,
            _table: table,
            _data: data,
        })
    }

    /// Checks that the options fit together.
    pub(crate) fn check_addresses(options: &Options) -> Result<(), LocalError> {
        if let Some(platform) = &options.wechat {
            return if options::is_platform(platform) {
                Ok(())
            } else {
                Err(LocalError::Platform)
            };
        }
        if !options.listen.is_loopback() {
            return Err(LocalError::SimulatorElsewhere(options.listen));
        }
        match options.port {
            u16::MAX => Err(LocalError::NoPortForSimulator),
            _ => Ok(()),
        }
    }

    /// Reads the settings as a start does, and starts nothing.
    pub(crate) async fn settings(options: &Options) -> Result<Configs, LocalError> {
        Self::check_addresses(options)?;
        let environment = match options.wechat {
            Some(_) => {
                let address = SocketAddr::new(options.listen, options.port);
                account::environment(options, address, None, &Environment::process()).await?
            }
            None => account::stand_in(options),
        };
        let configs = Configs::read(&environment)?;
        check_keys(&configs, options)?;
        Ok(configs)
    }

    /// The gateway's URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The simulated platform's URL, if there is one.
    #[must_use]
    pub fn simulator_url(&self) -> Option<String> {
        self.simulator.as_ref().map(Simulator::base_url)
    }

    /// Takes no further request, waits at most `grace` for the requests and the sends in flight, and stops everything.
    pub async fn stop(self, grace: Duration) {
        tracing::info!("stopping / 正在停止");
        let _ = self.stop_schedule.send(());
        self.worker.finish();
        // An error means that the gateway has already ended.
        let _ = self.stop_gateway.send(());
        let ended = async {
            let _ = tokio::join!(self.gateway, self.schedule);
            // Only then: the last requests still hand over what the worker has to do.
            let _ = self.stop_worker.send(());
            let _ = self.worker_runs.await;
            // What was in flight may have called it.
            if let Some(simulator) = self.simulator {
                simulator.shutdown().await;
            }
        };
        if timeout(grace, ended).await.is_err() {
            tracing::warn!("what was still in flight is cut / 仍在进行中的请求已被中断");
        }
        let lost = self.worker.waiting();
        if lost > 0 {
            tracing::error!(
                lost,
                "callbacks still waited for a retry: receipts and events that no attempt has stored are lost \
                 / 部分回调仍在等待重试，尚未写入的回执与事件将丢失"
            );
        }
    }
}

/// Checks that a gateway for other machines has keys.
fn check_keys(configs: &Configs, options: &Options) -> Result<(), LocalError> {
    if configs.caller.api_keys.is_empty() && !options.listen.is_loopback() {
        return Err(LocalError::NoApiKeys(options.listen));
    }
    Ok(())
}

async fn listen(ip: IpAddr, port: u16) -> Result<(TcpListener, SocketAddr), LocalError> {
    let address = SocketAddr::new(ip, port);
    let failed = |source| LocalError::Port { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Starts the simulator on the port after the gateway's, or on any free port when `--port` is 0.
async fn start_simulator(
    options: &Options,
    gateway: SocketAddr,
    table: &Client,
    activity: &Activity,
) -> Result<Simulator, LocalError> {
    let port = match options.port {
        0 => 0,
        port => port.checked_add(1).ok_or(LocalError::NoPortForSimulator)?,
    };
    let (listener, _) = listen(Ipv4Addr::LOCALHOST.into(), port).await?;
    let stored = stored_account::simulated(table).await?;
    let is_new = stored.is_none();
    let settings = Settings {
        account: stored,
        mode: options.mode.unwrap_or_default().into(),
        callback_url: Some(format!("http://{gateway}/webhook")),
        observer: Some(console::observer(activity)),
        ..Settings::default()
    };
    let simulator = Simulator::start(listener, settings).map_err(LocalError::Simulator)?;
    if is_new {
        stored_account::keep(table, simulator.account()).await?;
    }
    stored_account::forget_ticket(table, &simulator.account().app_id).await?;
    Ok(simulator)
}

async fn functions(
    configs: Configs,
    table: &EmbeddedTable,
) -> Result<(Functions, Arc<token_refresher::App>), LocalError> {
    let Configs {
        refresher,
        webhook,
        worker,
        caller,
        users,
        admin,
    } = configs;
    let event_bus = match &webhook.event_bus {
        None => None,
        Some(name) => {
            let sdk = account::aws_sdk("EVENT_BUS_NAME")?;
            Some(EventBus::new(&sdk, name))
        }
    };
    let clock = Arc::new(SystemClock);
    let dynamodb = table.client();
    let refresher = Arc::new(token_refresher::App::new(refresher, dynamodb.clone(), clock.clone())?);
    let port = Arc::new(InProcessRefresher::new(Arc::clone(&refresher)));
    let worker = ::worker::App::new(
        worker,
        dynamodb.clone(),
        event_bus.clone(),
        Some(port.clone()),
        clock.clone(),
    )?;
    let worker = Arc::new(InProcessWorker::new(worker));
    let functions = Functions {
        webhook: webhook::App::new(
            webhook,
            dynamodb.clone(),
            event_bus,
            Some(worker.clone()),
            clock.clone(),
        ),
        worker,
        send_template: send_template::App::new(caller.clone(), dynamodb.clone(), port.clone(), clock.clone())?,
        relay: relay::App::new(caller, dynamodb.clone(), port.clone(), clock.clone())?,
        users: users::App::new(users, dynamodb.clone(), port.clone(), clock.clone())?,
        admin: admin::App::new(admin, dynamodb, port, clock)?,
    };
    Ok((functions, refresher))
}
