//! Customer-service messages, and showing that the account is typing.
//!
//! See [WeChat Docs/发送客服消息](https://developers.weixin.qq.com/doc/service/api/customer/message/api_sendcustommessage).

use serde_json::{Map, Value};

use super::ok;
use crate::platform::{
    Platform,
    call::Call,
    errcode::ApiError,
    users::{self, Shown, User},
};

/// The message types, each with the members that it must have and the errcode when one is missing.
const TYPES: &[(&str, &[&str], i64)] = &[
    ("text", &["content"], 44004),
    ("image", &["media_id"], 40007),
    ("voice", &["media_id"], 40007),
    ("video", &["media_id"], 40007),
    ("music", &["musicurl", "hqmusicurl", "thumb_media_id"], 40035),
    ("news", &["articles"], 44003),
    ("mpnews", &["media_id"], 40007),
    ("mpnewsarticle", &["article_id"], 53600),
    ("msgmenu", &["list"], 40035),
    ("wxcard", &["card_id"], 40073),
    (
        "miniprogrampage",
        &["title", "appid", "pagepath", "thumb_media_id"],
        40035,
    ),
];

/// Bytes of a text. A longer one is 45002.
const TEXT_LIMIT: usize = 2048;

fn recipient<'a>(platform: &'a mut Platform, openid: &str) -> Result<&'a mut User, ApiError> {
    if !users::is_openid(openid) {
        return Err(ApiError::of(40003));
    }
    let user = platform.users.get_mut(openid).filter(|user| user.follows);
    let user = user.ok_or_else(|| ApiError::of(45015))?;
    // 43117 limits template messages only.
    match user.refusal.filter(|errcode| *errcode != 43117) {
        Some(errcode) => Err(ApiError::of(errcode)),
        None => Ok(user),
    }
}

pub(super) fn send(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    if call.escapes_text() {
        return Err(ApiError::of(47002));
    }
    let body: Map<String, Value> = call.json()?;
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let (msgtype, needed, errcode) = TYPES
        .iter()
        .find(|(name, ..)| *name == text("msgtype"))
        .ok_or_else(|| ApiError::of(40008))?;
    let message = body.get(*msgtype).and_then(Value::as_object);
    let has = |name: &&str| match message.and_then(|message| message.get(*name)) {
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(list)) => !list.is_empty(),
        _ => false,
    };
    if !needed.iter().all(has) {
        return Err(ApiError::of(*errcode));
    }
    let content = message.and_then(|message| message.get("content")?.as_str());
    if *msgtype == "text" && content.is_some_and(|content| content.len() > TEXT_LIMIT) {
        return Err(ApiError::of(45002));
    }
    if *msgtype == "news"
        && message.is_some_and(|message| message["articles"].as_array().is_some_and(|list| list.len() > 1))
    {
        return Err(ApiError::of(45008));
    }
    let agent = body
        .get("customservice")
        .map(|service| service["kf_account"].as_str().unwrap_or_default());
    if agent.is_some_and(|agent| !agent.contains('@')) {
        return Err(ApiError::of(61452));
    }
    let now = platform.clock.now();
    let user = recipient(platform, text("touser"))?;
    user.allowances.take(now)?;
    user.show(Shown::Custom {
        at: now,
        msgtype: (*msgtype).to_owned(),
        message: Value::from(message.cloned().unwrap_or_default()),
    });
    Ok(ok())
}

pub(super) fn typing(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let start = match &*call.text("command")? {
        "Typing" => true,
        "CancelTyping" => false,
        _ => return Err(ApiError::of(45072)),
    };
    let now = platform.clock.now();
    recipient(platform, &call.text("touser")?)?
        .allowances
        .show_typing(start, now)?;
    Ok(ok())
}
