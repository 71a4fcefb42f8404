//! The gateway on one machine: whom it lets through, and what callers who are slow, wrong or gone cost the others.

use std::time::Duration;

use local::{Mode, Options, SIMULATED_API_KEY};
use reqwest::Method;
use serde_json::{Value, json};
use simulator::FOLLOWER;
use testing::eventually;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::bundle::{Bundle, SEND_TEMPLATE, SUBSCRIBE};

/// Sends a message, and hangs up before WeChat answers.
async fn send_and_hang_up(bundle: &Bundle) {
    bundle
        .fault(json!({"path": "/cgi-bin/message/template/send", "delay_ms": 500}))
        .await;
    let send = bundle.api(Method::POST, "/api/sendTemplateMessage", SEND_TEMPLATE);
    let hangs_up = tokio::time::timeout(Duration::from_millis(200), send).await;
    assert!(hangs_up.is_err(), "the caller did not wait");
}

#[tokio::test]
async fn a_revoked_key_ends_at_once_in_one_process() {
    let bundle = Bundle::start(Mode::Safe).await;
    let wanted = json!({"name": "shop", "scopes": ["send", "users", "relay"]});
    let made = bundle.api(Method::POST, "/api/keys", wanted).await.json();
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    let bearer = format!("Bearer {key}");
    let account = bundle.sim(Method::GET, "/sim/account", Value::Null).await;
    let app_id = account["app_id"].as_str().unwrap();
    let token = format!("/cgi-bin/token?grant_type=client_credential&appid={app_id}&secret={key}");
    let statuses = async || {
        let get = async |path: &str| {
            let (url, headers) = (format!("{}{path}", bundle.local.url()), [("authorization", &*bearer)]);
            bundle.request(Method::GET, url, &headers, String::new()).await
        };
        let relayed = get(&token).await.json()["errcode"].clone();
        (
            get("/api/templates").await.status,
            get("/api/users").await.status,
            relayed,
        )
    };
    assert_eq!(statuses().await, (200, 200, Value::Null));
    let revoked = bundle.api(Method::DELETE, &format!("/api/keys/{id}"), "").await;
    assert_eq!(revoked.status, 204);
    assert_eq!(statuses().await, (401, 401, json!(40125)));
    bundle.local.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn wrong_keys_keep_no_new_key_from_working_at_once() {
    let bundle = Bundle::start(Mode::Safe).await;
    // Each key is looked up once. More look-ups would be too many to wait for.
    for round in 0..2 {
        let get = async |key: &str| {
            let (url, bearer) = (format!("{}/api/templates", bundle.local.url()), format!("Bearer {key}"));
            let headers = [("authorization", bearer.as_str())];
            bundle.request(Method::GET, url, &headers, String::new()).await.status
        };
        assert_eq!(get("wk_nobodys").await, 401, "round {round}");
        let wanted = json!({"name": "shop", "scopes": ["send"]});
        let made = bundle.api(Method::POST, "/api/keys", wanted).await.json();
        assert_eq!(get(made["key"].as_str().unwrap()).await, 200, "round {round}");
    }
    bundle.local.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_send_whose_caller_hangs_up_is_recorded() {
    let bundle = Bundle::start(Mode::Safe).await;
    send_and_hang_up(&bundle).await;
    let recorded = async || {
        let history = bundle
            .api(Method::GET, &format!("/api/messages?touser={FOLLOWER}"), "")
            .await;
        let messages = history.json()["messages"].as_array().unwrap().clone();
        messages
            .into_iter()
            .find(|message| message["status"] == "delivered" && !message["template_id"].is_null())
    };
    eventually("the record", recorded).await;
    bundle.local.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_stop_waits_for_a_send_whose_caller_has_hung_up() {
    let data = tempfile::tempdir().unwrap();
    let options = || Options {
        data: Some(data.path().into()),
        ..Options::default()
    };
    let bundle = Bundle::start_with(options()).await;
    send_and_hang_up(&bundle).await;
    bundle.local.stop(Duration::from_secs(5)).await;

    let bundle = Bundle::start_with(options()).await;
    let history = bundle
        .api(Method::GET, &format!("/api/messages?touser={FOLLOWER}"), "")
        .await;
    let messages = history.json();
    assert_eq!(messages["messages"].as_array().unwrap().len(), 1, "{messages}");
    bundle.local.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn the_webhook_is_served_with_a_slash_at_its_end() {
    let bundle = Bundle::start(Mode::Plain).await;
    let query = bundle.signed_query().await;
    let url = format!("{}/webhook/?{query}", bundle.local.url());
    let check = bundle.request(
        Method::GET,
        format!("{url}&echostr=4375120948345356249"),
        &[],
        String::new(),
    );
    assert_eq!(check.await.body, "4375120948345356249");
    let xml = [("content-type", "text/xml")];
    let greeting = bundle.request(Method::POST, url, &xml, SUBSCRIBE.to_owned()).await;
    assert!(greeting.body.contains("欢迎关注"), "{}", greeting.body);
}

/// Anyone can open connections. The gateway waits only for callers who have signed the query, and for a few who ask for a
/// token.
#[tokio::test]
async fn connections_that_send_no_body_do_not_keep_wechat_out() {
    let unsigned = format!("/webhook?msg_signature=0&timestamp={}&nonce=1", testing::now());
    for (target, first, last) in [
        ("/webhook?signature=0&timestamp=1&nonce=1&msg_signature=0", "403", "403"),
        (&*unsigned, "403", "403"),
        ("/cgi-bin/stable_token", "408", "503"),
    ] {
        let bundle = Bundle::start(Mode::Safe).await;
        let address = bundle.local.url().strip_prefix("http://").unwrap().to_owned();
        let query = bundle.signed_query().await;
        let mut strangers = Vec::new();
        for _ in 0..512 {
            let mut stranger = TcpStream::connect(&address).await.unwrap();
            let head = format!("POST {target} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 100\r\n\r\n");
            stranger.write_all(head.as_bytes()).await.unwrap();
            strangers.push(stranger);
        }
        // WeChat hangs up after 5 s, whether it has a connection from before or needs a new one.
        let in_time = Duration::from_secs(4);
        let follow = bundle.sim(Method::POST, "/sim/follow", json!({}));
        let clear = bundle.webhook(Method::POST, &query, SUBSCRIBE);
        let both = async { tokio::join!(follow, clear) };
        let (followed, clear) = tokio::time::timeout(in_time, both).await.expect(target);
        assert_eq!(
            (&followed["reply"]["Content"], &followed["deliveries"]),
            (&json!("欢迎关注"), &json!(1)),
            "{target}"
        );
        assert_eq!(clear.status, 403, "{target}: {}", clear.body);
        for (stranger, status) in [(0, first), (511, last)] {
            let mut answer = String::new();
            strangers[stranger].read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{target}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_caller_with_a_wrong_key_is_refused_without_its_body() {
    let bundle = Bundle::start(Mode::Safe).await;
    let address = bundle.local.url().strip_prefix("http://").unwrap().to_owned();
    for key in ["wrong", "wk_0123456789abcdef0123456789abcdef"] {
        let mut stranger = TcpStream::connect(&address).await.unwrap();
        let head = format!(
            "POST /api/menu HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\
             content-length: 100\r\n\r\n"
        );
        stranger.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = stranger.read_to_string(&mut answer);
        tokio::time::timeout(Duration::from_secs(10), read)
            .await
            .unwrap()
            .unwrap();
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    }
}

#[tokio::test]
async fn an_encoded_slash_behind_an_id_does_not_reach_the_id_without_it() {
    let bundle = Bundle::start(Mode::Safe).await;
    let person = json!({"openid": FOLLOWER});
    let put = bundle.api(Method::PUT, "/api/users/u-1", &person).await;
    assert_eq!(put.status, 200, "{}", put.body);
    for method in [Method::DELETE, Method::PUT] {
        let answer = bundle.api(method, "/api/users/u-1%2F", &person).await;
        assert_eq!(answer.status, 404, "{}", answer.body);
    }
    assert_eq!(bundle.api(Method::GET, "/api/users/u-1", "").await.status, 200);
}

#[tokio::test]
async fn a_path_as_long_as_http_allows_is_answered() {
    let bundle = Bundle::start(Mode::Safe).await;
    for path in ["/webhook/", "/api/messages/"] {
        let long = format!("{path}{}", "x".repeat(65_500 - path.len()));
        assert_eq!(bundle.api(Method::GET, &long, "").await.status, 404);
    }
}

#[tokio::test]
async fn nothing_under_api_is_served_without_the_key() {
    let bundle = Bundle::start(Mode::Safe).await;
    let paths = [
        "/api/sendTemplateMessage",
        "/api/messages/1",
        "/api/templates",
        "/api/menu",
        "/api/replies",
        "/api/doctor",
        "/api/keys",
    ];
    for path in paths {
        for headers in [&[][..], &[("authorization", "Bearer wrong")]] {
            for method in [Method::GET, Method::POST] {
                let url = format!("{}{path}?key=local&access_token=local", bundle.local.url());
                let answer = bundle.request(method, url, headers, String::new()).await;
                assert_eq!(answer.status, 401, "{path}");
            }
        }
    }
    assert_eq!(bundle.calls("/cgi-bin/message/template/send").await, 0);
}

#[tokio::test]
async fn a_page_elsewhere_can_neither_drive_the_run_nor_read_it() {
    let bundle = Bundle::start(Mode::Safe).await;
    let key = format!("Bearer {SIMULATED_API_KEY}");
    let console = bundle.request(
        Method::GET,
        bundle.local.url(),
        &[("host", "evil.example")],
        String::new(),
    );
    assert_eq!(console.await.status, 403);
    assert_eq!(
        bundle
            .request(Method::GET, bundle.local.url(), &[], String::new())
            .await
            .status,
        200
    );
    let url = format!("{}/api/doctor", bundle.local.url());
    let rebound = bundle
        .request(
            Method::GET,
            url.clone(),
            &[("host", "evil.example"), ("authorization", &key)],
            String::new(),
        )
        .await;
    assert_eq!(rebound.status, 403);

    let preflight = |origin| {
        let headers = [("origin", origin), ("access-control-request-method", "POST")];
        bundle.http.request(Method::OPTIONS, &url).headers(
            headers
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), reqwest::header::HeaderValue::from_static(value)))
                .collect(),
        )
    };
    let allowed = preflight("http://localhost:5173").send().await.unwrap();
    assert_eq!(
        allowed.headers()["access-control-allow-origin"],
        "http://localhost:5173"
    );
    let refused = preflight("https://evil.example").send().await.unwrap();
    assert!(!refused.headers().contains_key("access-control-allow-origin"));
}

/// Anyone can open connections and leave the bodies out.
#[tokio::test]
async fn a_call_without_a_key_is_refused_before_its_body_comes() {
    let bundle = Bundle::start(Mode::Safe).await;
    let address = bundle.local.url().replace("http://", "");
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let head = format!("POST /api/sendTemplateMessage HTTP/1.1\r\nhost: {address}\r\ncontent-length: 5000\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 64];
    let length = stream.read(&mut answer).await.unwrap();
    assert!(
        answer[..length].starts_with(b"HTTP/1.1 401"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

/// A reverse proxy sends the whole request before it passes the answer on, and answers 502 when it is cut off.
#[tokio::test]
async fn a_refused_body_is_taken_to_its_end() {
    let bundle = Bundle::start(Mode::Safe).await;
    let address = bundle.local.url().replace("http://", "");
    let body = vec![b'x'; 4 * 1024 * 1024];
    for (target, key, status) in [
        ("/api/sendTemplateMessage", "wrong", "401"),
        ("/api/sendTemplateMessage", SIMULATED_API_KEY, "413"),
        ("/webhook?signature=forged&timestamp=1&nonce=1", "", "403"),
        ("/cgi-bin/media/upload?access_token=wrong", "", "200"),
    ] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let head = format!(
            "POST {target} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        for part in body.chunks(64 * 1024) {
            stream
                .write_all(part)
                .await
                .unwrap_or_else(|error| panic!("{target}: {error}"));
        }
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, *format!("HTTP/1.1 {status}").as_bytes(), "{target}");
    }
}
