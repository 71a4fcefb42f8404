//! Customer-service messages: sent once, while the person's last act allows it.

use serde_json::{Value, json};
use simulator::{FOLLOWER, TEMPLATE_ID};
use testing::{
    Function, Response, Stage,
    event::{Request, post},
};
use wechat::bilingual::halves;

use crate::{BINARY, once::kill_at};

const CUSTOM: &str = "/cgi-bin/message/custom/send";
const SHOP: &str = "wk_000000000000000000000000000shop1";

fn text(member: &str, recipient: &str) -> Value {
    json!({member: recipient, "msgtype": "text", "text": {"content": "处理完成"}})
}

fn request(body: &Value) -> Request {
    post("/api/sendCustomMessage", body)
}

async fn send(function: &mut Function, body: &Value) -> Response {
    function.send(&request(body)).await
}

async fn send_with_key(function: &mut Function, body: &Value, key: &str) -> Response {
    function.send(&request(body).key(key)).await
}

/// A stage on which [`FOLLOWER`] has just written to the account.
async fn written_to() -> Stage {
    let stage = Stage::with_token().await;
    writes(&stage).await;
    stage
}

async fn writes(stage: &Stage) {
    let message = json!({"openid": FOLLOWER, "type": "text", "content": "在吗"});
    stage.wechat.control("message", &message).await;
}

/// The customer-service messages on the follower's phone.
async fn shown(stage: &Stage) -> Vec<Value> {
    let mut phone = stage.wechat.phone(FOLLOWER).await;
    phone.retain(|item| item["type"] == "custom");
    phone
}

fn refusal(answer: &Response) -> (u16, &str, &Value) {
    (answer.status, answer.kind(), &answer.body["errcode"])
}

#[tokio::test]
async fn the_message_arrives_as_it_was_written_by_openid_and_by_user() {
    let stage = written_to().await;
    stage.table.bind("甲/乙", FOLLOWER).await;
    let function = &mut stage.function(BINARY).await;
    let mut body = text("touser", FOLLOWER);
    body["customservice"] = json!({"kf_account": "agent1@sheet"});
    let answer = send(function, &body).await;
    assert_eq!(
        (answer.status, &answer.body),
        (200, &json!({"errcode": 0, "errmsg": "ok"}))
    );
    let answer = send(function, &text("user", "甲/乙")).await;
    let expected = json!({"errcode": 0, "errmsg": "ok", "user": "甲/乙", "touser": FOLLOWER});
    assert_eq!((answer.status, &answer.body), (200, &expected));

    for message in [
        json!({"msgtype": "news", "news": {"articles": [{"title": "t", "url": "https://example.com/"}]}}),
        json!({"msgtype": "msgmenu", "msgmenu": {"head_content": "满意吗?", "list": [{"id": "1", "content": "满意"}]}}),
        json!({"msgtype": "image", "image": {"media_id": "m"}}),
    ] {
        let mut body = message.clone();
        body["touser"] = FOLLOWER.into();
        assert_eq!(send(function, &body).await.status, 200);
        let msgtype = message["msgtype"].as_str().unwrap();
        let last = shown(&stage).await.pop().unwrap();
        assert_eq!(
            (&last["msgtype"], &last["message"]),
            (&message["msgtype"], &message[msgtype])
        );
    }
    let logs = function.logs();
    assert!(
        logs.contains("customer-service message") && logs.contains("openid_sha256"),
        "{logs}"
    );
    assert!(
        !logs.contains(FOLLOWER) && !logs.contains("甲/乙") && !logs.contains("处理完成"),
        "{logs}"
    );
}

#[tokio::test]
async fn outside_the_window_the_caller_is_told_what_the_person_has_to_do() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    let body = text("touser", FOLLOWER);
    let closed = send_with_key(function, &body, "1").await;
    assert_eq!(refusal(&closed), (400, "wechat-refused", &json!(45015)));
    writes(&stage).await;
    for _ in 0..5 {
        assert_eq!(send(function, &body).await.status, 200);
    }
    let used_up = send(function, &body).await;
    assert_eq!(refusal(&used_up), (400, "wechat-refused", &json!(45047)));
    for answer in [closed, used_up] {
        let hint = answer.body["hint"].as_str().unwrap();
        assert!(hint.contains("has to act") && hint.contains("须由用户"), "{hint}");
        assert!(answer.headers["retry-after"].is_null(), "{answer:?}");
    }
    writes(&stage).await;
    assert_eq!(
        send_with_key(function, &body, "1").await.status,
        200,
        "a refused one may be sent again"
    );
}

#[tokio::test]
async fn every_fault_of_a_body_is_answered_at_once_and_wechat_is_not_asked() {
    let stage = written_to().await;
    let function = &mut stage.function(BINARY).await;
    let body = json!({"touser": [FOLLOWER], "msgtype": "text", "text": {"content": "好".repeat(683)}, "usr": 1});
    let answer = send(function, &body).await;
    assert_eq!((answer.status, answer.kind()), (400, "bad-request"));
    let faults = answer.body["faults"].as_array().unwrap();
    let pointers: Vec<_> = faults.iter().map(|fault| fault["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, ["/touser", "/text/content", "/usr"]);
    assert_eq!(stage.wechat.calls(CUSTOM).await, 0);
}

#[tokio::test]
async fn a_lost_answer_is_told_and_never_repeated() {
    for fault in [
        json!({"drop": true}),
        json!({"errcode": -1}),
        json!({"http_status": 502}),
    ] {
        let stage = written_to().await;
        let function = &mut stage.function(BINARY).await;
        let body = text("touser", FOLLOWER);
        stage.wechat.fault(CUSTOM, &fault).await;
        let first = send_with_key(function, &body, "1").await;
        assert_eq!(
            (first.status, first.kind()),
            (504, "may-have-been-sent"),
            "{fault}: {first:?}"
        );
        assert_eq!(first.body["may_have_been_sent"], true);
        let (english, chinese) = halves(first.body["detail"].as_str().unwrap());
        assert!(english.is_ascii(), "{english}");
        assert!(chinese.starts_with("微信可能已受理该消息："), "{chinese}");
        assert!(first.body["client_msg_id"].is_null() && first.body["errcode"].is_null());
        assert!(first.headers["retry-after"].is_null(), "{first:?}");
        for function in [function, &mut stage.function(BINARY).await] {
            let again = send_with_key(function, &body, "1").await;
            assert_eq!((again.status, &again.body), (504, &first.body));
            assert_eq!(again.headers["content-type"], "application/problem+json");
        }
        assert_eq!(stage.wechat.calls(CUSTOM).await, 1, "{fault}");
        assert_eq!(
            send_with_key(&mut stage.function(BINARY).await, &body, "2")
                .await
                .status,
            200
        );
    }
}

#[tokio::test]
async fn a_process_killed_while_it_sends_leaves_a_message_that_nobody_repeats() {
    let stage = written_to().await;
    stage.table.bind("u-1", FOLLOWER).await;
    let killed = stage.function(BINARY).await;
    let function = &mut stage.function(BINARY).await;
    let event = request(&text("user", "u-1")).key("1");
    kill_at(CUSTOM, &stage, killed, &event).await;
    assert_eq!(function.send(&event).await.status, 409);
    stage.table.age_send("1", 60).await;
    stage.table.bind("u-1", &stage.wechat.follower().await).await;
    let mut answers = Vec::new();
    for _ in 0..2 {
        let answer = function.send(&event).await;
        assert_eq!((answer.status, answer.kind()), (504, "may-have-been-sent"));
        let recipient = (&answer.body["user"], &answer.body["touser"]);
        assert_eq!(
            recipient,
            (&json!("u-1"), &json!(FOLLOWER)),
            "the one who may have got it"
        );
        answers.push(answer.body);
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(stage.wechat.calls(CUSTOM).await, 1);
}

#[tokio::test]
async fn a_repeat_of_a_sent_message_gets_its_answer_and_sends_nothing() {
    let stage = written_to().await;
    let function = &mut stage.function(BINARY).await;
    let body = text("touser", FOLLOWER);
    let first = send_with_key(function, &body, "1").await;
    let again = send_with_key(function, &body, "1").await;
    assert_eq!((first.status, again.status, &again.body), (200, 200, &first.body));
    assert_eq!(again.headers["idempotent-replayed"], "true");
    let other = send_with_key(function, &text("touser", "oOther"), "1").await;
    assert_eq!((other.status, other.kind()), (422, "key-reused"));
    assert_eq!(shown(&stage).await.len(), 1);
}

#[tokio::test]
async fn a_dead_token_is_replaced_once() {
    let stage = written_to().await;
    let function = &mut stage.function(BINARY).await;
    stage.wechat.control("token/invalidate", &json!({})).await;
    let answer = send(function, &text("touser", FOLLOWER)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!((stage.lambda.events().len(), shown(&stage).await.len()), (1, 1));
}

#[tokio::test]
async fn users_who_cannot_be_reached_are_answered_as_for_template_messages() {
    let stage = written_to().await;
    stage.table.bind("u-1", FOLLOWER).await;
    let gone = json!({"openid": "odhkK_gone", "followed": false});
    stage.table.set("user#gone", &gone).await;
    let function = &mut stage.function(BINARY).await;
    let unknown = send_with_key(function, &text("user", "nobody"), "1").await;
    assert_eq!((unknown.status, unknown.kind()), (404, "unknown-user"));
    let answer = send(function, &text("user", "gone")).await;
    assert_eq!(refusal(&answer), (400, "not-a-follower", &json!(43004)));
    assert_eq!(stage.wechat.calls(CUSTOM).await, 0);

    stage.wechat.fault(CUSTOM, &json!({"errcode": 50005})).await;
    let answer = send(function, &text("user", "u-1")).await;
    assert_eq!(refusal(&answer), (400, "wechat-refused", &json!(50005)));
    assert_eq!(
        (&answer.body["user"], &answer.body["touser"]),
        (&json!("u-1"), &json!(FOLLOWER))
    );
    assert_eq!(refusal(&send(function, &text("user", "u-1")).await).1, "not-a-follower");
    stage.table.bind("nobody", &stage.wechat.follower().await).await;
    assert_eq!(send_with_key(function, &text("user", "nobody"), "1").await.status, 200);
}

#[tokio::test]
async fn a_key_that_is_limited_to_templates_sends_no_other_message() {
    let stage = written_to().await;
    let limited = json!({"name": "shop", "scopes": ["send"], "templates": [TEMPLATE_ID]});
    stage.table.save_keys(&[(SHOP, limited)]).await;
    let function = &mut stage.function(BINARY).await;
    let refused = function.send(&request(&text("touser", FOLLOWER)).api_key(SHOP)).await;
    assert_eq!((refused.status, refused.kind()), (403, "forbidden"));
    assert!(
        refused.body["detail"].as_str().unwrap().contains("templates"),
        "{refused:?}"
    );
    assert_eq!(stage.wechat.calls(CUSTOM).await, 0);
}

#[tokio::test]
async fn a_refused_mini_program_is_the_requests_fault() {
    let stage = written_to().await;
    let function = &mut stage.function(BINARY).await;
    let page = json!({"title": "t", "appid": "wx1", "pagepath": "p", "thumb_media_id": "m"});
    let body = json!({"touser": FOLLOWER, "msgtype": "miniprogrampage", "miniprogrampage": page});
    stage.wechat.fault(CUSTOM, &json!({"errcode": 40013})).await;
    let answer = send(function, &body).await;
    assert_eq!(
        (answer.status, &answer.body["field"]),
        (400, &json!("miniprogrampage.appid"))
    );
}
