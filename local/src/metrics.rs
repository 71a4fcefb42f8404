//! The metrics of this process, which in AWS go to CloudWatch, as text for Prometheus.
//!
//! See [Prometheus/Exposition formats](https://prometheus.io/docs/instrumenting/exposition_formats/).

use std::{collections::HashMap, sync::Mutex};

use prometheus::{Encoder as _, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder};
use wechat::{
    lock::lock,
    telemetry::{self, Collector, Metric, Unit},
};

/// The beginning of every name.
const PREFIX: &str = "wechat_bundle";
/// Seconds. The bounds of the latency histograms: WeChat waits 5 s for a reply.
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What each metric says.
const HELP: [(&str, &str); 27] = [
    (
        "BadSignatures",
        "Callbacks that were refused: not signed with the Token",
    ),
    ("Callbacks", "Callbacks of WeChat by type"),
    ("CampaignStops", "Campaigns that stopped by themselves"),
    ("DeadForwards", "Callbacks that own code will not be asked for again"),
    ("Deliveries", "Receipts of WeChat by what became of the message"),
    ("Duplicates", "Callbacks that WeChat delivered again"),
    ("ExchangeFailures", "Web logins whose code WeChat did not exchange"),
    (
        "ForcedRefreshes",
        "Tokens that were replaced because WeChat refused them",
    ),
    (
        "ForwardsFailed",
        "Callbacks that WeChat delivers again: own code did not take them, and they could not be kept",
    ),
    (
        "ForwardsKept",
        "Callbacks that are kept for another attempt at own code",
    ),
    ("ForwardsTaken", "Callbacks that own code took at once"),
    (
        "ForwardsWithoutUrl",
        "Runs that found callbacks for own code without FORWARD_URL",
    ),
    ("HandedOver", "Callbacks whose effects the worker took over"),
    ("LateEffects", "Effects that the worker carried out"),
    ("LostEffects", "Effects that nobody will carry out"),
    (
        "LostReplies",
        "Further replies that were not sent: not handed over, or too late",
    ),
    ("Refreshes", "Tokens that WeChat gave"),
    ("ReplyLatency", "From a callback to its answer"),
    ("Sends", "Messages by outcome"),
    ("TicketFailures", "Tickets of the JS-SDK that WeChat did not give"),
    ("TicketRefreshes", "Tickets of the JS-SDK that WeChat gave"),
    ("TokenLifeSeconds", "How long the access_token still lives"),
    ("Unreadable", "Callbacks that are signed and cannot be read"),
    ("WaitingForwards", "Callbacks that wait for own code"),
    ("WechatErrcodes", "Refusals of WeChat by class"),
    ("WechatLatency", "From a call to WeChat to its answer"),
    (
        "WhitelistDenied",
        "Calls that WeChat refused with 40164: the address is not on the whitelist",
    ),
];

/// The metrics since the process started. Clones are the same metrics.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics(std::sync::Arc<State>);

#[derive(Debug, Default)]
struct State {
    registry: Registry,
    families: Mutex<HashMap<&'static str, Family>>,
}

/// The series of one metric.
#[derive(Clone, Debug)]
enum Family {
    Counter(IntCounterVec),
    Level(GaugeVec),
    Latency(HistogramVec),
}

impl Metrics {
    /// Starts to collect the metrics of this process. It has one collector: a second start gets none.
    pub(crate) fn start() -> Self {
        let metrics = Self::default();
        telemetry::collect(metrics.clone());
        metrics
    }

    /// Writes all metrics in Prometheus' text format.
    pub(crate) fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.0.registry.gather(), &mut text) {
            tracing::warn!(%error, "metrics cannot be written / 指标无法输出");
        }
        text
    }

    fn family(&self, metric: Metric, label: Option<&'static str>) -> Result<Family, prometheus::Error> {
        let mut families = lock(&self.0.families);
        if let Some(family) = families.get(metric.name) {
            return Ok(family.clone());
        }
        let name = name_of(metric);
        let known = HELP.iter().find(|(name, _)| *name == metric.name);
        let help = known.map_or(metric.name, |(_, help)| *help);
        let labels = label.map(snake_case);
        let labels: Vec<_> = labels.iter().map(String::as_str).collect();
        let family = match metric.unit {
            _ if metric.is_level => Family::Level(GaugeVec::new(Opts::new(name, help), &labels)?),
            Unit::Count => Family::Counter(IntCounterVec::new(Opts::new(name, help), &labels)?),
            Unit::Milliseconds | Unit::Seconds => {
                let options = HistogramOpts::new(name, help).buckets(BUCKETS.to_vec());
                Family::Latency(HistogramVec::new(options, &labels)?)
            }
        };
        self.0.registry.register(match &family {
            Family::Counter(series) => Box::new(series.clone()),
            Family::Level(series) => Box::new(series.clone()),
            Family::Latency(series) => Box::new(series.clone()),
        })?;
        families.insert(metric.name, family.clone());
        Ok(family)
    }

    fn add(&self, metric: Metric, dimension: Option<(&'static str, &str)>) -> Result<(), prometheus::Error> {
        let values: Vec<_> = dimension.iter().map(|(_, value)| *value).collect();
        match self.family(metric, dimension.map(|(name, _)| name))? {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a count is a small whole number"
            )]
            Family::Counter(series) => series
                .get_metric_with_label_values(&values)?
                .inc_by(metric.value as u64),
            Family::Level(series) => series.get_metric_with_label_values(&values)?.set(metric.value),
            Family::Latency(series) => {
                series
                    .get_metric_with_label_values(&values)?
                    .observe(if metric.unit == Unit::Milliseconds {
                        metric.value / 1000.0
                    } else {
                        metric.value
                    })
            }
        }
        Ok(())
    }
}

impl Collector for Metrics {
    fn take(&self, metric: Metric, dimension: Option<(&'static str, &str)>) {
        if let Err(error) = self.add(metric, dimension) {
            tracing::debug!(%error, name = metric.name, "a metric cannot be counted");
        }
    }
}

/// `ReplyLatency` in milliseconds is `wechat_bundle_reply_latency_seconds`, `Callbacks` is `wechat_bundle_callbacks_total`.
fn name_of(metric: Metric) -> String {
    let name = snake_case(metric.name);
    let name = name.strip_suffix("_seconds").unwrap_or(&name);
    let unit = match metric.unit {
        Unit::Count if metric.is_level => "",
        Unit::Count => "_total",
        Unit::Milliseconds | Unit::Seconds => "_seconds",
    };
    format!("{PREFIX}_{name}{unit}")
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_counters_levels_and_histograms() {
        let metrics = Metrics::default();
        for kind in ["text", "text", "event.\"CLICK\""] {
            metrics.take(Metric::count("Callbacks"), Some(("Type", kind)));
        }
        metrics.take(Metric::millis("ReplyLatency", 30), None);
        for life in [7_200, 7_140] {
            metrics.take(Metric::level("TokenLifeSeconds", Unit::Seconds, life), None);
        }
        let text = String::from_utf8(metrics.text()).unwrap();
        for line in [
            r#"wechat_bundle_callbacks_total{type="text"} 2"#,
            r#"wechat_bundle_callbacks_total{type="event.\"CLICK\""} 1"#,
            r#"wechat_bundle_reply_latency_seconds_bucket{le="0.025"} 0"#,
            r#"wechat_bundle_reply_latency_seconds_bucket{le="0.05"} 1"#,
            "wechat_bundle_reply_latency_seconds_sum 0.03",
            "wechat_bundle_token_life_seconds 7140",
            "# TYPE wechat_bundle_token_life_seconds gauge",
            "# HELP wechat_bundle_token_life_seconds How long the access_token still lives",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} in {text}");
        }
    }
}
