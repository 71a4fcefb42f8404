//! The built binary against the simulated WeChat and the embedded table. Every test runs it at the most talkative log
//! level, and whatever it writes or answers is searched for secrets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod concurrency;
mod failures;
mod runs;
mod start;

use std::{
    ops::{Deref, DerefMut},
    time::{SystemTime, UNIX_EPOCH},
};

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use simulator::{Account, Settings, Simulator};
use testing::{EmbeddedTable, Function, Outcome, TABLE_NAME};
use tokio::net::TcpListener;
use wechat::digest::sha256_hex;

const BINARY: &str = env!("CARGO_BIN_EXE_token-refresher");
const STABLE_TOKEN: &str = "/cgi-bin/stable_token";
const CLASSIC_TOKEN: &str = "/cgi-bin/token";
/// With what the simulator's tokens begin.
const TOKEN_PREFIX: &str = "97_";

/// A table, a WeChat, and the environment of a function between them.
struct Bench {
    table: EmbeddedTable,
    simulator: Simulator,
    http: reqwest::Client,
    variables: Vec<(&'static str, String)>,
}

impl Bench {
    async fn new() -> Self {
        let table = EmbeddedTable::start(None).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let simulator = Simulator::start(listener, Settings::default()).unwrap();
        let Account { app_id, app_secret, .. } = simulator.account().clone();
        let variables = vec![
            ("WECHAT_APP_ID", app_id),
            ("WECHAT_APP_SECRET", app_secret),
            ("WECHAT_API_BASE", simulator.base_url()),
            ("TABLE_NAME", TABLE_NAME.to_owned()),
            ("AWS_ENDPOINT_URL_DYNAMODB", table.endpoint()),
            ("AWS_LAMBDA_LOG_LEVEL", "TRACE".to_owned()),
        ];
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            table,
            simulator,
            http,
            variables,
        }
    }

    /// Sets a variable of the functions that are started from now on; an empty value unsets it.
    fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.variables.retain(|(present, _)| *present != name);
        self.variables.push((name, value.into()));
    }

    async fn start(&self) -> Tested {
        let variables: Vec<_> = self
            .variables
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        Tested {
            function: Function::start(BINARY, &variables).await.unwrap(),
            said: String::new(),
            app_secret: self.simulator.account().app_secret.clone(),
        }
    }

    async fn control(&self, path: &str, body: Value) {
        let url = format!("{}/sim/{path}", self.simulator.base_url());
        let answer = self.http.post(url).body(body.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    }

    async fn fault(&self, fault: Value) {
        self.control("faults", fault).await;
    }

    /// The calls that WeChat has received.
    async fn calls(&self) -> Vec<Value> {
        let url = format!("{}/sim/calls", self.simulator.base_url());
        let text = self.http.get(url).send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap()
    }

    async fn forced_calls(&self) -> usize {
        let calls = self.calls().await;
        calls
            .iter()
            .filter(|call| call["body"]["force_refresh"] == true)
            .count()
    }

    fn key(&self) -> AttributeValue {
        AttributeValue::S(format!("token#{}", self.simulator.account().app_id))
    }

    /// Writes attributes of the token item, as an operator or another program would.
    async fn put(&self, attributes: Vec<(&str, AttributeValue)>) {
        let mut update = self
            .table
            .client()
            .update_item()
            .table_name(TABLE_NAME)
            .key("pk", self.key());
        let mut sets = Vec::new();
        for (name, value) in attributes {
            sets.push(format!("{name} = :{name}"));
            update = update.expression_attribute_values(format!(":{name}"), value);
        }
        update
            .update_expression(format!("SET {}", sets.join(", ")))
            .send()
            .await
            .unwrap();
    }

    async fn item(&self) -> Item {
        let get = self
            .table
            .client()
            .get_item()
            .table_name(TABLE_NAME)
            .key("pk", self.key());
        Item(get.send().await.unwrap().item.unwrap_or_default())
    }

    /// A refreshed function with its token.
    async fn refreshed(&self) -> Tested {
        let mut function = self.start().await;
        let done = function.succeed(&refresh()).await;
        assert_eq!((&done["refreshed"], &done["generation"]), (&json!(true), &json!(1)));
        function
    }

    /// A request to replace the token that is stored now.
    async fn replace(&self) -> Value {
        let stale = sha256_hex(self.item().await.text("access_token").as_bytes());
        json!({"action": "replace", "stale_token_sha256": stale})
    }
}

/// The token item as the table holds it.
#[derive(Debug)]
struct Item(std::collections::HashMap<String, AttributeValue>);

impl Item {
    fn text(&self, name: &str) -> &str {
        self.0[name].as_s().unwrap()
    }

    fn number(&self, name: &str) -> i64 {
        self.0[name].as_n().unwrap().parse().unwrap()
    }

    fn has_lease(&self) -> bool {
        self.0.contains_key("lease_owner") || self.0.contains_key("lease_expires_at")
    }
}

/// A running function. All that it wrote and answered is searched for secrets when it is dropped.
struct Tested {
    function: Function,
    said: String,
    app_secret: String,
}

impl Tested {
    async fn invoke(&mut self, event: &Value) -> Outcome {
        let outcome = self.function.invoke(event).await;
        self.said += &format!("{outcome:?}\n");
        outcome
    }

    /// Invokes with so many milliseconds to the deadline.
    async fn invoke_within(&mut self, event: &Value, millis: u64) -> Outcome {
        let outcome = self.function.invoke_until(event, now_millis() + millis).await;
        self.said += &format!("{outcome:?}\n");
        outcome
    }

    async fn succeed(&mut self, event: &Value) -> Value {
        match self.invoke(event).await {
            Outcome::Answered(done) => done,
            other => panic!("{other:?}\n{}", self.logs()),
        }
    }

    /// The type and the message of the function error.
    async fn fail(&mut self, event: &Value) -> (String, String) {
        error_of(self.invoke(event).await)
    }
}

impl Deref for Tested {
    type Target = Function;

    fn deref(&self) -> &Function {
        &self.function
    }
}

impl DerefMut for Tested {
    fn deref_mut(&mut self) -> &mut Function {
        &mut self.function
    }
}

impl Drop for Tested {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let told = format!("{}{}", self.said, self.logs());
        for secret in [self.app_secret.as_str(), TOKEN_PREFIX, "proxy-pass"] {
            assert!(!told.contains(secret), "{secret} was told:\n{told}");
        }
    }
}

fn error_of(outcome: Outcome) -> (String, String) {
    match outcome {
        Outcome::Failed(error) => {
            let text = |name: &str| error[name].as_str().unwrap().to_owned();
            (text("errorType"), text("errorMessage"))
        }
        other => panic!("{other:?}"),
    }
}

fn refresh() -> Value {
    testing::event("refresh-on-demand")
}

fn now_millis() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since_epoch.as_millis()).unwrap()
}

fn now() -> i64 {
    i64::try_from(now_millis() / 1000).unwrap()
}

fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}
