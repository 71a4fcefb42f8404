//! The replies that follow a passive one: sent in order, once.

use serde_json::{Value, json};
use simulator::FOLLOWER;
use testing::{
    Fault, Service, Stage,
    event::{queue, sample},
    now,
};

use crate::{start, start_with};

const CUSTOM: &str = "/cgi-bin/message/custom/send";

/// A stage on which [`FOLLOWER`] has just written to the account.
async fn written_to() -> Stage {
    let stage = Stage::with_token().await.behind_proxies().await;
    let message = json!({"openid": FOLLOWER, "type": "text", "content": "在吗"});
    stage.wechat.control("message", &message).await;
    stage
}

fn text(content: &str) -> Value {
    json!({"msgtype": "text", "text": {"content": content}})
}

fn then(key: &str, contents: &[&str]) -> Value {
    let messages: Vec<Value> = contents.iter().map(|content| text(content)).collect();
    json!({"action": "then", "openid": FOLLOWER, "key": key, "messages": messages, "at": now()})
}

/// The texts of the customer-service messages on the follower's phone.
async fn shown(stage: &Stage) -> Vec<String> {
    let phone = stage.wechat.phone(FOLLOWER).await;
    let custom = phone.iter().filter(|item| item["type"] == "custom");
    custom
        .map(|item| item["message"]["content"].as_str().unwrap().to_owned())
        .collect()
}

fn sent(count: usize) -> Value {
    json!({"then": {"sent": count}})
}

#[tokio::test]
async fn further_replies_come_in_order_and_once_however_often_they_are_handed_over() {
    let stage = written_to().await;
    let (mut worker, mut other) = (start(&stage).await, start(&stage).await);
    let event = then("c1", &["one", "two"]);
    assert_eq!(worker.succeed(&event).await, sent(2));
    assert_eq!(worker.succeed(&event).await, json!({"then": "before"}));
    assert_eq!(
        other.succeed(&queue(&[("1", event.clone())])).await,
        json!({"batchItemFailures": []})
    );
    assert_eq!(worker.succeed(&then("c2", &["three"])).await, sent(1));
    assert_eq!(shown(&stage).await, ["one", "two", "three"]);
    let logs = worker.logs() + &other.logs();
    assert!(
        logs.contains("openid_sha256") && !logs.contains(FOLLOWER) && !logs.contains("three"),
        "{logs}"
    );
}

#[tokio::test]
async fn sending_stops_when_the_person_may_get_no_more() {
    let stage = written_to().await;
    let mut worker = start(&stage).await;
    assert_eq!(
        worker.succeed(&then("c1", &["1", "2", "3", "4", "5", "6", "7"])).await,
        sent(5)
    );
    assert_eq!(stage.wechat.calls(CUSTOM).await, 6, "the seventh is not tried");
    assert!(worker.logs().contains("45047"), "{}", worker.logs());

    let closed = json!({"errcode": 45015});
    stage.wechat.fault(CUSTOM, &closed).await;
    assert_eq!(worker.succeed(&then("c2", &["8", "9"])).await, sent(0));
    assert_eq!(stage.wechat.calls(CUSTOM).await, 7);
    assert!(worker.logs().contains("回复时间超过限制"), "{}", worker.logs());
}

#[tokio::test]
async fn a_message_that_wechat_refuses_does_not_stop_the_next() {
    let stage = written_to().await;
    let mut worker = start(&stage).await;
    stage.wechat.fault(CUSTOM, &json!({"errcode": 40007})).await;
    assert_eq!(worker.succeed(&then("c1", &["one", "two"])).await, sent(1));
    assert_eq!(shown(&stage).await, ["two"]);
}

#[tokio::test]
async fn a_lost_answer_is_not_repeated() {
    let stage = written_to().await;
    let mut worker = start(&stage).await;
    stage.proxy(Service::WeChat).fail(1..=1, Fault::LoseAnswer);
    let event = then("c1", &["one", "two"]);
    assert_eq!(worker.succeed(&event).await, sent(1));
    assert_eq!(worker.succeed(&event).await, json!({"then": "before"}));
    assert_eq!(shown(&stage).await, ["one", "two"], "the first was taken");
}

#[tokio::test]
async fn what_wechat_was_not_asked_for_is_sent_by_the_next_run() {
    let stage = written_to().await;
    stage.table.delete("token").await;
    let mut worker = start(&stage).await;
    let event = then("c1", &["one"]);
    stage.proxy(Service::Lambda).fail(1.., Fault::Refuse);
    assert_eq!(worker.fail(&event).await.0, "Further");
    stage.mend().await;
    stage.proxy(Service::Table).fail(1.., Fault::Refuse);
    assert_eq!(worker.fail(&event).await.0, "Further");
    stage.mend().await;
    assert_eq!(worker.succeed(&event).await, sent(1));
    assert_eq!(shown(&stage).await, ["one"]);
}

#[tokio::test]
async fn without_a_refresher_or_a_member_the_event_is_an_error_and_the_rest_works() {
    let stage = written_to().await;
    let mut worker = start_with(&stage, &[("TOKEN_REFRESHER_FUNCTION", "")]).await;
    let (kind, message) = worker.fail(&then("c1", &["one"])).await;
    assert_eq!(kind, "NoRefresher");
    assert!(message.contains("TOKEN_REFRESHER_FUNCTION"), "{message}");
    assert_eq!(worker.succeed(&json!({"action": "run"})).await, json!({}));
    let mut worker = start(&stage).await;
    assert_eq!(
        worker.fail(&json!({"action": "then", "openid": FOLLOWER})).await.0,
        "NotFurther"
    );
    assert_eq!(
        worker.succeed(&sample("worker-then")).await,
        sent(0),
        "to nobody whom the platform knows"
    );
}

/// The queue delivers a failed event for 14 days.
#[tokio::test]
async fn they_are_not_sent_when_they_answer_nothing_any_more() {
    let stage = written_to().await;
    let mut worker = start(&stage).await;
    let mut late = then("c1", &["one", "two"]);
    late["at"] = (now() - 31 * 60).into();
    assert_eq!(worker.succeed(&late).await, sent(0));
    assert_eq!(stage.wechat.calls(CUSTOM).await, 0);
    assert!(worker.metrics().iter().any(|line| line["LostReplies"] == 1.0));
}
