//! `relay`: WeChat's own API for programs that have an SDK of their own. They set the API's host to the bundle, and use a key of
//! the bundle as the AppSecret. They get opaque tokens ([`wechat::relay::token`]); their calls go to WeChat with the real one.
//!
//! WeChat refuses with HTTP 200 and an errcode, so the relay does too. Failures of the bundle are 5xx and missing bodies
//! 4xx, with an errcode that WeChat does not use: an SDK must neither renew its token nor repeat a call that may have acted.

mod answer;
mod calls;
mod log;
mod token_endpoint;

use std::{sync::Arc, time::Duration};

use http::{Method, Response, StatusCode};
use http_api::{Keys, Problem, Request};
use tokio::sync::OnceCell;
use wechat::{
    account::Account,
    api::{ClientError, HiddenTokens},
    clock::Clock,
    config::CallerConfig,
    counts::DailyCounts,
    jssdk::TicketSource,
    live::{Live, State},
    random,
    relay::{path, token::OpaqueTokens},
    secret::Secret,
    store::Counted,
    token::RefreshPort,
};

pub use self::answer::Body;
use self::{
    answer::{Answer, Failure},
    log::CallLog,
};

/// The AWS calls that this function makes. Its role in `template.yaml` allows these and no others.
pub const AWS_CALLS: &[&str] = &[
    "dynamodb:GetItem",
    "dynamodb:UpdateItem",
    "lambda:InvokeFunction",
    "secretsmanager:GetSecretValue",
];

/// Random bytes of the secret that signs opaque tokens.
const SECRET_BYTES: usize = 32;
/// Bytes of a request for a token, which anybody can send.
const TOKEN_REQUEST_LIMIT: usize = 16 * 1024;
/// Bytes of a call. WeChat takes files of 10 MB. On AWS, Lambda's own limit is lower.
const CALL_LIMIT: usize = 32 * 1024 * 1024;
/// How long an answer waits for the notes about its call.
const NOTE_BUDGET: Duration = Duration::from_millis(200);

/// The function's state, built once per process.
#[derive(Debug)]
pub struct App {
    account: Account,
    keys: Keys,
    tickets: TicketSource,
    opaque: OnceCell<OpaqueTokens>,
    hidden: HiddenTokens,
    counts: DailyCounts,
}

impl App {
    /// Creates the function that `config` describes, on the table behind `dynamodb`. It asks `refresher` when it needs a
    /// token or a ticket.
    ///
    /// # Errors
    /// [`ClientError`] when the address of the API or of the proxy is not a URL.
    pub fn new(
        config: CallerConfig,
        dynamodb: aws_sdk_dynamodb::Client,
        refresher: Arc<dyn RefreshPort>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
        let account = Account::open(config.api, dynamodb, Arc::clone(&refresher), Arc::clone(&clock))?;
        Ok(Self {
            keys: Keys::new(config.api_keys, account.table.clone(), Arc::clone(&clock)),
            tickets: TicketSource::new(&account.table, refresher, Arc::clone(&clock)),
            opaque: OnceCell::new(),
            hidden: HiddenTokens::default(),
            counts: DailyCounts::new(Counted::Relayed, 1, account.table.clone(), clock),
            account,
        })
    }

    /// Returns the keys.
    #[must_use]
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Returns the issuer and reader of opaque tokens. Its secret is read once and then cached. A failure shows no details,
    /// as to a stranger: without the secret no caller is known.
    async fn opaque(&self) -> Result<&OpaqueTokens, Problem> {
        let read = async || {
            let candidate = Secret::new(random::hex::<SECRET_BYTES>());
            let secret = self.account.table.relay_secret(&candidate).await?;
            Ok(OpaqueTokens::new(&secret, self.account.table.app_id()))
        };
        self.opaque.get_or_try_init(read).await.map_err(Problem::public)
    }
}

impl State for App {
    /// Reads the token and the secret of the opaque ones. This also opens the connection to the table for the first request.
    async fn warm(&self, _spent: Duration) {
        // Boxed: an inline future would exceed the compiler's limit on nested types.
        let (opaque, ()) = tokio::join!(Box::pin(self.opaque()), self.account.tokens.warm());
        if let Err(problem) = opaque {
            tracing::warn!(
                error = problem.detail(),
                "the relay's secret could not be read at start-up / 启动时无法读取中继的签名密钥"
            );
        }
    }
}

/// Runs the function until Lambda ends it.
///
/// # Errors
/// [`lambda_runtime::Error`] when Lambda's Runtime API cannot be used.
pub async fn run(live: &Live<App>) -> Result<(), lambda_runtime::Error> {
    // Boxed: an inline future would exceed the compiler's limit on nested types.
    http_api::run(|request| Box::pin(answer_live(live, request))).await
}

async fn answer_live(live: &Live<App>, request: Request) -> Response<Vec<u8>> {
    match serve_live(live, &request).await {
        Ok(response) => answer::collected(response).await,
        Err(problem) => {
            let response = Failure::from(problem).into_response();
            tracing::info!(method = %request.method(), status = response.status().as_u16(), "request answered");
            response.map(String::into_bytes)
        }
    }
}

/// Answers one request with the settings in the secret. Reads the secret again before a key is refused as unknown.
async fn serve_live(live: &Live<App>, request: &Request) -> Result<Response<Body>, Problem> {
    let app = live.current().await.map_err(|error| Problem::not_configured(&error))?;
    let mut log = CallLog::begin(Arc::clone(&app.account.clock), request);
    let mut answer = Box::pin(route(&app, request, &mut log)).await;
    if answer.as_ref().is_err_and(Failure::is_unknown_key)
        && let Some(newer) = live.instead_of(&app).await
    {
        answer = Box::pin(route(&newer, request, &mut log)).await;
    }
    Ok(answer::respond(answer, log))
}

/// Answers one request.
pub async fn serve(app: &App, request: &Request) -> Response<Body> {
    let mut log = CallLog::begin(Arc::clone(&app.account.clock), request);
    let answer = Box::pin(route(app, request, &mut log)).await;
    answer::respond(answer, log)
}

/// Answers a request whose body was not read: with the status 413 when it has more than `limit` bytes, 408 when it did not
/// arrive in time, 503 when too many come at once, 400 when it broke off.
#[must_use]
pub fn unread(app: &App, request: &Request, status: StatusCode, limit: usize) -> Response<Body> {
    let errmsg = match status {
        StatusCode::PAYLOAD_TOO_LARGE => format!("the body has more than {limit} bytes / 请求体超过 {limit} 字节"),
        StatusCode::REQUEST_TIMEOUT => "the body did not come in time / 请求体未在限定时间内到达".to_owned(),
        StatusCode::SERVICE_UNAVAILABLE => {
            "too many requests at once: nothing was sent / 同时到达的请求过多，未发送".to_owned()
        }
        _ => "the body broke off, or is not HTTP / 请求体不完整，或不符合 HTTP".to_owned(),
    };
    let mut log = CallLog::begin(Arc::clone(&app.account.clock), request);
    log.called(request.path());
    let status = status.as_u16();
    answer::respond(Err(Failure::Outage { status, errmsg }), log)
}

/// Whether this function serves `path`.
#[must_use]
pub fn is_served(path: &str) -> bool {
    let mut segments = path.trim_start_matches('/').split('/');
    segments.next().is_some_and(|first| path::PREFIXES.contains(&first)) && segments.next().is_some()
}

/// Whether `request` asks for a token with a body. That body is read from anybody, because it holds the key.
#[must_use]
pub fn asks_for_token(request: &Request) -> bool {
    (request.path(), request.method()) == (token_endpoint::STABLE, &Method::POST)
}

/// Returns how many bytes of body to read for `request`, whose body has not arrived yet.
///
/// # Errors
/// The answer to a caller who may not call: a stranger might never send the body.
pub async fn body_limit(app: &App, request: &Request) -> Result<usize, Response<Body>> {
    if asks_for_token(request) {
        return Ok(TOKEN_REQUEST_LIMIT);
    }
    if matches!(request.path(), token_endpoint::STABLE | token_endpoint::ORDINARY) {
        return Ok(0);
    }
    match calls::admit(app, request).await {
        Ok(_) => Ok(CALL_LIMIT),
        Err(refused) => {
            let mut log = CallLog::begin(Arc::clone(&app.account.clock), request);
            log.called(request.path());
            let failure = log.refused(refused);
            Err(answer::respond(Err(failure), log))
        }
    }
}

async fn route(app: &App, request: &Request, log: &mut CallLog) -> Result<Answer, Failure> {
    match request.path() {
        token_endpoint::ORDINARY => token_endpoint::ordinary(app, request, log).await,
        token_endpoint::STABLE => token_endpoint::stable(app, request, log).await,
        _ => calls::relay(app, request, log).await,
    }
}
