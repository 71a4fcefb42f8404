//! Logs as JSON lines with a timestamp, as CloudWatch and its level filter need them, and metrics in CloudWatch's
//! embedded metric format (EMF): a log line that becomes metrics, without a call and without a dependency.

use std::{
    cell::RefCell,
    error::Error,
    future::Future,
    io::{self, Write as _},
    process::ExitCode,
    sync::OnceLock,
};

use serde::{Serialize, Serializer, ser::SerializeMap as _};
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

thread_local! {
    /// The lines of [`at_once`].
    static HELD: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Dimension of every metric: several stacks may share an account, and so the namespace.
const FUNCTION_NAME: &str = "FunctionName";

/// Bytes that most lines stay below.
const LINE_CAPACITY: usize = 512;

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
        .with_writer(|| Stdout)
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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

/// Metrics that share a dimension besides the function's name, or have none. Its values must be from a small set: CloudWatch
/// charges for each combination. Never a secret, an openid or a text.
#[derive(Clone, Copy, Debug)]
pub struct MetricGroup<'a> {
    /// Name and value.
    pub dimension: Option<(&'static str, &'a str)>,
    /// The metrics; a group without any is left out.
    pub metrics: &'a [Metric],
}

/// Emits `metrics` with `dimension` and the function's name, when the process runs as a Lambda function.
pub fn emit(metrics: &[Metric], dimension: Option<(&'static str, &str)>, now_millis: i64) {
    emit_groups(&[MetricGroup { dimension, metrics }], now_millis);
}

/// Emits all of `groups` in one line, which costs less to write and to keep than one for each. No two may have the same
/// dimension or a metric of the same name.
pub fn emit_groups(groups: &[MetricGroup<'_>], now_millis: i64) {
    let Some(function) = EMITS_METRICS_OF.get() else {
        return;
    };
    let line = MetricLine {
        function,
        groups,
        now_millis,
    };
    if line.told().next().is_none() {
        return;
    }
    let mut json = Vec::with_capacity(LINE_CAPACITY);
    // A metric that cannot be written must not fail the request that it counts.
    if serde_json::to_writer(&mut json, &line).is_ok() {
        json.push(b'\n');
        let _ = Stdout.write_all(&json);
    }
}

/// Writes all lines of `tell` at once. Each write to a pipe wakes its reader, which costs more than making the line.
pub fn at_once(tell: impl FnOnce()) {
    HELD.set(Some(Vec::with_capacity(2 * LINE_CAPACITY)));
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

/// One line of metrics. It is written straight from these parts: a tree of JSON values in between took a seventh of the
/// instructions of a reply.
struct MetricLine<'a> {
    function: &'a str,
    groups: &'a [MetricGroup<'a>],
    now_millis: i64,
}

impl MetricLine<'_> {
    fn told(&self) -> impl Iterator<Item = &MetricGroup<'_>> {
        self.groups.iter().filter(|group| !group.metrics.is_empty())
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata<'a> {
    timestamp: i64,
    cloud_watch_metrics: Vec<Directive<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive<'a> {
    namespace: &'a str,
    dimensions: [Vec<&'a str>; 1],
    metrics: Vec<Definition<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Definition<'a> {
    name: &'a str,
    unit: Unit,
}

fn directive<'a>(group: &MetricGroup<'a>) -> Directive<'a> {
    let definition = |metric: &Metric| Definition {
        name: metric.name,
        unit: metric.unit,
    };
    let dimension = group.dimension.map(|(name, _)| name);
    Directive {
        namespace: NAMESPACE,
        dimensions: [[FUNCTION_NAME].into_iter().chain(dimension).collect()],
        metrics: group.metrics.iter().map(definition).collect(),
    }
}

impl Serialize for MetricLine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let metadata = Metadata {
            timestamp: self.now_millis,
            cloud_watch_metrics: self.told().map(directive).collect(),
        };
        let mut line = serializer.serialize_map(None)?;
        line.serialize_entry("_aws", &metadata)?;
        line.serialize_entry(FUNCTION_NAME, self.function)?;
        for group in self.told() {
            if let Some((name, value)) = &group.dimension {
                line.serialize_entry(name, value)?;
            }
            for metric in group.metrics {
                line.serialize_entry(metric.name, &metric.value)?;
            }
        }
        line.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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

    #[test]
    fn a_line_of_metrics_is_what_cloudwatch_reads() {
        let groups = [
            MetricGroup {
                dimension: None,
                metrics: &[Metric::millis("ReplyLatency", 7), Metric::count("Duplicates")],
            },
            MetricGroup {
                dimension: Some(("Type", "text")),
                metrics: &[Metric::count("Callbacks")],
            },
            MetricGroup {
                dimension: Some(("Status", "Failed")),
                metrics: &[],
            },
        ];
        let line = MetricLine {
            function: "webhook",
            groups: &groups,
            now_millis: 1_767_225_600_000,
        };
        assert_eq!(
            serde_json::to_value(line).unwrap(),
            json!({
                "_aws": {"Timestamp": 1_767_225_600_000_i64, "CloudWatchMetrics": [
                    {
                        "Namespace": "WechatBundle",
                        "Dimensions": [["FunctionName"]],
                        "Metrics": [
                            {"Name": "ReplyLatency", "Unit": "Milliseconds"},
                            {"Name": "Duplicates", "Unit": "Count"},
                        ],
                    },
                    {
                        "Namespace": "WechatBundle",
                        "Dimensions": [["FunctionName", "Type"]],
                        "Metrics": [{"Name": "Callbacks", "Unit": "Count"}],
                    },
                ]},
                "FunctionName": "webhook",
                "ReplyLatency": 7.0,
                "Duplicates": 1.0,
                "Type": "text",
                "Callbacks": 1.0,
            })
        );
    }
}
