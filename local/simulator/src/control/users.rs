//! Playing the users: their actions, their properties, and their phones.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::{ControlError, Controlled, Done, Shared, follower, parse, push, record, user};
use crate::{
    platform::{
        Platform,
        allowances::Action,
        clock::wall_seconds,
        notice::{Notice, Scene, UserMessage},
        users::{self, Client},
    },
    push::{json, tap::Tap},
    simulation::Simulation,
};

/// The errcodes of refused messages to one user: refused by the user, by the account, or for their frequency.
const REFUSALS: [i64; 6] = [43019, 43101, 43117, 48002, 50002, 50005];
/// The elements that every event has.
const ENVELOPE: [&str; 5] = ["ToUserName", "FromUserName", "CreateTime", "MsgType", "Event"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Follow {
    openid: Option<String>,
    scene: Option<Scene>,
}

pub(super) async fn follow(State(simulation): Shared, body: Bytes) -> Controlled<Done> {
    let Follow { openid, scene } = parse(&body)?;
    let notice = {
        let platform = &mut *simulation.platform();
        let openid = openid.unwrap_or_else(|| users::make_openid(&mut platform.random));
        if !users::is_openid(&openid) {
            return Err(ControlError::bad_request(
                "an openid has 28 characters: `o`, then letters, digits, - and _",
            ));
        }
        if !platform.users.follow(&openid) {
            return Err(ControlError::bad_request(format!(
                "{openid} follows the account already"
            )));
        }
        record(platform, &openid, Action::Follow)?;
        Notice::subscribe(
            &openid,
            scene.map(Scene::into_text),
            wall_seconds(),
            &mut platform.random,
        )
    };
    Ok(push(&simulation, &notice).await)
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserId {
    openid: String,
}

pub(super) async fn unfollow(State(simulation): Shared, body: Bytes) -> Controlled<Done> {
    let UserId { openid } = parse(&body)?;
    follower(&mut simulation.platform(), &openid)?.follows = false;
    Ok(push(&simulation, &Notice::unsubscribe(&openid, wall_seconds())).await)
}

/// `{"openid", "type", …}`: the other members are those of [`UserMessage`].
pub(super) async fn message(State(simulation): Shared, body: Bytes) -> Controlled<Done> {
    let mut members: Map<String, Value> = parse(&body)?;
    let openid: String = take(&mut members, "openid")?;
    let article: Option<u8> = take(&mut members, "article")?;
    let message: UserMessage = parse_members(members)?;
    if matches!(&message, UserMessage::Text { content, .. } if content.is_empty()) {
        return Err(ControlError::bad_request(
            "`content` is empty; WeChat sends no empty message",
        ));
    }
    let notice = user_message(&mut simulation.platform(), &openid, message)?;
    let notice = match article {
        Some(index) => notice.sent_from_article(index),
        None => notice,
    };
    Ok(push(&simulation, &notice).await)
}

/// A message of a follower. A choice in a menu message counts as a tap.
fn user_message(platform: &mut Platform, openid: &str, message: UserMessage) -> Result<Notice, ControlError> {
    follower(platform, openid)?;
    let is_tap = matches!(
        &message,
        UserMessage::Text {
            msgmenu_id: Some(_),
            ..
        }
    );
    record(platform, openid, if is_tap { Action::Tap } else { Action::Message })?;
    let msg_id = platform.next_msg_id();
    Ok(Notice::message(
        openid,
        message,
        msg_id,
        wall_seconds(),
        &mut platform.random,
    ))
}

/// `{"openid", "type", …}`: the other members are those of [`Tap`].
pub(super) async fn tap(State(simulation): Shared, body: Bytes) -> Controlled<Done> {
    tapped(&simulation, parse(&body)?).await
}

pub(super) async fn click(State(simulation): Shared, body: Bytes) -> Controlled<Done> {
    tapped(&simulation, with_type("click", parse(&body)?)).await
}

pub(super) async fn view(State(simulation): Shared, body: Bytes) -> Controlled<Done> {
    tapped(&simulation, with_type("view", parse(&body)?)).await
}

fn with_type(kind: &str, mut members: Map<String, Value>) -> Map<String, Value> {
    members.insert("type".to_owned(), kind.into());
    members
}

/// Pushes the event of a tap, then the photos or the place that follow it.
async fn tapped(simulation: &Simulation, mut members: Map<String, Value>) -> Controlled<Done> {
    let openid: String = take(&mut members, "openid")?;
    let tap: Tap = parse_members(members)?;
    let (event, messages) = {
        let platform = &mut *simulation.platform();
        follower(platform, &openid)?;
        if tap.allows_messages() {
            record(platform, &openid, Action::Tap)?;
        }
        let Platform {
            users, menu, random, ..
        } = platform;
        let seen = users.get(&openid).zip(menu.as_ref());
        let menu_id = seen.map(|(user, menu)| menu.seen_by(user).0);
        tap.into_pushes(&openid, menu_id, wall_seconds(), random)
    };
    let Json(mut done) = push(simulation, &event).await;
    for message in messages {
        let notice = user_message(&mut simulation.platform(), &openid, message)?;
        done.followed.push(simulation.channel.deliver(&notice).await);
    }
    Ok(Json(done))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scan {
    openid: String,
    scene: Scene,
}

/// A scan of a QR code. A user who does not follow becomes a follower.
pub(super) async fn scan(State(simulation): Shared, body: Bytes) -> Controlled<Done> {
    let Scan { openid, scene } = parse(&body)?;
    let notice = {
        let platform = &mut *simulation.platform();
        user(platform, &openid)?;
        let scene = scene.into_text();
        record(platform, &openid, Action::Scan)?;
        if platform.users.follow(&openid) {
            Notice::subscribe(&openid, Some(scene), wall_seconds(), &mut platform.random)
        } else {
            Notice::scan(&openid, scene, wall_seconds(), &mut platform.random)
        }
    };
    Ok(push(&simulation, &notice).await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnyEvent {
    openid: Option<String>,
    event: String,
    #[serde(default)]
    fields: Map<String, Value>,
}

/// Any other event, with its fields as JSON; without an openid, an event from the system.
pub(super) async fn event(State(simulation): Shared, body: Bytes) -> Controlled<Done> {
    let AnyEvent { openid, event, fields } = parse(&body)?;
    check_names(&fields)?;
    let from_user = openid.is_some();
    let openid = {
        let platform = &mut *simulation.platform();
        match openid {
            Some(openid) => user(platform, &openid).map(|_| openid)?,
            None => users::make_openid(&mut platform.random),
        }
    };
    let mut notice = Notice::event(&openid, &event, json::fields(fields), wall_seconds());
    notice.awaits_reply = from_user;
    Ok(push(&simulation, &notice).await)
}

/// Refuses names that cannot become elements of the event.
fn check_names(fields: &Map<String, Value>) -> Result<(), ControlError> {
    if let Some(name) = ENVELOPE.iter().find(|name| fields.contains_key(**name)) {
        return Err(ControlError::bad_request(format!("every event has a {name} already")));
    }
    let mut values: Vec<&Value> = fields.values().collect();
    let mut names: Vec<&String> = fields.keys().collect();
    while let Some(value) = values.pop() {
        match value {
            Value::Object(members) => {
                names.extend(members.keys());
                values.extend(members.values());
            }
            Value::Array(items) => values.extend(items),
            _ => {}
        }
    }
    match names.into_iter().find(|name| !is_element_name(name)) {
        Some(name) => Err(ControlError::bad_request(format!(
            "`{name}` is not the name of an element"
        ))),
        None => Ok(()),
    }
}

fn is_element_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A payment. It pushes nothing, but allows any number of customer-service messages.
pub(super) async fn pay(State(simulation): Shared, body: Bytes) -> Controlled<UserId> {
    let user: UserId = parse(&body)?;
    record(&mut simulation.platform(), &user.openid, Action::Pay)?;
    Ok(Json(user))
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Block {
    openid: String,
    blocked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    errcode: Option<i64>,
    /// The status of accepted messages in place of `failed:user block`, such as `failed:freq limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<String>,
}

/// Makes template messages to the user fail after they were accepted; with an errcode, refuses every message with it.
pub(super) async fn block(State(simulation): Shared, body: Bytes) -> Controlled<Block> {
    let block: Block = parse(&body)?;
    if block.errcode.is_some_and(|errcode| !REFUSALS.contains(&errcode)) {
        return Err(ControlError::bad_request(format!("`errcode` is one of {REFUSALS:?}")));
    }
    if block.receipt.as_ref().is_some_and(|words| !words.starts_with("failed")) {
        return Err(ControlError::bad_request("`receipt` begins with `failed`"));
    }
    let platform = &mut *simulation.platform();
    let user = user(platform, &block.openid)?;
    user.refuses_templates = block.blocked;
    user.refusal = block.errcode.filter(|_| block.blocked);
    user.receipt.clone_from(&block.receipt);
    Ok(Json(block))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeUser {
    openid: String,
    tags: Option<Vec<String>>,
    client_platform_type: Option<Client>,
}

/// Changes what conditional menus match.
pub(super) async fn change_user(State(simulation): Shared, body: Bytes) -> Controlled<Value> {
    let change: ChangeUser = parse(&body)?;
    let platform = &mut *simulation.platform();
    let user = user(platform, &change.openid)?;
    if let Some(tags) = change.tags {
        user.tags = tags;
    }
    if let Some(client) = change.client_platform_type {
        user.client = client;
    }
    Ok(Json(
        json!({"openid": change.openid, "tags": user.tags, "client_platform_type": user.client}),
    ))
}

pub(super) async fn phone(State(simulation): Shared, Path(openid): Path<String>) -> Controlled<Value> {
    let mut platform = simulation.platform();
    Ok(Json(json!(user(&mut platform, &openid)?.screen)))
}

/// The menu that this user sees; null without a menu, or when the user does not follow.
pub(super) async fn phone_menu(State(simulation): Shared, Path(openid): Path<String>) -> Controlled<Value> {
    let platform = simulation.platform();
    let user = platform.users.get(&openid);
    let user = user.ok_or_else(|| ControlError::unknown_user(&openid))?;
    let menu = platform.menu.as_ref().filter(|_| user.follows);
    let shown = menu.map(|menu| menu.seen_by(user));
    Ok(Json(json!(shown.map(
        |(menu_id, buttons)| json!({"menuid": menu_id, "button": buttons})
    ))))
}

/// Removes and parses a member; a missing one counts as null.
fn take<T: DeserializeOwned>(members: &mut Map<String, Value>, name: &str) -> Result<T, ControlError> {
    let value = members.remove(name).unwrap_or_default();
    serde_json::from_value(value).map_err(|error| ControlError::bad_request(format!("`{name}`: {error}")))
}

fn parse_members<T: DeserializeOwned>(members: Map<String, Value>) -> Result<T, ControlError> {
    serde_json::from_value(Value::Object(members)).map_err(|error| ControlError::bad_request(error.to_string()))
}
