//! The control API: `/sim/…`, by which a test or the console plays the users and upsets the platform.
//!
//! | call | body | |
//! |---|---|---|
//! | `GET /sim/account` | | the made account |
//! | `POST /sim/follow` | `{"openid"?, "scene"?}` | a user subscribes; with a scene, through a QR code |
//! | `POST /sim/unfollow` | `{"openid"}` | |
//! | `POST /sim/message` | `{"openid", "type", …}` | the types of [`UserMessage`] with their members |
//! | `POST /sim/click`, `/sim/view` | `{"openid", "key"}`, `{"openid", "url"}` | menu |
//! | `POST /sim/scan` | `{"openid", "scene"}` | `SCAN` of a follower, else a subscription |
//! | `POST /sim/block` | `{"openid", "blocked"}` | template messages end as `failed:user block` |
//! | `GET /sim/phones/{openid}` | | what that phone shows, a list |
//! | `GET /sim/calls` | | the calls received, a list |
//! | `POST`, `DELETE /sim/faults` | a [`Fault`] | |
//! | `POST /sim/clock` | `{"advance_seconds"}` | |
//! | `POST /sim/whitelist` | `{"ips": […]}` or `null` | |
//! | `POST /sim/token/invalidate` | `{"keep_returning"?}` | living tokens get 40001 |
//!
//! What a user does is answered once the server has: `{"openid", "reply", "deliveries", "status", "error"?}`. Refusals
//! are `{"error"}` with 400, or 404 for an unknown user.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::account::Account;
use crate::callback::Delivery;
use crate::clock::wall_seconds;
use crate::doings::Doing;
use crate::faults::Fault;
use crate::notice::{Notice, Scene, UserMessage};
use crate::phone::{self, User};
use crate::platform::Platform;
use crate::simulation::Simulation;

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

    fn unknown_user(openid: &str) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            error: format!("there is no user with the openid {openid}"),
        }
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
}

pub(crate) async fn account(State(simulation): Shared) -> Json<Account> {
    Json(simulation.account.clone())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Follow {
    openid: Option<String>,
    scene: Option<Scene>,
}

pub(crate) async fn follow(State(simulation): Shared, body: Bytes) -> Controlled<Done> {
    let Follow { openid, scene } = parse(&body)?;
    let notice = {
        let platform = &mut *simulation.platform();
        let openid = openid.unwrap_or_else(|| phone::make_openid(&mut platform.random));
        if !phone::is_openid(&openid) {
            return Err(ControlError::bad_request(
                "an openid has 28 characters: `o`, then letters, digits, - and _",
            ));
        }
        if !platform.users.follow(&openid) {
            return Err(ControlError::bad_request(format!(
                "{openid} follows the account already"
            )));
        }
        did(platform, &openid, Doing::Follow)?;
        Notice::subscribe(
            &openid,
            scene.map(Scene::into_text),
            wall_seconds(),
            &mut platform.random,
        )
    };
    Ok(push(&simulation, &notice).await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unfollow {
    openid: String,
}

pub(crate) async fn unfollow(State(simulation): Shared, body: Bytes) -> Controlled<Done> {
    let Unfollow { openid } = parse(&body)?;
    follower(&mut simulation.platform(), &openid)?.follows = false;
    Ok(push(&simulation, &Notice::unsubscribe(&openid, wall_seconds())).await)
}

/// `{"openid", "type", …}`: the members beside `openid` are those of [`UserMessage`].
pub(crate) async fn message(State(simulation): Shared, body: Bytes) -> Controlled<Done> {
    let mut members: Map<String, Value> = parse(&body)?;
    let Some(Value::String(openid)) = members.remove("openid") else {
        return Err(ControlError::bad_request("`openid` is missing or not a string"));
    };
    let message: UserMessage =
        serde_json::from_value(Value::Object(members)).map_err(|error| ControlError::bad_request(error.to_string()))?;
    if matches!(&message, UserMessage::Text { content } if content.is_empty()) {
        return Err(ControlError::bad_request(
            "`content` is empty; WeChat sends no empty message",
        ));
    }
    let notice = {
        let platform = &mut *simulation.platform();
        follower(platform, &openid)?;
        did(platform, &openid, Doing::Message)?;
        let msg_id = platform.next_msg_id();
        Notice::message(&openid, message, msg_id, wall_seconds(), &mut platform.random)
    };
    Ok(push(&simulation, &notice).await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Click {
    openid: String,
    key: String,
}

pub(crate) async fn click(State(simulation): Shared, body: Bytes) -> Controlled<Done> {
    let Click { openid, key } = parse(&body)?;
    {
        let platform = &mut simulation.platform();
        follower(platform, &openid)?;
        did(platform, &openid, Doing::Tap)?;
    }
    Ok(push(&simulation, &Notice::click(&openid, key, wall_seconds())).await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct View {
    openid: String,
    url: String,
}

pub(crate) async fn view(State(simulation): Shared, body: Bytes) -> Controlled<Done> {
    let View { openid, url } = parse(&body)?;
    let menu_id = {
        let mut platform = simulation.platform();
        follower(&mut platform, &openid)?;
        platform.menu.as_ref().map(|menu| menu.id)
    };
    Ok(push(&simulation, &Notice::view(&openid, url, menu_id, wall_seconds())).await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scan {
    openid: String,
    scene: Scene,
}

/// A scan makes a user who does not follow (any more) a follower, through the code.
pub(crate) async fn scan(State(simulation): Shared, body: Bytes) -> Controlled<Done> {
    let Scan { openid, scene } = parse(&body)?;
    let notice = {
        let platform = &mut *simulation.platform();
        user(platform, &openid)?;
        let scene = scene.into_text();
        did(platform, &openid, Doing::Scan)?;
        if platform.users.follow(&openid) {
            Notice::subscribe(&openid, Some(scene), wall_seconds(), &mut platform.random)
        } else {
            Notice::scan(&openid, scene, wall_seconds(), &mut platform.random)
        }
    };
    Ok(push(&simulation, &notice).await)
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Block {
    openid: String,
    blocked: bool,
}

pub(crate) async fn block(State(simulation): Shared, body: Bytes) -> Controlled<Block> {
    let block: Block = parse(&body)?;
    user(&mut simulation.platform(), &block.openid)?.refuses_templates = block.blocked;
    Ok(Json(block))
}

pub(crate) async fn phone(State(simulation): Shared, Path(openid): Path<String>) -> Controlled<Value> {
    let mut platform = simulation.platform();
    Ok(Json(json!(user(&mut platform, &openid)?.screen)))
}

pub(crate) async fn calls(State(simulation): Shared) -> Json<Value> {
    Json(json!(simulation.platform().calls))
}

pub(crate) async fn add_fault(State(simulation): Shared, body: Bytes) -> Controlled<Value> {
    let fault: Fault = parse(&body)?;
    fault.validate().map_err(ControlError::bad_request)?;
    let mut platform = simulation.platform();
    platform.faults.add(fault);
    Ok(Json(json!({"faults": platform.faults})))
}

pub(crate) async fn clear_faults(State(simulation): Shared) -> Json<Value> {
    let mut platform = simulation.platform();
    platform.faults.clear();
    Json(json!({"faults": platform.faults}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_seconds: u32,
}

pub(crate) async fn clock(State(simulation): Shared, body: Bytes) -> Controlled<Value> {
    let Advance { advance_seconds } = parse(&body)?;
    let clock = &mut simulation.platform().clock;
    clock.advance(advance_seconds);
    Ok(Json(json!({"now": clock.now()})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whitelist {
    ips: Option<Vec<IpAddr>>,
}

/// `{"ips":[…]}` lets only these fetch tokens; `{"ips":null}` or `null` lets everyone.
pub(crate) async fn whitelist(State(simulation): Shared, body: Bytes) -> Controlled<Value> {
    let request: Option<Whitelist> = parse(&body)?;
    let ips = request.and_then(|whitelist| whitelist.ips);
    simulation.platform().whitelist.clone_from(&ips);
    Ok(Json(json!({"ips": ips})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Invalidate {
    #[serde(default)]
    keep_returning: bool,
}

/// Ends the living tokens. With `{"keep_returning":true}`, `stable_token` hands out the dead one until it is forced.
pub(crate) async fn invalidate_tokens(State(simulation): Shared, body: Bytes) -> Controlled<Value> {
    let Invalidate { keep_returning } = parse(&body)?;
    let mut platform = simulation.platform();
    let now = platform.clock.now();
    platform.tokens.invalidate(now, keep_returning);
    Ok(Json(json!({"keep_returning": keep_returning})))
}

async fn push(simulation: &Simulation, notice: &Notice) -> Json<Done> {
    Json(Done {
        openid: notice.openid.clone(),
        delivery: simulation.deliver(notice).await,
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
