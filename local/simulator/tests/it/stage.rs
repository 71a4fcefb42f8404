//! The stage of all tests: a simulator, a client of it, and a server that receives its callbacks.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};

use axum::{
    Router,
    extract::{Query, State},
    http::StatusCode,
};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use simulator::{
    FOLLOWER, Mode, Observer, Settings, Simulator,
    crypto::{Cipher, sign},
    xml::{self, Element},
};
use tokio::net::TcpListener;

/// How the callback server answers one delivery.
pub(crate) enum Scripted {
    Body(String),
    Status(u16),
    /// The query's `echostr`, put into this text in place of `{}`.
    Echo(&'static str),
    Hang,
}

/// A callback as the server received it.
#[derive(Clone)]
pub(crate) struct Pushed {
    pub(crate) query: HashMap<String, String>,
    pub(crate) body: String,
}

#[derive(Clone, Default)]
pub(crate) struct Receiver {
    pushed: Arc<Mutex<Vec<Pushed>>>,
    /// The next answers; then `success`.
    script: Arc<Mutex<VecDeque<Scripted>>>,
}

impl Receiver {
    pub(crate) fn answer(&self, scripted: impl IntoIterator<Item = Scripted>) {
        self.script.lock().unwrap().extend(scripted);
    }

    pub(crate) fn pushed(&self) -> Vec<Pushed> {
        self.pushed.lock().unwrap().clone()
    }

    /// Waits for callbacks that are pushed in the background.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Pushed> {
        for _ in 0..500 {
            if self.pushed().len() >= count {
                return self.pushed();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{count} callbacks expected, {} came", self.pushed().len());
    }
}

pub(crate) async fn receive(
    State(receiver): State<Receiver>,
    Query(query): Query<HashMap<String, String>>,
    body: String,
) -> (StatusCode, String) {
    let echostr = query.get("echostr").cloned().unwrap_or_default();
    receiver.pushed.lock().unwrap().push(Pushed { query, body });
    let scripted = receiver.script.lock().unwrap().pop_front();
    match scripted {
        None => (StatusCode::OK, "success".to_owned()),
        Some(Scripted::Body(body)) => (StatusCode::OK, body),
        Some(Scripted::Status(status)) => (StatusCode::from_u16(status).unwrap(), "success".to_owned()),
        Some(Scripted::Echo(around)) => (StatusCode::OK, around.replace("{}", &echostr)),
        Some(Scripted::Hang) => std::future::pending().await,
    }
}

/// A simulator that pushes to a [`Receiver`].
pub(crate) struct Stage {
    pub(crate) simulator: Simulator,
    pub(crate) receiver: Receiver,
    pub(crate) http: Client,
    mode: Mode,
}

impl Stage {
    pub(crate) async fn new(mode: Mode) -> Self {
        Self::observed(mode, None).await
    }

    pub(crate) async fn observed(mode: Mode, observer: Option<Observer>) -> Self {
        let receiver = Receiver::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let callback_url = Some(format!("http://{}/webhook", listener.local_addr().unwrap()));
        let service = Router::new().fallback(receive).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, service).await });
        let settings = Settings {
            account: None,
            mode,
            callback_url,
            callback_timeout: Duration::from_secs(5),
            redelivery_interval: Duration::ZERO,
            receipt_delay: Duration::ZERO,
            observer,
        };
        Self::start(settings, receiver).await
    }

    pub(crate) async fn start(settings: Settings, receiver: Receiver) -> Self {
        let mode = settings.mode;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let simulator = Simulator::start(listener, settings).unwrap();
        let http = Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        Self {
            simulator,
            receiver,
            http,
            mode,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.simulator.base_url())
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: String) -> (u16, Value) {
        let response = self
            .http
            .request(method, self.url(path))
            .body(body)
            .send()
            .await
            .unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.send(Method::POST, path, body.to_string()).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.send(Method::GET, path, String::new()).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    pub(crate) async fn phone(&self) -> Value {
        self.get(&format!("/sim/phones/{FOLLOWER}")).await
    }

    /// Orders a fault.
    pub(crate) async fn fault(&self, fault: Value) {
        self.post("/sim/faults", fault).await;
    }

    /// Moves the simulator's clock forward, and returns its time.
    pub(crate) async fn advance(&self, seconds: i64) -> i64 {
        let answer = self.post("/sim/clock", json!({"advance_seconds": seconds})).await;
        answer["now"].as_i64().unwrap()
    }

    /// The status of a control call that is refused with a reason.
    pub(crate) async fn refused(&self, path: &str, body: &Value) -> u16 {
        let (status, answer) = self.send(Method::POST, path, body.to_string()).await;
        assert!(!answer["error"].as_str().unwrap().is_empty(), "{path} {body}: {answer}");
        status
    }

    /// Calls an API with a living token: GET.
    pub(crate) async fn get_api(&self, path: &str) -> Value {
        self.get(&format!("{path}?access_token={}", self.token().await)).await
    }

    /// Calls an API with a living token: POST.
    pub(crate) async fn post_api(&self, path: &str, body: impl ToString) -> Value {
        let path = format!("{path}?access_token={}", self.token().await);
        self.send(Method::POST, &path, body.to_string()).await.1
    }

    /// Uploads a form with a living token. `query` follows the token: `&type=image`.
    pub(crate) async fn upload(&self, path: &str, query: &str, form: &Form) -> Value {
        let url = self.url(&format!("{path}?access_token={}{query}", self.token().await));
        let request = self.http.post(url).header("content-type", Form::CONTENT_TYPE);
        let response = request.body(form.body.clone()).send().await.unwrap();
        assert_eq!(response.status(), 200);
        serde_json::from_str(&response.text().await.unwrap()).unwrap()
    }

    /// The errcode of a POST with a living token; 0 for an answer without one.
    pub(crate) async fn errcode(&self, path: &str, body: impl ToString) -> i64 {
        errcode(&self.post_api(path, body).await)
    }

    /// The stable token, as a server fetches it.
    pub(crate) async fn token(&self) -> String {
        let account = self.simulator.account();
        let body = json!({"grant_type": "client_credential", "appid": account.app_id, "secret": account.app_secret});
        let answer = self.post("/cgi-bin/stable_token", body).await;
        answer["access_token"]
            .as_str()
            .unwrap_or_else(|| panic!("{answer}"))
            .to_owned()
    }

    pub(crate) fn cipher(&self) -> Cipher {
        let account = self.simulator.account();
        Cipher::new(&account.encoding_aes_key, &account.app_id).unwrap()
    }

    /// The messages in all callbacks so far.
    pub(crate) fn opened(&self) -> Vec<Element> {
        self.receiver.pushed().iter().map(|pushed| self.open(pushed)).collect()
    }

    /// Verifies a callback as a server does, and returns the message in it.
    pub(crate) fn open(&self, pushed: &Pushed) -> Element {
        let token = &self.simulator.account().token;
        let query = |name: &str| pushed.query.get(name).map(String::as_str).unwrap_or_default();
        let (timestamp, nonce) = (query("timestamp"), query("nonce"));
        assert_eq!(query("signature"), sign(&[token, timestamp, nonce]));
        let outer = xml::read(&pushed.body).unwrap();
        if self.mode == Mode::Plain {
            return outer;
        }
        assert_eq!(query("encrypt_type"), "aes");
        let encrypted = outer.text_of("Encrypt");
        assert_eq!(query("msg_signature"), sign(&[token, timestamp, nonce, encrypted]));
        xml::read(&self.cipher().decrypt(encrypted).unwrap()).unwrap()
    }

    pub(crate) fn clear_reply(&self, text: &str) -> String {
        let from = &self.simulator.account().original_id;
        format!(
            "<xml><ToUserName><![CDATA[{FOLLOWER}]]></ToUserName><FromUserName><![CDATA[{from}]]></FromUserName><CreateTime>1</CreateTime><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[{text}]]></Content></xml>"
        )
    }

    /// A reply in the form that the mode needs.
    pub(crate) fn reply(&self, text: &str) -> Scripted {
        let clear = self.clear_reply(text);
        if self.mode == Mode::Plain {
            return Scripted::Body(clear);
        }
        let encrypted = self.cipher().encrypt("fedcba9876543210", &clear);
        let signature = sign(&[&self.simulator.account().token, "1", "nonce", &encrypted]);
        Scripted::Body(format!(
            "<xml><Encrypt><![CDATA[{encrypted}]]></Encrypt><MsgSignature><![CDATA[{signature}]]></MsgSignature><TimeStamp>1</TimeStamp><Nonce><![CDATA[nonce]]></Nonce></xml>"
        ))
    }
}

/// A body of `multipart/form-data`, written as curl does.
pub(crate) struct Form {
    pub(crate) body: Vec<u8>,
}

impl Form {
    pub(crate) const CONTENT_TYPE: &str = "multipart/form-data; boundary=------------------------d74496d66958873e";

    /// A form with the file `media`.
    pub(crate) fn file(name: &str, bytes: &[u8]) -> Self {
        Self::part(&format!("name=\"media\"; filename=\"{name}\""), bytes)
    }

    /// A form with one part, whose `Content-Disposition` ends so.
    pub(crate) fn part(disposition: &str, bytes: &[u8]) -> Self {
        let head = format!(
            "--------------------------d74496d66958873e\r\nContent-Disposition: form-data; {disposition}\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        let end = b"\r\n--------------------------d74496d66958873e--\r\n";
        Self {
            body: [head.as_bytes(), bytes, end].concat(),
        }
    }

    /// Puts a text field before the other parts.
    pub(crate) fn with_field(self, name: &str, value: &str) -> Self {
        let field = format!(
            "--------------------------d74496d66958873e\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n\
             {value}\r\n"
        );
        Self {
            body: [field.as_bytes(), &self.body].concat(),
        }
    }
}

/// Seconds since the epoch.
pub(crate) fn now() -> i64 {
    UNIX_EPOCH.elapsed().unwrap().as_secs().cast_signed()
}

/// The errcode of an answer; 0 for an answer without one.
pub(crate) fn errcode(answer: &Value) -> i64 {
    answer["errcode"].as_i64().unwrap_or_default()
}

/// The body of a text message to `POST /sim/message`.
pub(crate) fn text_message(content: &str) -> Value {
    json!({"openid": FOLLOWER, "type": "text", "content": content})
}

/// The fixture `send-template.json`.
pub(crate) fn template_message() -> Value {
    json!({
        "touser": FOLLOWER,
        "template_id": "TEMPLATE_ID",
        "url": "https://example.com/details/1",
        "data": {
            "thing1": {"value": "项目审核"},
            "time2": {"value": "2024年7月19日 10:00"},
            "const3": {"value": "通过"}
        }
    })
}
