//! The control API, `/sim/…`: a test or the console plays the users and makes the platform fail.
//!
//! Users:
//!
//! | call | body | |
//! |---|---|---|
//! | `POST /sim/follow` | `{"openid"?, "scene"?}` | a user subscribes; with a scene, through a QR code |
//! | `POST /sim/followers` | `{"count"}` | adds followers, at most 1,000,000, and pushes nothing; answers `{"openids"}` |
//! | `POST /sim/unfollow` | `{"openid"}` | |
//! | `POST /sim/message` | `{"openid", "type", …}` | the types of [`UserMessage`](crate::platform::notice::UserMessage) with their members; `"article": 1` marks it as sent from an article |
//! | `POST /sim/tap` | `{"openid", "type", …}` | the types of [`Tap`](crate::push::tap::Tap) with their members; photos and places follow as messages, answered as `followed` |
//! | `POST /sim/click`, `/sim/view` | `{"openid", "key"}`, `{"openid", "url"}` | the most common taps |
//! | `POST /sim/scan` | `{"openid"?, "ticket"}`, `{"openid"?, "url"}` or `{"openid"?, "scene"}` | scans a code that the account has made, named by its ticket or by what its picture says, or a made-up code with this scene: `SCAN` for a follower, otherwise a subscription; without an openid, a new user; 400 for a code that has ended |
//! | `POST /sim/event` | `{"openid"?, "event", "fields"?}` | any other event, such as `LOCATION`; without an openid, from the system |
//! | `POST /sim/pay` | `{"openid"}` | allows any number of customer-service messages for 48 hours |
//! | `POST /sim/block` | `{"openid", "blocked", "errcode"?, "receipt"?}` | template messages are accepted and end as `failed:user block`, or as `receipt` says (`failed:freq limit`); with the errcode 43019, 43101, 43117, 48002, 50002 or 50005, messages are refused |
//! | `POST /sim/user` | `{"openid", "tags"?, "client_platform_type"?}` | the conditions of conditional menus; `tags` are ids as text, and tags that the account lacks are made |
//! | `GET /sim/phones/{openid}` | | a list of what the phone shows |
//! | `GET /sim/phones/{openid}/menu` | | the menu that the phone shows: `{"menuid", "button"}` or null |
//! | `GET /sim/phones/{openid}/open?url=` | | for a browser: makes it this user's phone, by a cookie, and redirects to the link; `snsapi_base` then logs the user in without asking |
//! | `POST /sim/authorize` | `{"url", "openid"?, "snapshot"?}` | opens a link to the authorize page of web login, `…#wechat_redirect` included, as a user; without an openid, as a new user who does not follow. Answers `{"location", "openid"}`: where the browser is sent, and as whom; 400 with `code` when the page shows an error |
//!
//! The platform:
//!
//! | call | body | |
//! |---|---|---|
//! | `GET /sim/account` | | the account, with its secrets |
//! | `GET /sim/state` | | the platform's state: users, menu, templates, files, articles, quotas, tokens, faults, … |
//! | `GET /sim/calls` | | a list of the calls received |
//! | `POST /sim/account-type` | `{"type"}` | `verified_service`, `unverified_service`, `verified_subscription`, `unverified_subscription` or `test`; an API that the account may not call answers 48001 |
//! | `POST /sim/data-format` | `{"format"}` | `xml` or `json`: 数据格式 of the callbacks |
//! | `POST /sim/callback` | `{"url"}` | pushes to this address from now on; with null, to the one of the start again |
//! | `POST /sim/verify` | | calls the callback URL with an `echostr`, as WeChat's console does on 提交: `{"ok", "echostr", "status", "answer", "error"?}` |
//! | `POST /sim/templates` | `{"title", "content", "template_id"?, "example"?, "const_values"?}` | a template with `{{name.DATA}}` in its content; `const_values` are the approved values, as `{"const3": ["通过"]}` |
//! | `DELETE /sim/templates/{template_id}` | | |
//! | `POST`, `DELETE /sim/receipts` | a [`Receipt`](crate::platform::receipts::Receipt) | the results of the next template messages |
//! | `POST /sim/duplicates` | `{"refused_for_seconds"}` or `null` | refuses the same content to the same user with 40241 for this long (WeChat says 60); off by default |
//! | `POST /sim/oauth-domains`, `/sim/js-domains` | `{"domains": […]}` or `{"domains": null}` | 网页授权域名 (bare hosts) and JS接口安全域名 (`host` or `host/path`); with null, as at the start, every host passes |
//! | `POST /sim/open-platform` | `{"bound"}` | binds the account to an open-platform account, so that users have a unionid |
//! | `POST /sim/jssdk/check` | `{"appId", "timestamp", "nonceStr", "signature", "url"}` | checks a page's `wx.config` as the phone does: `{"ok": true}`, or `{"ok": false, "errMsg"}` with `config:invalid appid`, `config:invalid url domain` or `config:invalid signature` |
//! | `GET /sim/jweixin.js` | | a small JS-SDK for pages of this machine: `wx.config`, `wx.ready` and `wx.error`, by the check above |
//! | `POST /sim/sizes` | `{"followers_a_page"?, "permanent_qr_codes"?}` | smaller pages of followers (10,000), and fewer permanent codes (100,000); a missing one restores the platform's own |
//! | `POST /sim/quotas` | `{"path", "daily_limit"?, "minute_limit"?}` | lower limits: 45009 and 45011 when they are reached |
//! | `GET`, `POST`, `DELETE /sim/faults` | a [`Fault`](crate::platform::faults::Fault) | `DELETE …?path=` clears those of one path |
//! | `POST /sim/clock` | `{"advance_seconds"}` | |
//! | `POST /sim/whitelist` | `{"ips": […]}` or `null` | |
//! | `POST /sim/token/invalidate` | `{"keep_returning"?}` | living tokens answer 40001 |
//!
//! The call of a user's action is answered after the server has answered the callback, with `{"openid", "reply",
//! "deliveries", "status", "error"?}`. Refusals are `{"error"}` with 400, or 404 for an unknown user.
//!
//! Next to the controls are two pages of WeChat's own hosts: `/connect/oauth2/authorize` and `/cgi-bin/showqrcode`.

mod pages;
mod platform;
mod state;
mod users;
mod web;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use reqwest::Url;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

pub(crate) use self::pages::pages;
use crate::{
    platform::{Platform, allowances::Action, notice::Notice, users::User},
    push::Delivery,
    simulation::Simulation,
};

/// The routes of the control API, below `/sim`.
pub(crate) fn routes() -> Router<Arc<Simulation>> {
    Router::new()
        .route("/follow", post(users::follow))
        .route("/followers", post(users::add_followers))
        .route("/unfollow", post(users::unfollow))
        .route("/message", post(users::message))
        .route("/tap", post(users::tap))
        .route("/click", post(users::click))
        .route("/view", post(users::view))
        .route("/scan", post(users::scan))
        .route("/event", post(users::event))
        .route("/pay", post(users::pay))
        .route("/block", post(users::block))
        .route("/user", post(users::change_user))
        .route("/phones/{openid}", get(users::phone))
        .route("/phones/{openid}/menu", get(users::phone_menu))
        .route("/phones/{openid}/open", get(pages::open))
        .route("/authorize", post(web::authorize))
        .route("/oauth-domains", post(web::oauth_domains))
        .route("/open-platform", post(web::open_platform))
        .route("/js-domains", post(web::js_domains))
        .route("/jssdk/check", post(web::check_js_config))
        .route("/jweixin.js", get(web::js_sdk))
        .route("/account", get(platform::account))
        .route("/state", get(state::state))
        .route("/calls", get(platform::calls))
        .route("/account-type", post(platform::account_type))
        .route("/data-format", post(platform::data_format))
        .route("/callback", post(platform::redirect))
        .route("/verify", post(platform::check_url))
        .route("/templates", post(platform::add_template))
        .route("/templates/{template_id}", delete(platform::delete_template))
        .route(
            "/receipts",
            post(platform::add_receipt).delete(platform::clear_receipts),
        )
        .route("/duplicates", post(platform::duplicates))
        .route("/quotas", post(platform::limit_quota))
        .route("/sizes", post(platform::limit_sizes))
        .route(
            "/faults",
            get(platform::faults)
                .post(platform::add_fault)
                .delete(platform::clear_faults),
        )
        .route("/clock", post(platform::clock))
        .route("/whitelist", post(platform::whitelist))
        .route("/token/invalidate", post(platform::invalidate_tokens))
}

type Shared = State<Arc<Simulation>>;
type Controlled<T> = Result<Json<T>, ControlError>;

/// Why a control call was refused.
#[derive(Debug)]
struct ControlError {
    status: StatusCode,
    error: String,
    /// The number on the page that WeChat would show.
    code: Option<u16>,
}

impl ControlError {
    fn bad_request(error: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error: error.into(),
            code: None,
        }
    }

    fn not_found(error: String) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            error,
            code: None,
        }
    }

    fn unknown_user(openid: &str) -> Self {
        Self::not_found(format!("no user has the openid {openid}"))
    }
}

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        let mut body = json!({"error": self.error});
        if let Some(code) = self.code {
            body["code"] = code.into();
        }
        (self.status, Json(body)).into_response()
    }
}

/// The answer to an action of a user.
#[derive(Serialize)]
struct Done {
    openid: String,
    #[serde(flatten)]
    delivery: Delivery,
    /// The deliveries of the messages that followed a tap on the menu.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    followed: Vec<Delivery>,
}

async fn push(simulation: &Simulation, notice: &Notice) -> Json<Done> {
    Json(Done {
        openid: notice.openid.clone(),
        delivery: simulation.channel.deliver(notice).await,
        followed: Vec::new(),
    })
}

/// Parses a body; an empty one stands for `{}`. Unknown members are refused.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ControlError> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| ControlError::bad_request(error.to_string()))
}

fn parse_url(text: &str) -> Result<Url, ControlError> {
    Url::parse(text).map_err(|error| ControlError::bad_request(format!("`url`: {error}")))
}

fn user<'a>(platform: &'a mut Platform, openid: &str) -> Result<&'a mut User, ControlError> {
    platform
        .users
        .get_mut(openid)
        .ok_or_else(|| ControlError::unknown_user(openid))
}

/// Records an action of the user, which allows the account to send customer-service messages.
fn record(platform: &mut Platform, openid: &str, action: Action) -> Result<(), ControlError> {
    let now = platform.clock.now();
    user(platform, openid)?.allowances.record(action, now);
    Ok(())
}

fn follower<'a>(platform: &'a mut Platform, openid: &str) -> Result<&'a mut User, ControlError> {
    let user = user(platform, openid)?;
    if user.follows {
        Ok(user)
    } else {
        Err(ControlError::bad_request(format!(
            "{openid} does not follow the account"
        )))
    }
}
