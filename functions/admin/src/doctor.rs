//! The doctor: walks the set-up in the order in which it fails in real life, and says how to mend what does.

use http::Response;
use serde::Serialize;
use serde_json::json;
use wechat::{
    clock::Deadline,
    problem::{self, Problem},
    store::TokenItem,
    token::CallError,
};

use crate::App;

/// One examined thing.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Check {
    fn passed(name: &'static str, detail: impl Into<String>) -> Self {
        Self {
            name,
            ok: true,
            detail: detail.into(),
            hint: None,
        }
    }

    fn failed(name: &'static str, problem: &Problem) -> Self {
        Self {
            name,
            ok: false,
            detail: problem.detail().to_owned(),
            hint: problem.hint().map(str::to_owned),
        }
    }
}

/// Serves `GET /api/doctor`. Goes on as far as it can; never shows a secret.
pub(crate) async fn examine(app: &App, deadline: Deadline) -> Response<String> {
    let checks = [
        table(app).await,
        token(app, deadline).await,
        templates(app, deadline).await,
        menu(app, deadline).await,
    ];
    let ok = checks.iter().all(|check| check.ok);
    problem::json(200, &json!({"ok": ok, "checks": checks}))
}

async fn table(app: &App) -> Check {
    match app.table.replies(&app.app_id).await {
        Ok(_) => Check::passed("table", "the table can be read / 数据表可读"),
        Err(error) => Check::failed("table", &Problem::from(&error)),
    }
}

/// A working token is had, if need be by asking the refresher, as any request would.
async fn token(app: &App, deadline: Deadline) -> Check {
    let now = app.clock.now();
    if let Err(error) = app.tokens.ensure(deadline).await {
        return Check::failed("token", &Problem::from_call(&CallError::Token(error), now));
    }
    match app.table.token(&app.app_id).await {
        Ok(TokenItem {
            token: Some(token),
            refreshed_by,
            ..
        }) => Check::passed(
            "token",
            format!(
                "access_token no. {} lives {} s more, obtained {} s ago by run {} / access_token 剩余有效期 {} 秒",
                token.generation,
                token.life(now),
                now - token.refreshed_at,
                refreshed_by.as_deref().unwrap_or("(unknown)"),
                token.life(now),
            ),
        ),
        Ok(_) => Check::failed(
            "token",
            &Problem::set_up("the table holds no access_token / 数据表中没有 access_token"),
        ),
        Err(error) => Check::failed("token", &Problem::from(&error)),
    }
}

async fn templates(app: &App, deadline: Deadline) -> Check {
    let list = |token, attempts| async move { app.client.templates(&token, attempts, deadline).await };
    match app.tokens.call(deadline, list).await {
        Ok(templates) if templates.is_empty() => Check::failed(
            "templates",
            &Problem::set_up("the account has no template / 账号尚未添加模板")
                .with_hint("Add one in the console under 模板消息. / 请在公众号后台「模板消息」中添加模板。"),
        ),
        Ok(templates) => Check::passed(
            "templates",
            format!("{} template(s) / 共 {} 个模板", templates.len(), templates.len()),
        ),
        Err(error) => Check::failed("templates", &Problem::from_call(&error, app.clock.now())),
    }
}

async fn menu(app: &App, deadline: Deadline) -> Check {
    match crate::menu::current(app, deadline).await {
        Ok(Some(_)) => Check::passed("menu", "the account has a menu / 已创建菜单"),
        Ok(None) => Check::passed(
            "menu",
            "the account has no menu, which is allowed / 尚未创建菜单（可选）",
        ),
        Err(problem) => Check::failed("menu", &problem),
    }
}
