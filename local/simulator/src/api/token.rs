//! `GET /cgi-bin/token` and `POST /cgi-bin/stable_token`.

use axum::http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ApiError, Call};
use crate::{platform::Platform, tokens::Grant};

#[derive(Deserialize)]
struct StableToken {
    #[serde(default)]
    grant_type: String,
    #[serde(default)]
    appid: String,
    #[serde(default)]
    secret: String,
    #[serde(default)]
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

/// The platform looks at the AppID before anything else.
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

/// The IP whitelist guards the token endpoints; then the day's quota is counted.
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing;

    const STABLE: &str = "/cgi-bin/stable_token";

    fn ask(platform: &mut Platform, changes: &Value) -> Result<Value, ApiError> {
        let mut body = json!({
            "grant_type": "client_credential",
            "appid": platform.account.app_id,
            "secret": platform.account.app_secret,
        });
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        testing::post(platform, STABLE, &[], &body.to_string())
    }

    #[test]
    fn credentials_are_checked_in_the_platforms_order() {
        let platform = &mut testing::platform();
        for (changes, errcode) in [
            (json!({"appid": ""}), 41002),
            (json!({"appid": "wx0000000000000000", "grant_type": "x"}), 40013),
            (json!({"grant_type": "password"}), 40002),
            (json!({"secret": ""}), 41004),
            (json!({"secret": "0".repeat(32)}), 40125),
            (json!({"force_refresh": "yes"}), 47001),
        ] {
            assert_eq!(ask(platform, &changes).unwrap_err().errcode, errcode, "{changes}");
        }
        assert_eq!(testing::post(platform, STABLE, &[], "").unwrap_err().errcode, 44002);
        assert_eq!(testing::get(platform, STABLE, &[]).unwrap_err().errcode, 43002);
        assert_eq!(
            testing::post(platform, "/cgi-bin/token", &[], "{}")
                .unwrap_err()
                .errcode,
            43001
        );
        assert_eq!(
            testing::get(platform, "/cgi-bin/token", &[]).unwrap_err().errcode,
            41002
        );
    }

    #[test]
    fn the_whitelist_names_the_caller() {
        let platform = &mut testing::platform();
        platform.whitelist = Some(vec!["203.0.113.7".parse().unwrap()]);
        let error = ask(platform, &json!({})).unwrap_err();
        assert_eq!(error.errcode, 40164);
        assert_eq!(
            error.errmsg,
            "invalid ip 127.0.0.1 ipv6 ::ffff:127.0.0.1, not in whitelist"
        );
        platform.whitelist = Some(vec!["127.0.0.1".parse().unwrap()]);
        assert!(ask(platform, &json!({})).is_ok());
    }

    #[test]
    fn the_stable_token_reports_its_remaining_life_and_can_be_forced() {
        let platform = &mut testing::platform();
        let first = ask(platform, &json!({})).unwrap();
        assert_eq!(first["expires_in"], 7_200);
        platform.clock.advance(1_000);
        let again = ask(platform, &json!({})).unwrap();
        assert_eq!(again["access_token"], first["access_token"]);
        assert!(again["expires_in"].as_i64().unwrap() <= 6_200);
        let forced = ask(platform, &json!({"force_refresh": true})).unwrap();
        assert_ne!(forced["access_token"], first["access_token"]);
        assert_eq!(
            ask(platform, &json!({"force_refresh": true})).unwrap_err().errcode,
            45011
        );
    }
}
