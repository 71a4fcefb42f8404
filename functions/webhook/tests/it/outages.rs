//! A store that is down or frozen neither stops nor slows an answer.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use simulator::Mode;
use testing::{
    Fault, SecretsManager, Service, Stage,
    account::TOKEN,
    event::{CREATED_AT, message, receipt, text},
    loopback::{frozen, nobody},
    now,
};

use crate::setup::{Answer, Webhook, stage, stage_with};

const COLD: Duration = Duration::from_secs(3);
const WARM: Duration = Duration::from_secs(1);
/// How long a slow secret takes.
const SECRET_AFTER: Duration = Duration::from_millis(1500);

fn subscribe() -> String {
    message("event", "<Event>subscribe</Event><EventKey></EventKey>")
}

fn sent_at(xml: &str, seconds: i64) -> String {
    xml.replace(&CREATED_AT.to_string(), &seconds.to_string())
}

fn hello(reply: &str) -> Value {
    json!({"keywords": [{"match": "exact", "value": "你好", "reply": {"type": "text", "content": reply}}]})
}

/// Makes functions that are started later wait for their secret.
pub(crate) async fn slow_secret(stage: &mut Stage) -> SecretsManager {
    let secrets = SecretsManager::holding(&json!({"WECHAT_TOKEN": TOKEN})).await;
    secrets.delay(SECRET_AFTER);
    stage.set([("WECHAT_TOKEN", "")]);
    stage.set_secret(&secrets);
    secrets
}

/// The account's rules are unknown then, so the function guesses neither a greeting nor silence.
#[tokio::test]
async fn a_start_without_a_store_asks_wechat_to_deliver_again_and_guesses_no_reply() {
    let stage = stage(Mode::Plain).await;
    let frozen = frozen().await;
    for endpoint in [nobody(), frozen.endpoint()] {
        let started = Instant::now();
        let mut webhook = Webhook::start_with(&stage, &[("AWS_ENDPOINT_URL_DYNAMODB", &endpoint)]).await;
        let greeting = webhook.post(&sent_at(&subscribe(), now())).await;
        assert_eq!(greeting, Answer::try_again());
        assert!(started.elapsed() < COLD, "{:?}", started.elapsed());
        for (age, answer) in [
            (0, Answer::try_again()),
            (5, Answer::try_again()),
            (9, Answer::success()),
        ] {
            let started = Instant::now();
            let xml = sent_at(&text("你好", 1), now() - age);
            assert_eq!(webhook.post(&xml).await, answer, "{age} s after it was sent");
            assert!(started.elapsed() < WARM, "{:?}", started.elapsed());
        }
    }
}

/// No rule can answer them.
#[tokio::test]
async fn a_callback_that_no_rule_could_answer_is_acknowledged_without_a_store() {
    let mut stage = stage(Mode::Plain).await;
    stage.set([("AWS_ENDPOINT_URL_DYNAMODB", nobody())]);
    let mut webhook = Webhook::start(&stage).await;
    for xml in [
        message("event", "<Event>unsubscribe</Event>"),
        message("event", "<Event>VIEW</Event><EventKey>https://example.com/</EventKey>"),
        message("event", "<Event>LOCATION</Event>"),
        message("never_heard_of", ""),
        text("你好", 1).replace("FromUserName", "Other"),
    ] {
        let xml = sent_at(&xml, now());
        assert_eq!(webhook.post(&xml).await, Answer::success(), "{xml}");
    }
}

/// WeChat hangs up after 5 s.
#[tokio::test]
async fn a_start_with_a_slow_secret_and_a_frozen_store_ends_in_time() {
    let mut stage = stage(Mode::Plain).await;
    let frozen = frozen().await;
    stage.set([("AWS_ENDPOINT_URL_DYNAMODB", frozen.endpoint())]);
    let _secrets = slow_secret(&mut stage).await;
    let started = Instant::now();
    let answer = Webhook::start(&stage).await.post(&receipt("1", "success")).await;
    let took = started.elapsed();
    assert_eq!(answer.status, 500, "WeChat delivers the receipt again");
    assert!(SECRET_AFTER < took && took < Duration::from_millis(4800), "{took:?}");
}

/// Such a start leaves no time to read the rules; the first reply reads them.
#[tokio::test]
async fn the_first_reply_waits_for_the_rules_that_the_start_did_not_wait_for() {
    let mut stage = stage_with(&hello("own")).await.behind_proxies().await;
    let slow = Fault::Delay(Duration::from_millis(450));
    stage.proxy(Service::Table).fail(1.., slow);
    let _secrets = slow_secret(&mut stage).await;
    let xml = text("你好", 1);
    let answer = Webhook::start(&stage).await.post(&xml).await;
    assert_eq!(answer.content(&xml), "own");
}

/// While no rules are known, each reply looks for them.
#[tokio::test]
async fn a_store_that_comes_back_after_the_start_is_read_for_the_next_reply() {
    let stage = stage_with(&hello("own")).await.behind_proxies().await;
    let table = stage.proxy(Service::Table);
    table.fail(1.., Fault::Refuse);
    let mut webhook = Webhook::start(&stage).await;
    let xml = sent_at(&text("你好", 1), now());
    assert_eq!(webhook.post(&xml).await, Answer::try_again());
    table.mend().await;
    assert_eq!(webhook.post(&xml).await.content(&xml), "own");
}

#[tokio::test]
async fn damaged_rules_do_not_stop_an_answer() {
    let stage = stage_with(&json!({"keywords": 1})).await;
    let mut webhook = Webhook::start(&stage).await;
    let fresh = sent_at(&subscribe(), now());
    assert_eq!(webhook.post(&fresh).await, Answer::try_again());
    assert_eq!(webhook.post(&subscribe()).await, Answer::success());
}
