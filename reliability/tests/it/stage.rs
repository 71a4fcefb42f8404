//! The whole deployment on one machine, with a proxy before everything that a function touches.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use simulator::{Account, FOLLOWER, Settings, Simulator, TEMPLATE_ID};
use testing::{EmbeddedEventBus, EmbeddedTable, Fault, FaultProxy, Function, LambdaApi, Outcome, TABLE_NAME};
use tokio::{net::TcpListener, sync::Mutex};
use url::form_urlencoded::Serializer;
use wechat::{
    api::{Client, TokenApi, TokenEndpoint},
    callback::signature,
    clock::{Deadline, SystemClock},
    effects::LateEffects,
    message::Callback,
    secret::Secret,
    store::{ListedTemplates, Table},
    token::{Action, Refresher},
    xml::Tree,
};

pub(crate) const API_KEY: &str = "key-of-the-suite";
const BUS: &str = "callbacks";

/// A function of the bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Webhook,
    TokenRefresher,
    SendTemplate,
    Admin,
    Worker,
}

impl Program {
    const fn path(self) -> &'static str {
        match self {
            Self::Webhook => env!("CARGO_BIN_EXE_webhook-under-test"),
            Self::TokenRefresher => env!("CARGO_BIN_EXE_token-refresher-under-test"),
            Self::SendTemplate => env!("CARGO_BIN_EXE_send-template-under-test"),
            Self::Admin => env!("CARGO_BIN_EXE_admin-under-test"),
            Self::Worker => env!("CARGO_BIN_EXE_worker-under-test"),
        }
    }
}

/// What a function touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Service {
    Table,
    WeChat,
    Lambda,
    EventBus,
}

impl Service {
    pub(crate) const ALL: [Self; 4] = [Self::Table, Self::WeChat, Self::Lambda, Self::EventBus];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Table => "the table",
            Self::WeChat => "WeChat",
            Self::Lambda => "the refresher",
            Self::EventBus => "the event bus",
        }
    }
}

/// Everything around the functions. Each service is reached through its proxy.
pub(crate) struct Stage {
    pub(crate) simulator: Simulator,
    pub(crate) table: EmbeddedTable,
    pub(crate) bus: EmbeddedEventBus,
    pub(crate) lambda: LambdaApi,
    proxies: HashMap<Service, FaultProxy>,
    http: reqwest::Client,
    /// In epoch seconds.
    began: i64,
}

impl Stage {
    /// With a living token and the list of templates in the table, as a deployment has that runs for a minute.
    pub(crate) async fn new() -> Self {
        let stage = Self::without_token().await;
        let account = stage.simulator.account();
        let client = Client::new(&stage.simulator.base_url(), None, Arc::new(SystemClock)).unwrap();
        let secret = Secret::new(account.app_secret.as_str());
        let issuer = TokenEndpoint::new(client, TokenApi::Stable, &account.app_id, secret);
        let store = stage.store();
        let refresher = Refresher::new(store, issuer, Arc::new(SystemClock));
        refresher.run(&Action::Refresh, "suite", Deadline::NONE).await.unwrap();
        stage
    }

    pub(crate) async fn without_token() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let simulator = Simulator::start(listener, Settings::default()).unwrap();
        let table = EmbeddedTable::start(None).await.unwrap();
        let bus = EmbeddedEventBus::start().await.unwrap();
        let lambda = token_refresher(&simulator, &table).await;
        let mut proxies = HashMap::new();
        for (service, endpoint) in [
            (Service::Table, table.endpoint()),
            (Service::WeChat, simulator.base_url()),
            (Service::Lambda, lambda.endpoint()),
            (Service::EventBus, bus.endpoint().to_owned()),
        ] {
            proxies.insert(service, FaultProxy::start(&endpoint).await.unwrap());
        }
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let stage = Self {
            simulator,
            table,
            bus,
            lambda,
            proxies,
            http,
            began: now(),
        };
        let fields = ["thing1", "time2", "const3"].map(str::to_owned).to_vec();
        let listed = ListedTemplates {
            templates: [(TEMPLATE_ID.to_owned(), fields)].into_iter().collect(),
            listed_at: now(),
        };
        stage.store().save_templates(&listed).await.unwrap();
        stage
    }

    pub(crate) fn proxy(&self, service: Service) -> &FaultProxy {
        &self.proxies[&service]
    }

    pub(crate) fn app_id(&self) -> &str {
        &self.simulator.account().app_id
    }

    /// The table, past its proxy.
    pub(crate) fn store(&self) -> Table {
        Table::new(self.table.client(), TABLE_NAME, self.app_id())
    }

    pub(crate) async fn mend(&self) {
        for proxy in self.proxies.values() {
            proxy.mend().await;
        }
    }

    /// Starts a function, and waits until it serves: what it reads at its start is done then. Requests are counted from
    /// here.
    pub(crate) async fn serving(&self, program: Program) -> Function {
        self.serving_with(program, &[]).await
    }

    /// The same with `changes` to its environment.
    pub(crate) async fn serving_with(&self, program: Program, changes: &[(&str, &str)]) -> Function {
        let mut function = self.start(program, changes).await;
        match program {
            Program::Webhook => {
                let event = self.callback_check();
                assert_eq!(status(&function.invoke(&event).await), 200);
            }
            Program::SendTemplate | Program::Admin => {
                let event = request("GET", "/api/nothing", None, None);
                assert_eq!(status(&function.invoke(&event).await), 404);
            }
            Program::Worker => {
                let event = json!({"action": "run"});
                assert_eq!(status(&function.invoke(&event).await), 200);
            }
            // It has nothing that it could be asked without consequences.
            Program::TokenRefresher => {
                while self.proxy(Service::Table).requests().is_empty() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
        self.mend().await;
        function
    }

    /// Starts a function with `changes` to its environment.
    pub(crate) async fn start(&self, program: Program, changes: &[(&str, &str)]) -> Function {
        let account = self.simulator.account();
        let endpoint = |service| self.proxy(service).endpoint();
        let (table, wechat) = (endpoint(Service::Table), endpoint(Service::WeChat));
        let (lambda, bus) = (endpoint(Service::Lambda), endpoint(Service::EventBus));
        let mut variables = environment(account, &table, &wechat);
        variables.extend([
            ("WECHAT_TOKEN", account.token.as_str()),
            ("WECHAT_MESSAGE_MODE", "plain"),
            ("TOKEN_REFRESHER_FUNCTION", "token-refresher"),
            ("WORKER_FUNCTION", "worker"),
            ("API_KEYS", API_KEY),
            ("EVENT_BUS_NAME", BUS),
            ("AWS_ENDPOINT_URL_LAMBDA", &lambda),
            ("AWS_ENDPOINT_URL_EVENTBRIDGE", &bus),
        ]);
        if program == Program::TokenRefresher {
            variables.push(("WECHAT_APP_SECRET", &account.app_secret));
        }
        variables.extend(changes);
        Function::start(program.path(), &variables).await.unwrap()
    }

    pub(crate) async fn control(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.simulator.base_url());
        let response = self.http.post(url).json(body).send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.status());
        response.json().await.unwrap()
    }

    async fn look(&self, path: &str) -> Vec<Value> {
        let url = format!("{}{path}", self.simulator.base_url());
        self.http.get(url).send().await.unwrap().json().await.unwrap()
    }

    /// The template messages that the follower got.
    pub(crate) async fn phone(&self) -> Vec<Value> {
        self.look(&format!("/sim/phones/{FOLLOWER}")).await
    }

    /// How often the platform itself was asked at `path`.
    pub(crate) async fn calls(&self, path: &str) -> usize {
        let calls = self.look("/sim/calls").await;
        calls.iter().filter(|call| call["path"] == path).count()
    }

    /// Runs the worker with all that was handed over, as Lambda does, and tells how much that was.
    pub(crate) async fn run_worker(&self) -> usize {
        self.let_claims_end().await;
        let kept = self.lambda.kept();
        let mut worker = self.serving(Program::Worker).await;
        for event in &kept {
            let seen = ask(&mut worker, event).await;
            assert_eq!(seen.status, 200, "{seen:?}");
        }
        kept.len()
    }

    /// Lets the claims and leases of processes that are gone end, as they do by themselves in less than a minute.
    pub(crate) async fn let_claims_end(&self) {
        let client = self.table.client();
        let items = client.scan().table_name(TABLE_NAME).send().await.unwrap();
        for item in items.items() {
            for name in ["claim_expires_at", "lease_expires_at"] {
                if item.contains_key(name) {
                    let ended = client
                        .update_item()
                        .table_name(TABLE_NAME)
                        .key("pk", item["pk"].clone())
                        .update_expression(format!("SET {name} = :now"))
                        .expression_attribute_values(":now", AttributeValue::N(now().to_string()))
                        .send();
                    ended.await.unwrap();
                }
            }
        }
    }

    /// Writes numbers into the token item, as a process with another clock would.
    pub(crate) async fn write_token(&self, attributes: &[(&str, i64)]) {
        for (name, value) in attributes {
            let update = self.table.client().update_item().table_name(TABLE_NAME);
            update
                .key("pk", AttributeValue::S(format!("token#{}", self.app_id())))
                .update_expression("SET #name = :value")
                .expression_attribute_names("#name", *name)
                .expression_attribute_values(":value", AttributeValue::N(value.to_string()))
                .send()
                .await
                .unwrap();
        }
    }

    /// What signs a callback, `off` seconds from now.
    fn signed(&self, off: i64) -> Vec<(&'static str, String)> {
        let timestamp = (now() + off).to_string();
        let signature = signature::sign(&[&self.simulator.account().token, &timestamp, "998877"]);
        vec![
            ("signature", signature),
            ("timestamp", timestamp),
            ("nonce", "998877".to_owned()),
        ]
    }

    fn callback_check(&self) -> Value {
        let mut query = self.signed(0);
        query.push(("echostr", "4375120948345356249".to_owned()));
        with_query("GET", &query, None)
    }

    /// A callback of plain mode, made and signed `off` seconds from now.
    pub(crate) fn callback(&self, msg_type: &str, fields: &str, off: i64) -> Value {
        self.callback_of(now() + off, msg_type, fields, off)
    }

    fn callback_of(&self, created_at: i64, msg_type: &str, fields: &str, off: i64) -> Value {
        let account = &self.simulator.account().original_id;
        let xml = format!(
            "<xml><ToUserName>{account}</ToUserName><FromUserName>{FOLLOWER}</FromUserName>\
             <CreateTime>{created_at}</CreateTime><MsgType>{msg_type}</MsgType>{fields}</xml>",
        );
        with_query("POST", &self.signed(off), Some(&xml))
    }

    /// What `worker` is asked when the effects of the callback in `event` have failed.
    pub(crate) fn late(event: &Value) -> Value {
        let document = Tree::parse(event["body"].as_str().unwrap().as_bytes()).unwrap();
        LateEffects::event(&Callback::from_document(document).unwrap(), now(), true)
    }

    /// The receipt of the template message `msgid`, the same at each delivery.
    pub(crate) fn receipt(&self, msgid: &str) -> Value {
        let fields = format!("<Event>TEMPLATESENDJOBFINISH</Event><MsgID>{msgid}</MsgID><Status>success</Status>");
        self.callback_of(self.began, "event", &fields, 0)
    }
}

fn environment<'a>(account: &'a Account, table: &'a str, wechat: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("WECHAT_APP_ID", &account.app_id),
        ("WECHAT_API_BASE", wechat),
        ("TABLE_NAME", TABLE_NAME),
        ("AWS_ENDPOINT_URL_DYNAMODB", table),
    ]
}

/// AWS Lambda with the built token-refresher, which nothing stands before.
async fn token_refresher(simulator: &Simulator, table: &EmbeddedTable) -> LambdaApi {
    let (account, endpoint, base) = (simulator.account().clone(), table.endpoint(), simulator.base_url());
    let running: Arc<OnceLock<Mutex<Function>>> = Arc::default();
    let starting = Arc::new(Mutex::new(()));
    let run = move |event: Value| {
        let (account, endpoint, base) = (account.clone(), endpoint.clone(), base.clone());
        let (running, starting) = (Arc::clone(&running), Arc::clone(&starting));
        async move {
            let one_at_a_time = starting.lock().await;
            if running.get().is_none() {
                let mut variables = environment(&account, &endpoint, &base);
                variables.push(("WECHAT_APP_SECRET", &account.app_secret));
                let function = Function::start(Program::TokenRefresher.path(), &variables).await;
                let _ = running.set(Mutex::new(function.unwrap()));
            }
            drop(one_at_a_time);
            let function = running.get().unwrap_or_else(|| panic!("it was started above"));
            match function.lock().await.invoke(&event).await {
                Outcome::Answered(answer) => Ok(answer),
                Outcome::Failed(error) | Outcome::InitFailed(error) => Err(error),
            }
        }
    };
    LambdaApi::start(run).await.unwrap()
}

/// The faults of a table.
pub(crate) fn table_faults() -> Vec<(&'static str, Fault)> {
    let dynamodb = |status, code: &str| {
        let body =
            json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "broken by the suite"});
        Fault::json(status, body)
    };
    let mut faults = service_faults();
    faults.splice(
        2..2,
        [
            ("throttles", dynamodb(400, "ProvisionedThroughputExceededException")),
            ("throttles", dynamodb(400, "ThrottlingException")),
            ("fails inside, 500", dynamodb(500, "InternalServerError")),
        ],
    );
    faults
}

/// The faults that any service may have. All last.
pub(crate) fn service_faults() -> Vec<(&'static str, Fault)> {
    vec![
        ("refuses connections", Fault::Refuse),
        ("resets connections", Fault::Reset),
        ("freezes", Fault::Freeze),
        ("is slow", Fault::Delay(Duration::from_millis(300))),
        ("is very slow", Fault::Delay(Duration::from_secs(1))),
        ("answers garbage", garbage()),
        ("loses its answers", Fault::LoseAnswer),
    ]
}

pub(crate) fn garbage() -> Fault {
    Fault::Answer {
        status: 200,
        headers: vec![("content-type", "text/html")],
        body: "<html>please log in</html>".to_owned(),
    }
}

fn with_query(method: &str, query: &[(&str, String)], body: Option<&str>) -> Value {
    let mut event = testing::event("webhook-text");
    event["requestContext"]["http"]["method"] = json!(method);
    event["rawQueryString"] = json!(Serializer::new(String::new()).extend_pairs(query).finish());
    event["queryStringParameters"] = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
    event["body"] = json!(body);
    event
}

/// A request to `/api/*`, with a key of the API and, if given, an `Idempotency-Key`.
pub(crate) fn request(method: &str, path: &str, body: Option<&Value>, key: Option<&str>) -> Value {
    let mut event = testing::event("menu-create");
    event["rawPath"] = json!(path);
    event["requestContext"]["http"]["path"] = json!(path);
    event["requestContext"]["http"]["method"] = json!(method);
    event["headers"]["authorization"] = json!(format!("Bearer {API_KEY}"));
    if let Some(key) = key {
        event["headers"]["idempotency-key"] = json!(key);
    }
    event["body"] = body.map_or(Value::Null, |body| json!(body.to_string()));
    event
}

/// A send to the follower.
pub(crate) fn message() -> Value {
    json!({
        "touser": FOLLOWER,
        "template_id": TEMPLATE_ID,
        "data": {"thing1": "项目审核", "time2": "2024年7月19日 10:00", "const3": "通过"},
    })
}

pub(crate) fn send(key: Option<&str>) -> Value {
    request("POST", "/api/sendTemplateMessage", Some(&message()), key)
}

/// What became of a request, and how long it took.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: u64,
    pub(crate) body: Value,
    pub(crate) told: String,
    pub(crate) took: Duration,
}

pub(crate) async fn ask(function: &mut Function, event: &Value) -> Seen {
    ask_within(function, event, Duration::from_secs(30)).await
}

/// Invokes with so much time to the deadline.
pub(crate) async fn ask_within(function: &mut Function, event: &Value, left: Duration) -> Seen {
    let deadline = now_millis() + i64::try_from(left.as_millis()).unwrap();
    ask_until(function, event, deadline).await
}

/// Invokes with a deadline in epoch milliseconds.
pub(crate) async fn ask_until(function: &mut Function, event: &Value, deadline: i64) -> Seen {
    let started = Instant::now();
    let outcome = function.invoke_until(event, u64::try_from(deadline).unwrap()).await;
    let took = started.elapsed();
    let (status, body) = (status(&outcome), body(&outcome));
    Seen {
        status,
        told: tell(&outcome, status, &body),
        body,
        took,
    }
}

/// 0 for a function error.
fn status(outcome: &Outcome) -> u64 {
    match outcome {
        Outcome::Answered(answer) => answer["statusCode"].as_u64().unwrap_or(200),
        Outcome::Failed(_) | Outcome::InitFailed(_) => 0,
    }
}

fn body(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Answered(answer) => match answer["body"].as_str() {
            Some(text) => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
            None => answer.clone(),
        },
        Outcome::Failed(error) | Outcome::InitFailed(error) => error.clone(),
    }
}

/// The outcome in a few words: the status and the type of a problem, and what else a caller needs is there.
fn tell(outcome: &Outcome, status: u64, body: &Value) -> String {
    if let Outcome::Failed(error) | Outcome::InitFailed(error) = outcome {
        return format!("function error `{}`", error["errorType"].as_str().unwrap_or("?"));
    }
    let mut told = status.to_string();
    if let Some(kind) = body["type"].as_str() {
        told += &format!(" `{}`", kind.rsplit(':').next().unwrap_or(kind));
    }
    if let Some(errcode) = body["errcode"].as_i64().filter(|errcode| *errcode != 0) {
        told += &format!(" (errcode {errcode})");
    }
    for (member, words) in [("hint", "with a hint"), ("retry_after", "with `Retry-After`")] {
        if !body[member].is_null() && body["type"].is_string() {
            told += &format!(", {words}");
        }
    }
    told
}

pub(crate) fn now_millis() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

pub(crate) fn now() -> i64 {
    now_millis() / 1000
}
