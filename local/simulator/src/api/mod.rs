//! The calls of a server to the platform: `/cgi-bin/…`, `/sns/…`, and all other paths, which are unknown.
//!
//! Everything here is synchronous work on [`Platform`]; notices to push afterwards wait in its outbox. This room imports
//! no other than [`platform`](crate::platform).

mod agents;
mod conditional_menu;
mod custom_message;
mod draft;
mod js_ticket;
mod management;
mod material;
mod media;
mod menu;
mod oauth;
mod publish;
mod qr_code;
mod serve;
mod short_key;
mod tags;
mod template;
mod template_library;
mod token;
mod users;

use axum::http::Method;
use serde_json::{Value, json};

pub(crate) use self::serve::{Answer, serve};
use crate::platform::{Platform, account_type::Needs, call::Call, errcode::ApiError, media::File};

/// The answer of an API that has carried out the call.
pub(crate) enum Reply {
    Json(Value),
    File(File),
}

type Handler = fn(&mut Platform, &Call<'_>) -> Result<Value, ApiError>;

/// The APIs that answer with JSON, and the kind of account that they need.
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
    (Method::POST, "/cgi-bin/menu/create", Needs::Menu, menu::create),
    (Method::POST, "/cgi-bin/menu/addconditional", Needs::Verification, conditional_menu::add),
    (Method::POST, "/cgi-bin/menu/delconditional", Needs::Verification, conditional_menu::delete),
    (Method::POST, "/cgi-bin/menu/trymatch", Needs::Verification, conditional_menu::try_match),
    (Method::GET, "/cgi-bin/menu/get", Needs::Menu, menu::get),
    (Method::GET, "/cgi-bin/menu/delete", Needs::Menu, menu::delete),
    (Method::POST, "/cgi-bin/qrcode/create", Needs::VerifiedService, qr_code::create),
    (Method::GET, "/cgi-bin/user/get", Needs::Verification, users::list),
    (Method::GET, "/cgi-bin/user/info", Needs::Verification, users::info),
    (Method::POST, "/cgi-bin/user/info/batchget", Needs::Verification, users::infos),
    (Method::POST, "/cgi-bin/user/info/updateremark", Needs::VerifiedService, users::rename),
    (Method::POST, "/cgi-bin/tags/create", Needs::Verification, tags::create),
    (Method::GET, "/cgi-bin/tags/get", Needs::Verification, tags::list),
    (Method::POST, "/cgi-bin/tags/update", Needs::Verification, tags::update),
    (Method::POST, "/cgi-bin/tags/delete", Needs::Verification, tags::delete),
    (Method::POST, "/cgi-bin/user/tag/get", Needs::Verification, tags::members),
    (Method::POST, "/cgi-bin/tags/members/batchtagging", Needs::Verification, tags::tag),
    (Method::POST, "/cgi-bin/tags/members/batchuntagging", Needs::Verification, tags::untag),
    (Method::POST, "/cgi-bin/tags/getidlist", Needs::Verification, tags::of_user),
    (Method::POST, "/cgi-bin/media/upload", Needs::Verification, media::upload),
    (Method::POST, "/cgi-bin/media/uploadimg", Needs::Nothing, media::upload_article_picture),
    (Method::POST, "/cgi-bin/material/add_material", Needs::Verification, material::add),
    (Method::POST, "/cgi-bin/material/del_material", Needs::Verification, material::delete),
    (Method::GET, "/cgi-bin/material/get_materialcount", Needs::Verification, material::count),
    (Method::POST, "/cgi-bin/material/batchget_material", Needs::Verification, material::list),
    (Method::POST, "/cgi-bin/material/add_news", Needs::Verification, material::retired),
    (Method::POST, "/cgi-bin/material/update_news", Needs::Verification, material::retired),
    (Method::POST, "/cgi-bin/draft/add", Needs::Verification, draft::add),
    (Method::POST, "/cgi-bin/draft/get", Needs::Verification, draft::get),
    (Method::POST, "/cgi-bin/draft/update", Needs::Verification, draft::update),
    (Method::POST, "/cgi-bin/draft/delete", Needs::Verification, draft::delete),
    (Method::GET, "/cgi-bin/draft/count", Needs::Verification, draft::count),
    (Method::POST, "/cgi-bin/draft/batchget", Needs::Verification, draft::list),
    (Method::POST, "/cgi-bin/draft/switch", Needs::Verification, draft::switch),
    (Method::POST, "/cgi-bin/freepublish/submit", Needs::Verification, publish::submit),
    (Method::POST, "/cgi-bin/freepublish/get", Needs::Verification, publish::status),
    (Method::POST, "/cgi-bin/freepublish/batchget", Needs::Verification, publish::list),
    (Method::POST, "/cgi-bin/freepublish/getarticle", Needs::Verification, publish::get),
    (Method::POST, "/cgi-bin/freepublish/delete", Needs::Verification, publish::delete),
    (Method::GET, "/cgi-bin/customservice/getkflist", Needs::Verification, agents::all),
    (Method::GET, "/cgi-bin/customservice/getonlinekflist", Needs::Verification, agents::online),
    (Method::POST, "/cgi-bin/shorten/gen", Needs::Nothing, short_key::make),
    (Method::POST, "/cgi-bin/shorten/fetch", Needs::Nothing, short_key::get),
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

type Download = fn(&mut Platform, &Call<'_>) -> Result<Reply, ApiError>;

/// The APIs that may answer with a file.
#[rustfmt::skip]
const DOWNLOADS: &[(Method, &str, Needs, Download)] = &[
    (Method::GET, "/cgi-bin/media/get", Needs::Verification, media::get),
    (Method::POST, "/cgi-bin/material/get_material", Needs::Verification, material::get),
];

/// Answers a call as the platform does.
pub(crate) fn answer(platform: &mut Platform, call: &Call<'_>) -> Result<Reply, ApiError> {
    let json = match call.path {
        "/cgi-bin/token" => token::ordinary(platform, call),
        "/cgi-bin/stable_token" => token::stable(platform, call),
        "/cgi-bin/clear_quota/v2" => management::clear_quota_by_secret(platform, call),
        path if path.starts_with("/sns/") => oauth::answer(platform, call),
        _ => return answer_with_token(platform, call),
    };
    json.map(Reply::Json)
}

fn download_of(path: &str) -> Option<&'static (Method, &'static str, Needs, Download)> {
    DOWNLOADS.iter().find(|(_, download, ..)| *download == path)
}

/// Whether the API at `path` may answer with a file.
fn is_download(path: &str) -> bool {
    download_of(path).is_some()
}

/// Answers a call of an API that needs an access token: 40066 for a path that no API has.
fn answer_with_token(platform: &mut Platform, call: &Call<'_>) -> Result<Reply, ApiError> {
    if let Some((method, _, needs, download)) = download_of(call.path) {
        admit(platform, call, method, *needs)?;
        return download(platform, call);
    }
    let endpoint = ENDPOINTS.iter().find(|(_, path, ..)| *path == call.path);
    let (method, _, needs, handler) = endpoint.ok_or_else(|| ApiError::of(40066))?;
    admit(platform, call, method, *needs)?;
    handler(platform, call).map(Reply::Json)
}

/// Checks the token, the method and the account, and counts the call.
fn admit(platform: &mut Platform, call: &Call<'_>, method: &Method, needs: Needs) -> Result<(), ApiError> {
    let now = platform.clock.now();
    match call.query("access_token") {
        "" => return Err(ApiError::of(41001)),
        access_token => platform.tokens.check(access_token, now)?,
    }
    call.must_be(method)?;
    if !platform.account_type.meets(needs) {
        return Err(ApiError::of(48001));
    }
    platform.quotas.take(call.path, platform.account_type, now)
}

fn ok() -> Value {
    json!({"errcode": 0, "errmsg": "ok"})
}
