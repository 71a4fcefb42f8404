//! The state that the console shows.

use serde_json::json;
use simulator::{FOLLOWER, Mode, TEMPLATE_ID};

use crate::stage::{Stage, errcode, text_message};

#[tokio::test]
async fn the_state_shows_what_the_platform_keeps() {
    let stage = Stage::new(Mode::Compat).await;
    let state = stage.get("/sim/state").await;
    assert_eq!(state["account"]["type"], "verified_service");
    assert_eq!(state["callback"]["mode"], "compat");
    assert!(state["callback"]["url"].as_str().unwrap().ends_with("/webhook"));
    assert_eq!(state["tokens"]["stable"], json!(null));
    assert_eq!(state["menu"], json!(null));
    assert_eq!(state["whitelist"], json!(null));
    assert_eq!(state["faults"], json!([]));
    assert_eq!(state["templates"][0]["template_id"], TEMPLATE_ID);
    assert_eq!(
        state["users"],
        json!([{"openid": FOLLOWER, "follows": true, "blocked": false, "errcode": null, "receipt": null, "tags": [], "client_platform_type": "1", "shown": 0, "custom_messages": []}])
    );

    let menu = json!({"button": [{"type": "click", "name": "帮助", "key": "MENU_HELP"}]});
    assert_eq!(stage.errcode("/cgi-bin/menu/create", menu).await, 0);
    stage.post("/sim/message", text_message("在吗")).await;
    stage.advance(3_600).await;
    stage.post("/sim/whitelist", json!({"ips": ["203.0.113.7"]})).await;
    let fault = json!({"path": "/cgi-bin/menu/get", "errcode": 40001, "times": 2});
    stage.fault(fault).await;
    let state = stage.get("/sim/state").await;
    assert_eq!(state["clock"]["advanced_seconds"], 3_600);
    assert_eq!(state["tokens"]["stable"]["alive"], true);
    assert!((3_590..=3_600).contains(&state["tokens"]["stable"]["expires_in"].as_i64().unwrap()));
    assert_eq!(state["tokens"]["forced_left"], 20);
    assert_eq!(state["menu"]["menu"]["button"][0]["key"], "MENU_HELP");
    assert_eq!(state["whitelist"], json!(["203.0.113.7"]));
    assert_eq!(state["faults"][0]["times"], 2);
    let created = state["quotas"].as_array().unwrap().iter();
    let created = created.clone().find(|quota| quota["path"] == "/cgi-bin/menu/create");
    assert_eq!(created.unwrap()["used"], 1);
    assert_eq!(created.unwrap()["daily_limit"], 1_000);
    let allowance = &state["users"][0]["custom_messages"][0];
    assert_eq!(allowance["after"], "message");
    assert_eq!(allowance["left"], 5);

    stage.post("/sim/token/invalidate", json!({})).await;
    assert_eq!(stage.get("/sim/state").await["tokens"]["stable"]["alive"], false);
}

#[tokio::test]
async fn the_state_holds_no_secret() {
    let stage = Stage::new(Mode::Safe).await;
    let token = stage.token().await;
    let state = stage.get("/sim/state").await.to_string();
    let account = stage.simulator.account();
    for secret in [&token, &account.app_secret, &account.token, &account.encoding_aes_key] {
        assert!(!state.contains(secret.as_str()));
    }
}

#[tokio::test]
async fn quotas_can_be_made_small_enough_to_reach() {
    let stage = Stage::new(Mode::Safe).await;
    let path = "/cgi-bin/menu/delete";
    let limited = stage
        .post(
            "/sim/quotas",
            json!({"path": path, "daily_limit": 3, "minute_limit": 2}),
        )
        .await;
    assert_eq!((&limited["daily_limit"], &limited["used"]), (&json!(3), &json!(0)));
    // Starts at the beginning of a minute, so that none ends between two calls.
    let now = stage.get("/sim/state").await["clock"]["now"].as_i64().unwrap();
    stage.advance(60 - now % 60).await;
    let mut errcodes = Vec::new();
    for skipped in [0, 0, 0, 60, 0] {
        stage.advance(skipped).await;
        errcodes.push(errcode(&stage.get_api(path).await));
    }
    assert_eq!(errcodes, [0, 0, 45011, 0, 45009]);
    stage.post("/sim/quotas", json!({"path": path})).await;
    assert_eq!(errcode(&stage.get_api(path).await), 0);
    assert_eq!(stage.refused("/sim/quotas", &json!({"path": "/cgi-bin/no"})).await, 400);
}
