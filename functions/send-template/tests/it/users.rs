//! Sends to users, whom the team names by ids of its own.

use std::time::Instant;

use serde_json::{Value, json};
use simulator::FOLLOWER;
use testing::{Fault, Service, Stage, message, message_for};

use crate::{
    BINARY, SEND,
    once::{TEN_MINUTES, kill_while_it_sends},
    request, send, send_with_key,
};

fn to_user(user: &str) -> Value {
    message_for("user", user)
}

fn to_users(users: &[&str]) -> Value {
    message_for("users", users)
}

/// Whom an answer or a result is about.
fn recipient(answer: &Value) -> (&str, Option<&str>) {
    (answer["user"].as_str().unwrap(), answer["touser"].as_str())
}

/// The user `u-1`, bound to [`FOLLOWER`], and another follower.
async fn stage_with_a_user() -> (Stage, String) {
    let stage = Stage::with_token().await;
    stage.table.bind("u-1", FOLLOWER).await;
    let other = stage.wechat.follower().await;
    (stage, other)
}

/// How often the table was asked for `operation` since the proxies began.
fn table_calls(stage: &Stage, operation: &str) -> usize {
    let requests = stage.proxy(Service::Table).requests();
    requests.iter().filter(|request| *request == operation).count()
}

#[tokio::test]
async fn a_user_is_sent_the_message_at_the_bound_openid() {
    let (stage, _) = stage_with_a_user().await;
    stage.table.bind("甲/乙#?%", FOLLOWER).await;
    let function = &mut stage.function(BINARY).await;
    for user in ["u-1", "甲/乙#?%"] {
        let answer = send(function, &to_user(user)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let (msgid, body) = (&answer.body["msgid"], &answer.body);
        let expected = json!({"errcode": 0, "errmsg": "ok", "msgid": msgid, "user": user, "touser": FOLLOWER});
        assert_eq!(*body, expected);
        let phone = stage.wechat.phone(FOLLOWER).await;
        assert!(phone.iter().any(|message| message["msgid"] == *msgid), "{phone:?}");
    }
    let logs = function.logs();
    assert!(logs.contains("openid_sha256"), "{logs}");
    assert!(
        !logs.contains("u-1") && !logs.contains("甲/乙") && !logs.contains(FOLLOWER),
        "{logs}"
    );
}

#[tokio::test]
async fn of_several_users_those_that_cannot_be_reached_are_named_and_the_others_get_the_message() {
    let (stage, other) = stage_with_a_user().await;
    stage.table.bind("u-2", &other).await;
    stage
        .table
        .set("user#u-3", &json!({"openid": "odhkK_gone", "followed": false}))
        .await;
    stage.table.set("user#u-2", &json!({"followed": true})).await;
    let function = &mut stage.function(BINARY).await;
    let answer = send(function, &to_users(&["u-2", "nobody", "u-1", "u-3", "u-2"])).await;
    assert_eq!(answer.status, 207, "{answer:?}");
    let results = answer.body["results"].as_array().unwrap();
    let recipients: Vec<_> = results.iter().map(recipient).collect();
    assert_eq!(
        recipients,
        [
            ("u-2", Some(other.as_str())),
            ("nobody", None),
            ("u-1", Some(FOLLOWER)),
            ("u-3", Some("odhkK_gone")),
            ("u-2", Some(other.as_str()))
        ]
    );
    assert_eq!(results[0]["msgid"], results[4]["msgid"]);
    let outcome = |result: &Value| {
        (
            result["type"].clone(),
            result["status"].clone(),
            result["errcode"].clone(),
        )
    };
    assert_eq!(
        (outcome(&results[1]), outcome(&results[3])),
        (
            (json!("urn:wechat-bundle:unknown-user"), json!(404), json!(null)),
            (json!("urn:wechat-bundle:not-a-follower"), json!(400), json!(43004))
        )
    );
    for result in [&results[1], &results[3]] {
        assert!(result["hint"].as_str().unwrap().contains(" / "), "{result}");
    }
    assert_eq!(stage.wechat.calls(SEND).await, 2);
    for openid in [FOLLOWER, other.as_str()] {
        assert_eq!(stage.wechat.phone(openid).await.len(), 1);
    }
    assert_eq!(send(function, &to_users(&["u-1", "u-2"])).await.status, 200);
}

#[tokio::test]
async fn what_all_users_have_in_common_is_the_answer_and_wechat_is_not_asked() {
    let stage = Stage::with_token().await;
    stage
        .table
        .set("user#gone", &json!({"openid": "odhkK_gone", "followed": false}))
        .await;
    let function = &mut stage.function(BINARY).await;
    let unknown = (404, "unknown-user", json!(null));
    let unfollowed = (400, "not-a-follower", json!(43004));
    for (body, (status, kind, errcode)) in [
        (to_user("nobody"), unknown.clone()),
        (to_users(&["nobody", "no one"]), unknown),
        (to_user("gone"), unfollowed.clone()),
        (to_users(&["gone"]), unfollowed),
    ] {
        let answer = send_with_key(function, &body, "order-1").await;
        assert_eq!(
            (answer.status, answer.kind(), &answer.body["errcode"]),
            (status, kind, &errcode)
        );
        if let Some(user) = body["user"].as_str() {
            let openid = (user == "gone").then_some("odhkK_gone");
            assert_eq!(recipient(&answer.body), (user, openid));
        }
    }
    assert!(stage.wechat.calls(SEND).await == 0 && stage.lambda.events().is_empty());
    // The key is free, as nothing was asked of WeChat.
    assert_eq!(send_with_key(function, &message(), "order-1").await.status, 200);
}

#[tokio::test]
async fn all_users_are_resolved_by_one_read_and_an_openid_by_none() {
    let (stage, _) = stage_with_a_user().await;
    let stage = stage.behind_proxies().await;
    let followers = stage.wechat.followers(100).await;
    let users: Vec<String> = (0..100).map(|index| format!("user {index}")).collect();
    for (user, follower) in users.iter().zip(&followers) {
        stage.table.bind(user, follower).await;
    }
    let function = &mut stage.function(BINARY).await;
    assert_eq!(send(function, &message()).await.status, 200);
    let reads = || (table_calls(&stage, "GetItem"), table_calls(&stage, "BatchGetItem"));
    let before = reads();
    assert_eq!(send(function, &message()).await.status, 200);
    assert_eq!(reads(), before, "for an openid");
    assert_eq!(send(function, &to_user("u-1")).await.status, 200);
    assert_eq!(reads(), (before.0 + 1, before.1), "for a user");
    let answer = send(function, &message_for("users", users)).await;
    assert_eq!(
        (answer.status, reads()),
        (200, (before.0 + 1, before.1 + 1)),
        "for users"
    );
    let results = answer.body["results"].as_array().unwrap();
    for (result, follower) in results.iter().zip(&followers) {
        assert_eq!(result["touser"], json!(follower));
        assert_eq!(stage.wechat.phone(follower).await.len(), 1);
    }
}

#[tokio::test]
async fn without_the_table_nothing_is_sent_to_a_user_and_the_caller_is_told_so() {
    let (stage, _) = stage_with_a_user().await;
    let stage = stage.behind_proxies().await;
    let function = &mut stage.function(BINARY).await;
    send(function, &message()).await;
    let broken = json!({"__type": "com.amazonaws.dynamodb.v20120810#AccessDeniedException", "message": "no"});
    for (fault, status) in [(Fault::Refuse, 504), (Fault::json(400, broken), 503)] {
        stage.proxy(Service::Table).fail(.., fault);
        for body in [to_user("u-1"), to_users(&["u-1", "u-2"])] {
            for answer in [
                send(function, &body).await,
                send_with_key(function, &body, "order-1").await,
            ] {
                assert_eq!(answer.status, status, "{answer:?}");
                let hint = answer.body["hint"].as_str().unwrap();
                assert!(hint.contains("has sent nothing") && hint.contains("未发送"), "{hint}");
            }
        }
        stage.mend().await;
    }
    assert_eq!(stage.wechat.calls(SEND).await, 1);
    assert_eq!(send_with_key(function, &to_user("u-1"), "order-1").await.status, 200);
}

#[tokio::test]
async fn the_recipients_are_named_in_one_way() {
    let stage = Stage::new().await;
    let function = &mut stage.function(BINARY).await;
    let mut two = to_user("u-1");
    two["users"] = json!(["u-2", ""]);
    let mut none = message();
    none.as_object_mut().unwrap().remove("touser");
    for (body, pointers) in [(two, &["/users", "/users/1"][..]), (none, &["/touser"])] {
        let answer = send(function, &body).await;
        let faults = answer.body["faults"].as_array().unwrap();
        let named: Vec<_> = faults.iter().map(|fault| fault["pointer"].as_str().unwrap()).collect();
        assert_eq!((answer.status, &named[..]), (400, pointers), "{answer:?}");
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(
            ["touser", "user", "users"].iter().all(|name| detail.contains(name)),
            "{detail}"
        );
    }
}

#[tokio::test]
async fn the_answer_under_a_key_outlives_a_new_binding_and_the_user() {
    let (stage, other) = stage_with_a_user().await;
    let function = &mut stage.function(BINARY).await;
    let partly = to_users(&["u-1", "u-2"]);
    let first = [
        send_with_key(function, &to_user("u-1"), "one").await,
        send_with_key(function, &partly, "several").await,
    ];
    assert_eq!((first[0].status, first[1].status), (200, 207));
    let repeated = async |function: &mut _| {
        let again = [
            send_with_key(function, &to_user("u-1"), "one").await,
            send_with_key(function, &partly, "several").await,
        ];
        for (first, again) in first.iter().zip(&again) {
            assert_eq!((first.status, &first.body), (again.status, &again.body));
            assert_eq!(again.headers["idempotent-replayed"], json!("true"));
        }
    };
    stage.table.bind("u-1", &other).await;
    stage.table.bind("u-2", FOLLOWER).await;
    repeated(function).await;
    stage.table.delete("user#u-1").await;
    repeated(function).await;
    assert_eq!(stage.wechat.calls(SEND).await, 2);
    assert_eq!(send_with_key(function, &to_user("u-2"), "one").await.status, 422);
}

/// Whether the first openid got the message is not known: the new one must not get it too.
#[tokio::test]
async fn a_repeat_of_an_unknown_send_asks_for_the_same_openid_after_a_new_binding() {
    let (stage, other) = stage_with_a_user().await;
    let function = &mut stage.function(BINARY).await;
    for (body, key) in [(to_user("u-1"), "one"), (to_users(&["u-1"]), "several")] {
        stage.table.bind("u-1", FOLLOWER).await;
        let before = stage.wechat.phone(FOLLOWER).await.len();
        stage.wechat.fault(SEND, &json!({"drop": true, "times": 2})).await;
        let lost = send_with_key(function, &body, key).await;
        assert_eq!((lost.status, lost.kind()), (504, "may-have-been-sent"), "{lost:?}");
        assert!(lost.body["hint"].as_str().unwrap().contains("same openid"), "{lost:?}");

        stage.table.bind("u-1", &other).await;
        stage.table.set("user#u-1", &json!({"followed": false})).await;
        let again = send_with_key(function, &body, key).await;
        assert_eq!(again.status, 200, "{again:?}");
        let result = again.body.pointer("/results/0").unwrap_or(&again.body);
        assert_eq!(recipient(result), ("u-1", Some(FOLLOWER)));
        assert_eq!(stage.wechat.phone(FOLLOWER).await.len(), before + 1);
        stage.table.set("user#u-1", &json!({"followed": true})).await;
    }
    assert!(stage.wechat.phone(&other).await.is_empty());
}

#[tokio::test]
async fn a_repeat_after_a_crash_asks_for_the_same_openid_after_a_new_binding() {
    let (stage, other) = stage_with_a_user().await;
    let third = stage.wechat.follower().await;
    let event = request(&to_users(&["u-1", "u-2"])).key("order-1");
    kill_while_it_sends(&stage, stage.function(BINARY).await, &event).await;
    stage.wechat.clear_faults().await;

    // The crashed run knew no u-2.
    stage.table.bind("u-1", &other).await;
    stage.table.bind("u-2", &third).await;
    stage.table.age_send("order-1", 60).await;
    let function = &mut stage.function(BINARY).await;
    let answer = function.send(&event).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let results = answer.body["results"].as_array().unwrap();
    let recipients: Vec<_> = results.iter().map(recipient).collect();
    assert_eq!(recipients, [("u-1", Some(FOLLOWER)), ("u-2", Some(third.as_str()))]);
    assert_eq!(
        (
            stage.wechat.phone(FOLLOWER).await.len(),
            stage.wechat.phone(&other).await.len()
        ),
        (1, 0)
    );
}

#[tokio::test]
async fn a_send_unknown_for_too_long_is_repeated_to_neither_openid() {
    let (stage, other) = stage_with_a_user().await;
    let function = &mut stage.function(BINARY).await;
    stage.wechat.fault(SEND, &json!({"drop": true, "times": 2})).await;
    assert_eq!(send_with_key(function, &to_user("u-1"), "order-1").await.status, 504);
    stage.table.age_send("order-1", TEN_MINUTES).await;
    stage.table.bind("u-1", &other).await;
    let calls = stage.wechat.calls(SEND).await;
    let answer = send_with_key(function, &to_user("u-1"), "order-1").await;
    assert_eq!((answer.status, answer.kind()), (504, "may-have-been-sent"));
    assert_eq!(recipient(&answer.body), ("u-1", Some(FOLLOWER)));
    assert_eq!(stage.wechat.calls(SEND).await, calls);
}

#[tokio::test]
async fn what_was_not_sent_goes_to_the_openid_that_is_bound_at_the_repeat() {
    let (stage, other) = stage_with_a_user().await;
    let function = &mut stage.function(BINARY).await;
    stage.wechat.fault(SEND, &json!({"errcode": 45009, "times": 1})).await;
    assert_eq!(send_with_key(function, &to_user("u-1"), "order-1").await.status, 429);
    stage.table.bind("u-1", &other).await;
    let answer = send_with_key(function, &to_user("u-1"), "order-1").await;
    assert_eq!(
        (answer.status, recipient(&answer.body)),
        (200, ("u-1", Some(other.as_str())))
    );
    assert!(stage.wechat.phone(FOLLOWER).await.is_empty());
}

/// Without a key nothing is kept: the answer names the openid to repeat the message to.
#[tokio::test]
async fn a_repeat_to_the_openid_of_the_answer_with_its_client_msg_id_sends_nothing_twice() {
    let (stage, other) = stage_with_a_user().await;
    let function = &mut stage.function(BINARY).await;
    stage.wechat.fault(SEND, &json!({"drop": true, "times": 2})).await;
    let lost = send(function, &to_user("u-1")).await;
    assert_eq!((lost.status, recipient(&lost.body)), (504, ("u-1", Some(FOLLOWER))));
    stage.table.bind("u-1", &other).await;
    let mut again = message();
    for member in ["touser", "client_msg_id"] {
        again[member] = lost.body[member].clone();
    }
    assert_eq!(send(function, &again).await.status, 200);
    assert_eq!(
        (
            stage.wechat.phone(FOLLOWER).await.len(),
            stage.wechat.phone(&other).await.len()
        ),
        (1, 0)
    );
}

#[tokio::test]
async fn who_wechat_says_does_not_follow_is_known_to_have_unfollowed() {
    let (stage, other) = stage_with_a_user().await;
    let unbound = stage.wechat.follower().await;
    stage.table.bind("u-2", &other).await;
    let function = &mut stage.function(BINARY).await;
    let mut to_other = message();
    to_other["touser"] = json!([other, unbound]);
    for openid in [FOLLOWER, &other, &unbound] {
        stage.wechat.control("unfollow", &json!({"openid": openid})).await;
    }
    for body in [to_user("u-1"), to_other] {
        let answer = send(function, &body).await;
        assert_eq!(
            (answer.status, answer.kind(), &answer.body["errcode"]),
            (400, "wechat-refused", &json!(43004))
        );
    }
    let calls = stage.wechat.calls(SEND).await;
    for item in ["user#u-1", "user#u-2"] {
        assert_eq!(stage.table.item(item).await["followed"], json!(false), "{item}");
    }
    assert!(stage.table.item(&format!("openid#{unbound}")).await.is_null());
    let answer = send(function, &to_users(&["u-1", "u-2"])).await;
    assert_eq!((answer.status, answer.kind()), (400, "not-a-follower"));
    assert_eq!(stage.wechat.calls(SEND).await, calls);
}

#[tokio::test]
async fn a_store_that_fails_after_the_refusal_costs_no_answer() {
    let (stage, _) = stage_with_a_user().await;
    let stage = stage.behind_proxies().await;
    let function = &mut stage.function(BINARY).await;
    send(function, &message()).await;
    stage.wechat.control("unfollow", &json!({"openid": FOLLOWER})).await;
    stage.proxy(Service::Table).fail(.., Fault::Freeze);
    let started = Instant::now();
    let answer = send(function, &message()).await;
    assert_eq!((answer.status, &answer.body["errcode"]), (400, &json!(43004)));
    assert!(started.elapsed().as_secs() < 3, "{:?}", started.elapsed());
    assert!(function.logs().contains("could not be recorded"));
}
