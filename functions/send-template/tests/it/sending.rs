//! One recipient, several recipients, and what became of a message.

use std::time::Instant;

use serde_json::json;
use simulator::FOLLOWER;
use testing::{Stage, message, message_to, now};

use crate::{BINARY, LIST, SEND, request, send, send_with_key};

#[tokio::test]
async fn a_message_reaches_the_phone_and_its_receipt_moves_the_record() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    let sent = send(function, &message()).await;
    assert_eq!(
        (sent.status, &sent.body["errcode"], &sent.body["errmsg"]),
        (200, &json!(0), &json!("ok"))
    );
    let msgid = sent.body["msgid"].as_str().unwrap();
    assert!(msgid.bytes().all(|byte| byte.is_ascii_digit()), "{msgid}");
    let phone = stage.wechat.phone(FOLLOWER).await;
    assert_eq!(
        (phone.len(), &phone[0]["msgid"], &phone[0]["data"]["const3"]),
        (1, &json!(msgid), &json!("通过"))
    );

    let path = format!("/api/messages/{msgid}");
    let record = function.get(&path).await.body;
    assert_eq!(
        (&record["status"], &record["touser"]),
        (&json!("sent"), &json!(FOLLOWER))
    );
    assert!(record["sent_at"].is_i64() && record["finished_at"].is_null());
    let receipt = json!({"status": "blocked", "receipt": "failed:user block", "finished_at": now()});
    stage.table.set(&format!("message#{msgid}"), &receipt).await;
    let record = function.get(&path).await.body;
    assert_eq!(
        (&record["status"], &record["receipt"]),
        (&json!("blocked"), &json!("failed:user block"))
    );
    assert!(record["meaning"].as_str().unwrap().contains("拒收") && record.get("reason").is_none());
    let logs = function.logs();
    let mut metrics = logs.lines().filter(|line| line.contains(r#""Sends":1.0"#));
    assert!(metrics.any(|line| line.contains(r#""Outcome":"Taken""#)), "{logs}");

    for (path, status) in [
        ("/api/messages/1", 404),
        ("/api/messages/abc", 404),
        ("/api/messages/123456789012345678901", 404),
    ] {
        assert_eq!(function.get(path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn a_message_dropped_for_frequency_failed_for_a_reason_of_its_own() {
    let stage = Stage::with_token().await;
    for (msgid, words) in [("1", "failed:freq limit"), ("2", "failed: system failed")] {
        let receipt = json!({"status": "failed", "receipt": words, "finished_at": now()});
        stage.table.set(&format!("message#{msgid}"), &receipt).await;
    }
    let function = &mut stage.function(BINARY).await;
    let dropped = function.get("/api/messages/1").await.body;
    assert_eq!(
        (&dropped["status"], &dropped["receipt"], &dropped["reason"]),
        (&json!("failed"), &json!("failed:freq limit"), &json!("frequency-limit"))
    );
    assert!(dropped["meaning"].as_str().unwrap().contains("数小时内不要重发"));
    let failed = function.get("/api/messages/2").await.body;
    assert!(
        failed.get("reason").is_none() && failed["meaning"] != dropped["meaning"],
        "{failed}"
    );
}

#[tokio::test]
async fn a_warm_send_makes_one_call_and_a_second_process_needs_no_list() {
    let stage = Stage::with_token().await;
    let mut function = stage.function(BINARY).await;
    send(&mut function, &message()).await;
    assert_eq!(stage.wechat.calls(LIST).await, 1);
    let before = stage.wechat.all_calls().await.len();
    assert_eq!(send(&mut function, &message()).await.status, 200);
    assert_eq!(stage.wechat.all_calls().await.len(), before + 1);
    assert_eq!(send(&mut stage.function(BINARY).await, &message()).await.status, 200);
    assert_eq!(stage.wechat.all_calls().await.len(), before + 2);
    assert!(stage.lambda.events().is_empty());
}

#[tokio::test]
async fn several_recipients_are_told_apart_and_each_gets_one_message() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    let (other, stranger) = (stage.wechat.follower().await, "odhkKxxxxxxxxxxxxxxxxxxxxxxx");
    let answer = send(function, &message_to(vec![FOLLOWER, stranger, &other, FOLLOWER])).await;
    assert_eq!(answer.status, 207);
    let results = answer.body["results"].as_array().unwrap();
    let order: Vec<_> = results
        .iter()
        .map(|result| result["touser"].as_str().unwrap())
        .collect();
    assert_eq!(order, [FOLLOWER, stranger, &other, FOLLOWER]);
    assert_eq!(results[0]["msgid"], results[3]["msgid"]);
    assert_ne!(results[0]["msgid"], results[2]["msgid"]);
    assert_eq!(
        (&results[1]["errcode"], &results[1]["status"]),
        (&json!(40003), &json!(400))
    );
    assert!(results[1]["hint"].is_string() && results[1]["msgid"].is_null());
    assert_eq!(
        (
            stage.wechat.phone(FOLLOWER).await.len(),
            stage.wechat.phone(&other).await.len()
        ),
        (1, 1)
    );

    let answer = send(function, &message_to(vec![FOLLOWER, &other])).await;
    assert_eq!(
        (answer.status, answer.body["results"].as_array().unwrap().len()),
        (200, 2)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_recipients_at_fifty_milliseconds_each_take_less_than_a_second() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    send(function, &message()).await;
    let followers = stage.wechat.followers(100).await;
    stage.wechat.fault(SEND, &json!({"delay_ms": 50, "times": 100})).await;
    let started = Instant::now();
    let answer = send(function, &message_to(followers)).await;
    let took = started.elapsed();
    assert_eq!(
        (answer.status, answer.body["results"].as_array().unwrap().len()),
        (200, 100)
    );
    // One after the other would take 5 s and more. A build without optimisation needs some milliseconds of CPU for each.
    let limit = if cfg!(debug_assertions) { 3000 } else { 1000 };
    assert!(took.as_millis() < limit, "{took:?}");
    println!("100 recipients took {took:?}");
}

#[tokio::test]
async fn near_the_deadline_those_not_sent_are_named_and_a_repeat_completes_them() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    send(function, &message()).await;
    let followers = stage.wechat.followers(100).await;
    stage.wechat.fault(SEND, &json!({"delay_ms": 300, "times": 1000})).await;
    let body = message_to(followers.clone());
    let answer = function.ask(request(&body).key("all")).within(2_000).await;
    assert_eq!(answer.status, 207);
    let results = answer.body["results"].as_array().unwrap();
    assert_eq!(results.len(), 100);
    let not_sent: Vec<_> = results
        .iter()
        .filter(|result| result["type"] == "urn:wechat-bundle:not-sent")
        .collect();
    assert!(not_sent.len() >= 20 && not_sent.len() < 100, "{}", not_sent.len());
    for result in &not_sent {
        assert_eq!(result["status"], 504);
        assert!(stage.wechat.phone(result["touser"].as_str().unwrap()).await.is_empty());
    }
    stage.wechat.clear_faults().await;
    let answer = send_with_key(function, &body, "all").await;
    assert_eq!(answer.status, 200);
    for follower in &followers {
        assert_eq!(stage.wechat.phone(follower).await.len(), 1, "{follower}");
    }
}
