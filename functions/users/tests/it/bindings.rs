//! Bindings by QR code and by link.

use serde_json::json;
use simulator::FOLLOWER;
use testing::{Browser, Fault, PUBLIC_URL, Service, event::post};

use crate::Users;

#[tokio::test]
async fn a_code_and_a_link_are_made_for_a_user() {
    let mut users = Users::start().await;
    let (status, made) = users.post("/api/bindings", &json!({"user": "张三/1"})).await.parts();
    assert_eq!(status, 201, "{made}");
    let id = made["binding"].as_str().unwrap().to_owned();
    assert!(
        id.len() >= 22 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        "{id}"
    );
    assert_eq!((&made["user"], &made["state"]), (&json!("张三/1"), &json!("pending")));
    assert_eq!(made["link"], format!("{PUBLIC_URL}/bind/{id}"));
    assert!(
        made["qr"]["image"]
            .as_str()
            .unwrap()
            .starts_with("data:image/svg+xml;base64,")
    );
    assert!(made["qr"]["url"].as_str().unwrap().starts_with("http"));
    let life = made["expires_at"].as_i64().unwrap() - testing::now();
    assert!((595..=600).contains(&life), "{life}");
    assert_eq!(made.get("qr_problem"), None);

    let calls = users.stage.wechat.all_calls().await;
    let call = calls
        .iter()
        .rfind(|call| call["path"] == "/cgi-bin/qrcode/create")
        .unwrap();
    assert!(call.to_string().contains(&format!("bind.{id}")), "{call}");

    let (status, shown) = users.get(&format!("/api/bindings/{id}")).await.parts();
    assert_eq!(
        (status, shown),
        (200, json!({"binding": id, "user": "张三/1", "state": "pending"}))
    );
    assert!(!users.logs().contains(&id), "an id binds: it is in no log");
}

#[tokio::test]
async fn every_fault_of_a_request_is_named_and_no_code_is_made() {
    let mut users = Users::start().await;
    for (body, fields) in [
        (json!({}), vec!["user"]),
        (json!({"user": ""}), vec!["user"]),
        (
            json!({"user": "a\nb", "expires_in": 29, "return_to": "https://evil.example/"}),
            vec!["user", "expires_in", "return_to"],
        ),
        (json!({"user": "u", "expires_in": 86_401}), vec!["expires_in"]),
        (json!({"user": "u", "expires_in": "600"}), vec!["expires_in"]),
        (json!({"user": "u".repeat(129), "expire": 1}), vec!["expire", "user"]),
        (
            json!({"user": "u", "return_to": "http://shop.example.com/"}),
            vec!["return_to"],
        ),
    ] {
        let (status, problem) = users.post("/api/bindings", &body).await.parts();
        assert_eq!(status, 400, "{body} {problem}");
        for field in fields {
            let faults = problem["faults"].as_array().unwrap();
            assert!(faults.iter().any(|fault| fault["field"] == field), "{field}: {problem}");
        }
    }
    assert_eq!(users.stage.wechat.calls("/cgi-bin/qrcode/create").await, 0);
}

#[tokio::test]
async fn an_account_without_the_right_to_make_codes_still_gets_a_link() {
    let mut users = Users::start().await;
    users
        .stage
        .wechat
        .control("account-type", &json!({"type": "unverified_service"}))
        .await;
    let (status, made) = users.post("/api/bindings", &json!({"user": "u-1"})).await.parts();
    assert_eq!((status, &made["qr"]), (201, &json!(null)), "{made}");
    assert!(made["qr_problem"].as_str().unwrap().contains("48001"), "{made}");
    assert!(made["link"].is_string());

    let mut without_url = Users::start_with(&[("PUBLIC_URL", "")]).await;
    let made = without_url.post("/api/bindings", &json!({"user": "u-1"})).await.body;
    assert!(made["link"].is_null() && made["qr"].is_object(), "{made}");
    let id = made["binding"].as_str().unwrap();
    let opened = Browser::default()
        .open(&mut without_url.function, &format!("/bind/{id}"))
        .await;
    assert_eq!(opened.status, 503);
}

#[tokio::test]
async fn other_refusals_have_their_status_and_leave_no_binding() {
    let mut users = Users::start().await;
    let fault = json!({"errcode": 45009, "times": 1});
    users.stage.wechat.fault("/cgi-bin/qrcode/create", &fault).await;
    let refused = users.post("/api/bindings", &json!({"user": "u-1"})).await;
    assert_eq!(refused.status, 429, "{refused:?}");
    let items = users.stage.table.items().await;
    assert!(
        !items
            .iter()
            .any(|item| item["pk"].as_str().unwrap().starts_with("bind#")),
        "{items:?}"
    );
}

#[tokio::test]
async fn a_link_that_is_opened_in_wechat_binds_once_and_returns() {
    let mut users = Users::start().await;
    let request = json!({"user": "u-1", "return_to": "https://shop.example.com/done?x=1#top"});
    let made = users.post("/api/bindings", &request).await.body;
    let (id, link) = (made["binding"].as_str().unwrap(), made["link"].as_str().unwrap());

    let mut phone = Browser::default();
    // WeChat adds parameters to links that are shared in a chat.
    let opened = phone
        .open(
            &mut users.function,
            &format!("{link}?from=singlemessage&isappinstalled=0"),
        )
        .await;
    assert_eq!(opened.status, 302, "{opened:?}");
    let back = users.stage.wechat.authorize(opened.location(), FOLLOWER).await;
    let bound = phone.open(&mut users.function, &back).await;
    assert_eq!(
        (bound.status, bound.location()),
        (302, "https://shop.example.com/done?x=1#top")
    );
    let shown = users.get(&format!("/api/bindings/{id}")).await.body;
    assert_eq!(
        shown,
        json!({"binding": id, "user": "u-1", "state": "bound", "openid": FOLLOWER})
    );
    let user = users.get("/api/users/u-1").await.body;
    assert_eq!((&user["openid"], &user["followed"]), (&json!(FOLLOWER), &json!(null)));

    assert_eq!(
        phone.open(&mut users.function, &back).await.status,
        302,
        "WeChat may ask twice"
    );
    assert_eq!(
        phone.open(&mut users.function, link).await.status,
        410,
        "a link is good once"
    );
    let unknown = format!("/bind/{}", "0".repeat(32));
    assert_eq!(phone.open(&mut users.function, &unknown).await.status, 404);
    assert_eq!(phone.open(&mut users.function, "/bind/x").await.status, 404);
    assert!(!users.logs().contains(id) && !users.logs().contains(FOLLOWER));
}

#[tokio::test]
async fn of_two_people_with_one_link_the_first_is_bound() {
    let mut users = Users::start().await;
    let stranger = users.stage.wechat.follower().await;
    let made = users.post("/api/bindings", &json!({"user": "u-1"})).await.body;
    let link = made["link"].as_str().unwrap();
    let (mut first, mut second) = (Browser::default(), Browser::default());
    let one = first.open(&mut users.function, link).await;
    let other = second.open(&mut users.function, link).await;
    let one = users.stage.wechat.authorize(one.location(), FOLLOWER).await;
    let other = users.stage.wechat.authorize(other.location(), &stranger).await;
    let page = first.open(&mut users.function, &one).await;
    assert_eq!((page.status, page.text().contains("绑定成功")), (200, true));
    assert_eq!(second.open(&mut users.function, &other).await.status, 410);
    assert_eq!(users.get("/api/users/u-1").await.body["openid"], FOLLOWER);
}

#[tokio::test]
async fn a_binding_tells_what_it_replaced() {
    let mut users = Users::start().await;
    users.put_user("u-1", "oOld").await;
    users.put_user("u-2", FOLLOWER).await;
    let made = users.post("/api/bindings", &json!({"user": "u-1"})).await.body;
    let mut phone = Browser::default();
    let opened = phone.open(&mut users.function, made["link"].as_str().unwrap()).await;
    let back = users.stage.wechat.authorize(opened.location(), FOLLOWER).await;
    assert_eq!(phone.open(&mut users.function, &back).await.status, 200);
    let shown = users
        .get(&format!("/api/bindings/{}", made["binding"].as_str().unwrap()))
        .await
        .body;
    assert_eq!(shown["replaced"], json!({"openid": "oOld", "user": "u-2"}));
    assert_eq!(users.get("/api/users/u-2").await.status, 404);
}

#[tokio::test]
async fn a_table_that_fails_is_no_missing_binding() {
    let mut users = Users::start().await;
    users.stage = users.stage.behind_proxies().await;
    users.function = users.stage.function(crate::BINARY).await;
    let made = users.post("/api/bindings", &json!({"user": "u-1"})).await.body;
    let id = made["binding"].as_str().unwrap().to_owned();
    users.stage.proxy(Service::Table).fail(1.., Fault::Refuse);
    let asked = users.get(&format!("/api/bindings/{id}")).await;
    assert!(asked.status >= 500, "{asked:?}");
    let opened = Browser::default()
        .open(&mut users.function, &format!("/bind/{id}"))
        .await;
    assert_eq!(opened.status, 502);
    let made = users.send(&post("/api/bindings", &json!({"user": "u-1"})).into()).await;
    assert!(made.status >= 500, "{made:?}");
}
