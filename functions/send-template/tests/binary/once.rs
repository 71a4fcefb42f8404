//! `Idempotency-Key`: sent once, whatever happens.

use std::time::Duration;

use serde_json::{Value, json};
use testing::Function;
use wechat_simulator::FOLLOWER;

use crate::stage::{Answer, SEND, Stage, event, invoke, message, message_to, send_with_key};

const TEN_MINUTES: i64 = 600;

fn kind(answer: &Answer) -> &str {
    answer.body["type"].as_str().unwrap().rsplit(':').next().unwrap()
}

/// Ends `function` after WeChat has got the message of `event`, and before it answers.
async fn kill_while_it_sends(stage: &Stage, mut function: Function, event: &Value) {
    stage.fault(&json!({"path": SEND, "delay_ms": 20_000})).await;
    tokio::select! {
        answer = function.invoke(event) => panic!("it was not held: {answer:?}"),
        () = async { while stage.calls(Some(SEND)).await == 0 { tokio::time::sleep(Duration::from_millis(10)).await } } => {}
    }
    function.kill().await.unwrap();
}

#[tokio::test]
async fn the_recorded_answer_is_given_again_and_another_body_is_refused() {
    let stage = Stage::new().await;
    let function = &mut stage.function().await;
    let first = send_with_key(function, &message(), "order-1").await;
    let again = send_with_key(&mut stage.function().await, &message(), "order-1").await;
    assert_eq!((again.status, &again.body), (200, &first.body));

    let other = message_to(vec![FOLLOWER]);
    let answer = send_with_key(function, &other, "order-1").await;
    assert_eq!((answer.status, kind(&answer)), (422, "key-reused"));
    assert_eq!(stage.calls(Some(SEND)).await, 1);

    let partly = message_to(vec![FOLLOWER, "odhkKxxxxxxxxxxxxxxxxxxxxxxx"]);
    let first = send_with_key(function, &partly, "order-2").await;
    let again = send_with_key(function, &partly, "order-2").await;
    assert_eq!((first.status, again.status, &again.body), (207, 207, &first.body));
    assert_eq!(stage.calls(Some(SEND)).await, 3);
}

#[tokio::test]
async fn of_two_processes_with_one_key_one_sends() {
    let stage = Stage::new().await;
    let (mut one, mut two) = (stage.function().await, stage.function().await);
    stage.fault(&json!({"path": SEND, "delay_ms": 700})).await;
    let event = event(&message(), Some("order-1"));
    let (one_answer, two_answer) = tokio::join!(invoke(&mut one, &event), invoke(&mut two, &event));
    let (sent, waits) = if one_answer.status == 200 {
        (one_answer, two_answer)
    } else {
        (two_answer, one_answer)
    };
    assert_eq!((sent.status, waits.status, kind(&waits)), (200, 409, "in-progress"));
    let retry_after: u64 = waits.headers["retry-after"].as_str().unwrap().parse().unwrap();
    assert!((1..=35).contains(&retry_after) && waits.body["retry_after"] == retry_after);
    assert_eq!(invoke(&mut two, &event).await.body, sent.body);
    assert_eq!(
        (stage.calls(Some(SEND)).await, stage.phone(FOLLOWER).await.len()),
        (1, 1)
    );
}

#[tokio::test]
async fn a_process_killed_while_it_sends_leaves_a_claim_that_a_repeat_may_take_over() {
    let stage = Stage::new().await;
    let killed = stage.function().await;
    let mut other = stage.function().await;
    let event = event(&message(), Some("order-1"));
    kill_while_it_sends(&stage, killed, &event).await;

    assert_eq!(invoke(&mut other, &event).await.status, 409);
    stage.age_claim("order-1", 60).await;
    let answer = invoke(&mut other, &event).await;
    let phone = stage.phone(FOLLOWER).await;
    assert_eq!((answer.status, phone.len()), (200, 1));
    assert_eq!(answer.body["msgid"], phone[0]["msgid"]);
}

#[tokio::test]
async fn a_claim_left_ten_minutes_ago_stays_unknown_and_is_not_sent_again() {
    let stage = Stage::new().await;
    let killed = stage.function().await;
    let event = event(&message(), Some("order-1"));
    kill_while_it_sends(&stage, killed, &event).await;

    stage.age_claim("order-1", TEN_MINUTES).await;
    let function = &mut stage.function().await;
    for _ in 0..2 {
        let answer = invoke(function, &event).await;
        assert_eq!((answer.status, kind(&answer)), (504, "outcome-unknown"));
        assert!(answer.body["hint"].is_string());
    }
    assert_eq!(stage.calls(Some(SEND)).await, 1);
}

#[tokio::test]
async fn after_an_ambiguous_failure_a_repeat_sends_nothing_twice() {
    for fault in [
        json!({"drop": true}),
        json!({"errcode": -1}),
        json!({"http_status": 502}),
    ] {
        let stage = Stage::new().await;
        let function = &mut stage.function().await;
        let mut failing = fault.clone();
        failing["path"] = SEND.into();
        failing["times"] = 2.into();
        stage.fault(&failing).await;
        let answer = send_with_key(function, &message(), "order-1").await;
        assert!(matches!(answer.status, 502 | 504), "{fault}: {answer:?}");
        assert!(
            answer.body["hint"].as_str().unwrap().contains("Idempotency-Key"),
            "{fault}: {answer:?}"
        );
        let answer = send_with_key(function, &message(), "order-1").await;
        assert_eq!((answer.status, stage.phone(FOLLOWER).await.len()), (200, 1), "{fault}");
    }
}

#[tokio::test]
async fn one_transient_failure_is_not_seen_by_the_caller() {
    let stage = Stage::new().await;
    let function = &mut stage.function().await;
    for fault in [
        json!({"drop": true}),
        json!({"errcode": -1}),
        json!({"http_status": 503}),
    ] {
        let mut failing = fault.clone();
        failing["path"] = SEND.into();
        stage.fault(&failing).await;
        let phone = stage.phone(FOLLOWER).await.len();
        let answer = send_with_key(function, &message(), &format!("key {phone}")).await;
        assert_eq!(
            (answer.status, stage.phone(FOLLOWER).await.len()),
            (200, phone + 1),
            "{fault}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn a_refused_repeat_does_not_make_an_unknown_message_unsent() {
    let stage = Stage::new().await;
    let function = &mut stage.function().await;
    stage.fault(&json!({"path": SEND, "drop": true, "times": 2})).await;
    assert_eq!(send_with_key(function, &message(), "order-1").await.status, 504);
    stage.fault(&json!({"path": SEND, "errcode": 45009})).await;
    assert_eq!(send_with_key(function, &message(), "order-1").await.status, 429);
    stage.age_claim("order-1", TEN_MINUTES).await;
    let answer = send_with_key(function, &message(), "order-1").await;
    assert_eq!((answer.status, kind(&answer)), (504, "outcome-unknown"));
    assert_eq!(stage.phone(FOLLOWER).await.len(), 1);
}

#[tokio::test]
async fn of_several_recipients_what_is_known_stays_known() {
    let stage = Stage::new().await;
    let function = &mut stage.function().await;
    let other = stage.follower().await;
    stage.fault(&json!({"path": SEND, "drop": true, "times": 3})).await;
    let body = message_to(vec![FOLLOWER, &other]);
    let first = send_with_key(function, &body, "both").await;
    assert_eq!(first.status, 207, "{first:?}");
    stage.age_claim("both", TEN_MINUTES).await;
    let again = send_with_key(function, &body, "both").await;
    assert_eq!((again.status, &again.body), (207, &first.body));
}

/// That WeChat refuses a repeat does not tell what became of the first.
#[tokio::test]
async fn of_several_recipients_one_that_is_refused_at_a_repeat_stays_open() {
    let stage = Stage::new().await;
    let function = &mut stage.function().await;
    let other = stage.follower().await;
    stage.fault(&json!({"path": SEND, "drop": true, "times": 3})).await;
    let body = message_to(vec![FOLLOWER, &other]);
    assert_eq!(send_with_key(function, &body, "both").await.status, 207);
    stage.fault(&json!({"path": SEND, "errcode": 45009, "times": 1})).await;
    let refused = send_with_key(function, &body, "both").await;
    assert_eq!(refused.status, 207, "{refused:?}");
    let results = refused.body["results"].as_array().unwrap();
    let failed = results.iter().find(|result| result["errcode"] == 45009).unwrap();
    assert!(failed["hint"].as_str().unwrap().contains("may have sent"), "{failed}");
    assert_eq!(send_with_key(function, &body, "both").await.status, 200);
    for user in [FOLLOWER, other.as_str()] {
        assert_eq!(stage.phone(user).await.len(), 1);
    }
}

#[tokio::test]
async fn what_was_refused_may_be_tried_again() {
    let stage = Stage::new().await;
    let function = &mut stage.function().await;
    stage.control("/sim/unfollow", &json!({"openid": FOLLOWER})).await;
    let answer = send_with_key(function, &message(), "order-1").await;
    assert_eq!((answer.status, &answer.body["errcode"]), (400, &json!(43004)));
    stage.control("/sim/follow", &json!({"openid": FOLLOWER})).await;
    assert_eq!(send_with_key(function, &message(), "order-1").await.status, 200);

    // What was refused here was never asked of WeChat: the key is still free.
    let mut wrong = message();
    wrong["data"]["time2"] = "明天".into();
    assert_eq!(send_with_key(function, &wrong, "order-2").await.status, 400);
    assert_eq!(send_with_key(function, &message(), "order-2").await.status, 200);
}

#[tokio::test]
async fn keys_of_any_visible_characters_are_kept_apart() {
    let stage = Stage::new().await;
    let function = &mut stage.function().await;
    for (key, status) in [
        ("a#b", 200),
        ("a", 200),
        ("{\"pk\":'~ %20'}", 200),
        (&*"k".repeat(255), 200),
        (&*"k".repeat(256), 400),
        ("", 400),
        ("  ", 400),
        ("键", 400),
    ] {
        let answer = send_with_key(function, &message(), key).await;
        assert_eq!(answer.status, status, "{key:?}");
        assert_eq!(answer.body["field"] == "Idempotency-Key", status == 400, "{key:?}");
    }
    assert_eq!(stage.phone(FOLLOWER).await.len(), 4);
}
