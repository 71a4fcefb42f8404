//! Calls with an opaque token: who may make them, and their way to WeChat with the real one.

use http::{Method, header};
use http_api::{Caller, Problem, Request, Scope};
use serde_json::json;
use wechat::{
    api::{Call as _, RawCall, calls::token::GetTicket},
    errcode::{DEAD_TOKEN, UNAUTHORIZED},
    in_flight::InFlight,
    relay::{
        path,
        query::{Query, QueryError},
        token::Holder,
    },
};

use crate::{
    App, NOTE_BUDGET,
    answer::{Answer, Failure},
    log::CallLog,
};

/// The path by which a refused call is looked up, with its parameters.
const LOOK_UP: &str = "/cgi-bin/openapi/rid/get";
/// The parameter with the AppSecret in a call that is looked up.
const SECRET: &str = "secret";
/// The methods that are relayed. WeChat's API uses only the first two; CONNECT would open a tunnel.
const METHODS: [Method; 6] = [
    Method::GET,
    Method::POST,
    Method::HEAD,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
];
/// Bytes. A longer query is refused: HTTP libraries limit the length of a URL.
const LONGEST_QUERY: usize = 16 * 1024;

/// Who makes a call, and where its token stands.
pub(crate) struct Admitted<'a> {
    caller: Caller,
    query: Query<'a>,
}

/// Why a call is not made, and who wanted to make it, if that is known.
pub(crate) struct Refused {
    pub(crate) caller: Option<Caller>,
    pub(crate) failure: Failure,
}

/// Decides by the head of a request whether the call is made.
pub(crate) async fn admit<'a>(app: &App, request: &'a Request) -> Result<Admitted<'a>, Refused> {
    match identify(app, request).await {
        Ok(admitted) => match check(request, Some(&admitted.caller)) {
            Ok(()) => Ok(admitted),
            Err(failure) => Err(Refused {
                caller: Some(admitted.caller),
                failure,
            }),
        },
        Err(failure) => Err(Refused {
            caller: None,
            failure: check(request, None).err().unwrap_or(failure),
        }),
    }
}

/// Checks the path as it will be sent, and the method, also for an unknown caller.
fn check(request: &Request, caller: Option<&Caller>) -> Result<(), Failure> {
    let path = request.path();
    let refused = |why: &str| Err(Failure::refused(UNAUTHORIZED, format!("api unauthorized: {why}")));
    if let Err(error) = path::check(path) {
        return refused(&error.to_string());
    }
    if !METHODS.contains(request.method()) {
        return refused("this HTTP method is not relayed / 不转发此 HTTP 方法");
    }
    if caller.is_some_and(|caller| !caller.grants().allows_path(path)) {
        return refused(&format!(
            "the key's paths do not allow {path} / 该密钥的 paths 不允许调用 {path}"
        ));
    }
    Ok(())
}

async fn identify<'a>(app: &App, request: &'a Request) -> Result<Admitted<'a>, Failure> {
    let query = request.raw_query();
    if query.len() > LONGEST_QUERY || query.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(Failure::refused(
            40035,
            "invalid args: the query is too long or has control characters / 查询参数过长或含控制字符",
        ));
    }
    let query = Query::parse(query).map_err(|error| match error {
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
        Some(caller) => Ok(Admitted { caller, query }),
        None => Err(Failure::refused(
            DEAD_TOKEN,
            "invalid credential: the access_token is not this relay's, or it has ended, or its key is revoked; get a new one \
             / access_token 无效：并非本中继签发、已过期，或其密钥已被吊销，请重新获取",
        )),
    }
}

/// Serves a call.
pub(crate) async fn relay(app: &App, request: &Request, log: &mut CallLog) -> Result<Answer, Failure> {
    log.called(request.path());
    let Admitted { caller, query } = admit(app, request).await.map_err(|refused| log.refused(refused))?;
    log.by(&caller);
    let noting = app.keys.note_use(&caller);
    let counting = log.count_in(&app.counts, &caller);
    let answer = if request.path() == GetTicket::PATH && request.query_value("type").as_deref() == Some("jsapi") {
        ticket(app, request).await
    } else {
        pass(app, request, &query).await
    };
    tokio::join!(noted(noting), noted(counting));
    answer
}

/// Waits for a note about a call, best effort.
pub(crate) async fn noted(note: Option<InFlight>) {
    if let Some(note) = note {
        note.ends_within(NOTE_BUDGET).await;
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
    let call = RawCall {
        method: request.method(),
        path: request.path(),
        query: (query.before, query.after),
        content_type: request.headers().get(header::CONTENT_TYPE),
        body: request.shared_body(),
        stand_in: &query.access_token,
        hidden: &app.hidden,
    };
    let deadline = request.deadline(app.account.clock.now_millis());
    let answer = app.account.pass(&call, deadline).await?;
    if request.path().eq_ignore_ascii_case(LOOK_UP) && answer.shows_parameter(SECRET) {
        return Err(Failure::refused(
            76022,
            "no permission for this cgi_path: this call carried a secret of the bundle's / 无权查看：该次调用带有本服务的密钥",
        ));
    }
    Ok(Answer::WeChats(Box::new(answer)))
}
