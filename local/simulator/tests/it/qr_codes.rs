//! QR codes with a scene: making them, their pictures, and scanning them.

use reqwest::{Method, Url};
use serde_json::{Value, json};
use simulator::{FOLLOWER, Mode};

use crate::stage::{Stage, errcode};

const CREATE: &str = "/cgi-bin/qrcode/create";

fn temporary(scene: &str) -> Value {
    json!({"expire_seconds": 600, "action_name": "QR_STR_SCENE", "action_info": {"scene": {"scene_str": scene}}})
}

#[tokio::test]
async fn a_follower_and_a_stranger_scan_a_code() {
    let stage = Stage::new(Mode::Safe).await;
    let code = stage.post_api(CREATE, temporary("bind.5kq7w1c2v9x0")).await;
    assert_eq!(code["expire_seconds"], 600);
    assert!(code["url"].as_str().unwrap().starts_with("http://weixin.qq.com/q/"));
    let scanned = stage
        .post("/sim/scan", json!({"openid": FOLLOWER, "ticket": code["ticket"]}))
        .await;
    assert_eq!(scanned["openid"], FOLLOWER);
    let stranger = stage.post("/sim/scan", json!({"url": code["url"]})).await["openid"].clone();
    stage.post("/sim/unfollow", json!({"openid": FOLLOWER})).await;
    stage
        .post("/sim/scan", json!({"openid": FOLLOWER, "url": code["url"]}))
        .await;
    let mut events = stage.opened();
    events.remove(2); // unsubscribe
    let scene = "bind.5kq7w1c2v9x0";
    for (event, (name, key, openid)) in events.iter().zip([
        ("SCAN", scene, FOLLOWER),
        ("subscribe", &format!("qrscene_{scene}"), stranger.as_str().unwrap()),
        ("subscribe", &format!("qrscene_{scene}"), FOLLOWER),
    ]) {
        assert_eq!((event.text_of("Event"), event.text_of("EventKey")), (name, key));
        assert_eq!(event.text_of("FromUserName"), openid);
        assert_eq!(event.text_of("Ticket"), code["ticket"]);
    }
    assert_eq!(events.len(), 3);
}

#[tokio::test]
async fn a_code_ends_and_its_scan_pushes_nothing() {
    let stage = Stage::new(Mode::Safe).await;
    let mut body = temporary("a");
    body["expire_seconds"].take();
    let short = stage.post_api(CREATE, body).await;
    assert_eq!(short["expire_seconds"], 60);
    let permanent = json!({"action_name": "QR_LIMIT_SCENE", "action_info": {"scene": {"scene_id": 7}}});
    let permanent = stage.post_api(CREATE, permanent).await;
    assert!(permanent.get("expire_seconds").is_none());
    let state = stage.get("/sim/state").await;
    assert_eq!(state["qr_codes"], json!({"permanent": 1, "temporary": 1}));
    stage.advance(60).await;
    let scan = json!({"openid": FOLLOWER, "ticket": short["ticket"]});
    assert_eq!(stage.refused("/sim/scan", &scan).await, 400);
    assert!(stage.receiver.pushed().is_empty());
    assert_eq!(picture(&stage, &short["ticket"]).await.0, 404);
    let scan = json!({"openid": FOLLOWER, "ticket": permanent["ticket"]});
    stage.post("/sim/scan", scan).await;
    assert_eq!(stage.opened()[0].text_of("EventKey"), "7");
    for (scan, expected) in [
        (json!({"ticket": "gQ"}), 404),
        (json!({"url": "https://example.com/"}), 404),
        (json!({}), 400),
        (json!({"scene": 1, "ticket": permanent["ticket"]}), 400),
        (json!({"openid": "nobody", "ticket": permanent["ticket"]}), 404),
    ] {
        assert_eq!(stage.refused("/sim/scan", &scan).await, expected, "{scan}");
    }
}

#[tokio::test]
async fn the_same_permanent_scene_is_one_code_and_there_is_a_limit() {
    let stage = Stage::new(Mode::Safe).await;
    stage.post("/sim/sizes", json!({"permanent_qr_codes": 2})).await;
    let permanent =
        |scene: &str| json!({"action_name": "QR_LIMIT_STR_SCENE", "action_info": {"scene": {"scene_str": scene}}});
    let first = stage.post_api(CREATE, permanent("a")).await;
    assert_eq!(stage.errcode(CREATE, permanent("b")).await, 0);
    assert_eq!(stage.errcode(CREATE, permanent("c")).await, 45029);
    assert_eq!(stage.post_api(CREATE, permanent("a")).await["url"], first["url"]);
    assert_eq!(stage.errcode(CREATE, temporary("c")).await, 0);
    stage.post("/sim/sizes", json!({})).await;
    assert_eq!(stage.errcode(CREATE, permanent("c")).await, 0);
}

#[tokio::test]
async fn what_is_not_a_scene_is_refused() {
    let stage = Stage::new(Mode::Safe).await;
    let action = |name: &str, scene: Value| json!({"action_name": name, "action_info": {"scene": scene}});
    let long = "景".repeat(65);
    for (body, expected) in [
        (action("QR_SCENE", json!({"scene_id": 4_294_967_295_u32})), 0),
        (action("QR_STR_SCENE", json!({"scene_str": &long[..192]})), 0),
        (action("QR_LIMIT_SCENE", json!({"scene_id": 100_000})), 0),
        (action("QR_SCENE", json!({"scene_id": 0})), 40053),
        (action("QR_SCENE", json!({"scene_id": 4_294_967_296_u64})), 40053),
        (action("QR_SCENE", json!({"scene_str": "a"})), 40053),
        (action("QR_LIMIT_SCENE", json!({"scene_id": 100_001})), 40053),
        (action("QR_STR_SCENE", json!({"scene_str": ""})), 40053),
        (action("QR_STR_SCENE", json!({"scene_str": long})), 40053),
        (json!({"action_name": "QR_STR_SCENE"}), 40053),
        (action("QR_CARD", json!({"scene_id": 1})), 40052),
        (json!({}), 40052),
    ] {
        assert_eq!(stage.errcode(CREATE, &body).await, expected, "{body}");
    }
    for (seconds, expected) in [(0, 40097), (2_592_000, 0), (2_592_001, 40097)] {
        let mut body = temporary("a");
        body["expire_seconds"] = json!(seconds);
        assert_eq!(stage.errcode(CREATE, body).await, expected, "{seconds}");
    }
}

#[tokio::test]
async fn codes_need_a_verified_service_account_and_have_a_quota() {
    let stage = Stage::new(Mode::Safe).await;
    let query = json!({"cgi_path": CREATE});
    for (kind, allowed, daily_limit) in [
        ("verified_subscription", false, 100_000),
        ("unverified_service", false, 100_000),
        ("test", true, 10_000),
        ("verified_service", true, 100_000),
    ] {
        stage.post("/sim/account-type", json!({"type": kind})).await;
        let expected = if allowed { 0 } else { 48001 };
        assert_eq!(stage.errcode(CREATE, temporary("a")).await, expected, "{kind}");
        let answer = stage.post_api("/cgi-bin/openapi/quota/get", &query).await;
        assert_eq!(answer["quota"]["daily_limit"], daily_limit);
    }
}

/// Status, content type and body of the picture.
async fn picture(stage: &Stage, ticket: &Value) -> (u16, String, String) {
    let mut url = Url::parse(&stage.url("/cgi-bin/showqrcode")).unwrap();
    url.query_pairs_mut().append_pair("ticket", ticket.as_str().unwrap());
    let response = stage.http.get(url).send().await.unwrap();
    let content_type = response.headers().get("content-type");
    let content_type = content_type.map(|value| value.to_str().unwrap().to_owned());
    (
        response.status().as_u16(),
        content_type.unwrap_or_default(),
        response.text().await.unwrap(),
    )
}

#[tokio::test]
async fn the_picture_needs_no_login() {
    let stage = Stage::new(Mode::Safe).await;
    let code = stage.post_api(CREATE, temporary("a")).await;
    let (status, content_type, body) = picture(&stage, &code["ticket"]).await;
    assert_eq!((status, content_type.as_str()), (200, "image/svg+xml"));
    assert!(body.contains("<svg") && body.contains("<path"));
    assert_eq!(picture(&stage, &json!("gQunknown==")).await.0, 404);
    let (status, _) = stage.send(Method::GET, "/cgi-bin/showqrcode", String::new()).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn user_info_names_the_code_that_was_scanned() {
    let stage = Stage::new(Mode::Safe).await;
    let code = stage.post_api(CREATE, temporary("order_42")).await;
    let scanned = stage.post("/sim/scan", json!({"ticket": code["ticket"]})).await;
    let openid = scanned["openid"].as_str().unwrap();
    let path = format!(
        "/cgi-bin/user/info?access_token={}&openid={openid}",
        stage.token().await
    );
    let info = stage.get(&path).await;
    assert_eq!(errcode(&info), 0);
    assert_eq!(info["subscribe_scene"], "ADD_SCENE_QR_CODE");
    assert_eq!(
        (&info["qr_scene"], &info["qr_scene_str"]),
        (&json!(0), &json!("order_42"))
    );
}
