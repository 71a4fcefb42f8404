//! Templates that a test or the console adds.

use reqwest::Method;
use serde_json::json;
use simulator::{FOLLOWER, Mode, TEMPLATE_ID};

use crate::stage::Stage;

const SEND: &str = "/cgi-bin/message/template/send";

#[tokio::test]
async fn a_made_template_is_listed_sent_and_deleted() {
    let stage = Stage::new(Mode::Safe).await;
    let made = json!({"title": "到货提醒", "content": "商品:{{thing1.DATA}}\n{{note.DATA}}", "example": "商品:书\n"});
    let template_id = stage.post("/sim/templates", made).await["template_id"].clone();
    let listed = stage.get_api("/cgi-bin/template/get_all_private_template").await;
    let last = listed["template_list"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["template_id"], template_id);
    assert_eq!(last["title"], "到货提醒");

    let message = json!({"touser": FOLLOWER, "template_id": template_id, "data": {"thing1": {"value": "书"}}});
    assert_eq!(stage.errcode(SEND, &message).await, 0);
    assert_eq!(stage.phone().await[0]["text"], "商品:书\n");

    let path = format!("/sim/templates/{}", template_id.as_str().unwrap());
    assert_eq!(stage.send(Method::DELETE, &path, String::new()).await.0, 200);
    assert_eq!(stage.errcode(SEND, &message).await, 40037);
    assert_eq!(stage.send(Method::DELETE, &path, String::new()).await.0, 404);
}

#[tokio::test]
async fn a_const_takes_approved_values_or_none() {
    let stage = Stage::new(Mode::Safe).await;
    let made =
        json!({"title": "告警", "content": "级别:{{const1.DATA}}\n", "const_values": {"const1": ["严重", "一般"]}});
    let template_id = stage.post("/sim/templates", made).await["template_id"].clone();
    for (value, expected) in [("严重", 0), ("", 0), ("轻微", 47003)] {
        let message = json!({"touser": FOLLOWER, "template_id": template_id, "data": {"const1": {"value": value}}});
        assert_eq!(stage.errcode(SEND, message).await, expected, "{value}");
    }
}

#[tokio::test]
async fn templates_that_an_account_cannot_have_are_refused() {
    let stage = Stage::new(Mode::Safe).await;
    let new = |content: &str| json!({"title": "t", "content": content});
    for body in [
        new("no field"),
        new("{{thing1}}"),
        new("{{.DATA}}"),
        new("{{名字.DATA}}"),
        json!({"title": "", "content": "{{a.DATA}}"}),
        json!({"title": "t", "content": "{{a.DATA}}", "template_id": TEMPLATE_ID}),
    ] {
        assert_eq!(stage.refused("/sim/templates", &body).await, 400, "{body}");
    }
    for _ in 0..22 {
        stage.post("/sim/templates", new("{{a.DATA}}")).await;
    }
    assert_eq!(stage.refused("/sim/templates", &new("{{a.DATA}}")).await, 400);
}
