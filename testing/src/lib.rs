//! The stage of all tests. A [`Stage`] is a WeChat, a table and the AWS services around a function; a [`Function`] is a
//! built binary on a Lambda Runtime API; [`event`] makes what API Gateway and WeChat hand over. A stage that cannot be set
//! up panics.
//!
//! The stage knows the bundle from outside only: its processes, the attributes of its table, its HTTP. A [`CampaignStage`] makes
//! and reads campaigns through the functions' own store: their ledgers are too much to write twice.
//!
//! ```ignore
//! let stage = Stage::with_token().await;
//! let mut send = stage.function(env!("CARGO_BIN_EXE_send-template")).await;
//! let answer = send.post("/api/sendTemplateMessage", &message()).key("order-1").await;
//! assert_eq!(answer.status, 200);
//! assert_eq!(stage.wechat.calls("/cgi-bin/message/template/send").await, 1);
//! ```

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod account;
mod browser;
pub mod event;
mod function;
mod manual_clock;
mod service;
mod stage;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use ::embedded_table::{TABLE_NAME, create_table};
pub use browser::{Browser, PUBLIC_URL, parameter};
pub use function::{Asking, Function, Outcome, Response};
pub use manual_clock::ManualClock;
pub use service::{
    Authority, EventBus, Fault, FaultProxy, Invoked, LambdaApi, OwnAnswer, OwnCode, OwnRequest, SecretsManager,
    TableServer, TlsFront, loopback,
};
pub use stage::{
    CAMPAIGN, CampaignStage, SEND, Service, Setup, Stage, Table, WeChat, message, message_for, message_to, plan,
    scheduled_message,
};

/// An HTTP client for loopback. It uses no proxy, and reads no root certificates: in a test build that takes longer than a test.
#[must_use]
pub fn http_client() -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy().tls_certs_only([]);
    builder.build().unwrap()
}

/// Looks every 10 ms until `look` finds something, and returns it. Panics after 30 s: `what` never came.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(30) {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} never came");
}

/// The time in epoch seconds.
#[must_use]
pub fn now() -> i64 {
    now_millis() / 1000
}

/// The time in epoch milliseconds.
#[must_use]
pub fn now_millis() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since_epoch.as_millis()).unwrap()
}
