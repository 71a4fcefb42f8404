//! Conditional menus (个性化菜单): what users with a tag or on a platform see in place of the default menu.

use http::Response;
use serde_json::{Value, json};
use wechat::{
    clock::Deadline,
    problem::Problem,
    response,
    validate::{Place, Reader, menu},
};

use crate::{
    App,
    menu::{done, faulty},
};

/// Serves `POST /api/menu/conditional`: a menu with its `matchrule`, also as `GET /api/menu` answers it. Needs a default
/// menu. 2,000 a day.
pub(crate) async fn add(app: &App, body: &Value, deadline: Deadline) -> Result<Response<String>, Problem> {
    let menu = &menu::conditional_menu(body).map_err(faulty)?;
    // One attempt: a repeat after a lost answer would leave the menu there twice.
    let add = |token, _| async move { app.client.add_conditional_menu(&token, menu, deadline).await };
    let menuid = app.ask_wechat(deadline, add).await?;
    Ok(response::json(
        200,
        &json!({"errcode": 0, "errmsg": "ok", "menuid": menuid}),
    ))
}

/// Serves `DELETE /api/menu/conditional/{menuid}`.
pub(crate) async fn delete(app: &App, menuid: &str, deadline: Deadline) -> Result<Response<String>, Problem> {
    if menuid.is_empty() || !menuid.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Problem::bad_request("a menuid is a decimal number / menuid 应为十进制数字").with_field("menuid"));
    }
    let delete = |token, _| async move { app.client.delete_conditional_menu(&token, menuid, deadline).await };
    app.ask_wechat(deadline, delete).await?;
    Ok(done())
}

/// Serves `POST /api/menu/trymatch`: the menu that the user of `{"user_id":…}`, an openid or a WeChat ID, sees.
pub(crate) async fn try_match(app: &App, request: &Value, deadline: Deadline) -> Result<Response<String>, Problem> {
    let mut reader = Reader::of_request();
    let user_id = reader
        .object(Place::Root, request)
        .and_then(|request| reader.required_text(&request, "user_id", str::is_empty));
    let user_id = reader.finish(user_id).map_err(Problem::faulty_request)?;
    let seen = |token, attempts| async move { app.client.menu_seen_by(&token, user_id, attempts, deadline).await };
    Ok(response::json(200, &app.ask_wechat(deadline, seen).await?))
}
