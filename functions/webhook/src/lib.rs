//! `webhook`: verifies, opens and answers WeChat's callbacks.
//!
//! The reply comes from the rules alone; what the callback changes in the table and on the event bus happens once, and
//! before the answer, because Lambda freezes the process after it, or else at `worker`. The handler never fails: whatever
//! comes in gets an HTTP status.

mod effects;
mod notes;
mod outcome;
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
    hex,
    live::{Build, Live},
    message::Callback,
    random,
    reply::Addresses,
    rules::ReplyRules,
    store::Table,
    telemetry,
};

use self::{effects::Settled, notes::Notes, outcome::Outcome, report::Exchange, rules_cache::RulesCache};

/// The AWS calls that this function makes: its role in `template.yaml` allows these and no other.
pub const AWS_CALLS: &[&str] = &[
    "dynamodb:DeleteItem",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
    "events:PutEvents",
    "lambda:InvokeFunction",
    "secretsmanager:GetSecretValue",
];

/// Seconds. WeChat delivers a message three times, 5 s apart: one that is younger than this will come again. When the last
/// delivery fails too, the follower is shown an error.
const DELIVERED_AGAIN: i64 = 8;

/// The function's state, made once a process.
#[derive(Debug)]
pub struct App {
    verifier: CallbackVerifier,
    effects: Effects,
    worker: Option<Arc<dyn WorkerPort>>,
    rules: RulesCache,
    notes: Notes,
    clock: Arc<dyn Clock>,
}

impl App {
    /// The function as `config` describes it, over the table behind `dynamodb`. It publishes every verified callback to
    /// `event_bus`, if there is one, and hands effects that fail over to `worker`, if there is one.
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
        let effects = Effects::new(table, event_bus, Arc::clone(&clock));
        Self {
            verifier: config.verifier,
            effects,
            worker,
            rules,
            notes,
            clock,
        }
    }

    /// The same function, with the rules that `previous` has read, if they are of the same account and table.
    #[must_use]
    pub fn in_place_of(mut self, previous: Option<&Self>) -> Self {
        if let Some(previous) = previous.filter(|previous| previous.rules.are_of(&self.rules)) {
            self.rules = previous.rules.clone();
        }
        self
    }

    /// Reads the rules and makes the connection that the first callback would have to wait for, at a start that has already
    /// taken as long as `spent`: the less time is left for it.
    pub async fn warm(&self, spent: Duration) {
        self.rules.warm(spent).await;
    }
}

/// Answers one request with the state that the secret makes. A request that is refused as one of other settings has the
/// secret read again, and is judged by a changed one. While there is no state the answer is 503, and WeChat delivers again.
pub async fn handle_live<B: Build<App = App>>(live: &Live<B>, request: Request) -> Response<String> {
    let app = match live.current().await {
        Ok(app) => app,
        Err(error) => {
            tracing::error!(%error, "callback not served");
            let told = "not configured: see the function's log";
            return respond(503, "text/plain; charset=utf-8", told.to_owned());
        }
    };
    let started = app.clock.now_millis();
    let exchange = serve(&app, &request).await;
    if exchange.outcome.doubts_the_settings()
        && let Some(newer) = live.instead_of(&app).await
    {
        let exchange = Box::pin(serve(&newer, &request)).await;
        return conclude(&newer, exchange, request.source_ip(), started).await;
    }
    conclude(&app, exchange, request.source_ip(), started).await
}

/// Whether the answer to `request`, which has come without its body so far, depends on the body. It does not when the query
/// alone has to be refused, so that a gateway need not wait for a body that a stranger may never send.
#[must_use]
pub fn needs_body(app: &App, request: &Request) -> bool {
    *request.method() == Method::POST
        && CallbackQuery::from_pairs(request.query())
            .is_ok_and(|query| app.verifier.verify_query(&query, app.clock.now()).is_ok())
}

/// Answers one request.
pub async fn handle(app: &App, request: &Request) -> Response<String> {
    let started = app.clock.now_millis();
    let exchange = serve(app, request).await;
    conclude(app, exchange, request.source_ip(), started).await
}

async fn serve(app: &App, request: &Request) -> Exchange {
    let query = CallbackQuery::from_pairs(request.query());
    match *request.method() {
        Method::GET => verify_url(app, query).into(),
        Method::POST => receive(app, query, request.body()).await,
        _ => Outcome::MethodNotAllowed.into(),
    }
}

async fn conclude(app: &App, exchange: Exchange, source: Option<IpAddr>, started: i64) -> Response<String> {
    app.notes.take(&exchange, source).await;
    let now = app.clock.now_millis();
    telemetry::at_once(|| exchange.report(now - started, now));
    exchange.outcome.into_response()
}

/// The check that the console makes when the server's URL is saved.
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

async fn receive(app: &App, query: Result<CallbackQuery, VerifyError>, body: &[u8]) -> Exchange {
    let opened = query
        .map_err(OpenError::from)
        .and_then(|query| app.verifier.open(&query, body, app.clock.now()));
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
    let (effects, rules) = tokio::join!(effects::settle(app, &callback), rules);
    let is_duplicate = matches!(effects, Ok(Settled::Before));
    let handed_over = effects.as_ref().ok().and_then(Settled::handed_over);
    let now = app.clock.now();
    let outcome = match (effects, rules) {
        (Err(error), _) => Outcome::EffectFailed(error),
        (Ok(_), Some(rules)) => answer(&callback, &rules, seal.as_ref(), now),
        (Ok(_), None) if may_reply && now - callback.created_at < DELIVERED_AGAIN => Outcome::RulesUnknown,
        (Ok(_), None) => Outcome::Acknowledged,
    };
    Exchange {
        outcome,
        callback: Some(callback),
        is_duplicate,
        handed_over,
    }
}

/// Whether rules could reply. A reply without an address is none.
fn may_reply(callback: &Callback) -> bool {
    !callback.from.is_empty() && !callback.to.is_empty() && ReplyRules::may_answer(callback)
}

/// The passive reply that the rules give, or the acknowledgement.
fn answer(callback: &Callback, rules: &ReplyRules, seal: Option<&Seal>, now: i64) -> Outcome {
    let Some(answer) = rules.answer(callback) else {
        return Outcome::Acknowledged;
    };
    let addresses = Addresses {
        to: &callback.from,
        from: &callback.to,
        answers_message: callback.event_name().is_none(),
    };
    let clear = answer.reply.to_xml(addresses, now);
    let Some(seal) = seal else {
        return Outcome::Replied(clear);
    };
    // 16 bytes before the ciphertext, and a nonce: asked for at once, as each is a call to the operating system.
    let bytes: [u8; 24] = random::bytes();
    let mut prefix = [0; 16];
    prefix.copy_from_slice(&bytes[..16]);
    Outcome::Replied(seal.seal(&clear, now, prefix, &hex::encode(&bytes[16..])))
}
