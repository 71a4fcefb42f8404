//! `GET /cgi-bin/token` and `POST /cgi-bin/stable_token`.
//!
//! See [WeChat Docs/获取稳定版接口调用凭据](https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken.html).

use axum::http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::platform::{Platform, call::Call, errcode::ApiError, tokens::Grant};

#[derive(Default, Deserialize)]
#[serde(default)]
struct StableToken {
    grant_type: String,
    appid: String,
    secret: String,
    force_refresh: bool,
}

pub(super) fn ordinary(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    call.must_be(&Method::GET)?;
    check_credentials(
        platform,
        call.query("appid"),
        call.query("grant_type"),
        call.query("secret"),
    )?;
    admit(platform, call)?;
    let now = platform.clock.now();
    Ok(granted(&platform.tokens.ordinary(now, &mut platform.random)))
}

pub(super) fn stable(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    call.must_be(&Method::POST)?;
    let request: StableToken = call.json()?;
    check_credentials(platform, &request.appid, &request.grant_type, &request.secret)?;
    admit(platform, call)?;
    let now = platform.clock.now();
    let Platform { tokens, random, .. } = platform;
    let grant = if request.force_refresh {
        tokens.forced(now, random)?
    } else {
        tokens.stable(now, random)
    };
    Ok(granted(&grant))
}

fn granted(grant: &Grant) -> Value {
    json!({"access_token": grant.access_token, "expires_in": grant.expires_in})
}

/// Checks the credentials in the platform's order: the AppID comes first.
fn check_credentials(platform: &Platform, app_id: &str, grant_type: &str, secret: &str) -> Result<(), ApiError> {
    let errcode = if app_id.is_empty() {
        41002
    } else if app_id != platform.account.app_id {
        40013
    } else if grant_type != "client_credential" {
        40002
    } else if secret.is_empty() {
        41004
    } else if secret != platform.account.app_secret {
        40125
    } else {
        return Ok(());
    };
    Err(ApiError::of(errcode))
}

/// Checks the IP whitelist, which guards the token endpoints, then counts the call.
fn admit(platform: &mut Platform, call: &Call<'_>) -> Result<(), ApiError> {
    let peer = call.peer.to_canonical();
    let whitelist = platform.whitelist.as_ref().filter(|_| !platform.account_type.is_test());
    if whitelist.is_some_and(|listed| !listed.contains(&peer)) {
        return Err(ApiError::not_whitelisted(peer));
    }
    platform
        .quotas
        .take(call.path, platform.account_type, platform.clock.now())
}
