//! `webhook`: verifies, opens and answers WeChat's callbacks.
//!
//! The reply comes from the rules alone; what the callback changes in the table happens once, and before the answer,
//! because Lambda freezes the process after it. The handler never fails: whatever comes in gets an HTTP status.

mod effects;
mod rules_cache;

use std::sync::Arc;

use http::{Method, Response};
use lambda_http::{Request, RequestExt};
use wechat::{
    callback::{CallbackQuery, CallbackVerifier, OpenError, OpenedCallback, Seal, VerifyError},
    clock::Clock,
    config::WebhookConfig,
    hex,
    message::Callback,
    problem::respond,
    reply::Addresses,
    store::Table,
};

use self::rules_cache::RulesCache;

/// What WeChat takes as "received, nothing to say". Never encrypted.
const ACKNOWLEDGED: &str = "success";

/// The function's state, made once a process.
#[derive(Debug)]
pub struct App {
    verifier: CallbackVerifier,
    table: Table,
    rules: RulesCache,
    clock: Arc<dyn Clock>,
}

impl App {
    /// The function as `config` describes it, over the table behind `dynamodb`.
    #[must_use]
    pub fn new(config: WebhookConfig, dynamodb: aws_sdk_dynamodb::Client, clock: Arc<dyn Clock>) -> Self {
        let table = Table::new(dynamodb, config.table);
        let rules = RulesCache::new(table.clone(), config.verifier.app_id.clone(), Arc::clone(&clock));
        Self {
            verifier: config.verifier,
            table,
            rules,
            clock,
        }
    }

    /// Reads the rules and makes the connection that the first callback would have to wait for.
    pub async fn warm(&self) {
        self.rules.warm().await;
    }
}

/// Answers one request.
pub async fn handle(app: &App, request: Request) -> Response<String> {
    let started = app.clock.now_millis();
    let query = request.query_string_parameters_ref().map_or_else(
        || Ok(CallbackQuery::default()),
        |query| CallbackQuery::from_pairs(query.iter()),
    );
    let response = match (request.method(), query) {
        (&Method::GET, query) => verify_url(app, query),
        (&Method::POST, query) => receive(app, query, request.body().as_ref()).await,
        _ => respond(405, "text/plain; charset=utf-8", "method not allowed".to_owned()),
    };
    let millis = app.clock.now_millis() - started;
    tracing::info!(method = %request.method(), status = response.status().as_u16(), millis, "callback answered");
    response
}

/// The check that the console makes when the server's URL is saved.
fn verify_url(app: &App, query: Result<CallbackQuery, VerifyError>) -> Response<String> {
    let query = match query {
        Ok(query) => query,
        Err(error) => return refuse(&error.into()),
    };
    match app.verifier.verify_url(&query, app.clock.now()) {
        Ok(echostr) => plain(200, echostr),
        Err(error) => refuse(&error.into()),
    }
}

async fn receive(app: &App, query: Result<CallbackQuery, VerifyError>, body: &[u8]) -> Response<String> {
    let opened = query
        .map_err(OpenError::from)
        .and_then(|query| app.verifier.open(&query, body, app.clock.now()));
    let OpenedCallback { document, seal } = match opened {
        Ok(opened) => opened,
        Err(error) => return refuse(&error),
    };
    let callback = match Callback::from_document(document) {
        Ok(callback) => callback,
        Err(error) => {
            tracing::warn!(%error, "callback refused");
            return plain(400, "not a message or event of WeChat's");
        }
    };
    tracing::info!(
        msg_type = callback.msg_type(),
        event = callback.event_name(),
        "callback accepted"
    );
    if let Err(error) = effects::run(app, &callback).await {
        tracing::error!(%error, "an effect failed, WeChat is asked to deliver again");
        return plain(500, "try again");
    }
    answer(app, &callback, seal.as_ref()).await
}

/// The passive reply that the rules give, or the acknowledgement.
async fn answer(app: &App, callback: &Callback, seal: Option<&Seal>) -> Response<String> {
    let rules = app.rules.current().await;
    let Some(answer) = rules.answer(callback) else {
        return plain(200, ACKNOWLEDGED);
    };
    let addresses = Addresses {
        to: &callback.from,
        from: &callback.to,
        answers_message: callback.event_name().is_none(),
    };
    let now = app.clock.now();
    let clear = answer.reply.to_xml(addresses, now);
    let Some(seal) = seal else { return xml(clear) };
    match fresh_randomness() {
        Ok((random, nonce)) => xml(seal.seal(&clear, now, random, &nonce)),
        Err(error) => {
            tracing::error!(%error, "no randomness to encrypt the reply with");
            plain(500, "try again")
        }
    }
}

fn fresh_randomness() -> Result<([u8; 16], String), getrandom::Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    Ok((random, hex::random(8)?))
}

/// The log says which cause it is; the sender learns only that it was refused.
fn refuse(error: &OpenError) -> Response<String> {
    tracing::warn!(%error, "callback refused");
    match error {
        OpenError::Verify(_) => plain(403, "signature verification failed"),
        _ => plain(400, "not a body that WeChat sends in this mode"),
    }
}

/// Always plain text: an echostr must never be taken for a page.
fn plain(status: u16, body: &str) -> Response<String> {
    respond(status, "text/plain; charset=utf-8", body.to_owned())
}

fn xml(body: String) -> Response<String> {
    respond(200, "application/xml; charset=utf-8", body)
}
