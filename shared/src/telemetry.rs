//! Logs: JSON lines with a timestamp, as CloudWatch and its level filter need them.

use std::{error::Error, process::ExitCode};

use tracing_subscriber::{EnvFilter, fmt};

/// What is logged unless `AWS_LAMBDA_LOG_LEVEL` says otherwise. HTTP libraries log headers at `debug`.
const QUIET_LIBRARIES: &str = "hyper=warn,aws=warn,h2=warn,rustls=warn";

/// Starts logging for a Lambda function, at the level of `AWS_LAMBDA_LOG_LEVEL` (default `INFO`). `RUST_LOG` is not
/// read: it would silently win over the level that the function's configuration shows.
pub fn init() {
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL")
        .unwrap_or_else(|_| "info".to_owned())
        .to_lowercase();
    let filter = EnvFilter::try_new(format!("{level},{QUIET_LIBRARIES}"))
        .unwrap_or_else(|_| EnvFilter::new(format!("info,{QUIET_LIBRARIES}")));
    fmt()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_ansi(false)
        .with_env_filter(filter)
        .init();
}

/// Logs why the process cannot start, and ends it.
#[must_use]
pub fn cannot_start(error: &(dyn Error + 'static)) -> ExitCode {
    tracing::error!(%error, "cannot start");
    ExitCode::FAILURE
}
