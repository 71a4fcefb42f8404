//! The log of calls that the platform has received, without their secrets.

use std::collections::VecDeque;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::api::Call;

/// Older calls drop out.
const REMEMBERED: usize = 10_000;
const SECRET_NAMES: [&str; 4] = ["access_token", "secret", "appsecret", "refresh_token"];
const REDACTED: &str = "***";

/// One call and its answer.
#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    /// Seconds since the epoch, by the simulator's clock.
    at: i64,
    method: String,
    path: String,
    query: Map<String, Value>,
    /// The JSON body; null when there was none or it was not JSON.
    body: Value,
    /// The HTTP status answered; null when the connection was dropped.
    status: Option<u16>,
    /// 0 for success; null when the answer was no JSON.
    errcode: Option<i64>,
}

/// The last calls, oldest first.
#[derive(Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Calls(VecDeque<Entry>);

impl Calls {
    pub(crate) fn record(&mut self, call: &Call<'_>, at: i64, status: Option<u16>, errcode: Option<i64>) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        let query = call
            .query
            .iter()
            .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
            .collect();
        let body = serde_json::from_slice(call.body).unwrap_or(Value::Null);
        self.0.push_back(Entry {
            at,
            method: call.method.to_string(),
            path: call.path.to_owned(),
            query: redact_members(query),
            body: redact(body),
            status,
            errcode,
        });
    }
}

fn redact(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(redact_members(members)),
        Value::Array(values) => Value::Array(values.into_iter().map(redact).collect()),
        other => other,
    }
}

fn redact_members(members: Map<String, Value>) -> Map<String, Value> {
    let redacted = |(name, value): (String, Value)| {
        let value = if SECRET_NAMES.contains(&name.as_str()) {
            Value::from(REDACTED)
        } else {
            redact(value)
        };
        (name, value)
    };
    members.into_iter().map(redacted).collect()
}
