//! The token endpoints.

use reqwest::Method;
use serde_json::{Value, json};
use simulator::Mode;

use crate::stage::{Stage, errcode};

const STABLE: &str = "/cgi-bin/stable_token";

/// Asks for the stable token, with some members of the body changed.
async fn ask(stage: &Stage, changes: &Value) -> Value {
    let account = stage.simulator.account();
    let mut body = json!({"grant_type": "client_credential", "appid": account.app_id, "secret": account.app_secret});
    for (name, value) in changes.as_object().unwrap() {
        body[name] = value.clone();
    }
    stage.post(STABLE, body).await
}

#[tokio::test]
async fn credentials_are_checked_in_the_platforms_order() {
    let stage = Stage::new(Mode::Safe).await;
    for (changes, expected) in [
        (json!({"appid": ""}), 41002),
        (json!({"appid": "wx0000000000000000", "grant_type": "x"}), 40013),
        (json!({"grant_type": "password"}), 40002),
        (json!({"secret": ""}), 41004),
        (json!({"secret": "0".repeat(32)}), 40125),
        (json!({"force_refresh": "yes"}), 47001),
    ] {
        assert_eq!(errcode(&ask(&stage, &changes).await), expected, "{changes}");
    }
    for (method, path, body, expected) in [
        (Method::POST, STABLE, "", 44002),
        (Method::GET, STABLE, "", 43002),
        (Method::POST, "/cgi-bin/token", "{}", 43001),
        (Method::GET, "/cgi-bin/token", "", 41002),
    ] {
        let (_, answer) = stage.send(method, path, body.to_owned()).await;
        assert_eq!(errcode(&answer), expected, "{path}");
    }
}

#[tokio::test]
async fn the_whitelist_names_the_caller() {
    let stage = Stage::new(Mode::Safe).await;
    stage.post("/sim/whitelist", json!({"ips": ["203.0.113.7"]})).await;
    let refused = ask(&stage, &json!({})).await;
    assert_eq!(errcode(&refused), 40164);
    let errmsg = refused["errmsg"].as_str().unwrap();
    assert!(
        errmsg.starts_with("invalid ip 127.0.0.1 ipv6 ::ffff:127.0.0.1, not in whitelist rid: "),
        "{errmsg}"
    );
    stage.post("/sim/whitelist", json!({"ips": ["127.0.0.1"]})).await;
    assert_eq!(errcode(&ask(&stage, &json!({})).await), 0);
}

#[tokio::test]
async fn the_stable_token_reports_its_remaining_life_and_can_be_forced() {
    let stage = Stage::new(Mode::Safe).await;
    let first = ask(&stage, &json!({})).await;
    assert_eq!(first["expires_in"], 7_200);
    stage.advance(1_000).await;
    let again = ask(&stage, &json!({})).await;
    assert_eq!(again["access_token"], first["access_token"]);
    assert!(again["expires_in"].as_i64().unwrap() <= 6_200);
    let forced = ask(&stage, &json!({"force_refresh": true})).await;
    assert_ne!(forced["access_token"], first["access_token"]);
    assert_eq!(errcode(&ask(&stage, &json!({"force_refresh": true})).await), 45011);
}
