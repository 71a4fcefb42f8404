//! One function for each fuzz target. It feeds arbitrary bytes to code that strangers can reach, and asserts what must hold.
//!
//! `fuzz/` runs the functions under libFuzzer; `tests/corpus.rs` feeds the corpora to them in every `cargo test`.

mod answer;
mod api_body;
mod callback;
mod document;
mod event;
mod opaque_token;
mod page_url;
mod relayed_call;
mod rules;
mod scene;

pub use self::{
    answer::answer, api_body::api_body, callback::verify_and_decrypt, document::parse_document, event::gateway_event,
    opaque_token::opaque_token, page_url::page_url, relayed_call::relayed_call, rules::rules, scene::scene,
};

/// The name of a target and its corpus, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 10] = [
    ("answer", answer),
    ("api_body", api_body),
    ("gateway_event", gateway_event),
    ("opaque_token", opaque_token),
    ("page_url", page_url),
    ("parse_document", parse_document),
    ("relayed_call", relayed_call),
    ("rules", rules),
    ("scene", scene),
    ("verify_and_decrypt", verify_and_decrypt),
];
