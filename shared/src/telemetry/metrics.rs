//! Metrics in CloudWatch's embedded metric format (EMF), or for a collector in this process.

use std::{fmt::Debug, io::Write as _, sync::OnceLock};

use serde::Serialize;

use super::{Stdout, object::Object};

/// The namespace of every metric.
const NAMESPACE: &str = "WechatBundle";

/// The dimension of every metric. It separates several stacks in one AWS account, which share the namespace.
const FUNCTION_NAME: &str = "FunctionName";

/// The function's name. Set only in a Lambda function, because only CloudWatch reads metric lines.
static FUNCTION: OnceLock<String> = OnceLock::new();

/// The collector of a process outside Lambda.
static COLLECTOR: OnceLock<Box<dyn Collector>> = OnceLock::new();

/// Takes metrics in place of CloudWatch.
pub trait Collector: Debug + Send + Sync {
    /// Takes one value, with its dimension if it has one.
    fn take(&self, metric: Metric, dimension: Option<(&'static str, &str)>);
}

/// Hands all metrics of this process to `collector` from now on. The first collector stays.
pub fn collect(collector: impl Collector + 'static) {
    let _ = COLLECTOR.set(Box::new(collector));
}

/// The unit of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// A number of events.
    Count,
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
}

/// One value of one metric. Serializes as the definition in the EMF metadata; the value is a separate member of the line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Metric {
    /// The name of the metric.
    pub name: &'static str,
    /// The unit of the value.
    pub unit: Unit,
    /// The value in this unit.
    #[serde(skip)]
    pub value: f64,
    /// Whether the value is a level that replaces the last one, not an event to add.
    #[serde(skip)]
    pub is_level: bool,
}

impl Metric {
    /// Counts one event.
    #[must_use]
    pub const fn count(name: &'static str) -> Self {
        Self {
            name,
            unit: Unit::Count,
            value: 1.0,
            is_level: false,
        }
    }

    /// Counts `events` events.
    #[must_use]
    pub const fn counted(name: &'static str, events: usize) -> Self {
        Self {
            name,
            unit: Unit::Count,
            value: events as f64,
            is_level: false,
        }
    }

    /// A level: how much there is now.
    #[must_use]
    pub const fn level(name: &'static str, unit: Unit, value: i64) -> Self {
        Self {
            name,
            unit,
            value: value as f64,
            is_level: true,
        }
    }

    /// A duration in milliseconds.
    #[must_use]
    pub const fn millis(name: &'static str, millis: i64) -> Self {
        Self {
            name,
            unit: Unit::Milliseconds,
            value: millis as f64,
            is_level: false,
        }
    }
}

/// Metrics with one dimension in common next to the function's name, or with none. The values of a dimension must come from a
/// small set, because CloudWatch charges for each; they must never be a secret, an openid or a text.
#[derive(Clone, Copy, Debug)]
pub struct MetricGroup<'a> {
    /// Name and value of the dimension.
    pub dimension: Option<(&'static str, &'a str)>,
    /// The metrics. An empty group is skipped.
    pub metrics: &'a [Metric],
}

/// Emits `metrics` with `dimension` and the function's name. Does nothing outside a Lambda function without a collector.
pub fn emit(metrics: &[Metric], dimension: Option<(&'static str, &str)>, now_millis: i64) {
    emit_groups(&[MetricGroup { dimension, metrics }], now_millis);
}

/// Emits all `groups` in one line, which is cheaper to write and to store than one line each. No two groups may have the same
/// dimension or a metric of the same name. Does nothing outside a Lambda function without a collector.
pub fn emit_groups(groups: &[MetricGroup<'_>], now_millis: i64) {
    if let Some(collector) = COLLECTOR.get() {
        for group in groups {
            for metric in group.metrics {
                collector.take(*metric, group.dimension);
            }
        }
    }
    let line = FUNCTION.get().and_then(|function| line(function, groups, now_millis));
    if let Some(line) = line {
        // A metric that cannot be written must not fail the request.
        let _ = Stdout.write_all(&line);
    }
}

/// Starts emitting the metrics of `function`.
pub(super) fn start(function: String) {
    // A process has one function name: a second start keeps the first.
    let _ = FUNCTION.set(function);
}

/// The line of `groups`; `None` when all groups are empty.
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
    fn no_metrics_make_no_line() {
        let empty = MetricGroup {
            dimension: Some(("Type", "text")),
            metrics: &[],
        };
        assert_eq!(line("webhook", &[empty], 0), None);
    }
}
