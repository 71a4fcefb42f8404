//! Messages with `send_at`: schedules them, lists those that wait, shows their state and cancels them. `worker` sends them.

use http::{Response, StatusCode};
use http_api::{
    ApiRequest, Operation, Problem, Route,
    openapi::{CURSOR, Location, Parameter, Schema},
    response, route,
};
use serde::Serialize;
use serde_json::Value;
use wechat::{
    api::CLIENT_MSG_ID_LENGTH,
    digest::sha256_hex,
    random,
    store::{List, ScheduledMessage, ScheduledState},
    validate::{
        send::{Recipients, SendTemplate},
        template::Finding,
    },
};

use crate::{
    App,
    idempotency::{self, Progress},
    templates,
    users::Users,
};

/// Seconds. A message or a campaign can be scheduled for a year ahead.
pub(crate) const AHEAD: i64 = 366 * 24 * 3600;
/// Characters of an id.
const ID_LENGTH: usize = 32;

const ID: Parameter = Parameter {
    name: "id",
    location: Location::Path,
    description: "The id that the request with `send_at` got",
    schema: r#"{"type": "string", "pattern": "^[0-9a-f]{1,32}$"}"#,
};

pub(crate) const ROUTES: &[Route<App>] = &[
    route!(Send, GET "/api/scheduled" => list, Operation {
        id: "listScheduled",
        summary: "The scheduled messages that wait / 待发送的定时消息",
        description: "The first due first, at most 100 a page; a page may be empty and have a cursor.",
        parameters: &[CURSOR],
        answers: &[(200, "A page", Schema::Named("ScheduledPage"))],
        failures: &[400],
        ..Operation::NEW
    }),
    route!(Send, GET "/api/scheduled/{id}" => get, Operation {
        id: "getScheduled",
        summary: "The state of a scheduled message / 查询定时消息",
        parameters: &[ID],
        answers: &[(200, "The message, kept for 30 days after its end", Schema::Named("ScheduledStatus"))],
        failures: &[404],
        ..Operation::NEW
    }),
    route!(Send, DELETE "/api/scheduled/{id}" => cancel, Operation {
        id: "cancelScheduled",
        summary: "Cancel a scheduled message / 取消定时消息",
        parameters: &[ID],
        answers: &[(204, "It will not be sent", Schema::Empty)],
        failures: &[404, 409],
        ..Operation::NEW
    }),
];

/// The answer to a request with `send_at`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(crate) struct Scheduled<'a> {
    /// For `/api/scheduled/{id}`.
    scheduled: &'a str,
    /// In epoch seconds.
    send_at: i64,
    /// The parts of the message that WeChat may drop or display differently. Absent when there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Finding>,
}

/// The state of a scheduled message.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(crate) struct ScheduledStatus {
    scheduled: String,
    /// `waiting`, `sent`, `failed`, `unknown` or `cancelled`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    state: ScheduledState,
    /// In epoch seconds.
    send_at: i64,
    /// Null for a user, until the message is sent.
    touser: Option<String>,
    /// The team's id of the user, for a message that names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    msgid: Option<String>,
    /// The errcode with which WeChat refused last.
    #[serde(skip_serializing_if = "Option::is_none")]
    errcode: Option<i64>,
}

/// A page of the scheduled messages that wait.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(crate) struct ScheduledPage {
    messages: Vec<WaitingMessage>,
    /// For the next page. Absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// A scheduled message that waits.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
struct WaitingMessage {
    /// For `/api/scheduled/{id}`.
    scheduled: String,
    /// In epoch seconds.
    send_at: i64,
    /// The name of the key that scheduled it.
    key: String,
    template_id: String,
    /// Null for a user, until the message is sent.
    touser: Option<String>,
    /// The team's id of the user, for a message that names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
}

/// Schedules `message` for `send_at`, once for an `Idempotency-Key`.
pub(crate) async fn schedule(
    app: &App,
    request: &ApiRequest<'_>,
    body: &Value,
    message: &SendTemplate,
    send_at: i64,
) -> Result<Response<String>, Problem> {
    let id = &match idempotency::key(request.headers())? {
        Some(key) => {
            let name = idempotency::name(app, request.caller(), key);
            sha256_hex(format!("scheduled {name}").as_bytes())[..ID_LENGTH].to_owned()
        }
        None => random::hex::<{ ID_LENGTH / 2 }>(),
    };
    // The checks are part of the recorded run: a retry gets the recorded answer even if the message could no longer be
    // scheduled.
    let run = async |_| match store(app, request, body, message, send_at, id).await {
        Ok(scheduled) => (response::json(202, &scheduled), Progress::Done),
        Err(problem) => (problem.into_response(), Progress::NotAttempted),
    };
    idempotency::once(app, request, body, None, Some(id), run).await
}

/// Stores `message` under `id`, unless it could never be sent.
async fn store<'a>(
    app: &App,
    request: &ApiRequest<'_>,
    body: &Value,
    message: &SendTemplate,
    send_at: i64,
    id: &'a str,
) -> Result<Scheduled<'a>, Problem> {
    let now = app.account.clock.now();
    if send_at < now || send_at > now + AHEAD {
        let detail = "send_at must lie ahead, by a year at most / send_at 应为将来的时间，最多一年";
        return Err(Problem::bad_request(detail).with_field("send_at"));
    }
    let users = Users::read(app, &message.recipients).await?;
    let user = match &message.recipients {
        Recipients::User(user) if users.as_ref().is_some_and(|users| !users.knows(user)) => {
            return Err(Problem::unknown_user());
        }
        Recipients::User(user) => Some(user.clone()),
        _ => None,
    };
    let content = &message.content;
    let findings = templates::check(app, &content.template_id, &content.data, request.deadline()).await;
    let findings = templates::refuse_mismatch(findings, message.only_warns)?;
    // A user's openid is looked up when the time has come.
    let touser = match user {
        Some(_) => "",
        None => message.recipients.first(),
    };
    let client_msg_id = message.client_msg_id.as_deref().unwrap_or(&id[..CLIENT_MSG_ID_LENGTH]);
    let scheduled = ScheduledMessage {
        message: content.message(touser.to_owned(), client_msg_id.to_owned()),
        user,
        send_at,
        key: request.caller().name().to_owned(),
        fingerprint: idempotency::fingerprint(body),
        state: ScheduledState::Waiting,
        asked_at: None,
        msgid: None,
        errcode: None,
    };
    match app.account.table.schedule_message(id, &scheduled).await? {
        Some(other) if other.fingerprint != scheduled.fingerprint => Err(Problem::key_reused()),
        _ => Ok(Scheduled {
            scheduled: id,
            send_at,
            findings,
        }),
    }
}

/// Serves `GET /api/scheduled`. Messages of templates that the caller may not use are left out.
async fn list(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let (table, grants) = (&app.account.table, request.caller().grants());
    let after = request.cursor(|cursor| table.parse_cursor(List::Scheduled, cursor))?;
    let page = table.page_of_scheduled(after.as_ref()).await?;
    let shown = page.entries.into_iter();
    let shown = shown.filter(|(_, found)| grants.allows_template(&found.message.template_id));
    let messages = shown.map(|(scheduled, found)| WaitingMessage {
        scheduled,
        send_at: found.send_at,
        touser: found.openid().map(str::to_owned),
        key: found.key,
        template_id: found.message.template_id,
        user: found.user,
    });
    let page = ScheduledPage {
        messages: messages.collect(),
        cursor: page.next.map(|next| table.cursor_text(List::Scheduled, &next)),
    };
    Ok(response::json(200, &page))
}

/// Finds a scheduled message. One of a template that the caller may not use does not exist for the caller.
async fn find(app: &App, request: &ApiRequest<'_>) -> Result<ScheduledMessage, Problem> {
    let (id, now) = (request.parameter("id"), app.account.clock.now());
    let found = app.account.table.scheduled_message(id, now).await?;
    let grants = request.caller().grants();
    found
        .filter(|found| grants.allows_template(&found.message.template_id))
        .ok_or_else(|| Problem::not_found("there is no such scheduled message / 没有该定时消息"))
}

/// Serves `GET /api/scheduled/{id}`.
async fn get(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let found = find(app, request).await?;
    let status = ScheduledStatus {
        scheduled: request.parameter("id").to_owned(),
        state: found.state,
        send_at: found.send_at,
        touser: found.openid().map(str::to_owned),
        user: found.user,
        msgid: found.msgid,
        errcode: found.errcode,
    };
    Ok(response::json(200, &status))
}

/// Serves `DELETE /api/scheduled/{id}`.
async fn cancel(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    find(app, request).await?;
    let cancelled = app
        .account
        .table
        .cancel_scheduled(request.parameter("id"), app.account.clock.now())
        .await?;
    if cancelled {
        Ok(response::empty(StatusCode::NO_CONTENT))
    } else {
        Err(Problem::conflict(
            "it is being sent, or has been / 正在发送或已发送，无法取消",
        ))
    }
}
