//! Playing the users: what they do, and what their phones show.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{ControlError, Controlled, Done, Shared, did, follower, parse, push, user};
use crate::clock::wall_seconds;
use crate::doings::Doing;
use crate::notice::{Notice, Scene, UserMessage};
use crate::phone;

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
