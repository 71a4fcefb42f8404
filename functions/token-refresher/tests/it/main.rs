//! The built binary against the simulated WeChat and an embedded table, with a log of everything, in which each test looks
//! for secrets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod concurrency;
mod exchange;
mod failures;
mod runs;
mod start;
mod ticket;

use serde_json::{Value, json};
use testing::{Function, Stage, account::APP_SECRET, event::sample};

const BINARY: &str = env!("CARGO_BIN_EXE_token-refresher");
const STABLE_TOKEN: &str = "/cgi-bin/stable_token";
const CLASSIC_TOKEN: &str = "/cgi-bin/token";
const TICKET: &str = "/cgi-bin/ticket/getticket";

async fn stage() -> Stage {
    let mut stage = Stage::new().await;
    stage.set([("WECHAT_APP_SECRET", APP_SECRET), ("AWS_LAMBDA_LOG_LEVEL", "TRACE")]);
    stage
}

/// The same, with functions that use the classic interface.
async fn classic() -> Stage {
    let mut stage = stage().await;
    stage.set([("WECHAT_TOKEN_API", "token")]);
    stage
}

/// A function that has obtained the first token.
async fn refreshed(stage: &Stage) -> Function {
    let mut function = stage.function(BINARY).await;
    let done = function.succeed(&refresh()).await;
    assert_eq!((&done["refreshed"], &done["generation"]), (&json!(true), &json!(1)));
    function
}

/// How often WeChat was called.
async fn calls(stage: &Stage) -> usize {
    stage.wechat.all_calls().await.len()
}

async fn forced_calls(stage: &Stage) -> usize {
    let mut calls = stage.wechat.all_calls().await;
    calls.retain(|call| call["body"]["force_refresh"] == true);
    calls.len()
}

async fn token(stage: &Stage) -> Value {
    stage.table.item("token").await
}

/// Writes attributes of the token item, as an operator or another program would.
async fn put(stage: &Stage, attributes: Value) {
    stage.table.set("token", &attributes).await;
}

fn has_lease(token: &Value) -> bool {
    token.get("lease_owner").is_some() || token.get("lease_expires_at").is_some()
}

async fn is_free(stage: &Stage) -> bool {
    !has_lease(&token(stage).await)
}

fn refresh() -> Value {
    sample("refresh-on-demand")
}

/// The request to replace the token that is stored now.
async fn replace(stage: &Stage) -> Value {
    testing::event::replace(token(stage).await["access_token"].as_str().unwrap())
}
