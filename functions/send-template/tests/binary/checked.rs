//! Checked against the account's templates before WeChat is asked to send.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wechat_simulator::{FOLLOWER, FREE_TEMPLATE_ID, ORDER_TEMPLATE_ID};

use crate::stage::{LIST, SEND, Stage, message, send};

fn with(name: &str, value: Value) -> Value {
    let mut message = message();
    message["data"][name] = value;
    message
}

#[tokio::test]
async fn a_message_that_its_template_does_not_take_is_refused_without_a_send() {
    let stage = Stage::new().await;
    let function = &mut stage.function().await;
    let missing = json!({"touser": FOLLOWER, "template_id": "TEMPLATE_ID"});
    let long = "长".repeat(21);
    for (body, field, given) in [
        (with("thing1", json!(long)), "data.thing1.value", json!(long)),
        (
            with("time2", json!({"value": "明天"})),
            "data.time2.value",
            json!("明天"),
        ),
        (with("const3", json!("")), "data.const3.value", json!("")),
        (with("remark", json!("谢谢")), "data.remark", json!("谢谢")),
        (missing, "data.thing1", Value::Null),
    ] {
        let answer = send(function, &body).await;
        assert_eq!(
            (answer.status, &answer.body["field"]),
            (400, &json!(field)),
            "{answer:?}"
        );
        let finding = &answer.body["findings"][0];
        assert_eq!((&finding["field"], &finding["given"]), (&json!(field), &given));
        assert!(finding["rule"].is_string() && answer.body["hint"].is_string());
    }
    let two = json!({"touser": FOLLOWER, "template_id": ORDER_TEMPLATE_ID, "data": {
        "character_string1": "订单1", "thing2": "书", "amount3": "九元", "time4": "10:00", "phone_number5": "13800138000",
    }});
    let answer = send(function, &two).await;
    assert_eq!(answer.body["findings"].as_array().unwrap().len(), 2, "{answer:?}");
    assert_eq!((stage.calls(Some(SEND)).await, stage.calls(Some(LIST)).await), (0, 1));
}

#[tokio::test]
async fn names_without_a_type_are_not_judged() {
    let stage = Stage::new().await;
    let function = &mut stage.function().await;
    let body = json!({"touser": FOLLOWER, "template_id": FREE_TEMPLATE_ID, "data": {"greeting": "您好\n".repeat(30)}});
    assert_eq!(send(function, &body).await.status, 200);
}

#[tokio::test]
async fn a_template_that_is_not_known_is_looked_up_again_before_it_is_refused() {
    let stage = Stage::new().await;
    stage
        .keep_templates(&json!({"OLD": ["thing1"], "ORDER_TEMPLATE_ID": ["thing1"]}), 100)
        .await;
    let function = &mut stage.function().await;
    assert_eq!(send(function, &message()).await.status, 200);
    let mut unknown = message();
    unknown["template_id"] = "SOME_OTHER_TEMPLATE".into();
    let answer = send(function, &unknown).await;
    assert_eq!((answer.status, &answer.body["field"]), (400, &json!("template_id")));
    assert_eq!((stage.calls(Some(SEND)).await, stage.calls(Some(LIST)).await), (1, 2));
}

#[tokio::test]
async fn an_old_list_does_not_refuse_what_a_fresh_one_takes() {
    let stage = Stage::new().await;
    stage.keep_templates(&json!({"TEMPLATE_ID": ["thing1"]}), 100).await;
    assert_eq!(send(&mut stage.function().await, &message()).await.status, 200);
    assert_eq!(stage.calls(Some(LIST)).await, 1);
}

#[tokio::test]
async fn warn_sends_all_the_same_and_tells_the_findings() {
    let stage = Stage::new().await;
    let function = &mut stage.function().await;
    let mut body = with("remark", json!("谢谢"));
    body["validate"] = "warn".into();
    let answer = send(function, &body).await;
    assert_eq!(
        (answer.status, &answer.body["findings"][0]["field"]),
        (200, &json!("data.remark"))
    );
    body["touser"] = json!([FOLLOWER]);
    let answer = send(function, &body).await;
    assert_eq!(
        (answer.status, &answer.body["findings"][0]["field"]),
        (200, &json!("data.remark"))
    );
    body["data"]["thing1"] = "长".repeat(21).into();
    body["touser"] = FOLLOWER.into();
    let answer = send(function, &body).await;
    assert_eq!((answer.status, &answer.body["errcode"]), (400, &json!(47003)));
    assert_eq!(answer.body["findings"].as_array().unwrap().len(), 2);
    assert_eq!(stage.phone(FOLLOWER).await.len(), 2);
}

#[tokio::test]
async fn templates_that_cannot_be_listed_stop_no_send() {
    for fault in [
        json!({"errcode": 48001}),
        json!({"http_status": 404}),
        json!({"body": "{\"template_list\":[]}"}),
        json!({"body": "{\"template_list\":[{\"title\":\"odd\"}]}"}),
        json!({"delay_ms": 60_000}),
    ] {
        let stage = Stage::new().await;
        let function = &mut stage.function().await;
        let mut failing = fault.clone();
        failing["path"] = LIST.into();
        failing["times"] = 100.into();
        stage.fault(&failing).await;
        let started = Instant::now();
        for _ in 0..3 {
            assert_eq!(send(function, &message()).await.status, 200, "{fault}");
        }
        assert!(
            started.elapsed() < Duration::from_secs(2),
            "{fault}: {:?}",
            started.elapsed()
        );
        assert_eq!(stage.calls(Some(LIST)).await, 1, "{fault}");
    }
}

#[tokio::test]
async fn a_known_template_is_checked_though_the_list_fails() {
    let stage = Stage::new().await;
    stage
        .keep_templates(&json!({"TEMPLATE_ID": ["thing1", "time2", "const3"]}), 100)
        .await;
    let function = &mut stage.function().await;
    stage
        .fault(&json!({"path": LIST, "errcode": 48001, "times": 100}))
        .await;
    let answer = send(function, &with("time2", json!("明天"))).await;
    assert_eq!(
        (answer.status, &answer.body["field"]),
        (400, &json!("data.time2.value"))
    );
    assert_eq!(stage.calls(Some(SEND)).await, 0);
}
