//! The check of a callback URL that is made when it is configured.

use serde_json::json;
use simulator::{FOLLOWER, Mode, Settings, crypto::sign};
use tokio::net::TcpListener;

use crate::stage::{Receiver, Scripted, Stage, receive};

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

#[tokio::test]
async fn callbacks_go_where_they_are_sent_until_the_first_address_is_asked_for() {
    let stage = Stage::new(Mode::Safe).await;
    let first = stage.get("/sim/state").await["callback"]["url"].clone();
    let elsewhere = Receiver::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = json!(format!("http://{}/other", listener.local_addr().unwrap()));
    let service = axum::Router::new().fallback(receive).with_state(elsewhere.clone());
    tokio::spawn(async move { axum::serve(listener, service).await });
    assert_eq!(stage.post("/sim/callback", json!({"url": url})).await["url"], url);
    assert_eq!(stage.get("/sim/state").await["callback"]["url"], url);
    let message = json!({"openid": FOLLOWER, "type": "text", "content": "在吗"});
    assert_eq!(stage.post("/sim/message", message.clone()).await["deliveries"], 1);
    assert_eq!((elsewhere.pushed().len(), stage.receiver.pushed().len()), (1, 0));

    for wrong in [json!({"url": "ftp://127.0.0.1/"}), json!({"url": "webhook"}), json!({})] {
        assert_eq!(stage.refused("/sim/callback", &wrong).await, 400, "{wrong}");
    }
    assert_eq!(
        stage.get("/sim/state").await["callback"]["url"],
        url,
        "a refusal changes nothing"
    );
    assert_eq!(stage.post("/sim/callback", json!({"url": null})).await["url"], first);
    stage.post("/sim/message", message).await;
    assert_eq!((elsewhere.pushed().len(), stage.receiver.pushed().len()), (1, 1));
}
