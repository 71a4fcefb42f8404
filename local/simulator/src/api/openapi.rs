//! Management calls: quotas, addresses, the check of the callback URL.

use axum::http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ApiError, Call, ok};
use crate::{platform::Platform, quota::Usage};

/// Seconds for which a call can be looked up.
const RID_LIFETIME: i64 = 7 * 86_400;

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

#[derive(Default, Deserialize)]
#[serde(default)]
struct ClearQuotaBySecret {
    appid: String,
    appsecret: String,
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
    let usage = usage(platform, call)?;
    let remain = usage.daily_limit.saturating_sub(usage.used);
    let quota = json!({"daily_limit": usage.daily_limit, "used": usage.used, "remain": remain});
    let mut answer = json!({"errcode": 0, "errmsg": "ok", "quota": quota});
    if let Some(limit) = usage.minute_limit {
        answer["rate_limit"] = json!({"call_count": limit, "refresh_second": 60});
    }
    Ok(answer)
}

pub(super) fn clear_one_quota(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let usage = usage(platform, call)?;
    platform.quotas.clear_one(usage.path, platform.clock.now())?;
    Ok(ok())
}

/// The counter of the API that the call names.
fn usage(platform: &mut Platform, call: &Call<'_>) -> Result<Usage, ApiError> {
    let QuotaOf { cgi_path } = call.json()?;
    if cgi_path.starts_with("/sns/") {
        return Err(ApiError::of(76022));
    }
    let usage = platform
        .quotas
        .usage(&cgi_path, platform.account_type, platform.clock.now());
    usage.ok_or_else(|| ApiError::of(76021))
}

/// Refused calls can be looked up for seven days; their secrets are masked.
pub(super) fn request_by_rid(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let request: RequestOf = call.json()?;
    if !is_rid(&request.rid) {
        return Err(ApiError::of(76002));
    }
    let logged = platform
        .calls
        .refused(&request.rid)
        .ok_or_else(|| ApiError::of(76001))?;
    let age = platform.clock.now() - logged["invoke_time"].as_i64().unwrap_or_default();
    if age >= RID_LIFETIME {
        return Err(ApiError::of(76004));
    }
    Ok(json!({"errcode": 0, "errmsg": "ok", "request": logged}))
}

/// Three groups of eight hex digits.
fn is_rid(text: &str) -> bool {
    let is_group = |group: &str| group.len() == 8 && group.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.split('-').count() == 3 && text.split('-').all(is_group)
}

pub(super) fn clear_quota(platform: &mut Platform, call: &Call<'_>) -> Result<Value, ApiError> {
    let request: ClearQuota = call.json()?;
    if request.appid != platform.account.app_id {
        return Err(ApiError::of(40013));
    }
    platform.quotas.clear(platform.clock.now())?;
    Ok(ok())
}

/// `clear_quota/v2`: with the AppSecret instead of a token, for when the quota of tokens is used up. WeChat's page has
/// the arguments in the body, its example in the query.
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
        assert!(answer.get("rate_limit").is_none());
        let stable = r#"{"cgi_path":"/cgi-bin/stable_token"}"#;
        let answer = testing::post_with_token(platform, "/cgi-bin/openapi/quota/get", stable).unwrap();
        assert_eq!(
            answer["rate_limit"],
            json!({"call_count": 10_000, "refresh_second": 60})
        );
        let unknown = testing::post_with_token(platform, "/cgi-bin/openapi/quota/get", r#"{"cgi_path":"menu/delete"}"#);
        assert_eq!(unknown.unwrap_err().errcode, 76021);
        let other = testing::post_with_token(platform, "/cgi-bin/openapi/quota/get", r#"{"cgi_path":"/sns/auth"}"#);
        assert_eq!(other.unwrap_err().errcode, 76022);
    }

    #[test]
    fn a_refused_call_can_be_looked_up_for_seven_days() {
        let platform = &mut testing::platform();
        let refused = Call {
            method: &Method::GET,
            path: "/cgi-bin/menu/get",
            query: &[("access_token".to_owned(), "secret".to_owned())],
            body: b"",
            peer: [127, 0, 0, 1].into(),
        };
        let (answer, _) = platform.serve(&refused);
        let rid = answer
            .body
            .split_once("rid: ")
            .unwrap()
            .1
            .trim_end_matches("\"}")
            .to_owned();
        let get = |platform: &mut Platform, rid: &str| {
            let body = json!({"rid": rid}).to_string();
            testing::post_with_token(platform, "/cgi-bin/openapi/rid/get", &body)
        };
        let logged = get(platform, &rid).unwrap();
        assert_eq!(logged["request"]["client_ip"], "127.0.0.1");
        assert!(!logged.to_string().contains("secret"));
        for (rid, errcode) in [("", 76002), ("a-b-c", 76002), ("00000000-00000000-00000000", 76001)] {
            assert_eq!(get(platform, rid).unwrap_err().errcode, errcode, "{rid}");
        }
        platform.clock.advance(7 * 86_400);
        assert_eq!(get(platform, &rid).unwrap_err().errcode, 76004);
    }

    #[test]
    fn one_quota_can_be_cleared_alone() {
        let platform = &mut testing::platform();
        for path in ["/cgi-bin/menu/delete", "/cgi-bin/menu/delete"] {
            testing::get_with_token(platform, path).unwrap();
        }
        let one = r#"{"cgi_path":"/cgi-bin/menu/delete"}"#;
        testing::post_with_token(platform, "/cgi-bin/openapi/quota/clear", one).unwrap();
        let answer = testing::post_with_token(platform, "/cgi-bin/openapi/quota/get", one).unwrap();
        assert_eq!(answer["quota"]["used"], 0);
    }

    #[test]
    fn the_secret_clears_quotas_without_a_token() {
        let platform = &mut testing::platform();
        testing::get_with_token(platform, "/cgi-bin/menu/delete").unwrap();
        let path = "/cgi-bin/clear_quota/v2";
        let (app_id, secret) = (platform.account.app_id.clone(), platform.account.app_secret.clone());
        for (body, errcode) in [
            (json!({}), 41002),
            (json!({"appid": "wx0"}), 40013),
            (json!({"appid": app_id}), 41004),
            (json!({"appid": app_id, "appsecret": "x"}), 40125),
        ] {
            let refused = testing::post(platform, path, &[], &body.to_string());
            assert_eq!(refused.unwrap_err().errcode, errcode, "{body}");
        }
        assert_eq!(testing::get(platform, path, &[]).unwrap_err().errcode, 43002);
        let body = json!({"appid": app_id, "appsecret": secret}).to_string();
        testing::post(platform, path, &[], &body).unwrap();
        let query = r#"{"cgi_path":"/cgi-bin/menu/delete"}"#;
        let answer = testing::post_with_token(platform, "/cgi-bin/openapi/quota/get", query).unwrap();
        assert_eq!(answer["quota"]["used"], 0);
        let in_query = [("appid", &*app_id), ("appsecret", &*secret)];
        for _ in 0..9 {
            testing::post(platform, path, &in_query, "").unwrap();
        }
        let body = json!({"appid": app_id}).to_string();
        let eleventh = testing::post_with_token(platform, "/cgi-bin/clear_quota", &body);
        assert_eq!(eleventh.unwrap_err().errcode, 48006);
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
