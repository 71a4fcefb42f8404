//! The JS-SDK: tickets, and the check of a page's signature.

use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use simulator::Mode;

use crate::stage::{Stage, errcode};

const PAGE: &str = "https://shop.example.com/pay?order=1";

async fn get(stage: &Stage, kind: &str) -> Value {
    let token = stage.token().await;
    let path = format!("/cgi-bin/ticket/getticket?access_token={token}&type={kind}");
    stage.get(&path).await
}

async fn ticket(stage: &Stage) -> String {
    let answer = get(stage, "jsapi").await;
    assert_eq!(answer["expires_in"], 7_200);
    answer["ticket"].as_str().unwrap().to_owned()
}

/// What a page's server gives the page.
fn config(stage: &Stage, ticket: &str, url: &str) -> Value {
    let text = format!("jsapi_ticket={ticket}&noncestr=Wm3W&timestamp=1414587457&url={url}");
    let signature: String = Sha1::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    let app_id = &stage.simulator.account().app_id;
    json!({"appId": app_id, "timestamp": 1_414_587_457, "nonceStr": "Wm3W", "signature": signature, "url": url})
}

async fn check(stage: &Stage, config: &Value) -> Value {
    stage.post("/sim/jssdk/check", config.clone()).await
}

#[tokio::test]
async fn a_ticket_signs_until_its_own_end() {
    let stage = Stage::new(Mode::Safe).await;
    let first = ticket(&stage).await;
    stage.advance(7_000).await;
    let second = ticket(&stage).await;
    assert_ne!(first, second);
    assert_eq!(stage.get("/sim/state").await["js_tickets"], 2);
    let ok = json!({"ok": true});
    assert_eq!(check(&stage, &config(&stage, &first, PAGE)).await, ok);
    stage.advance(200).await;
    let refused = json!({"ok": false, "errMsg": "config:invalid signature"});
    assert_eq!(check(&stage, &config(&stage, &first, PAGE)).await, refused);
    assert_eq!(check(&stage, &config(&stage, &second, PAGE)).await, ok);
    assert_eq!(errcode(&get(&stage, "other").await), 40097);
    let card = get(&stage, "wx_card").await;
    assert_eq!((&card["errcode"], &card["expires_in"]), (&json!(0), &json!(7_200)));
    assert_eq!(
        check(&stage, &config(&stage, card["ticket"].as_str().unwrap(), PAGE)).await,
        refused,
        "a card's ticket signs no page"
    );
}

#[tokio::test]
async fn a_page_is_checked_as_the_phone_checks_it() {
    let stage = Stage::new(Mode::Safe).await;
    let ticket = ticket(&stage).await;
    let mut right = config(&stage, &ticket, PAGE);
    // The phone leaves the fragment out, and takes text for the time.
    right["url"] = json!(format!("{PAGE}#top"));
    right["timestamp"] = json!("1414587457");
    assert_eq!(check(&stage, &right).await, json!({"ok": true}));
    for (name, value, expected) in [
        ("appId", "wx0000000000000000", "config:invalid appid"),
        (
            "url",
            "https://shop.example.com/pay?order=2",
            "config:invalid signature",
        ),
        ("nonceStr", "other", "config:invalid signature"),
    ] {
        let mut wrong = right.clone();
        wrong[name] = json!(value);
        let refused = json!({"ok": false, "errMsg": expected});
        assert_eq!(check(&stage, &wrong).await, refused, "{name}");
    }
    let mut unknown = right;
    unknown["noncestr"] = json!("a");
    assert_eq!(stage.refused("/sim/jssdk/check", &unknown).await, 400);
}

#[tokio::test]
async fn only_registered_hosts_may_use_the_js_sdk() {
    let stage = Stage::new(Mode::Safe).await;
    let ticket = ticket(&stage).await;
    stage
        .post("/sim/js-domains", json!({"domains": ["shop.example.com"]}))
        .await;
    let right = config(&stage, &ticket, PAGE);
    assert_eq!(check(&stage, &right).await, json!({"ok": true}));
    let other = config(&stage, &ticket, "https://example.com/");
    let refused = json!({"ok": false, "errMsg": "config:invalid url domain"});
    assert_eq!(check(&stage, &other).await, refused);
    assert_eq!(stage.get("/sim/state").await["js_domains"], json!(["shop.example.com"]));
}

#[tokio::test]
async fn pages_of_this_machine_load_the_script_and_read_the_check() {
    let stage = Stage::new(Mode::Safe).await;
    let script = stage.http.get(stage.url("/sim/jweixin.js")).send().await.unwrap();
    let content_type = script.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(content_type.starts_with("text/javascript"));
    assert!(script.text().await.unwrap().contains("config:"));

    let page = "http://localhost:3000/page";
    let body = config(&stage, &ticket(&stage).await, page).to_string();
    let from = |origin: &'static str| {
        let request = stage.http.post(stage.url("/sim/jssdk/check")).body(body.clone());
        request.header("origin", origin).send()
    };
    let answer = from("http://localhost:3000").await.unwrap();
    assert_eq!(answer.headers()["access-control-allow-origin"], "http://localhost:3000");
    assert_eq!(answer.text().await.unwrap(), r#"{"ok":true}"#);
    assert_eq!(from("https://example.com").await.unwrap().status(), 403);
}
