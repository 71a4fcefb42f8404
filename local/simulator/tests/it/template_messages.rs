//! Sending template messages.

use serde_json::{Value, json};
use simulator::{FOLLOWER, Mode};

use crate::stage::{Stage, errcode, template_message};

const SEND: &str = "/cgi-bin/message/template/send";

fn with(changes: &Value) -> Value {
    let mut body = template_message();
    for (name, value) in changes.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

async fn shown(stage: &Stage) -> usize {
    stage.phone().await.as_array().unwrap().len()
}

#[tokio::test]
async fn a_message_is_shown_and_its_result_pushed() {
    let stage = Stage::new(Mode::Safe).await;
    let answer = stage.post_api(SEND, template_message()).await;
    let msgid = answer["msgid"].as_u64().unwrap().to_string();
    assert_eq!((errcode(&answer), msgid.len()), (0, 19));
    let phone = stage.phone().await;
    assert_eq!(phone.as_array().unwrap().len(), 1);
    assert_eq!(phone[0]["msgid"], msgid);
    assert_eq!(phone[0]["url"], "https://example.com/details/1");
    assert_eq!(
        phone[0]["text"],
        "审核事项:项目审核\n审核时间:2024年7月19日 10:00\n审核结果:通过\n"
    );
    let result = stage.open(&stage.receiver.wait_for(1).await[0]);
    assert_eq!(result.text_of("Event"), "TEMPLATESENDJOBFINISH");
    assert_eq!(result.text_of("MsgID"), &*msgid);
    assert_eq!(result.text_of("Status"), "success");
}

#[tokio::test]
async fn a_user_who_refuses_messages_sees_none_and_the_result_says_so() {
    let stage = Stage::new(Mode::Safe).await;
    stage
        .post("/sim/block", json!({"openid": FOLLOWER, "blocked": true}))
        .await;
    assert_eq!(stage.errcode(SEND, template_message()).await, 0);
    assert_eq!(shown(&stage).await, 0);
    let result = stage.open(&stage.receiver.wait_for(1).await[0]);
    assert_eq!(result.text_of("Status"), "failed:user block");
}

#[tokio::test]
async fn the_same_client_msg_id_is_one_message_for_ten_minutes() {
    let stage = Stage::new(Mode::Safe).await;
    let send = async |body: &Value| stage.post_api(SEND, body).await["msgid"].as_u64().unwrap();
    let body = with(&json!({"client_msg_id": "order-1"}));
    let first = send(&body).await;
    assert_eq!(send(&body).await, first);
    assert_eq!(shown(&stage).await, 1);
    assert_ne!(send(&with(&json!({"client_msg_id": "order-2"}))).await, first);
    stage.advance(600).await;
    assert_ne!(send(&body).await, first);
    assert_eq!(shown(&stage).await, 3);
    assert_ne!(send(&template_message()).await, send(&template_message()).await);
    assert_eq!(stage.receiver.wait_for(5).await.len(), 5);
}

#[tokio::test]
async fn the_same_content_is_refused_for_a_minute_when_that_is_switched_on() {
    let stage = Stage::new(Mode::Safe).await;
    let repeatable = with(&json!({"client_msg_id": "order-1"}));
    assert_eq!(stage.errcode(SEND, template_message()).await, 0);
    assert_eq!(stage.errcode(SEND, template_message()).await, 0);
    stage.post("/sim/duplicates", json!({"refused_for_seconds": 60})).await;
    assert_eq!(stage.errcode(SEND, &repeatable).await, 0);
    assert_eq!(stage.errcode(SEND, template_message()).await, 40241);
    // A retry with the same client_msg_id is not another message.
    assert_eq!(stage.errcode(SEND, &repeatable).await, 0);
    stage.advance(60).await;
    assert_eq!(stage.errcode(SEND, template_message()).await, 0);
    assert_eq!(shown(&stage).await, 4);
}

#[tokio::test]
async fn wrong_arguments_have_their_errcodes() {
    let stage = Stage::new(Mode::Safe).await;
    for (changes, expected) in [
        (json!({"touser": "OPENID"}), 40003),
        (json!({"touser": "odhkKxxxxxxxxxxxxxxxxxxxxxxx"}), 40003),
        (json!({"template_id": "unknown"}), 40037),
        (json!({"data": {}}), 47003),
        (json!({"data": {"thing1": "项目审核"}}), 47001),
        (json!({"data": {"thing1": {"value": 1}}}), 47001),
        (json!({"miniprogram": {"appid": "", "pagepath": ""}}), 40013),
    ] {
        assert_eq!(stage.errcode(SEND, with(&changes)).await, expected, "{changes}");
    }
    let escaped = template_message().to_string().replace("通过", "\\u901a\\u8fc7");
    for (body, expected) in [("", 44002), ("{", 47001), (&escaped, 47002)] {
        assert_eq!(stage.errcode(SEND, body).await, expected, "{body}");
    }
    stage.post("/sim/unfollow", json!({"openid": FOLLOWER})).await;
    assert_eq!(stage.errcode(SEND, template_message()).await, 43004);
    assert_eq!((shown(&stage).await, stage.receiver.pushed().len()), (0, 1));
}

#[tokio::test]
async fn the_list_shows_placeholders_as_the_platform_does() {
    let stage = Stage::new(Mode::Safe).await;
    let answer = stage.get_api("/cgi-bin/template/get_all_private_template").await;
    let first = &answer["template_list"][0];
    assert_eq!(first["template_id"], "TEMPLATE_ID");
    assert!(first["content"].as_str().unwrap().contains("{{thing1.DATA}}"));
    assert_eq!(first["deputy_industry"], "");
}
