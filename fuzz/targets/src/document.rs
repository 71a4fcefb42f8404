//! Bodies of callbacks: read or refused, then told to the bus.

use wechat::{
    message::Callback,
    xml::{Document, ciphertexts},
};

/// A body, XML or JSON, as XML says and as WeChat writes it.
pub fn parse_document(body: &[u8]) {
    let _ = ciphertexts(body);
    for document in [Document::parse(body), Document::parse_callback(body)] {
        document.into_iter().for_each(check);
    }
}

/// What was read is the same when it is written as JSON and read again.
fn check(document: Document) {
    let json = document.to_json();
    if json.is_object() {
        let again = Document::parse(json.to_string().as_bytes());
        assert_eq!(again.map(|document| document.to_json()).ok(), Some(json));
    }
    let Ok(callback) = Callback::from_document(document) else {
        return;
    };
    let told = callback.to_json();
    assert_eq!(told["id"], callback.dedup_key());
    assert_eq!(callback.dedup_key().len(), 64);
    assert!(!callback.kind().is_empty());
}
