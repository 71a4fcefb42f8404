//! What holders of a key post to `/api/*`: send bodies and menus. Rules documents are a target of their own.

use serde_json::{Value, json};
use wechat::{menu, template::Templates};

use self::request::{Recipients, SendTemplate};

/// The very file of send-template, without that function's AWS SDK.
#[path = "../../../functions/send-template/src/request.rs"]
mod request;

/// A body. What it is read as, it is read as again when it is written out; a refusal names the member; a menu differs
/// from itself in nothing.
pub fn api_body(body: &[u8]) {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    match SendTemplate::read(&body) {
        Ok(request) => {
            check_template(&request);
            let written = write(&request);
            let again = SendTemplate::read(&written).expect("what was read can be read again");
            assert_eq!(write(&again), written);
        }
        Err(problem) => {
            let response = problem.into_response();
            let problem: Value = serde_json::from_str(response.body()).expect("a problem is JSON");
            assert_eq!(response.status(), 400);
            assert!(!body.is_object() || problem["field"].is_string());
        }
    }
    let faults = [menu::default_menu(&body), menu::conditional_menu(&body)].map(|read| read.err().unwrap_or_default());
    for fault in faults.into_iter().flatten() {
        assert!(fault.pointer.is_empty() || fault.pointer.starts_with('/'));
    }
    assert!(menu::difference(&body, &body).is_empty());
    for change in menu::difference(&Value::Null, &body) {
        assert!(body.pointer(&change.pointer).is_some(), "{}", change.pointer);
    }
}

fn check_template(request: &SendTemplate) {
    let fields = || request.data.keys().cloned().collect();
    let templates: Templates = [(request.template_id.clone(), fields())].into_iter().collect();
    let data = || {
        request
            .data
            .iter()
            .map(|(name, field)| (name.as_str(), field.value.as_str()))
    };
    for finding in templates.check(&request.template_id, data()) {
        assert!(finding.field.starts_with("data."), "{}", finding.field);
    }
    let absent = Templates::default().check(&request.template_id, data());
    assert_eq!(absent.len(), 1);
}

fn write(request: &SendTemplate) -> Value {
    let touser = match &request.recipients {
        Recipients::One(openid) => json!(openid),
        Recipients::Many(openids) => {
            assert!((1..=100).contains(&openids.len()));
            json!(openids)
        }
    };
    json!({
        "touser": touser, "template_id": request.template_id, "url": request.url, "miniprogram": request.miniprogram,
        "client_msg_id": request.client_msg_id, "data": request.data,
        "validate": request.only_warns.then_some("warn"),
    })
}
