//! `token-refresher`: keeps a valid access_token in the table, and a jsapi_ticket once somebody has asked for one; exchanges
//! OAuth codes. It is the only function that holds the AppSecret.

use std::{sync::Arc, time::Duration};

use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::{Value, json};
use wechat::{
    api::{ApiError, ClientError, TokenEndpoint},
    bilingual::caused,
    clock::{Clock, Deadline},
    config::{ConfigError, RefresherConfig},
    digest::logged_openid,
    errcode,
    jssdk::TicketIssuer,
    live::{Live, State},
    oauth::{Code, Identity},
    random,
    store::{Credential, Table, TokenItem, TokenStore as _},
    telemetry::{self, Metric, Unit},
    token::{Action, ErrorType, RefreshError, Refreshed, Refresher, UnknownAction},
};

/// The AWS calls that this function makes. Its role in `template.yaml` allows these and no others.
pub const AWS_CALLS: &[&str] = &[
    "dynamodb:GetItem",
    "dynamodb:UpdateItem",
    "secretsmanager:GetSecretValue",
];

/// The function's state, built once per process.
#[derive(Debug)]
pub struct App {
    endpoint: TokenEndpoint,
    tokens: Arc<Refresher<Credential, TokenEndpoint>>,
    tickets: Refresher<Credential, TicketIssuer>,
    table: Table,
    clock: Arc<dyn Clock>,
}

impl App {
    /// Creates the function that `config` describes, on the table behind `dynamodb`.
    ///
    /// # Errors
    /// [`ClientError`] when the address of the API or of the proxy is not a URL.
    pub fn new(
        config: RefresherConfig,
        dynamodb: aws_sdk_dynamodb::Client,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
        let client = config.api.client(Arc::clone(&clock))?;
        let table = Table::new(dynamodb, config.api.table, &config.api.app_id);
        let endpoint = TokenEndpoint::new(client.clone(), config.token_api, config.api.app_id, config.app_secret);
        let token = table.access_token();
        let tokens = Arc::new(Refresher::new(token.clone(), endpoint.clone(), Arc::clone(&clock)));
        let issuer = TicketIssuer::new(client, token, Arc::clone(&tokens), Arc::clone(&clock));
        Ok(Self {
            endpoint,
            tokens,
            tickets: Refresher::new(table.jsapi_ticket(), issuer, Arc::clone(&clock)),
            table,
            clock,
        })
    }

    /// Makes an ordinary run: refreshes the token if that is due, and the ticket if somebody has ever asked for one. A
    /// failed refresh of the ticket does not fail the run. After a failed refresh of the token, the ticket is refreshed only
    /// while the old token is valid.
    ///
    /// # Errors
    /// [`RunError`] when the run left no valid token.
    pub async fn keep(&self, deadline: Deadline) -> Result<Refreshed, RunError> {
        let outcome = self.refresh(None, deadline).await;
        // Without a token the ticket's refresh would ask WeChat for one again.
        if outcome.is_ok() || self.token_life().await > 0 {
            self.keep_ticket(deadline).await;
        }
        outcome
    }

    /// Carries out `action` and returns the answer to its event.
    ///
    /// # Errors
    /// [`RunError`] when it failed, or may have failed.
    pub async fn run(&self, action: &Action, deadline: Deadline) -> Result<Value, RunError> {
        Ok(match action {
            Action::Refresh => json!(self.refresh(None, deadline).await?),
            Action::Replace { stale_token_sha256 } => json!(self.refresh(Some(stale_token_sha256), deadline).await?),
            Action::Ticket => json!({"expires_at": self.refresh_ticket(deadline).await?.expires_at}),
            Action::ExchangeCode { code } => json!(self.exchange_code(code, deadline).await?),
        })
    }

    /// Refreshes the token if that is due, or replaces the one whose digest is `stale`, and reports the result.
    async fn refresh(&self, stale: Option<&str>, deadline: Deadline) -> Result<Refreshed, RunError> {
        let outcome = self.tokens.run(stale, &random::hex::<8>(), deadline).await;
        match &outcome {
            Ok(done) => self.report(done),
            Err(error) => self.report_failure(error).await,
        }
        Ok(outcome?)
    }

    async fn keep_ticket(&self, deadline: Deadline) {
        match self.table.jsapi_ticket().load().await {
            Ok(item) if item.token.is_none() => {}
            Ok(_) => {
                // It reports its own failure; the next minute's run is the retry.
                let _ = self.refresh_ticket(deadline).await;
            }
            Err(error) => tracing::error!(%error, "the ticket could not be read / 无法读取 jsapi_ticket"),
        }
    }

    /// Refreshes the ticket if that is due, and reports the result.
    async fn refresh_ticket(&self, deadline: Deadline) -> Result<Refreshed, RunError> {
        let outcome = self.tickets.run(None, &random::hex::<8>(), deadline).await;
        let now = self.clock.now_millis();
        match &outcome {
            Ok(done) => {
                let life_seconds = done.expires_at - self.clock.now();
                tracing::info!(refreshed = done.refreshed, life_seconds, "the ticket is valid");
                if done.refreshed {
                    telemetry::emit(&[Metric::count("TicketRefreshes")], None, now);
                }
            }
            Err(error) => {
                tracing::error!(%error, errcode = error.errcode(), "ticket refresh failed / 刷新 jsapi_ticket 失败");
                telemetry::emit(&[Metric::count("TicketFailures")], None, now);
            }
        }
        Ok(outcome?)
    }

    async fn exchange_code(&self, code: &Code, deadline: Deadline) -> Result<Identity, RunError> {
        let identity = match self.endpoint.exchange_code(code, deadline).await {
            Ok(identity) => identity,
            Err(error) => {
                // A visitor can cause this function error: the alarms subtract it from Lambda's count of errors.
                telemetry::emit(&[Metric::count("ExchangeFailures")], None, self.clock.now_millis());
                return Err(RunError::Exchange(error));
            }
        };
        let openid_sha256 = logged_openid(&identity.openid);
        tracing::info!(openid_sha256, is_snapshot = identity.is_snapshot, "a code is exchanged");
        Ok(identity)
    }

    fn report(&self, done: &Refreshed) {
        let life_seconds = done.expires_at - self.clock.now();
        tracing::info!(
            refreshed = done.refreshed,
            generation = done.generation,
            life_seconds,
            "the token is valid"
        );
        let mut metrics = vec![life(life_seconds)];
        if done.refreshed {
            metrics.push(Metric::count("Refreshes"));
        }
        telemetry::emit(&metrics, None, self.clock.now_millis());
    }

    /// Reports a failed run, and how long the old token is still valid: that decides how urgent the failure is.
    async fn report_failure(&self, error: &RefreshError) {
        tracing::error!(%error, errcode = error.errcode(), "token refresh failed / 刷新 access_token 失败");
        if let Ok(item) = self.table.token().await {
            telemetry::emit(&[life(self.life_in(&item))], None, self.clock.now_millis());
        }
    }

    /// The seconds for which the stored token is still valid. 0 when it has expired, or the table cannot be read.
    async fn token_life(&self) -> i64 {
        self.table.token().await.map_or(0, |item| self.life_in(&item))
    }

    fn life_in(&self, item: &TokenItem) -> i64 {
        item.token
            .as_ref()
            .map_or(0, |token| token.life(self.clock.now()).max(0))
    }
}

impl State for App {
    /// Opens the connection to the table, so that the first run need not wait for it.
    async fn warm(&self, _spent: Duration) {
        self.table.warm().await;
    }
}

const fn life(seconds: i64) -> Metric {
    Metric::level("TokenLifeSeconds", Unit::Seconds, seconds)
}

/// Serves one event: an [`Action`], or an ordinary run if the event has no `action`.
///
/// # Errors
/// [`RunError`], which Lambda reports as a function error with errcode, meaning and remedy.
pub async fn handle(app: &App, event: LambdaEvent<Value>) -> Result<Value, RunError> {
    let deadline = Deadline::from_lambda(event.context.deadline, app.clock.now_millis());
    match Action::from_event(&event.payload)? {
        Some(action) => app.run(&action, deadline).await,
        None => Ok(json!(app.keep(deadline).await?)),
    }
}

/// Serves one event with the settings in the secret. When WeChat refuses the AppSecret, reads the secret again and retries
/// once if the secret has changed.
///
/// # Errors
/// [`RunError`], also when the secret gives no settings.
pub async fn handle_live(live: &Live<App>, event: LambdaEvent<Value>) -> Result<Value, RunError> {
    let app = live.current().await?;
    let outcome = handle(&app, event.clone()).await;
    if !outcome.as_ref().is_err_and(RunError::is_about_the_app_secret) {
        return outcome;
    }
    match live.instead_of(&app).await {
        Some(newer) => handle(&newer, event).await,
        None => outcome,
    }
}

/// Why an event failed, or may have failed. It holds no code and no openid.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The secret could not be read, or the settings are invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The refresh failed.
    #[error(transparent)]
    Refresh(#[from] RefreshError),
    /// The code was not exchanged, or its answer was lost.
    #[error("{}", caused("the code was not exchanged", "未能用 code 换取 openid", .0))]
    Exchange(#[source] ApiError),
    /// This version does not know the action, or it lacks its members.
    #[error(
        "unknown or incomplete `action`: use `refresh`, `replace` with `stale_token_sha256`, `ticket`, or `exchange_code` \
         with `code` / 未知或不完整的 action，可用 refresh、replace（含 stale_token_sha256）、ticket、exchange_code（含 code）"
    )]
    UnknownAction,
}

impl RunError {
    /// The type of the function error; see [`wechat::token::ErrorType`].
    #[must_use]
    pub fn error_type(&self) -> String {
        match self {
            Self::Config(error) => error.error_type().to_owned(),
            Self::Refresh(error) => error.error_type().to_string(),
            Self::Exchange(error) => ErrorType::from(error).to_string(),
            Self::UnknownAction => "UnknownAction".to_owned(),
        }
    }

    /// Whether WeChat refused the AppSecret, in this run or in the run for which this one waited.
    fn is_about_the_app_secret(&self) -> bool {
        let errcode = match self {
            Self::Refresh(error) => error.errcode(),
            Self::Exchange(error) => error.errcode(),
            Self::Config(_) | Self::UnknownAction => None,
        };
        errcode.is_some_and(errcode::is_about_the_app_secret)
    }
}

impl From<UnknownAction> for RunError {
    fn from(UnknownAction: UnknownAction) -> Self {
        Self::UnknownAction
    }
}

impl From<RunError> for Diagnostic {
    fn from(error: RunError) -> Self {
        Self {
            error_type: error.error_type(),
            error_message: error.to_string(),
        }
    }
}
