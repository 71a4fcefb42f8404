//! Keys that were made at run time: what they may send and see.

use serde_json::{Value, json};
use simulator::TEMPLATE_ID;
use testing::{
    Stage,
    event::{Request, get, post},
    message,
};

use crate::{BINARY, request};

const SHOP: &str = "wk_000000000000000000000000000shop1";
const OTHER: &str = "wk_00000000000000000000000000other1";

fn may(scope: &str) -> Value {
    json!({"name": format!("may {scope}"), "scopes": [scope]})
}

/// May send one template only.
fn may_send(template_id: &str) -> Value {
    json!({"name": template_id, "scopes": ["send"], "templates": [template_id]})
}

fn by(key: &str, request: Request) -> Request {
    request.api_key(key)
}

#[tokio::test]
async fn a_key_sends_and_sees_its_own_templates_only() {
    let stage = Stage::with_token().await;
    let keys = [(SHOP, may_send(TEMPLATE_ID)), (OTHER, may_send("ANOTHER_TEMPLATE"))];
    stage.table.save_keys(&keys).await;
    let mut function = stage.function(BINARY).await;
    let (status, sent) = function.send(&by(SHOP, request(&message()))).await.parts();
    assert_eq!(status, 200, "{sent}");
    let refused = function.send(&by(OTHER, request(&message()).key("1"))).await;
    assert_eq!((refused.status, refused.kind()), (403, "forbidden"));
    assert_eq!(refused.body["field"], "template_id");
    assert!(refused.body["detail"].as_str().unwrap().contains("send"), "{refused:?}");

    let path = format!("/api/messages/{}", sent["msgid"].as_str().unwrap());
    assert_eq!(function.send(&by(SHOP, get(&path))).await.status, 200);
    let unseen = function.send(&by(OTHER, get(&path))).await;
    assert_eq!((unseen.status, unseen.kind()), (404, "not-found"));
    assert_eq!(
        unseen.body,
        function.get("/api/messages/1").await.body,
        "as one that was never sent"
    );

    let mut templates = Vec::new();
    for key in [SHOP, OTHER] {
        let (status, list) = function.send(&by(key, get("/api/templates"))).await.parts();
        assert_eq!(status, 200);
        templates.push(list["templates"].as_array().unwrap().len());
    }
    let (_, all) = function.get("/api/templates").await.parts();
    assert_eq!(templates, [1, 0]);
    assert!(!all["templates"].as_array().unwrap().is_empty());

    let lines = function.log_lines();
    let answered: Vec<_> = lines
        .iter()
        .filter(|line| line["message"] == "request answered")
        .collect();
    assert_eq!(answered[0]["key"], TEMPLATE_ID);
    assert_eq!(answered[2]["path"], "/api/messages/{msgid}");
    assert!(!function.logs().contains("wk_"), "{}", function.logs());
}

#[tokio::test]
async fn templates_are_listed_for_campaigns_too_and_nothing_else_is_allowed_them() {
    let stage = Stage::with_token().await;
    stage
        .table
        .save_keys(&[(SHOP, may("campaigns")), (OTHER, may("menu"))])
        .await;
    let mut function = stage.function(BINARY).await;
    assert_eq!(function.send(&by(SHOP, get("/api/templates"))).await.status, 200);
    let refused = function.send(&by(SHOP, request(&message()))).await;
    assert_eq!(refused.status, 403);
    assert!(
        refused.body["detail"].as_str().unwrap().contains("the scope send "),
        "{refused:?}"
    );
    let refused = function.send(&by(OTHER, get("/api/templates"))).await;
    assert_eq!(refused.status, 403);
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(
        detail.contains("send or campaigns") && detail.contains("send 或 campaigns"),
        "{detail}"
    );
}

#[tokio::test]
async fn idempotency_keys_are_a_namespace_of_the_key() {
    let stage = Stage::with_token().await;
    stage
        .table
        .save_keys(&[(SHOP, may("send")), (OTHER, may("send"))])
        .await;
    let mut function = stage.function(BINARY).await;
    let send = |key: &str| by(key, post("/api/sendTemplateMessage", &message()).key("1"));
    let first = function.send(&send(SHOP)).await;
    assert_eq!(function.send(&send(SHOP)).await.headers["idempotent-replayed"], "true");
    let other = function.send(&send(OTHER)).await;
    assert_eq!(other.status, 200);
    assert_ne!(first.body["msgid"], other.body["msgid"]);
}
