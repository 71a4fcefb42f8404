//! `/api/forwards`: the callbacks that the team's own code has not taken.

use std::time::Duration;

use http::{Response, StatusCode};
use http_api::{
    ApiRequest, Operation, Problem, Route,
    openapi::{CURSOR, Location, Parameter, Schema},
    response, route,
};
use serde::Serialize;
use wechat::store::{ForwardList, ForwardRecord, List, Page};

use crate::App;

const ID: Parameter = Parameter {
    name: "id",
    location: Location::Path,
    description: "The callback's id, as own code gets it in webhook-id",
    schema: r#"{"type": "string"}"#,
};

pub(crate) const ROUTES: &[Route<App>] = &[
    route!(Operate, GET "/api/forwards" => list, Operation {
        id: "listForwards",
        summary: "Callbacks that own code has not taken / 自有服务尚未接收的回调",
        parameters: &[
            Parameter {
                name: "state",
                location: Location::Query,
                description: "waiting: own code will be asked again. dead: it will not, unless somebody retries it",
                schema: r#"{"type": "string", "enum": ["waiting", "dead"], "default": "waiting"}"#,
            },
            CURSOR,
        ],
        answers: &[(200, "A page: waiting ones by their next attempt, dead ones by the time of their last", Schema::Named("ForwardPage"))],
        failures: &[400],
        ..Operation::NEW
    }),
    route!(Operate, POST "/api/forwards/retry" => retry_all, Operation {
        id: "retryForwards",
        summary: "Ask own code again for all dead callbacks / 重新转发所有已放弃的回调",
        description: "They are due at once, with all attempts before them. An answer other than 202 may have made some due: repeat the request.",
        answers: &[(202, "They are due", Schema::Named("RetriedForwards"))],
        failures: &[400],
        ..Operation::NEW
    }),
    route!(Operate, POST "/api/forwards/{id}/retry" => retry, Operation {
        id: "retryForward",
        summary: "Ask own code again for a callback / 重新转发一条回调",
        description: "A waiting or a dead one is due at once, with all attempts before it.",
        parameters: &[ID],
        answers: &[(202, "It is due", Schema::Empty)],
        failures: &[404],
        ..Operation::NEW
    }),
    route!(Operate, DELETE "/api/forwards/{id}" => delete, Operation {
        id: "deleteForward",
        summary: "Delete a callback that own code has not taken / 删除一条尚未接收的回调",
        parameters: &[ID],
        answers: &[(204, "Own code is not asked for it again", Schema::Empty)],
        failures: &[404],
        ..Operation::NEW
    }),
];

/// Time of the request that is reserved for the answer when all dead callbacks are retried.
const ANSWERING: Duration = Duration::from_millis(500);

#[derive(Serialize)]
struct ForwardPage<'a> {
    /// The address of own code without its query; null without `FORWARD_URL`.
    own_code: Option<String>,
    forwards: &'a [ForwardRecord],
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

#[derive(Serialize)]
struct RetriedForwards {
    retried: usize,
}

/// Serves `GET /api/forwards`.
async fn list(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let list = match request.query("state").as_deref() {
        None | Some("waiting") => ForwardList::Waiting,
        Some("dead") => ForwardList::Dead,
        Some(_) => {
            return Err(
                Problem::bad_request("state is waiting or dead / state 应为 waiting 或 dead").with_field("state"),
            );
        }
    };
    let table = &app.account.table;
    let after = request.cursor(|cursor| table.parse_cursor(List::Forwards, cursor))?;
    let now = app.account.clock.now_millis();
    let Page { entries, next } = table.page_of_forwards(list, after.as_ref(), now).await?;
    let page = ForwardPage {
        own_code: app.forward_url.as_ref().map(ToString::to_string),
        forwards: &entries,
        cursor: next.map(|next| table.cursor_text(List::Forwards, &next)),
    };
    Ok(response::json(200, &page))
}

/// Serves `POST /api/forwards/{id}/retry`.
async fn retry(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let now = app.account.clock.now_millis();
    if app.account.table.retry_forward(request.parameter("id"), now).await? {
        Ok(response::empty(StatusCode::ACCEPTED))
    } else {
        Err(no_such_forward())
    }
}

/// Serves `POST /api/forwards/retry`.
async fn retry_all(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let now = app.account.clock.now_millis();
    let budget = request.deadline().budget(now, Duration::MAX, ANSWERING);
    let retried = tokio::time::timeout(budget, app.account.table.retry_dead_forwards(now)).await;
    let retried = retried.map_err(|_| {
        Problem::timeout(
            "there are more dead callbacks than one request can retry / 已放弃的回调过多，一次请求未能处理完",
        )
        .with_hint("Repeat the request to continue. / 请重复此请求以继续。")
    })?;
    Ok(response::json(202, &RetriedForwards { retried: retried? }))
}

/// Serves `DELETE /api/forwards/{id}`.
async fn delete(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    if app.account.table.delete_forward(request.parameter("id")).await? {
        Ok(response::empty(StatusCode::NO_CONTENT))
    } else {
        Err(no_such_forward())
    }
}

fn no_such_forward() -> Problem {
    Problem::not_found("no callback with this id waits for own code or is dead / 没有该 id 的待转发或已放弃的回调")
        .with_hint("Own code may have taken it. GET /api/forwards lists the ids. / 可能已被接收；可通过 GET /api/forwards 查询 id。")
}
