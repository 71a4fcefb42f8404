//! Metrics in CloudWatch's embedded metric format.

use std::{io::Write as _, sync::OnceLock};

use serde::Serialize;

use super::{Stdout, object::Object};

/// The namespace of every metric.
const NAMESPACE: &str = "WechatBundle";

/// Dimension of every metric: several stacks may share an account, and so the namespace.
const FUNCTION_NAME: &str = "FunctionName";

/// The function's name, set once logs go to CloudWatch: elsewhere metric lines would only be noise.
static FUNCTION: OnceLock<String> = OnceLock::new();

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

/// One value of one metric. Serialized, it is the definition that the format wants: the value stands elsewhere in the line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Metric {
    /// Its name, the same wherever it is emitted.
    pub name: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// How much.
    #[serde(skip)]
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
    let line = FUNCTION.get().and_then(|function| line(function, groups, now_millis));
    if let Some(line) = line {
        // A metric that cannot be written must not fail the request that it counts.
        let _ = Stdout.write_all(&line);
    }
}

/// Starts emitting the metrics of `function`.
pub(super) fn start(function: String) {
    // Of a second start, the first name counts: a process has one.
    let _ = FUNCTION.set(function);
}

/// The line of `groups`, unless none has a metric.
fn line(function: &str, groups: &[MetricGroup<'_>], now_millis: i64) -> Option<Vec<u8>> {
    let groups = || groups.iter().filter(|group| !group.metrics.is_empty());
    groups().next()?;
    let metadata = Metadata {
        timestamp: now_millis,
        cloud_watch_metrics: groups().map(directive).collect(),
    };
    let mut line = Object::new();
    line.member("_aws", &metadata);
    line.member(FUNCTION_NAME, function);
    for group in groups() {
        if let Some((name, value)) = group.dimension {
            line.member(name, value);
        }
        for metric in group.metrics {
            line.member(metric.name, &metric.value);
        }
    }
    Some(line.into_line())
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
    dimensions: [DimensionSet; 1],
    metrics: &'a [Metric],
}

#[derive(Serialize)]
#[serde(untagged)]
enum DimensionSet {
    Function([&'static str; 1]),
    FunctionAnd([&'static str; 2]),
}

fn directive<'a>(group: &MetricGroup<'a>) -> Directive<'a> {
    let dimensions = match group.dimension {
        None => DimensionSet::Function([FUNCTION_NAME]),
        Some((name, _)) => DimensionSet::FunctionAnd([FUNCTION_NAME, name]),
    };
    Directive {
        namespace: NAMESPACE,
        dimensions: [dimensions],
        metrics: group.metrics,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

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
        let line = line("webhook", &groups, 1_767_225_600_000).unwrap();
        assert!(line.ends_with(b"}\n"));
        assert_eq!(
            serde_json::from_slice::<Value>(&line).unwrap(),
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

    #[test]
    fn nothing_counted_is_no_line() {
        let empty = MetricGroup {
            dimension: Some(("Type", "text")),
            metrics: &[],
        };
        assert_eq!(line("webhook", &[empty], 0), None);
    }
}
