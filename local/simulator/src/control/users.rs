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
        notice::{Notice, ScannedCode, Scene, UserMessage},
        qr_codes::make_ticket,
        users::{self, Client, User},
    },
    push::{json, tap::Tap},
    simulation::Simulation,
};

/// The errcodes of refused messages to one user: refused by the user, by the account, or for their frequency.
const REFUSALS: [i64; 6] = [43019, 43101, 43117, 48002, 50002, 50005];
/// Followers that one call adds at most: its answer then has some 30 MB.
const MOST_FOLLOWERS_AT_ONCE: u32 = 1_000_000;
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
        let now = platform.clock.now();
        if !platform.users.follow(&openid, now, scene.clone()) {
            return Err(ControlError::bad_request(format!(
                "{openid} follows the account already"
            )));
        }
        record(platform, &openid, Action::Follow)?;
        let code = scene.map(|scene| ScannedCode {
            scene,
            ticket: make_ticket(&mut platform.random),
        });
        Notice::subscribe(&openid, code.as_ref(), wall_seconds())
    };
    Ok(push(&simulation, &notice).await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Crowd {
    count: u32,
}

#[derive(Serialize)]
pub(super) struct Openids {
    openids: Vec<String>,
}

/// Adds followers who were there before the account had a server: nothing is pushed.
pub(super) async fn add_followers(State(simulation): Shared, body: Bytes) -> Controlled<Openids> {
    let Crowd { count } = parse(&body)?;
    if count > MOST_FOLLOWERS_AT_ONCE {
        let error = format!("at most {MOST_FOLLOWERS_AT_ONCE} at once");
        return Err(ControlError::bad_request(error));
    }
    let platform = &mut *simulation.platform();
    let now = platform.clock.now();
    let openids = (0..count).map(|_| {
        let openid = users::make_openid(&mut platform.random);
        platform.users.follow(&openid, now, None);
        openid
    });
    Ok(Json(Openids {
        openids: openids.collect(),
    }))
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
    openid: Option<String>,
    scene: Option<Scene>,
    ticket: Option<String>,
    url: Option<String>,
}

/// A scan of a QR code that the account has made, named by its ticket or by what its picture says, or of a made-up code
/// with this scene. A user who does not follow becomes a follower.
pub(super) async fn scan(State(simulation): Shared, body: Bytes) -> Controlled<Done> {
    let scan: Scan = parse(&body)?;
    let notice = {
        let platform = &mut *simulation.platform();
        let code = scanned_code(platform, &scan)?;
        let openid = match scan.openid {
            Some(openid) => openid,
            None => platform.users.add_stranger(&mut platform.random),
        };
        record(platform, &openid, Action::Scan)?;
        let now = platform.clock.now();
        if platform.users.follow(&openid, now, Some(code.scene.clone())) {
            Notice::subscribe(&openid, Some(&code), wall_seconds())
        } else {
            Notice::scan(&openid, &code, wall_seconds())
        }
    };
    Ok(push(&simulation, &notice).await)
}

/// The code that is scanned. One that has ended is refused, as on the phone.
fn scanned_code(platform: &mut Platform, scan: &Scan) -> Result<ScannedCode, ControlError> {
    let codes = &platform.qr_codes;
    let code = match (&scan.scene, &scan.ticket, &scan.url) {
        (Some(scene), None, None) => {
            return Ok(ScannedCode {
                scene: scene.clone(),
                ticket: make_ticket(&mut platform.random),
            });
        }
        (None, Some(ticket), None) => codes.get(ticket),
        (None, None, Some(url)) => codes.by_url(url),
        _ => return Err(ControlError::bad_request("name one of `scene`, `ticket` and `url`")),
    };
    let code = code.ok_or_else(|| ControlError::not_found("the account has no such QR code".to_owned()))?;
    if code.has_ended(platform.clock.now()) {
        return Err(ControlError::bad_request("the QR code has ended / 二维码已过期"));
    }
    Ok(code.scanned.clone())
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

/// Changes what conditional menus match. Tags that the account lacks are made.
pub(super) async fn change_user(State(simulation): Shared, body: Bytes) -> Controlled<Value> {
    let change: ChangeUser = parse(&body)?;
    let ids = change.tags.as_deref().map(tag_ids).transpose()?;
    let platform = &mut *simulation.platform();
    user(platform, &change.openid)?;
    for id in ids.iter().flatten() {
        platform.tags.ensure(*id);
    }
    let user = user(platform, &change.openid)?;
    if let Some(ids) = ids {
        user.tags = ids;
    }
    if let Some(client) = change.client_platform_type {
        user.client = client;
    }
    Ok(Json(
        json!({"openid": change.openid, "tags": tag_texts(user), "client_platform_type": user.client}),
    ))
}

/// Tags are written as in the `matchrule` of menus: decimal ids, as text.
fn tag_ids(texts: &[String]) -> Result<Vec<u32>, ControlError> {
    let id = |text: &String| text.parse().ok();
    let ids = texts.iter().map(id).collect::<Option<_>>();
    ids.ok_or_else(|| ControlError::bad_request("`tags` are ids of tags, such as \"100\""))
}

pub(super) fn tag_texts(user: &User) -> Vec<String> {
    user.tags.iter().map(ToString::to_string).collect()
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
