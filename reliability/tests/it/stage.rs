//! The whole deployment on one machine, with a proxy before everything that a function touches.

use std::{
    collections::BTreeSet,
    ops::Deref,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use simulator::FOLLOWER;
use testing::{
    Fault, Function, Outcome, OwnCode, PUBLIC_URL, Service, Setup,
    account::{APP_SECRET, ORIGINAL_ID, TOKEN},
    event::{Request, callback, check, message_from, post},
    eventually, message, now, now_millis,
};

/// The secret that signs what own code gets.
const FORWARD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// The binding of `u-1`.
pub(crate) const BINDING: &str = "0123456789abcdef0123456789abcdef";

/// A function of the bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Webhook,
    TokenRefresher,
    SendTemplate,
    Admin,
    Worker,
    Users,
    Relay,
}

impl Program {
    const fn path(self) -> &'static str {
        match self {
            Self::Webhook => env!("CARGO_BIN_EXE_webhook-under-test"),
            Self::TokenRefresher => env!("CARGO_BIN_EXE_token-refresher-under-test"),
            Self::SendTemplate => env!("CARGO_BIN_EXE_send-template-under-test"),
            Self::Admin => env!("CARGO_BIN_EXE_admin-under-test"),
            Self::Worker => env!("CARGO_BIN_EXE_worker-under-test"),
            Self::Users => env!("CARGO_BIN_EXE_users-under-test"),
            Self::Relay => env!("CARGO_BIN_EXE_relay-under-test"),
        }
    }
}

/// What the document calls a service.
pub(crate) const fn called(service: Service) -> &'static str {
    match service {
        Service::Table => "the table",
        Service::WeChat => "WeChat",
        Service::Lambda => "the refresher",
        Service::EventBus => "the event bus",
    }
}

/// The stage of a deployment, each service behind its proxy.
pub(crate) struct Stage {
    stage: testing::Stage,
    /// What the worker asks. The webhook does not, unless its variables say so.
    pub(crate) own_code: OwnCode,
    /// In epoch seconds.
    began: i64,
}

impl Deref for Stage {
    type Target = testing::Stage;

    fn deref(&self) -> &testing::Stage {
        &self.stage
    }
}

impl Stage {
    /// With a living token and the list of templates in the table, as a deployment has after a minute.
    pub(crate) async fn new() -> Self {
        let stage = Self::without_token().await;
        Self {
            stage: stage.stage.token().await,
            ..stage
        }
    }

    pub(crate) async fn without_token() -> Self {
        let setup = Setup {
            refresher: Some(Program::TokenRefresher.path()),
            ..Setup::default()
        };
        let mut stage = testing::Stage::set_up(setup).await.behind_proxies().await;
        stage.set([
            ("WECHAT_TOKEN", TOKEN),
            ("WECHAT_MESSAGE_MODE", "plain"),
            ("WORKER_FUNCTION", "worker"),
            ("EVENT_BUS_NAME", "callbacks"),
            ("PUBLIC_URL", PUBLIC_URL),
            ("LOGIN_HOSTS", "shop.example.com"),
            ("JSSDK_HOSTS", "shop.example.com"),
        ]);
        let open_base = stage.wechat.endpoint();
        stage.set([("WECHAT_OPEN_BASE", open_base)]);
        let templates = json!({ simulator::TEMPLATE_ID: ["thing1", "time2", "const3"] });
        stage.table.keep_templates(&templates, 0).await;
        Self {
            stage,
            own_code: OwnCode::start().await,
            began: now(),
        }
    }

    /// Starts a function, waits until it has read what it reads at its start, and counts requests from then on.
    pub(crate) async fn serving(&self, program: Program) -> Function {
        self.serving_with(program, &[]).await
    }

    /// The same with `changes` to its environment.
    pub(crate) async fn serving_with(&self, program: Program, changes: &[(&str, &str)]) -> Function {
        let mut function = self.start(program, changes).await;
        match program {
            Program::Webhook => assert_eq!(function.send(&check(TOKEN)).await.status, 200),
            Program::SendTemplate | Program::Admin | Program::Users => {
                assert_eq!(function.get("/api/nothing").await.status, 404);
            }
            Program::Relay => assert_eq!(function.get("/cgi-bin/nothing").await.status, 200),
            Program::Worker => {
                function.fail(&json!({"action": "none"})).await;
            }
            // Every event would make it refresh the token, so this waits for its first request to the table.
            Program::TokenRefresher => {
                let asked = || async { (!self.proxy(Service::Table).requests().is_empty()).then_some(()) };
                eventually("its first request", asked).await;
            }
        }
        self.mend().await;
        function
    }

    /// Starts a function with `changes` to its environment.
    pub(crate) async fn start(&self, program: Program, changes: &[(&str, &str)]) -> Function {
        let own_code = self.own_code.endpoint();
        let own: &[(&str, &str)] = match program {
            Program::TokenRefresher => &[("WECHAT_APP_SECRET", APP_SECRET)],
            Program::Worker => &[("FORWARD_URL", &own_code), ("FORWARD_SECRET", FORWARD_SECRET)],
            _ => &[],
        };
        let changes = [own, changes].concat();
        self.function_with(program.path(), &changes).await
    }

    /// Ends the claim of a run that asked own code for the callback `id`, as it ends by itself after 25 s.
    pub(crate) async fn end_forward_claim(&self, id: &str) {
        if self.table.item(&format!("forward#{id}")).await["state"] == "waiting" {
            let ended = json!({"claim_expires_at": now() - 1, "isk": now() - 1});
            self.table.set(&format!("forward#{id}"), &ended).await;
        }
    }

    /// The follower writes to the account, so it may answer.
    pub(crate) async fn follower_writes(&self) {
        let message = json!({"openid": FOLLOWER, "type": "text", "content": "hello"});
        self.wechat.control("message", &message).await;
    }

    /// The template messages that the follower got.
    pub(crate) async fn phone(&self) -> Vec<Value> {
        self.wechat.phone(FOLLOWER).await
    }

    /// Runs the worker with every event that was handed over, as Lambda does, and returns how many there were.
    pub(crate) async fn run_worker(&self) -> usize {
        self.table.end_claims().await;
        let kept = self.lambda.kept();
        let mut worker = self.serving(Program::Worker).await;
        for event in &kept {
            let seen = ask(&mut worker, event).await;
            assert_eq!(seen.status, 200, "{seen:?}");
        }
        kept.len()
    }

    /// A callback of plain mode, made and signed `off` seconds from now.
    pub(crate) fn callback(&self, msg_type: &str, fields: &str, off: i64) -> Request {
        let at = now() + off;
        callback(message_from(FOLLOWER, at, msg_type, fields))
            .at(&at.to_string())
            .plain()
    }

    /// The receipt of the template message `msgid`, the same at each delivery.
    pub(crate) fn receipt(&self, msgid: &str) -> Request {
        let fields = format!("<Event>TEMPLATESENDJOBFINISH</Event><MsgID>{msgid}</MsgID><Status>success</Status>");
        callback(message_from(FOLLOWER, self.began, "event", &fields)).plain()
    }

    /// Begins the binding of `u-1` whose code the follower scans, or whose link the follower opens.
    pub(crate) async fn begin_binding(&self) {
        let ends = self.began + 600;
        let binding = json!({"user": "u-1", "expires_at": ends, "ttl": ends + 24 * 3600});
        self.table.set(&format!("bind#{BINDING}"), &binding).await;
    }

    /// The follower's scan of that code, the same at each delivery.
    pub(crate) fn scan(&self) -> Request {
        let fields = format!("<Event>SCAN</Event><EventKey>bind.{BINDING}</EventKey><Ticket>t</Ticket>");
        callback(message_from(FOLLOWER, self.began, "event", &fields)).plain()
    }

    /// Asserts that `u-1` and the follower are tied, and by that binding.
    pub(crate) async fn assert_bound(&self) {
        let binding = self.table.item(&format!("bind#{BINDING}")).await;
        assert_eq!(binding["openid"], FOLLOWER);
        assert_eq!(self.ties().await, ties([("u-1", FOLLOWER)]));
    }

    /// Who is who: pairs of a user and an openid. Asserts that they are tied one to one.
    pub(crate) async fn ties(&self) -> BTreeSet<(String, String)> {
        let (mut users, mut openids) = (BTreeSet::new(), BTreeSet::new());
        for item in self.table.items().await {
            let mut pk = item["pk"].as_str().unwrap().splitn(3, '#');
            let (kind, id) = (pk.next().unwrap(), pk.nth(1).unwrap_or_default().to_owned());
            let other = |name: &str| item[name].as_str().unwrap().to_owned();
            match kind {
                "user" => drop(users.insert((id, other("openid")))),
                "openid" => drop(openids.insert((other("user"), id))),
                _ => {}
            }
        }
        assert_eq!(users, openids, "a user and an openid do not point at each other");
        users
    }

    /// Ties `u-1` and the follower, as an import does.
    pub(crate) async fn tie(&self) {
        let user = json!({"openid": FOLLOWER, "bound_at": self.began});
        self.table.set("user#u-1", &user).await;
        let openid = json!({"user": "u-1"});
        self.table.set(&format!("openid#{FOLLOWER}"), &openid).await;
    }

    /// The event by which the webhook hands the effects of that receipt over to `worker`.
    pub(crate) fn late_receipt(&self, msgid: &str) -> Value {
        let callback = json!({
            "ToUserName": ORIGINAL_ID, "FromUserName": FOLLOWER, "CreateTime": self.began.to_string(), "MsgType": "event",
            "Event": "TEMPLATESENDJOBFINISH", "MsgID": msgid, "Status": "success",
        });
        json!({"action": "effects", "received_at": now(), "publish": true, "callback": callback})
    }
}

/// What [`Stage::ties`] returns when these pairs are tied.
pub(crate) fn ties<const N: usize>(pairs: [(&str, &str); N]) -> BTreeSet<(String, String)> {
    let pairs = pairs.map(|(user, openid)| (user.to_owned(), openid.to_owned()));
    BTreeSet::from(pairs)
}

/// The faults of `service`.
pub(crate) fn faults_of(service: Service) -> Vec<(&'static str, Fault)> {
    match service {
        Service::Table => table_faults(),
        _ => service_faults(),
    }
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

/// The faults of any service. Each lasts until it is mended.
pub(crate) fn service_faults() -> Vec<(&'static str, Fault)> {
    vec![
        ("refuses connections", Fault::Refuse),
        ("resets connections", Fault::Reset),
        ("freezes", Fault::Freeze),
        ("is slow", Fault::Delay(Duration::from_millis(300))),
        ("is very slow", Fault::Delay(Duration::from_millis(1_200))),
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

/// A send to the follower, with an `Idempotency-Key` if there is one.
pub(crate) fn send(key: Option<&str>) -> Request {
    let send = post("/api/sendTemplateMessage", &message());
    match key {
        Some(key) => send.key(key),
        None => send,
    }
}

/// The outcome of a request, and how long it took.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: u64,
    pub(crate) body: Value,
    pub(crate) outcome: String,
    pub(crate) took: Duration,
}

pub(crate) async fn ask(function: &mut Function, event: &Value) -> Seen {
    ask_within(function, event, Duration::from_secs(30)).await
}

/// Invokes with `left` to the deadline.
pub(crate) async fn ask_within(function: &mut Function, event: &Value, left: Duration) -> Seen {
    let deadline = now_millis() + i64::try_from(left.as_millis()).unwrap();
    ask_until(function, event, deadline).await
}

/// Invokes with a deadline in epoch milliseconds.
pub(crate) async fn ask_until(function: &mut Function, event: &Value, deadline: i64) -> Seen {
    let started = Instant::now();
    let outcome = function.invoke_until(event, deadline).await;
    let took = started.elapsed();
    let (status, body) = (status(&outcome), body(&outcome));
    Seen {
        status,
        outcome: outcome_text(&outcome, status, &body),
        body,
        took,
    }
}

/// The HTTP status; 200 for an answer without one, 0 for a function error.
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

/// The outcome in a few words: the status, the type of a problem, and whether it has a hint and a time to retry.
fn outcome_text(outcome: &Outcome, status: u64, body: &Value) -> String {
    if let Outcome::Failed(error) | Outcome::InitFailed(error) = outcome {
        return format!("function error `{}`", error["errorType"].as_str().unwrap_or("?"));
    }
    let mut text = status.to_string();
    if let Some(kind) = body["type"].as_str() {
        text += &format!(" `{}`", kind.rsplit(':').next().unwrap_or(kind));
    }
    if let Some(errcode) = body["errcode"].as_i64().filter(|errcode| *errcode != 0) {
        text += &format!(" (errcode {errcode})");
    }
    for (member, words) in [("hint", "with a hint"), ("retry_after", "with `Retry-After`")] {
        if !body[member].is_null() && body["type"].is_string() {
            text += &format!(", {words}");
        }
    }
    text
}
