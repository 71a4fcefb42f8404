//! `GET /api/account`: the account, its access_token's life, and what the caller may do. The console begins with it.

use http::Response;
use http_api::{ApiRequest, Operation, Problem, Route, openapi::Schema, response, route};
use serde::Serialize;
use wechat::callback::MessageMode;

use crate::App;

pub(crate) const PATH: &str = "/api/account";

pub(crate) const ROUTES: &[Route<App>] = &[route!(
    Send | Campaigns | Users | Menu | Replies | Operate | Relay | Keys,
    GET PATH => get,
    Operation {
        id: "getAccount",
        summary: "The account, its access_token's life, and the caller's scopes / 公众号、access_token 的有效期与调用方的权限",
        description: "The access_token itself is nowhere in it.",
        answers: &[(200, "The account", Schema::Named("Account"))],
        ..Operation::NEW
    }
)];

#[derive(Serialize)]
struct Account<'a> {
    app_id: &'a str,
    /// `plain`, `compat` or `safe`; null when it cannot be seen from here.
    mode: Option<&'static str>,
    /// The server's time, in epoch seconds.
    now: i64,
    token: Option<Token>,
    failure: Option<Failure>,
    caller: Caller<'a>,
}

/// The life of the access_token. Times are in epoch seconds.
#[derive(Serialize)]
struct Token {
    generation: u64,
    expires_at: i64,
    refreshed_at: i64,
}

/// The last failure to refresh since the last success.
#[derive(Serialize)]
struct Failure {
    at: i64,
    errcode: Option<i64>,
    message: String,
}

#[derive(Serialize)]
struct Caller<'a> {
    name: &'a str,
    scopes: Vec<&'static str>,
}

/// Serves `GET /api/account`.
async fn get(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let table = &app.account.table;
    let item = table.token().await?;
    let caller = request.caller();
    let jwt = app.staff_login.as_ref().zip(request.jwt());
    let may = |scope| jwt.as_ref().is_none_or(|(login, jwt)| login.grants(scope, &jwt.scopes));
    Ok(response::json(
        200,
        &Account {
            app_id: table.app_id(),
            mode: mode(app),
            now: app.account.clock.now(),
            token: item.token.map(|token| Token {
                generation: token.generation,
                expires_at: token.expires_at,
                refreshed_at: token.refreshed_at,
            }),
            failure: item.failure.map(|failure| Failure {
                at: failure.at,
                errcode: failure.errcode,
                message: failure.message,
            }),
            caller: Caller {
                name: caller.name(),
                scopes: caller
                    .grants()
                    .scopes
                    .iter()
                    .filter(|scope| may(**scope))
                    .map(|scope| scope.as_str())
                    .collect(),
            },
        },
    ))
}

fn mode(app: &App) -> Option<&'static str> {
    let mode = app.webhook_mode.as_ref()?.as_ref().ok()?;
    Some(MessageMode::as_str(*mode))
}
