//! Bodies of callbacks: read or refused, then written as events for the bus.

use wechat::{
    message::Callback,
    xml::{Tree, ciphertexts},
};

/// Reads a body, XML or JSON, with the strict parser and the one for WeChat's callbacks.
pub fn parse_document(body: &[u8]) {
    let _ = ciphertexts(body);
    for document in [Tree::parse(body), Tree::parse_callback(body)] {
        document.into_iter().for_each(check);
    }
}

/// A document that is written as JSON and read again stays the same.
fn check(document: Tree) {
    let json = document.to_json();
    if json.is_object() {
        let again = Tree::parse(json.to_string().as_bytes());
        assert_eq!(again.map(|document| document.to_json()).ok(), Some(json));
    }
    let Ok(callback) = Callback::from_document(document) else {
        return;
    };
    let event = callback.to_json();
    assert_eq!(event["id"], callback.dedup_key());
    assert_eq!(callback.dedup_key().len(), 64);
    assert!(!callback.kind().is_empty());
}
