//! The function on its stage, and its answers as WeChat reads them.

use serde_json::Value;
use simulator::{
    Mode,
    crypto::{Cipher, sign},
};
use testing::{
    Function, Response, Stage,
    account::{AES_KEY, APP_ID, TOKEN},
    event::callback,
    eventually, now,
};
use wechat::xml::Tree;

const BINARY: &str = env!("CARGO_BIN_EXE_webhook");

pub(crate) const BUS: &str = "callbacks";

pub(crate) const MODES: [Mode; 3] = [Mode::Plain, Mode::Compat, Mode::Safe];

/// A stage for functions in a message mode, which publish nothing and hand nothing over.
pub(crate) async fn stage(mode: Mode) -> Stage {
    let mut stage = Stage::new().await;
    set_mode(&mut stage, mode);
    stage
}

/// A stage for functions in plain mode, with `rules` in its table.
pub(crate) async fn stage_with(rules: &Value) -> Stage {
    let stage = stage(Mode::Plain).await;
    stage.table.save_rules(rules).await;
    stage
}

pub(crate) fn set_mode(stage: &mut Stage, mode: Mode) {
    let aes_key = if mode == Mode::Plain { "" } else { AES_KEY };
    stage.set([
        ("WECHAT_TOKEN", TOKEN),
        ("WECHAT_ENCODING_AES_KEY", aes_key),
        ("WECHAT_MESSAGE_MODE", name(mode)),
    ]);
}

const fn name(mode: Mode) -> &'static str {
    match mode {
        Mode::Plain => "plain",
        Mode::Compat => "compat",
        Mode::Safe => "safe",
    }
}

/// Makes functions that are started later publish what they receive.
pub(crate) fn publish(stage: &mut Stage) {
    stage.set([("EVENT_BUS_NAME", BUS)]);
}

/// Makes functions that are started later hand effects that fail over to `worker`.
pub(crate) fn hand_over(stage: &mut Stage) {
    stage.set([("WORKER_FUNCTION", "worker")]);
}

/// Every item of the table but the claims and the note of the last callback, which hold times of their own.
pub(crate) async fn kept(stage: &Stage) -> Vec<Value> {
    let mut items = stage.table.items().await;
    items.retain(|item| !item["pk"].as_str().unwrap().starts_with("callback"));
    items.sort_by_key(|item| item["pk"].to_string());
    items
}

/// A running function.
pub(crate) struct Webhook(pub(crate) Function);

impl Webhook {
    pub(crate) async fn start(stage: &Stage) -> Self {
        Self::start_with(stage, &[]).await
    }

    pub(crate) async fn start_with(stage: &Stage, changes: &[(&str, &str)]) -> Self {
        Self(stage.function_with(BINARY, changes).await)
    }

    pub(crate) async fn send(&mut self, event: &Value) -> Answer {
        let Response {
            status, headers, body, ..
        } = self.0.send(event).await;
        Answer {
            status,
            content_type: headers["content-type"].as_str().unwrap_or_default().to_owned(),
            body: body.as_str().unwrap().to_owned(),
        }
    }

    /// Delivers `xml` in plain mode.
    pub(crate) async fn post(&mut self, xml: &str) -> Answer {
        self.send(&callback(xml).plain()).await
    }

    /// The log lines of requests, once there are `count` of them.
    pub(crate) async fn log_lines_of_requests(&self, count: usize) -> Vec<Value> {
        let written = || async {
            let mut lines = self.0.log_lines();
            lines.retain(|line| line["message"] == "callback");
            (lines.len() >= count).then_some(lines)
        };
        eventually("a line of the log", written).await
    }
}

/// The answer to WeChat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn text(status: u16, body: &str) -> Self {
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

    pub(crate) fn try_again() -> Self {
        Self::text(500, "try again")
    }

    /// The clear reply, checked to be a well-formed one to the callback `xml`.
    pub(crate) fn reply_to(&self, xml: &str, mode: Mode) -> Tree {
        assert_eq!(self.status, 200, "{self:?}");
        assert_eq!(self.content_type, "application/xml; charset=utf-8");
        let reply = match mode {
            Mode::Plain => document(&self.body),
            _ => self.unsealed(TOKEN, AES_KEY),
        };
        let callback = document(xml);
        assert_eq!(reply.text("ToUserName"), callback.text("FromUserName"));
        assert_eq!(reply.text("FromUserName"), callback.text("ToUserName"));
        // Seconds, not milliseconds.
        let created_at: i64 = reply.number("CreateTime").unwrap();
        assert!((created_at - now()).abs() < 60, "{created_at}");
        reply
    }

    /// The text of the clear reply in plain mode.
    pub(crate) fn content(&self, xml: &str) -> String {
        self.reply_to(xml, Mode::Plain).text("Content").unwrap().to_owned()
    }

    /// Opens a sealed reply as WeChat does.
    pub(crate) fn unsealed(&self, token: &str, aes_key: &str) -> Tree {
        let sealed = document(&self.body);
        let part = |name| sealed.text(name).unwrap();
        let parts = [token, part("TimeStamp"), part("Nonce"), part("Encrypt")];
        assert_eq!(part("MsgSignature"), sign(&parts));
        let cipher = Cipher::new(aes_key, APP_ID).unwrap();
        document(&cipher.decrypt(part("Encrypt")).unwrap())
    }
}

/// Reads XML as the bundle does: the tests of that reader are `shared`'s.
pub(crate) fn document(body: &str) -> Tree {
    Tree::parse(body.as_bytes()).unwrap_or_else(|error| panic!("{error}: {body}"))
}
