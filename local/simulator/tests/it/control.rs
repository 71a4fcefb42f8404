//! The control API, and which sites may use it.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use simulator::{FOLLOWER, Mode, Settings, Simulator};
use tokio::net::TcpListener;

use crate::stage::{Scripted, Stage, now, text_message};

#[tokio::test]
async fn the_account_is_answered_with_its_secrets() {
    let stage = Stage::new(Mode::Safe).await;
    let account = stage.simulator.account();
    let answer = stage.get("/sim/account").await;
    assert_eq!(
        answer,
        json!({
            "app_id": account.app_id,
            "app_secret": account.app_secret,
            "token": account.token,
            "encoding_aes_key": account.encoding_aes_key,
            "original_id": account.original_id,
        })
    );
    assert_eq!(account.app_id.len(), 18);
    assert_eq!(account.app_secret.len(), 32);
    assert_eq!(account.encoding_aes_key.len(), 43);
}

#[tokio::test]
async fn wrong_controls_are_refused_with_a_reason() {
    let stage = Stage::new(Mode::Safe).await;
    let menu = "/cgi-bin/menu/get";
    let with_extra = |mut body: Value| {
        body["extra"] = json!(1);
        body
    };
    let unknown = "odhkKxxxxxxxxxxxxxxxxxxxxxxx";
    for (path, body, status) in [
        ("/sim/follow", json!({"open_id": FOLLOWER}), 400),
        ("/sim/follow", json!({"openid": "short"}), 400),
        ("/sim/follow", json!({"openid": FOLLOWER}), 400),
        ("/sim/message", json!({"openid": FOLLOWER, "type": "text"}), 400),
        ("/sim/message", text_message(""), 400),
        ("/sim/message", with_extra(text_message("a")), 400),
        (
            "/sim/tap",
            with_extra(json!({"openid": FOLLOWER, "type": "pic_weixin", "key": "K"})),
            400,
        ),
        ("/sim/message", json!({"openid": unknown, "type": "image"}), 404),
        ("/sim/click", json!({"openid": unknown, "key": "k"}), 404),
        ("/sim/click", json!({"openid": FOLLOWER}), 400),
        ("/sim/block", json!({"openid": unknown, "blocked": true}), 404),
        ("/sim/faults", json!({"path": menu}), 400),
        ("/sim/faults", json!({"path": "menu/get", "drop": true}), 400),
        ("/sim/faults", json!({"path": "/sim/state", "drop": true}), 400),
        ("/sim/faults", json!({"path": menu, "drop": true, "times": 0}), 400),
        ("/sim/faults", json!({"path": menu, "http_status": 100}), 400),
        ("/sim/clock", json!({"advance_seconds": -1}), 400),
        ("/sim/whitelist", json!({"ips": ["everyone"]}), 400),
        ("/sim/nothing", json!({}), 404),
    ] {
        assert_eq!(stage.refused(path, &body).await, status, "{path} {body}");
    }
    let (status, _) = stage
        .send(Method::GET, &format!("/sim/phones/{unknown}"), String::new())
        .await;
    assert_eq!(status, 404);
    stage.post("/sim/unfollow", json!({"openid": FOLLOWER})).await;
    assert_eq!(stage.refused("/sim/message", &text_message("a")).await, 400);
    assert_eq!(stage.receiver.pushed().len(), 1);
}

#[tokio::test]
async fn the_clock_the_whitelist_and_invalidation_reach_the_tokens() {
    let stage = Stage::new(Mode::Safe).await;
    let token = stage.token().await;
    let path = format!("/cgi-bin/get_api_domain_ip?access_token={token}");
    assert!(stage.get(&path).await["ip_list"].is_array());
    stage.post("/sim/token/invalidate", json!({})).await;
    assert_eq!(stage.get(&path).await["errcode"], 40001);
    assert_ne!(stage.token().await, token);
    let before = now();
    let now = stage.advance(7_200).await;
    assert!(now >= before + 7_200);
    assert_eq!(stage.get(&path).await["errcode"], 42001);

    let account = stage.simulator.account();
    let request = json!({"grant_type": "client_credential", "appid": account.app_id, "secret": account.app_secret});
    stage.post("/sim/whitelist", json!({"ips": ["203.0.113.7"]})).await;
    assert_eq!(
        stage.post("/cgi-bin/stable_token", request.clone()).await["errcode"],
        40164
    );
    stage.post("/sim/whitelist", json!(null)).await;
    assert!(stage.post("/cgi-bin/stable_token", request).await["access_token"].is_string());
}

#[tokio::test]
async fn callbacks_keep_the_machines_time_when_the_clock_is_moved() {
    let stage = Stage::new(Mode::Plain).await;
    stage.advance(86_400).await;
    stage.post("/sim/message", text_message("在吗")).await;
    let pushed = &stage.receiver.pushed()[0];
    for time in [&pushed.query["timestamp"], stage.open(pushed).text_of("CreateTime")] {
        assert!(time.parse::<i64>().unwrap().abs_diff(now()) < 60, "{time}");
    }
}

#[tokio::test]
async fn other_sites_are_kept_out() {
    let stage = Stage::new(Mode::Safe).await;
    for (name, value, status) in [
        ("host", "attacker.example:8001", 403),
        ("host", "localhost:8001", 200),
        ("origin", "https://attacker.example", 403),
        ("origin", "null", 403),
        ("origin", "http://localhost:8000", 200),
    ] {
        let request = stage.http.get(stage.url("/sim/account")).header(name, value);
        assert_eq!(request.send().await.unwrap().status(), status, "{name}: {value}");
    }
}

#[tokio::test]
async fn stopping_ends_what_is_under_way_and_frees_the_port() {
    let stage = Stage::new(Mode::Safe).await;
    stage.receiver.answer([Scripted::Hang]);
    let address = stage.simulator.base_url().trim_start_matches("http://").to_owned();
    let request = stage
        .http
        .post(stage.url("/sim/message"))
        .body(text_message("在吗").to_string());
    let under_way = tokio::spawn(request.send());
    stage.receiver.wait_for(1).await;
    tokio::time::timeout(Duration::from_secs(3), stage.simulator.shutdown())
        .await
        .unwrap();
    assert!(under_way.await.unwrap().is_ok_and(|response| response.status() == 503));
    TcpListener::bind(address).await.unwrap();
}

#[tokio::test]
async fn dropping_it_stops_it_too() {
    let stage = Stage::new(Mode::Safe).await;
    let address = stage.simulator.base_url().trim_start_matches("http://").to_owned();
    stage.get("/sim/account").await;
    drop(stage);
    for _ in 0..200 {
        if TcpListener::bind(&address).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the port is still taken");
}

#[tokio::test]
async fn a_callback_url_that_wechat_would_refuse_is_refused() {
    for callback_url in ["localhost:8000/webhook", "ftp://127.0.0.1/", "/webhook"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = Settings {
            callback_url: Some(callback_url.to_owned()),
            ..Settings::default()
        };
        assert_eq!(
            Simulator::start(listener, settings).unwrap_err().kind(),
            std::io::ErrorKind::InvalidInput
        );
    }
}
