//! `token-refresher`: keeps a valid access_token in the table. It is the only function that holds the AppSecret.

use std::{sync::Arc, time::Duration};

use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;
use wechat::{
    api::{ClientError, TokenEndpoint},
    clock::{Clock, Deadline},
    config::{ConfigError, RefresherConfig},
    errcode,
    live::{Live, State},
    random,
    store::Table,
    telemetry::{self, Metric, Unit},
    token::{Action, RefreshError, Refreshed, Refresher},
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
    refresher: Refresher<Table, TokenEndpoint>,
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
        let issuer = TokenEndpoint::new(client, config.token_api, config.api.app_id, config.app_secret);
        let refresher = Refresher::new(table.clone(), issuer, Arc::clone(&clock));
        Ok(Self {
            refresher,
            table,
            clock,
        })
    }

    /// Does one run: refreshes or replaces the token if that is due, and reports the result.
    ///
    /// # Errors
    /// [`RunError`] when the run left no valid token.
    pub async fn run(&self, action: &Action, deadline: Deadline) -> Result<Refreshed, RunError> {
        let owner = random::hex::<8>();
        let outcome = self.refresher.run(action, &owner, deadline).await;
        match &outcome {
            Ok(done) => self.report(done),
            Err(error) => self.report_failure(error).await,
        }
        Ok(outcome?)
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
        tracing::error!(%error, errcode = error.errcode(), "token refresh failed");
        if let Ok(item) = self.table.token().await {
            let now = self.clock.now();
            let life_seconds = item.token.map_or(0, |token| token.life(now).max(0));
            telemetry::emit(&[life(life_seconds)], None, self.clock.now_millis());
        }
    }
}

impl State for App {
    /// Opens the connection to the table, so that the first run need not wait for it.
    async fn warm(&self, _spent: Duration) {
        self.table.warm().await;
    }
}

const fn life(seconds: i64) -> Metric {
    Metric {
        name: "TokenLifeSeconds",
        unit: Unit::Seconds,
        value: seconds as f64,
    }
}

/// Serves one event: `{"action":"refresh"}`, `{"action":"replace",…}`. Any other event is an ordinary run.
///
/// # Errors
/// [`RunError`], which Lambda reports as a function error with errcode, meaning and remedy.
pub async fn handle(app: &App, event: LambdaEvent<Value>) -> Result<Refreshed, RunError> {
    let deadline = Deadline::from_lambda(event.context.deadline, app.clock.now_millis());
    app.run(&Action::from_event(&event.payload), deadline).await
}

/// Serves one event with the settings in the secret. When WeChat refuses the AppSecret, reads the secret again and retries
/// once if the secret has changed.
///
/// # Errors
/// [`RunError`], also when the secret gives no settings.
pub async fn handle_live(live: &Live<App>, event: LambdaEvent<Value>) -> Result<Refreshed, RunError> {
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

/// Why a run left no valid token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The secret could not be read, or the settings are invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The refresh failed.
    #[error(transparent)]
    Refresh(#[from] RefreshError),
}

impl RunError {
    /// The type of the function error; see [`wechat::token::ErrorType`].
    #[must_use]
    pub fn error_type(&self) -> String {
        match self {
            Self::Config(error) => error.error_type().to_owned(),
            Self::Refresh(error) => error.error_type().to_string(),
        }
    }

    /// Whether WeChat refused the AppSecret, in this run or in the run for which this one waited.
    fn is_about_the_app_secret(&self) -> bool {
        let Self::Refresh(error) = self else { return false };
        error.errcode().is_some_and(errcode::is_about_the_app_secret)
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
