//! Ctrl-C and SIGTERM end the program, whatever is connected.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::{Value, json};
use simulator::Simulator;
use testing::{OwnAnswer, OwnCode, SEND, eventually, http_client};

use super::{
    process::Program,
    real_account::{self, API_KEY},
};

/// Connections as they are open when somebody stops the program: idle after an answer, opened ahead and unused, and in
/// the middle of a request that will never end.
fn connections(url: &str) -> [TcpStream; 3] {
    let address = url.strip_prefix("http://").unwrap();
    let connect = || TcpStream::connect(address).unwrap();
    let mut idle = connect();
    write!(idle, "GET /api/menu HTTP/1.1\r\nhost: {address}\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
    let mut endless = connect();
    write!(
        endless,
        "POST /api/menu HTTP/1.1\r\nhost: {address}\r\ncontent-length: 100\r\n\r\n{{"
    )
    .unwrap();
    [idle, connect(), endless]
}

/// The calls that the platform has received.
async fn calls(platform: &Simulator) -> Vec<Value> {
    let calls = http_client().get(format!("{}/sim/calls", platform.base_url()));
    calls.send().await.unwrap().json().await.unwrap()
}

#[test]
fn a_signal_ends_it_cleanly_whatever_is_connected() {
    for signal in ["INT", "TERM"] {
        let mut program = Program::start(&["--port", "0"], &[]);
        let open = connections(&program.url());
        program.signal(signal);
        assert_eq!(program.exit_code(), Some(0), "{signal}: {}", program.logs());
        drop(open);
    }
}

/// A send that WeChat answers after two seconds, and a campaign, both in progress when a service manager stops the program.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_manager_that_stops_it_loses_nothing_in_flight() {
    let platform = real_account::platform().await;
    let controls = platform.base_url();
    let control = async |path: &str, body: Value| {
        let answer = http_client()
            .post(format!("{controls}/sim/{path}"))
            .json(&body)
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{path}: {answer:?}");
        answer.json::<Value>().await.unwrap_or_default()
    };
    let data = tempfile::TempDir::new().unwrap();
    let arguments = ["--data", data.path().to_str().unwrap()];
    let mut program = real_account::run(&platform, &arguments, &[]);
    let url = program.url();
    let call = async |url: &str, method: &str, path: &str, body: Value| {
        let request = http_client().request(method.parse().unwrap(), format!("{url}{path}"));
        let answer = request.bearer_auth(API_KEY).json(&body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.unwrap_or_default())
    };
    let everybody = control("followers", json!({"count": 150})).await;
    let message = json!({"template_id": "TEMPLATE_ID", "data": {"thing1": "项目审核", "time2": "2024年7月19日 10:00", "const3": "通过"}});
    let mut campaign = message.clone();
    for (name, value) in [
        ("name", json!("notice")),
        ("audience", json!("list")),
        ("pace", json!(50)),
    ] {
        campaign[name] = value;
    }
    let (_, made) = call(&url, "POST", "/api/campaigns", campaign).await;
    let path = format!("/api/campaigns/{}", made["id"].as_str().unwrap());
    let list = json!({"part": "1", "recipients": everybody["openids"]});
    assert_eq!(call(&url, "POST", &format!("{path}/recipients"), list).await.0, 200);
    let (status, started) = call(&url, "POST", &format!("{path}/start"), json!({})).await;
    assert_eq!(status, 200, "{started}");
    let totals = async |url: &str| call(url, "GET", &path, Value::Null).await.1["totals"].clone();
    let begun = || async { (totals(&url).await["queued"].as_i64() < Some(150)).then_some(()) };
    eventually("a send", begun).await;

    control("faults", json!({"path": SEND, "delay_ms": 2000, "times": 20})).await;
    let mut single = message;
    single["touser"] = simulator::FOLLOWER.into();
    let sending = tokio::spawn({
        let url = url.clone();
        async move {
            let request = http_client()
                .post(format!("{url}/api/sendTemplateMessage"))
                .bearer_auth(API_KEY)
                .json(&single);
            request.send().await.unwrap().status().as_u16()
        }
    });
    let asked = || async {
        let calls = calls(&platform).await;
        let mut recipients = calls.iter().map(|call| &call["body"]["touser"]);
        recipients.any(|openid| openid == simulator::FOLLOWER).then_some(())
    };
    eventually("the single send", asked).await;
    program.signal("TERM");
    assert_eq!(sending.await.unwrap(), 200, "the answer came before the end");
    assert_eq!(program.exit_code(), Some(0), "{}", program.logs());
    assert!(!program.logs().contains("cut"), "{}", program.logs());

    let mut program = real_account::run(&platform, &arguments, &[]);
    let url = program.url();
    let ended = || async { Some(totals(&url).await).filter(|totals| totals["queued"] == 0) };
    assert_eq!(eventually("the end", ended).await["unknown"], 0);
}

/// Own code takes a second and a half for a reply with another one after it, and the program is stopped meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_last_callback_hands_over_is_done_before_the_end() {
    let (platform, own_code) = (real_account::platform().await, OwnCode::start().await);
    let reply = json!({"reply": {"type": "text", "content": "first", "then": [{"type": "text", "content": "second"}]}});
    own_code.answer(OwnAnswer::status(200, reply.to_string()).after(Duration::from_millis(1500)));
    let variables = [
        ("FORWARD_URL", own_code.endpoint()),
        ("FORWARD_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()),
    ];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut program = real_account::run(&platform, &[], &variables);
    let callback = real_account::webhook_url(&program.url(), platform.account());
    let subscribe = include_str!("../../fixtures/subscribe.xml");
    let answered = tokio::spawn(async move {
        let answer = http_client().post(callback).body(subscribe).send().await.unwrap();
        answer.text().await.unwrap()
    });
    own_code.asked(1).await;
    program.signal("TERM");
    assert!(answered.await.unwrap().contains("first"));
    assert_eq!(program.exit_code(), Some(0), "{}", program.logs());
    assert!(!program.logs().contains("lost"), "{}", program.logs());
    let calls = calls(&platform).await;
    let sent = calls
        .iter()
        .filter(|call| call["path"] == "/cgi-bin/message/custom/send");
    assert_eq!(sent.count(), 1, "{calls:?}");
}
