//! Messages with `send_at`, a person's history, and a day's problems.

use serde_json::{Value, json};
use simulator::{FOLLOWER, TEMPLATE_ID};
use testing::{
    Stage,
    account::APP_ID,
    event::{get, post},
    message, message_for, message_to, now,
};
use wechat::{
    clock::beijing_day,
    store::{MessageStatus, Receipt, Table},
};

use crate::{BINARY, SEND, send, send_with_key};

fn at(send_at: Value) -> Value {
    let mut message = message();
    message["send_at"] = send_at;
    message
}

#[tokio::test]
async fn a_message_with_a_time_is_scheduled_once_for_a_key() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    let send_at = now() + 3600;
    let first = send_with_key(function, &at(json!(send_at)), "order-1").await;
    let id = first.body["scheduled"].as_str().unwrap().to_owned();
    assert_eq!(
        (first.status, &first.body["send_at"]),
        (202, &json!(send_at)),
        "{first:?}"
    );
    let again = send_with_key(function, &at(json!(send_at)), "order-1").await;
    assert_eq!((again.status, &again.body["scheduled"]), (202, &json!(id)));
    let other = send_with_key(function, &at(json!(send_at + 1)), "order-1").await;
    assert_eq!((other.status, other.kind()), (422, "key-reused"));

    let path = format!("/api/scheduled/{id}");
    let waiting = function.get(&path).await;
    let expected = json!({"scheduled": id, "state": "waiting", "send_at": send_at, "touser": FOLLOWER});
    assert_eq!(waiting.parts(), (200, expected));
    assert_eq!(function.delete(&path).await.status, 204);
    assert_eq!(function.get(&path).await.body["state"], "cancelled");
    assert_eq!(function.get("/api/scheduled/ffff").await.status, 404);
    assert_eq!(function.delete("/api/scheduled/ffff").await.status, 404);
    assert_eq!(stage.wechat.calls(SEND).await, 0);
}

/// A message that a stolen key has scheduled goes out after the key is revoked, unless somebody finds and cancels the
/// message.
#[tokio::test]
async fn what_waits_is_listed_with_its_key_the_first_due_first() {
    const OTHER: &str = "wk_00000000000000000000000000other1";
    let stage = Stage::with_token().await;
    stage.table.bind("u-1", FOLLOWER).await;
    let limited = json!({"name": "shop", "scopes": ["send"], "templates": ["ANOTHER_TEMPLATE"]});
    stage.table.save_keys(&[(OTHER, limited)]).await;
    let function = &mut stage.function(BINARY).await;
    let soon = now() + 3600;
    let mut later = message_for("user", "u-1");
    later["send_at"] = json!(soon + 60);
    let later = send(function, &later).await.body["scheduled"].clone();
    let mut of_another = at(json!(soon));
    of_another["template_id"] = json!("ANOTHER_TEMPLATE");
    of_another["validate"] = json!("warn");
    let first = function
        .ask(post("/api/sendTemplateMessage", &of_another).api_key(OTHER))
        .await;
    let first = first.body["scheduled"].clone();
    let expected = [
        json!({"scheduled": first, "send_at": soon, "key": "shop", "template_id": "ANOTHER_TEMPLATE", "touser": FOLLOWER}),
        json!({"scheduled": later, "send_at": soon + 60, "key": "root", "template_id": TEMPLATE_ID, "touser": null, "user": "u-1"}),
    ];
    let listed = function.get("/api/scheduled").await;
    assert_eq!(listed.parts(), (200, json!({"messages": expected})));
    let own = function.ask(get("/api/scheduled").api_key(OTHER)).await;
    assert_eq!(own.body["messages"], json!([expected[0]]), "of its templates only");

    let cancel = format!("/api/scheduled/{}", first.as_str().unwrap());
    assert_eq!(function.delete(&cancel).await.status, 204);
    let listed = function.get("/api/scheduled").await;
    assert_eq!(listed.body["messages"], json!([expected[1]]));

    for index in 0..100 {
        send(function, &at(json!(soon + index))).await;
    }
    let (mut path, mut pages) = ("/api/scheduled".to_owned(), Vec::new());
    loop {
        let page = function.get(&path).await.body;
        pages.push(page["messages"].as_array().unwrap().clone());
        let Some(cursor) = page["cursor"].as_str() else { break };
        path = format!("/api/scheduled?cursor={cursor}");
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [100, 1]);
    let times: Vec<i64> = pages
        .concat()
        .iter()
        .map(|waits| waits["send_at"].as_i64().unwrap())
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(function.get("/api/scheduled?cursor=x").await.status, 400);
}

#[tokio::test]
async fn a_key_gets_its_answer_also_when_the_message_could_no_longer_be_scheduled() {
    let stage = Stage::with_token().await;
    stage.table.bind("u-1", FOLLOWER).await;
    let function = &mut stage.function(BINARY).await;
    let mut to_user = message_for("user", "u-1");
    to_user["send_at"] = json!(now() + 3600);
    let first = send_with_key(function, &to_user, "order-1").await;
    assert_eq!(first.status, 202, "{first:?}");
    stage.table.delete("user#u-1").await;
    let again = send_with_key(function, &to_user, "order-1").await;
    assert_eq!(again.parts(), first.parts());
    let other = send_with_key(function, &to_user, "order-2").await;
    assert_eq!(other.status, 404, "{other:?}");
}

#[tokio::test]
async fn a_message_in_flight_cannot_be_cancelled() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    let scheduled = send(function, &at(json!("2099-01-01T09:00:00+08:00"))).await;
    assert_eq!(scheduled.status, 400, "more than a year ahead");
    let scheduled = send(function, &at(json!(now() + 60))).await;
    let id = scheduled.body["scheduled"].as_str().unwrap().to_owned();
    let claimed = json!({"asked_at": now(), "owner": "run", "claim_expires_at": now() + 30});
    stage.table.set(&format!("scheduled#{id}"), &claimed).await;
    let refused = function.delete(&format!("/api/scheduled/{id}")).await;
    assert_eq!((refused.status, refused.kind()), (409, "conflict"));
}

#[tokio::test]
async fn what_could_never_be_sent_is_refused_now() {
    let stage = Stage::with_token().await;
    let function = &mut stage.function(BINARY).await;
    let soon = json!(now() + 60);
    let with = |mut body: Value| {
        body["send_at"] = soon.clone();
        body
    };
    let mut long = with(message());
    long["data"]["thing1"] = json!("长".repeat(21));
    for (body, status, field) in [
        (at(json!(now() - 60)), 400, Some("send_at")),
        (at(json!("tomorrow")), 400, Some("send_at")),
        (with(message_to(json!([FOLLOWER, "o2"]))), 400, Some("send_at")),
        (long, 400, Some("data.thing1.value")),
        (with(message_for("user", "nobody")), 404, None),
    ] {
        let refused = send(function, &body).await;
        assert_eq!(
            (refused.status, refused.body["field"].as_str()),
            (status, field),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_persons_messages_are_listed_the_newest_first_by_openid_and_by_user() {
    let stage = Stage::with_token().await;
    stage.table.bind("u-1", FOLLOWER).await;
    let function = &mut stage.function(BINARY).await;
    let mut msgids = Vec::new();
    for _ in 0..3 {
        msgids.push(send(function, &message()).await.body["msgid"].clone());
    }
    msgids.reverse();
    for query in [format!("touser={FOLLOWER}"), "user=u-1".to_owned()] {
        let listed = function.get(&format!("/api/messages?{query}")).await;
        let found: Vec<Value> = listed.body["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|message| message["msgid"].clone())
            .collect();
        assert_eq!(found, msgids, "{listed:?}");
        assert_eq!(listed.body.get("cursor"), None);
    }
    assert_eq!(
        function.get("/api/messages?touser=o2").await.body,
        json!({"messages": []})
    );
    assert_eq!(function.get("/api/messages?user=nobody").await.status, 404);
    for wrong in [
        "",
        "?touser=o1&user=u-1",
        "?problems=today",
        "?problems=2026-1-1",
        "?problems=2026-13-30",
        "?problems=2026-02-29",
        "?touser=o1&cursor=x",
    ] {
        assert_eq!(
            function.get(&format!("/api/messages{wrong}")).await.status,
            400,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn the_last_30_days_tell_what_arrived_and_what_did_not() {
    let stage = Stage::with_token().await;
    let today = now();
    for (ago, counts) in [
        (0, json!({"delivered": 7, "blocked": 2})),
        (29, json!({"failed": 3})),
        (30, json!({"delivered": 99})),
    ] {
        let day = beijing_day(today - ago * 24 * 3600);
        stage.table.set(&format!("deliveries#{day}"), &counts).await;
    }
    let function = &mut stage.function(BINARY).await;
    let answer = function.get("/api/deliveries").await;
    let days = answer.body["days"].as_array().unwrap();
    assert_eq!(days.len(), 30);
    assert_eq!(
        days[29],
        json!({"day": beijing_day(today), "delivered": 7, "blocked": 2, "failed": 0})
    );
    assert_eq!((&days[0]["failed"], &days[0]["delivered"]), (&json!(3), &json!(0)));
    assert!(days[1..29].iter().all(|day| day["delivered"] == 0), "{days:?}");

    const LIMITED: &str = "wk_00000000000000000000000limited1";
    let limited = json!({"name": "shop", "scopes": ["send"], "templates": ["a"]});
    stage.table.save_keys(&[(LIMITED, limited)]).await;
    let refused = function.ask(get("/api/deliveries").api_key(LIMITED)).await;
    assert_eq!(refused.status, 403, "these are totals of all templates");
}

#[tokio::test]
async fn a_days_problems_are_all_there_page_by_page() {
    let stage = Stage::with_token().await;
    let table = Table::new(stage.table.client(), "wechat", APP_ID);
    let at = now();
    for index in 0..230 {
        let msgid = (1_000 + index).to_string();
        let receipt = Receipt {
            msgid: &msgid,
            openid: FOLLOWER,
            status: if index % 2 == 0 {
                MessageStatus::Blocked
            } else {
                MessageStatus::Failed
            },
            words: "failed:user block",
            at: at - index % 3,
        };
        assert!(table.record_receipt(receipt).await.unwrap().is_recorded());
        let delivered = Receipt {
            msgid: &(5_000 + index).to_string(),
            status: MessageStatus::Delivered,
            ..receipt
        };
        assert!(table.record_receipt(delivered).await.unwrap().is_recorded());
    }
    let function = &mut stage.function(BINARY).await;
    let mut found = std::collections::BTreeSet::new();
    for day in std::collections::BTreeSet::from([beijing_day(at), beijing_day(at - 2)]) {
        let mut path = format!("/api/messages?problems={day}");
        loop {
            let page = function.get(&path).await.body;
            for message in page["messages"].as_array().unwrap() {
                assert!(["blocked", "failed"].contains(&message["status"].as_str().unwrap()));
                assert!(
                    found.insert(message["msgid"].as_str().unwrap().to_owned()),
                    "twice: {message}"
                );
            }
            let Some(cursor) = page["cursor"].as_str() else { break };
            path = format!("/api/messages?problems={day}&cursor={cursor}");
        }
    }
    assert_eq!(found.len(), 230);
    let other = function.get("/api/messages?problems=2020-01-01").await;
    assert_eq!(other.body, json!({"messages": []}));
}
