//! Every sample event of `events/`, malformed in turn: each member removed, each of another type, and the text cut short.

use std::{collections::BTreeSet, time::Instant};

use serde_json::{Value, json};
use testing::{Function, Outcome, event::sample, now_millis};

use crate::{
    report::{self, ANSWERED_WITHIN, Row, WECHAT_WAITS},
    stage::{Program, Stage},
};

/// How many ways each text is cut short.
const CUTS: usize = 16;
const LEFT_MILLIS: i64 = 30_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed() {
    let kinds = [
        "each member removed",
        "each member of another type",
        "the text cut short",
    ];
    let mut cases = Vec::new();
    for (program, files) in [
        (Program::Webhook, "webhook-"),
        (Program::SendTemplate, "send-template,message-status,list-templates"),
        (Program::Admin, "menu-,replies-,keys-,doctor"),
        (Program::TokenRefresher, "refresh-,ticket,exchange-"),
        (Program::Worker, "worker-"),
        (Program::Users, "binding-,users-,login-,jssdk-"),
    ] {
        cases.extend(kinds.map(|kind| case(program, files, kind)));
    }
    report::section(
        report::TITLES[9],
        "Every file of `events/`, changed in each way in turn, handed to one process. A *function error* is what Lambda \
         reports of an event that is no event of the gateway's: only who may invoke the function can send one.",
        report::run(cases).await,
    );
}

async fn case(program: Program, files: &'static str, kind: &'static str) -> Row {
    let stage = Stage::new().await;
    let account = [("WECHAT_MAX_CLOCK_SKEW", "0"), ("API_KEYS", "events-key")];
    let mut function = stage.start(program, &account).await;
    let within = if program == Program::Webhook {
        WECHAT_WAITS
    } else {
        ANSWERED_WITHIN
    };
    let mut outcomes = BTreeSet::new();
    for event in events(files) {
        let before = invoke(&mut function, event.to_string()).await;
        for text in variants(&event, kind) {
            let started = Instant::now();
            let outcome = invoke(&mut function, text.clone()).await;
            assert!(started.elapsed() < within, "{text}");
            assert!(!outcome.starts_with('5') || outcome == before, "{outcome}: {text}");
            outcomes.insert(outcome);
        }
        assert_eq!(
            invoke(&mut function, event.to_string()).await,
            before,
            "it no longer serves: {event}"
        );
    }
    let logs = function.logs();
    assert!(!logs.contains("panicked"), "{logs}");
    Row {
        step: format!("{program:?}"),
        breaks: kind.to_owned(),
        gets: outcomes.into_iter().collect::<Vec<_>>().join(", "),
        within: if program == Program::Webhook { "5 s" } else { "25 s" },
        kept: "the process".to_owned(),
        returns: "the unchanged event: as before".to_owned(),
    }
}

/// The sample events whose names begin with one of `files`.
fn events(files: &str) -> Vec<Value> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../events");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
        .filter(|name| files.split(',').any(|file| name.starts_with(file)))
        .collect();
    names.sort();
    assert!(!names.is_empty(), "no event {files}");
    names.iter().map(|name| sample(name)).collect()
}

fn variants(event: &Value, kind: &str) -> Vec<String> {
    let mut pointers = Vec::new();
    collect_pointers(event, "", &mut pointers);
    match kind {
        "each member removed" => pointers.iter().map(|pointer| without(event, pointer)).collect(),
        "each member of another type" => {
            let others = [json!(null), json!(7), json!("\u{1}"), json!({})];
            let changed = |pointer: &String| {
                let event = event.clone();
                others.clone().map(move |other| {
                    let mut event = event.clone();
                    *event.pointer_mut(pointer).unwrap() = other;
                    event.to_string()
                })
            };
            pointers.iter().flat_map(changed).collect()
        }
        _ => {
            let text = event.to_string();
            let cut = |part: usize| text[..text.floor_char_boundary(text.len() * part / CUTS)].to_owned();
            (1..CUTS).map(cut).collect()
        }
    }
}

fn collect_pointers(value: &Value, pointer: &str, pointers: &mut Vec<String>) {
    if let Value::Object(members) = value {
        for (name, member) in members {
            assert!(!name.contains(['/', '~']), "{name} needs an escape");
            let pointer = format!("{pointer}/{name}");
            collect_pointers(member, &pointer, pointers);
            pointers.push(pointer);
        }
    }
}

fn without(event: &Value, pointer: &str) -> String {
    let mut event = event.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let members = event.pointer_mut(parent).and_then(Value::as_object_mut).unwrap();
    members.remove(name);
    event.to_string()
}

/// The status, or that it was a function error.
async fn invoke(function: &mut Function, text: String) -> String {
    match function.invoke_text(text, now_millis() + LEFT_MILLIS).await {
        Outcome::Answered(answer) => answer["statusCode"].as_u64().unwrap_or(200).to_string(),
        Outcome::Failed(_) | Outcome::InitFailed(_) => "function error".to_owned(),
    }
}
