//! The callbacks that own code has not taken: listed without their text, retried and deleted.

use std::collections::HashSet;

use serde_json::{Value, json};
use testing::{
    Fault, Service,
    event::{api, get},
    now,
};

use crate::{Admin, stage};

async fn list(admin: &mut Admin, query: &str) -> Value {
    let (status, page) = admin.get(&format!("/api/forwards{query}")).await.parts();
    assert_eq!(status, 200, "{page}");
    page
}

async fn ids(admin: &mut Admin, state: &str) -> Vec<String> {
    let page = list(admin, &format!("?state={state}")).await;
    let ids = page["forwards"].as_array().unwrap().iter();
    ids.map(|forward| forward["id"].as_str().unwrap().to_owned()).collect()
}

async fn is_due_anew(admin: &Admin, id: &str) -> bool {
    let item = admin.stage.table.item(&format!("forward#{id}")).await;
    (&item["state"], &item["attempts"]) == (&json!("waiting"), &json!(0))
        && item["isk"].as_f64().unwrap() <= now() as f64 + 1.0
}

#[tokio::test]
async fn each_list_has_what_is_known_of_its_callbacks_but_no_text() {
    let mut admin = Admin::start().await;
    assert_eq!(list(&mut admin, "").await, json!({"forwards": [], "own_code": null}));
    let (at, next_at) = (now() - 300, now() + 900);
    let waiting = json!({"at": at, "isk": next_at, "type": "event.CLICK", "attempts": 3});
    admin.stage.table.keep_forward("c1", &waiting).await;
    admin.stage.table.keep_dead_forward("c2", 10).await;
    let expected = json!({"forwards": [{
        "id": "c1", "type": "event.CLICK", "from": "o1", "at": at, "attempts": 3, "next_at": next_at,
        "last_error": "own code answered 500 / 自有服务应答 500",
    }], "own_code": null});
    assert_eq!(list(&mut admin, "").await, expected);
    assert_eq!(list(&mut admin, "?state=waiting").await, expected);
    let dead = list(&mut admin, "?state=dead").await;
    assert_eq!(dead["forwards"][0]["id"], "c2");
    assert_eq!(
        (&dead["forwards"][0]["attempts"], &dead["forwards"][0]["next_at"]),
        (&json!(17), &Value::Null)
    );

    for (query, field) in [("?state=done", "state"), ("?state=", "state"), ("?cursor=x", "cursor")] {
        let (status, problem) = admin.get(&format!("/api/forwards{query}")).await.parts();
        assert_eq!((status, &problem["field"]), (400, &json!(field)), "{query}");
    }
    assert!(!admin.logs().contains("do not tell"));

    let variables = [("FORWARD_URL", "https://shop.example.com/wechat?key=hidden")];
    let mut admin = Admin::start_with(&variables).await;
    let page = list(&mut admin, "").await;
    assert_eq!(page["own_code"], "https://shop.example.com/wechat", "without its query");
}

#[tokio::test]
async fn a_long_list_comes_in_pages_of_a_hundred() {
    let mut admin = Admin::start().await;
    for number in 0..230 {
        let isk = json!({"isk": now() + number});
        admin.stage.table.keep_forward(&format!("c{number}"), &isk).await;
    }
    let mut seen = HashSet::new();
    let mut query = String::new();
    loop {
        let page = list(&mut admin, &query).await;
        let forwards = page["forwards"].as_array().unwrap();
        assert!(forwards.len() <= 100);
        for forward in forwards {
            assert!(seen.insert(forward["id"].as_str().unwrap().to_owned()), "{forward}");
        }
        match page["cursor"].as_str() {
            Some(cursor) => query = format!("?state=waiting&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 230);
}

#[tokio::test]
async fn a_retry_makes_a_callback_due_with_all_its_attempts() {
    let mut admin = Admin::start().await;
    admin.stage.table.keep_dead_forward("dead-1", 60).await;
    let later = json!({"isk": now() + 6 * 3600, "attempts": 9});
    admin.stage.table.keep_forward("waiting-1", &later).await;
    for id in ["dead-1", "waiting-1"] {
        assert!(!is_due_anew(&admin, id).await);
        let path = format!("/api/forwards/{id}/retry");
        assert_eq!(admin.post(&path, &Value::Null).await.status, 202, "{id}");
        assert!(is_due_anew(&admin, id).await, "{id}");
    }
    assert_eq!(ids(&mut admin, "dead").await, [""; 0]);

    admin
        .stage
        .table
        .set("forward#taken-1", &json!({"state": "done", "answer": "\"silence\""}))
        .await;
    for id in ["nobody", "taken-1"] {
        for request in [
            api("POST", &format!("/api/forwards/{id}/retry")),
            api("DELETE", &format!("/api/forwards/{id}")),
        ] {
            let refused = admin.send(&request).await;
            assert_eq!((refused.status, refused.kind()), (404, "not-found"), "{id}");
        }
    }
    assert_eq!(admin.stage.table.item("forward#taken-1").await["state"], "done");
}

#[tokio::test]
async fn all_dead_ones_are_retried_at_once() {
    let mut admin = Admin::start().await;
    for number in 0..130 {
        admin.stage.table.keep_dead_forward(&format!("c{number}"), 60).await;
    }
    let (status, answer) = admin.post("/api/forwards/retry", &Value::Null).await.parts();
    assert_eq!((status, answer), (202, json!({"retried": 130})));
    assert!(ids(&mut admin, "dead").await.is_empty());
    assert!(is_due_anew(&admin, "c0").await && is_due_anew(&admin, "c129").await);
    let again = admin.post("/api/forwards/retry", &Value::Null).await.parts();
    assert_eq!(again, (202, json!({"retried": 0})));
}

#[tokio::test]
async fn a_deleted_callback_is_gone() {
    let mut admin = Admin::start().await;
    admin.stage.table.keep_forward("c1", &json!({})).await;
    admin.stage.table.keep_dead_forward("c2", 60).await;
    for id in ["c1", "c2"] {
        assert_eq!(admin.delete(&format!("/api/forwards/{id}")).await.status, 204);
        assert_eq!(admin.stage.table.item(&format!("forward#{id}")).await, Value::Null);
        assert_eq!(admin.delete(&format!("/api/forwards/{id}")).await.status, 404);
    }
}

#[tokio::test]
async fn the_lists_need_the_scope_operate_and_a_table() {
    let mut admin = Admin::on(stage().await.behind_proxies().await.token().await, &[]).await;
    let keys = [
        ("wk_rules", json!({"name": "rules", "scopes": ["replies"]})),
        ("wk_operator", json!({"name": "operator", "scopes": ["operate"]})),
    ];
    admin.stage.table.save_keys(&keys).await;
    for (method, path) in [
        ("GET", "/api/forwards"),
        ("POST", "/api/forwards/retry"),
        ("POST", "/api/forwards/c1/retry"),
        ("DELETE", "/api/forwards/c1"),
    ] {
        let refused = admin.send(&api(method, path).api_key("wk_rules")).await;
        assert_eq!((refused.status, refused.kind()), (403, "forbidden"), "{path}");
        assert_eq!(admin.send(&api(method, path).keyless()).await.status, 401);
    }
    assert_eq!(
        admin.send(&get("/api/forwards").api_key("wk_operator")).await.status,
        200
    );
    admin.stage.proxy(Service::Table).fail(1.., Fault::Refuse);
    for (method, path) in [("GET", "/api/forwards"), ("DELETE", "/api/forwards/c1")] {
        assert_eq!(admin.send(&api(method, path)).await.status, 504, "{method}");
    }
}
