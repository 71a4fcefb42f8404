//! The custom menu: query, create, delete. The menu that was there before a change is kept.

use http::Response;
use serde_json::{Value, json};
use wechat::{
    clock::Deadline,
    problem::{self, Problem},
    token::CallError,
};

use crate::App;

/// WeChat's code for "there is no menu".
const NO_MENU: i64 = 46003;

/// Serves `GET /api/menu`.
pub(crate) async fn get(app: &App, deadline: Deadline) -> Result<Response<String>, Problem> {
    match current(app, deadline).await? {
        Some(menu) => Ok(problem::json(200, &menu)),
        None => Err(no_menu()),
    }
}

/// Serves `POST /api/menu`.
pub(crate) async fn create(app: &App, menu: &Value, deadline: Deadline) -> Result<Response<String>, Problem> {
    if !menu.get("button").is_some_and(Value::is_array) {
        return Err(Problem::bad_request("button must be an array of 1 to 3 buttons").with_field("button"));
    }
    keep_current(app, deadline).await?;
    let create = |token, attempts| async move { app.client.create_menu(&token, menu, attempts, deadline).await };
    app.tokens
        .call(deadline, create)
        .await
        .map_err(|error| Problem::from_call(&error, app.clock.now()))?;
    Ok(done())
}

/// Serves `DELETE /api/menu`, which deletes the conditional menus too.
pub(crate) async fn delete(app: &App, deadline: Deadline) -> Result<Response<String>, Problem> {
    keep_current(app, deadline).await?;
    let delete = |token, attempts| async move { app.client.delete_menu(&token, attempts, deadline).await };
    app.tokens
        .call(deadline, delete)
        .await
        .map_err(|error| Problem::from_call(&error, app.clock.now()))?;
    Ok(done())
}

pub(crate) async fn current(app: &App, deadline: Deadline) -> Result<Option<Value>, Problem> {
    let get = |token, attempts| async move { app.client.menu(&token, attempts, deadline).await };
    match app.tokens.call(deadline, get).await {
        Ok(menu) => Ok(Some(menu)),
        Err(CallError::Api(error)) if error.errcode() == Some(NO_MENU) => Ok(None),
        Err(error) => Err(Problem::from_call(&error, app.clock.now())),
    }
}

/// Nothing is changed before what would be lost is kept.
async fn keep_current(app: &App, deadline: Deadline) -> Result<(), Problem> {
    let Some(menu) = current(app, deadline).await? else {
        return Ok(());
    };
    let kept = app
        .table
        .keep_menu(&app.app_id, &menu.to_string(), app.clock.now())
        .await;
    kept.map_err(|error| Problem::from(&error))
}

fn done() -> Response<String> {
    problem::json(200, &json!({"errcode": 0, "errmsg": "ok"}))
}

fn no_menu() -> Problem {
    Problem::not_found("the account has no menu that was made through the API / 尚未通过接口创建菜单")
        .with_hint("Create one with POST /api/menu. / 可用 POST /api/menu 创建。")
}
