//! The callbacks that own code has not taken: own code is asked again, within bounds, and nothing is lost.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testing::{Fault, Function, Outcome, OwnAnswer, OwnCode, Service, Stage, now};

use crate::start;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

async fn stage(own_code: &OwnCode) -> Stage {
    let mut stage = Stage::new().await.behind_proxies().await;
    let url = format!("{}/wechat?key=hidden", own_code.endpoint());
    stage.set([("FORWARD_URL", url), ("FORWARD_SECRET", SECRET.to_owned())]);
    stage
}

async fn keep(stage: &Stage, ids: impl Iterator<Item = usize>) {
    for id in ids {
        stage.table.keep_forward(&format!("c{id}"), &json!({})).await;
    }
}

async fn forward(stage: &Stage, id: &str) -> Value {
    stage.table.item(&format!("forward#{id}")).await
}

async fn run(worker: &mut Function) -> Value {
    worker.succeed(&json!({"action": "run"})).await
}

fn done(taken: usize, failed: usize, dead: usize) -> Value {
    json!({"forwards": {"taken": taken, "failed": failed, "dead": dead}})
}

fn metric(worker: &Function, name: &str) -> Vec<f64> {
    worker.metrics().iter().filter_map(|line| line[name].as_f64()).collect()
}

#[tokio::test]
async fn what_is_due_is_asked_once_as_at_first_and_leaves_the_table_when_taken() {
    let own_code = OwnCode::start().await;
    let stage = stage(&own_code).await;
    let mut worker = start(&stage).await;
    keep(&stage, 1..=1).await;
    stage.table.keep_forward("later", &json!({"isk": now() + 60})).await;
    let body = forward(&stage, "c1").await["body"].as_str().unwrap().to_owned();
    own_code.answer(OwnAnswer::reply("too late"));
    assert_eq!(run(&mut worker).await, done(1, 0, 0));
    assert_eq!(run(&mut worker).await, json!({}), "nothing is due");

    let requests = own_code.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].target, "/wechat?key=hidden");
    assert_eq!(requests[0].body, body, "the same bytes at every attempt");
    assert_eq!(requests[0].header("webhook-id"), "c1");
    assert_eq!(requests[0].header("webhook-signature"), requests[0].signature(SECRET));
    assert_eq!(requests[0].header("wechat-reply"), "too-late");
    let taken = forward(&stage, "c1").await;
    assert_eq!(taken["state"], "done");
    assert!(!taken.to_string().contains("too late") && !taken.to_string().contains("do not tell"));
    let logs = worker.logs();
    assert!(logs.contains("own code was asked again"), "{logs}");
    assert!(
        !logs.contains("hidden") && !logs.contains("do not tell") && !logs.contains("\"o1\""),
        "{logs}"
    );
    assert_eq!(metric(&worker, "WaitingForwards"), [2.0, 1.0]);
}

#[tokio::test]
async fn what_own_code_does_not_take_is_due_again_later_or_dead() {
    let own_code = OwnCode::start().await;
    let stage = stage(&own_code).await;
    let mut worker = start(&stage).await;
    keep(&stage, 1..=1).await;
    own_code.answer(OwnAnswer::status(503, ""));
    assert_eq!(run(&mut worker).await, done(0, 1, 0));
    let failed = forward(&stage, "c1").await;
    assert_eq!((&failed["state"], &failed["attempts"]), (&json!("waiting"), &json!(2)));
    let wait = failed["isk"].as_f64().unwrap() - now() as f64;
    assert!(
        (265.0..=331.0).contains(&wait),
        "5 minutes after the second attempt: {wait}"
    );
    assert!(failed["last_error"].as_str().unwrap().contains("503"), "{failed}");

    let last = json!({"attempts": 16, "isk": now() - 1});
    stage.table.keep_forward("c1", &last).await;
    assert_eq!(run(&mut worker).await, done(0, 0, 1));
    assert_eq!(forward(&stage, "c1").await["state"], "dead", "17 attempts");
    keep(&stage, 2..=2).await;
    own_code.answer(OwnAnswer::status(410, ""));
    assert_eq!(run(&mut worker).await, done(0, 0, 1));
    let gone = forward(&stage, "c2").await;
    assert_eq!((&gone["state"], &gone["attempts"]), (&json!("dead"), &json!(2)));
    assert_eq!(metric(&worker, "DeadForwards"), [1.0, 1.0]);
    assert_eq!(run(&mut worker).await, json!({}));
    assert_eq!(own_code.requests().len(), 3);
}

#[tokio::test]
async fn a_backlog_comes_ten_at_once() {
    let own_code = OwnCode::start().await;
    let stage = stage(&own_code).await;
    let mut worker = start(&stage).await;
    keep(&stage, 1..=135).await;
    let takes = Duration::from_millis(100);
    own_code.answer(OwnAnswer::status(200, "").after(takes));
    // A minute to the deadline: a run begins nothing new in its last twenty seconds.
    let ran = worker.invoke_within(&json!({"action": "run"}), 60_000).await;
    assert_eq!(ran, Outcome::Answered(done(135, 0, 0)), "more than a page");
    let requests = own_code.requests();
    let ids: HashSet<_> = requests.iter().map(|request| request.header("webhook-id")).collect();
    assert_eq!((requests.len(), ids.len()), (135, 135), "each once");
    for (request, eleventh) in requests.iter().zip(&requests[10..]) {
        assert!(eleventh.at - request.at >= 100, "{} {}", request.at, eleventh.at);
    }
    let connections: HashSet<_> = requests.iter().map(|request| request.connection).collect();
    assert!(connections.len() <= 20, "connections are kept: {}", connections.len());
}

#[tokio::test]
async fn own_code_that_is_down_costs_the_rest_no_attempt() {
    let own_code = OwnCode::start().await;
    let stage = stage(&own_code).await;
    let mut worker = start(&stage).await;
    keep(&stage, 1..=40).await;
    own_code.answer(OwnAnswer::Reset);
    let answer = run(&mut worker).await;
    let asked = own_code.requests().len();
    assert!((5..=10).contains(&asked), "{asked}");
    assert_eq!(answer, done(0, asked, 0));
    let items = stage.table.items().await;
    let untouched = items
        .iter()
        .filter(|item| item["attempts"] == 1 && item.get("owner").is_none());
    assert_eq!(untouched.count(), 40 - asked);

    own_code.answer(OwnAnswer::status(204, ""));
    assert_eq!(run(&mut worker).await, done(40 - asked, 0, 0), "the next run goes on");
}

#[tokio::test]
async fn a_few_failures_among_others_stop_nothing() {
    let own_code = OwnCode::start().await;
    let stage = stage(&own_code).await;
    let mut worker = start(&stage).await;
    keep(&stage, 1..=40).await;
    for status in [500, 200, 404, 302, 200, 500, 410] {
        own_code.answer_once(OwnAnswer::status(status, ""));
    }
    assert_eq!(run(&mut worker).await, done(35, 4, 1));
}

#[tokio::test]
async fn several_workers_ask_each_callback_once() {
    let own_code = OwnCode::start().await;
    let stage = stage(&own_code).await;
    let (mut one, mut other, mut third) = (start(&stage).await, start(&stage).await, start(&stage).await);
    keep(&stage, 1..=50).await;
    own_code.answer(OwnAnswer::status(200, "").after(Duration::from_millis(50)));
    let answers = tokio::join!(run(&mut one), run(&mut other), run(&mut third));
    let answers = [answers.0, answers.1, answers.2];
    let taken = answers.iter().filter_map(|answer| answer["forwards"]["taken"].as_u64());
    assert_eq!(taken.sum::<u64>(), 50, "{answers:?}");
    assert_eq!(own_code.requests().len(), 50);
}

#[tokio::test]
async fn with_nothing_due_a_run_is_over_in_a_second_with_few_calls() {
    let own_code = OwnCode::start().await;
    let stage = stage(&own_code).await;
    let mut worker = start(&stage).await;
    stage.table.keep_forward("later", &json!({"isk": now() + 60})).await;
    let before = stage.proxy(Service::Table).requests().len();
    let started = Instant::now();
    for event in [json!({"action": "run"}), json!({})] {
        assert_eq!(worker.succeed(&event).await, json!({}));
    }
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    let calls = &stage.proxy(Service::Table).requests()[before..];
    assert!(calls.len() <= 10, "{calls:?}");
    assert!(own_code.requests().is_empty());
}

#[tokio::test]
async fn without_own_code_what_is_due_stays_and_it_is_said_once() {
    let stage = Stage::new().await;
    let mut worker = start(&stage).await;
    assert_eq!(run(&mut worker).await, json!({}));
    assert!(worker.metrics().is_empty());
    keep(&stage, 1..=2).await;
    let before = stage.table.items().await;
    assert_eq!(run(&mut worker).await, json!({}));
    assert_eq!(run(&mut worker).await, json!({}));
    assert_eq!(stage.table.items().await, before);
    assert_eq!(worker.logs().matches("FORWARD_URL is not set").count(), 1);
    assert_eq!(metric(&worker, "ForwardsWithoutUrl"), [1.0, 1.0]);
}

#[tokio::test]
async fn a_run_returns_before_its_deadline_and_notes_what_own_code_did_not_answer() {
    let own_code = OwnCode::start().await;
    let stage = stage(&own_code).await;
    let mut worker = start(&stage).await;
    keep(&stage, 1..=12).await;
    own_code.answer(OwnAnswer::Hang);
    let started = Instant::now();
    worker.invoke_within(&json!({"action": "run"}), 4_000).await;
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    assert_eq!(own_code.requests().len(), 10);
    let failed = forward(&stage, "c1").await;
    assert!(failed.get("owner").is_none(), "{failed}");
    assert!(
        failed["last_error"].as_str().unwrap().contains("did not answer"),
        "{failed}"
    );
}

#[tokio::test]
async fn a_run_that_is_killed_loses_nothing() {
    let own_code = OwnCode::start().await;
    let stage = stage(&own_code).await;
    let mut worker = start(&stage).await;
    keep(&stage, 1..=1).await;
    own_code.answer(OwnAnswer::Hang);
    {
        let event = json!({"action": "run"});
        let running = worker.invoke(&event);
        tokio::select! {
            _ = running => panic!("own code hangs"),
            () = own_code.asked(1) => {}
        }
    }
    worker.kill().await;
    own_code.answer(OwnAnswer::status(200, ""));
    let mut other = start(&stage).await;
    assert_eq!(run(&mut other).await, json!({}), "the dead run's claim still holds");
    let held = forward(&stage, "c1").await;
    assert_eq!(held["attempts"], 2);
    assert_eq!(held["isk"], held["claim_expires_at"], "it is due when the claim ends");
    let ended = json!({"claim_expires_at": now() - 1, "isk": now() - 1});
    stage.table.set("forward#c1", &ended).await;
    assert_eq!(run(&mut other).await, done(1, 0, 0));
    assert_eq!(forward(&stage, "c1").await["state"], "done");
}

#[tokio::test]
async fn a_table_that_fails_is_a_function_error_and_leaves_what_is_due() {
    let own_code = OwnCode::start().await;
    let stage = stage(&own_code).await;
    let mut worker = start(&stage).await;
    keep(&stage, 1..=1).await;
    stage.proxy(Service::Table).fail(1.., Fault::Refuse);
    assert_eq!(worker.fail(&json!({"action": "run"})).await.0, "Forwards");
    stage.mend().await;
    assert!(own_code.requests().is_empty());
    assert_eq!(run(&mut worker).await, done(1, 0, 0));
}
