//! Users: read, changed, deleted, imported and exported.

use serde_json::{Value, json};
use testing::event::{api, get};

use crate::Users;

#[tokio::test]
async fn a_user_is_bound_found_and_deleted() {
    let mut users = Users::start().await;
    let (status, put) = users
        .put("/api/users/u-1", &json!({"openid": "o1", "unionid": "union"}))
        .await
        .parts();
    assert_eq!(status, 200);
    let bound_at = put["bound_at"].as_i64().unwrap();
    assert!((testing::now() - bound_at).abs() <= 5);
    let expected = json!({"user": "u-1", "openid": "o1", "unionid": "union", "followed": null, "bound_at": bound_at});
    assert_eq!(put, expected);
    for path in ["/api/users/u-1", "/api/users?user=u-1", "/api/users?openid=o1"] {
        assert_eq!(users.get(path).await.parts(), (200, expected.clone()), "{path}");
    }
    assert_eq!(users.delete("/api/users/u-1").await.status, 204);
    for path in ["/api/users/u-1", "/api/users?user=u-1", "/api/users?openid=o1"] {
        let missing = users.get(path).await;
        assert_eq!((missing.status, missing.kind()), (404, "unknown-user"), "{path}");
    }
    assert_eq!(users.delete("/api/users/u-1").await.status, 404);
    assert!(!users.logs().contains("\"o1\""));
}

/// `/api/users/u-1%2F` names the user `u-1/`, and must not act on `u-1`.
#[tokio::test]
async fn a_slash_behind_an_id_is_no_other_spelling_of_it() {
    let mut users = Users::start().await;
    users.put_user("u-1", "o1").await;
    let named = |method: &str| api(method, "/api/users/x").with("/rawPath", "/api/users/u-1/");
    let put = named("PUT").json(&json!({"openid": "o2"}));
    for request in [named("DELETE"), put, named("GET")] {
        assert_eq!(users.send(&request.into()).await.status, 404);
    }
    assert_eq!(users.get("/api/users/u-1").await.body["openid"], "o1");
}

/// API Gateway hands paths over decoded, so an id with a slash would look like another path.
#[tokio::test]
async fn an_id_of_any_characters_is_reached_by_path_or_query() {
    let mut users = Users::start().await;
    let mut by_path = async |user: &str, path: &str| {
        let put = api("PUT", "/api/users/x")
            .with("/rawPath", path)
            .json(&json!({"openid": format!("o{}", path.len())}));
        assert_eq!(users.send(&put.into()).await.body["user"], user, "{path}");
    };
    by_path("张三", "/api/users/张三").await;
    by_path("a@b.example", "/api/users/a@b.example").await;
    let odd = "a/b?c#d%e&f=g h";
    let path = get("/api/users").with_query(&[("user", odd)]);
    let put = path
        .clone()
        .with("/requestContext/http/method", "PUT")
        .json(&json!({"openid": "oOdd"}));
    assert_eq!(users.send(&put.into()).await.body["user"], odd);
    assert_eq!(users.send(&path.clone().into()).await.body["openid"], "oOdd");
    let delete = path.with("/requestContext/http/method", "DELETE");
    assert_eq!(users.send(&delete.into()).await.status, 204);
    for path in [
        "/api/users/a%2Fb",
        "/api/users/50%",
        "/api/users?user=",
        &format!("/api/users/{}", "u".repeat(129)),
        "/api/users?user=a%0Ab",
    ] {
        assert_eq!(users.get(path).await.status, 400, "{path}");
    }
    assert_eq!(users.get("/api/users?user=a&openid=b").await.status, 400);
    assert_eq!(users.delete("/api/users").await.status, 400, "not everybody");
}

#[tokio::test]
async fn a_newer_binding_replaces_the_older() {
    let mut users = Users::start().await;
    users.put_user("u-1", "o1").await;
    users.put_user("u-2", "o2").await;
    let put = users.put("/api/users/u-1", &json!({"openid": "o2"})).await;
    assert_eq!(put.body["replaced"], json!({"openid": "o1", "user": "u-2"}));
    let again = users.put("/api/users/u-1", &json!({"openid": "o2"})).await;
    assert_eq!(again.body.get("replaced"), None);
    assert_eq!(users.get("/api/users/u-2").await.status, 404);
    assert_eq!(users.get("/api/users?openid=o1").await.status, 404);
    let mut other = users.another().await;
    assert_eq!(other.get("/api/users?openid=o2").await.body["user"], "u-1");
    for body in [
        json!({}),
        json!({"openid": ""}),
        json!({"openid": "o 1"}),
        json!({"openid": "o1", "followed": true}),
        json!([]),
    ] {
        let refused = users.put("/api/users/u-1", &body).await;
        assert_eq!(refused.status, 400, "{body}");
    }
}

#[tokio::test]
async fn an_import_answers_for_each_entry_and_later_ones_win() {
    let mut users = Users::start().await;
    let entries: Vec<Value> = (0..100)
        .map(|index| json!({"user": format!("u-{index}"), "openid": format!("o{index}")}))
        .collect();
    let (status, answer) = users.post("/api/users", &json!({"users": entries})).await.parts();
    assert_eq!((status, answer["results"].as_array().unwrap().len()), (200, 100));
    assert_eq!(
        answer["results"][7],
        json!({"user": "u-7", "openid": "o7", "status": 200})
    );
    let twice = json!({"users": [
        {"user": "u-1", "openid": "oA"}, {"user": "u-1", "openid": "oB"}, {"user": "u-2", "openid": "oB"},
    ]});
    assert_eq!(users.post("/api/users", &twice).await.status, 200);
    assert_eq!(
        users.get("/api/users/u-1").await.status,
        404,
        "its openid has gone to u-2"
    );
    assert_eq!(users.get("/api/users?openid=oB").await.body["user"], "u-2");

    let mixed = json!({"users": [
        {"user": "u-3", "openid": "oC"}, {"user": "", "openid": "oD"}, {"user": "u-4"}, {},
    ]});
    let (status, answer) = users.post("/api/users", &mixed).await.parts();
    let statuses: Vec<_> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| &result["status"])
        .collect();
    assert_eq!(
        (status, json!(statuses)),
        (207, json!([200, 400, 400, 400])),
        "{answer}"
    );
    assert_eq!(answer["results"][1]["field"], "user");
    assert_eq!(
        (&answer["results"][2]["user"], &answer["results"][2]["openid"]),
        (&json!("u-4"), &json!(null))
    );
    assert_eq!(users.get("/api/users/u-3").await.status, 200);
    let mut over: Vec<Value> = entries;
    over.push(json!({"user": "u", "openid": "o"}));
    for body in [
        json!({"users": over}),
        json!({"users": []}),
        json!({}),
        json!({"users": [{"user": "u", "openid": "o"}], "more": 1}),
        json!({"users": [{"user": "u", "openid": "o"}, 7]}),
    ] {
        assert_eq!(users.post("/api/users", &body).await.status, 400);
    }
}

#[tokio::test]
async fn all_users_come_page_by_page_as_json_and_as_csv() {
    let mut users = Users::start().await;
    for batch in 0..3 {
        let entries: Vec<Value> = (0..50)
            .map(|index| json!({"user": format!("张{batch}-{index}, \"x\""), "openid": format!("o{batch}-{index}")}))
            .collect();
        assert_eq!(users.post("/api/users", &json!({"users": entries})).await.status, 200);
    }
    let first = users.get("/api/users").await.body;
    assert_eq!(first["users"].as_array().unwrap().len(), 100);
    let cursor = first["cursor"].as_str().unwrap();
    let second = users.get(&format!("/api/users?cursor={cursor}")).await.body;
    assert_eq!(
        (second["users"].as_array().unwrap().len(), second.get("cursor")),
        (50, None)
    );

    let csv = users.get("/api/users").header("accept", "text/csv").await;
    assert_eq!(csv.content_type(), "text/csv; charset=utf-8; header=present");
    let lines: Vec<&str> = csv.text().split_terminator("\r\n").collect();
    assert_eq!((lines.len(), lines[0]), (101, "user,openid,unionid,followed,bound_at"));
    assert!(
        lines[1].starts_with("\"张") && lines[1].contains("\"\"x\"\""),
        "{}",
        lines[1]
    );
    let link = csv.headers["link"].as_str().unwrap();
    let next = link.strip_prefix('<').unwrap().split('>').next().unwrap();
    assert!(link.ends_with("; rel=\"next\""), "{link}");
    let rest = users
        .get(next)
        .header("accept", "application/json;q=0.5, text/csv")
        .await;
    assert_eq!((rest.text().lines().count(), rest.headers.get("link")), (51, None));
    let first = users.get("/api/users?cursor=").await.body;
    assert_eq!(first["users"].as_array().unwrap().len(), 100);
    for wrong in ["x", "AAAA"] {
        assert_eq!(
            users.get(&format!("/api/users?cursor={wrong}")).await.status,
            400,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn a_deleted_persons_messages_lose_the_openid() {
    let mut users = Users::start().await;
    users.put_user("u-1", "oGone").await;
    let index = format!("to#{}#oGone", testing::account::APP_ID);
    for msgid in 1..=60 {
        let message = json!({
            "touser": "oGone", "template_id": "T", "status": "delivered", "sent_at": 1, "ipk": index, "isk": msgid,
            "ttl": testing::now() + 1000,
        });
        users.stage.table.set(&format!("message#{msgid}"), &message).await;
    }
    // The person was bound before to another openid, and a code is still open.
    for (id, binding) in [
        (
            "b1",
            json!({"user": "u-1", "expires_at": 1, "openid": "oGone", "replaced_openid": "oGone2"}),
        ),
        ("b2", json!({"user": "u-1", "expires_at": testing::now() + 600})),
    ] {
        let mut binding = binding;
        binding["ipk"] = json!(format!("bindings#{}#u-1", testing::account::APP_ID));
        binding["isk"] = binding["expires_at"].clone();
        users.stage.table.set(&format!("bind#{id}"), &binding).await;
    }
    let deletion = users.delete("/api/users/u-1").await;
    assert_eq!(deletion.status, 204, "{deletion:?}");
    let left = format!("{:?}", users.stage.table.items().await);
    assert!(!left.contains("oGone") && !left.contains("bind#"), "{left:.300}");
    let message = users.stage.table.item("message#60").await;
    assert_eq!(
        (&message["status"], &message["template_id"]),
        (&json!("delivered"), &json!("T"))
    );
    assert_eq!(message["openid_sha256"].as_str().unwrap().len(), 16);
}

#[tokio::test]
async fn only_callers_with_the_scope_may_ask() {
    let mut users = Users::start().await;
    for path in [
        "/api/users",
        "/api/users/u-1",
        "/api/bindings/x",
        "/api/users?openid=o1",
    ] {
        assert_eq!(users.send(&get(path).keyless().into()).await.status, 401, "{path}");
    }
    assert_eq!(users.send(&get("/api/users").jwt().into()).await.status, 200);
}
