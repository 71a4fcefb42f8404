//! The console from outside: who may see it, what it shows, and that it keeps secrets.

use std::time::Duration;

use local::{Local, Options};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use simulator::FOLLOWER;
use testing::http_client;
use tokio::time::timeout;
use url::Url;

use crate::program::real_account::{self, API_KEY};

const KEY: (&str, &str) = ("authorization", "Bearer local");
/// Everything here takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

async fn start() -> Local {
    crate::start(Options::default()).await
}

fn get(url: &str, path: &str) -> RequestBuilder {
    http_client().get(format!("{url}{path}"))
}

/// The open stream of what happens.
async fn activity(local: &Local) -> Response {
    let request = get(&local.url(), "/console/activity").header(KEY.0, KEY.1);
    request.send().await.unwrap()
}

async fn ask(local: &Local, method: Method, path: &str, body: Value) -> Response {
    http_client()
        .request(method, format!("{}{path}", local.url()))
        .header(KEY.0, KEY.1)
        .body(body.to_string())
        .send()
        .await
        .unwrap()
}

async fn json(response: Response) -> Value {
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

/// Reads the stream until all of `parts` have come.
async fn read_until(stream: &mut Response, parts: &[&str]) -> String {
    let mut text = String::new();
    let reading = async {
        while !parts.iter().all(|part| text.contains(part)) {
            text.push_str(&String::from_utf8_lossy(&stream.chunk().await.unwrap().unwrap()));
        }
    };
    let ended = timeout(PATIENCE, reading).await.is_ok();
    assert!(ended, "{parts:?} in {text}");
    text
}

fn events(stream: &str) -> Vec<Value> {
    stream
        .split("\n\n")
        .filter_map(|block| block.strip_prefix("event: activity\ndata: "))
        .map(|json| serde_json::from_str(json).unwrap())
        .collect()
}

#[tokio::test]
async fn every_page_is_served_whole_and_lets_the_browser_load_nothing_else() {
    let local = start().await;
    let page = get(&local.url(), "/").send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(
        policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.headers()["x-content-type-options"], "nosniff");
    assert_eq!(page.headers()["cache-control"], "no-store");

    let pages = Url::parse(&local.url()).unwrap().join("/console/pages/").unwrap();
    let first = [
        "icon.svg",
        "console.css",
        "local/phone.css",
        "local/local.js",
        "console.js",
    ];
    let mut files: Vec<Url> = first.iter().map(|name| pages.join(name).unwrap()).collect();
    let mut seen = 0;
    while let Some(url) = files.get(seen).cloned() {
        seen += 1;
        let file = http_client().get(url.as_str()).send().await.unwrap();
        assert_eq!(file.status(), 200, "{url}");
        assert!(file.headers().contains_key("content-security-policy"), "{url}");
        let text = file.text().await.unwrap();
        let imports = text.split('"').skip(1).step_by(2);
        for import in imports.filter(|text| text.starts_with('.') && text.ends_with(".js")) {
            let import = url.join(import).unwrap();
            if !files.contains(&import) {
                files.push(import);
            }
        }
    }
    assert!(files.len() > 30, "{files:?}");
    for (absent, status) in [("none.js", 404), ("local/none.js", 404), ("..%2Flib.rs", 401)] {
        let answer = http_client().get(pages.join(absent).unwrap().as_str()).send().await;
        assert_eq!(answer.unwrap().status(), status, "{absent}");
    }
}

#[tokio::test]
async fn only_this_machines_own_pages_get_anywhere() {
    let local = start().await;
    for path in [
        "/",
        "/console/pages/local/local.js",
        "/console/run",
        "/console/own-code",
        "/console/activity",
    ] {
        let request = get(&local.url(), path)
            .header(KEY.0, KEY.1)
            .header("host", "evil.example");
        assert_eq!(request.send().await.unwrap().status(), 403, "{path}");
    }
    for path in [
        "/console/own-code",
        "/console/activity",
        "/console/sim/state",
        "/console/sim/account",
    ] {
        assert_eq!(get(&local.url(), path).send().await.unwrap().status(), 401, "{path}");
        let wrong = get(&local.url(), path).header(KEY.0, "Bearer wrong");
        assert_eq!(wrong.send().await.unwrap().status(), 401, "{path}");
        let right = get(&local.url(), path).header(KEY.0, KEY.1);
        assert_eq!(right.send().await.unwrap().status(), 200, "{path}");
    }
    let follow = |origin: String| {
        let url = format!("{}/console/sim/follow", local.url());
        http_client()
            .post(url)
            .header(KEY.0, KEY.1)
            .header("origin", origin)
            .body("{}")
            .send()
    };
    assert_eq!(follow("http://localhost:5173".to_owned()).await.unwrap().status(), 403);
    assert_eq!(follow("https://evil.example".to_owned()).await.unwrap().status(), 403);
    assert_eq!(follow(local.url()).await.unwrap().status(), 200);
    // The platform itself is not behind the console.
    let platform = get(&local.url(), "/console/cgi-bin/token").header(KEY.0, KEY.1);
    assert_eq!(platform.send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn the_stream_tells_of_callbacks_and_calls_decoded_explained_and_without_secrets() {
    let local = start().await;
    let mut stream = activity(&local).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");

    ask(&local, Method::POST, "/console/sim/follow", json!({})).await;
    ask(&local, Method::POST, "/console/sim/token/invalidate", json!({})).await;
    let message = json!({"touser": FOLLOWER, "template_id": "FREE_TEMPLATE_ID", "data": {"greeting": "您好"}});
    let sent = ask(&local, Method::POST, "/api/sendTemplateMessage", message).await;
    assert_eq!(sent.status(), 200);
    let account = get(&local.url(), "/console/sim/account").header(KEY.0, KEY.1);
    let account = json(account.send().await.unwrap()).await;
    let seen = read_until(&mut stream, &["TEMPLATESENDJOBFINISH", "/api/sendTemplateMessage"]).await;

    for name in ["app_secret", "token", "encoding_aes_key"] {
        assert!(!seen.contains(account[name].as_str().unwrap()), "{name}");
    }
    assert!(!seen.contains("97_"), "an access_token begins so");
    assert!(!seen.contains("Bearer"), "an API key");
    assert!(seen.contains("access_token=…"));

    let events = events(&seen);
    let find = |kind: &str, path: &str, errcode: Value| {
        let is_it = |event: &&Value| event["kind"] == kind && event["path"] == path && event["errcode"] == errcode;
        events
            .iter()
            .find(is_it)
            .unwrap_or_else(|| panic!("{kind} {path} in {seen}"))
    };
    let callback = find("callback", "/webhook", Value::Null);
    assert_eq!(callback["what"], "event.subscribe");
    assert!(
        callback["request"]["text"]
            .as_str()
            .unwrap()
            .contains("<Event><![CDATA[subscribe]]>")
    );
    assert!(callback["request"]["sealed"].as_str().unwrap().contains("<Encrypt>"));
    assert!(callback["response"]["text"].as_str().unwrap().contains("欢迎关注"));
    assert!(callback["response"]["sealed"].as_str().unwrap().contains("<Encrypt>"));
    // The first call with the dead token: the templates, to check the message against.
    let refused = find("call", "/cgi-bin/template/get_all_private_template", json!(40001));
    let explained = &refused["explained"];
    for member in ["english", "chinese", "remedy_english", "remedy_chinese"] {
        assert!(!explained[member].as_str().unwrap().is_empty(), "{member}");
    }
    find("call", "/cgi-bin/message/template/send", json!(0));
    find("api", "/api/sendTemplateMessage", json!(0));
    let state = get(&local.url(), "/api/account")
        .header(KEY.0, KEY.1)
        .send()
        .await
        .unwrap();
    let state = state.text().await.unwrap();
    assert!(state.contains("\"generation\":2") && !state.contains("97_"), "{state}");
}

#[tokio::test]
async fn a_key_that_is_made_works_and_is_never_shown() {
    let local = start().await;
    let mut stream = activity(&local).await;
    let wanted = json!({"name": "shop", "scopes": ["send"]});
    let made = json(ask(&local, Method::POST, "/api/keys", wanted).await).await;
    let key = made["key"].as_str().unwrap();
    let message = json!({"touser": FOLLOWER, "template_id": "FREE_TEMPLATE_ID", "data": {"greeting": "您好"}});
    let send = http_client().post(format!("{}/api/sendTemplateMessage", local.url()));
    let sent = send.bearer_auth(key).body(message.to_string()).send().await.unwrap();
    assert_eq!(
        sent.status(),
        200,
        "with a body, which is read for holders of a key only"
    );
    let slip = ask(&local, Method::DELETE, &format!("/api/keys/{key}"), Value::Null).await;
    assert_eq!(slip.status(), 404);
    let seen = read_until(
        &mut stream,
        &["/api/keys/wk_…", "\"path\":\"/api/sendTemplateMessage\""],
    )
    .await;
    assert!(!seen.contains(key), "{seen}");
}

#[tokio::test]
async fn a_refused_callback_is_told_of_without_its_signature() {
    let local = start().await;
    let mut stream = activity(&local).await;
    let url = format!("{}/webhook?signature=0&timestamp=1&nonce=1", local.url());
    http_client().post(url).body("<xml></xml>").send().await.unwrap();
    let seen = read_until(&mut stream, &["\"status\":403"]).await;
    assert_eq!(events(&seen).last().unwrap()["kind"], "callback");
    assert!(
        !seen.contains("signature=0"),
        "a signature opens the webhook to whoever has it"
    );
}

#[tokio::test]
async fn an_open_stream_does_not_keep_the_run_from_ending() {
    let local = start().await;
    let mut stream = activity(&local).await;
    read_until(&mut stream, &["event: hello"]).await;
    timeout(PATIENCE, local.stop(crate::GRACE)).await.unwrap();
    let rest = timeout(PATIENCE, async { while let Ok(Some(_)) = stream.chunk().await {} }).await;
    assert!(rest.is_ok(), "the stream has ended too");
}

#[tokio::test]
async fn a_changed_rule_answers_at_once() {
    let local = start().await;
    for greeting in ["第一版", "第二版"] {
        let rules = json!({"subscribe": {"type": "text", "content": greeting}});
        assert_eq!(ask(&local, Method::PUT, "/api/replies", rules).await.status(), 200);
        let followed = ask(&local, Method::POST, "/console/sim/follow", json!({})).await;
        assert_eq!(json(followed).await["reply"]["Content"], greeting);
    }
    assert_eq!(
        ask(&local, Method::POST, "/api/replies/rollback", json!({}))
            .await
            .status(),
        200
    );
    let followed = ask(&local, Method::POST, "/console/sim/follow", json!({})).await;
    assert_eq!(json(followed).await["reply"]["Content"], "第一版");
}

#[tokio::test]
async fn a_real_accounts_console_is_shut_to_tunnels_and_proxies_and_to_whoever_has_no_key() {
    let platform = real_account::platform().await;
    let mut program = real_account::run(&platform, &[], &[]);
    let url = program.url();
    let bearer = format!("Bearer {API_KEY}");
    let key = ("authorization", bearer.as_str());
    for (name, value) in [
        ("host", "wechat.example.com"),
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-host", "wechat.example.com"),
        ("forwarded", "for=203.0.113.9"),
        ("via", "1.1 proxy"),
        ("x-real-ip", "203.0.113.9"),
        ("cf-connecting-ip", "203.0.113.9"),
    ] {
        for path in ["/", "/console/run", "/console/own-code", "/console/activity"] {
            let answer = get(&url, path).header(key.0, key.1).header(name, value).send().await;
            assert_eq!(answer.unwrap().status(), 403, "{name} {path}");
        }
    }
    // The webhook and the API must be reached through them.
    let webhook = get(&url, "/webhook").header("x-forwarded-for", "203.0.113.9");
    assert_eq!(
        webhook.send().await.unwrap().text().await.unwrap(),
        "signature verification failed"
    );
    let api = get(&url, "/api/replies")
        .header(key.0, key.1)
        .header("host", "wechat.example.com");
    assert_eq!(api.send().await.unwrap().status(), 200);

    // A tunnel that leaves no trace sees pages, and nothing of the account.
    let run = get(&url, "/console/run").send().await.unwrap().text().await.unwrap();
    assert!(run.contains("\"simulated\":false") && !run.contains(API_KEY), "{run}");
    for path in ["/console/own-code", "/console/activity", "/console/sim/state"] {
        let local_key = get(&url, path).header(KEY.0, KEY.1);
        let status = local_key.send().await.unwrap().status();
        assert!([401, 404].contains(&status.as_u16()), "{path}: {status}");
    }
    let state = get(&url, "/api/account").header(key.0, key.1).send().await.unwrap();
    assert_eq!(json(state).await["app_id"], platform.account().app_id);
}
