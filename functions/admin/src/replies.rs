//! The reply rules. The webhook picks up a change within 30 seconds.

use http::{HeaderMap, Response};
use http_api::{
    ApiRequest, Operation, Problem, Route,
    openapi::{Body, Schema},
    response, route,
};
use serde_json::{Value, json};
use wechat::{
    bilingual::caused,
    message::Callback,
    rules::{ReplyRules, RulesError},
    store::{SavedReplies, StoredReplies},
    validate::{Place, Reader},
    xml::Tree,
};

use crate::{
    App,
    etag::{IF_MATCH, bad_if_match, if_match, with_etag},
};

pub(crate) const ROUTES: &[Route<App>] = &[
    route!(Replies, GET "/api/replies" => get, Operation {
        id: "getReplies",
        summary: "The reply rules / 查询回复规则",
        answers: &[(200, "The document, or {} when none is stored", Schema::Named("Replies"))],
        ..Operation::NEW
    }),
    route!(Replies, PUT "/api/replies" => put, Operation {
        id: "putReplies",
        summary: "Replace the reply rules / 更新回复规则",
        parameters: &[IF_MATCH],
        body: Some(Body::required("Replies")),
        answers: &[(200, "The document as it was stored", Schema::Named("Replies"))],
        failures: &[400, 412, 413],
        ..Operation::NEW
    }),
    route!(Replies, POST "/api/replies/rollback" => rollback, Operation {
        id: "rollBackReplies",
        summary: "Store an earlier version again / 恢复之前的回复规则",
        description: "A retry after a lost answer changes nothing. Name the version or send If-Match if somebody else may change the rules meanwhile.",
        parameters: &[IF_MATCH],
        body: Some(Body::optional("Version")),
        answers: &[(200, "The document as it was stored", Schema::Named("Replies"))],
        failures: &[400, 404, 412, 413],
    }),
    route!(Replies, POST "/api/replies/try" => try_out, Operation {
        id: "tryReplies",
        summary: "What would be replied, and by which rule / 试算回复",
        description: "Changes nothing. The scan of a binding's code (`SCAN` with the key `bind.<id>`) is answered as though it bound.",
        body: Some(Body::required("Attempt")),
        answers: &[(200, "The reply and the pointer to its rule, or nulls", Schema::Object)],
        failures: &[400, 413],
        ..Operation::NEW
    }),
];

/// Serves `GET /api/replies`: the document, or `{}` when none is stored. The webhook then sends the default greeting only.
async fn get(app: &App, _: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let stored = stored(app).await?;
    let document = match &stored {
        None => json!({}),
        Some(stored) => parse_stored(&stored.document)?,
    };
    Ok(with_etag(
        response::json(200, &document),
        stored.map_or(0, |stored| stored.version),
    ))
}

/// Serves `PUT /api/replies`: replaces the whole document, or refuses it as a whole. With `If-Match` it replaces only the
/// version that the caller has read.
async fn put(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let document = request.json()?;
    let json = document.to_string();
    ReplyRules::parse(json.as_bytes()).map_err(refused)?;
    let expected = expected_version(request.headers())?;
    let saved = app
        .account
        .table
        .save_replies(&json, expected, app.account.clock.now())
        .await?;
    Ok(with_etag(response::json(200, &document), version(saved)?))
}

/// Serves `POST /api/replies/rollback`: stores an earlier version again, the one in `{"version":n}` or else the one before
/// the last change. With `If-Match` it replaces only the version that the caller has read. A retry after a lost answer
/// finds the version restored, and changes nothing.
async fn rollback(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let requested = requested_version(&request.optional_json()?)?;
    let expected = expected_version(request.headers())?;
    let current = stored(app).await?;
    let found = current.as_ref().map_or(0, |current| current.version);
    if expected.is_some_and(|expected| expected != found) {
        return Err(changed(found));
    }
    let back = current.as_ref().and_then(|current| current.restores);
    let wanted = requested.or(back).unwrap_or(found.saturating_sub(1));
    if let Some(current) = current.filter(|current| current.restores == Some(wanted)) {
        return Ok(with_etag(response::json(200, &parse_stored(&current.document)?), found));
    }
    let earlier = app.account.table.earlier_replies(wanted).await?;
    let earlier = earlier.ok_or_else(|| {
        Problem::not_found(if found == 0 {
            "no earlier version is stored / 没有可回滚的版本".to_owned()
        } else {
            format!(
                "version {wanted} is not stored: only the 10 versions before version {found} are \
                 / 未保存版本 {wanted}：仅保留版本 {found} 之前的 10 个版本"
            )
        })
    })?;
    let restored = parse_stored(&earlier.document)?;
    let saved = app
        .account
        .table
        .restore_replies(&earlier, found, app.account.clock.now())
        .await?;
    Ok(with_etag(response::json(200, &restored), version(saved)?))
}

/// Reads `{"version":n}`. `None` when there is no body, or no version in it.
fn requested_version(request: &Value) -> Result<Option<u64>, Problem> {
    if request.is_null() {
        return Ok(None);
    }
    let mut reader = Reader::of_request();
    let request = reader.object_of(Place::Root, request, &["version"]);
    let version = request.and_then(|request| request.get("version"));
    let version = version.map(|version| reader.integer(&Place::Root.member("version"), version));
    reader.finish(Some(version.flatten())).map_err(Problem::faulty_request)
}

/// Serves `POST /api/replies/try`: what the stored rules would reply to `{"text":…}` or `{"event":…,"key":…}`. The scan of a
/// code that binds is answered as though it bound; nobody is bound.
async fn try_out(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let callback = pretended_callback(&request.json()?)?;
    let (_, rules) = stored_rules(app).await?;
    let answer = rules.answer(&callback);
    Ok(response::json(
        200,
        &json!({"reply": answer.as_ref().map(|answer| answer.reply), "rule": answer.map(|answer| answer.rule)}),
    ))
}

/// Builds the callback that WeChat would send, so that the webhook's own code chooses the reply.
fn pretended_callback(request: &Value) -> Result<Callback, Problem> {
    let mut reader = Reader::of_request();
    let read = pretended_message(&mut reader, request);
    let message = reader.finish(read).map_err(Problem::faulty_request)?;
    let document = Tree::parse(message.to_string().as_bytes()).map_err(|error| {
        Problem::bad_request(caused("WeChat would not send this", "微信不会发送这样的消息", &error))
    })?;
    Callback::from_document(document).map_err(|error| Problem::bad_request(error.to_string()))
}

/// Builds the message as WeChat writes it.
fn pretended_message(reader: &mut Reader, request: &Value) -> Option<Value> {
    let request = reader.object_of(Place::Root, request, &["text", "event", "key"])?;
    for (name, value) in request.members {
        reader.text(&Place::Root.member(name), value);
    }
    match [request.get("text"), request.get("event"), request.get("key")] {
        [Some(content), None, None] => Some(json!({"MsgType": "text", "Content": content})),
        [None, Some(event), None] => Some(json!({"MsgType": "event", "Event": event})),
        [None, Some(event), Some(key)] => Some(json!({"MsgType": "event", "Event": event, "EventKey": key})),
        _ => {
            let detail = "must hold either text, or event with an optional key / 应含 text，或含 event（可加 key）";
            reader.fault(&Place::Root, detail);
            None
        }
    }
}

/// Reads the stored rules and their version. Without stored rules, returns the built-in ones as version 0.
pub(crate) async fn stored_rules(app: &App) -> Result<(u64, ReplyRules), Problem> {
    match stored(app).await? {
        None => Ok((0, ReplyRules::default())),
        Some(stored) => {
            let rules = ReplyRules::parse(stored.document.as_bytes()).map_err(damaged)?;
            Ok((stored.version, rules))
        }
    }
}

async fn stored(app: &App) -> Result<Option<StoredReplies>, Problem> {
    app.account.table.replies().await.map_err(Problem::from)
}

fn version(saved: SavedReplies) -> Result<u64, Problem> {
    match saved {
        SavedReplies::Saved { version } => Ok(version),
        SavedReplies::Changed { version } => Err(changed(version)),
    }
}

fn changed(version: u64) -> Problem {
    Problem::precondition_failed(format!(
        "the rules have changed and are at version {version} now: read them again and repeat the change \
         / 规则已被他人修改（当前版本 {version}），请重新读取后再改"
    ))
}

fn parse_stored(document: &str) -> Result<Value, Problem> {
    serde_json::from_str(document).map_err(damaged)
}

fn damaged(error: impl std::fmt::Display) -> Problem {
    Problem::set_up(caused(
        "the stored reply rules are damaged",
        "已保存的回复规则已损坏",
        &error,
    ))
    .with_hint(
        "Store the rules again with PUT /api/replies, or an earlier version with POST /api/replies/rollback. \
         / 请用 PUT /api/replies 重新保存，或用 POST /api/replies/rollback 恢复之前的版本。",
    )
}

fn refused(error: RulesError) -> Problem {
    let detail = error.to_string();
    match error {
        RulesError::Faults(faults) => Problem::bad_request(detail).with_faults(faults),
        _ => Problem::bad_request(detail),
    }
}

/// Reads the version in `If-Match`.
fn expected_version(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let tag = if_match(headers)?;
    tag.map(|tag| tag.parse().map_err(|_| bad_if_match())).transpose()
}
