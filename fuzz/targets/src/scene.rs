//! Scenes of QR codes. Anybody can make a code with any scene that WeChat allows; in plain mode a stranger can write any.

use serde_json::json;
use wechat::{
    message::{BINDING_SCENE, Callback, is_binding_id},
    rules::ReplyRules,
    xml::Tree,
};

/// Reads a scene as a follower's scan and as a subscription.
///
/// Both name the same binding. Only letters, digits, `-` and `_` reach the table as an id, and what cannot be one binds
/// nobody.
pub fn scene(scene: &[u8]) {
    let Ok(scene) = std::str::from_utf8(scene) else { return };
    let scan = callback("SCAN", scene);
    let subscription = callback("subscribe", &format!("qrscene_{scene}"));
    for callback in [&scan, &subscription] {
        let rule = ReplyRules::default().answer(callback).map(|answer| answer.rule);
        match callback.scanned_binding() {
            Some(id) => {
                let key = callback.event_key().expect("it has a scene");
                assert_eq!(
                    key.strip_prefix("qrscene_").unwrap_or(key),
                    format!("{BINDING_SCENE}{id}")
                );
                assert!(!is_binding_id(id) || id.len() <= 64 && !id.contains(['#', '.', ' ', '\n']));
                let expected = if is_binding_id(id) { "/bound" } else { "/bind_failed" };
                assert_eq!(rule.as_deref(), Some(expected));
            }
            None => assert!(matches!(rule.as_deref(), None | Some("/subscribe"))),
        }
    }
    assert_eq!(scan.scanned_binding(), subscription.scanned_binding());
}

fn callback(event: &str, key: &str) -> Callback {
    let document = json!({"FromUserName": "o1", "MsgType": "event", "Event": event, "EventKey": key});
    let document = Tree::parse(document.to_string().as_bytes()).expect("it was just written");
    Callback::from_document(document).expect("it is an event")
}
