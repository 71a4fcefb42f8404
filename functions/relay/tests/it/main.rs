//! The built binary against the simulated platform, or a server that shows what exactly it was sent, and an embedded table.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod calls;
mod outages;
mod raw_server;
mod refusals;
mod tokens;

use std::ops::{Deref, DerefMut};

use serde_json::{Value, json};
use testing::{
    Function, Response, Stage,
    account::APP_ID,
    event::{Request, api, sample},
};

const BINARY: &str = env!("CARGO_BIN_EXE_relay");
/// Keys of the table, and their ids.
const SHOP: &str = "wk_000000000000000000000000000shop1";
const SHOP_ID: &str = "shop1";
const MENUS: &str = "wk_00000000000000000000000000menus1";
const SENDER: &str = "wk_0000000000000000000000000sender1";

/// The function on its stage.
struct Relay {
    function: Function,
    stage: Stage,
}

impl Relay {
    /// With a token and keys in the table.
    async fn start() -> Self {
        Self::on(Stage::with_token().await).await
    }

    /// On `stage`, with keys in its table.
    async fn on(stage: Stage) -> Self {
        save_keys(&stage).await;
        Self {
            function: stage.function(BINARY).await,
            stage,
        }
    }

    /// With an access_token for `key`.
    async fn caller(&mut self, key: &str) -> String {
        token_of(&mut self.function, key).await
    }
}

impl Deref for Relay {
    type Target = Function;

    fn deref(&self) -> &Function {
        &self.function
    }
}

impl DerefMut for Relay {
    fn deref_mut(&mut self) -> &mut Function {
        &mut self.function
    }
}

/// Saves three keys: one may relay everything, one only menus, one nothing.
async fn save_keys(stage: &Stage) {
    let menus = json!({"name": "menus", "scopes": ["relay"], "paths": ["/cgi-bin/menu"]});
    let keys = [
        (SHOP, json!({"name": "shop", "scopes": ["relay"]})),
        (MENUS, menus),
        (SENDER, json!({"name": "sender", "scopes": ["send"]})),
    ];
    stage.table.save_keys(&keys).await;
}

/// What an SDK sends: no header of ours.
fn call(method: &str, path_and_query: &str) -> Request {
    api(method, path_and_query).keyless()
}

fn get_token(key: &str) -> Request {
    let query = format!("grant_type=client_credential&appid={APP_ID}&secret={key}");
    call("GET", &format!("/cgi-bin/token?{query}"))
}

async fn token_of(function: &mut Function, key: &str) -> String {
    let (status, answer) = function.send(&get_token(key)).await.parts();
    assert_eq!(status, 200, "{answer}");
    answer["access_token"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"))
        .to_owned()
}

/// The JSON of an answer, whatever its type.
fn json_of(response: &Response) -> Value {
    assert_eq!(response.status, 200, "{response:?}");
    match &response.body {
        Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| panic!("{response:?}")),
        json => json.clone(),
    }
}

/// The errcode of an answer in WeChat's form.
fn errcode(response: &Response) -> i64 {
    json_of(response)["errcode"]
        .as_i64()
        .unwrap_or_else(|| panic!("{response:?}"))
}

/// The last line of the log about a call.
fn line(function: &Function) -> Value {
    let mut lines = function.log_lines().into_iter();
    lines.rfind(|line| line["message"] == "call relayed").unwrap()
}

#[tokio::test]
async fn the_sample_events_are_served() {
    let mut stage = Stage::with_token().await;
    stage.set([("API_KEYS", "events-key")]);
    let mut function = stage.function(BINARY).await;
    let issued = function.send(&sample("relay-token")).await;
    assert_eq!(issued.body["expires_in"], 7200, "{issued:?}");
    assert_eq!(errcode(&function.send(&sample("relay-call")).await), 40001);
}
