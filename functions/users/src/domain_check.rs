//! `GET /MP_verify_{x}.txt`: the file by which WeChat's console checks who owns a domain.
//! See [WeChat Docs/网页授权](https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/Wechat_webpage_authorization.html).

use http::Response;
use http_api::{
    ApiRequest, Operation, Problem, Route,
    openapi::{Location, Parameter, Schema},
    response::respond,
    route,
};

use crate::App;

pub(crate) const ROUTES: &[Route<App>] = &[route!(open, GET "/MP_verify_{check}.txt" => get, Operation {
    id: "getDomainCheck",
    summary: "WeChat's check of the domain / 微信域名校验文件",
    parameters: &[Parameter {
        name: "check",
        location: Location::Path,
        description: "",
        schema: r#"{"type": "string"}"#,
    }],
    answers: &[(200, "The value of WECHAT_DOMAIN_CHECK, as text", Schema::Text)],
    failures: &[404],
    ..Operation::NEW
})];

/// Serves `GET /MP_verify_{check}.txt`.
async fn get(app: &App, request: &ApiRequest<'_>) -> Result<Response<String>, Problem> {
    match &app.domain_check {
        Some(check) if check == request.parameter("check") => {
            Ok(respond(200, "text/plain; charset=utf-8", check.clone()))
        }
        _ => Err(Problem::not_found(
            "WECHAT_DOMAIN_CHECK does not name this file / WECHAT_DOMAIN_CHECK 与该文件名不符",
        )),
    }
}
