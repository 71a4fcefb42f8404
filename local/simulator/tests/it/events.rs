//! Events of users and of the account, in XML and JSON.

use serde_json::{Value, json};
use simulator::{FOLLOWER, Mode, crypto::sign};

use crate::stage::{Scripted, Stage, text_message};

#[tokio::test]
async fn every_button_pushes_its_event() {
    let stage = Stage::new(Mode::Plain).await;
    for (tap, event, key, path, value) in [
        (json!({"type": "click", "key": "K"}), "CLICK", "K", "EventKey", "K"),
        (
            json!({"type": "view", "url": "https://e.com/?a=1&b=2"}),
            "VIEW",
            "https://e.com/?a=1&b=2",
            "MsgType",
            "event",
        ),
        (
            json!({"type": "miniprogram", "pagepath": "pages/a"}),
            "view_miniprogram",
            "pages/a",
            "MsgType",
            "event",
        ),
        (
            json!({"type": "scancode_push", "key": "K", "result": "https://e.com/1"}),
            "scancode_push",
            "K",
            "ScanCodeInfo/ScanResult",
            "https://e.com/1",
        ),
        (
            json!({"type": "scancode_waitmsg", "key": "K", "result": "2"}),
            "scancode_waitmsg",
            "K",
            "ScanCodeInfo/ScanType",
            "qrcode",
        ),
        (
            json!({"type": "pic_sysphoto", "key": "K"}),
            "pic_sysphoto",
            "K",
            "SendPicsInfo/Count",
            "1",
        ),
        (
            json!({"type": "pic_weixin", "key": "K", "count": 2}),
            "pic_weixin",
            "K",
            "SendPicsInfo/Count",
            "2",
        ),
        (
            json!({"type": "location_select", "key": "K", "latitude": 31.23, "longitude": 121.47, "label": "上海"}),
            "location_select",
            "K",
            "SendLocationInfo/Location_X",
            "31.23",
        ),
    ] {
        let before = stage.receiver.pushed().len();
        let mut body = tap.clone();
        body["openid"] = json!(FOLLOWER);
        stage.post("/sim/tap", body).await;
        let pushed = stage.open(&stage.receiver.pushed()[before]);
        assert_eq!((pushed.text_of("Event"), pushed.text_of("EventKey")), (event, key));
        let (group, member) = path.split_once('/').unwrap_or(("", path));
        let group = pushed.child(group).unwrap_or(&pushed);
        assert_eq!(group.text_of(member), value, "{tap}");
        assert!(pushed.child("MsgId").is_none());
    }
}

#[tokio::test]
async fn photos_and_places_follow_as_messages() {
    let stage = Stage::new(Mode::Safe).await;
    let photos = json!({"openid": FOLLOWER, "type": "pic_photo_or_album", "key": "K", "count": 2});
    let answer = stage.post("/sim/tap", photos).await;
    assert_eq!(answer["followed"].as_array().unwrap().len(), 2);
    let place =
        json!({"openid": FOLLOWER, "type": "location_select", "key": "K", "latitude": 31.5, "longitude": 121.0});
    stage.post("/sim/tap", place).await;
    let pushed = stage.opened();
    let kinds: Vec<&str> = pushed.iter().map(|pushed| pushed.text_of("MsgType")).collect();
    assert_eq!(kinds, ["event", "image", "image", "event", "location"]);
    let sums = pushed[0].child("SendPicsInfo").and_then(|info| info.child("PicList"));
    assert_eq!(sums.unwrap().children().len(), 2);
    assert_eq!(pushed[4].text_of("Location_X"), "31.5");
    assert!(!pushed[4].text_of("MsgId").is_empty());
}

#[tokio::test]
async fn any_event_can_be_pushed_with_nested_and_repeated_fields() {
    let stage = Stage::new(Mode::Safe).await;
    let position = json!({"Latitude": 31.230416, "Longitude": 121.473701, "Precision": 65.0});
    stage
        .post(
            "/sim/event",
            json!({"openid": FOLLOWER, "event": "LOCATION", "fields": position}),
        )
        .await;
    let popup = json!({"SubscribeMsgPopupEvent": {"List": [
        {"TemplateId": "a", "SubscribeStatusString": "accept", "PopupScene": 2},
        {"TemplateId": "b", "SubscribeStatusString": "reject", "PopupScene": 2},
    ]}});
    stage
        .post(
            "/sim/event",
            json!({"openid": FOLLOWER, "event": "subscribe_msg_popup_event", "fields": popup}),
        )
        .await;
    stage
        .post(
            "/sim/event",
            json!({"event": "annual_renew", "fields": {"ExpiredTime": 1_798_761_600}}),
        )
        .await;
    let pushed = stage.opened();
    assert_eq!(pushed[0].text_of("Event"), "LOCATION");
    assert_eq!(pushed[0].text_of("Latitude"), "31.230416");
    let lists = pushed[1].child("SubscribeMsgPopupEvent").unwrap().children();
    let templates: Vec<&str> = lists.iter().map(|list| list.text_of("TemplateId")).collect();
    assert_eq!(templates, ["a", "b"]);
    assert_ne!(pushed[2].text_of("FromUserName"), FOLLOWER);
    assert_eq!(pushed[2].text_of("ExpiredTime"), "1798761600");
}

#[tokio::test]
async fn names_that_cannot_be_elements_are_refused() {
    let stage = Stage::new(Mode::Safe).await;
    for fields in [
        json!({"MsgType": "text"}),
        json!({"a b": 1}),
        json!({"Group": {"<x>": 1}}),
        json!({"List": [{"1": 1}]}),
    ] {
        let body = json!({"openid": FOLLOWER, "event": "debug_demo", "fields": fields});
        assert_eq!(stage.refused("/sim/event", &body).await, 400, "{fields}");
    }
    assert!(stage.receiver.pushed().is_empty());
}

#[tokio::test]
async fn a_message_can_come_from_an_article_or_a_menu_message() {
    let stage = Stage::new(Mode::Plain).await;
    let mut body = text_message("看完了");
    body["article"] = json!(2);
    stage.post("/sim/message", body).await;
    let mut body = text_message("满意");
    body["msgmenu_id"] = json!("101");
    stage.post("/sim/message", body).await;
    let pushed = stage.opened();
    assert_eq!(pushed[0].text_of("MsgDataId"), "2650000001_2");
    assert_eq!(pushed[0].text_of("Idx"), "2");
    assert_eq!(pushed[1].text_of("bizmsgmenuid"), "101");
}

#[tokio::test]
async fn an_account_with_json_is_pushed_json_in_every_mode_and_may_answer_it() {
    for mode in [Mode::Plain, Mode::Compat, Mode::Safe] {
        let stage = Stage::new(mode).await;
        stage.post("/sim/data-format", json!({"format": "json"})).await;
        let account = stage.simulator.account();
        let clear = json!({"ToUserName": FOLLOWER, "FromUserName": account.original_id, "CreateTime": 1, "MsgType": "text", "Content": "收到"});
        let reply = if mode == Mode::Plain {
            clear
        } else {
            let encrypted = stage.cipher().encrypt("fedcba9876543210", clear.to_string());
            let signature = sign(&[&account.token, "1", "n", &encrypted]);
            json!({"Encrypt": encrypted, "MsgSignature": signature, "TimeStamp": 1, "Nonce": "n"})
        };
        stage.receiver.answer([Scripted::Body(reply.to_string())]);
        let answer = stage.post("/sim/message", text_message("你好")).await;
        assert_eq!(answer["reply"]["Content"], "收到", "{answer}");
        // XML is accepted too.
        stage.receiver.answer([stage.reply("收到")]);
        assert_eq!(stage.post("/sim/message", text_message("你好")).await["deliveries"], 1);

        let pushed = &stage.receiver.pushed()[0];
        let mut message: Value = serde_json::from_str(&pushed.body).unwrap();
        if mode != Mode::Plain {
            assert_eq!(message.get("Content").is_some(), mode == Mode::Compat);
            let decrypted = stage.cipher().decrypt(message["Encrypt"].as_str().unwrap()).unwrap();
            message = serde_json::from_str(&decrypted).unwrap();
        }
        assert_eq!(message["MsgType"], "text");
        assert_eq!(message["Content"], "你好");
        assert!(message["MsgId"].is_u64() && message["CreateTime"].is_u64());
    }
}
