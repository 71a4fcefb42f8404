//! `cargo run -p local`: the whole bundle on this machine.

use std::process::ExitCode;

use clap::Parser;
use local::{Local, Options};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(EnvFilter::new("info,hyper=warn,aws=warn,dynoxide=warn"))
        .init();
    match Local::start(&options).await {
        Ok(local) => {
            announce(&local);
            stop_requested().await;
            local.stop().await;
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The one line on standard output: scripts wait for it.
#[expect(clippy::print_stdout, reason = "this line is the program's output")]
fn announce(local: &Local) {
    if let Some(simulator) = local.simulator_url() {
        tracing::info!(
            "simulated WeChat platform: {simulator}, API key: {}",
            local::SIMULATED_API_KEY
        );
    }
    println!("ready {}", local.url());
}

/// Waits for Ctrl-C or SIGTERM.
async fn stop_requested() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
