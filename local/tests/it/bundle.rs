//! The whole bundle in one process, driven over HTTP as its users and WeChat drive it.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use embedded_table::{EmbeddedTable, TABLE_NAME};
use local::{Local, Mode, Options, SIMULATED_API_KEY};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use simulator::FOLLOWER;
use testing::{event, eventually, http_client};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The bodies that a team in the field recorded.
const SUBSCRIBE: &str = include_str!("../fixtures/subscribe.xml");
const VIEW: &str = include_str!("../fixtures/view.xml");
const SEND_TEMPLATE: &str = include_str!("../fixtures/send-template.json");
const ERRORS: &str = include_str!("../fixtures/errors.json");

struct Bundle {
    local: Local,
    http: Client,
}

struct Answer {
    status: u16,
    content_type: String,
    retry_after: Option<u64>,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

impl Bundle {
    async fn start(mode: Mode) -> Self {
        let options = Options {
            mode: Some(mode),
            ..Options::default()
        };
        Self::start_with(options).await
    }

    async fn start_with(options: Options) -> Self {
        let local = crate::start(options).await;
        Self {
            local,
            http: http_client(),
        }
    }

    async fn request(&self, method: Method, url: String, headers: &[(&str, &str)], body: String) -> Answer {
        let mut request = self.http.request(method, url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        Answer {
            status: response.status().as_u16(),
            content_type: header("content-type").unwrap_or_default(),
            retry_after: header("retry-after").and_then(|seconds| seconds.parse().ok()),
            body: response.text().await.unwrap(),
        }
    }

    async fn api(&self, method: Method, path: &str, body: impl ToString) -> Answer {
        let key = format!("Bearer {SIMULATED_API_KEY}");
        let headers = [("authorization", key.as_str()), ("content-type", "application/json")];
        self.request(
            method,
            format!("{}{path}", self.local.url()),
            &headers,
            body.to_string(),
        )
        .await
    }

    async fn sim(&self, method: Method, path: &str, body: Value) -> Value {
        let url = format!("{}{path}", self.local.simulator_url().unwrap());
        let answer = self
            .request(method, url, &[("content-type", "application/json")], body.to_string())
            .await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    }

    async fn fault(&self, fault: Value) {
        self.sim(Method::POST, "/sim/faults", fault).await;
    }

    /// Sends a message, and hangs up before WeChat answers.
    async fn send_and_hang_up(&self) {
        self.fault(json!({"path": "/cgi-bin/message/template/send", "delay_ms": 500}))
            .await;
        let send = self.api(Method::POST, "/api/sendTemplateMessage", SEND_TEMPLATE);
        let hangs_up = tokio::time::timeout(Duration::from_millis(200), send).await;
        assert!(hangs_up.is_err(), "the caller did not wait");
    }

    /// What the phone says to the signature that a page gets.
    async fn signed_page(&self) -> Value {
        let page = "http://localhost/shop";
        let signed = self.api(Method::GET, &format!("/jssdk/config?url={page}"), "").await;
        assert_eq!(signed.status, 200, "{}", signed.body);
        let mut config = signed.json();
        config["url"] = json!(page);
        self.sim(Method::POST, "/sim/jssdk/check", config).await
    }

    /// How often the platform was called at `path`.
    async fn calls(&self, path: &str) -> usize {
        let calls = self.sim(Method::GET, "/sim/calls", Value::Null).await;
        calls
            .as_array()
            .unwrap()
            .iter()
            .filter(|call| call["path"] == path)
            .count()
    }

    /// A query that the platform would sign, at this moment.
    async fn signed_query(&self) -> String {
        let account = self.sim(Method::GET, "/sim/account", Value::Null).await;
        event::signed_query(account["token"].as_str().unwrap())
    }

    async fn webhook(&self, method: Method, query: &str, body: &str) -> Answer {
        let url = format!("{}/webhook?{query}", self.local.url());
        self.request(method, url, &[("content-type", "text/xml")], body.to_owned())
            .await
    }

    /// The record of a message, once its receipt has come.
    async fn finished(&self, msgid: &str) -> Value {
        let finished = || async {
            let record = self.api(Method::GET, &format!("/api/messages/{msgid}"), "").await;
            (record.status == 200 && record.json()["status"] != "sent").then(|| record.json())
        };
        eventually("the receipt", finished).await
    }
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
    bundle.send_and_hang_up().await;
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
    bundle.send_and_hang_up().await;
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
async fn the_console_verifies_the_url_in_every_mode() {
    for mode in [Mode::Plain, Mode::Compat, Mode::Safe] {
        let bundle = Bundle::start(mode).await;
        let query = bundle.signed_query().await;
        let echoed = bundle
            .webhook(Method::GET, &format!("{query}&echostr=4375120948345356249"), "")
            .await;
        assert_eq!((echoed.status, echoed.body.as_str()), (200, "4375120948345356249"));
        assert!(
            echoed.content_type.starts_with("text/plain"),
            "an echostr is never a page"
        );
        let forged = query.replace("signature=", "signature=0");
        assert_eq!(
            bundle
                .webhook(Method::GET, &format!("{forged}&echostr=1"), "")
                .await
                .status,
            403
        );
    }
}

#[tokio::test]
async fn the_recorded_callbacks_get_a_greeting_and_an_acknowledgement() {
    let bundle = Bundle::start(Mode::Plain).await;
    let query = bundle.signed_query().await;
    let greeting = bundle.webhook(Method::POST, &query, SUBSCRIBE).await;
    assert_eq!(greeting.status, 200);
    assert!(greeting.content_type.starts_with("application/xml"));
    for part in [
        "<ToUserName><![CDATA[odhkK64I1uXqoUQjt7QYx4O0yUvs]]></ToUserName>",
        "<FromUserName><![CDATA[gh_d98fc9c8e089]]></FromUserName>",
        "<MsgType><![CDATA[text]]></MsgType>",
        "<Content><![CDATA[欢迎关注]]></Content>",
    ] {
        assert!(greeting.body.contains(part), "{part} in {}", greeting.body);
    }
    let acknowledgement = bundle.webhook(Method::POST, &query, VIEW).await;
    assert_eq!(
        (acknowledgement.status, acknowledgement.body.as_str()),
        (200, "success")
    );
    assert_eq!(
        bundle
            .webhook(Method::POST, "signature=0&timestamp=1&nonce=1", VIEW)
            .await
            .status,
        403
    );
    let unreadable = bundle.webhook(Method::POST, &query, "<xml><a></xml>").await;
    assert_eq!(
        (unreadable.status, unreadable.body.as_str()),
        (200, "success"),
        "what is signed is not refused"
    );
}

/// WeChat, and so the simulator, puts a text into CDATA as it is.
#[tokio::test]
async fn a_text_with_the_end_of_a_cdata_section_is_answered_in_every_mode() {
    for mode in [Mode::Plain, Mode::Compat, Mode::Safe] {
        let bundle = Bundle::start(mode).await;
        let texts = [
            "if (a[b[0]]>1) { x<y }",
            "]]></Content><MsgType>event</MsgType><Content><![CDATA[",
        ];
        for text in texts {
            let rules =
                json!({"keywords": [{"match": "exact", "value": text, "reply": {"type": "text", "content": "read"}}]});
            assert_eq!(bundle.api(Method::PUT, "/api/replies", &rules).await.status, 200);
            let message = json!({"openid": FOLLOWER, "type": "text", "content": text});
            let answered = bundle.sim(Method::POST, "/sim/message", message).await;
            assert_eq!(answered["reply"]["Content"], "read", "{mode:?} {text}: {answered}");
            assert_eq!(answered["deliveries"], 1);
        }
    }
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
async fn a_new_follower_reads_the_greeting_in_every_mode() {
    for mode in [Mode::Plain, Mode::Compat, Mode::Safe] {
        let bundle = Bundle::start(mode).await;
        let followed = bundle.sim(Method::POST, "/sim/follow", json!({})).await;
        assert_eq!(followed["reply"]["Content"], "欢迎关注", "{mode:?}: {followed}");
        assert_eq!(followed["deliveries"], 1);
        let openid = followed["openid"].as_str().unwrap();
        let phone = bundle
            .sim(Method::GET, &format!("/sim/phones/{openid}"), Value::Null)
            .await;
        assert!(phone.to_string().contains("欢迎关注"), "{phone}");
        let viewed = bundle
            .sim(
                Method::POST,
                "/sim/view",
                json!({"openid": openid, "url": "https://example.com/"}),
            )
            .await;
        assert_eq!(viewed["reply"], Value::Null);
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
async fn the_code_of_a_user_who_was_deleted_before_the_scan_binds_nobody() {
    let bundle = Bundle::start(Mode::Safe).await;
    let made = bundle.api(Method::POST, "/api/bindings", json!({"user": "u-1"})).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let deleted = bundle.api(Method::DELETE, "/api/users/u-1", "").await;
    assert_eq!(deleted.status, 404, "the user was not bound yet: {}", deleted.body);
    let scan = json!({"openid": FOLLOWER, "url": made.json()["qr"]["url"]});
    let scanned = bundle.sim(Method::POST, "/sim/scan", scan).await;
    assert_eq!(scanned["reply"]["Content"], "二维码已失效，请重新获取", "{scanned}");
    assert_eq!(bundle.api(Method::GET, "/api/users/u-1", "").await.status, 404);
}

#[tokio::test]
async fn safe_mode_refuses_a_clear_body() {
    let bundle = Bundle::start(Mode::Safe).await;
    let query = bundle.signed_query().await;
    let refused = bundle.webhook(Method::POST, &query, SUBSCRIBE).await;
    assert_eq!(refused.status, 403);
}

#[tokio::test]
async fn a_template_message_is_sent_shown_and_reported_as_delivered() {
    let bundle = Bundle::start(Mode::Safe).await;
    let sent = bundle
        .api(Method::POST, "/api/sendTemplateMessage", SEND_TEMPLATE)
        .await;
    assert_eq!(sent.status, 200, "{}", sent.body);
    let answer = sent.json();
    assert_eq!((&answer["errcode"], &answer["errmsg"]), (&json!(0), &json!("ok")));
    let msgid = answer["msgid"].as_str().unwrap();

    let record = bundle.finished(msgid).await;
    assert_eq!(record["status"], "delivered");
    assert_eq!(record["touser"], FOLLOWER);
    assert!(record["finished_at"].as_i64() >= record["sent_at"].as_i64());
    let phone = bundle
        .sim(Method::GET, &format!("/sim/phones/{FOLLOWER}"), Value::Null)
        .await;
    assert!(
        phone.to_string().contains("项目审核") && phone.to_string().contains(msgid),
        "{phone}"
    );
    assert_eq!(
        bundle.calls("/cgi-bin/stable_token").await,
        1,
        "one token for the refresher and the sender"
    );
}

#[tokio::test]
async fn a_user_who_refuses_messages_shows_as_blocked() {
    let bundle = Bundle::start(Mode::Safe).await;
    bundle
        .sim(Method::POST, "/sim/block", json!({"openid": FOLLOWER, "blocked": true}))
        .await;
    let sent = bundle
        .api(Method::POST, "/api/sendTemplateMessage", SEND_TEMPLATE)
        .await
        .json();
    assert_eq!(
        bundle.finished(sent["msgid"].as_str().unwrap()).await["status"],
        "blocked"
    );
}

#[tokio::test]
async fn the_four_errors_of_the_field_reach_the_caller() {
    let bundle = Bundle::start(Mode::Safe).await;
    let errors: Vec<Value> = serde_json::from_str(ERRORS).unwrap();
    let path = "/cgi-bin/message/template/send";
    let mut answers = Vec::new();
    for error in &errors {
        bundle
            .fault(json!({"path": path, "errcode": error["errcode"], "errmsg": error["errmsg"]}))
            .await;
        answers.push(
            bundle
                .api(Method::POST, "/api/sendTemplateMessage", SEND_TEMPLATE)
                .await,
        );
    }
    let [not_whitelisted, bad_field, dead_token, quota] = answers.as_slice() else {
        panic!("four errors")
    };

    assert_eq!(not_whitelisted.status, 503);
    assert_eq!(not_whitelisted.content_type, "application/problem+json");
    assert_eq!(not_whitelisted.json()["errcode"], 40164);
    let rid = not_whitelisted.json()["rid"].as_str().unwrap().to_owned();
    assert!(
        not_whitelisted.json()["errmsg"].as_str().unwrap().ends_with(&rid),
        "{}",
        not_whitelisted.body
    );
    assert!(not_whitelisted.json()["hint"].as_str().unwrap().contains("白名单"));

    assert_eq!(bad_field.status, 400);
    assert!(
        bad_field.json()["field"].as_str().unwrap().contains("time5"),
        "{}",
        bad_field.body
    );

    assert_eq!(dead_token.status, 200, "healed: {}", dead_token.body);

    assert_eq!(quota.status, 429);
    assert!(
        (1..=86_400).contains(&quota.retry_after.unwrap()),
        "until midnight in China"
    );
}

#[tokio::test]
async fn a_dead_token_is_replaced_once_and_never_in_a_loop() {
    let bundle = Bundle::start(Mode::Safe).await;
    assert_eq!(
        bundle
            .api(Method::POST, "/api/sendTemplateMessage", SEND_TEMPLATE)
            .await
            .status,
        200
    );
    bundle.sim(Method::POST, "/sim/token/invalidate", json!({})).await;
    assert_eq!(
        bundle
            .api(Method::POST, "/api/sendTemplateMessage", SEND_TEMPLATE)
            .await
            .status,
        200
    );
    let path = "/cgi-bin/message/template/send";
    assert_eq!(bundle.calls(path).await, 3, "one, the refused one and its repeat");

    bundle.fault(json!({"path": path, "errcode": 40001, "times": 50})).await;
    let refused = bundle
        .api(Method::POST, "/api/sendTemplateMessage", SEND_TEMPLATE)
        .await;
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert!(bundle.calls(path).await <= 6, "at most three calls for one request");
}

#[tokio::test]
async fn a_whitelist_fault_at_the_token_is_told_with_its_address_and_remedy() {
    let bundle = Bundle::start(Mode::Safe).await;
    bundle
        .sim(Method::POST, "/sim/whitelist", json!({"ips": ["198.51.100.7"]}))
        .await;
    bundle.sim(Method::POST, "/sim/token/invalidate", json!({})).await;
    let refused = bundle
        .api(Method::POST, "/api/sendTemplateMessage", SEND_TEMPLATE)
        .await;
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert_eq!(refused.json()["errcode"], 40164);
    let hint = refused.json()["hint"].as_str().unwrap().to_owned();
    assert!(hint.contains("127.0.0.1") && hint.contains("白名单"), "{hint}");
}

#[tokio::test]
async fn a_menu_is_created_read_and_deleted() {
    let bundle = Bundle::start(Mode::Safe).await;
    assert_eq!(bundle.api(Method::GET, "/api/menu", "").await.status, 404);
    let menu = json!({"button": [{"type": "click", "name": "今日", "key": "MENU_TODAY"}]});
    let created = bundle.api(Method::POST, "/api/menu", &menu).await;
    assert_eq!(
        (created.status, created.json()),
        (200, json!({"errcode": 0, "errmsg": "ok"}))
    );
    let read = bundle.api(Method::GET, "/api/menu", "").await.json();
    assert_eq!(read["menu"]["button"][0]["name"], "今日");
    assert_eq!(bundle.api(Method::DELETE, "/api/menu", "").await.status, 200);
    assert_eq!(bundle.api(Method::GET, "/api/menu", "").await.status, 404);
}

#[tokio::test]
async fn stored_rules_answer_and_faulty_ones_are_refused_whole() {
    let bundle = Bundle::start(Mode::Safe).await;
    assert_eq!(bundle.api(Method::GET, "/api/replies", "").await.json(), json!({}));
    let faulty = json!({"greeting": 1, "default": {"type": "text", "content": ""}});
    let refused = bundle.api(Method::PUT, "/api/replies", &faulty).await;
    assert_eq!(refused.status, 400);
    assert_eq!(
        refused.json()["faults"].as_array().unwrap().len(),
        2,
        "{}",
        refused.body
    );

    let rules =
        json!({"keywords": [{"match": "exact", "value": "你好", "reply": {"type": "text", "content": "您好"}}]});
    assert_eq!(bundle.api(Method::PUT, "/api/replies", &rules).await.status, 200);
    assert_eq!(bundle.api(Method::GET, "/api/replies", "").await.json(), rules);
}

#[tokio::test]
async fn the_platform_takes_every_type_of_reply_with_the_least_of_its_members() {
    let bundle = Bundle::start(Mode::Safe).await;
    for reply in [
        json!({"type": "text", "content": "您好"}),
        json!({"type": "image", "media_id": "m"}),
        json!({"type": "voice", "media_id": "m"}),
        json!({"type": "video", "media_id": "m"}),
        json!({"type": "music", "thumb_media_id": "m"}),
        json!({"type": "news", "articles": [{"title": "t"}]}),
        json!({"type": "transfer_customer_service"}),
    ] {
        let rules = json!({ "default": reply });
        assert_eq!(bundle.api(Method::PUT, "/api/replies", &rules).await.status, 200);
        let message = json!({"openid": FOLLOWER, "type": "text", "content": "在吗"});
        let answered = bundle.sim(Method::POST, "/sim/message", message).await;
        assert_eq!(answered["reply"]["MsgType"], reply["type"], "{answered}");
    }
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
async fn the_doctor_finds_nothing_wrong_with_a_fresh_run() {
    let bundle = Bundle::start(Mode::Safe).await;
    let report = bundle.api(Method::GET, "/api/doctor", "").await;
    assert_eq!(report.json()["ok"], true, "{}", report.body);
}

/// Nobody may have played the users for a while.
#[tokio::test]
async fn a_simulated_run_misses_no_callbacks_and_no_better_key() {
    let data = tempfile::tempdir().unwrap();
    let options = Options {
        port: 0,
        data: Some(data.path().to_owned()),
        ..Options::default()
    };
    let first = Bundle::start_with(options.clone()).await;
    let state = first.sim(Method::GET, "/sim/state", Value::Null).await;
    first.local.stop(crate::GRACE).await;
    let table = EmbeddedTable::start(Some(data.path())).await.unwrap();
    let app_id = state["account"]["app_id"].as_str().unwrap();
    let noted = table.client().put_item().table_name(TABLE_NAME);
    let noted = noted
        .item("pk", AttributeValue::S(format!("callbacks#{app_id}")))
        .item("accepted_at", AttributeValue::N("1700000000".to_owned()));
    noted.send().await.unwrap();
    drop(table);
    let bundle = Bundle::start_with(options).await;
    let report = bundle.api(Method::GET, "/api/doctor", "").await;
    assert_eq!(report.json()["ok"], true, "{}", report.body);
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

#[tokio::test]
async fn a_run_with_a_data_folder_goes_on_where_the_last_one_ended() {
    let folder = std::env::temp_dir().join(format!("bundle-{}", std::process::id()));
    let options = Options {
        port: 0,
        data: Some(folder.clone()),
        ..Options::default()
    };
    let rules = json!({"subscribe": {"type": "text", "content": "老朋友"}});
    let first = Bundle::start_with(options.clone()).await;
    assert_eq!(first.api(Method::PUT, "/api/replies", &rules).await.status, 200);
    let sent = first.api(Method::POST, "/api/sendTemplateMessage", SEND_TEMPLATE).await;
    assert_eq!(first.signed_page().await, json!({"ok": true}));
    first.local.stop(crate::GRACE).await;

    let second = Bundle::start_with(options).await;
    let page = second.signed_page().await;
    let followed = second.sim(Method::POST, "/sim/follow", json!({})).await;
    let again = second
        .api(Method::POST, "/api/sendTemplateMessage", SEND_TEMPLATE)
        .await;
    let msgid = sent.json()["msgid"].as_str().unwrap().to_owned();
    let record = second.api(Method::GET, &format!("/api/messages/{msgid}"), "").await;
    second.local.stop(crate::GRACE).await;
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(page, json!({"ok": true}), "a kept ticket signs for nobody");
    assert_eq!(followed["reply"]["Content"], "老朋友");
    assert_eq!(record.status, 200);
    assert_eq!(
        again.status, 200,
        "the kept token is dead, and is replaced: {}",
        again.body
    );
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
