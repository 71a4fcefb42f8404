//! Faults other than an errcode: distorted answers, faults that let calls pass first, lost answers to callbacks.

use reqwest::Method;
use serde_json::json;
use simulator::Mode;

use crate::stage::{Scripted, Stage, text_message};

const GET: &str = "/cgi-bin/menu/get";

#[tokio::test]
async fn an_answer_can_be_broken_off_or_mislabelled() {
    let stage = Stage::new(Mode::Safe).await;
    let path = format!("/cgi-bin/getcallbackip?access_token={}", stage.token().await);
    let fault = json!({"path": "/cgi-bin/getcallbackip", "truncated": true});
    stage.fault(fault).await;
    let fault = json!({"path": "/cgi-bin/getcallbackip", "content_type": "text/html; charset=gbk"});
    stage.fault(fault).await;
    let half = stage.get(&path).await;
    assert!(half.as_str().unwrap().starts_with("{\"ip_list\""), "{half}");
    let response = stage.http.get(stage.url(&path)).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/html; charset=gbk");
    assert!(response.text().await.unwrap().ends_with('}'));
    let calls = stage.get("/sim/calls").await;
    assert_eq!((&calls[1]["errcode"], &calls[2]["errcode"]), (&json!(null), &json!(0)));
}

#[tokio::test]
async fn a_fault_can_wait_for_calls_to_pass() {
    let stage = Stage::new(Mode::Safe).await;
    let fault = json!({"path": GET, "errcode": -1, "after": 2, "times": 1});
    stage.fault(fault).await;
    let mut errcodes = Vec::new();
    for _ in 0..4 {
        errcodes.push(stage.get(GET).await["errcode"].as_i64().unwrap());
    }
    assert_eq!(errcodes, [41001, 41001, -1, 41001]);
}

#[tokio::test]
async fn a_fault_can_match_all_calls_and_be_listed_and_cleared_alone() {
    let stage = Stage::new(Mode::Safe).await;
    let slow = json!({"path": "/cgi-bin/*", "errcode": 45011, "times": 9});
    stage.fault(slow).await;
    stage.fault(json!({"path": GET, "errcode": -1})).await;
    assert_eq!(stage.get("/cgi-bin/token").await["errcode"], 45011);
    let listed = stage.get("/sim/faults").await;
    assert_eq!(listed["faults"][0]["times"], 8);
    assert_eq!(listed["faults"][1]["path"], json!(GET));
    let (_, left) = stage
        .send(Method::DELETE, "/sim/faults?path=/cgi-bin/*", String::new())
        .await;
    assert_eq!(left["faults"].as_array().unwrap().len(), 1);
    assert_eq!(stage.get(GET).await["errcode"], -1);
    assert_eq!(stage.get("/cgi-bin/token").await["errcode"], 41002);
}

#[tokio::test]
async fn faults_that_could_not_happen_are_refused() {
    let stage = Stage::new(Mode::Safe).await;
    for fault in [
        json!({"path": GET, "content_type": "a\nb"}),
        json!({"path": "/callback", "errcode": -1}),
        json!({"path": "/callback", "drop": true, "delay_ms": 5}),
        json!({"path": "/callback", "drop": true, "times": 0}),
        json!({"path": "/callback"}),
        json!({"path": "/connect/oauth2/authorize", "errcode": -1}),
    ] {
        assert_eq!(stage.refused("/sim/faults", &fault).await, 400, "{fault}");
    }
}

#[tokio::test]
async fn a_lost_answer_makes_wechat_deliver_again() {
    let stage = Stage::new(Mode::Safe).await;
    stage.fault(json!({"path": "/callback", "drop": true})).await;
    stage.receiver.answer([stage.reply("第一次"), stage.reply("第二次")]);
    let answer = stage.post("/sim/message", text_message("在吗")).await;
    assert_eq!(answer["deliveries"], 2);
    assert_eq!(answer["reply"]["Content"], "第二次");
    let pushed = stage.receiver.pushed();
    let ids = [0, 1].map(|index: usize| stage.open(&pushed[index]).text_of("MsgId").to_owned());
    assert_eq!(ids[0], ids[1]);
    assert_eq!(stage.phone().await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_server_that_keeps_failing_is_not_asked_for_a_minute() {
    let stage = Stage::new(Mode::Plain).await;
    stage.receiver.answer((0..30).map(|_| Scripted::Status(500)));
    for _ in 0..10 {
        assert_eq!(stage.post("/sim/message", text_message("在吗")).await["deliveries"], 3);
    }
    let answer = stage.post("/sim/message", text_message("在吗")).await;
    assert_eq!(answer["deliveries"], 0);
    assert!(answer["error"].as_str().unwrap().contains("MarkFail"), "{answer}");
    assert_eq!(stage.receiver.pushed().len(), 30);
    assert_eq!(stage.phone().await.as_array().unwrap().len(), 11);
    assert!(stage.get("/sim/state").await["callback"]["blocked_until"].is_i64());
    stage.advance(60).await;
    let answer = stage.post("/sim/message", text_message("在吗")).await;
    assert_eq!((&answer["deliveries"], &answer["status"]), (&json!(1), &json!(200)));
    assert_eq!(stage.get("/sim/state").await["callback"]["blocked_until"], json!(null));
}

#[tokio::test]
async fn answers_without_an_error_come_as_plain_text_too() {
    let stage = Stage::new(Mode::Safe).await;
    let path = format!("/cgi-bin/getcallbackip?access_token={}", stage.token().await);
    let mut types = Vec::new();
    for _ in 0..4 {
        let response = stage.http.get(stage.url(&path)).send().await.unwrap();
        types.push(response.headers()["content-type"].to_str().unwrap().to_owned());
    }
    types.sort();
    types.dedup();
    assert_eq!(types, ["application/json; encoding=utf-8", "text/plain; charset=utf-8"]);
}
