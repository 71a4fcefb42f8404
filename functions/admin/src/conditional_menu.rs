//! Conditional menus (个性化菜单): users with a certain tag or platform see them in place of the default menu.
//! See [WeChat Docs/创建个性化菜单](https://developers.weixin.qq.com/doc/service/api/custommenu/api_addconditionalmenu).

use http::Response;
use http_api::{
    ApiRequest, Operation, Problem, Route,
    openapi::{Body, Location, Parameter, Schema},
    response, route,
};
use serde_json::json;
use wechat::{
    account::Account,
    api::calls::conditional_menu::{AddConditionalMenu, DeleteConditionalMenu, TryMatchMenu},
    validate::{Place, Reader, menu},
};

use crate::{
    App,
    etag::refuse_if_match,
    menu::{done, faulty, refused},
};

pub(crate) const ROUTES: &[Route<App>] = &[
    route!(Menu, POST "/api/menu/conditional" => add, Operation {
        id: "addConditionalMenu",
        summary: "Add a conditional menu / 添加个性化菜单",
        body: Some(Body::required("Menu")),
        answers: &[(200, "The menu was added", Schema::Named("AddedMenu"))],
        failures: &[400, 409, 413, 429],
        ..Operation::NEW
    }),
    route!(Menu, DELETE "/api/menu/conditional/{menuid}" => delete, Operation {
        id: "deleteConditionalMenu",
        summary: "Delete a conditional menu / 删除个性化菜单",
        parameters: &[Parameter {
            name: "menuid",
            location: Location::Path,
            description: "",
            schema: r#"{"type": "string", "pattern": "^[0-9]+$"}"#,
        }],
        answers: &[(200, "The menu was deleted", Schema::Named("Done"))],
        failures: &[400, 404, 409, 429],
        ..Operation::NEW
    }),
    route!(Menu, POST "/api/menu/trymatch" => try_match, Operation {
        id: "tryMatchMenu",
        summary: "The menu that a user sees / 测试个性化菜单匹配",
        body: Some(Body::required("MenuUser")),
        answers: &[(200, "WeChat's own answer", Schema::Object)],
        failures: &[400, 413, 429],
        ..Operation::NEW
    }),
];

/// Serves `POST /api/menu/conditional`. The body is a menu with its `matchrule`, as WeChat documents it or as `GET /api/menu`
/// answers it. The account needs a default menu. WeChat allows 2,000 calls a day.
/// See [WeChat Docs/个性化菜单](https://developers.weixin.qq.com/doc/service/en/Custom_Menus/Personalized_menu_interface.html).
async fn add(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let deadline = request.deadline();
    refuse_if_match(request.headers())?;
    let menu = &menu::conditional_menu(&request.json()?).map_err(faulty)?;
    refuse_beside_rollback(app).await?;
    let added = app.account.call(&AddConditionalMenu { menu }, deadline).await;
    let menuid = added.map_err(|error| refused(menu, &error))?;
    Ok(response::json(
        200,
        &json!({"errcode": 0, "errmsg": "ok", "menuid": menuid}),
    ))
}

/// Serves `DELETE /api/menu/conditional/{menuid}`.
async fn delete(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let (menuid, deadline) = (request.parameter("menuid"), request.deadline());
    refuse_if_match(request.headers())?;
    if menuid.is_empty() || !menuid.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(
            Problem::bad_request("menuid must be a decimal number / menuid 应为十进制数字").with_field("menuid"),
        );
    }
    refuse_beside_rollback(app).await?;
    app.account.call(&DeleteConditionalMenu { menuid }, deadline).await?;
    Ok(done())
}

/// Refuses a change in the middle of a rollback, which has read the conditional menus and would restore a wrong order.
async fn refuse_beside_rollback(app: &App) -> Result<(), Problem> {
    let Account { table, clock, .. } = &app.account;
    Ok(table.refuse_claimed_menu(clock.now()).await?)
}

/// Serves `POST /api/menu/trymatch`: the menu that a user sees. `{"user_id":…}` holds the user's openid or WeChat ID.
/// See [WeChat Docs/测试个性化菜单匹配结果](https://developers.weixin.qq.com/doc/service/api/custommenu/api_trymatchmenu).
async fn try_match(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    let (body, deadline) = (request.json()?, request.deadline());
    let mut reader = Reader::of_request();
    let user_id = reader
        .object(Place::Root, &body)
        .and_then(|body| reader.required_text(&body, "user_id", str::is_empty));
    let user_id = reader.finish(user_id).map_err(Problem::faulty_request)?;
    let seen = app.account.call(&TryMatchMenu { user_id }, deadline).await?;
    Ok(response::json(200, &seen))
}
