//! `shorten/gen` and `shorten/fetch`: short keys that stand for long texts.
//!
//! See [WeChat Docs/长信息转短链](https://developers.weixin.qq.com/doc/service/api/qrcode/shorten/api_genshortkey) and
//! [WeChat Docs/短链转长信息](https://developers.weixin.qq.com/doc/service/api/qrcode/shorten/api_fetchshorten).

use serde::Deserialize;
use serde_json::{Value, json};

use crate::platform::{Platform, call::Call, errcode::ApiError, short_keys::LONGEST_LIFETIME};

#[derive(Deserialize)]
struct Make {
    #[serde(default)]
    long_data: String,
    expire_seconds: Option<i64>,
}

pub(super) fn make(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let request: Make = call.json()?;
    let lifetime = request.expire_seconds.unwrap_or(LONGEST_LIFETIME);
    let now = platform.clock.now();
    let Platform { short_keys, random, .. } = platform;
    let key = short_keys.make(request.long_data, lifetime, now, random)?;
    Ok(json!({"errcode": 0, "errmsg": "ok", "short_key": key}))
}

pub(super) fn get(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let now = platform.clock.now();
    let data = platform.short_keys.get(&call.text("short_key")?, now)?;
    Ok(json!({
        "errcode": 0,
        "errmsg": "ok",
        "long_data": data.text,
        "create_time": data.created_at,
        "expire_seconds": data.ends_at - now,
    }))
}
