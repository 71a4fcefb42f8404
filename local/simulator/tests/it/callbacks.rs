//! Callbacks: the three modes, redelivery, and what the user sees.

use std::time::Duration;

use serde_json::json;
use simulator::{
    FOLLOWER, Mode, Settings,
    xml::{self, Element},
};
use tokio::net::TcpListener;

use crate::stage::{Receiver, Scripted, Stage, template_message, text_message};

#[tokio::test]
async fn every_mode_carries_a_message_and_its_reply() {
    for mode in [Mode::Plain, Mode::Compat, Mode::Safe] {
        let stage = Stage::new(mode).await;
        stage.receiver.answer([stage.reply("欢迎]关注")]);
        let answer = stage.post("/sim/message", text_message("你好 <&>")).await;
        assert_eq!(answer["openid"], FOLLOWER);
        assert_eq!(answer["deliveries"], 1, "{answer}");
        assert_eq!(answer["status"], 200, "{answer}");
        assert_eq!(answer["reply"]["MsgType"], "text");
        assert_eq!(answer["reply"]["Content"], "欢迎]关注");
        assert_eq!(stage.phone().await[0]["reply"], answer["reply"]);

        let pushed = &stage.receiver.pushed()[0];
        let message = stage.open(pushed);
        assert_eq!(message.text_of("ToUserName"), stage.simulator.account().original_id);
        assert_eq!(message.text_of("FromUserName"), FOLLOWER);
        assert_eq!(message.text_of("MsgType"), "text");
        assert_eq!(message.text_of("Content"), "你好 <&>");
        assert!(message.text_of("MsgId").parse::<u64>().unwrap() > 24_000_000_000_000_000);
        assert_eq!(pushed.query["openid"], FOLLOWER);

        let clear_fields_beside = xml::read(&pushed.body).unwrap().child("FromUserName").is_some();
        assert_eq!(clear_fields_beside, mode != Mode::Safe);
        assert_eq!(pushed.body.contains("<Encrypt>"), mode != Mode::Plain);
        assert_eq!(pushed.query.contains_key("msg_signature"), mode != Mode::Plain);
    }
}

#[tokio::test]
async fn success_shows_nothing() {
    let stage = Stage::new(Mode::Safe).await;
    let answer = stage
        .post("/sim/click", json!({"openid": FOLLOWER, "key": "MENU_HELP"}))
        .await;
    assert_eq!(
        answer,
        json!({"openid": FOLLOWER, "reply": null, "deliveries": 1, "status": 200})
    );
    assert_eq!(stage.phone().await, json!([]));
    let event = stage.open(&stage.receiver.pushed()[0]);
    assert_eq!(event.text_of("Event"), "CLICK");
    assert_eq!(event.text_of("EventKey"), "MENU_HELP");
    assert!(event.child("MsgId").is_none());
}

#[tokio::test]
async fn a_message_handed_to_an_agent_is_not_shown_as_a_reply() {
    let stage = Stage::new(Mode::Plain).await;
    let reply = stage
        .clear_reply("-")
        .replace("<![CDATA[text]]>", "transfer_customer_service");
    stage.receiver.answer([Scripted::Body(reply)]);
    let answer = stage.post("/sim/message", text_message("人工")).await;
    assert_eq!(answer["reply"]["MsgType"], "transfer_customer_service");
    assert_eq!(stage.phone().await, json!([]));
}

#[tokio::test]
async fn a_failed_delivery_is_repeated_with_the_same_message_and_a_later_reply_counts() {
    let stage = Stage::new(Mode::Safe).await;
    stage.receiver.answer([
        Scripted::Status(500),
        Scripted::Body("{\"ok\":true}".to_owned()),
        stage.reply("迟到"),
    ]);
    let answer = stage.post("/sim/message", text_message("在吗")).await;
    assert_eq!(answer["deliveries"], 3);
    assert_eq!(answer["reply"]["Content"], "迟到");
    assert!(answer.get("error").is_none());
    let pushed = stage.receiver.pushed();
    let ids: Vec<String> = pushed
        .iter()
        .map(|pushed| stage.open(pushed).text_of("MsgId").to_owned())
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert_ne!(pushed[0].query["nonce"], pushed[1].query["nonce"]);
    assert_eq!(stage.phone().await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn after_three_failures_the_user_sees_the_failure_text() {
    let stage = Stage::new(Mode::Safe).await;
    let clear = stage.clear_reply("明文");
    stage
        .receiver
        .answer([Scripted::Status(403), Scripted::Status(500), Scripted::Body(clear)]);
    let answer = stage.post("/sim/message", text_message("在吗")).await;
    assert_eq!(answer["reply"], json!(null));
    assert_eq!(answer["deliveries"], 3);
    assert_eq!(answer["status"], 200);
    assert_eq!(answer["error"], "a clear reply in safe mode");
    let phone = stage.phone().await;
    assert_eq!(phone[0]["type"], "notice");
    assert_eq!(phone[0]["text"], "该公众号提供的服务出现故障，请稍后再试");
    assert_eq!(stage.receiver.pushed().len(), 3);
}

#[tokio::test]
async fn a_hanging_and_an_unreachable_server_fail_every_delivery() {
    let mut settings = Settings {
        callback_timeout: Duration::from_millis(20),
        redelivery_interval: Duration::from_millis(20),
        ..Settings::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    settings.callback_url = Some(format!("http://{}/", listener.local_addr().unwrap()));
    let stage = Stage::start(settings, Receiver::default()).await;
    let answer = stage.post("/sim/message", text_message("在吗")).await;
    assert_eq!((&answer["deliveries"], &answer["status"]), (&json!(3), &json!(null)));
    assert_eq!(answer["error"], "the server did not answer in time");
    drop(listener);
    let started = std::time::Instant::now();
    let answer = stage.post("/sim/message", text_message("在吗")).await;
    assert!(started.elapsed() >= Duration::from_millis(40));
    assert_eq!(answer["deliveries"], 3, "{answer}");
    assert_eq!(answer["status"], json!(null), "{answer}");
    assert_eq!(stage.phone().await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn without_a_callback_url_nothing_is_pushed() {
    let stage = Stage::start(Settings::default(), Receiver::default()).await;
    let answer = stage.post("/sim/message", text_message("在吗")).await;
    assert_eq!(
        answer,
        json!({"openid": FOLLOWER, "reply": null, "deliveries": 0, "status": null})
    );
    assert_eq!(stage.phone().await, json!([]));
}

#[tokio::test]
async fn following_leaving_and_scanning_push_the_right_events() {
    let stage = Stage::new(Mode::Plain).await;
    let answer = stage.post("/sim/follow", json!({})).await;
    let openid = answer["openid"].as_str().unwrap();
    for (action, scene) in [
        ("scan", json!(123)),
        ("unfollow", json!(null)),
        ("scan", json!("order_42")),
        ("unfollow", json!(null)),
        ("follow", json!("shop")),
    ] {
        let mut body = json!({"openid": openid});
        if !scene.is_null() {
            body["scene"] = scene;
        }
        stage.post(&format!("/sim/{action}"), body).await;
    }
    let describe = |event: &Element| {
        assert_eq!(event.text_of("FromUserName"), openid);
        let ticket = event.child("Ticket").map_or("", |_| "with a ticket");
        format!("{} {} {ticket}", event.text_of("Event"), event.text_of("EventKey"))
    };
    let events: Vec<String> = stage.opened().iter().map(describe).collect();
    assert_eq!(
        events,
        [
            "subscribe  ",
            "SCAN 123 with a ticket",
            "unsubscribe  ",
            "subscribe qrscene_order_42 with a ticket",
            "unsubscribe  ",
            "subscribe qrscene_shop with a ticket",
        ]
    );
}

#[tokio::test]
async fn a_failed_unsubscribe_shows_the_user_nothing() {
    let stage = Stage::new(Mode::Plain).await;
    stage
        .receiver
        .answer([Scripted::Status(500), Scripted::Status(500), Scripted::Status(500)]);
    let answer = stage.post("/sim/unfollow", json!({"openid": FOLLOWER})).await;
    assert_eq!(answer["deliveries"], 3);
    assert_eq!(stage.phone().await, json!([]));
}

#[tokio::test]
async fn every_kind_of_message_can_be_sent() {
    let stage = Stage::new(Mode::Safe).await;
    for (message, element) in [
        (json!({"type": "image"}), "PicUrl"),
        (json!({"type": "voice", "recognition": "今天天气"}), "Recognition"),
        (json!({"type": "video"}), "ThumbMediaId"),
        (json!({"type": "shortvideo"}), "MediaId"),
        (
            json!({"type": "location", "latitude": 31.230416, "longitude": 121.473701}),
            "Location_X",
        ),
        (
            json!({"type": "link", "title": "标题", "url": "https://example.com/a?x=1&y=2"}),
            "Url",
        ),
    ] {
        let mut body = message.clone();
        body["openid"] = json!(FOLLOWER);
        stage.post("/sim/message", body).await;
        let pushed = stage.open(stage.receiver.pushed().last().unwrap());
        assert_eq!(pushed.text_of("MsgType"), message["type"]);
        assert!(!pushed.text_of(element).is_empty(), "{message}");
    }
}

#[tokio::test]
async fn a_view_carries_the_menu_it_was_tapped_in() {
    let stage = Stage::new(Mode::Plain).await;
    let view = json!({"openid": FOLLOWER, "url": "https://example.com/?a=1&b=2"});
    stage.post("/sim/view", view.clone()).await;
    let menu = json!({"button": [{"type": "view", "name": "官网", "url": "https://example.com/?a=1&b=2"}]});
    assert_eq!(stage.errcode("/cgi-bin/menu/create", menu).await, 0);
    let menu_id = stage.get_api("/cgi-bin/menu/get").await["menu"]["menuid"].to_string();
    stage.post("/sim/view", view).await;
    let pushed = stage.receiver.pushed();
    let (before, after) = (stage.open(&pushed[0]), stage.open(&pushed[1]));
    assert_eq!(before.text_of("Event"), "VIEW");
    assert_eq!(before.text_of("EventKey"), "https://example.com/?a=1&b=2");
    assert!(before.child("MenuId").is_none());
    assert_eq!(after.text_of("MenuId"), menu_id);
}

#[tokio::test]
async fn the_result_of_a_template_message_is_pushed() {
    let stage = Stage::new(Mode::Safe).await;
    let answer = stage
        .post_api("/cgi-bin/message/template/send", template_message())
        .await;
    assert_eq!(answer["errcode"], 0, "{answer}");
    stage
        .post("/sim/block", json!({"openid": FOLLOWER, "blocked": true}))
        .await;
    let refused = stage
        .post_api("/cgi-bin/message/template/send", template_message())
        .await;
    let pushed = stage.receiver.wait_for(2).await;
    let mut results: Vec<(String, String)> = pushed
        .iter()
        .map(|pushed| {
            let event = stage.open(pushed);
            assert_eq!(event.text_of("Event"), "TEMPLATESENDJOBFINISH");
            (event.text_of("MsgID").to_owned(), event.text_of("Status").to_owned())
        })
        .collect();
    results.sort();
    let expected = [(&answer, "success"), (&refused, "failed:user block")];
    assert_eq!(
        results,
        expected.map(|(answer, status)| (answer["msgid"].to_string(), status.to_owned()))
    );
    assert_eq!(stage.phone().await.as_array().unwrap().len(), 1);
}
