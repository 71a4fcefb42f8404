//! Messages are checked against the account's templates before WeChat is asked to send.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use simulator::{FOLLOWER, FREE_TEMPLATE_ID, ORDER_TEMPLATE_ID};

use testing::{Stage, message};

use crate::{BINARY, LIST, SEND, send};

fn with(name: &str, value: Value) -> Value {
    let mut message = message();
    message["data"][name] = value;
    message
}

#[tokio::test]
async fn a_message_that_its_template_does_not_take_is_refused_without_a_send() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    let missing = json!({"touser": FOLLOWER, "template_id": "TEMPLATE_ID"});
    let long = "长".repeat(21);
    for (body, field, given) in [
        (with("thing1", json!(long)), "data.thing1.value", json!(long)),
        (
            with("time2", json!({"value": "明天"})),
            "data.time2.value",
            json!("明天"),
        ),
        (with("thing1", json!("")), "data.thing1.value", json!("")),
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
    assert_eq!((stage.wechat.calls(SEND).await, stage.wechat.calls(LIST).await), (0, 1));
}

/// A const may be empty, and WeChat drops a field that the template lacks: neither is refused.
#[tokio::test]
async fn what_wechat_may_take_is_sent_and_told_of() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    let clean = send(function, &with("const3", json!(""))).await;
    let msgid = &clean.body["msgid"];
    assert_eq!((clean.status, msgid.is_string()), (200, true), "{clean:?}");
    assert_eq!(clean.body, json!({"errcode": 0, "errmsg": "ok", "msgid": msgid}));

    let mut body = with("remark", json!("谢谢"));
    let warned = send(function, &body).await;
    assert_eq!(
        (warned.status, &warned.body["errmsg"]),
        (200, &json!("ok")),
        "{warned:?}"
    );
    let finding = &warned.body["findings"][0];
    assert_eq!(
        (&finding["field"], finding.get("errcode")),
        (&json!("data.remark"), None)
    );
    body["touser"] = json!([FOLLOWER]);
    let several = send(function, &body).await;
    assert_eq!((several.status, &several.body["findings"][0]), (200, finding));
    assert_eq!(stage.wechat.phone(FOLLOWER).await.len(), 3);
}

#[tokio::test]
async fn a_field_called_by_its_placeholder_is_told_its_name() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    let mut body = message();
    let time = body["data"].as_object_mut().unwrap().remove("time2").unwrap();
    body["data"]["time2.DATA"] = time;
    let answer = send(function, &body).await;
    assert_eq!(
        (answer.status, &answer.body["field"], &answer.body["errcode"]),
        (400, &json!("data.time2.DATA"), &json!(47003))
    );
    assert!(answer.body["detail"].as_str().unwrap().contains("call it time2"));
    assert_eq!(stage.wechat.calls(SEND).await, 0);
    // Where the template is not known it is WeChat that refuses, and the hint that names the cause.
    let unlisted = &mut stage.function(BINARY).await;
    stage.wechat.fault(LIST, &json!({"errcode": 48001, "times": 100})).await;
    stage.table.keep_templates(&json!({}), 100).await;
    let answer = send(unlisted, &body).await;
    assert_eq!(
        (answer.status, &answer.body["field"]),
        (400, &json!("time2")),
        "{answer:?}"
    );
    assert!(
        answer.body["hint"].as_str().unwrap().contains("call it time2"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_const_that_wechat_refuses_is_told_that_only_approved_values_pass() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    stage
        .wechat
        .fault(
            SEND,
            &json!({"errcode": 47003, "errmsg": "argument invalid! data.const3.value invalid"}),
        )
        .await;
    let answer = send(function, &message()).await;
    assert_eq!((answer.status, &answer.body["errcode"]), (400, &json!(47003)));
    let hint = answer.body["hint"].as_str().unwrap();
    assert!(hint.contains("approved") && hint.contains("审核通过的枚举值"), "{hint}");
}

#[tokio::test]
async fn names_without_a_type_are_not_judged() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    let body = json!({"touser": FOLLOWER, "template_id": FREE_TEMPLATE_ID, "data": {"greeting": "您好\n".repeat(30)}});
    assert_eq!(send(function, &body).await.status, 200);
}

#[tokio::test]
async fn a_template_that_is_not_known_is_looked_up_again_before_it_is_refused() {
    let stage = Stage::with_token().await;
    stage
        .table
        .keep_templates(&json!({"OLD": ["thing1"], "ORDER_TEMPLATE_ID": ["thing1"]}), 100)
        .await;
    let function = &mut stage.function(BINARY).await;
    assert_eq!(send(function, &message()).await.status, 200);
    let mut unknown = message();
    unknown["template_id"] = "SOME_OTHER_TEMPLATE".into();
    let answer = send(function, &unknown).await;
    assert_eq!((answer.status, &answer.body["field"]), (400, &json!("template_id")));
    assert_eq!((stage.wechat.calls(SEND).await, stage.wechat.calls(LIST).await), (1, 2));
}

#[tokio::test]
async fn an_old_list_does_not_refuse_what_a_fresh_one_takes() {
    let stage = Stage::with_token().await;
    stage
        .table
        .keep_templates(&json!({"TEMPLATE_ID": ["thing1", "time9"]}), 100)
        .await;
    assert_eq!(send(&mut stage.function(BINARY).await, &message()).await.status, 200);
    assert_eq!(stage.wechat.calls(LIST).await, 1);
}

#[tokio::test]
async fn warn_sends_all_the_same_and_tells_the_findings() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
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
    assert_eq!(stage.wechat.phone(FOLLOWER).await.len(), 2);
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
        let stage = Stage::with_token().await;
        let function = &mut stage.function(BINARY).await;
        let mut failing = fault.clone();
        failing["times"] = 100.into();
        stage.wechat.fault(LIST, &failing).await;
        let started = Instant::now();
        for _ in 0..3 {
            assert_eq!(send(function, &message()).await.status, 200, "{fault}");
        }
        assert!(
            started.elapsed() < Duration::from_secs(2),
            "{fault}: {:?}",
            started.elapsed()
        );
        assert_eq!(stage.wechat.calls(LIST).await, 1, "{fault}");
    }
}

#[tokio::test]
async fn a_known_template_is_checked_though_the_list_fails() {
    let stage = Stage::with_token().await;
    stage
        .table
        .keep_templates(&json!({"TEMPLATE_ID": ["thing1", "time2", "const3"]}), 100)
        .await;
    let function = &mut stage.function(BINARY).await;
    stage.wechat.fault(LIST, &json!({"errcode": 48001, "times": 100})).await;
    let answer = send(function, &with("time2", json!("明天"))).await;
    assert_eq!(
        (answer.status, &answer.body["field"]),
        (400, &json!("data.time2.value"))
    );
    assert_eq!(stage.wechat.calls(SEND).await, 0);
}
