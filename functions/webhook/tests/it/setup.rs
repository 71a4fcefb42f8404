//! An account, its callbacks as API Gateway hands them over, and a running function.

use std::{
    net::TcpListener,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use testing::{EmbeddedEventBus, EmbeddedSecretsManager, EmbeddedTable, Function, Outcome, TABLE_NAME};
use url::form_urlencoded::Serializer;
use wechat::{
    callback::{aes::EncodingAesKey, signature},
    store::Table,
    xml::Tree,
};

pub(crate) const APP_ID: &str = "wx0123456789abcdef";
pub(crate) const TOKEN: &str = "eventsToken01";
pub(crate) const AES_KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
pub(crate) const NONCE: &str = "998877";
pub(crate) const BUS: &str = "callbacks";
pub(crate) const ACCOUNT: &str = "gh_0a1b2c3d4e5f";

pub(crate) fn now() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since_epoch.as_secs()).unwrap()
}

/// The function's variables, for the table at `endpoint`.
pub(crate) struct Variables(Vec<(String, String)>);

impl Variables {
    pub(crate) fn new(mode: &str, endpoint: &str) -> Self {
        let variables = [
            ("WECHAT_APP_ID", APP_ID),
            ("WECHAT_TOKEN", TOKEN),
            ("WECHAT_MESSAGE_MODE", mode),
            ("TABLE_NAME", TABLE_NAME),
            ("AWS_ENDPOINT_URL_DYNAMODB", endpoint),
        ];
        let variables = Self(Vec::new()).with(&variables);
        match mode {
            "plain" => variables,
            _ => variables.with(&[("WECHAT_ENCODING_AES_KEY", AES_KEY)]),
        }
    }

    pub(crate) fn with(mut self, variables: &[(&str, &str)]) -> Self {
        for &(name, value) in variables {
            self.0.retain(|(known, _)| known != name);
            self.0.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    pub(crate) fn publishing(self, endpoint: &str) -> Self {
        self.with(&[("EVENT_BUS_NAME", BUS), ("AWS_ENDPOINT_URL_EVENTBRIDGE", endpoint)])
    }

    pub(crate) fn with_secret(self, secrets: &EmbeddedSecretsManager) -> Self {
        self.with(&[
            ("WECHAT_SECRET_ID", "wechat"),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.endpoint()),
        ])
    }

    pub(crate) async fn start(&self) -> Webhook {
        let variables: Vec<(&str, &str)> = self
            .0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let function = Function::start(env!("CARGO_BIN_EXE_webhook"), &variables).await;
        Webhook(function.unwrap())
    }
}

/// A running function.
pub(crate) struct Webhook(pub(crate) Function);

impl Webhook {
    /// Hands `event` over, and checks that what comes back is an answer of HTTP.
    pub(crate) async fn send(&mut self, event: &Value) -> Answer {
        match self.0.invoke(event).await {
            Outcome::Answered(answer) => Answer {
                status: answer["statusCode"].as_u64().unwrap(),
                content_type: answer["headers"]["content-type"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
                body: answer["body"].as_str().unwrap_or_default().to_owned(),
            },
            failed => panic!("{failed:?}\n{}", self.0.logs()),
        }
    }

    pub(crate) async fn post(&mut self, xml: &str) -> Answer {
        self.send(&plain(xml)).await
    }

    /// The log lines that tell of requests, once there are `count` of them.
    pub(crate) async fn told(&self, count: usize) -> Vec<Value> {
        for _ in 0..100 {
            let lines: Vec<Value> = self
                .log_lines()
                .into_iter()
                .filter(|line| line["message"] == "callback")
                .collect();
            if lines.len() >= count {
                return lines;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("fewer than {count} requests are told of:\n{}", self.0.logs());
    }

    /// Every line of the log, metrics included: each is JSON.
    pub(crate) fn log_lines(&self) -> Vec<Value> {
        let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        self.0.logs().lines().map(read).collect()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u64,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn text(status: u64, body: &str) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8".to_owned(),
            body: body.to_owned(),
        }
    }

    pub(crate) fn success() -> Self {
        Self::text(200, "success")
    }

    pub(crate) fn forbidden() -> Self {
        Self::text(403, "signature verification failed")
    }

    /// The clear reply that this is, checked to be a well-formed one for the callback `xml`.
    pub(crate) fn reply_to(&self, xml: &str, is_sealed: bool) -> Tree {
        assert_eq!(self.status, 200, "{self:?}");
        assert_eq!(self.content_type, "application/xml; charset=utf-8");
        let clear = if is_sealed {
            unseal(&self.body)
        } else {
            self.body.clone()
        };
        let (callback, reply) = (document(xml), document(&clear));
        assert_eq!(reply.text("ToUserName"), callback.text("FromUserName"));
        assert_eq!(reply.text("FromUserName"), callback.text("ToUserName"));
        // Seconds, not milliseconds.
        let created_at: i64 = reply.number("CreateTime").unwrap();
        assert!((created_at - now()).abs() < 60, "{created_at}");
        reply
    }
}

/// Opens a sealed reply as WeChat does.
pub(crate) fn unseal(body: &str) -> String {
    let sealed = document(body);
    let part = |name| sealed.text(name).unwrap();
    let parts = [TOKEN, part("TimeStamp"), part("Nonce"), part("Encrypt")];
    assert_eq!(part("MsgSignature"), signature::sign(&parts));
    key(AES_KEY).decrypt(part("Encrypt"), APP_ID).unwrap()
}

pub(crate) fn document(body: &str) -> Tree {
    Tree::parse(body.as_bytes()).unwrap_or_else(|error| panic!("{error}: {body}"))
}

pub(crate) fn key(text: &str) -> EncodingAesKey {
    EncodingAesKey::parse(text).unwrap()
}

/// A request as API Gateway's HTTP API hands it over.
pub(crate) fn request(method: &str, query: &[(&str, &str)], body: Option<&str>) -> Value {
    let mut event = testing::event("webhook-text");
    event["requestContext"]["http"]["method"] = json!(method);
    event["rawQueryString"] = json!(Serializer::new(String::new()).extend_pairs(query).finish());
    event["queryStringParameters"] = query.iter().copied().collect();
    event["body"] = json!(body);
    event
}

/// The parameters that sign every request, with `token`, as of now.
pub(crate) fn signed(token: &str) -> Vec<(&'static str, String)> {
    signed_at(token, &now().to_string())
}

pub(crate) fn signed_at(token: &str, timestamp: &str) -> Vec<(&'static str, String)> {
    vec![
        ("signature", signature::sign(&[token, timestamp, NONCE])),
        ("timestamp", timestamp.to_owned()),
        ("nonce", NONCE.to_owned()),
        ("openid", "oNotSigned".to_owned()),
    ]
}

pub(crate) fn pairs<'a>(query: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    query.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// The console's check.
pub(crate) fn check(token: &str) -> Value {
    let mut query = signed(token);
    query.push(("echostr", "4375120948345356249".to_owned()));
    request("GET", &pairs(&query), None)
}

/// A callback of plain mode.
pub(crate) fn plain(xml: &str) -> Value {
    request("POST", &pairs(&signed(TOKEN)), Some(xml))
}

/// A callback of safe mode: nothing but the account and the ciphertext is in the open.
pub(crate) fn safe(xml: &str) -> Value {
    encrypted(
        TOKEN,
        AES_KEY,
        APP_ID,
        xml,
        "<ToUserName><![CDATA[gh_0a1b2c3d4e5f]]></ToUserName>",
    )
}

/// A callback of compat mode whose clear part, which nothing signs, says something else.
pub(crate) fn compat(xml: &str) -> Value {
    let clear = "<ToUserName>gh_forged</ToUserName><FromUserName>oForged</FromUserName><CreateTime>1</CreateTime>\
                 <MsgType>text</MsgType><Content>forged</Content><MsgId>1</MsgId>";
    encrypted(TOKEN, AES_KEY, APP_ID, xml, clear)
}

/// An encrypted callback with the elements `clear` beside the ciphertext.
pub(crate) fn encrypted(token: &str, aes_key: &str, app_id: &str, xml: impl AsRef<[u8]>, clear: &str) -> Value {
    let encrypt = key(aes_key).encrypt(*b"0123456789abcdef", xml, app_id);
    let timestamp = now().to_string();
    let mut query = signed_at(token, &timestamp);
    let msg_signature = signature::sign(&[token, &timestamp, NONCE, &encrypt]);
    query.push(("encrypt_type", "aes".to_owned()));
    query.push(("msg_signature", msg_signature));
    let body = format!("<xml>{clear}<Encrypt><![CDATA[{encrypt}]]></Encrypt></xml>");
    request("POST", &pairs(&query), Some(&body))
}

/// The XML of a callback with the envelope that all have.
pub(crate) fn callback(msg_type: &str, fields: &str) -> String {
    format!(
        "<xml><ToUserName><![CDATA[{ACCOUNT}]]></ToUserName><FromUserName><![CDATA[oUser]]></FromUserName>\
         <CreateTime>1767225600</CreateTime><MsgType><![CDATA[{msg_type}]]></MsgType>{fields}</xml>"
    )
}

pub(crate) fn text(content: &str, msg_id: u64) -> String {
    callback(
        "text",
        &format!("<Content><![CDATA[{content}]]></Content><MsgId>{msg_id}</MsgId>"),
    )
}

pub(crate) fn receipt(msg_id: &str, status: &str) -> String {
    let fields = format!("<Event>TEMPLATESENDJOBFINISH</Event><MsgID>{msg_id}</MsgID><Status>{status}</Status>");
    callback("event", &fields)
}

/// A table, with `rules` stored in it.
pub(crate) async fn table(rules: &Value) -> EmbeddedTable {
    let table = EmbeddedTable::start(None).await.unwrap();
    let stored = store(&table).save_replies(&rules.to_string(), None, now()).await;
    stored.unwrap();
    table
}

pub(crate) fn store(table: &EmbeddedTable) -> Table {
    Table::new(table.client(), TABLE_NAME, APP_ID)
}

/// Every item of the table but the claims and the note of the last callback, which hold times of their own.
pub(crate) async fn kept(table: &EmbeddedTable) -> Vec<String> {
    let output = table.client().scan().table_name(TABLE_NAME).send().await.unwrap();
    let mut items: Vec<String> = output
        .items()
        .iter()
        .filter(|item| !item["pk"].as_s().unwrap().starts_with("callback"))
        .map(|item| {
            let mut attributes: Vec<String> = item.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
            attributes.sort();
            attributes.join(" ")
        })
        .collect();
    items.sort();
    items
}

pub(crate) async fn event_bus() -> EmbeddedEventBus {
    EmbeddedEventBus::start().await.unwrap()
}

/// An endpoint where nothing listens.
pub(crate) fn nothing_listens() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// An endpoint that takes connections and never answers, for as long as the listener lives.
pub(crate) fn frozen() -> (TcpListener, String) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    (listener, endpoint)
}
