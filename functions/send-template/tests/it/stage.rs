//! What every test here needs: a platform, a table with a token in it, a token-refresher to invoke, and requests.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use simulator::{Account, FOLLOWER, Settings, Simulator, TEMPLATE_ID};
use testing::{EmbeddedTable, Function, Invoked, LambdaApi, Outcome, TABLE_NAME};
use tokio::net::TcpListener;
use wechat::digest::sha256_hex;

pub(crate) const SEND: &str = "/cgi-bin/message/template/send";
pub(crate) const LIST: &str = "/cgi-bin/template/get_all_private_template";
pub(crate) const API_KEY: &str = "key-of-the-shop";

/// Everything around the function.
pub(crate) struct Stage {
    pub(crate) simulator: Simulator,
    pub(crate) table: EmbeddedTable,
    pub(crate) lambda: LambdaApi,
    http: reqwest::Client,
}

/// What the function answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u64,
    pub(crate) headers: Value,
    pub(crate) body: Value,
}

impl Stage {
    /// With a living token in the table.
    pub(crate) async fn new() -> Self {
        let stage = Self::without_token().await;
        stage.refresher().refresh(false).await.unwrap();
        stage
    }

    pub(crate) async fn without_token() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let simulator = Simulator::start(listener, Settings::default()).unwrap();
        let table = EmbeddedTable::start(None).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let refresher = Refresher::new(&http, &simulator, &table);
        let lambda = LambdaApi::start(move |event| refresher.clone().run(event))
            .await
            .unwrap();
        Self {
            simulator,
            table,
            lambda,
            http,
        }
    }

    pub(crate) fn refresher(&self) -> Refresher {
        Refresher::new(&self.http, &self.simulator, &self.table)
    }

    pub(crate) async fn function(&self) -> Function {
        self.function_with(&[]).await
    }

    /// The function with `changes` to its environment.
    pub(crate) async fn function_with(&self, changes: &[(&str, &str)]) -> Function {
        let (wechat, table, lambda) = (self.simulator.base_url(), self.table.endpoint(), self.lambda.endpoint());
        let mut variables = vec![
            ("WECHAT_APP_ID", self.simulator.account().app_id.as_str()),
            ("WECHAT_API_BASE", &wechat),
            ("TABLE_NAME", TABLE_NAME),
            ("TOKEN_REFRESHER_FUNCTION", "token-refresher"),
            ("API_KEYS", API_KEY),
            ("AWS_ENDPOINT_URL_DYNAMODB", &table),
            ("AWS_ENDPOINT_URL_LAMBDA", &lambda),
        ];
        variables.extend(changes);
        Function::start(env!("CARGO_BIN_EXE_send-template"), &variables)
            .await
            .unwrap()
    }

    pub(crate) async fn control(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.simulator.base_url());
        let response = self.http.post(url).json(body).send().await.unwrap();
        assert!(
            response.status().is_success(),
            "{path}: {}",
            response.text().await.unwrap()
        );
        response.json().await.unwrap()
    }

    pub(crate) async fn fault(&self, fault: &Value) {
        self.control("/sim/faults", fault).await;
    }

    pub(crate) async fn clear_faults(&self) {
        let url = format!("{}/sim/faults", self.simulator.base_url());
        self.http.delete(url).send().await.unwrap();
    }

    /// A new follower's openid.
    pub(crate) async fn follower(&self) -> String {
        let done = self.control("/sim/follow", &json!({})).await;
        done["openid"].as_str().unwrap().to_owned()
    }

    /// How often the platform was asked at `path`, or at all.
    pub(crate) async fn calls(&self, path: Option<&str>) -> usize {
        let calls = self.get("/sim/calls").await;
        let calls = calls.as_array().unwrap();
        calls
            .iter()
            .filter(|call| path.is_none_or(|path| call["path"] == path))
            .count()
    }

    /// The template messages on a phone.
    pub(crate) async fn phone(&self, openid: &str) -> Vec<Value> {
        self.get(&format!("/sim/phones/{openid}"))
            .await
            .as_array()
            .unwrap()
            .clone()
    }

    async fn get(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.simulator.base_url());
        self.http.get(url).send().await.unwrap().json().await.unwrap()
    }

    /// The access_token in the table.
    pub(crate) async fn token(&self) -> String {
        let pk = AttributeValue::S(format!("token#{}", self.simulator.account().app_id));
        let read = self
            .table
            .client()
            .get_item()
            .table_name(TABLE_NAME)
            .key("pk", pk)
            .send()
            .await;
        read.unwrap().item.unwrap()["access_token"].as_s().unwrap().clone()
    }

    /// Puts another token into the table, as another process would.
    pub(crate) async fn keep_token(&self, access_token: &str) {
        let update = self.table.client().update_item().table_name(TABLE_NAME);
        update
            .key(
                "pk",
                AttributeValue::S(format!("token#{}", self.simulator.account().app_id)),
            )
            .update_expression("SET access_token = :token ADD generation :one")
            .expression_attribute_values(":token", AttributeValue::S(access_token.to_owned()))
            .expression_attribute_values(":one", AttributeValue::N("1".to_owned()))
            .send()
            .await
            .unwrap();
    }

    /// Stops the table, and puts a new one in its place that the functions do not know.
    pub(crate) async fn without_table(self) -> Self {
        self.table.stop().await;
        let table = EmbeddedTable::start(None).await.unwrap();
        Self { table, ..self }
    }

    /// The item of what was sent under `key`.
    fn send_pk(&self, key: &str) -> AttributeValue {
        let caller = &sha256_hex(API_KEY.as_bytes())[..16];
        AttributeValue::S(format!("send#{}#{caller}#{key}", self.simulator.account().app_id))
    }

    /// Moves what is known of the send under `key` into the past by `seconds`, and ends its claim.
    pub(crate) async fn age_claim(&self, key: &str, seconds: i64) {
        let client = self.table.client();
        let read = client
            .get_item()
            .table_name(TABLE_NAME)
            .key("pk", self.send_pk(key))
            .send()
            .await;
        let item = read.unwrap().item.unwrap();
        let mut aged = item.clone();
        aged.insert("claim_expires_at".to_owned(), AttributeValue::N(now().to_string()));
        if let Some(started) = item.get("started_at") {
            let started: i64 = started.as_n().unwrap().parse().unwrap();
            aged.insert(
                "started_at".to_owned(),
                AttributeValue::N((started - seconds).to_string()),
            );
        }
        if let Some(recipients) = item.get("recipients") {
            let mut recipients: Value = serde_json::from_str(recipients.as_s().unwrap()).unwrap();
            for recipient in recipients.as_object_mut().unwrap().values_mut() {
                if let Some(since) = recipient["since"].as_i64() {
                    recipient["since"] = (since - seconds).into();
                }
            }
            aged.insert("recipients".to_owned(), AttributeValue::S(recipients.to_string()));
        }
        client
            .put_item()
            .table_name(TABLE_NAME)
            .set_item(Some(aged))
            .send()
            .await
            .unwrap();
    }

    /// Puts a list of templates into the table, as a process `age` seconds ago did.
    pub(crate) async fn keep_templates(&self, templates: &Value, age: i64) {
        let pk = format!("templates#{}", self.simulator.account().app_id);
        let put = self.table.client().put_item().table_name(TABLE_NAME);
        put.item("pk", AttributeValue::S(pk))
            .item("templates", AttributeValue::S(templates.to_string()))
            .item("listed_at", AttributeValue::N((now() - age).to_string()))
            .item("ttl", AttributeValue::N((now() + 1000).to_string()))
            .send()
            .await
            .unwrap();
    }
}

/// A stand-in for token-refresher, which is another package's binary.
#[derive(Clone)]
pub(crate) struct Refresher {
    http: reqwest::Client,
    base: String,
    account: Account,
    table: aws_sdk_dynamodb::Client,
}

impl Refresher {
    fn new(http: &reqwest::Client, simulator: &Simulator, table: &EmbeddedTable) -> Self {
        Self {
            http: http.clone(),
            base: simulator.base_url(),
            account: simulator.account().clone(),
            table: table.client(),
        }
    }

    async fn run(self, event: Value) -> Invoked {
        self.refresh(event["action"] == "replace").await
    }

    async fn refresh(&self, force: bool) -> Invoked {
        let body = json!({
            "grant_type": "client_credential", "appid": self.account.app_id, "secret": self.account.app_secret,
            "force_refresh": force,
        });
        let url = format!("{}/cgi-bin/stable_token", self.base);
        let answer: Value = self
            .http
            .post(url)
            .json(&body)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        if let Some(errcode) = answer["errcode"].as_i64().filter(|errcode| *errcode != 0) {
            return Err(json!({"errorType": format!("WeChat{errcode}"), "errorMessage": answer["errmsg"]}));
        }
        let update = self.table.update_item().table_name(TABLE_NAME);
        let ends = now() + answer["expires_in"].as_i64().unwrap();
        update
            .key("pk", AttributeValue::S(format!("token#{}", self.account.app_id)))
            .update_expression("SET access_token = :token, expires_at = :ends ADD generation :one")
            .expression_attribute_values(
                ":token",
                AttributeValue::S(answer["access_token"].as_str().unwrap().to_owned()),
            )
            .expression_attribute_values(":ends", AttributeValue::N(ends.to_string()))
            .expression_attribute_values(":one", AttributeValue::N("1".to_owned()))
            .send()
            .await
            .unwrap();
        Ok(json!({"refreshed": true, "generation": 1, "expires_at": ends}))
    }
}

/// A message as the field sends it, to the follower that the platform has from the start.
pub(crate) fn message() -> Value {
    json!({
        "touser": FOLLOWER,
        "template_id": TEMPLATE_ID,
        "url": "https://example.com/details/1",
        "data": {
            "thing1": {"value": "项目审核"},
            "time2": {"value": "2024年7月19日 10:00"},
            "const3": "通过",
        },
    })
}

pub(crate) fn message_to(touser: impl Into<Value>) -> Value {
    let mut message = message();
    message["touser"] = touser.into();
    message
}

/// The event of `POST /api/sendTemplateMessage`.
pub(crate) fn event(body: &Value, key: Option<&str>) -> Value {
    event_of(API_KEY, body, key)
}

/// The same, by the holder of `api_key`.
pub(crate) fn event_of(api_key: &str, body: &Value, key: Option<&str>) -> Value {
    let mut event = testing::event("send-template");
    event["headers"]["authorization"] = format!("Bearer {api_key}").into();
    let headers = event["headers"].as_object_mut().unwrap();
    headers.remove("idempotency-key");
    if let Some(key) = key {
        headers.insert("idempotency-key".to_owned(), key.into());
    }
    event["body"] = body.to_string().into();
    event
}

/// The event of a GET.
pub(crate) fn get(path: &str) -> Value {
    let mut event = testing::event("message-status");
    event["headers"]["authorization"] = format!("Bearer {API_KEY}").into();
    event["rawPath"] = path.into();
    event["requestContext"]["http"]["path"] = path.into();
    event
}

pub(crate) async fn invoke(function: &mut Function, event: &Value) -> Answer {
    read(function.invoke(event).await)
}

pub(crate) async fn invoke_within(function: &mut Function, event: &Value, millis: u64) -> Answer {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let deadline = u64::try_from(now.as_millis()).unwrap() + millis;
    read(function.invoke_until(event, deadline).await)
}

pub(crate) async fn send(function: &mut Function, body: &Value) -> Answer {
    invoke(function, &event(body, None)).await
}

pub(crate) async fn send_with_key(function: &mut Function, body: &Value, key: &str) -> Answer {
    invoke(function, &event(body, Some(key))).await
}

fn read(outcome: Outcome) -> Answer {
    let Outcome::Answered(answer) = outcome else {
        panic!("no answer: {outcome:?}");
    };
    let body = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    let answer = Answer {
        status: answer["statusCode"].as_u64().unwrap(),
        headers: answer["headers"].clone(),
        body,
    };
    let content_type = answer.headers["content-type"].as_str().unwrap();
    let expected = if answer.status < 400 {
        "application/json"
    } else {
        "application/problem+json"
    };
    assert_eq!(content_type, expected, "{answer:?}");
    if answer.status >= 400 {
        assert_eq!(answer.body["status"], answer.status, "{answer:?}");
        for member in ["type", "title", "detail"] {
            assert!(
                answer.body[member].as_str().is_some_and(|text| !text.is_empty()),
                "{answer:?}"
            );
        }
    }
    answer
}

pub(crate) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}
