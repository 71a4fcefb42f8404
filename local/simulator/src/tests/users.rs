//! Users who refuse, pay, wear tags, or are sent something that gets lost.

use super::*;

const SEND: &str = "/cgi-bin/message/template/send";
const CUSTOM: &str = "/cgi-bin/message/custom/send";

async fn errcode(bench: &Bench, path: &str, body: Value) -> i64 {
    let path = format!("{path}?access_token={}", bench.token().await);
    bench.post(&path, body).await["errcode"].as_i64().unwrap()
}

fn custom_message() -> Value {
    json!({"touser": FOLLOWER, "msgtype": "text", "text": {"content": "处理完成"}})
}

#[tokio::test]
async fn a_user_can_refuse_with_an_errcode() {
    let bench = Bench::new(Mode::Safe).await;
    bench.post("/sim/message", text_message("在吗")).await;
    for refusal in [43019, 43101, 48002] {
        let block = json!({"openid": FOLLOWER, "blocked": true, "errcode": refusal});
        assert_eq!(bench.post("/sim/block", block.clone()).await, block);
        assert_eq!(errcode(&bench, SEND, template_message()).await, refusal);
        assert_eq!(errcode(&bench, CUSTOM, custom_message()).await, refusal);
    }
    let block = json!({"openid": FOLLOWER, "blocked": true, "errcode": 40001});
    let (status, answer) = bench.send(Method::POST, "/sim/block", block.to_string()).await;
    assert_eq!(status, 400, "{answer}");
    bench
        .post("/sim/block", json!({"openid": FOLLOWER, "blocked": false}))
        .await;
    assert_eq!(errcode(&bench, SEND, template_message()).await, 0);
    assert_eq!(errcode(&bench, CUSTOM, custom_message()).await, 0);
}

#[tokio::test]
async fn a_user_can_have_been_sent_too_many_template_messages() {
    let bench = Bench::new(Mode::Safe).await;
    bench.post("/sim/message", text_message("在吗")).await;
    let block = json!({"openid": FOLLOWER, "blocked": true, "errcode": 43117});
    bench.post("/sim/block", block).await;
    assert_eq!(errcode(&bench, SEND, template_message()).await, 43117);
    assert_eq!(errcode(&bench, CUSTOM, custom_message()).await, 0);

    let drops = json!({"openid": FOLLOWER, "blocked": true, "receipt": "failed:freq limit"});
    assert_eq!(bench.post("/sim/block", drops.clone()).await, drops);
    assert_eq!(errcode(&bench, SEND, template_message()).await, 0);
    let pushed = bench.receiver.wait_for(2).await;
    assert_eq!(bench.open(&pushed[1]).text_of("Status"), "failed:freq limit");
    let wrong = json!({"openid": FOLLOWER, "blocked": true, "receipt": "success"});
    assert_eq!(bench.send(Method::POST, "/sim/block", wrong.to_string()).await.0, 400);
}

#[tokio::test]
async fn the_same_content_twice_is_refused_only_when_told_so() {
    let bench = Bench::new(Mode::Safe).await;
    bench.post("/sim/duplicates", json!({"refused_for_seconds": 60})).await;
    let codes = [
        errcode(&bench, SEND, template_message()).await,
        errcode(&bench, SEND, template_message()).await,
    ];
    assert_eq!(codes, [0, 40241]);
    bench.post("/sim/duplicates", json!(null)).await;
    assert_eq!(errcode(&bench, SEND, template_message()).await, 0);
    bench
        .post("/sim/receipts", json!({"status": "failed:freq limit"}))
        .await;
    bench.send(Method::DELETE, "/sim/receipts", String::new()).await;
    assert_eq!(bench.get("/sim/state").await["receipts"], json!([]));
}

#[tokio::test]
async fn results_say_what_was_ordered_and_then_success() {
    let bench = Bench::new(Mode::Safe).await;
    for receipt in [json!({"status": "failed: system failed"}), json!({"status": null})] {
        bench.post("/sim/receipts", receipt).await;
    }
    for _ in 0..3 {
        assert_eq!(errcode(&bench, SEND, template_message()).await, 0);
    }
    let pushed = bench.receiver.wait_for(2).await;
    let mut statuses: Vec<String> = pushed
        .iter()
        .map(|pushed| bench.open(pushed).text_of("Status").to_owned())
        .collect();
    statuses.sort();
    assert_eq!(statuses, ["failed: system failed", "success"]);
    // The failed one is not shown, the one whose result got lost is.
    assert_eq!(bench.phone().await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_users_do_opens_the_window_for_customer_service_messages() {
    let bench = Bench::new(Mode::Safe).await;
    assert_eq!(errcode(&bench, CUSTOM, custom_message()).await, 45015);
    // A view allows nothing, a scan of the menu three, by the simulator's clock.
    let view = json!({"openid": FOLLOWER, "type": "view", "url": "https://example.com/"});
    bench.post("/sim/tap", view).await;
    assert_eq!(errcode(&bench, CUSTOM, custom_message()).await, 45015);
    let scan = json!({"openid": FOLLOWER, "type": "scancode_waitmsg", "key": "K", "result": "1"});
    bench.post("/sim/tap", scan).await;
    let mut errcodes = Vec::new();
    for _ in 0..4 {
        errcodes.push(errcode(&bench, CUSTOM, custom_message()).await);
    }
    assert_eq!(errcodes, [0, 0, 0, 45047]);
    bench.post("/sim/clock", json!({"advance_seconds": 60})).await;
    assert_eq!(errcode(&bench, CUSTOM, custom_message()).await, 45015);

    bench.post("/sim/pay", json!({"openid": FOLLOWER})).await;
    for _ in 0..10 {
        assert_eq!(errcode(&bench, CUSTOM, custom_message()).await, 0);
    }
    bench.post("/sim/clock", json!({"advance_seconds": 48 * 3_600})).await;
    assert_eq!(errcode(&bench, CUSTOM, custom_message()).await, 45015);
}

#[tokio::test]
async fn tapping_a_menu_message_counts_as_a_tap() {
    let bench = Bench::new(Mode::Safe).await;
    let mut body = text_message("满意");
    body["msgmenu_id"] = json!("101");
    bench.post("/sim/message", body).await;
    bench.post("/sim/clock", json!({"advance_seconds": 60})).await;
    assert_eq!(errcode(&bench, CUSTOM, custom_message()).await, 45015);
}

#[tokio::test]
async fn an_agent_must_be_named_whole() {
    let bench = Bench::new(Mode::Safe).await;
    bench.post("/sim/message", text_message("在吗")).await;
    let mut message = custom_message();
    message["customservice"] = json!({"kf_account": "agent1"});
    assert_eq!(errcode(&bench, CUSTOM, message.clone()).await, 61452);
    message["customservice"] = json!({"kf_account": "agent1@sheet"});
    assert_eq!(errcode(&bench, CUSTOM, message).await, 0);
}

fn menu(name: &str, url: &str, matchrule: &Value) -> Value {
    let button = json!([{"type": "view", "name": name, "url": url}]);
    json!({"button": button, "matchrule": matchrule})
}

#[tokio::test]
async fn users_see_the_menu_that_matches_them() {
    let bench = Bench::new(Mode::Plain).await;
    let seen = format!("/sim/phones/{FOLLOWER}/menu");
    assert_eq!(bench.get(&seen).await, json!(null));
    let default = menu("默认", "https://a.com/", &json!({}));
    assert_eq!(errcode(&bench, "/cgi-bin/menu/create", default).await, 0);
    let mut ids = Vec::new();
    for (name, rule) in [
        ("会员", json!({"tag_id": "100"})),
        ("安卓", json!({"client_platform_type": "2"})),
        ("安卓会员", json!({"tag_id": "101", "client_platform_type": "2"})),
    ] {
        let path = format!("/cgi-bin/menu/addconditional?access_token={}", bench.token().await);
        let added = bench.post(&path, menu(name, "https://a.com/x", &rule)).await;
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
        bench.post("/sim/user", body).await;
        assert_eq!(bench.get(&seen).await["button"][0]["name"], name, "{change}");
        let path = format!("/cgi-bin/menu/trymatch?access_token={}", bench.token().await);
        let matched = bench.post(&path, json!({"user_id": FOLLOWER})).await;
        assert_eq!(matched["button"][0]["name"], name, "{change}");
    }
    let member = json!({"openid": FOLLOWER, "tags": ["100"]});
    bench.post("/sim/user", member).await;
    let view = json!({"openid": FOLLOWER, "url": "https://a.com/x"});
    bench.post("/sim/view", view).await;
    let event = bench.open(bench.receiver.pushed().last().unwrap());
    assert_eq!(event.text_of("MenuId"), ids[0]);
}

#[tokio::test]
async fn conditional_menus_lead_to_three_domains_at_most() {
    let bench = Bench::new(Mode::Safe).await;
    let add = "/cgi-bin/menu/addconditional";
    let rule = json!({"tag_id": "100"});
    assert_eq!(errcode(&bench, add, menu("a", "https://a.com/", &rule)).await, 65303);
    let default = menu("a", "https://z.com/", &json!({}));
    assert_eq!(errcode(&bench, "/cgi-bin/menu/create", default).await, 0);
    for domain in ["a.com", "b.com", "c.com", "c.com"] {
        let path = format!("{add}?access_token={}", bench.token().await);
        let added = bench
            .post(&path, menu("a", &format!("https://{domain}/x"), &rule))
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
        assert_eq!(errcode(&bench, add, body.clone()).await, expected, "{body}");
    }
}
