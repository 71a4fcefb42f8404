//! Failures on demand: the next calls of an API answer as ordered.

use axum::http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

/// The path that stands for callbacks: the server's answer to a push gets lost on its way to WeChat.
pub(crate) const CALLBACK: &str = "/callback";

/// A fault as `POST /sim/faults` takes it.
///
/// `errcode`, `http_status` and `body` answer in place of the API, which then does nothing. The other members only
/// change the answer: the call itself is carried out, as when a network loses WeChat's answer.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    /// The path of the calls that fail, whole or with a `*` at its end; or [`CALLBACK`].
    pub(crate) path: String,
    /// Answer this errcode, with the platform's own text unless `errmsg` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) errcode: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) errmsg: Option<String>,
    /// Answer this HTTP status, with a page of HTML unless `errcode` or `body` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) http_status: Option<u16>,
    /// Answer this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<String>,
    /// Cut the answer in half, so that it is not JSON, or not the whole file.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) truncated: bool,
    /// Send the answer with this `Content-Type`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content_type: Option<String>,
    /// Delay the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delay_ms: Option<u64>,
    /// Close the connection without an answer.
    #[serde(default)]
    pub(crate) drop: bool,
    /// Let this many calls pass first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) after: u32,
    /// How many calls fail.
    #[serde(default = "once")]
    pub(crate) times: u32,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// Whether a fault can happen on the path. Controls and pages that a browser opens have none.
fn is_called_by_servers(path: &str) -> bool {
    path.starts_with('/') && !path.starts_with("/sim/") && !path.starts_with("/connect/")
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn once() -> u32 {
    1
}

impl Fault {
    /// Refuses a fault that has no effect or cannot be answered.
    pub(crate) fn validate(&self) -> Result<(), &'static str> {
        let answers = self.errcode.is_some() || self.http_status.is_some() || self.body.is_some();
        let distorts = self.truncated || self.content_type.is_some() || self.delay_ms.is_some();
        let is_header = |text: &String| HeaderValue::from_str(text).is_ok();
        let is_status = |status: u16| status >= 200 && StatusCode::from_u16(status).is_ok();
        if self.path == CALLBACK && (!self.drop || answers || distorts) {
            Err("/callback takes `drop` only")
        } else if !is_called_by_servers(&self.path) {
            Err("`path` must begin with /, and be neither a control, /sim/…, nor a page, /connect/…")
        } else if !answers && !distorts && !self.drop {
            Err("say what fails: errcode, http_status, body, truncated, content_type, delay_ms or drop")
        } else if !self.content_type.as_ref().is_none_or(is_header) {
            Err("`content_type` is not a header value")
        } else if self.errcode.is_none() && self.errmsg.is_some() {
            Err("`errmsg` needs an `errcode`")
        } else if self.errcode.is_some() && self.body.is_some() {
            Err("`errcode` and `body` exclude each other")
        } else if !self.http_status.is_none_or(is_status) {
            Err("`http_status` must be a final HTTP status, 200 to 999")
        } else if self.times == 0 {
            Err("`times` must be at least 1")
        } else {
            Ok(())
        }
    }

    /// Whether the fault is due on a call of this path. A fault that still lets calls pass counts this one.
    fn is_due_on(&mut self, path: &str) -> bool {
        let matches = match self.path.strip_suffix('*') {
            Some(prefix) => path != CALLBACK && path.starts_with(prefix),
            None => self.path == path,
        };
        let is_due = self.after == 0;
        if matches && !is_due {
            self.after -= 1;
        }
        matches && is_due
    }
}

/// The faults still to come.
#[derive(Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// Clears all faults, or those with this path.
    pub(crate) fn clear(&mut self, path: Option<&str>) {
        self.0.retain(|fault| path.is_some_and(|path| fault.path != path));
    }

    /// The oldest fault that is due on the path. One of its times is used up.
    pub(crate) fn take(&mut self, path: &str) -> Option<Fault> {
        let index = self.0.iter_mut().position(|fault| fault.is_due_on(path))?;
        self.0[index].times -= 1;
        let fault = self.0[index].clone();
        if fault.times == 0 {
            self.0.remove(index);
        }
        Some(fault)
    }
}
