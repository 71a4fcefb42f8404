//! Rules documents, and texts that they answer.

use wechat::{
    reply::{Addresses, Reply},
    rules::{Answer, ReplyRules},
    xml::Tree,
};

/// Reads a rules document, a line `---` and a text, and asks the rules about the text.
///
/// The rule of every answer exists, its reply can be read as a document, and WeChat allows as many further messages.
pub fn rules(input: &[u8]) {
    let Ok(input) = std::str::from_utf8(input) else { return };
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
        let further: Vec<_> = reply.then.iter().flat_map(Reply::to_custom).collect();
        assert!(further.len() <= 3, "{rule}");
        for answers_message in [true, false] {
            let addresses = Addresses {
                to: text,
                from: "gh_1",
                answers_message,
            };
            let xml = reply.passive.to_xml(addresses, 1_767_225_600);
            let read = Tree::parse(xml.as_bytes());
            assert!(read.is_ok_and(|reply| reply.text("MsgType").is_some()), "{xml}");
        }
    }
}
