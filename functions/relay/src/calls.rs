//! Calls with an opaque token: who may make them, and their way to WeChat with the real one.

use std::sync::Mutex;

use http::header;
use http_api::{Caller, Problem, Request, Scope};
use serde_json::json;
use wechat::{
    api::RawCall,
    in_flight::InFlight,
    lock::lock,
    relay::{
        path,
        query::{Query, QueryError},
        token::Holder,
    },
    secret::Secret,
};

use crate::{
    App, NOTE_BUDGET,
    answer::{Answer, DEAD_TOKEN, Failure, UNAUTHORIZED},
    log::CallLog,
};

/// The path of the jsapi_ticket, which the bundle keeps for everybody.
const TICKET: &str = "/cgi-bin/ticket/getticket";
/// How many access_tokens are hidden in answers: the current one and those before, which may live on for some minutes.
const HIDDEN_TOKENS: usize = 3;

/// The last access_tokens with which this process has called WeChat, the current one last.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<Vec<Secret>>);

impl Recent {
    fn tokens(&self) -> Vec<Secret> {
        lock(&self.0).clone()
    }

    fn note(&self, token: &Secret) {
        let mut tokens = lock(&self.0);
        if tokens.last().is_some_and(|last| last.expose() == token.expose()) {
            return;
        }
        tokens.push(token.clone());
        if tokens.len() > HIDDEN_TOKENS {
            tokens.remove(0);
        }
    }
}

/// Who makes a call, and where its token stands.
struct Identified<'a> {
    caller: Caller,
    query: Query<'a>,
}

/// Whether the call may be made, as far as its head tells.
pub(crate) async fn is_allowed(app: &App, request: &Request) -> bool {
    let identified = identify(app, request).await;
    identified.is_ok_and(|identified| check_path(request.path(), Some(&identified.caller)).is_ok())
}

/// Checks the path as it will be sent, whoever calls.
fn check_path(path: &str, caller: Option<&Caller>) -> Result<(), Failure> {
    let refused = |why: &str| Err(Failure::refused(UNAUTHORIZED, format!("api unauthorized: {why}")));
    if let Err(error) = path::check(path) {
        return refused(&error.to_string());
    }
    if caller.is_some_and(|caller| !caller.grants().allows_path(path)) {
        return refused("the key's paths do not allow this path / 该密钥的 paths 不允许调用此接口");
    }
    Ok(())
}

async fn identify<'a>(app: &App, request: &'a Request) -> Result<Identified<'a>, Failure> {
    let query = Query::parse(request.raw_query()).map_err(|error| match error {
        QueryError::Missing => Failure::refused(41001, error.to_string()),
        QueryError::Several => Failure::refused(40035, format!("invalid args: {error}")),
    })?;
    let opaque = app.opaque().await?;
    let caller = match opaque.read(&query.access_token, app.account.clock.now()) {
        None => None,
        Some(Holder::Key(id)) => app.keys.holder_of_id(&id).await?,
        Some(Holder::Root(mark)) => app.keys.root(|key| opaque.mark(key.expose()) == mark),
    };
    match caller.filter(|caller| caller.grants().has(Scope::Relay)) {
        Some(caller) => Ok(Identified { caller, query }),
        None => Err(Failure::refused(
            DEAD_TOKEN,
            "invalid credential: the access_token is not this relay's, or it has ended, or its key is revoked; get a new one \
             / access_token 无效：并非本中继签发、已过期，或其密钥已被吊销，请重新获取",
        )),
    }
}

/// Serves a call.
pub(crate) async fn relay(app: &App, request: &Request, log: &mut CallLog) -> Result<Answer, Failure> {
    let identified = identify(app, request).await;
    let caller = identified.as_ref().ok().map(|identified| &identified.caller);
    if let Some(caller) = caller {
        log.by(caller);
        log.called(request.path());
    }
    check_path(request.path(), caller)?;
    let Identified { caller, query } = identified?;
    let noting = app.keys.note_use(&caller);
    let counting = app.counts.count(&caller);
    let answer = if request.path() == TICKET && request.query_value("type").as_deref() == Some("jsapi") {
        ticket(app, request).await
    } else {
        pass(app, request, &query).await
    };
    if has_failed(&answer) {
        app.counts.count_failure(&caller);
    }
    tokio::join!(noted(noting), noted(counting));
    answer
}

/// Waits for a note of a call, which may be lost.
pub(crate) async fn noted(note: Option<InFlight>) {
    if let Some(note) = note {
        note.ends_within(NOTE_BUDGET).await;
    }
}

const fn has_failed(answer: &Result<Answer, Failure>) -> bool {
    match answer {
        Ok(Answer::Own(_)) => false,
        Ok(Answer::WeChats(answer)) => !matches!(answer.errcode, None | Some(0)) || answer.status.as_u16() >= 400,
        Err(_) => true,
    }
}

/// Answers the bundle's own ticket. WeChat issues few, and token-refresher renews this one in time.
async fn ticket(app: &App, request: &Request) -> Result<Answer, Failure> {
    let now = app.account.clock.now();
    let ticket = app
        .tickets
        .ticket(request.deadline(app.account.clock.now_millis()))
        .await;
    let ticket = ticket.map_err(|error| Problem::from_ticket(&error, now))?;
    Ok(Answer::Own(json!({
        "errcode": 0, "errmsg": "ok", "ticket": ticket.value.expose(), "expires_in": ticket.life(now),
    })))
}

async fn pass(app: &App, request: &Request, query: &Query<'_>) -> Result<Answer, Failure> {
    let earlier = app.recent.tokens();
    let call = RawCall {
        method: request.method(),
        path: request.path(),
        query: (query.before, query.after),
        content_type: request.headers().get(header::CONTENT_TYPE),
        body: request.body(),
        stand_in: &query.access_token,
        earlier: &earlier,
    };
    let deadline = request.deadline(app.account.clock.now_millis());
    let answer = app.account.pass(&call, deadline).await?;
    app.recent.note(&answer.access_token);
    Ok(Answer::WeChats(Box::new(answer)))
}
