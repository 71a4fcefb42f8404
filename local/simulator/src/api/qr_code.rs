//! `POST /cgi-bin/qrcode/create`: QR codes with a scene.
//!
//! See [WeChat Docs/生成带参数的二维码](https://developers.weixin.qq.com/doc/service/api/qrcode/qrcodes/api_createqrcode).

use serde::Deserialize;
use serde_json::{Value, json};

use crate::platform::{Platform, call::Call, errcode::ApiError, notice::Scene};

/// Seconds. The lifetime of a temporary code that names none.
const DEFAULT_LIFETIME: i64 = 60;
/// Seconds. 30 days.
const LONGEST_LIFETIME: i64 = 2_592_000;
/// The largest number of a permanent code.
const LARGEST_PERMANENT: u32 = 100_000;
/// Characters of a text scene.
const LONGEST_SCENE: usize = 64;

#[derive(Deserialize)]
struct Create {
    expire_seconds: Option<i64>,
    #[serde(default)]
    action_name: String,
    #[serde(default)]
    action_info: Value,
}

pub(super) fn create(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let request: Create = call.json()?;
    let scene = &request.action_info["scene"];
    let (scene, is_permanent) = match &*request.action_name {
        "QR_SCENE" => (number(scene, u32::MAX)?, false),
        "QR_STR_SCENE" => (text(scene)?, false),
        "QR_LIMIT_SCENE" => (number(scene, LARGEST_PERMANENT)?, true),
        "QR_LIMIT_STR_SCENE" => (text(scene)?, true),
        _ => return Err(ApiError::of(40052)),
    };
    let Platform {
        qr_codes,
        random,
        clock,
        ..
    } = platform;
    if is_permanent {
        let code = qr_codes.make_permanent(scene, random)?;
        return Ok(json!({"ticket": code.scanned.ticket, "url": code.url}));
    }
    let seconds = request.expire_seconds.unwrap_or(DEFAULT_LIFETIME);
    if !(1..=LONGEST_LIFETIME).contains(&seconds) {
        return Err(ApiError::of(40097));
    }
    let code = qr_codes.make_temporary(scene, clock.now() + seconds, random);
    Ok(json!({"ticket": code.scanned.ticket, "expire_seconds": seconds, "url": code.url}))
}

/// `scene_id`, from 1: otherwise 40053.
fn number(scene: &Value, largest: u32) -> Result<Scene, ApiError> {
    let id = scene["scene_id"].as_u64().and_then(|id| u32::try_from(id).ok());
    let id = id.filter(|id| (1..=largest).contains(id));
    id.map(Scene::Number).ok_or_else(|| ApiError::of(40053))
}

/// `scene_str`, of 1 to 64 characters: otherwise 40053.
fn text(scene: &Value) -> Result<Scene, ApiError> {
    let text = scene["scene_str"].as_str();
    let text = text.filter(|text| (1..=LONGEST_SCENE).contains(&text.chars().count()));
    text.map(|text| Scene::Text(text.to_owned()))
        .ok_or_else(|| ApiError::of(40053))
}
