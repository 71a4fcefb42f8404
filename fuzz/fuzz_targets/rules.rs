//! Rules documents, and texts that they are asked about.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wechat::{
    document::Document,
    reply::Addresses,
    rules::{Answer, ReplyRules},
};

fuzz_target!(|input: &str| {
    let (document, text) = input.split_once("\n---\n").unwrap_or((input, ""));
    let Ok(rules) = ReplyRules::parse(document.as_bytes()) else {
        return;
    };
    let json: serde_json::Value = serde_json::from_str(document).expect("it was parsed");
    let answers = [
        rules.answer_text(text),
        rules.answer_click(text),
        rules.answer_scan(text),
        rules.answer_subscribe(Some(text)),
        rules.answer_subscribe(None),
    ];
    for Answer { reply, rule } in answers.into_iter().flatten() {
        assert!(json.pointer(&rule).is_some(), "{rule}");
        for answers_message in [true, false] {
            let addresses = Addresses {
                to: text,
                from: "gh_1",
                answers_message,
            };
            let xml = reply.to_xml(addresses, 1_767_225_600);
            let read = Document::parse(xml.as_bytes());
            assert!(read.is_ok_and(|reply| reply.text("MsgType").is_some()), "{xml}");
        }
    }
});
