//! `--wechat`: the account of the environment, on a platform that runs elsewhere.

use std::time::{SystemTime, UNIX_EPOCH};

use testing::EmbeddedEventBus;
use tokio::net::TcpListener;
use wechat::signature::sign;
use wechat_simulator::{Account, Settings, Simulator};

use super::process::Program;

/// The key of the runs here.
pub(crate) const API_KEY: &str = "key-of-the-tests";

/// A platform of this process, which pushes no callbacks: a test posts them itself.
pub(crate) async fn platform() -> Simulator {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    Simulator::start(listener, Settings::default()).unwrap()
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
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let timestamp = now.as_secs().to_string();
    let signature = sign(&[&account.token, &timestamp, "4711"]);
    format!("{url}/webhook?signature={signature}&timestamp={timestamp}&nonce=4711")
}

pub(crate) fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// WeChat's console says "token 验证失败", whatever the cause.
#[tokio::test]
async fn a_check_that_misses_the_webhook_is_logged() {
    let platform = platform().await;
    let mut program = run(&platform, &[], &[]);
    let url = webhook_url(&program.url(), platform.account());
    let ask = async |url: String| http().get(url).send().await.unwrap().status().as_u16();
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

#[tokio::test]
async fn every_callback_is_published_to_the_event_bus() {
    let (platform, bus) = (platform().await, EmbeddedEventBus::start().await.unwrap());
    let variables = [
        ("EVENT_BUS_NAME", "callbacks"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_ENDPOINT_URL_EVENTBRIDGE", bus.endpoint()),
    ];
    let mut program = run(&platform, &[], &variables);
    let url = webhook_url(&program.url(), platform.account());
    let subscribe = include_str!("../fixtures/subscribe.xml");
    let answer = http().post(url).body(subscribe).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let entries = bus.entries();
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(entries[0]["EventBusName"], "callbacks");
    assert_eq!(entries[0]["DetailType"], "event.subscribe");
}
