//! The log line of a call.

use std::sync::Arc;

use http::Method;
use http_api::{Caller, ROOT, Request};
use wechat::{
    api_key::KEY_PREFIX,
    clock::Clock,
    counts::DailyCounts,
    in_flight::InFlight,
    relay::path::{self, PathError},
};

use crate::{answer::Failure, calls::Refused};

/// Bytes. A longer path is not logged.
const LONGEST_PATH: usize = 128;
/// Bytes. A longer segment may be a token that stands in the wrong place; WeChat's segments are shorter.
const LONGEST_SEGMENT: usize = 40;
/// Hexadecimal digits of the keys that our guides generate. No path of WeChat has that many in a row.
const SHORTEST_HEX_KEY: usize = 32;
/// What is logged in place of such a segment.
const MASK: &str = "*";

/// A call in flight. Its line is logged on drop, after the last chunk of the answer: the key's name, path, errcode, time and
/// sizes, but no query, no body and no token.
#[derive(Debug)]
pub(crate) struct CallLog {
    clock: Arc<dyn Clock>,
    started: i64,
    method: Method,
    /// The path, if it could be an API's.
    path: Option<String>,
    key: Option<String>,
    request_bytes: usize,
    pub(crate) status: u16,
    pub(crate) errcode: Option<i64>,
    pub(crate) response_bytes: usize,
    /// Where a failure is counted, and for which key.
    counted: Option<(DailyCounts, String)>,
}

impl CallLog {
    pub(crate) fn begin(clock: Arc<dyn Clock>, request: &Request) -> Self {
        Self {
            started: clock.now_millis(),
            clock,
            method: request.method().clone(),
            path: None,
            key: None,
            request_bytes: request.body().len(),
            status: 0,
            errcode: None,
            response_bytes: 0,
            counted: None,
        }
    }

    /// Notes the path, unless its length or form makes it suspect. Masks segments that could be secrets.
    pub(crate) fn called(&mut self, path: &str) {
        let is_plain = path.len() <= LONGEST_PATH && path::check(path) != Err(PathError::Form);
        self.path = is_plain.then(|| path.split('/').map(masked).collect::<Vec<_>>().join("/"));
    }

    pub(crate) fn by(&mut self, caller: &Caller) {
        self.key = Some(caller.name().to_owned());
    }

    /// Notes who was refused, and returns why.
    pub(crate) fn refused(&mut self, refused: Refused) -> Failure {
        if let Some(caller) = &refused.caller {
            self.by(caller);
        }
        refused.failure
    }

    /// Counts the call now, and its failure on drop. Returns the write, if it begins at once.
    pub(crate) fn count_in(&mut self, counts: &DailyCounts, caller: &Caller) -> Option<InFlight> {
        let key = caller.key_id().unwrap_or(ROOT).to_owned();
        let counting = counts.count(&format!("calls_{key}"));
        self.counted = Some((counts.clone(), key));
        counting
    }

    const fn has_failed(&self) -> bool {
        self.status >= 400 || !matches!(self.errcode, None | Some(0))
    }
}

fn masked(segment: &str) -> &str {
    let is_hex = segment.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_key = segment.starts_with(KEY_PREFIX) || (is_hex && segment.len() >= SHORTEST_HEX_KEY);
    if is_key || segment.len() > LONGEST_SEGMENT {
        MASK
    } else {
        segment
    }
}

impl Drop for CallLog {
    fn drop(&mut self) {
        if let Some((counts, key)) = self.counted.take().filter(|_| self.has_failed()) {
            let _ = counts.count(&format!("failed_{key}"));
        }
        let millis = self.clock.now_millis() - self.started;
        let Self {
            method,
            path,
            key,
            request_bytes,
            status,
            errcode,
            response_bytes,
            ..
        } = self;
        tracing::info!(
            %method, path, key, status, errcode, millis, request_bytes, response_bytes, "call relayed"
        );
    }
}
