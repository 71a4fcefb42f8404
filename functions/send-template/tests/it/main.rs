//! The built binary against the simulated platform and an embedded table.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod campaigns;
mod checked;
mod custom;
mod events;
mod failures;
mod history;
mod keys;
mod once;
mod sending;
mod settings;
mod tls;
mod users;

use serde_json::Value;
use testing::{
    Function, Response,
    event::{Request, post},
};

const BINARY: &str = env!("CARGO_BIN_EXE_send-template");
/// WeChat's calls.
const SEND: &str = "/cgi-bin/message/template/send";
const LIST: &str = "/cgi-bin/template/get_all_private_template";

/// `POST /api/sendTemplateMessage`.
fn request(body: &Value) -> Request {
    post("/api/sendTemplateMessage", body)
}

async fn send(function: &mut Function, body: &Value) -> Response {
    function.send(&request(body)).await
}

async fn send_with_key(function: &mut Function, body: &Value, key: &str) -> Response {
    function.send(&request(body).key(key)).await
}
