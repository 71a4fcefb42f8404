//! The client of WeChat's API: one place that calls it, bounds each call in time, and reads what it answers.
//!
//! WeChat answers 200 to everything, with `errcode` inside and any content type. The access_token and the AppSecret
//! travel in URLs and bodies, so no error here ever holds either.

mod answer;
mod conditional_menu;
mod custom_message;
mod error;
mod management;
mod menu;
mod template;
mod template_library;
mod token;

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use url::Url;

use self::error::{graver, transport_error};
pub use self::{
    answer::{Rejection, read as read_answer},
    custom_message::{CustomArticle, CustomMessage, MenuItem, Typing},
    error::ApiError,
    management::{
        CallbackCheck, CheckAction, CheckOperator, LoggedRequest, Lookup, Ping, Quota, QuotaUse, RateLimit, is_among,
    },
    template::{FieldValue, MiniProgram, Template, TemplateMessage},
    template_library::{Industries, Industry},
    token::{IssuedToken, TokenApi, TokenEndpoint, TokenIssuer},
};
use crate::{
    clock::{Clock, Deadline},
    errcode::NO_MENU,
    error_chain::chain,
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

/// Bytes of the shortest name of a user that is taken out of WeChat's words: an openid has 28, and less is part of many a word.
const SHORTEST_USER: usize = 8;

/// One call. Not `Debug`: it holds the access_token, or the AppSecret.
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
    /// What no answer may be quoted with: secrets, and the user that the call is about, whom its caller knows anyway.
    fn secrets(&self) -> Vec<&str> {
        let query = self
            .query
            .iter()
            .filter(|(name, _)| matches!(*name, "access_token" | "secret"));
        let in_body = |name| self.body.and_then(|body| body.get(name)).and_then(Value::as_str);
        let user = ["touser", "user_id"].into_iter().filter_map(in_body);
        let user = user.filter(|user| user.len() >= SHORTEST_USER);
        query
            .map(|(_, value)| *value)
            .chain(in_body("secret"))
            .chain(user)
            .collect()
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
            Some(("Operation", operation)),
            now,
        );
        match &outcome {
            Ok(_) => tracing::debug!(operation, millis, "WeChat call"),
            // An answer like any other to whoever asks for the menu.
            Err(error) if error.errcode() == Some(NO_MENU) => tracing::debug!(operation, millis, "there is no menu"),
            Err(error) => tracing::warn!(operation, millis, errcode = error.errcode(), %error, "WeChat call failed"),
        }
        if let Err(ApiError::Rejected { rejection, .. }) = &outcome {
            let class = rejection.entry().class.name();
            telemetry::emit(&[Metric::count("WechatErrcodes")], Some(("Class", class)), now);
            if rejection.errcode == NOT_WHITELISTED {
                telemetry::emit(&[Metric::count("WhitelistDenied")], None, now);
            }
        }
        outcome
    }

    async fn call_once(&self, call: &Call<'_>, timeout: Duration) -> Result<Value, ApiError> {
        let operation = call.operation;
        let mut url = self.base.clone();
        let path = format!("{}{operation}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(call.query);
        }
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
