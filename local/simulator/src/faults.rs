//! Failures on demand: the next calls of an API answer as told.

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

/// A fault as `POST /sim/faults` takes it.
///
/// `errcode`, `http_status` and `body` answer in place of the API, which then does nothing. `delay_ms` and `drop` only
/// concern the answer: the call itself is carried out, as when a network loses what WeChat has said.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    /// The path that it befalls, whole.
    pub(crate) path: String,
    /// Answer this errcode, in the platform's words unless `errmsg` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) errcode: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) errmsg: Option<String>,
    /// Answer this HTTP status, with a page of HTML unless `errcode` or `body` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) http_status: Option<u16>,
    /// Answer this text, whatever it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<String>,
    /// Answer this much later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delay_ms: Option<u64>,
    /// Close the connection without an answer.
    #[serde(default)]
    pub(crate) drop: bool,
    /// For this many calls.
    #[serde(default = "once")]
    pub(crate) times: u32,
}

fn once() -> u32 {
    1
}

impl Fault {
    /// Refuses faults that would never do anything, or cannot be answered.
    pub(crate) fn validate(&self) -> Result<(), &'static str> {
        let answers = self.errcode.is_some() || self.http_status.is_some() || self.body.is_some();
        if !self.path.starts_with("/cgi-bin/") {
            Err("`path` must begin with /cgi-bin/")
        } else if !answers && self.delay_ms.is_none() && !self.drop {
            Err("say what fails: errcode, http_status, body, delay_ms or drop")
        } else if self.errcode.is_none() && self.errmsg.is_some() {
            Err("`errmsg` goes with an `errcode`")
        } else if self.errcode.is_some() && self.body.is_some() {
            Err("`errcode` and `body` exclude each other")
        } else if self
            .http_status
            .is_some_and(|status| status < 200 || StatusCode::from_u16(status).is_err())
        {
            Err("`http_status` must be a final HTTP status, 200 to 999")
        } else if self.times == 0 {
            Err("`times` must be at least 1")
        } else {
            Ok(())
        }
    }
}

/// The faults that are still to come.
#[derive(Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The oldest fault for the path, used up by one call.
    pub(crate) fn take(&mut self, path: &str) -> Option<Fault> {
        let index = self.0.iter().position(|fault| fault.path == path)?;
        self.0[index].times -= 1;
        let fault = self.0[index].clone();
        if fault.times == 0 {
            self.0.remove(index);
        }
        Some(fault)
    }
}
