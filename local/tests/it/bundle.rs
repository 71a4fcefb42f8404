//! The whole bundle in one process, driven over HTTP as its users and WeChat drive it.

use aws_sdk_dynamodb::types::AttributeValue;
use embedded_table::{EmbeddedTable, TABLE_NAME};
use local::{Local, Mode, Options, SIMULATED_API_KEY};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use simulator::FOLLOWER;
use testing::{event, eventually, http_client};

/// The bodies that a team in the field recorded.
pub(crate) const SUBSCRIBE: &str = include_str!("../fixtures/subscribe.xml");
const VIEW: &str = include_str!("../fixtures/view.xml");
pub(crate) const SEND_TEMPLATE: &str = include_str!("../fixtures/send-template.json");
const ERRORS: &str = include_str!("../fixtures/errors.json");

pub(crate) struct Bundle {
    pub(crate) local: Local,
    pub(crate) http: Client,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) retry_after: Option<u64>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

impl Bundle {
    pub(crate) async fn start(mode: Mode) -> Self {
        let options = Options {
            mode: Some(mode),
            ..Options::default()
        };
        Self::start_with(options).await
    }

    pub(crate) async fn start_with(options: Options) -> Self {
        let local = crate::start(options).await;
        Self {
            local,
            http: http_client(),
        }
    }

    pub(crate) async fn request(&self, method: Method, url: String, headers: &[(&str, &str)], body: String) -> Answer {
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

    pub(crate) async fn api(&self, method: Method, path: &str, body: impl ToString) -> Answer {
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

    pub(crate) async fn sim(&self, method: Method, path: &str, body: Value) -> Value {
        let url = format!("{}{path}", self.local.simulator_url().unwrap());
        let answer = self
            .request(method, url, &[("content-type", "application/json")], body.to_string())
            .await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    }

    pub(crate) async fn fault(&self, fault: Value) {
        self.sim(Method::POST, "/sim/faults", fault).await;
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
    pub(crate) async fn calls(&self, path: &str) -> usize {
        let calls = self.sim(Method::GET, "/sim/calls", Value::Null).await;
        calls
            .as_array()
            .unwrap()
            .iter()
            .filter(|call| call["path"] == path)
            .count()
    }

    /// A query that the platform would sign, at this moment.
    pub(crate) async fn signed_query(&self) -> String {
        let account = self.sim(Method::GET, "/sim/account", Value::Null).await;
        event::signed_query(account["token"].as_str().unwrap())
    }

    pub(crate) async fn webhook(&self, method: Method, query: &str, body: &str) -> Answer {
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
        json!({"type": "transfer_biz_ai_ivr"}),
    ] {
        let rules = json!({ "default": reply });
        assert_eq!(bundle.api(Method::PUT, "/api/replies", &rules).await.status, 200);
        let message = json!({"openid": FOLLOWER, "type": "text", "content": "在吗"});
        let answered = bundle.sim(Method::POST, "/sim/message", message).await;
        assert_eq!(answered["reply"]["MsgType"], reply["type"], "{answered}");
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
async fn a_run_with_a_data_folder_goes_on_where_the_last_one_ended() {
    let data = tempfile::tempdir().unwrap();
    let options = Options {
        data: Some(data.path().to_owned()),
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
    assert_eq!(page, json!({"ok": true}), "a kept ticket signs for nobody");
    assert_eq!(followed["reply"]["Content"], "老朋友");
    assert_eq!(record.status, 200);
    assert_eq!(
        again.status, 200,
        "the kept token is dead, and is replaced: {}",
        again.body
    );
}
