//! Logs and metrics of the functions.
//!
//! Logs are JSON lines with timestamp and level, as CloudWatch's level filter needs them. Metrics are log lines in
//! CloudWatch's embedded metric format (EMF): CloudWatch turns them into metrics, so they need no call.
//!
//! [`at_once`] and the files `lines.rs` and `object.rs` exist to save microseconds per request.

mod lines;
mod metrics;
mod object;

use std::{
    cell::RefCell,
    error::Error,
    future::Future,
    io::{self, Write as _},
    process::ExitCode,
};

use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

pub use self::{
    lines::JsonLines,
    metrics::{Collector, Metric, MetricGroup, Unit, collect, emit, emit_groups},
};

/// The log levels of libraries, independent of `AWS_LAMBDA_LOG_LEVEL`: HTTP libraries log headers at `debug`, and the Lambda
/// runtime logs whole events at `trace`. The runtime's span at `info` puts the request id into every line.
const LIBRARIES: &str =
    "hyper=warn,hyper_util=error,aws=warn,h2=warn,rustls=warn,lambda_runtime=warn,lambda_runtime::layers::trace=info";

thread_local! {
    /// The lines that [`at_once`] has collected so far.
    static HELD: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// The log filter: our crates at `AWS_LAMBDA_LOG_LEVEL` (`info` when unset or unknown), libraries quieter. Ignores `RUST_LOG`,
/// which would silently override the level that the function's configuration shows.
#[must_use]
pub fn filter() -> Targets {
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL").ok();
    // The parser reads an empty name as ERROR.
    let level = level
        .filter(|level| !level.is_empty())
        .and_then(|level| level.parse().ok());
    let libraries: Targets = LIBRARIES.parse().unwrap_or_default();
    libraries.with_default(level.unwrap_or(LevelFilter::INFO))
}

/// Starts logging for a Lambda function.
fn init() {
    tracing_subscriber::registry()
        .with(filter())
        .with(JsonLines::new(|| Stdout))
        .init();
    if let Ok(function) = std::env::var("AWS_LAMBDA_FUNCTION_NAME") {
        metrics::start(function);
    }
}

/// Starts logging, then runs a Lambda function until it ends, and logs the error with which it ends.
///
/// The function runs as a spawned task of Tokio's local runtime to save microseconds: waking the runtime's main future costs
/// one more system call, the poll for I/O, for each answer of the Runtime API.
///
/// # Panics
/// Outside a local runtime (`#[tokio::main(flavor = "local")]`).
pub async fn run(function: impl Future<Output = Result<(), Box<dyn Error + Send + Sync>>> + 'static) -> ExitCode {
    init();
    let ended = tokio::task::spawn_local(function).await;
    match ended.unwrap_or_else(|panic| Err(panic.into())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the function cannot run / 函数无法运行");
            ExitCode::FAILURE
        }
    }
}

/// Writes all lines that `log` logs in one write. This saves microseconds: each write to a pipe wakes the reader, which costs
/// more than making the line.
pub fn at_once(log: impl FnOnce()) {
    HELD.set(Some(Vec::with_capacity(2 * object::LINE_CAPACITY)));
    // Writes the lines also when `log` panics: they may say why.
    let _written = Release;
    log();
}

struct Release;

impl Drop for Release {
    fn drop(&mut self) {
        if let Some(lines) = HELD.take() {
            let _ = io::stdout().write_all(&lines);
        }
    }
}

/// Standard output, or the lines of [`at_once`] while it runs.
struct Stdout;

impl io::Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        HELD.with_borrow_mut(|held| match held {
            Some(lines) => {
                lines.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            None => io::stdout().write(bytes),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_held_until_all_are_logged() {
        at_once(|| {
            Stdout.write_all(b"one\n").unwrap();
            Stdout.write_all(b"two\n").unwrap();
            HELD.with_borrow(|held| assert_eq!(held.as_deref(), Some(b"one\ntwo\n".as_slice())));
        });
        assert!(HELD.take().is_none(), "later lines are written by themselves");
    }
}
