//! `GET /cgi-bin/ticket/getticket`: tickets of the JS-SDK and of cards.
//!
//! See [WeChat Docs/获取 JS-SDK ticket](https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/JS-SDK.html).

use serde_json::{Value, json};

use crate::platform::{
    Platform,
    call::Call,
    errcode::ApiError,
    js_tickets::{self, LIFETIME},
};

/// A ticket of the type `jsapi` signs pages. Nothing in the simulator takes one of the type `wx_card`.
pub(super) fn get(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let now = platform.clock.now();
    let ticket = match call.query("type") {
        "jsapi" => platform.js_tickets.issue(now, &mut platform.random),
        "wx_card" => js_tickets::make(&mut platform.random),
        _ => return Err(ApiError::of(40097)),
    };
    Ok(json!({"errcode": 0, "errmsg": "ok", "ticket": ticket, "expires_in": LIFETIME}))
}
