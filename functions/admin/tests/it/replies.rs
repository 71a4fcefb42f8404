//! Editing the reply rules without overwriting one another, going back, and trying them out.

use serde_json::{Value, json};

use testing::event::post;

use crate::Admin;

fn rules(greeting: &str) -> Value {
    json!({"subscribe": {"type": "text", "content": greeting}})
}

/// `PUT`s with `If-Match`, and returns the status and the new `ETag`.
async fn put(admin: &mut Admin, document: &Value, if_match: &str) -> (u16, String) {
    let answer = admin.put("/api/replies", document).header("if-match", if_match).await;
    let etag = answer.headers["etag"].as_str().unwrap_or_default();
    (answer.status, etag.to_owned())
}

#[tokio::test]
async fn two_editors_cannot_overwrite_one_another() {
    let mut admin = Admin::start().await;
    assert_eq!(put(&mut admin, &rules("one"), "\"0\"").await, (200, "\"1\"".to_owned()));
    assert_eq!(put(&mut admin, &rules("two"), "\"1\"").await, (200, "\"2\"".to_owned()));
    assert_eq!(put(&mut admin, &rules("late"), "\"1\"").await.0, 412);
    assert_eq!(admin.get("/api/replies").await.body, rules("two"));
    assert_eq!(put(&mut admin, &rules("three"), "*").await.0, 200);
    assert_eq!(put(&mut admin, &rules("four"), "three").await.0, 400);
    assert_eq!(
        admin.put("/api/replies", &rules("five")).await.status,
        200,
        "without If-Match"
    );
}

#[tokio::test]
async fn a_small_body_is_refused_with_the_place_of_each_fault() {
    let mut admin = Admin::start().await;
    for (path, body, pointers) in [
        ("/api/replies/rollback", json!({"version": "4"}), vec!["/version"]),
        ("/api/replies/rollback", json!({"verison": 4}), vec!["/verison"]),
        ("/api/replies/try", json!({"text": "a", "key": 7}), vec!["/key", ""]),
        ("/api/replies/try", json!({}), vec![""]),
        ("/api/replies/try", json!([]), vec![""]),
        ("/api/menu/trymatch", json!({"user_id": ""}), vec!["/user_id"]),
        ("/api/menu/trymatch", json!({"user": "o"}), vec!["/user_id"]),
    ] {
        let (status, answer) = admin.post(path, &body).await.parts();
        assert_eq!((status, &answer["pointer"]), (400, &json!(pointers[0])), "{body}");
        let faults = answer["faults"].as_array().unwrap().iter();
        let found: Vec<_> = faults.map(|fault| fault["pointer"].as_str().unwrap()).collect();
        assert_eq!(found, pointers, "{answer}");
        let field = pointers[0].strip_prefix('/');
        assert_eq!(answer["field"].as_str(), field, "{answer}");
    }
}

#[tokio::test]
async fn the_last_ten_versions_can_be_restored() {
    let mut admin = Admin::start().await;
    assert_eq!(admin.post("/api/replies/rollback", &Value::Null).await.status, 404);
    for version in 1..=12 {
        admin.put("/api/replies", &rules(&version.to_string())).await;
    }
    assert_eq!(
        admin.post("/api/replies/rollback", &Value::Null).await.parts(),
        (200, rules("11"))
    );
    assert_eq!(
        admin.get("/api/replies").await.body,
        rules("11"),
        "stored as version 13"
    );
    assert_eq!(
        admin
            .post("/api/replies/rollback", &json!({"version": 4}))
            .await
            .parts(),
        (200, rules("4"))
    );
    assert_eq!(
        admin.post("/api/replies/rollback", &json!({"version": 1})).await.status,
        404,
        "too old"
    );
}

/// The answer to the first request was lost, so its caller sends it again.
#[tokio::test]
async fn a_rollback_that_is_repeated_does_not_bring_the_bad_rules_back() {
    let mut admin = Admin::start().await;
    admin.put("/api/replies", &rules("good")).await;
    admin.put("/api/replies", &rules("bad")).await;
    for body in [
        &Value::Null,
        &Value::Null,
        &json!({"version": 1}),
        &json!({"version": 1}),
    ] {
        assert_eq!(
            admin.post("/api/replies/rollback", body).await.parts(),
            (200, rules("good")),
            "{body}"
        );
    }
    assert_eq!(
        put(&mut admin, &rules("bad again"), "\"3\"").await,
        (200, "\"4\"".to_owned()),
        "no version was wasted"
    );
    let rollback = post("/api/replies/rollback", &Value::Null).header("if-match", "\"4\"");
    assert_eq!(admin.send(&rollback).await.status, 200);
    assert_eq!(admin.send(&rollback).await.status, 412);
    assert_eq!(admin.get("/api/replies").await.body, rules("good"));
}

#[tokio::test]
async fn trying_tells_the_reply_and_its_rule() {
    let mut admin = Admin::start().await;
    let greeting = json!({"reply": {"type": "text", "content": "欢迎关注"}, "rule": "/subscribe"});
    assert_eq!(
        admin
            .post("/api/replies/try", &json!({"event": "subscribe"}))
            .await
            .parts(),
        (200, greeting)
    );

    let bound = json!({"reply": {"type": "text", "content": "绑定成功"}, "rule": "/bound"});
    let scan = json!({"event": "SCAN", "key": "bind.0123456789abcdef0123456789abcdef"});
    assert_eq!(
        admin.post("/api/replies/try", &scan).await.parts(),
        (200, bound),
        "as though it bound"
    );

    let reply = json!({"type": "text", "content": "您好"});
    let mut with_more = reply.clone();
    with_more["then"] = json!([{"type": "text", "content": "一".repeat(1000)}, {"type": "image", "media_id": "m"}]);
    let document = json!({
        "subscribe": with_more,
        "bound": reply,
        "keywords": [{"match": "prefix", "value": "你", "reply": reply}],
        "clicks": {"HELP": reply},
        "scans": {"42": reply},
    });
    assert_eq!(admin.put("/api/replies", &document).await.status, 200);
    assert_eq!(admin.get("/api/replies").await.body, document);
    let tried = admin.post("/api/replies/try", &json!({"event": "subscribe"})).await;
    assert_eq!(tried.body, json!({"reply": with_more, "rule": "/subscribe"}));
    let mut too_many = document.clone();
    too_many["subscribe"]["then"] = json!([with_more]);
    let refused = admin.put("/api/replies", &too_many).await;
    assert_eq!(
        (refused.status, &refused.body["pointer"]),
        (400, &json!("/subscribe/then/0/then"))
    );
    for (request, rule) in [
        (json!({"text": "你好"}), json!("/keywords/0")),
        (json!({"text": "再见"}), Value::Null),
        (json!({"event": "CLICK", "key": "HELP"}), json!("/clicks/HELP")),
        (json!({"event": "subscribe", "key": "qrscene_42"}), json!("/scans/42")),
        (json!({"event": "subscribe", "key": "qrscene_bind.0f"}), json!("/bound")),
        (json!({"event": "SCAN", "key": "bind.no id"}), json!("/bind_failed")),
    ] {
        assert_eq!(
            admin.post("/api/replies/try", &request).await.body["rule"],
            rule,
            "{request}"
        );
    }
    assert_eq!(admin.post("/api/replies/try", &json!({})).await.status, 400);
}
