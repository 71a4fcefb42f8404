//! The control API: `/sim/…`, by which a test or the console plays the users and upsets the platform.
//!
//! Users:
//!
//! | call | body | |
//! |---|---|---|
//! | `POST /sim/follow` | `{"openid"?, "scene"?}` | a user subscribes; with a scene, through a QR code |
//! | `POST /sim/unfollow` | `{"openid"}` | |
//! | `POST /sim/message` | `{"openid", "type", …}` | the types of [`UserMessage`](crate::notice::UserMessage) with their members; `"article": 1` says that it comes from an article |
//! | `POST /sim/tap` | `{"openid", "type", …}` | the types of [`Tap`](crate::tap::Tap) with their members; photos and places follow as messages, answered as `followed` |
//! | `POST /sim/click`, `/sim/view` | `{"openid", "key"}`, `{"openid", "url"}` | the commonest taps |
//! | `POST /sim/scan` | `{"openid", "scene"}` | `SCAN` of a follower, else a subscription |
//! | `POST /sim/event` | `{"openid"?, "event", "fields"?}` | any other event, such as `LOCATION`; without an openid, from the system |
//! | `POST /sim/pay` | `{"openid"}` | allows any number of customer-service messages for 48 hours |
//! | `POST /sim/block` | `{"openid", "blocked", "errcode"?, "receipt"?}` | template messages end as `failed:user block`, or as `receipt` says (`failed:freq limit`); with 43019, 43101, 43117, 48002, 50002 or 50005, messages are refused |
//! | `POST /sim/user` | `{"openid", "tags"?, "client_platform_type"?}` | what conditional menus look at |
//! | `GET /sim/phones/{openid}` | | what that phone shows, a list |
//! | `GET /sim/phones/{openid}/menu` | | the menu that it shows: `{"menuid", "button"}` or null |
//!
//! The platform:
//!
//! | call | body | |
//! |---|---|---|
//! | `GET /sim/account` | | the made account, with its secrets |
//! | `GET /sim/state` | | everything that the platform keeps: users, menu, templates, quotas, tokens, faults, … |
//! | `GET /sim/calls` | | the calls received, a list |
//! | `POST /sim/account-type` | `{"type"}` | `verified_service`, `unverified_service`, `verified_subscription`, `unverified_subscription` or `test`: what the account lacks is 48001 |
//! | `POST /sim/data-format` | `{"format"}` | `xml` or `json`: 数据格式 of the callbacks |
//! | `POST /sim/verify` | | asks the callback URL to echo, as WeChat's console does on 提交: `{"ok", "echostr", "status", "answer", "error"?}` |
//! | `POST /sim/templates` | `{"title", "content", "template_id"?, "example"?, "const_values"?}` | a template with `{{name.DATA}}` in its content; `{"const3": ["通过"]}` are the approved values |
//! | `DELETE /sim/templates/{template_id}` | | |
//! | `POST`, `DELETE /sim/receipts` | a [`Receipt`](crate::receipts::Receipt) | what the results of the next template messages say |
//! | `POST /sim/duplicates` | `{"refused_for_seconds"}` or `null` | the same content to the same user is 40241 for so long (WeChat says 60); off at first |
//! | `POST /sim/quotas` | `{"path", "daily_limit"?, "minute_limit"?}` | limits that are reached sooner: 45009, 45011 |
//! | `GET`, `POST`, `DELETE /sim/faults` | a [`Fault`](crate::faults::Fault) | `DELETE …?path=` clears those of one path |
//! | `POST /sim/clock` | `{"advance_seconds"}` | |
//! | `POST /sim/whitelist` | `{"ips": […]}` or `null` | |
//! | `POST /sim/token/invalidate` | `{"keep_returning"?}` | living tokens get 40001 |
//!
//! What a user does is answered once the server has: `{"openid", "reply", "deliveries", "status", "error"?}`. Refusals
//! are `{"error"}` with 400, or 404 for an unknown user.

mod platform;
mod state;
mod users;

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

pub(crate) use self::{platform::*, state::state, users::*};
use crate::{
    callback::Delivery, doings::Doing, notice::Notice, phone::User, platform::Platform, simulation::Simulation,
};

type Shared = State<Arc<Simulation>>;
type Controlled<T> = Result<Json<T>, ControlError>;

/// Why a control call was refused.
#[derive(Debug)]
pub(crate) struct ControlError {
    status: StatusCode,
    error: String,
}

impl ControlError {
    fn bad_request(error: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error: error.into(),
        }
    }

    fn not_found(error: String) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            error,
        }
    }

    fn unknown_user(openid: &str) -> Self {
        Self::not_found(format!("there is no user with the openid {openid}"))
    }
}

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        (self.status, Json(json!({"error": self.error}))).into_response()
    }
}

/// The answer to everything that a user does.
#[derive(Serialize)]
pub(crate) struct Done {
    openid: String,
    #[serde(flatten)]
    delivery: Delivery,
    /// The messages that went with a tap on the menu.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    followed: Vec<Delivery>,
}

async fn push(simulation: &Simulation, notice: &Notice) -> Json<Done> {
    Json(Done {
        openid: notice.openid.clone(),
        delivery: simulation.deliver(notice).await,
        followed: Vec::new(),
    })
}

/// An empty body stands for `{}`; members that a call does not know are refused.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ControlError> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| ControlError::bad_request(error.to_string()))
}

fn user<'a>(platform: &'a mut Platform, openid: &str) -> Result<&'a mut User, ControlError> {
    platform
        .users
        .get_mut(openid)
        .ok_or_else(|| ControlError::unknown_user(openid))
}

/// What the user did allows the account to answer with customer-service messages.
fn did(platform: &mut Platform, openid: &str, doing: Doing) -> Result<(), ControlError> {
    let now = platform.clock.now();
    user(platform, openid)?.doings.record(doing, now);
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
