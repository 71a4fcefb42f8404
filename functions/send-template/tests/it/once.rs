//! `Idempotency-Key`: sent once, whatever happens.

use serde_json::{Value, json};
use simulator::FOLLOWER;
use testing::{Function, Response, Stage, account::API_KEY, eventually, message, message_to};

use crate::{BINARY, SEND, request, send_with_key};

pub(crate) const TEN_MINUTES: i64 = 600;

/// Ends `function` after WeChat has got the message of `event`, and before it answers.
pub(crate) async fn kill_while_it_sends(stage: &Stage, function: Function, event: &Value) {
    kill_at(SEND, stage, function, event).await;
}

/// Ends `function` after WeChat has got its call of `path` for `event`, and before it answers.
pub(crate) async fn kill_at(path: &str, stage: &Stage, mut function: Function, event: &Value) {
    stage.wechat.fault(path, &json!({"delay_ms": 20_000})).await;
    let called = || async { (stage.wechat.calls(path).await > 0).then_some(()) };
    tokio::select! {
        answer = function.invoke(event) => panic!("it was not held: {answer:?}"),
        () = eventually("the call", called) => {}
    }
    function.kill().await;
}

#[tokio::test]
async fn the_recorded_answer_is_given_again_and_another_body_is_refused() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    let first = send_with_key(function, &message(), "order-1").await;
    let again = send_with_key(&mut stage.function(BINARY).await, &message(), "order-1").await;
    assert_eq!((again.status, &again.body), (200, &first.body));
    let replayed = |answer: &Response| answer.headers.get("idempotent-replayed").cloned();
    assert_eq!((replayed(&first), replayed(&again)), (None, Some(json!("true"))));

    let other = message_to(vec![FOLLOWER]);
    let answer = send_with_key(function, &other, "order-1").await;
    assert_eq!((answer.status, answer.kind()), (422, "key-reused"));
    assert_eq!(stage.wechat.calls(SEND).await, 1);

    let partly = message_to(vec![FOLLOWER, "odhkKxxxxxxxxxxxxxxxxxxxxxxx"]);
    let first = send_with_key(function, &partly, "order-2").await;
    let again = send_with_key(function, &partly, "order-2").await;
    assert_eq!((first.status, again.status, &again.body), (207, 207, &first.body));
    assert_eq!(stage.wechat.calls(SEND).await, 3);
}

/// A program that tries a dry run with a parameter that does not exist must not have sent the message.
#[tokio::test]
async fn a_query_parameter_that_a_send_does_not_take_sends_nothing() {
    let stage = Stage::with_token().await;
    let mut function = stage.function(BINARY).await;
    let answer = function.post("/api/sendTemplateMessage?dry_run=true", &message()).await;
    assert_eq!((answer.status, &answer.body["field"]), (400, &json!("dry_run")));
    assert_eq!(stage.wechat.calls(SEND).await, 0);
}

#[tokio::test]
async fn of_two_processes_with_one_key_one_sends() {
    let stage = Stage::with_token().await;
    let (mut one, mut two) = (stage.function(BINARY).await, stage.function(BINARY).await);
    stage.wechat.fault(SEND, &json!({"delay_ms": 700})).await;
    let event = request(&message()).key("order-1");
    let (one_answer, two_answer) = tokio::join!(one.send(&event), two.send(&event));
    let (sent, waits) = if one_answer.status == 200 {
        (one_answer, two_answer)
    } else {
        (two_answer, one_answer)
    };
    assert_eq!((sent.status, waits.status, waits.kind()), (200, 409, "in-progress"));
    let retry_after: u64 = waits.headers["retry-after"].as_str().unwrap().parse().unwrap();
    assert!((1..=35).contains(&retry_after) && waits.body["retry_after"] == retry_after);
    assert_eq!(two.send(&event).await.body, sent.body);
    assert_eq!(
        (stage.wechat.calls(SEND).await, stage.wechat.phone(FOLLOWER).await.len()),
        (1, 1)
    );
}

#[tokio::test]
async fn a_process_killed_while_it_sends_leaves_a_claim_that_a_repeat_may_take_over() {
    let stage = Stage::with_token().await;
    let killed = stage.function(BINARY).await;
    let mut other = stage.function(BINARY).await;
    let event = request(&message()).key("order-1");
    kill_while_it_sends(&stage, killed, &event).await;

    assert_eq!(other.send(&event).await.status, 409);
    stage.table.age_send("order-1", 60).await;
    let answer = other.send(&event).await;
    let phone = stage.wechat.phone(FOLLOWER).await;
    assert_eq!((answer.status, phone.len()), (200, 1));
    assert_eq!(answer.body["msgid"], phone[0]["msgid"]);
}

#[tokio::test]
async fn a_claim_left_ten_minutes_ago_stays_unknown_and_is_not_sent_again() {
    let stage = Stage::with_token().await;
    let killed = stage.function(BINARY).await;
    let event = request(&message()).key("order-1");
    kill_while_it_sends(&stage, killed, &event).await;

    stage.table.age_send("order-1", TEN_MINUTES).await;
    let function = &mut stage.function(BINARY).await;
    for _ in 0..2 {
        let answer = function.send(&event).await;
        assert_eq!((answer.status, answer.kind()), (504, "may-have-been-sent"));
        assert!(answer.body["hint"].is_string());
    }
    assert_eq!(stage.wechat.calls(SEND).await, 1);
}

#[tokio::test]
async fn after_an_ambiguous_failure_a_repeat_sends_nothing_twice() {
    for fault in [
        json!({"drop": true}),
        json!({"errcode": -1}),
        json!({"http_status": 502}),
    ] {
        let stage = Stage::with_token().await;
        let function = &mut stage.function(BINARY).await;
        let mut failing = fault.clone();
        failing["times"] = 2.into();
        stage.wechat.fault(SEND, &failing).await;
        let answer = send_with_key(function, &message(), "order-1").await;
        assert_eq!(
            (answer.status, answer.kind()),
            (504, "may-have-been-sent"),
            "{fault}: {answer:?}"
        );
        assert!(
            answer.body["hint"].as_str().unwrap().contains("Idempotency-Key"),
            "{fault}: {answer:?}"
        );
        let answer = send_with_key(function, &message(), "order-1").await;
        assert_eq!(
            (answer.status, stage.wechat.phone(FOLLOWER).await.len()),
            (200, 1),
            "{fault}"
        );
    }
}

#[tokio::test]
async fn one_transient_failure_is_not_seen_by_the_caller() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    for fault in [
        json!({"drop": true}),
        json!({"errcode": -1}),
        json!({"http_status": 503}),
    ] {
        stage.wechat.fault(SEND, &fault).await;
        let phone = stage.wechat.phone(FOLLOWER).await.len();
        let answer = send_with_key(function, &message(), &format!("key {phone}")).await;
        assert_eq!(
            (answer.status, stage.wechat.phone(FOLLOWER).await.len()),
            (200, phone + 1),
            "{fault}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn a_refused_repeat_does_not_make_an_unknown_message_unsent() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    stage.wechat.fault(SEND, &json!({"drop": true, "times": 2})).await;
    assert_eq!(send_with_key(function, &message(), "order-1").await.status, 504);
    stage.wechat.fault(SEND, &json!({"errcode": 45009})).await;
    let refused = send_with_key(function, &message(), "order-1").await;
    assert_eq!((refused.status, refused.kind()), (504, "may-have-been-sent"));
    stage.table.age_send("order-1", TEN_MINUTES).await;
    let answer = send_with_key(function, &message(), "order-1").await;
    assert_eq!((answer.status, answer.kind()), (504, "may-have-been-sent"));
    assert_eq!(stage.wechat.phone(FOLLOWER).await.len(), 1);
}

#[tokio::test]
async fn of_several_recipients_what_is_known_stays_known() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    let other = stage.wechat.follower().await;
    stage.wechat.fault(SEND, &json!({"drop": true, "times": 3})).await;
    let body = message_to(vec![FOLLOWER, &other]);
    let first = send_with_key(function, &body, "both").await;
    assert_eq!(first.status, 207, "{first:?}");
    stage.table.age_send("both", TEN_MINUTES).await;
    let calls = stage.wechat.calls(SEND).await;
    let again = send_with_key(function, &body, "both").await;
    assert_eq!((again.status, stage.wechat.calls(SEND).await), (207, calls));
    for (before, now) in results(&first).zip(results(&again)) {
        if before["msgid"].is_string() {
            assert_eq!(before, now);
        } else {
            assert_eq!(now["type"], "urn:wechat-bundle:may-have-been-sent");
            assert_eq!(
                (&now["may_have_been_sent"], &now["client_msg_id"]),
                (&json!(true), &before["client_msg_id"])
            );
        }
    }
}

fn results(answer: &Response) -> impl Iterator<Item = &Value> {
    answer.body["results"].as_array().unwrap().iter()
}

/// WeChat's refusal of a repeat does not say what became of the first attempt.
#[tokio::test]
async fn of_several_recipients_one_that_is_refused_at_a_repeat_stays_open() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    let other = stage.wechat.follower().await;
    stage.wechat.fault(SEND, &json!({"drop": true, "times": 3})).await;
    let body = message_to(vec![FOLLOWER, &other]);
    assert_eq!(send_with_key(function, &body, "both").await.status, 207);
    stage.wechat.fault(SEND, &json!({"errcode": 45009, "times": 1})).await;
    let refused = send_with_key(function, &body, "both").await;
    assert_eq!(refused.status, 207, "{refused:?}");
    let open = results(&refused).find(|result| result["status"] == 504).unwrap();
    assert_eq!(open["type"], "urn:wechat-bundle:may-have-been-sent");
    assert_eq!((&open["errcode"], &open["retry_after"]), (&Value::Null, &Value::Null));
    assert_eq!(send_with_key(function, &body, "both").await.status, 200);
    for user in [FOLLOWER, other.as_str()] {
        assert_eq!(stage.wechat.phone(user).await.len(), 1);
    }
}

/// With a lost answer for one of three, whatever happens to the repeats.
#[tokio::test]
async fn a_repeat_asks_for_the_unknown_only_and_a_failing_one_forgets_nothing() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    let followers = [stage.wechat.follower().await, stage.wechat.follower().await];
    let stranger = "odhkKxxxxxxxxxxxxxxxxxxxxxxx";
    let body = message_to(vec![FOLLOWER, &followers[0], &followers[1], stranger]);
    // Two attempts for each of four: two of them are lost whole.
    stage.wechat.fault(SEND, &json!({"drop": true, "times": 6})).await;
    let first = send_with_key(function, &body, "order-1").await;
    assert_eq!(first.status, 207, "{first:?}");
    let known: Vec<Value> = results(&first)
        .filter(|result| result["status"] != 504)
        .cloned()
        .collect();
    let unknown = 4 - known.len();
    assert!((1..=3).contains(&unknown) && !known.is_empty(), "{first:?}");

    // No token at all: WeChat is not asked, and nothing is forgotten.
    stage.wechat.whitelist(json!(["203.0.113.7"])).await;
    stage.wechat.control("token/invalidate", &json!({})).await;
    let failing = send_with_key(function, &body, "order-1").await;
    assert_eq!(failing.status, 207, "{failing:?}");
    stage.wechat.whitelist(json!(null)).await;

    let calls = stage.wechat.calls(SEND).await;
    let last = send_with_key(function, &body, "order-1").await;
    for known in &known {
        assert!(results(&failing).any(|result| result == known), "{failing:?}");
        assert!(results(&last).any(|result| result == known), "{last:?}");
    }
    assert!(
        results(&last).all(|result| result["msgid"].is_string() || result["touser"] == stranger),
        "{last:?}"
    );
    // Each send in flight meets the dead token.
    let asked = stage.wechat.calls(SEND).await - calls;
    assert!((unknown..=2 * unknown).contains(&asked), "{asked} for {unknown}");
    for follower in [FOLLOWER, &followers[0], &followers[1]] {
        assert_eq!(stage.wechat.phone(follower).await.len(), 1);
    }
}

#[tokio::test]
async fn a_batch_that_a_quota_stopped_is_completed_by_a_repeat() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    let followers = stage.wechat.followers(60).await;
    let body = message_to(followers.clone());
    stage.wechat.fault(SEND, &json!({"errcode": 45011, "times": 1})).await;
    let first = send_with_key(function, &body, "order-1").await;
    assert_eq!(
        (first.status, first.headers.get("retry-after")),
        (207, None),
        "some have the message"
    );
    let not_sent = results(&first).filter(|result| result["errcode"] == 45011).count();
    assert!((1..60).contains(&not_sent), "{not_sent}");
    let was_not_asked = |result: &&Value| {
        result["hint"]
            .as_str()
            .is_some_and(|hint| hint.contains("was not asked"))
    };
    assert_eq!(
        results(&first).filter(was_not_asked).count(),
        not_sent - 1,
        "one was refused"
    );
    assert_eq!(send_with_key(function, &body, "order-1").await.status, 200);
    for follower in &followers {
        assert_eq!(stage.wechat.phone(follower).await.len(), 1);
    }
}

/// The shop must not get the answer to what the app has sent.
#[tokio::test]
async fn two_callers_may_use_the_same_key() {
    const OTHER_KEY: &str = "key-of-the-app-0001";
    let stage = Stage::with_token().await;
    let keys = format!("{API_KEY},{OTHER_KEY}");
    let function = &mut stage.function_with(BINARY, &[("API_KEYS", &keys)]).await;
    let other = stage.wechat.follower().await;
    let shop = function.send(&request(&message()).key("1")).await;
    let app = function
        .send(&request(&message_to(other.as_str())).api_key(OTHER_KEY).key("1"))
        .await;
    assert_eq!((shop.status, app.status), (200, 200), "{app:?}");
    assert_ne!(shop.body["msgid"], app.body["msgid"]);
    assert_eq!(stage.wechat.phone(&other).await.len(), 1);
}

#[tokio::test]
async fn what_was_refused_may_be_tried_again() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    stage.wechat.control("unfollow", &json!({"openid": FOLLOWER})).await;
    let answer = send_with_key(function, &message(), "order-1").await;
    assert_eq!((answer.status, &answer.body["errcode"]), (400, &json!(43004)));
    stage.wechat.control("follow", &json!({"openid": FOLLOWER})).await;
    assert_eq!(send_with_key(function, &message(), "order-1").await.status, 200);

    // WeChat was not asked about a request that was refused here: the key is still free.
    let mut wrong = message();
    wrong["data"]["time2"] = "明天".into();
    assert_eq!(send_with_key(function, &wrong, "order-2").await.status, 400);
    assert_eq!(send_with_key(function, &message(), "order-2").await.status, 200);
}

#[tokio::test]
async fn keys_of_any_visible_characters_are_kept_apart() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
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
    assert_eq!(stage.wechat.phone(FOLLOWER).await.len(), 4);
}
