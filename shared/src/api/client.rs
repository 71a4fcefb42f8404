//! The client of WeChat's API: one place that calls it, bounds each call in time, and reads what it answers.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use url::Url;

use super::{
    ApiError, Call, Unexpected, answer,
    error::{graver, transport_error},
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

/// A request as it goes out. Not `Debug`: it holds the access_token, or the AppSecret.
pub(super) struct Request<'a> {
    /// The path, which names the operation in errors and logs.
    pub(super) operation: &'static str,
    /// Whether the operation issues tokens: there errcode 40001 is about the AppSecret.
    pub(super) issues_tokens: bool,
    pub(super) query: &'a [(&'a str, &'a str)],
    /// JSON to post; without it the request is a GET.
    pub(super) body: Option<Value>,
}

impl Request<'_> {
    /// What no answer may be quoted with: secrets, and the user that the call is about, whom its caller knows anyway.
    pub(super) fn secrets(&self) -> Vec<&str> {
        let query = self
            .query
            .iter()
            .filter(|(name, _)| matches!(*name, "access_token" | "secret"));
        let in_body = |name| {
            self.body
                .as_ref()
                .and_then(|body| body.get(name))
                .and_then(Value::as_str)
        };
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

    /// Makes `call` with `token`, at most `attempts` times in all: again after what is transient, if the call allows that.
    ///
    /// # Errors
    /// [`ApiError`] when WeChat refuses, or its answer does not come or cannot be read.
    pub async fn call<C: Call>(
        &self,
        call: &C,
        token: &Secret,
        attempts: u8,
        deadline: Deadline,
    ) -> Result<C::Answer, ApiError> {
        let query = [("access_token", token.expose())];
        self.send(call, &query, attempts, deadline).await
    }

    /// Makes `call` with `query`.
    pub(super) async fn send<C: Call>(
        &self,
        call: &C,
        query: &[(&str, &str)],
        attempts: u8,
        deadline: Deadline,
    ) -> Result<C::Answer, ApiError> {
        let request = Request {
            operation: C::PATH,
            issues_tokens: C::ISSUES_TOKENS,
            query,
            body: call.body(),
        };
        let attempts = if C::REPEATABLE { attempts } else { 1 };
        let answer = self.exchange(&request, attempts, deadline).await?;
        C::read(answer).map_err(|Unexpected(detail)| ApiError::Unreadable {
            operation: C::PATH,
            detail,
        })
    }

    /// Sends `request` and reads the answer, repeating what is transient. One for all calls, so that a function holds this
    /// code once.
    async fn exchange(&self, request: &Request<'_>, attempts: u8, deadline: Deadline) -> Result<Value, ApiError> {
        let operation = request.operation;
        let started = self.clock.now_millis();
        let budget = deadline.budget(started, CALL_TIMEOUT, DEADLINE_MARGIN);
        let mut failure = ApiError::OutOfTime { operation };
        let mut may_have_landed = false;
        let mut back_off = BACK_OFF;
        for attempt in 1..=attempts {
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
            match self.exchange_measured(request, left - wait).await {
                Ok(answer) => return Ok(answer),
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
    async fn exchange_measured(&self, request: &Request<'_>, timeout: Duration) -> Result<Value, ApiError> {
        let operation = request.operation;
        let started = self.clock.now_millis();
        let outcome = self.exchange_once(request, timeout).await;
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

    async fn exchange_once(&self, request: &Request<'_>, timeout: Duration) -> Result<Value, ApiError> {
        let operation = request.operation;
        let mut url = self.base.clone();
        let path = format!("{}{operation}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(request.query);
        }
        let http_request = match &request.body {
            Some(body) => {
                let post = self.http.post(url);
                let post = post.header("content-type", "application/json; charset=utf-8");
                post.body(body.to_string())
            }
            None => self.http.get(url),
        };
        let mut response = http_request
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
        answer::read(operation, request.issues_tokens, status, &body).map_err(|error| error.without(&request.secrets()))
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
