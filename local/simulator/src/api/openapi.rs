//! Management calls: quotas, addresses, the check of the callback URL.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{ApiError, Call, ok};
use crate::platform::Platform;

#[derive(Deserialize)]
struct QuotaOf {
    #[serde(default)]
    cgi_path: String,
}

#[derive(Deserialize)]
struct ClearQuota {
    #[serde(default)]
    appid: String,
}

#[derive(Deserialize)]
struct RequestOf {
    #[serde(default)]
    rid: String,
}

#[derive(Deserialize)]
struct CheckCallback {
    #[serde(default)]
    action: String,
    #[serde(default)]
    check_operator: String,
}

pub(super) fn quota(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let request: QuotaOf = call.json()?;
    let now = platform.clock.now();
    let usage = platform
        .quotas
        .usage(&request.cgi_path, now)
        .ok_or_else(|| ApiError::of(76021))?;
    let remain = usage.daily_limit - usage.used;
    let quota = json!({"daily_limit": usage.daily_limit, "used": usage.used, "remain": remain});
    Ok(json!({"errcode": 0, "errmsg": "ok", "quota": quota}))
}

/// Refused calls can be looked up; their secrets are masked.
pub(super) fn request_by_rid(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let request: RequestOf = call.json()?;
    if request.rid.is_empty() {
        return Err(ApiError::of(76002));
    }
    let logged = platform
        .calls
        .refused(&request.rid)
        .ok_or_else(|| ApiError::of(76001))?;
    Ok(json!({"errcode": 0, "errmsg": "ok", "request": logged}))
}

pub(super) fn clear_quota(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let request: ClearQuota = call.json()?;
    if request.appid != platform.account.app_id {
        return Err(ApiError::of(40013));
    }
    platform.quotas.clear(platform.clock.now())?;
    Ok(ok())
}

/// Calls go to loopback, and callbacks come from there.
pub(super) fn addresses(_: &mut Platform, _: &Call<'_>) -> Result<Value, ApiError> {
    Ok(json!({"ip_list": ["127.0.0.1"]}))
}

/// Answers for the configured host without reaching out to it.
pub(super) fn check_callback(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let request: CheckCallback = call.json()?;
    if !matches!(&*request.action, "dns" | "ping" | "all") {
        return Err(ApiError::of(40202));
    }
    let operator = match &*request.check_operator {
        "DEFAULT" => "UNICOM",
        operator @ ("CHINANET" | "UNICOM" | "CAP") => operator,
        _ => return Err(ApiError::of(40203)),
    };
    let ip = platform.callback_ip.ok_or_else(|| ApiError::of(40201))?;
    let mut answer = json!({});
    if request.action != "ping" {
        answer["dns"] = json!([{"ip": ip, "real_operator": operator}]);
    }
    if request.action != "dns" {
        answer["ping"] = json!([{"ip": ip, "from_operator": operator, "package_loss": "0%", "time": "0.080ms"}]);
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn quotas_are_reported_and_cleared() {
        let platform = &mut testing::platform();
        testing::get_with_token(platform, "/cgi-bin/menu/delete").unwrap();
        let query = r#"{"cgi_path":"/cgi-bin/menu/delete"}"#;
        let answer = testing::post_with_token(platform, "/cgi-bin/openapi/quota/get", query).unwrap();
        assert_eq!(answer["quota"], json!({"daily_limit": 1_000, "used": 1, "remain": 999}));
        let wrong = testing::post_with_token(platform, "/cgi-bin/clear_quota", r#"{"appid":"wx0"}"#);
        assert_eq!(wrong.unwrap_err().errcode, 40013);
        let body = json!({"appid": platform.account.app_id}).to_string();
        testing::post_with_token(platform, "/cgi-bin/clear_quota", &body).unwrap();
        let answer = testing::post_with_token(platform, "/cgi-bin/openapi/quota/get", query).unwrap();
        assert_eq!(answer["quota"]["used"], 0);
        let unknown = testing::post_with_token(platform, "/cgi-bin/openapi/quota/get", r#"{"cgi_path":"menu/delete"}"#);
        assert_eq!(unknown.unwrap_err().errcode, 76021);
    }

    #[test]
    fn the_callback_check_answers_what_was_asked() {
        let platform = &mut testing::platform();
        let check = |platform: &mut Platform, action: &str, operator: &str| {
            let body = json!({"action": action, "check_operator": operator}).to_string();
            testing::post_with_token(platform, "/cgi-bin/callback/check", &body)
        };
        assert_eq!(check(platform, "all", "DEFAULT").unwrap_err().errcode, 40201);
        platform.callback_ip = Some([127, 0, 0, 1].into());
        let answer = check(platform, "all", "CAP").unwrap();
        assert_eq!(answer["dns"][0], json!({"ip": "127.0.0.1", "real_operator": "CAP"}));
        assert_eq!(answer["ping"][0]["package_loss"], "0%");
        assert!(check(platform, "dns", "DEFAULT").unwrap().get("ping").is_none());
        assert_eq!(check(platform, "trace", "DEFAULT").unwrap_err().errcode, 40202);
        assert_eq!(check(platform, "all", "OTHER").unwrap_err().errcode, 40203);
    }
}
