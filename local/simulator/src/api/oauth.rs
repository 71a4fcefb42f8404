//! `/sns/…`: exchanging the code of a web login, and the user's tokens. The IP whitelist does not guard these calls.
//!
//! See [WeChat Docs/网页授权](https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/Wechat_webpage_authorization.html).

use axum::http::Method;
use serde_json::{Value, json};

use super::ok;
use crate::platform::{Platform, authorize::Scope, call::Call, errcode::ApiError, oauth::Identity};

/// Answers a call. In these errors a comma precedes the rid.
pub(super) fn answer(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let answer = match call.path {
        "/sns/oauth2/access_token" => exchange(platform, call),
        "/sns/oauth2/refresh_token" => refresh(platform, call),
        "/sns/userinfo" => user_info(platform, call),
        "/sns/auth" => identity(platform, call).map(|_| ok()),
        _ => Err(ApiError::of(40066)),
    };
    answer.map_err(|error| ApiError::new(error.errcode, format!("{},", error.errmsg)))
}

/// A code is used up only by a call that has the right AppSecret.
fn exchange(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    call.must_be(&Method::GET)?;
    check_app_id(platform, call)?;
    match call.query("secret") {
        "" => return Err(ApiError::of(41004)),
        secret if secret != platform.account.app_secret => return Err(ApiError::of(40125)),
        _ => {}
    }
    check_grant_type(call, "authorization_code")?;
    let now = platform.clock.now();
    match call.query("code") {
        "" => Err(ApiError::of(41008)),
        code => platform.oauth.exchange(code, now, &mut platform.random),
    }
}

fn refresh(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    call.must_be(&Method::GET)?;
    check_app_id(platform, call)?;
    check_grant_type(call, "refresh_token")?;
    let now = platform.clock.now();
    match call.query("refresh_token") {
        "" => Err(ApiError::of(41003)),
        token => platform.oauth.refresh(token, now, &mut platform.random),
    }
}

/// Sex and region have been empty since 2021.
fn user_info(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let identity = identity(platform, call)?;
    if identity.scope == Scope::Base {
        return Err(ApiError::of(48001));
    }
    let openid = &identity.openid;
    let mut info = json!({
        "openid": openid,
        "nickname": format!("微信用户{}", &openid[openid.len() - 4..]),
        "sex": 0,
        "language": "",
        "city": "",
        "province": "",
        "country": "",
        "headimgurl": "https://thirdwx.qlogo.cn/mmopen/vi_32/made/132",
        "privilege": [],
    });
    if let Some(unionid) = &identity.unionid {
        info["unionid"] = unionid.as_str().into();
    }
    Ok(info)
}

/// Whose the user token in the call is.
fn identity<'a>(platform: &'a Platform, call: &Call<'_>) -> Result<&'a Identity, ApiError> {
    call.must_be(&Method::GET)?;
    let now = platform.clock.now();
    match call.query("access_token") {
        "" => Err(ApiError::of(41001)),
        token => platform.oauth.identity(token, call.query("openid"), now),
    }
}

fn check_app_id(platform: &Platform, call: &Call<'_>) -> Result<(), ApiError> {
    match call.query("appid") {
        "" => Err(ApiError::of(41002)),
        app_id if app_id != platform.account.app_id => Err(ApiError::of(40013)),
        _ => Ok(()),
    }
}

fn check_grant_type(call: &Call<'_>, grant_type: &str) -> Result<(), ApiError> {
    if call.query("grant_type") == grant_type {
        Ok(())
    } else {
        Err(ApiError::of(40002))
    }
}
