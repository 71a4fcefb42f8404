//! The check of a callback URL that is made when it is configured.

use serde_json::json;
use simulator::{Mode, Settings, crypto::sign};
use tokio::net::TcpListener;

use crate::stage::{Receiver, Scripted, Stage};

#[tokio::test]
async fn a_server_that_echoes_is_taken() {
    let stage = Stage::new(Mode::Safe).await;
    stage.receiver.answer([Scripted::Echo("{}")]);
    let verified = stage.post("/sim/verify", json!({})).await;
    let asked = &stage.receiver.pushed()[0];
    let query = |name: &str| asked.query[name].as_str();
    let account = stage.simulator.account();
    assert_eq!(
        query("signature"),
        sign(&[&account.token, query("timestamp"), query("nonce")])
    );
    let echostr = query("echostr");
    assert_eq!(
        verified,
        json!({"ok": true, "echostr": echostr, "status": 200, "answer": echostr})
    );
    assert!(asked.body.is_empty() && !asked.query.contains_key("openid"));
}

#[tokio::test]
async fn a_wrong_answer_is_explained() {
    let stage = Stage::new(Mode::Safe).await;
    for (scripted, status, part) in [
        (Scripted::Status(403), 403, "another token"),
        (Scripted::Status(302), 302, "no redirect"),
        (Scripted::Status(404), 404, "path"),
        (Scripted::Body("success".to_owned()), 200, "not the echostr"),
        (Scripted::Echo("{}\n"), 200, "white space"),
        (Scripted::Echo("{\"echostr\":\"{}\"}"), 200, "wrapped"),
    ] {
        stage.receiver.answer([scripted]);
        let verified = stage.post("/sim/verify", json!({})).await;
        assert_eq!(verified["ok"], false, "{verified}");
        assert_eq!(verified["status"], json!(status), "{verified}");
        assert!(verified["error"].as_str().unwrap().contains(part), "{verified}");
    }
}

#[tokio::test]
async fn an_unreachable_server_and_a_missing_url_are_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = Settings {
        callback_url: Some(format!("http://{}/", listener.local_addr().unwrap())),
        ..Settings::default()
    };
    drop(listener);
    let stage = Stage::start(settings, Receiver::default()).await;
    let verified = stage.post("/sim/verify", json!({})).await;
    assert_eq!(verified["ok"], false, "{verified}");
    assert_eq!(verified["status"], json!(null), "{verified}");
    let stage = Stage::start(Settings::default(), Receiver::default()).await;
    assert_eq!(stage.refused("/sim/verify", &json!({})).await, 400);
}
