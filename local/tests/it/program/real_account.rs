//! `--wechat`: the account of the environment, on a platform that runs elsewhere.

use serde_json::Value;
use simulator::{Account, Settings, Simulator};
use testing::{EventBus, event::signed_query, eventually, http_client, loopback::listener};

use super::process::Program;

/// The key of the runs here.
pub(crate) const API_KEY: &str = "key-of-the-tests";

/// A platform of this process, which pushes no callbacks: a test posts them itself.
pub(crate) async fn platform() -> Simulator {
    Simulator::start(listener().await, Settings::default()).unwrap()
}

/// A run of the program on `platform`, with callbacks in the clear.
pub(crate) fn run(platform: &Simulator, arguments: &[&str], variables: &[(&str, &str)]) -> Program {
    let account = platform.account();
    let url = platform.base_url();
    let arguments = [&["--port", "0", "--mode", "plain", "--wechat", &url], arguments].concat();
    let account = [
        ("WECHAT_APP_ID", account.app_id.as_str()),
        ("WECHAT_APP_SECRET", &account.app_secret),
        ("WECHAT_TOKEN", &account.token),
        ("API_KEYS", API_KEY),
    ];
    Program::start(&arguments, &[&account, variables].concat())
}

/// Where WeChat would post a callback at this moment.
pub(crate) fn webhook_url(url: &str, account: &Account) -> String {
    format!("{url}/webhook?{}", signed_query(&account.token))
}

/// What the doctor of the run at `url` says of one thing.
async fn diagnosis(url: &str, key: &str, name: &str) -> Value {
    let request = http_client().get(format!("{url}/api/doctor")).bearer_auth(key);
    let report = request.send().await.unwrap().text().await.unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap().clone()
}

/// The most frequent mistake of all: every callback is refused, and everything else works.
#[tokio::test]
async fn another_token_in_wechats_console_is_diagnosed() {
    let platform = platform().await;
    let mut program = run(&platform, &[], &[("WECHAT_TOKEN", "anotherToken")]);
    let url = program.url();
    let before = diagnosis(&url, API_KEY, "last refused callback").await;
    assert_eq!(before["ok"], true, "{before}");
    let subscribe = include_str!("../../fixtures/subscribe.xml");
    let callback = webhook_url(&url, platform.account());
    let answer = http_client().post(callback).body(subscribe).send().await.unwrap();
    assert_eq!(answer.status(), 403);
    let check = diagnosis(&url, API_KEY, "last refused callback").await;
    assert_eq!(check["ok"], false, "{check}");
    assert!(
        check["detail"]
            .as_str()
            .unwrap()
            .contains("WECHAT_TOKEN and the Token at"),
        "{check}"
    );
}

#[tokio::test]
async fn a_short_api_key_of_a_real_account_is_diagnosed() {
    let platform = platform().await;
    let mut program = run(&platform, &[], &[("API_KEYS", "local")]);
    let check = diagnosis(&program.url(), "local", "API keys").await;
    assert_eq!(check["ok"], false, "{check}");
}

/// WeChat's console says "token 验证失败", whatever the cause.
#[tokio::test]
async fn a_check_that_misses_the_webhook_is_logged() {
    let platform = platform().await;
    let mut program = run(&platform, &[], &[]);
    let url = webhook_url(&program.url(), platform.account());
    let ask = async |url: String| http_client().get(url).send().await.unwrap().status().as_u16();
    assert_eq!(ask(url.replace("/webhook", "/somewhere")).await, 404);
    let check = format!("{url}&echostr=4375120948345356249");
    assert_eq!(ask(check.clone()).await, 200);
    assert_eq!(ask(check.replace("/webhook", "/wechat")).await, 404);
    let logs = program.stopped();
    assert!(
        logs.contains("must end in /webhook") && logs.contains("/wechat"),
        "{logs}"
    );
    assert!(!logs.contains("/somewhere") && !logs.contains("4711"), "{logs}");
}

/// A run that publishes to `bus`.
fn publishing(platform: &Simulator, bus: &EventBus) -> Program {
    let variables = [
        ("EVENT_BUS_NAME", "callbacks"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_ENDPOINT_URL_EVENTBRIDGE", &bus.endpoint()),
    ];
    run(platform, &[], &variables)
}

const SUBSCRIBE: &str = include_str!("../../fixtures/subscribe.xml");

/// Posts what makes WeChat greet a new follower, and checks that it is greeted.
async fn greeted(program: &mut Program, platform: &Simulator) {
    let url = webhook_url(&program.url(), platform.account());
    let answer = http_client().post(url).body(SUBSCRIBE).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.unwrap().contains("欢迎关注"));
}

#[tokio::test]
async fn every_callback_is_published_to_the_event_bus() {
    let (platform, bus) = (platform().await, EventBus::start().await);
    let mut program = publishing(&platform, &bus);
    greeted(&mut program, &platform).await;
    let entries = bus.entries();
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(entries[0]["EventBusName"], "callbacks");
    assert_eq!(entries[0]["DetailType"], "event.subscribe");
}

#[tokio::test]
async fn an_event_bus_that_comes_back_gets_what_it_missed() {
    let (platform, bus) = (platform().await, EventBus::start().await);
    // Once before the answer, and once after it.
    bus.refuse(2);
    let mut program = publishing(&platform, &bus);
    greeted(&mut program, &platform).await;
    assert!(bus.entries().is_empty());
    let published = || async { (!bus.entries().is_empty()).then_some(()) };
    eventually("the callback", published).await;
    let logs = program.stopped();
    assert!(!logs.contains("lost"), "{logs}");
    assert_eq!(bus.entries().len(), 1);
}

#[tokio::test]
async fn a_stop_tells_how_many_effects_are_lost_and_not_whose() {
    let (platform, bus) = (platform().await, EventBus::start().await);
    bus.refuse(usize::MAX);
    let mut program = publishing(&platform, &bus);
    greeted(&mut program, &platform).await;
    let logs = program.stopped();
    let lost = logs.lines().find(|line| line.contains("are lost"));
    assert!(lost.is_some_and(|line| line.contains("lost=1")), "{logs}");
    let openid = SUBSCRIBE.split("<FromUserName><![CDATA[").nth(1).unwrap();
    let openid = openid.split(']').next().unwrap();
    assert!(!logs.contains(openid), "{logs}");
}
