//! Every sample of the protocol in every mode, delivered twice.

use std::{collections::BTreeSet, fs, path::PathBuf};

use serde_json::{Value, json};
use simulator::Mode;
use testing::{
    account::TOKEN,
    event::{callback, check},
};

use crate::setup::{Answer, BUS, MODES, Webhook, document, kept, publish, set_mode, stage_with};

fn rules() -> Value {
    let text = |content: &str| json!({"type": "text", "content": content});
    json!({
        "subscribe": text("welcome"),
        "keywords": [
            {"match": "exact", "value": "满意", "reply": text("thanks")},
            {"match": "contains", "value": "世界", "reply": text("hello world")},
            {"match": "exact", "value": "forged", "reply": text("forged")},
        ],
        "clicks": {"MENU_HELP": text("help")},
        "scans": {"order_42": text("order 42")},
        "default": text("pardon?"),
    })
}

/// The reply to the sample `name`. All others are acknowledged.
fn expected(name: &str) -> Option<&'static str> {
    match name {
        "text" => Some("hello world"),
        "text_menu" => Some("thanks"),
        "image" | "voice" | "video" | "shortvideo" | "location" | "link" => Some("pardon?"),
        "event_subscribe" | "fixture_subscribe" => Some("welcome"),
        "event_subscribe_scene" | "event_scan" => Some("order 42"),
        "event_click" => Some("help"),
        _ => None,
    }
}

fn samples() -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/tests/data/callbacks");
    let mut samples: Vec<(String, String)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    samples.sort();
    assert!(samples.len() >= 42, "{} samples", samples.len());
    samples
}

fn assert_answered(answer: &Answer, name: &str, xml: &str, mode: Mode) {
    match expected(name) {
        None => assert_eq!(answer, &Answer::success(), "{name}"),
        Some(content) => {
            let reply = answer.reply_to(xml, mode);
            assert_eq!(
                (reply.text("MsgType"), reply.text("Content")),
                (Some("text"), Some(content)),
                "{name}"
            );
        }
    }
}

/// Delivers every sample twice, and checks answers, table and bus.
async fn deliver_all(mode: Mode) {
    let samples = samples();
    let mut stage = stage_with(&rules()).await;
    set_mode(&mut stage, mode);
    publish(&mut stage);
    let mut webhook = Webhook::start(&stage).await;
    for (name, xml) in &samples {
        let answer = webhook.send(&callback(xml).in_mode(mode)).await;
        assert_answered(&answer, name, xml, mode);
    }
    let after_first = (kept(&stage).await, stage.bus.entries());
    for (name, xml) in &samples {
        let answer = webhook.send(&callback(xml).in_mode(mode)).await;
        assert_answered(&answer, name, xml, mode);
    }
    assert_eq!(
        (kept(&stage).await, stage.bus.entries()),
        after_first,
        "a redelivery changes nothing"
    );

    let (kept, entries) = after_first;
    assert_eq!(
        kept.len(),
        9,
        "the rules, four receipts, three problems and the day's counts: {kept:#?}"
    );
    assert_eq!(entries.len(), samples.len());
    let ids: BTreeSet<&str> = entries
        .iter()
        .map(|entry| entry["Detail"]["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), samples.len(), "each has an id of its own");
    for ((name, xml), entry) in samples.iter().zip(&entries) {
        assert_eq!(entry["Source"], "wechat.offiaccount");
        assert_eq!(entry["EventBusName"], BUS);
        let document = document(xml);
        let detail_type = match document.text("Event") {
            Some(event) => format!("event.{event}"),
            None => document.text("MsgType").unwrap().to_owned(),
        };
        assert_eq!(entry["DetailType"], detail_type.as_str(), "{name}");
        assert_eq!(entry["Detail"]["document"], document.to_json(), "{name}");
        assert_eq!(entry["Detail"]["from"], document.text("FromUserName").unwrap());
    }

    let lines = webhook.log_lines_of_requests(2 * samples.len()).await;
    assert_eq!(lines.len(), 2 * samples.len(), "one line a callback");
    assert!(
        lines[..samples.len()]
            .iter()
            .all(|line| line.get("duplicate").is_none())
    );
    assert!(lines[samples.len()..].iter().all(|line| line["duplicate"] == true));
}

#[tokio::test]
async fn every_sample_is_answered_in_plain_mode() {
    deliver_all(Mode::Plain).await;
}

/// A clear message that nothing signs stands beside the ciphertext; only what was decrypted counts.
#[tokio::test]
async fn every_sample_is_answered_in_compat_mode() {
    deliver_all(Mode::Compat).await;
}

#[tokio::test]
async fn every_sample_is_answered_in_safe_mode() {
    deliver_all(Mode::Safe).await;
}

/// The `echostr` is clear in every mode.
#[tokio::test]
async fn the_consoles_check_is_the_same_in_every_mode() {
    let mut stage = stage_with(&rules()).await;
    for mode in MODES {
        set_mode(&mut stage, mode);
        let mut webhook = Webhook::start(&stage).await;
        let answer = webhook.send(&check(TOKEN)).await;
        assert_eq!(answer, Answer::text(200, "4375120948345356249"), "{mode:?}");
    }
}
