//! The scan of a code that binds a user to the person who scans it.

use super::{Callback, Content, Event};

/// The prefix of the scene of a binding's QR code. The binding's id follows.
pub const BINDING_SCENE: &str = "bind.";

/// Characters of the longest scene. See [WeChat Docs/生成带参数二维码](https://developers.weixin.qq.com/doc/service/api/qrcode/qrcodes/api_createqrcode).
const LONGEST_SCENE: usize = 64;

impl Callback {
    /// Returns the id in the scanned scene when the scene is that of a binding: [`BINDING_SCENE`] and an id. A follower's
    /// scan and a subscription through the code count. Anybody can scan such a scene: see [`is_binding_id`].
    #[must_use]
    pub fn scanned_binding(&self) -> Option<&str> {
        let scene = match &self.content {
            Content::Event(Event::Scan { scene, .. }) => scene,
            Content::Event(Event::Subscribe { scene, .. }) => scene.as_ref()?,
            _ => return None,
        };
        scene.strip_prefix(BINDING_SCENE)
    }
}

/// Whether `text` can be a binding's id: letters, digits, `-` and `_`, at most 64 of them.
#[must_use]
pub fn is_binding_id(text: &str) -> bool {
    let is_of_an_id = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=LONGEST_SCENE).contains(&text.len()) && text.bytes().all(is_of_an_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::Tree;

    fn scanned(event: &str, key: &str) -> Option<String> {
        let xml = format!("<xml><MsgType>event</MsgType><Event>{event}</Event><EventKey>{key}</EventKey></xml>");
        let callback = Callback::from_document(Tree::parse(xml.as_bytes()).unwrap()).unwrap();
        callback.scanned_binding().map(str::to_owned)
    }

    #[test]
    fn a_scan_and_a_subscription_name_the_binding() {
        for (event, key, id) in [
            ("SCAN", "bind.ab12", Some("ab12")),
            ("scan", "bind.", Some("")),
            ("subscribe", "qrscene_bind.ab12", Some("ab12")),
            ("subscribe", "bind.ab12", None),
            ("SCAN", "qrscene_bind.ab12", None),
            ("SCAN", "Bind.ab12", None),
            ("SCAN", "bind", None),
            ("CLICK", "bind.ab12", None),
            ("unsubscribe", "bind.ab12", None),
        ] {
            assert_eq!(scanned(event, key).as_deref(), id, "{event} {key}");
        }
    }

    #[test]
    fn an_id_is_a_short_word_of_letters_and_digits() {
        for id in ["a", "0123456789abcdef0123456789abcdef", "A-b_9", &"x".repeat(64)] {
            assert!(is_binding_id(id), "{id}");
        }
        for text in ["", "a b", "a#b", "码", "a.b", "a\n", &"x".repeat(65)] {
            assert!(!is_binding_id(text), "{text:?}");
        }
    }
}
