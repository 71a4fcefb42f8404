//! Management calls: quotas, refused calls, addresses, the check of the callback URL.
//!
//! See [WeChat Docs/查询API调用额度](https://developers.weixin.qq.com/doc/service/en/api/apimanage/api_getapiquota.html) and
//! [WeChat Docs/网络通信检测](https://developers.weixin.qq.com/doc/service/api/base/api_callbackcheck.html).

use axum::http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ok;
use crate::platform::{Platform, call::Call, errcode::ApiError, quota::Usage};

/// Seconds. How long a refused call can be looked up.
const RID_LIFETIME: i64 = 7 * 86_400;

#[derive(Default, Deserialize)]
#[serde(default)]
struct ClearQuotaBySecret {
    appid: String,
    appsecret: String,
}

pub(super) fn quota(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let usage = usage(platform, call)?;
    let remain = usage.daily_limit.saturating_sub(usage.used);
    let quota = json!({"daily_limit": usage.daily_limit, "used": usage.used, "remain": remain});
    let limited = |calls, seconds| json!({"call_count": calls, "refresh_second": seconds});
    let rate_limit = usage
        .minute_limit
        .map_or_else(|| limited(0, 0), |calls| limited(calls, 60));
    Ok(json!({
        "errcode": 0, "errmsg": "ok", "quota": quota, "rate_limit": rate_limit, "component_rate_limit": limited(0, 0),
    }))
}

pub(super) fn clear_one_quota(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let usage = usage(platform, call)?;
    platform.quotas.clear_one(usage.path, platform.clock.now())?;
    Ok(ok())
}

/// The quota of the API that the call names.
fn usage(platform: &mut Platform, call: &Call<'_>) -> Result<Usage, ApiError> {
    let cgi_path = call.text("cgi_path")?;
    if cgi_path.starts_with("/sns/") {
        return Err(ApiError::of(76022));
    }
    let usage = platform
        .quotas
        .usage(&cgi_path, platform.account_type, platform.clock.now());
    usage.ok_or_else(|| ApiError::of(76021))
}

/// The refused call with this rid, its secrets masked.
pub(super) fn request_by_rid(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let rid = call.text("rid")?;
    if !is_rid(&rid) {
        return Err(ApiError::of(76002));
    }
    let logged = platform.calls.refused(&rid).ok_or_else(|| ApiError::of(76001))?;
    if logged["request_url"]
        .as_str()
        .is_some_and(|url| url.starts_with("/sns/"))
    {
        return Err(ApiError::of(76022));
    }
    let age = platform.clock.now() - logged["invoke_time"].as_i64().unwrap_or_default();
    if age >= RID_LIFETIME {
        return Err(ApiError::of(76004));
    }
    Ok(json!({"errcode": 0, "errmsg": "ok", "request": logged}))
}

/// Whether the text is three groups of eight hex digits.
fn is_rid(text: &str) -> bool {
    let is_group = |group: &str| group.len() == 8 && group.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.split('-').count() == 3 && text.split('-').all(is_group)
}

pub(super) fn clear_quota(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    if call.text("appid")? != platform.account.app_id {
        return Err(ApiError::of(40013));
    }
    platform.quotas.clear(platform.clock.now())?;
    Ok(ok())
}

/// `clear_quota/v2`: with the AppSecret instead of a token, for an account whose token quota is used up. WeChat's page
/// lists the arguments in the body, but its example has them in the query; both are accepted.
pub(super) fn clear_quota_by_secret(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    call.must_be(&Method::POST)?;
    let request = if call.body.is_empty() {
        ClearQuotaBySecret {
            appid: call.query("appid").to_owned(),
            appsecret: call.query("appsecret").to_owned(),
        }
    } else {
        call.json()?
    };
    let errcode = if request.appid.is_empty() {
        41002
    } else if request.appid != platform.account.app_id {
        40013
    } else if request.appsecret.is_empty() {
        41004
    } else if request.appsecret != platform.account.app_secret {
        40125
    } else {
        platform.quotas.clear(platform.clock.now())?;
        return Ok(ok());
    };
    Err(ApiError::of(errcode))
}

/// The addresses of the platform: loopback.
pub(super) fn addresses(_: &mut Platform, _: &Call<'_>) -> Result<Value, ApiError> {
    Ok(json!({"ip_list": ["127.0.0.1"]}))
}

/// Answers for the configured host without calling it.
pub(super) fn check_callback(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let action = call.text("action")?;
    if !matches!(&*action, "dns" | "ping" | "all") {
        return Err(ApiError::of(40202));
    }
    let operator = call.text("check_operator")?;
    let operator = match &*operator {
        "DEFAULT" => "UNICOM",
        operator @ ("CHINANET" | "UNICOM" | "CAP") => operator,
        _ => return Err(ApiError::of(40203)),
    };
    let ip = platform.callback_ip.ok_or_else(|| ApiError::of(40201))?;
    let mut answer = json!({});
    if action != "ping" {
        answer["dns"] = json!([{"ip": ip, "real_operator": operator}]);
    }
    if action != "dns" {
        answer["ping"] = json!([{"ip": ip, "from_operator": operator, "package_loss": "0%", "time": "0.080ms"}]);
    }
    Ok(answer)
}
