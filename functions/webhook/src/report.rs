//! The log line and the metrics of a request. They never hold a text, an openid or a secret.

use wechat::{
    digest::logged_openid,
    message::{Callback, Content, Event},
    telemetry::{self, Metric, MetricGroup},
};

use crate::{
    binding::Scan,
    effects::EffectsOutcome,
    forward::{ForwardFailed, Forwarded},
    outcome::Outcome,
};

/// Bytes of a name that are logged. In plain mode the body is not signed, so a stranger can send a long name.
const LOGGED_NAME: usize = 64;

/// A request that was handled.
#[derive(Debug)]
pub(crate) struct Handled {
    pub(crate) outcome: Outcome,
    /// The callback in the request, if it could be read.
    pub(crate) callback: Option<Callback>,
    /// The scan, if the callback was the scan of a code that binds.
    pub(crate) scan: Option<Scan>,
    /// How the effects of the callback ended, if WeChat need not deliver it again for them.
    pub(crate) effects: Option<EffectsOutcome>,
    /// The outcome of handing the callback to own code, if there is own code and WeChat need not deliver again for it.
    pub(crate) forwarded: Option<Forwarded>,
}

impl From<Outcome> for Handled {
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            callback: None,
            scan: None,
            effects: None,
            forwarded: None,
        }
    }
}

impl Handled {
    /// Writes the log line and the metrics, `millis` after the request came in.
    pub(crate) fn report(&self, millis: i64, now_millis: i64) {
        self.log(millis);
        let kind = self.callback.as_ref().map(Callback::kind);
        let delivery = self.delivery();
        let of_all = [
            kind.is_some().then(|| Metric::millis("ReplyLatency", millis)),
            matches!(self.outcome, Outcome::Forbidden(_)).then(|| Metric::count("BadSignatures")),
            self.outcome.is_unreadable().then(|| Metric::count("Unreadable")),
            self.is_duplicate().then(|| Metric::count("Duplicates")),
            self.is_handed_over().then(|| Metric::count("HandedOver")),
            self.is_lost().then(|| Metric::count("LostEffects")),
            self.forward_metric().map(Metric::count),
        ];
        let of_all: Vec<Metric> = of_all.into_iter().flatten().collect();
        let callbacks = kind.is_some().then(|| Metric::count("Callbacks"));
        let deliveries = delivery.is_some().then(|| Metric::count("Deliveries"));
        let groups = [
            MetricGroup {
                dimension: None,
                metrics: &of_all,
            },
            MetricGroup {
                dimension: kind.as_deref().map(|kind| ("Type", kind)),
                metrics: callbacks.as_slice(),
            },
            MetricGroup {
                dimension: delivery.map(|status| ("Status", status)),
                metrics: deliveries.as_slice(),
            },
        ];
        telemetry::emit_groups(&groups, now_millis);
    }

    /// Whether an earlier delivery ran the effects.
    const fn is_duplicate(&self) -> bool {
        matches!(self.effects, Some(EffectsOutcome::Duplicate))
    }

    /// Whether the effects were handed over to `worker`.
    const fn is_handed_over(&self) -> bool {
        matches!(self.effects, Some(EffectsOutcome::HandedOver(_)))
    }

    /// Whether an effect failed that nobody tries again.
    const fn is_lost(&self) -> bool {
        matches!(self.effects, Some(EffectsOutcome::Lost(_)))
    }

    /// The name of the metric that counts the outcome of handing the callback to own code. Repeats are not counted.
    const fn forward_metric(&self) -> Option<&'static str> {
        match (&self.forwarded, &self.outcome) {
            (Some(Forwarded::Taken(_)), _) => Some("ForwardsTaken"),
            (Some(Forwarded::Kept(_)), _) => Some("ForwardsKept"),
            (Some(Forwarded::Dead), _) => Some("DeadForwards"),
            (_, Outcome::ForwardFailed(ForwardFailed::NotKept { .. })) => Some("ForwardsFailed"),
            _ => None,
        }
    }

    /// The delivery status of a template message, when this request is the first to report it.
    fn delivery(&self) -> Option<&'static str> {
        let Content::Event(Event::TemplateSendJobFinish { status, .. }) = &self.callback.as_ref()?.content else {
            return None;
        };
        let is_news = self.outcome.status() == 200 && !self.is_duplicate();
        is_news.then(|| status.name())
    }

    /// The msgid of a delivery receipt, and its status in WeChat's words.
    fn receipt(&self) -> Option<(&str, &str)> {
        let (msgid, _, words) = self.callback.as_ref()?.delivery_receipt()?;
        Some((msgid, brief(words)))
    }

    fn log(&self, millis: i64) {
        let callback = self.callback.as_ref();
        let msg_type = callback.map(|callback| brief(callback.msg_type()));
        let event = callback.and_then(Callback::event_name).map(brief);
        let outcome = self.outcome.name();
        let status = self.outcome.status();
        let binding = self.scan.as_ref().map(Scan::name);
        let duplicate = self.is_duplicate().then_some(true);
        let (msgid, receipt) = self.receipt().unzip();
        let openid_sha256 = callback.map(|callback| logged_openid(&callback.from));
        let handed_over = self.is_handed_over().then_some(true);
        let own_code = self.forwarded.as_ref().map(Forwarded::name);
        let of_effects = self.effects.as_ref().and_then(EffectsOutcome::error);
        let of_own_code = self.forwarded.as_ref().and_then(Forwarded::error);
        let error = self.outcome.error();
        let error = error.or_else(|| Some(of_effects?.to_string()));
        let error = error.or_else(|| Some(of_own_code?.to_string()));
        // `tracing` needs the level at compile time.
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    "type" = msg_type,
                    event,
                    msgid,
                    receipt,
                    openid_sha256,
                    binding,
                    outcome,
                    status,
                    millis,
                    duplicate,
                    handed_over,
                    own_code,
                    error,
                    "callback"
                )
            };
        }
        match status {
            500.. => line!(error),
            400.. => line!(warn),
            _ if self.is_lost() => line!(error),
            _ if error.is_some() => line!(warn),
            _ => line!(info),
        }
    }
}

fn brief(name: &str) -> &str {
    &name[..name.floor_char_boundary(LOGGED_NAME)]
}
