//! The doctor: checks the set-up in the order in which it usually fails, and says how to fix what is wrong. A failed check
//! does not stop the others. The answer never shows a secret, and arrives in time even when a dependency hangs.

mod checks;

use std::{future::Future, time::Duration};

use http::Response;
use http_api::{ApiRequest, Operation, Problem, Route, openapi::Schema, response, route};
use serde::Serialize;
use serde_json::json;
use wechat::{
    api::{
        Call as _,
        calls::{
            template::SendTemplateMessage,
            token::{GetClassicToken, GetStableToken},
        },
    },
    clock::Deadline,
};

use crate::App;

/// The path of the doctor.
pub(crate) const PATH: &str = "/api/doctor";

pub(crate) const ROUTES: &[Route<App>] = &[route!(Operate, GET PATH => examine, Operation {
    id: "getDoctor",
    summary: "Check the set-up step by step / 检查配置",
    answers: &[(200, "Each check, and how to fix what fails", Schema::Named("Doctor"))],
    ..Operation::NEW
})];

/// The APIs whose quotas limit the token refreshes. Only token-refresher knows which one it calls (`WECHAT_TOKEN_API`).
const TOKEN_PATHS: [&str; 2] = [GetStableToken::PATH, GetClassicToken::PATH];
/// Budget of one check. Two groups of concurrent checks, and [`TOKEN_BUDGET`] between them, take less than 10 s.
const CHECK_BUDGET: Duration = Duration::from_millis(2000);
/// Budget of the check in which WeChat tests the callback URL. It also reads the table.
const CALLBACK_URL_BUDGET: Duration = Duration::from_millis(3000);
/// Budget of the check in which `token-refresher` may call WeChat.
const TOKEN_BUDGET: Duration = Duration::from_millis(4500);

/// The hint for a failure whose detail says enough.
const SEE_DETAIL: &str =
    "Check what the detail names, then the function's log. / 请检查 detail 所指之处，并查看函数日志。";

/// The result of one check.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    detail: String,
    /// What to do. `None` when there is nothing to do.
    hint: Option<String>,
}

/// What a passed check reports.
#[derive(Debug)]
struct Passed {
    detail: String,
    hint: Option<String>,
}

impl Passed {
    fn new(detail: impl Into<String>) -> Self {
        Self {
            detail: detail.into(),
            hint: None,
        }
    }
}

impl Check {
    fn new(name: &'static str, found: Result<Passed, Problem>) -> Self {
        match found {
            Ok(Passed { detail, hint }) => Self {
                name,
                ok: true,
                detail,
                hint,
            },
            Err(problem) => Self {
                name,
                ok: false,
                detail: match problem.errcode() {
                    Some(errcode) => format!("errcode {errcode}: {}", problem.detail()),
                    None => problem.detail().to_owned(),
                },
                hint: Some(problem.hint().unwrap_or(SEE_DETAIL).to_owned()),
            },
        }
    }

    fn not_run(name: &'static str) -> Self {
        let problem = Problem::set_up("not checked: there is no access_token / 没有 access_token，未检查")
            .with_hint("Fix the check \"token\" first. / 请先解决 token 一项。");
        Self::new(name, Err(problem))
    }
}

/// Serves `GET /api/doctor`.
async fn examine(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let deadline = request.deadline();
    let secret = app.secret.clone().map(|error| Problem::not_configured(&error.into()));
    let mut checks: Vec<Check> = secret
        .into_iter()
        .map(|problem| Check::new("secret", Err(problem)))
        .collect();
    checks.push(Check::new("configuration", checks::configuration(app)));
    checks.push(Check::new("API keys", checks::api_keys(app)));
    let (table, rules, expiry, callbacks, own_code, relay) = tokio::join!(
        within("table", CHECK_BUDGET, checks::table(app)),
        within("reply rules", CHECK_BUDGET, checks::reply_rules(app)),
        within("table expiry", CHECK_BUDGET, checks::table_expiry(app)),
        within("callbacks", CHECK_BUDGET, checks::callbacks(app)),
        within("own code", CHECK_BUDGET, checks::own_code(app)),
        within("relay", CHECK_BUDGET, checks::relay(app)),
    );
    let token = within("token", TOKEN_BUDGET, checks::token(app, deadline)).await;
    let has_token = token.ok;
    let refused = checks::refused_callbacks(app, has_token, deadline);
    let (refused, with_token) = tokio::join!(
        within("last refused callback", CHECK_BUDGET, refused),
        with_token(app, has_token, deadline),
    );
    checks.extend([table, rules, expiry, callbacks, refused, own_code, relay, token]);
    checks.extend(with_token);
    let ok = checks.iter().all(|check| check.ok);
    Ok(response::json(200, &json!({"ok": ok, "checks": checks})))
}

/// Runs the checks that call WeChat, which needs a token.
async fn with_token(app: &App, has_token: bool, deadline: Deadline) -> Vec<Check> {
    let names = [
        "refresh on demand",
        "templates",
        "menu",
        "callback URL",
        "send quota",
        "token quota",
    ];
    if !has_token {
        return names.map(Check::not_run).into();
    }
    let [refresh, templates, menu, callback, sends, tokens] = names;
    let (refresh, templates, menu, callback, sends, tokens) = tokio::join!(
        within(refresh, CHECK_BUDGET, checks::refresh_on_demand(app, deadline)),
        within(templates, CHECK_BUDGET, checks::templates(app, deadline)),
        within(menu, CHECK_BUDGET, checks::menu(app, deadline)),
        within(callback, CALLBACK_URL_BUDGET, checks::callback_url(app, deadline)),
        within(
            sends,
            CHECK_BUDGET,
            checks::quota(app, &[SendTemplateMessage::PATH], deadline)
        ),
        within(tokens, CHECK_BUDGET, checks::quota(app, &TOKEN_PATHS, deadline)),
    );
    vec![refresh, templates, menu, callback, sends, tokens]
}

/// Runs one check within its budget.
async fn within(name: &'static str, budget: Duration, check: impl Future<Output = Result<Passed, Problem>>) -> Check {
    // Boxed: all checks together would overflow the stack of a thread.
    let found = tokio::time::timeout(budget, Box::pin(check)).await;
    Check::new(name, found.unwrap_or_else(|_| Err(timed_out(budget))))
}

fn timed_out(budget: Duration) -> Problem {
    Problem::timeout(format!("no answer within {budget:?} / 未在 {budget:?} 内应答"))
}
