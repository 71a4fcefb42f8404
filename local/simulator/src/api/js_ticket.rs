//! `GET /cgi-bin/ticket/getticket`: tickets of the JS-SDK.
//!
//! See [WeChat Docs/获取 JS-SDK ticket](https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/JS-SDK.html).

use serde_json::{Value, json};

use crate::platform::{Platform, call::Call, errcode::ApiError, js_tickets::LIFETIME};

/// Of the two types, `jsapi` and `wx_card`, the simulator has the first.
pub(super) fn get(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    if call.query("type") != "jsapi" {
        return Err(ApiError::of(40097));
    }
    let now = platform.clock.now();
    let ticket = platform.js_tickets.issue(now, &mut platform.random);
    Ok(json!({"errcode": 0, "errmsg": "ok", "ticket": ticket, "expires_in": LIFETIME}))
}
