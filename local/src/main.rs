//! `cargo run -p local`: the whole bundle on this machine.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use local::{CommandError, Local, LogFormat, Options, Outcome, SIMULATED_API_KEY};
#[cfg(unix)]
use tokio::signal::unix;
use tracing_subscriber::{Layer as _, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};
use wechat::telemetry::{self, JsonLines};

/// The exit code for a command line that cannot be used.
const USAGE: u8 = 2;
/// How long what is in flight may take when somebody at the terminal stops the program, or a simulated run is stopped.
const SHORT_GRACE: Duration = Duration::from_secs(3);
/// How long it may take when a service manager stops a real account's run: as long as an API request takes at most.
const LONG_GRACE: Duration = Duration::from_secs(25);

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) if error.use_stderr() => {
            eprintln!("{}", one_line(&error));
            return ExitCode::from(USAGE);
        }
        Err(help) => {
            // The reader may have closed the pipe.
            let _ = help.print();
            return ExitCode::SUCCESS;
        }
    };
    if options.check || options.command.is_some() {
        return command(&options).await;
    }
    start_logging(options.log);
    // First: as process 1 of a container the program would not notice a SIGTERM that comes before the handlers.
    let mut signals = StopSignals::install();
    let started = tokio::select! {
        started = Local::start(&options) => started,
        _ = signals.next() => return ExitCode::SUCCESS,
    };
    match started {
        Ok(local) => {
            announce(&local, &options);
            let is_patient = signals.next().await == Signal::Terminate && options.wechat.is_some();
            let grace = if is_patient { LONG_GRACE } else { SHORT_GRACE };
            tokio::select! {
                () = local.stop(grace) => {}
                _ = signals.next() => tracing::warn!("stopped at once by a second signal / 收到第二个信号，立即停止"),
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!("{error}");
            failure(error.is_usage())
        }
    }
}

/// Does what the command line asks for in place of a run.
async fn command(options: &Options) -> ExitCode {
    let ended = match &options.command {
        Some(_) if options.check => Err(CommandError::Usage(
            "--check is for a run, not for a command / --check 不能与命令同用",
        )),
        Some(command) => local::run(command, options).await,
        None => local::check(options).await,
    };
    match ended {
        Ok(Outcome { text, is_good }) => {
            // The reader may have closed the pipe.
            let _ = writeln!(io::stdout(), "{text}");
            if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("{error}");
            failure(error.is_usage())
        }
    }
}

/// The exit code of a failure, by whether the command line is the cause.
fn failure(is_usage: bool) -> ExitCode {
    if is_usage {
        ExitCode::from(USAGE)
    } else {
        ExitCode::FAILURE
    }
}

/// The error and clap's tip on one line, without the usage text.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let said = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("Usage:") && !line.starts_with("For more information"));
    let said: Vec<_> = said.collect();
    format!("{} (--help explains all / 用法见 --help)", said.join(" "))
}

/// Logs to standard error: standard output is for the one line that scripts wait for.
fn start_logging(format: LogFormat) {
    let lines = match format {
        LogFormat::Text => {
            let lines = fmt::layer().with_writer(io::stderr).with_ansi(false);
            lines.with_target(false).boxed()
        }
        LogFormat::Json => JsonLines::new(io::stderr).boxed(),
    };
    tracing_subscriber::registry()
        .with(telemetry::filter())
        .with(lines)
        .init();
}

fn announce(local: &Local, options: &Options) {
    let url = local.url();
    match local.simulator_url() {
        Some(simulator) => {
            tracing::info!(
                "simulated WeChat platform: {simulator}, API key: {SIMULATED_API_KEY} / 模拟的微信平台与 API 密钥"
            );
            if std::env::var_os("WECHAT_APP_ID").is_some() {
                tracing::warn!(
                    "WECHAT_APP_ID is not used by a simulated run: add --wechat https://api.weixin.qq.com to serve that account \
                     / 模拟运行不使用 WECHAT_APP_ID；要接入该账号请加 --wechat https://api.weixin.qq.com"
                );
            }
        }
        None => tracing::info!(
            "real account: WeChat must reach {url}/webhook through a public HTTPS address / 真实账号：微信需能经公网 HTTPS 访问该地址"
        ),
    }
    match &options.data {
        Some(folder) => tracing::info!("data is kept in {} / 数据保存在该目录", folder.display()),
        None => tracing::info!("nothing is kept; --data DIR keeps it / 不保存数据，可用 --data 指定目录"),
    }
    // The bundle serves even when nobody reads standard output.
    let _ = writeln!(io::stdout(), "ready {url}");
}

/// What asks the program to stop.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM, from a service manager.
    Terminate,
}

/// The handlers of Ctrl-C and SIGTERM.
struct StopSignals {
    #[cfg(unix)]
    handlers: Option<(unix::Signal, unix::Signal)>,
}

impl StopSignals {
    /// Installs the handlers.
    fn install() -> Self {
        Self {
            #[cfg(unix)]
            handlers: unix::signal(unix::SignalKind::interrupt())
                .and_then(|interrupt| Ok((interrupt, unix::signal(unix::SignalKind::terminate())?)))
                .ok(),
        }
    }

    /// Waits for a signal.
    async fn next(&mut self) -> Signal {
        #[cfg(unix)]
        if let Some((interrupt, terminate)) = &mut self.handlers {
            return tokio::select! {
                _ = interrupt.recv() => Signal::Interrupt,
                _ = terminate.recv() => Signal::Terminate,
            };
        }
        let _ = tokio::signal::ctrl_c().await;
        Signal::Interrupt
    }
}
