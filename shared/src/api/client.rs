//! The client of WeChat's API: sends calls, bounds their time, retries them and reads the answers.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use url::Url;

use super::{
    ApiError, Call, Unexpected, answer,
    error::{transport_error, worse},
};
use crate::{
    bilingual::caused,
    clock::{Clock, Deadline, duration},
    errcode::{self, Errcode, NO_MENU},
    error_chain::chain,
    secret::Secret,
    telemetry::{self, Metric},
    transport,
};

/// The API's base URL, unless `WECHAT_API_BASE` is set.
pub const DEFAULT_API_BASE: &str = "https://api.weixin.qq.com";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Timeout of one call, retries included. WeChat answers in tens of milliseconds.
const CALL_TIMEOUT: Duration = Duration::from_secs(8);
/// Time that a call leaves for the rest of the request.
const DEADLINE_MARGIN: Duration = Duration::from_secs(1);
/// The client starts no attempt with less time left.
const SHORTEST_CALL: Duration = Duration::from_millis(50);
/// The client closes idle connections early, because a frozen Lambda environment wakes up to dead ones.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// The wait before the first retry. It doubles each time.
const BACK_OFF: Duration = Duration::from_millis(500);
/// Bytes. A longer answer is not WeChat's.
const ANSWER_LIMIT: usize = 4 * 1024 * 1024;

/// Bytes. Shorter user ids are not masked in an errmsg, because they may be parts of words. An openid has 28.
const SHORTEST_USER: usize = 8;

/// An outgoing request. Not `Debug`: it holds the access_token, or the AppSecret and perhaps an OAuth code.
pub(super) struct Request<'a> {
    /// The path. It also names the operation in errors and logs.
    pub(super) operation: &'static str,
    /// As [`Call::ISSUES_TOKENS`].
    pub(super) issues_tokens: bool,
    pub(super) query: &'a [(&'a str, &'a str)],
    /// The JSON body of a POST. A request without a body is a GET.
    pub(super) body: Option<Value>,
}

impl Request<'_> {
    /// Returns the texts to mask in a quoted answer: secrets, the user that the call is about, and the parameter of a QR code.
    pub(super) fn secrets(&self) -> Vec<&str> {
        let query = self
            .query
            .iter()
            .filter(|(name, _)| matches!(*name, "access_token" | "secret" | "code"));
        let in_body = |pointer| {
            self.body
                .as_ref()
                .and_then(|body| body.pointer(pointer))
                .and_then(Value::as_str)
        };
        let user = ["/touser", "/user_id", "/action_info/scene/scene_str"];
        let user = user.into_iter().filter_map(in_body);
        let user = user.filter(|user| user.len() >= SHORTEST_USER);
        query
            .map(|(_, value)| *value)
            .chain(in_body("/secret"))
            .chain(user)
            .collect()
    }
}

/// A client of one base URL. Clones are cheap and share connections.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) http: reqwest::Client,
    base: Url,
    pub(super) clock: Arc<dyn Clock>,
}

/// Why a client could not be created.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The base address is not an http(s) URL.
    #[error("WECHAT_API_BASE is not an http or https URL / WECHAT_API_BASE 不是 http(s) 地址")]
    Base,
    /// The base address is WeChat's own, without TLS.
    #[error(
        "WECHAT_API_BASE (--wechat) must be https for WeChat itself: http sends the AppSecret in the clear \
         / WECHAT_API_BASE（--wechat）指向微信时必须使用 https：http 会明文传输 AppSecret"
    )]
    ClearText,
    /// `HTTPS_PROXY` is not a URL.
    #[error("HTTPS_PROXY is not a URL / HTTPS_PROXY 不是合法地址")]
    Proxy,
    /// The TLS stack could not be set up.
    #[error("{}", caused("the TLS stack could not be set up", "无法初始化 TLS", .0))]
    Tls(String),
}

impl Client {
    /// Creates a client that calls `base`, through `proxy` if there is one (`HTTPS_PROXY`).
    ///
    /// # Errors
    /// [`ClientError`] when either is not a URL.
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

    /// Makes `call` with `token`. Retries transient failures up to `attempts` attempts, if the call is repeatable.
    ///
    /// # Errors
    /// [`ApiError`] when WeChat refuses or does not answer, or its answer cannot be read.
    pub async fn call<C: Call>(
        &self,
        call: &C,
        token: &Secret,
        attempts: u8,
        deadline: Deadline,
    ) -> Result<C::Answer, ApiError> {
        self.send(call, Some(token), attempts, deadline).await
    }

    /// Makes `call`, with a token unless it is one of those that AppID and AppSecret open.
    pub(super) async fn send<C: Call>(
        &self,
        call: &C,
        token: Option<&Secret>,
        attempts: u8,
        deadline: Deadline,
    ) -> Result<C::Answer, ApiError> {
        let token = token.map(|token| ("access_token", token.expose()));
        let query: Vec<_> = token.into_iter().chain(call.query()).collect();
        let request = Request {
            operation: C::PATH,
            issues_tokens: C::ISSUES_TOKENS,
            query: &query,
            body: call.body(),
        };
        let attempts = if C::REPEATABLE { attempts } else { 1 };
        let answer = self.exchange(&request, attempts, deadline).await?;
        C::read(answer).map_err(|Unexpected(detail)| ApiError::Unreadable {
            operation: C::PATH,
            detail,
        })
    }

    /// Sends `request`, retries transient failures and returns the answer's JSON. Not generic: the binary holds it once.
    async fn exchange(&self, request: &Request<'_>, attempts: u8, deadline: Deadline) -> Result<Value, ApiError> {
        let operation = request.operation;
        let started = self.clock.now_millis();
        let budget = deadline.budget(started, CALL_TIMEOUT, DEADLINE_MARGIN);
        let mut failure = ApiError::OutOfTime { operation };
        let mut may_have_landed = false;
        let mut back_off = BACK_OFF;
        for attempt in 1..=attempts {
            let spent = duration(self.clock.now_millis() - started);
            let left = budget.saturating_sub(spent);
            let wait = if attempt == 1 { Duration::ZERO } else { back_off };
            if left < wait + SHORTEST_CALL {
                break;
            }
            if attempt > 1 {
                tracing::info!(operation, attempt, "retrying a WeChat call");
                self.clock.sleep(wait).await;
                back_off *= 2;
            }
            match self.exchange_measured(request, left - wait).await {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    let is_transient = error.is_transient();
                    let is_ambiguous = error.is_ambiguous();
                    failure = worse(failure, error.after(attempt, may_have_landed));
                    may_have_landed |= is_ambiguous;
                    if !is_transient {
                        break;
                    }
                }
            }
        }
        Err(failure)
    }

    /// Makes one attempt, with its log line and metrics.
    async fn exchange_measured(&self, request: &Request<'_>, timeout: Duration) -> Result<Value, ApiError> {
        let operation = request.operation;
        let started = self.clock.now_millis();
        let outcome = self.exchange_once(request, timeout).await;
        let refusal = match &outcome {
            Err(ApiError::Rejected { rejection, .. }) => Some(rejection.entry()),
            _ => None,
        };
        let millis = self.measure(operation, started, refusal);
        match &outcome {
            Ok(_) => tracing::debug!(operation, millis, "WeChat call"),
            // A normal answer to a query of the menu.
            Err(error) if error.errcode() == Some(NO_MENU) => tracing::debug!(operation, millis, "there is no menu"),
            Err(error) => {
                tracing::warn!(operation, millis, errcode = error.errcode(), %error, "WeChat call failed / 调用微信失败")
            }
        }
        outcome
    }

    /// Writes the metrics of an attempt that began at `started`. Returns how many milliseconds it took.
    pub(super) fn measure(&self, operation: &'static str, started: i64, refusal: Option<Errcode>) -> i64 {
        let now = self.clock.now_millis();
        let millis = now - started;
        telemetry::emit(
            &[Metric::millis("WechatLatency", millis)],
            Some(("Operation", operation)),
            now,
        );
        if let Some(refusal) = refusal {
            let class = Some(("Class", refusal.class.name()));
            telemetry::emit(&[Metric::count("WechatErrcodes")], class, now);
            if errcode::is_about_the_whitelist(refusal.code) {
                telemetry::emit(&[Metric::count("WhitelistDenied")], None, now);
            }
        }
        millis
    }

    /// Returns the address of a path of WeChat's.
    pub(super) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let path = format!("{}{path}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url
    }

    async fn exchange_once(&self, request: &Request<'_>, timeout: Duration) -> Result<Value, ApiError> {
        let operation = request.operation;
        let mut url = self.url(operation);
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

/// Parses the value of `WECHAT_API_BASE`.
pub(crate) fn parse_base(base: &str) -> Result<Url, ClientError> {
    let url = Url::parse(base).map_err(|_| ClientError::Base)?;
    match url.scheme() {
        "http" if url.host_str().is_some_and(is_wechats) => Err(ClientError::ClearText),
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err(ClientError::Base),
    }
}

/// Whether `host` is one of WeChat's own.
fn is_wechats(host: &str) -> bool {
    const DOMAIN: &str = "weixin.qq.com";
    let host = host.trim_end_matches('.');
    host.strip_suffix(DOMAIN)
        .is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// Parses the value of `HTTPS_PROXY`.
pub(crate) fn parse_proxy(proxy: &Secret) -> Result<reqwest::Proxy, ClientError> {
    reqwest::Proxy::https(proxy.expose()).map_err(|_| ClientError::Proxy)
}
