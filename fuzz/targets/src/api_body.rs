//! Bodies of `/api/*`: sends of both kinds, campaigns and parts of their audience, menus. Rules documents have their own target.

use serde_json::{Value, json};
use wechat::{
    campaign::{CHUNK, into_chunks},
    validate::{
        Fault, campaign,
        custom::SendCustom,
        menu,
        recipients::{self, Part},
        send::{Recipients, SendTemplate},
        template::Templates,
    },
};

/// Reads a body as a send of either kind, as a campaign, as a part of an audience in JSON and in CSV, and as a menu.
///
/// Every entry of an audience names one person, and none is lost when the entries are cut into chunks. A customer-service
/// message is sent as it was given, without its recipient. A template message that was read, written and read again stays
/// the same; a refusal names the member; a menu equals itself.
pub fn api_body(body: &[u8]) {
    if let Ok(text) = str::from_utf8(body) {
        check_part(recipients::read_csv("1", text));
    }
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    check_part(recipients::read_json(&body));
    if let Err(faults) = campaign::read(&body) {
        check_faults(&faults, body.is_object());
    }
    match SendTemplate::read(&body) {
        Ok(request) => {
            check_template(&request);
            let written = write(&request);
            let again = SendTemplate::read(&written).expect("what was read can be read again");
            assert_eq!(write(&again), written);
        }
        Err(faults) => check_faults(&faults, body.is_object()),
    }
    match SendCustom::read(&body) {
        Ok(request) => {
            assert!(!request.recipient.first().is_empty() && request.message.contains_key("msgtype"));
            let is_as_given = |(name, value): (&String, &Value)| body.get(name) == Some(value);
            assert!(request.message.iter().all(is_as_given));
        }
        Err(faults) => check_faults(&faults, body.is_object()),
    }
    for menu in [menu::default_menu(&body), menu::conditional_menu(&body)] {
        check_faults(&menu.err().unwrap_or_default(), false);
    }
    assert!(menu::difference(&body, &body).is_empty());
    for change in menu::difference(&Value::Null, &body) {
        assert!(body.pointer(&change.pointer).is_some(), "{}", change.pointer);
    }
}

fn check_part(part: Result<Part, Vec<Fault>>) {
    match part {
        Ok(part) => {
            let count = part.recipients.len();
            for entry in &part.recipients {
                assert!(entry.openid.is_some() != entry.user.is_some() && !entry.identity().1.is_empty());
            }
            let chunks = into_chunks(part.recipients);
            assert_eq!(chunks.iter().map(Vec::len).sum::<usize>(), count);
            assert!(chunks.iter().all(|chunk| (1..=CHUNK).contains(&chunk.len())));
        }
        Err(faults) => {
            assert!(!faults.is_empty());
            check_faults(&faults, false);
        }
    }
}

/// Each fault has a pointer and a text in both languages. A send's fault also names a member.
fn check_faults(faults: &[Fault], have_fields: bool) {
    for fault in faults {
        assert!(fault.pointer.is_empty() || fault.pointer.starts_with('/'));
        assert!(fault.detail.contains(" / "), "{}", fault.detail);
        assert!(!have_fields || fault.field.is_some(), "{}", fault.pointer);
    }
}

fn check_template(request: &SendTemplate) {
    let fields = || request.content.data.keys().cloned().collect();
    let templates: Templates = [(request.content.template_id.clone(), fields())].into_iter().collect();
    let data = || {
        request
            .content
            .data
            .iter()
            .map(|(name, field)| (name.as_str(), field.value.as_str()))
    };
    for finding in templates.check(&request.content.template_id, data()) {
        assert!(finding.field.starts_with("data."), "{}", finding.field);
        assert!(finding.pointer.starts_with("/data/"), "{}", finding.pointer);
    }
    let absent = Templates::default().check(&request.content.template_id, data());
    assert_eq!(absent.len(), 1);
}

fn write(request: &SendTemplate) -> Value {
    let mut body = json!({
        "template_id": request.content.template_id, "url": request.content.url, "miniprogram": request.content.miniprogram,
        "client_msg_id": request.client_msg_id, "data": request.content.data,
        "validate": request.only_warns.then_some("warn"),
    });
    let (member, recipients) = match &request.recipients {
        Recipients::Openid(openid) => ("touser", json!(openid)),
        Recipients::Openids(openids) => ("touser", json!(openids)),
        Recipients::User(user) => ("user", json!(user)),
        Recipients::Users(users) => ("users", json!(users)),
    };
    assert!((1..=100).contains(&request.recipients.names().len()));
    body[member] = recipients;
    body
}
