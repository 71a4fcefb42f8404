//! The API keys that are made at run time.

use serde_json::{Value, json};
use testing::{
    Fault, Function, Service,
    event::{Request, api, get, post},
};

use crate::{Admin, BINARY, stage};

async fn make(admin: &mut Admin, body: &Value) -> (String, String) {
    let response = admin.post("/api/keys", body).await;
    assert_eq!(response.status, 201, "{response:?}");
    assert_eq!(response.headers["cache-control"], "no-store");
    let text = |name: &str| response.body[name].as_str().unwrap().to_owned();
    (text("id"), text("key"))
}

async fn list(function: &mut Function) -> Vec<Value> {
    let (status, list) = function.get("/api/keys").await.parts();
    assert_eq!(status, 200);
    list["keys"].as_array().unwrap().clone()
}

fn make_by(key: &str, body: &Value) -> Request {
    post("/api/keys", body).api_key(key)
}

#[tokio::test]
async fn a_new_key_works_at_once_in_every_instance_and_is_shown_once() {
    let mut admin = Admin::start().await;
    let mut other = admin.stage.function(BINARY).await;
    let stranger = get("/api/replies").api_key("wk_0123456789abcdef0123456789abcdef");
    assert_eq!(other.send(&stranger).await.status, 401);

    let wanted = json!({"name": "客服 shop", "scopes": ["replies", "send"], "templates": ["T1"]});
    let made = admin.post("/api/keys", &wanted).await.body;
    let key = made["key"].as_str().unwrap().to_owned();
    let rest = key.strip_prefix("wk_").unwrap();
    assert!(
        rest.len() >= 32 && rest.chars().all(|c| c.is_ascii_alphanumeric()),
        "{key}"
    );
    let mut shown = made.clone();
    assert!(shown["created_at"].is_i64() && shown["id"].is_string());
    for name in ["id", "created_at", "key"] {
        shown.as_object_mut().unwrap().remove(name);
    }
    assert_eq!(
        shown,
        json!({"name": "客服 shop", "scopes": ["send", "replies"], "templates": ["T1"]})
    );

    let used = get("/api/replies").api_key(&key);
    assert_eq!(other.send(&used).await.status, 200);
    let listed = list(&mut admin).await;
    let mut expected = made.clone();
    expected.as_object_mut().unwrap().remove("key");
    expected["last_used"] = listed[0]["last_used"].clone();
    assert_eq!(listed, [expected]);
    let day = listed[0]["last_used"].as_str().unwrap();
    assert!(day.len() == 10 && day.starts_with("20"), "{day}");

    let line = other
        .log_lines()
        .into_iter()
        .rfind(|line| line["path"] == "/api/replies")
        .unwrap();
    assert_eq!(line["key"], "客服 shop");
    let stored = format!("{:?}", admin.stage.table.items().await);
    for place in [stored, admin.logs(), other.logs()] {
        assert!(!place.contains(rest), "{place}");
    }
}

#[tokio::test]
async fn a_deleted_key_is_refused_and_unknown_to_later_deletions() {
    let mut admin = Admin::start().await;
    let (id, key) = make(&mut admin, &json!({"name": "shop", "scopes": ["menu"]})).await;
    let (kept, _) = make(&mut admin, &json!({"name": "shop", "scopes": ["menu"]})).await;
    let path = format!("/api/keys/{id}");
    let deleted = admin.delete(&path).await;
    assert_eq!((deleted.status, deleted.text()), (204, ""));
    let mut other = admin.stage.function(BINARY).await;
    assert_eq!(other.send(&get("/api/menu").api_key(&key)).await.status, 401);
    for unknown in [&path, "/api/keys/x.y", "/api/keys/%23"] {
        assert_eq!(admin.delete(unknown).await.kind(), "not-found", "{unknown}");
    }
    let listed = list(&mut admin).await;
    assert_eq!((listed.len(), &listed[0]["id"]), (1, &json!(kept)));
    let line = admin
        .log_lines()
        .into_iter()
        .rfind(|line| line["method"] == "DELETE")
        .unwrap();
    assert_eq!(line["path"], "/api/keys/{id}");
}

#[tokio::test]
async fn a_key_without_the_scope_is_refused_by_its_name() {
    let mut admin = Admin::start().await;
    let (_, key) = make(&mut admin, &json!({"name": "shop", "scopes": ["replies"]})).await;
    for (method, path, scope) in [
        ("GET", "/api/menu", "menu"),
        ("POST", "/api/menu/rollback", "menu"),
        ("GET", "/api/doctor", "operate"),
        ("GET", "/api/keys", "keys"),
        ("POST", "/api/keys", "keys"),
        ("DELETE", "/api/keys/1", "keys"),
    ] {
        let refused = admin.send(&api(method, path).api_key(&key)).await;
        assert_eq!((refused.status, refused.kind()), (403, "forbidden"), "{path}");
        let detail = refused.body["detail"].as_str().unwrap();
        for words in [format!("the scope {scope}"), format!("没有 {scope} 权限")] {
            assert!(detail.contains(&words), "{detail}");
        }
    }
    assert_eq!(admin.send(&get("/api/replies").api_key(&key)).await.status, 200);
    assert_eq!(admin.send(&get("/api/nothing").api_key(&key)).await.status, 404);
}

#[tokio::test]
async fn nobody_gives_more_than_their_own() {
    let mut admin = Admin::start().await;
    let own = json!({
        "name": "staff", "scopes": ["keys", "send", "relay", "menu"], "templates": ["T1", "T2"], "paths": ["/cgi-bin/menu"],
    });
    let (_, key) = make(&mut admin, &own).await;
    for (wanted, field) in [
        (json!({"scopes": ["replies"]}), "scopes"),
        (json!({"scopes": ["keys", "operate"]}), "scopes"),
        (json!({"scopes": ["send"]}), "templates"),
        (json!({"scopes": ["send"], "templates": null}), "templates"),
        (json!({"scopes": ["send"], "templates": ["T1", "T3"]}), "templates"),
        (json!({"scopes": ["menu"], "templates": ["T3"]}), "templates"),
        (json!({"scopes": ["relay"]}), "paths"),
        (json!({"scopes": ["relay"], "paths": ["/cgi-bin"]}), "paths"),
        (
            json!({"scopes": ["relay"], "paths": ["/cgi-bin/menu", "/cgi-bin/menus"]}),
            "paths",
        ),
    ] {
        let mut body = wanted.clone();
        body["name"] = json!("more");
        let refused = admin.send(&make_by(&key, &body)).await;
        assert_eq!((refused.status, refused.kind()), (403, "forbidden"), "{wanted}");
        assert_eq!(refused.body["field"], field, "{wanted}");
    }
    for wanted in [
        json!({"scopes": ["keys", "menu"]}),
        json!({"scopes": ["send"], "templates": ["T2"]}),
        json!({"scopes": ["relay"], "paths": ["/cgi-bin/menu", "/cgi-bin/menu/get", "/cgi-bin/menu/"]}),
    ] {
        let mut body = wanted.clone();
        body["name"] = json!("less");
        assert_eq!(admin.send(&make_by(&key, &body)).await.status, 201, "{wanted}");
    }
    assert_eq!(list(&mut admin).await.len(), 4);
}

#[tokio::test]
async fn a_caller_of_the_jwt_authorizer_gives_every_scope_but_relay() {
    let mut admin = Admin::start().await;
    let all = json!(["send", "campaigns", "users", "menu", "replies", "operate", "keys"]);
    let by_jwt = |scopes: &Value| post("/api/keys", &json!({"name": "n", "scopes": scopes})).jwt();
    assert_eq!(admin.send(&by_jwt(&all)).await.status, 201);
    let refused = admin.send(&by_jwt(&json!(["relay"]))).await;
    assert_eq!(refused.status, 403);
    assert!(
        refused.body["detail"].as_str().unwrap().contains("relay"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_faulty_key_is_refused_with_every_fault() {
    let mut admin = Admin::start().await;
    let faulty = json!({
        "name": "a\nb", "scopes": ["send", "seed", 7], "templates": [], "paths": ["cgi-bin", "/a/../b", "/a//b", "", "/a?b"],
        "expires": 1,
    });
    let (status, problem) = admin.post("/api/keys", &faulty).await.parts();
    assert_eq!(status, 400);
    let faults = problem["faults"].as_array().unwrap();
    let pointers: Vec<_> = faults.iter().map(|fault| fault["pointer"].as_str().unwrap()).collect();
    assert_eq!(
        pointers,
        [
            "/expires",
            "/name",
            "/scopes/1",
            "/scopes/2",
            "/templates",
            "/paths/0",
            "/paths/1",
            "/paths/2",
            "/paths/3",
            "/paths/4",
            "/paths"
        ]
    );
    assert!(
        faults[2]["detail"].as_str().unwrap().contains("did you mean send?"),
        "{problem}"
    );
    let long = "长".repeat(65);
    let many: Vec<String> = (0..60).map(|number| format!("{number:043}")).collect();
    for (body, pointer) in [
        (json!({"scopes": ["send"]}), "/name"),
        (json!({"name": "", "scopes": ["send"]}), "/name"),
        (json!({"name": " Root", "scopes": ["send"]}), "/name"),
        (json!({"name": long, "scopes": ["send"]}), "/name"),
        (json!({"name": "n"}), "/scopes"),
        (json!({"name": "n", "scopes": []}), "/scopes"),
        (json!({"name": "n", "scopes": "send"}), "/scopes"),
        (
            json!({"name": "n", "scopes": ["send"], "paths": ["/cgi-bin"]}),
            "/paths",
        ),
        (json!({"name": "n", "scopes": ["send"], "templates": many}), ""),
        (json!([]), ""),
    ] {
        let (status, problem) = admin.post("/api/keys", &body).await.parts();
        assert_eq!(
            (status, &problem["faults"][0]["pointer"]),
            (400, &json!(pointer)),
            "{problem}"
        );
    }
    let name = "长".repeat(64);
    make(
        &mut admin,
        &json!({"name": name, "scopes": ["send", "send"], "paths": null}),
    )
    .await;
}

#[tokio::test]
async fn while_the_keys_cannot_be_read_they_are_not_wrong_and_api_keys_work() {
    let mut admin = Admin::on(stage().await.token().await.behind_proxies().await, &[]).await;
    admin.started().await;
    assert_eq!(admin.get("/api/menu").await.status, 404, "reads the token");
    admin.stage.proxy(Service::Table).fail(.., Fault::Refuse);
    let unknown = get("/api/menu").api_key("wk_0123456789abcdef0123456789abcdef");
    let (status, problem) = admin.send(&unknown).await.parts();
    assert_eq!(
        (status, &problem["type"]),
        (504, &json!("urn:wechat-bundle:timeout")),
        "{problem}"
    );
    assert_eq!(admin.send(&get("/openapi.json").api_key("wk_0")).await.status, 200);
    assert_eq!(admin.send(&get("/api/menu").api_key("other")).await.status, 401);
    assert_eq!(admin.get("/api/menu").await.status, 404, "WeChat has no menu");
    admin.stage.mend().await;
    assert_eq!(admin.send(&unknown).await.status, 401);
}

#[tokio::test]
async fn api_keys_have_no_keys_read() {
    let mut admin = Admin::on(stage().await.token().await.behind_proxies().await, &[]).await;
    assert_eq!(admin.get("/api/nothing").await.status, 404);
    admin.stage.mend().await;
    assert_eq!(admin.get("/api/nothing").await.status, 404);
    assert_eq!(admin.stage.proxy(Service::Table).requests(), Vec::<String>::new());
}
