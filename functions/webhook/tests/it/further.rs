//! The replies that follow the passive one: handed over to `worker`, and never waited for.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use simulator::Mode;
use testing::{
    Stage,
    event::text,
    loopback::{frozen, nobody},
    now,
};

use crate::setup::{Webhook, document, hand_over, stage};

const SCAN: &str = "<xml><ToUserName>gh_1</ToUserName><FromUserName>oUser</FromUserName><CreateTime>1767225600</CreateTime>\
     <MsgType>event</MsgType><Event>SCAN</Event><EventKey>123</EventKey><Ticket>t</Ticket></xml>";

/// The stage of a function whose rules have further replies.
async fn with_further_replies() -> Stage {
    let stage = stage(Mode::Plain).await;
    let reply = json!({"type": "text", "content": "own", "then": [
        {"type": "text", "content": "好".repeat(1000)},
        {"type": "image", "media_id": "m"},
    ]});
    let keyword = json!({"match": "exact", "value": "你好", "reply": reply});
    let silent = json!({"match": "exact", "value": "一条", "reply": {"type": "text", "content": "one"}});
    let rules = json!({"keywords": [keyword, silent], "scans": {"123": reply}});
    stage.table.save_rules(&rules).await;
    stage
}

#[tokio::test]
async fn further_replies_are_handed_over_with_each_delivery_under_one_key() {
    let mut stage = with_further_replies().await;
    hand_over(&mut stage);
    let mut webhook = Webhook::start(&stage).await;
    for _ in 0..2 {
        assert_eq!(webhook.post(SCAN).await.content(SCAN), "own");
    }
    let xml = text("你好", 1);
    assert_eq!(webhook.post(&xml).await.content(&xml), "own");
    let one = text("一条", 2);
    assert_eq!(webhook.post(&one).await.content(&one), "one");

    let kept = stage.lambda.kept();
    assert_eq!(kept.len(), 3, "{kept:?}");
    let part = |count| json!({"msgtype": "text", "text": {"content": "好".repeat(count)}});
    let messages = json!([part(682), part(318), {"msgtype": "image", "image": {"media_id": "m"}}]);
    for (event, callback) in kept.iter().zip([SCAN, SCAN, &xml]) {
        assert_eq!((&event["action"], &event["messages"]), (&json!("then"), &messages));
        assert_eq!(event["openid"], document(callback).text("FromUserName").unwrap());
        assert!((event["at"].as_i64().unwrap() - now()).abs() < 60, "{event}");
    }
    assert_eq!(kept[0]["key"], kept[1]["key"]);
    assert_ne!(kept[0]["key"], kept[2]["key"]);
}

#[tokio::test]
async fn the_reply_goes_out_in_time_also_when_nobody_takes_the_further_ones() {
    let stage = with_further_replies().await;
    let frozen = frozen().await;
    let (nobody, frozen) = (nobody(), frozen.endpoint());
    for changes in [
        &[][..],
        &[("WORKER_FUNCTION", "worker"), ("AWS_ENDPOINT_URL_LAMBDA", &nobody)],
        &[("WORKER_FUNCTION", "worker"), ("AWS_ENDPOINT_URL_LAMBDA", &frozen)],
    ] {
        let mut webhook = Webhook::start_with(&stage, changes).await;
        webhook.0.started().await;
        let started = Instant::now();
        assert_eq!(webhook.post(SCAN).await.content(SCAN), "own");
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        webhook.log_lines_of_requests(1).await;
        let lines = webhook.0.log_lines();
        let lost: Vec<&Value> = lines.iter().filter(|line| line["LostReplies"] == json!(1.0)).collect();
        assert_eq!(lost.len(), 1, "{lines:?}");
        let warned = lines.iter().find(|line| {
            line["level"] == "WARN"
                && line["error"]
                    .as_str()
                    .is_some_and(|error| error.contains("WORKER_FUNCTION"))
        });
        let is_frozen = changes.len() == 2 && changes[1].1 == frozen;
        assert!(warned.is_some() || is_frozen, "{lines:?}");
        assert!(!webhook.0.logs().contains("oUser"), "{}", webhook.0.logs());
    }
}
