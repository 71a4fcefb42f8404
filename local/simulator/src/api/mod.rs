//! The calls of a server to the platform: `/cgi-bin/…` and `/sns/…`.
//!
//! Everything here is synchronous work on [`Platform`]; notices to push afterwards wait in its outbox. This room imports
//! no other than [`platform`](crate::platform).

mod conditional_menu;
mod custom_message;
mod js_ticket;
mod management;
mod menu;
mod oauth;
mod qr_code;
mod serve;
mod tags;
mod template;
mod template_library;
mod token;
mod users;

use axum::http::Method;
use serde_json::{Value, json};

pub(crate) use self::serve::serve;
use crate::platform::{Platform, account_type::Needs, call::Call, errcode::ApiError};

type Handler = fn(&mut Platform, &Call<'_>) -> Result<Value, ApiError>;

/// The APIs that need an access token, and the kind of account that they need.
#[rustfmt::skip]
const ENDPOINTS: &[(Method, &str, Needs, Handler)] = &[
    (Method::POST, "/cgi-bin/message/template/send", Needs::VerifiedService, template::send),
    (Method::GET, "/cgi-bin/template/get_all_private_template", Needs::VerifiedService, template::list),
    (Method::POST, "/cgi-bin/template/api_add_template", Needs::VerifiedService, template_library::add),
    (Method::POST, "/cgi-bin/template/del_private_template", Needs::VerifiedService, template_library::delete),
    (Method::GET, "/cgi-bin/template/get_industry", Needs::VerifiedService, template_library::industry),
    (Method::POST, "/cgi-bin/template/api_set_industry", Needs::VerifiedService, template_library::set_industry),
    (Method::POST, "/cgi-bin/message/custom/send", Needs::Verification, custom_message::send),
    (Method::POST, "/cgi-bin/message/custom/typing", Needs::Verification, custom_message::typing),
    (Method::POST, "/cgi-bin/menu/create", Needs::Verification, menu::create),
    (Method::POST, "/cgi-bin/menu/addconditional", Needs::Verification, conditional_menu::add),
    (Method::POST, "/cgi-bin/menu/delconditional", Needs::Verification, conditional_menu::delete),
    (Method::POST, "/cgi-bin/menu/trymatch", Needs::Verification, conditional_menu::try_match),
    (Method::GET, "/cgi-bin/menu/get", Needs::Verification, menu::get),
    (Method::GET, "/cgi-bin/menu/delete", Needs::Verification, menu::delete),
    (Method::POST, "/cgi-bin/qrcode/create", Needs::VerifiedService, qr_code::create),
    (Method::GET, "/cgi-bin/user/get", Needs::Verification, users::list),
    (Method::GET, "/cgi-bin/user/info", Needs::Verification, users::info),
    (Method::POST, "/cgi-bin/user/info/batchget", Needs::Verification, users::infos),
    (Method::POST, "/cgi-bin/tags/create", Needs::Verification, tags::create),
    (Method::GET, "/cgi-bin/tags/get", Needs::Verification, tags::list),
    (Method::POST, "/cgi-bin/tags/update", Needs::Verification, tags::update),
    (Method::POST, "/cgi-bin/tags/delete", Needs::Verification, tags::delete),
    (Method::POST, "/cgi-bin/user/tag/get", Needs::Verification, tags::members),
    (Method::POST, "/cgi-bin/tags/members/batchtagging", Needs::Verification, tags::tag),
    (Method::POST, "/cgi-bin/tags/members/batchuntagging", Needs::Verification, tags::untag),
    (Method::POST, "/cgi-bin/tags/getidlist", Needs::Verification, tags::of_user),
    (Method::GET, "/cgi-bin/ticket/getticket", Needs::Nothing, js_ticket::get),
    (Method::GET, "/cgi-bin/get_current_selfmenu_info", Needs::Nothing, menu::current),
    (Method::POST, "/cgi-bin/openapi/quota/get", Needs::Nothing, management::quota),
    (Method::POST, "/cgi-bin/openapi/quota/clear", Needs::Nothing, management::clear_one_quota),
    (Method::POST, "/cgi-bin/openapi/rid/get", Needs::Nothing, management::request_by_rid),
    (Method::POST, "/cgi-bin/clear_quota", Needs::Nothing, management::clear_quota),
    (Method::GET, "/cgi-bin/get_api_domain_ip", Needs::Nothing, management::addresses),
    (Method::GET, "/cgi-bin/getcallbackip", Needs::Nothing, management::addresses),
    (Method::POST, "/cgi-bin/callback/check", Needs::Nothing, management::check_callback),
];

/// Answers a call as the platform does.
pub(crate) fn answer(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    match call.path {
        "/cgi-bin/token" => return token::ordinary(platform, call),
        "/cgi-bin/stable_token" => return token::stable(platform, call),
        "/cgi-bin/clear_quota/v2" => return management::clear_quota_by_secret(platform, call),
        path if path.starts_with("/sns/") => return oauth::answer(platform, call),
        _ => {}
    }
    let (method, _, needs, handler) = ENDPOINTS
        .iter()
        .find(|(_, path, ..)| *path == call.path)
        .ok_or_else(|| ApiError::of(40066))?;
    let now = platform.clock.now();
    match call.query("access_token") {
        "" => return Err(ApiError::of(41001)),
        access_token => platform.tokens.check(access_token, now)?,
    }
    call.must_be(method)?;
    if !platform.account_type.meets(*needs) {
        return Err(ApiError::of(48001));
    }
    platform.quotas.take(call.path, platform.account_type, now)?;
    handler(platform, call)
}

fn ok() -> Value {
    json!({"errcode": 0, "errmsg": "ok"})
}
