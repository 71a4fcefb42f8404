//! Logs as JSON lines with a timestamp, as CloudWatch and its level filter need them, and metrics in CloudWatch's
//! embedded metric format (EMF): a log line that becomes metrics, without a call and without a dependency.

use std::{error::Error, future::Future, io::Write as _, process::ExitCode, sync::OnceLock};

use serde_json::{Map, Value, json};
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// What libraries log, whatever `AWS_LAMBDA_LOG_LEVEL` says: HTTP libraries log headers at `debug`, the runtime whole
/// events at `trace`, and the runtime's span, which puts the request id into every line, has the level `info`.
const LIBRARIES: &str =
    "hyper=warn,aws=warn,h2=warn,rustls=warn,lambda_http=info,lambda_runtime=warn,lambda_runtime::layers::trace=info";
/// The namespace of every metric.
const NAMESPACE: &str = "WechatBundle";

/// Dimension of every metric: several stacks may share an account, and so the namespace.
const FUNCTION_NAME: &str = "FunctionName";

/// The function's name, set once logs go to CloudWatch: elsewhere metric lines would only be noise.
static EMITS_METRICS_OF: OnceLock<String> = OnceLock::new();

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
    let lines = fmt::layer()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_ansi(false)
        .with_filter(filter());
    tracing_subscriber::registry().with(lines).init();
    if let Ok(function) = std::env::var("AWS_LAMBDA_FUNCTION_NAME") {
        // A second start of logging would have panicked above.
        let _ = EMITS_METRICS_OF.set(function);
    }
}

/// Runs a Lambda function from its start to its end: logging first, and a line that says why when it cannot start.
pub async fn run(function: impl Future<Output = Result<(), Box<dyn Error + Send + Sync>>>) -> ExitCode {
    init();
    match function.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "cannot start");
            ExitCode::FAILURE
        }
    }
}

/// What a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things that happened.
    Count,
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
}

/// One value of one metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// Its name, the same wherever it is emitted.
    pub name: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// How much.
    pub value: f64,
}

impl Metric {
    /// One thing that happened.
    #[must_use]
    pub const fn count(name: &'static str) -> Self {
        Self {
            name,
            unit: Unit::Count,
            value: 1.0,
        }
    }

    /// A duration in milliseconds.
    #[must_use]
    pub const fn millis(name: &'static str, millis: i64) -> Self {
        Self {
            name,
            unit: Unit::Milliseconds,
            value: millis as f64,
        }
    }
}

/// Emits `metrics` with `dimensions` and the function's name, when the process runs as a Lambda function. Dimensions must
/// be few and their values from a small set: CloudWatch charges for each combination. Never a secret, an openid or a text.
pub fn emit(metrics: &[Metric], dimensions: &[(&str, &str)], now_millis: i64) {
    if let Some(function) = EMITS_METRICS_OF.get() {
        let dimensions = [&[(FUNCTION_NAME, function.as_str())], dimensions].concat();
        let line = format!("{}\n", embedded_metric(metrics, &dimensions, now_millis));
        // A metric that cannot be written must not fail the request that it counts.
        let _ = std::io::stdout().write_all(line.as_bytes());
    }
}

fn embedded_metric(metrics: &[Metric], dimensions: &[(&str, &str)], now_millis: i64) -> Value {
    let names: Vec<&str> = dimensions.iter().map(|(name, _)| *name).collect();
    let directives: Vec<Value> = metrics
        .iter()
        .map(|metric| json!({"Name": metric.name, "Unit": format!("{:?}", metric.unit)}))
        .collect();
    let mut line = Map::new();
    line.insert(
        "_aws".to_owned(),
        json!({
            "Timestamp": now_millis,
            "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": [names], "Metrics": directives}],
        }),
    );
    line.extend(
        dimensions
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value))),
    );
    line.extend(
        metrics
            .iter()
            .map(|metric| (metric.name.to_owned(), json!(metric.value))),
    );
    Value::Object(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_line_is_what_cloudwatch_reads() {
        let metrics = [Metric::count("Callbacks"), Metric::millis("ReplyLatency", 7)];
        assert_eq!(
            embedded_metric(&metrics, &[("Type", "text")], 1_767_225_600_000),
            json!({
                "_aws": {"Timestamp": 1_767_225_600_000_i64, "CloudWatchMetrics": [{
                    "Namespace": "WechatBundle",
                    "Dimensions": [["Type"]],
                    "Metrics": [
                        {"Name": "Callbacks", "Unit": "Count"},
                        {"Name": "ReplyLatency", "Unit": "Milliseconds"},
                    ],
                }]},
                "Type": "text",
                "Callbacks": 1.0,
                "ReplyLatency": 7.0,
            })
        );
    }
}
