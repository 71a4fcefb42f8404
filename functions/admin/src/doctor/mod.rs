//! The doctor: walks the set-up in the order in which it fails in real life, goes on as far as it can, and says how to
//! mend what is wrong. Never shows a secret, and answers in time whatever hangs.

mod checks;

use std::{future::Future, time::Duration};

use http::Response;
use http_api::{ApiRequest, Operation, Problem, Route, openapi::Schema, response, route};
use serde::Serialize;
use serde_json::json;
use wechat::clock::Deadline;

use crate::App;

/// The path of the doctor.
pub(crate) const PATH: &str = "/api/doctor";

pub(crate) const ROUTES: &[Route<App>] = &[route!(GET PATH => examine, Operation {
    id: "getDoctor",
    summary: "Check the set-up step by step / 检查配置",
    answers: &[(200, "Each check, and how to mend what fails", Schema::Named("Doctor"))],
    ..Operation::NEW
})];

/// The APIs whose quotas matter.
const SEND_PATH: &str = "/cgi-bin/message/template/send";
const TOKEN_PATH: &str = "/cgi-bin/stable_token";
/// One check. Two groups of them, each run at once, and [`TOKEN_BUDGET`] between them stay under 10 s.
const CHECK_BUDGET: Duration = Duration::from_millis(2000);
/// The check that has WeChat look for the callback URL, and the table asked about what it found.
const CALLBACK_URL_BUDGET: Duration = Duration::from_millis(3000);
/// The check that may have the refresher call WeChat.
const TOKEN_BUDGET: Duration = Duration::from_millis(4500);

/// For a failure whose detail already says what to look at.
const SEE_DETAIL: &str =
    "Look into what the detail names, then at the function's log. / 请检查 detail 所指之处，并查看函数日志。";

/// One examined thing.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    detail: String,
    /// What to do; none for what needs nothing.
    hint: Option<String>,
}

/// What an examination that found nothing wrong has to tell.
#[derive(Debug)]
struct Finding {
    detail: String,
    hint: Option<String>,
}

impl Finding {
    fn new(detail: impl Into<String>) -> Self {
        Self {
            detail: detail.into(),
            hint: None,
        }
    }
}

impl Check {
    fn new(name: &'static str, found: Result<Finding, Problem>) -> Self {
        match found {
            Ok(Finding { detail, hint }) => Self {
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
        let problem = Problem::set_up("not checked, since there is no access_token / 没有 access_token，未检查")
            .with_hint("Mend the check \"token\" first. / 请先解决 token 一项。");
        Self::new(name, Err(problem))
    }
}

/// Serves `GET /api/doctor`.
async fn examine(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let deadline = request.deadline();
    let secret = app.secret.clone().map(|error| Problem::not_configured(&error.into()));
    let mut examined: Vec<Check> = secret
        .into_iter()
        .map(|problem| Check::new("secret", Err(problem)))
        .collect();
    examined.push(Check::new("configuration", checks::configuration(app)));
    examined.push(Check::new("API keys", checks::api_keys(app)));
    let (table, rules, expiry, callbacks) = tokio::join!(
        within("table", CHECK_BUDGET, checks::table(app)),
        within("reply rules", CHECK_BUDGET, checks::reply_rules(app)),
        within("table expiry", CHECK_BUDGET, checks::table_expiry(app)),
        within("callbacks", CHECK_BUDGET, checks::callbacks(app)),
    );
    let token = within("token", TOKEN_BUDGET, checks::token(app, deadline)).await;
    let has_token = token.ok;
    let refused = checks::refused_callbacks(app, has_token, deadline);
    let (refused, with_token) = tokio::join!(
        within("last refused callback", CHECK_BUDGET, refused),
        with_token(app, has_token, deadline),
    );
    examined.extend([table, rules, expiry, callbacks, refused, token]);
    examined.extend(with_token);
    let ok = examined.iter().all(|check| check.ok);
    Ok(response::json(200, &json!({"ok": ok, "checks": examined})))
}

/// What WeChat can only be asked with a token.
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
        within(sends, CHECK_BUDGET, checks::quota(app, SEND_PATH, deadline)),
        within(tokens, CHECK_BUDGET, checks::quota(app, TOKEN_PATH, deadline)),
    );
    vec![refresh, templates, menu, callback, sends, tokens]
}

async fn within(
    name: &'static str,
    budget: Duration,
    examination: impl Future<Output = Result<Finding, Problem>>,
) -> Check {
    let hangs = || {
        Err(Problem::timeout(format!(
            "no answer within {budget:?} / 未在限定时间内应答"
        )))
    };
    // On the heap: beside one another they fill the stack of a thread.
    let found = tokio::time::timeout(budget, Box::pin(examination)).await;
    Check::new(name, found.unwrap_or_else(|_| hangs()))
}
