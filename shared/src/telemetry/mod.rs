//! Logs as JSON lines with a timestamp, as CloudWatch and its level filter need them, and metrics in CloudWatch's
//! embedded metric format (EMF): a log line that becomes metrics, without a call and without a dependency.

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
    metrics::{Metric, MetricGroup, Unit, emit, emit_groups},
};

/// What libraries log, whatever `AWS_LAMBDA_LOG_LEVEL` says: HTTP libraries log headers at `debug`, the runtime whole
/// events at `trace`, and the runtime's span, which puts the request id into every line, has the level `info`.
const LIBRARIES: &str =
    "hyper=warn,aws=warn,h2=warn,rustls=warn,lambda_runtime=warn,lambda_runtime::layers::trace=info";

thread_local! {
    /// The lines of [`at_once`].
    static HELD: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// What is logged: all at the level of `AWS_LAMBDA_LOG_LEVEL`, `info` when it names none that is known, and of libraries
/// less. `RUST_LOG` is not read: it would silently win over the level that the function's configuration shows.
#[must_use]
pub fn filter() -> Targets {
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL").ok();
    // The parser takes an empty name for ERROR.
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

/// Runs a Lambda function from its start to its end: logging first, and a line that says why when it ends by itself.
///
/// As a task of Tokio's local runtime: whoever wakes the runtime's main future has it look for I/O first, which is a system
/// call more for each answer of the Runtime API.
///
/// # Panics
/// Outside of a local runtime: `#[tokio::main(flavor = "local")]`.
pub async fn run(function: impl Future<Output = Result<(), Box<dyn Error + Send + Sync>>> + 'static) -> ExitCode {
    init();
    let ended = tokio::task::spawn_local(function).await;
    match ended.unwrap_or_else(|panic| Err(panic.into())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "cannot run");
            ExitCode::FAILURE
        }
    }
}

/// Writes all lines of `tell` at once. Each write to a pipe wakes its reader, which costs more than making the line.
pub fn at_once(tell: impl FnOnce()) {
    HELD.set(Some(Vec::with_capacity(2 * object::LINE_CAPACITY)));
    // Written even when `tell` panics: its lines may say why.
    let _written = Release;
    tell();
}

struct Release;

impl Drop for Release {
    fn drop(&mut self) {
        if let Some(lines) = HELD.take() {
            let _ = io::stdout().write_all(&lines);
        }
    }
}

/// Standard output, unless its lines are held for [`at_once`].
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
    fn lines_are_held_until_all_are_told() {
        at_once(|| {
            Stdout.write_all(b"one\n").unwrap();
            Stdout.write_all(b"two\n").unwrap();
            HELD.with_borrow(|held| assert_eq!(held.as_deref(), Some(b"one\ntwo\n".as_slice())));
        });
        assert!(HELD.take().is_none(), "later lines are written by themselves");
    }
}
