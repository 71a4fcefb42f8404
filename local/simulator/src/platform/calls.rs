//! The log of calls that the platform received, without their secrets.

use std::collections::VecDeque;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::call::Call;

/// Calls; older ones are dropped.
const REMEMBERED: usize = 5_000;
/// Bytes. Of a larger body only the size is logged.
const REMEMBERED_BODY: usize = 16 * 1024;
const REDACTED: &str = "***";

/// One call and its answer.
#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    /// Seconds since the epoch, by the simulator's clock.
    at: i64,
    method: String,
    path: String,
    query: Map<String, Value>,
    /// The JSON body, or the size of a large one and of an upload; null when it was empty or neither.
    body: Value,
    /// The HTTP status answered; null when the connection was dropped.
    status: Option<u16>,
    /// 0 for success; null when the answer was not JSON.
    errcode: Option<i64>,
}

/// The last calls, oldest first.
#[derive(Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Calls {
    entries: VecDeque<Entry>,
    /// The refused calls, each as `rid/get` shows it, with its answer.
    #[serde(skip)]
    refused: VecDeque<Value>,
}

impl Calls {
    pub(crate) fn record(&mut self, call: &Call<'_>, at: i64, status: Option<u16>, errcode: Option<i64>) {
        if self.entries.len() == REMEMBERED {
            self.entries.pop_front();
        }
        let pairs = call.query.iter();
        let query = pairs
            .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
            .collect();
        self.entries.push_back(Entry {
            at,
            method: call.method.to_string(),
            path: call.path.to_owned(),
            query: redact_members(query),
            body: body_of(call),
            status,
            errcode,
        });
    }

    /// Logs a refused call under the rid in its answer.
    pub(crate) fn record_refused(&mut self, call: &Call<'_>, at: i64, answer: &str) {
        if self.refused.len() == REMEMBERED {
            self.refused.pop_front();
        }
        let body = body_of(call);
        let masked = if call.query.is_empty() { "" } else { "?***" };
        self.refused.push_back(json!({
            "invoke_time": at,
            "cost_in_ms": 1,
            "request_url": format!("{}{masked}", call.path),
            "request_body": match body {
                Value::Null => String::new(),
                Value::String(size) => size,
                json => json.to_string(),
            },
            "response_body": answer,
            "client_ip": call.peer.to_canonical(),
        }));
    }

    /// The refused call whose answer names this rid.
    pub(crate) fn refused(&self, rid: &str) -> Option<&Value> {
        let named = format!("rid: {rid}\"");
        self.refused.iter().find(|call| {
            call["response_body"]
                .as_str()
                .is_some_and(|answer| answer.contains(&named))
        })
    }
}

fn body_of(call: &Call<'_>) -> Value {
    if call.form.is_some() || call.body.len() > REMEMBERED_BODY {
        return format!("{} bytes", call.body.len()).into();
    }
    serde_json::from_slice(call.body).map_or(Value::Null, redact)
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
        let value = if is_secret(&name) {
            Value::from(REDACTED)
        } else {
            redact(value)
        };
        (name, value)
    };
    members.into_iter().map(redacted).collect()
}

/// Whether a member of this name holds a token, an AppSecret or a user's code.
fn is_secret(name: &str) -> bool {
    name.ends_with("token") || name.ends_with("secret") || matches!(name, "code" | "js_code")
}
