//! What the account's web pages need: registered domains, web login without a browser, and the JS-SDK's check.

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{
        HeaderMap,
        header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE, ORIGIN},
    },
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ControlError, Controlled, Shared, parse, parse_url, user};
use crate::platform::{
    Platform,
    authorize::{Login, PageError, Request, Scope},
    hosts::Domains,
    js_tickets,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Authorize {
    url: String,
    openid: Option<String>,
    #[serde(default)]
    snapshot: bool,
}

/// Opens a link to the authorize page as a user; without an openid, as a new one who does not follow.
pub(super) async fn authorize(State(simulation): Shared, body: Bytes) -> Controlled<Login> {
    let Authorize { url, openid, snapshot } = parse(&body)?;
    let url = parse_url(&url)?;
    if url.path() != "/connect/oauth2/authorize" || url.fragment() != Some("wechat_redirect") {
        return Err(ControlError::bad_request(
            "`url` must be …/connect/oauth2/authorize?…#wechat_redirect",
        ));
    }
    let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let platform = &mut *simulation.platform();
    if let Some(openid) = &openid {
        user(platform, openid)?;
    }
    let request = Request::read(platform, &query)?;
    if snapshot && request.scope == Scope::Base {
        return Err(ControlError::bad_request("only snsapi_userinfo opens as a snapshot"));
    }
    Ok(Json(request.log_in(platform, openid, snapshot)?))
}

impl From<PageError> for ControlError {
    fn from(error: PageError) -> Self {
        let (english, _) = error.texts();
        Self {
            code: Some(error.code()),
            ..Self::bad_request(english)
        }
    }
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DomainList {
    domains: Domains,
}

/// Registers 网页授权域名; null lets every host pass.
pub(super) async fn oauth_domains(State(simulation): Shared, body: Bytes) -> Controlled<DomainList> {
    let list = domain_list(&body)?;
    simulation.platform().oauth_domains.clone_from(&list.domains);
    Ok(Json(list))
}

/// Registers JS接口安全域名; null lets every host pass.
pub(super) async fn js_domains(State(simulation): Shared, body: Bytes) -> Controlled<DomainList> {
    let list = domain_list(&body)?;
    simulation.platform().js_domains.clone_from(&list.domains);
    Ok(Json(list))
}

fn domain_list(body: &[u8]) -> Result<DomainList, ControlError> {
    let list: DomainList = parse(body)?;
    if !list.domains.are_valid() {
        return Err(ControlError::bad_request(
            "a domain is a bare host such as example.com, without scheme and port",
        ));
    }
    Ok(list)
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OpenPlatform {
    bound: bool,
}

/// Binds the account to an open-platform account (微信开放平台), or ends that: its users have a unionid, or none.
pub(super) async fn open_platform(State(simulation): Shared, body: Bytes) -> Controlled<OpenPlatform> {
    let open_platform: OpenPlatform = parse(&body)?;
    simulation.platform().has_unionids = open_platform.bound;
    Ok(Json(open_platform))
}

/// Checks a page's signature as the phone does. Pages of this machine may read the answer; the server refuses others.
pub(super) async fn check_js_config(
    State(simulation): Shared,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ControlError> {
    let answer = js_config_answer(&simulation.platform(), &body)?;
    let mut response = Json(answer).into_response();
    let origin = headers.get(ORIGIN).cloned();
    response
        .headers_mut()
        .extend(origin.map(|origin| (ACCESS_CONTROL_ALLOW_ORIGIN, origin)));
    Ok(response)
}

fn js_config_answer(platform: &Platform, body: &[u8]) -> Result<Value, ControlError> {
    Ok(match js_tickets::check(platform, &parse(body)?) {
        Ok(()) => json!({"ok": true}),
        Err(error) => json!({"ok": false, "errMsg": error.errmsg()}),
    })
}

/// A small `jweixin.js`: `wx.config`, `wx.ready` and `wx.error`.
pub(super) async fn js_sdk() -> Response {
    let script = include_str!("jweixin.js");
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], script).into_response()
}
