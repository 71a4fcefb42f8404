//! The client of WeChat's API: one place that calls it, bounds each call in time, and reads what it answers.
//!
//! WeChat answers 200 to everything, with `errcode` inside and any content type. The access_token and the AppSecret
//! travel in URLs and bodies, so no error here ever holds either.

mod answer;
mod conditional_menu;
mod custom_message;
mod management;
mod menu;
mod template;
mod template_library;
mod token;

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use url::Url;

pub use self::{
    answer::{Rejection, read as read_answer},
    custom_message::{CustomArticle, CustomMessage, MenuItem, Typing},
    management::{CallbackCheck, CheckAction, CheckOperator, LoggedRequest, Lookup, Ping, Quota, QuotaUse, RateLimit},
    template::{FieldValue, MiniProgram, Template, TemplateMessage},
    template_library::{Industries, Industry},
    token::{IssuedToken, TokenApi, TokenEndpoint, TokenIssuer},
};
use crate::{
    clock::{Clock, Deadline},
    errcode::{self, Retry},
    error::chain,
    secret::Secret,
    telemetry::{self, Metric},
    transport,
};

/// Where WeChat's API is, unless `WECHAT_API_BASE` says otherwise.
pub const DEFAULT_API_BASE: &str = "https://api.weixin.qq.com";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// One call with its repeats. WeChat's own answers come in tens of milliseconds.
const CALL_TIMEOUT: Duration = Duration::from_secs(8);
/// What a call leaves of the invocation, to answer with what it brought.
const DEADLINE_MARGIN: Duration = Duration::from_secs(1);
/// Below this nothing is begun: it could not end.
const SHORTEST_CALL: Duration = Duration::from_millis(50);
/// Idle connections are closed before a frozen Lambda environment would wake up to dead ones.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// The wait before the first repeat; it doubles with each.
const BACK_OFF: Duration = Duration::from_millis(500);
/// The errcode for a caller whose address is not in the account's IP whitelist.
const NOT_WHITELISTED: i64 = 40164;
/// Longer answers are not WeChat's.
const ANSWER_LIMIT: usize = 4 * 1024 * 1024;

/// Why a call brought no result. Neither URL nor body is ever in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// WeChat answered with an errcode.
    #[error("{operation}: {rejection}")]
    Rejected {
        /// The path that was called.
        operation: &'static str,
        /// What it answered.
        rejection: Rejection,
        /// How many calls it took to learn this.
        calls: u8,
        /// Whether one of those before may have taken effect: then this refusal of a repeat does not tell.
        after_ambiguous: bool,
    },
    /// No answer in time. The call may have taken effect.
    #[error("{operation}: WeChat did not answer in time / 微信未在限定时间内应答")]
    Timeout {
        /// The path that was called.
        operation: &'static str,
    },
    /// No connection, or it broke.
    #[error("{operation}: no connection to WeChat ({cause}) / 无法连接微信服务器")]
    Connection {
        /// The path that was called.
        operation: &'static str,
        /// The texts of the transport's error chain, without the URL.
        cause: String,
        /// Whether the request had not left yet.
        before_sending: bool,
    },
    /// An HTTP status that WeChat does not use, most likely a proxy's.
    #[error("{operation}: HTTP status {status} instead of WeChat's answer / 返回了 HTTP {status}，并非微信的应答")]
    Status {
        /// The path that was called.
        operation: &'static str,
        /// The status.
        status: u16,
    },
    /// An answer that is no JSON, was cut, or lacks what it should hold.
    #[error("{operation}: an answer that is not WeChat's ({detail}) / 应答不是微信的格式")]
    Unreadable {
        /// The path that was called.
        operation: &'static str,
        /// What is wrong with it; never the answer itself.
        detail: String,
    },
    /// The invocation ends too soon for another call: WeChat was not asked.
    #[error("{operation}: not called, since this invocation is about to end / 本次调用即将超时，未发起请求")]
    OutOfTime {
        /// The path that was not called.
        operation: &'static str,
    },
}

impl ApiError {
    /// WeChat's errcode, when there is one.
    #[must_use]
    pub const fn errcode(&self) -> Option<i64> {
        match self {
            Self::Rejected { rejection, .. } => Some(rejection.errcode),
            _ => None,
        }
    }

    /// Whether WeChat refuses the access_token: another one may do.
    #[must_use]
    pub fn is_dead_token(&self) -> bool {
        self.errcode().is_some_and(errcode::is_dead_token)
    }

    /// How many calls were made, as far as WeChat answered.
    #[must_use]
    pub const fn calls(&self) -> u8 {
        match self {
            Self::Rejected { calls, .. } => *calls,
            _ => 1,
        }
    }

    /// Takes `secrets` out of WeChat's words, and what could forge a line of a log: a relay may echo the request.
    fn without(mut self, secrets: &[&str]) -> Self {
        if let Self::Rejected { rejection, .. } = &mut self {
            for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
                let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
                rejection.errmsg = rejection.errmsg.replace(secret, "***").replace(&encoded, "***");
            }
            rejection.errmsg = rejection.errmsg.replace(char::is_control, " ");
        }
        self
    }

    /// This failure, as that of the `attempt`-th call; `earlier_ambiguous` when one before may have taken effect.
    fn after(mut self, attempt: u8, earlier_ambiguous: bool) -> Self {
        if let Self::Rejected {
            calls, after_ambiguous, ..
        } = &mut self
        {
            *calls = attempt;
            *after_ambiguous = earlier_ambiguous;
        }
        self
    }

    /// Whether the call, or one that it repeated, may have taken effect although it failed.
    #[must_use]
    pub const fn may_have_landed(&self) -> bool {
        let after_ambiguous = matches!(
            self,
            Self::Rejected {
                after_ambiguous: true,
                ..
            }
        );
        after_ambiguous || self.is_ambiguous()
    }

    /// Whether this call may have taken effect although it failed.
    #[must_use]
    pub const fn is_ambiguous(&self) -> bool {
        match self {
            // System error, of WeChat and of its customer service.
            Self::Rejected { rejection, .. } => matches!(rejection.errcode, -1 | 61450),
            Self::Timeout { .. } | Self::Status { .. } | Self::Unreadable { .. } => true,
            Self::Connection { before_sending, .. } => !*before_sending,
            Self::OutOfTime { .. } => false,
        }
    }

    /// Whether the same call may go through a moment later.
    fn is_transient(&self) -> bool {
        match self {
            Self::Rejected { rejection, .. } => matches!(rejection.entry().retry, Retry::BackOff),
            Self::Connection { .. } => true,
            Self::Status { status, .. } => *status >= 500,
            _ => false,
        }
    }
}

/// One call.
#[derive(Debug)]
struct Call<'a> {
    /// The path, which names the operation in errors and logs.
    operation: &'static str,
    query: &'a [(&'a str, &'a str)],
    /// JSON to post; without it the call is a GET.
    body: Option<&'a Value>,
    /// How often it may be made in all: 1 where a repeat could do harm.
    attempts: u8,
    deadline: Deadline,
}

/// What WeChat answers to an order that it has carried out. An order that is answered without an errcode was answered by
/// something else.
#[derive(Debug, Deserialize)]
struct Done {
    #[serde(rename = "errcode")]
    _errcode: Value,
}

/// An id that WeChat writes as a number or as text, depending on the page of its documents.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Id {
    Number(u64),
    Text(String),
}

impl Id {
    fn into_text(self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text,
        }
    }
}

impl Call<'_> {
    /// What no answer may be quoted with.
    fn secrets(&self) -> Vec<&str> {
        let query = self
            .query
            .iter()
            .filter(|(name, _)| matches!(*name, "access_token" | "secret"));
        let body = self.body.and_then(|body| body.get("secret")).and_then(Value::as_str);
        query.map(|(_, value)| *value).chain(body).collect()
    }
}

/// A client of one base address. Cheap to clone; its connections are shared.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    clock: Arc<dyn Clock>,
}

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The base address is no http(s) URL.
    #[error("WECHAT_API_BASE is not an http or https URL / WECHAT_API_BASE 不是 http(s) 地址")]
    Base,
    /// `HTTPS_PROXY` is no URL.
    #[error("HTTPS_PROXY is not a URL / HTTPS_PROXY 不是合法地址")]
    Proxy,
    /// The TLS stack could not be set up.
    #[error("the TLS stack could not be set up: {0}")]
    Tls(String),
}

impl Client {
    /// A client that calls `base` and, as `HTTPS_PROXY` says, through `proxy`.
    ///
    /// # Errors
    /// [`ClientError`] when either is no URL.
    pub fn new(base: &str, proxy: Option<&Secret>, clock: Arc<dyn Clock>) -> Result<Self, ClientError> {
        let base = parse_base(base)?;
        let mut builder = transport::client()
            .map_err(|error| ClientError::Tls(error.to_string()))?
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT);
        if let Some(proxy) = proxy {
            builder = builder.proxy(parse_proxy(proxy)?.no_proxy(reqwest::NoProxy::from_env()));
        }
        let http = builder
            .build()
            .map_err(|error| ClientError::Tls(chain(&error.without_url())))?;
        Ok(Self { http, base, clock })
    }

    /// Asks for something with the access_token.
    async fn get<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        token: &Secret,
        attempts: u8,
        deadline: Deadline,
    ) -> Result<T, ApiError> {
        self.call(Call {
            operation,
            query: &[("access_token", token.expose())],
            body: None,
            attempts,
            deadline,
        })
        .await
    }

    /// Posts JSON with the access_token.
    async fn post<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        token: &Secret,
        body: &Value,
        attempts: u8,
        deadline: Deadline,
    ) -> Result<T, ApiError> {
        self.call(Call {
            operation,
            query: &[("access_token", token.expose())],
            body: Some(body),
            attempts,
            deadline,
        })
        .await
    }

    /// Calls and decodes, repeating what is transient as often as the call allows.
    async fn call<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, ApiError> {
        let operation = call.operation;
        let started = self.clock.now_millis();
        let budget = call.deadline.budget(started, CALL_TIMEOUT, DEADLINE_MARGIN);
        let mut failure = ApiError::OutOfTime { operation };
        let mut may_have_landed = false;
        let mut back_off = BACK_OFF;
        for attempt in 1..=call.attempts {
            let spent = u64::try_from(self.clock.now_millis() - started).unwrap_or(0);
            let left = budget.saturating_sub(Duration::from_millis(spent));
            let wait = if attempt == 1 { Duration::ZERO } else { back_off };
            if left < wait + SHORTEST_CALL {
                break;
            }
            if attempt > 1 {
                tracing::info!(operation, attempt, "repeating a WeChat call");
                self.clock.sleep(wait).await;
                back_off *= 2;
            }
            match self.call_measured(&call, left - wait).await {
                Ok(answer) => return answer::decode(operation, answer),
                Err(error) => {
                    let is_transient = error.is_transient();
                    let is_ambiguous = error.is_ambiguous();
                    failure = graver(failure, error.after(attempt, may_have_landed));
                    may_have_landed |= is_ambiguous;
                    if !is_transient {
                        break;
                    }
                }
            }
        }
        Err(failure)
    }

    /// One attempt, with what it tells the logs and metrics.
    async fn call_measured(&self, call: &Call<'_>, timeout: Duration) -> Result<Value, ApiError> {
        let operation = call.operation;
        let started = self.clock.now_millis();
        let outcome = self.call_once(call, timeout).await;
        let now = self.clock.now_millis();
        let millis = now - started;
        telemetry::emit(
            &[Metric::millis("WechatLatency", millis)],
            &[("Operation", operation)],
            now,
        );
        match &outcome {
            Ok(_) => tracing::debug!(operation, millis, "WeChat call"),
            Err(error) => tracing::warn!(operation, millis, errcode = error.errcode(), %error, "WeChat call failed"),
        }
        if let Err(ApiError::Rejected { rejection, .. }) = &outcome {
            let class = format!("{:?}", rejection.entry().class);
            telemetry::emit(&[Metric::count("WechatErrcodes")], &[("Class", &class)], now);
            if rejection.errcode == NOT_WHITELISTED {
                telemetry::emit(&[Metric::count("WhitelistDenied")], &[], now);
            }
        }
        outcome
    }

    async fn call_once(&self, call: &Call<'_>, timeout: Duration) -> Result<Value, ApiError> {
        let operation = call.operation;
        let mut url = self.base.clone();
        let path = format!("{}{operation}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url.query_pairs_mut().extend_pairs(call.query);
        let request = match call.body {
            Some(body) => {
                let request = self
                    .http
                    .post(url)
                    .header("content-type", "application/json; charset=utf-8");
                request.body(body.to_string())
            }
            None => self.http.get(url),
        };
        let mut response = request
            .timeout(timeout)
            .send()
            .await
            .map_err(|error| transport_error(operation, error))?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| transport_error(operation, error))?
        {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_LIMIT {
                return Err(ApiError::Unreadable {
                    operation,
                    detail: format!("more than {ANSWER_LIMIT} bytes"),
                });
            }
        }
        read_answer(operation, status, &body).map_err(|error| error.without(&call.secrets()))
    }
}

/// Reads the base address, as `WECHAT_API_BASE` gives it.
pub(crate) fn parse_base(base: &str) -> Result<Url, ClientError> {
    Url::parse(base)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or(ClientError::Base)
}

/// Reads the proxy's address, as `HTTPS_PROXY` gives it.
pub(crate) fn parse_proxy(proxy: &Secret) -> Result<reqwest::Proxy, ClientError> {
    reqwest::Proxy::https(proxy.expose()).map_err(|_| ClientError::Proxy)
}

/// Which failure to report after a repeat: WeChat's own word, else one that leaves open whether the call took effect.
fn graver(earlier: ApiError, later: ApiError) -> ApiError {
    let is_verdict = matches!(later, ApiError::Rejected { .. });
    if earlier.is_ambiguous() && !later.is_ambiguous() && !is_verdict {
        earlier
    } else {
        later
    }
}

fn transport_error(operation: &'static str, error: reqwest::Error) -> ApiError {
    let error = error.without_url();
    // A connection that could not be made in time is a timeout to reqwest too, but no request has left.
    if error.is_timeout() && !error.is_connect() {
        return ApiError::Timeout { operation };
    }
    ApiError::Connection {
        operation,
        cause: chain(&error),
        before_sending: error.is_connect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A relay on the way to WeChat may answer with what it was sent.
    #[test]
    fn an_echoed_request_shows_no_secret_and_forges_no_line() {
        let body = serde_json::json!({"appid": "wx1", "secret": "s3cr+t"});
        let call = Call {
            operation: "/cgi-bin/stable_token",
            query: &[("access_token", "t0k/en"), ("lang", "zh")],
            body: Some(&body),
            attempts: 1,
            deadline: Deadline::NONE,
        };
        let echo = "bad request ?access_token=t0k%2Fen {\"secret\":\"s3cr+t\"} t0k/en zh\n2026 ERROR forged";
        let error = ApiError::Rejected {
            operation: call.operation,
            rejection: Rejection {
                errcode: 40001,
                errmsg: echo.to_owned(),
                at_token_endpoint: true,
            },
            calls: 1,
            after_ambiguous: false,
        };
        let shown = format!("{0} {0:?}", error.without(&call.secrets()));
        for secret in ["s3cr+t", "t0k/en", "t0k%2Fen", "\n2026"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
        assert!(shown.contains(" zh "), "what is no secret stays: {shown}");
    }
}
