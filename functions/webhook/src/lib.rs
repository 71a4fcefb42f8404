//! `webhook`: verifies, decrypts and answers WeChat's callbacks.
//!
//! The reply depends only on the rules, with two exceptions: the scan of a code that binds, and the team's own code, which
//! may answer in their place. The effects of a callback, in the table and on the event bus, run once: before the answer,
//! because Lambda freezes the process after it, or else in `worker`. The handler never fails: every request gets an HTTP
//! status.

mod binding;
mod effects;
mod forward;
mod further;
mod notes;
mod outcome;
mod patience;
mod report;
mod rules_cache;

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::{Method, Response};
use http_api::{Request, response::respond};
use wechat::{
    callback::{CallbackQuery, CallbackVerifier, OpenError, OpenedCallback, Seal, VerifyError},
    clock::Clock,
    config::WebhookConfig,
    effects::{Effects, EventBus, WorkerPort},
    forward::OwnReply,
    hex,
    live::{Live, State},
    message::Callback,
    random,
    reply::{Addresses, Reply},
    rules::{ReplyRules, RuleReply},
    store::Table,
    telemetry,
};

use self::{
    binding::Scan, forward::Forwarder, notes::Notes, outcome::Outcome, report::Handled, rules_cache::RulesCache,
};

/// The AWS calls that this function makes. Its role in `template.yaml` allows these and no others.
pub const AWS_CALLS: &[&str] = &[
    "dynamodb:BatchGetItem",
    "dynamodb:DeleteItem",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
    "events:PutEvents",
    "lambda:InvokeFunction",
    "secretsmanager:GetSecretValue",
];

/// Seconds. WeChat delivers a message up to three times, 5 s apart, so a message younger than this will come again. When the
/// last delivery fails too, WeChat shows the follower an error.
/// See [WeChat Docs/被动回复](https://developers.weixin.qq.com/doc/service/guide/product/message/Passive_user_reply_message).
const DELIVERED_AGAIN: i64 = 8;

/// The function's state, built once per process.
#[derive(Debug)]
pub struct App {
    verifier: CallbackVerifier,
    table: Table,
    effects: Effects,
    worker: Option<Arc<dyn WorkerPort>>,
    forwarder: Option<Arc<Forwarder>>,
    rules: RulesCache,
    notes: Notes,
    clock: Arc<dyn Clock>,
}

impl App {
    /// Creates the function that `config` describes, on the table behind `dynamodb`. It publishes every verified callback to
    /// `event_bus`, if there is one, and hands failed effects over to `worker`, if there is one.
    #[must_use]
    pub fn new(
        config: WebhookConfig,
        dynamodb: aws_sdk_dynamodb::Client,
        event_bus: Option<EventBus>,
        worker: Option<Arc<dyn WorkerPort>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let table = Table::new(dynamodb, config.table, &config.verifier.app_id);
        let rules = RulesCache::new(table.clone(), Arc::clone(&clock));
        let notes = Notes::new(table.clone(), Arc::clone(&clock));
        let effects = Effects::new(table.clone(), event_bus, Arc::clone(&clock));
        let forwarder = config
            .forward
            .map(|own_code| Forwarder::new(own_code, config.forward_budget, table.clone(), Arc::clone(&clock)));
        Self {
            verifier: config.verifier,
            table,
            effects,
            worker,
            forwarder: forwarder.map(Arc::new),
            rules,
            notes,
            clock,
        }
    }

    /// Takes over the cached rules of `previous`, if they belong to the same account and table.
    #[must_use]
    pub fn in_place_of(mut self, previous: Option<&Self>) -> Self {
        if let Some(previous) = previous.filter(|previous| previous.rules.are_of(&self.rules)) {
            self.rules = previous.rules.clone();
        }
        self
    }
}

impl State for App {
    /// WeChat hangs up after 5 s, and 3 s may follow: reading the rules, binding, running the effects or handing
    /// them over, and a note.
    const START_BUDGET: Duration = Duration::from_millis(1700);

    /// Reads the rules and opens the connection to the table, so that the first callback need not wait for them. `spent` is
    /// how long start-up took so far; it is deducted from the budget.
    async fn warm(&self, spent: Duration) {
        self.rules.warm(spent).await;
    }
}

/// Answers one request with the settings in the secret. When the request would pass with another token, key or mode, reads
/// the secret again, and serves the request once more if the secret has changed. Without settings the answer is 503, and
/// WeChat delivers again.
pub async fn handle_live(live: &Live<App>, request: Request) -> Response<String> {
    let app = match live.current().await {
        Ok(app) => app,
        Err(error) => {
            tracing::error!(%error, "callback not served / 回调未能处理");
            return respond(
                503,
                "text/plain; charset=utf-8",
                format!("not configured: {}", error.public()),
            );
        }
    };
    let started = app.clock.now_millis();
    let handled = serve(&app, &request).await;
    if handled.outcome.doubts_the_settings()
        && let Some(newer) = live.instead_of(&app).await
    {
        let handled = Box::pin(serve(&newer, &request)).await;
        return conclude(&newer, handled, request.source_ip(), started).await;
    }
    conclude(&app, handled, request.source_ip(), started).await
}

/// Whether the answer to `request` depends on its body, which has not arrived yet. A gateway refuses a request with a bad
/// query at once: a stranger may never send the body.
#[must_use]
pub fn needs_body(app: &App, request: &Request) -> bool {
    *request.method() == Method::POST
        && CallbackQuery::from_pairs(request.query())
            .is_ok_and(|query| app.verifier.verify_query(&query, app.clock.now()).is_ok())
}

/// Answers one request.
pub async fn handle(app: &App, request: &Request) -> Response<String> {
    let started = app.clock.now_millis();
    let handled = serve(app, request).await;
    conclude(app, handled, request.source_ip(), started).await
}

async fn serve(app: &App, request: &Request) -> Handled {
    let query = CallbackQuery::from_pairs(request.query());
    match *request.method() {
        Method::GET => verify_url(app, query).into(),
        Method::POST => receive(app, query, request).await,
        _ => Outcome::MethodNotAllowed.into(),
    }
}

async fn conclude(app: &App, handled: Handled, source: Option<IpAddr>, started: i64) -> Response<String> {
    app.notes.record(&handled, source).await;
    let now = app.clock.now_millis();
    telemetry::at_once(|| handled.report(now - started, now));
    handled.outcome.into_response()
}

/// Answers the check that WeChat's console makes when somebody saves the server's URL.
/// See [WeChat Docs/消息与事件推送](https://developers.weixin.qq.com/doc/service/guide/dev/push).
fn verify_url(app: &App, query: Result<CallbackQuery, VerifyError>) -> Outcome {
    let echostr = query.and_then(|query| {
        let echostr = app.verifier.verify_url(&query, app.clock.now())?;
        Ok(echostr.to_owned())
    });
    match echostr {
        Ok(echostr) => Outcome::Echoed(echostr),
        Err(error) => OpenError::from(error).into(),
    }
}

async fn receive(app: &App, query: Result<CallbackQuery, VerifyError>, request: &Request) -> Handled {
    let arrival = patience::arrival(request, app.clock.now_millis());
    let opened = query
        .map_err(OpenError::from)
        .and_then(|query| app.verifier.open(&query, request.body(), app.clock.now()));
    let OpenedCallback { document, seal } = match opened {
        Ok(opened) => opened,
        Err(error) => return Outcome::from(error).into(),
    };
    let callback = match Callback::from_document(document) {
        Ok(callback) => callback,
        Err(error) => return Outcome::NotACallback(error).into(),
    };
    let may_reply = may_reply(&callback);
    let rules = async { if may_reply { app.rules.current().await } else { None } };
    let work = async {
        let scan = binding::run(app, &callback).await.map_err(Outcome::ScanFailed)?;
        let spent = scan.as_ref().map_or(Duration::ZERO, |scan| scan.took);
        let effects = effects::run(app, &callback, arrival, spent).await;
        Ok((scan, effects.map_err(Outcome::EffectFailed)?))
    };
    let forward = forward::run(app, &callback, request, arrival);
    let (work, forwarded, rules) = tokio::join!(work, forward, rules);
    let now = app.clock.now();
    let (failed, scan, effects) = match work {
        Ok((scan, effects)) => (None, scan, Some(effects)),
        Err(failed) => (Some(failed), None, None),
    };
    let (failed, forwarded) = match forwarded {
        Ok(forwarded) => (failed, forwarded),
        Err(error) => (failed.or(Some(Outcome::ForwardFailed(error))), None),
    };
    let own = forwarded
        .as_ref()
        .map_or(&OwnReply::LeftToRules, |forwarded| forwarded.reply());
    let chosen = match (own, &rules) {
        (OwnReply::Reply(reply), _) => Some(reply),
        (OwnReply::LeftToRules, Some(rules)) => choose(&callback, scan.as_ref(), rules),
        (OwnReply::LeftToRules, None) | (OwnReply::Silence, _) => None,
    };
    let outcome = match (failed, own, chosen) {
        (Some(failed), ..) => failed,
        (None, _, Some(reply)) => {
            further::hand_over(app, &callback, &reply.then, arrival).await;
            answer(&callback, &reply.passive, seal.as_ref(), now)
        }
        (None, OwnReply::LeftToRules, None)
            if rules.is_none() && may_reply && now - callback.created_at < DELIVERED_AGAIN =>
        {
            Outcome::RulesUnknown
        }
        (None, _, None) => Outcome::Acknowledged,
    };
    Handled {
        outcome,
        callback: Some(callback),
        scan,
        effects,
        forwarded,
    }
}

/// Whether a rule may reply to `callback`. A reply needs both addresses.
fn may_reply(callback: &Callback) -> bool {
    !callback.from.is_empty() && !callback.to.is_empty() && ReplyRules::may_answer(callback)
}

/// The reply that the rules choose.
fn choose<'r>(callback: &Callback, scan: Option<&Scan>, rules: &'r ReplyRules) -> Option<&'r RuleReply> {
    let answer = match scan {
        Some(scan) => rules.answer_binding(scan.is_bound()),
        None => rules.answer(callback),
    };
    answer.map(|answer| answer.reply)
}

/// Answers with the passive reply `reply`.
fn answer(callback: &Callback, reply: &Reply, seal: Option<&Seal>, now: i64) -> Outcome {
    let addresses = Addresses {
        to: &callback.from,
        from: &callback.to,
        answers_message: callback.event_name().is_none(),
    };
    let clear = reply.to_xml(addresses, now);
    let Some(seal) = seal else {
        return Outcome::Replied(clear);
    };
    // The 16 bytes that precede the plaintext, and a nonce. Read together, because each read is a system call.
    let bytes: [u8; 24] = random::bytes();
    let mut prefix = [0; 16];
    prefix.copy_from_slice(&bytes[..16]);
    Outcome::Replied(seal.seal(&clear, now, prefix, &hex::encode(&bytes[16..])))
}
