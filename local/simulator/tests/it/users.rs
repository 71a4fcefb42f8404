//! Users who refuse messages, pay or have tags, and what their phones show.

use reqwest::Method;
use serde_json::{Value, json};
use simulator::{FOLLOWER, Mode};

use crate::stage::{Stage, template_message, text_message};

const SEND: &str = "/cgi-bin/message/template/send";
const CUSTOM: &str = "/cgi-bin/message/custom/send";

fn custom_message() -> Value {
    json!({"touser": FOLLOWER, "msgtype": "text", "text": {"content": "处理完成"}})
}

#[tokio::test]
async fn a_user_can_refuse_with_an_errcode() {
    let stage = Stage::new(Mode::Safe).await;
    stage.post("/sim/message", text_message("在吗")).await;
    for refusal in [43019, 43101, 48002] {
        let block = json!({"openid": FOLLOWER, "blocked": true, "errcode": refusal});
        assert_eq!(stage.post("/sim/block", block.clone()).await, block);
        assert_eq!(stage.errcode(SEND, template_message()).await, refusal);
        assert_eq!(stage.errcode(CUSTOM, custom_message()).await, refusal);
    }
    let block = json!({"openid": FOLLOWER, "blocked": true, "errcode": 40001});
    assert_eq!(stage.refused("/sim/block", &block).await, 400);
    stage
        .post("/sim/block", json!({"openid": FOLLOWER, "blocked": false}))
        .await;
    assert_eq!(stage.errcode(SEND, template_message()).await, 0);
    assert_eq!(stage.errcode(CUSTOM, custom_message()).await, 0);
}

#[tokio::test]
async fn a_user_can_have_been_sent_too_many_template_messages() {
    let stage = Stage::new(Mode::Safe).await;
    stage.post("/sim/message", text_message("在吗")).await;
    let block = json!({"openid": FOLLOWER, "blocked": true, "errcode": 43117});
    stage.post("/sim/block", block).await;
    assert_eq!(stage.errcode(SEND, template_message()).await, 43117);
    assert_eq!(stage.errcode(CUSTOM, custom_message()).await, 0);

    let drops = json!({"openid": FOLLOWER, "blocked": true, "receipt": "failed:freq limit"});
    assert_eq!(stage.post("/sim/block", drops.clone()).await, drops);
    assert_eq!(stage.errcode(SEND, template_message()).await, 0);
    let pushed = stage.receiver.wait_for(2).await;
    assert_eq!(stage.open(&pushed[1]).text_of("Status"), "failed:freq limit");
    let wrong = json!({"openid": FOLLOWER, "blocked": true, "receipt": "success"});
    assert_eq!(stage.refused("/sim/block", &wrong).await, 400);
}

#[tokio::test]
async fn the_same_content_twice_is_refused_only_when_switched_on() {
    let stage = Stage::new(Mode::Safe).await;
    stage.post("/sim/duplicates", json!({"refused_for_seconds": 60})).await;
    let codes = [
        stage.errcode(SEND, template_message()).await,
        stage.errcode(SEND, template_message()).await,
    ];
    assert_eq!(codes, [0, 40241]);
    stage.post("/sim/duplicates", json!(null)).await;
    assert_eq!(stage.errcode(SEND, template_message()).await, 0);
    stage
        .post("/sim/receipts", json!({"status": "failed:freq limit"}))
        .await;
    stage.send(Method::DELETE, "/sim/receipts", String::new()).await;
    assert_eq!(stage.get("/sim/state").await["receipts"], json!([]));
}

#[tokio::test]
async fn results_say_what_was_ordered_and_then_success() {
    let stage = Stage::new(Mode::Safe).await;
    for receipt in [json!({"status": "failed: system failed"}), json!({"status": null})] {
        stage.post("/sim/receipts", receipt).await;
    }
    for _ in 0..3 {
        assert_eq!(stage.errcode(SEND, template_message()).await, 0);
    }
    let pushed = stage.receiver.wait_for(2).await;
    let mut statuses: Vec<String> = pushed
        .iter()
        .map(|pushed| stage.open(pushed).text_of("Status").to_owned())
        .collect();
    statuses.sort();
    assert_eq!(statuses, ["failed: system failed", "success"]);
    // The failed message is not shown; the one whose result got lost is.
    assert_eq!(stage.phone().await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_users_do_opens_the_window_for_customer_service_messages() {
    let stage = Stage::new(Mode::Safe).await;
    assert_eq!(stage.errcode(CUSTOM, custom_message()).await, 45015);
    // A view allows nothing, a scan of the menu three, by the simulator's clock.
    let view = json!({"openid": FOLLOWER, "type": "view", "url": "https://example.com/"});
    stage.post("/sim/tap", view).await;
    assert_eq!(stage.errcode(CUSTOM, custom_message()).await, 45015);
    let scan = json!({"openid": FOLLOWER, "type": "scancode_waitmsg", "key": "K", "result": "1"});
    stage.post("/sim/tap", scan).await;
    let mut errcodes = Vec::new();
    for _ in 0..4 {
        errcodes.push(stage.errcode(CUSTOM, custom_message()).await);
    }
    assert_eq!(errcodes, [0, 0, 0, 45047]);
    stage.advance(60).await;
    assert_eq!(stage.errcode(CUSTOM, custom_message()).await, 45015);

    stage.post("/sim/pay", json!({"openid": FOLLOWER})).await;
    for _ in 0..10 {
        assert_eq!(stage.errcode(CUSTOM, custom_message()).await, 0);
    }
    stage.advance(48 * 3_600).await;
    assert_eq!(stage.errcode(CUSTOM, custom_message()).await, 45015);
}

#[tokio::test]
async fn tapping_a_menu_message_counts_as_a_tap() {
    let stage = Stage::new(Mode::Safe).await;
    let mut body = text_message("满意");
    body["msgmenu_id"] = json!("101");
    stage.post("/sim/message", body).await;
    stage.advance(60).await;
    assert_eq!(stage.errcode(CUSTOM, custom_message()).await, 45015);
}

#[tokio::test]
async fn a_text_that_is_too_long_is_refused_and_costs_no_allowance() {
    let stage = Stage::new(Mode::Safe).await;
    stage.post("/sim/message", text_message("在吗")).await;
    let text = |length: usize| json!({"touser": FOLLOWER, "msgtype": "text", "text": {"content": "x".repeat(length)}});
    for _ in 0..5 {
        assert_eq!(stage.errcode(CUSTOM, text(2049)).await, 45002);
        assert_eq!(stage.errcode(CUSTOM, text(2048)).await, 0);
    }
    assert_eq!(stage.errcode(CUSTOM, text(2048)).await, 45047);
}

#[tokio::test]
async fn an_agent_needs_its_full_name() {
    let stage = Stage::new(Mode::Safe).await;
    stage.post("/sim/message", text_message("在吗")).await;
    let mut message = custom_message();
    message["customservice"] = json!({"kf_account": "agent1"});
    assert_eq!(stage.errcode(CUSTOM, message.clone()).await, 61452);
    message["customservice"] = json!({"kf_account": "agent1@sheet"});
    assert_eq!(stage.errcode(CUSTOM, message).await, 0);
}

fn menu(name: &str, url: &str, matchrule: &Value) -> Value {
    let button = json!([{"type": "view", "name": name, "url": url}]);
    json!({"button": button, "matchrule": matchrule})
}

#[tokio::test]
async fn users_see_the_menu_that_matches_them() {
    let stage = Stage::new(Mode::Plain).await;
    let seen = format!("/sim/phones/{FOLLOWER}/menu");
    assert_eq!(stage.get(&seen).await, json!(null));
    let default = menu("默认", "https://a.com/", &json!({}));
    assert_eq!(stage.errcode("/cgi-bin/menu/create", default).await, 0);
    let mut ids = Vec::new();
    for (name, rule) in [
        // SDKs send numbers and texts.
        ("会员", json!({"tag_id": 100})),
        ("安卓", json!({"client_platform_type": "2"})),
        ("安卓会员", json!({"tag_id": "101", "client_platform_type": "2"})),
    ] {
        let added = stage
            .post_api("/cgi-bin/menu/addconditional", menu(name, "https://a.com/x", &rule))
            .await;
        ids.push(added["menuid"].as_str().unwrap().to_owned());
    }
    for (change, name) in [
        (json!({}), "默认"),
        (json!({"tags": ["100"]}), "会员"),
        (json!({"client_platform_type": "2"}), "安卓"),
        (json!({"tags": ["100", "101"]}), "安卓会员"),
        (json!({"client_platform_type": "1"}), "默认"),
    ] {
        let mut body = change.clone();
        body["openid"] = json!(FOLLOWER);
        stage.post("/sim/user", body).await;
        assert_eq!(stage.get(&seen).await["button"][0]["name"], name, "{change}");
        let matched = stage
            .post_api("/cgi-bin/menu/trymatch", json!({"user_id": FOLLOWER}))
            .await;
        assert_eq!(matched["button"][0]["name"], name, "{change}");
    }
    let member = json!({"openid": FOLLOWER, "tags": ["100"]});
    stage.post("/sim/user", member).await;
    let view = json!({"openid": FOLLOWER, "url": "https://a.com/x"});
    stage.post("/sim/view", view).await;
    let event = stage.open(stage.receiver.pushed().last().unwrap());
    assert_eq!(event.text_of("MenuId"), ids[0]);
    let delete = "/cgi-bin/menu/delconditional";
    let number: u64 = ids[0].parse().unwrap();
    assert_eq!(stage.errcode(delete, json!({"menuid": number})).await, 0);
    assert_eq!(stage.errcode(delete, json!({"menuid": ids[1]})).await, 0);
}

#[tokio::test]
async fn conditional_menus_lead_to_three_domains_at_most() {
    let stage = Stage::new(Mode::Safe).await;
    let add = "/cgi-bin/menu/addconditional";
    let rule = json!({"tag_id": "100"});
    assert_eq!(stage.errcode(add, menu("a", "https://a.com/", &rule)).await, 65303);
    let default = menu("a", "https://z.com/", &json!({}));
    assert_eq!(stage.errcode("/cgi-bin/menu/create", default).await, 0);
    for domain in ["a.com", "b.com", "c.com", "c.com"] {
        let added = stage
            .post_api(add, menu("a", &format!("https://{domain}/x"), &rule))
            .await;
        assert!(added["menuid"].is_string(), "{domain}: {added}");
    }
    for (body, expected) in [
        (menu("a", "https://d.com/", &rule), 65316),
        (menu("a", "https://a.com/", &json!({})), 65304),
        (menu("a", "https://a.com/", &json!({"tag_id": ""})), 65304),
        (menu("a", "https://a.com/", &json!({"sex": "1"})), 65320),
        (json!({"button": [], "matchrule": {"tag_id": "1"}}), 65307),
    ] {
        assert_eq!(stage.errcode(add, body.clone()).await, expected, "{body}");
    }
}
