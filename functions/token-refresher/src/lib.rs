//! `token-refresher`: keeps the access_token in the table alive. The only function that holds the AppSecret.

use std::sync::Arc;

use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;
use wechat::{
    api::{ClientError, TokenEndpoint},
    clock::{Clock, Deadline},
    config::{ConfigError, RefresherConfig},
    errcode,
    live::{Build, Live},
    random,
    store::Table,
    telemetry::{self, Metric, Unit},
    token::{Action, RefreshError, Refreshed, Refresher},
};

/// The AWS calls that this function makes: its role in `template.yaml` allows these and no other.
pub const AWS_CALLS: &[&str] = &[
    "dynamodb:GetItem",
    "dynamodb:UpdateItem",
    "secretsmanager:GetSecretValue",
];

/// The function's state, made once a process.
#[derive(Debug)]
pub struct App {
    refresher: Refresher<Table, TokenEndpoint>,
    table: Table,
    clock: Arc<dyn Clock>,
}

impl App {
    /// The function as `config` describes it, over the table behind `dynamodb`.
    ///
    /// # Errors
    /// [`ClientError`] when the API's address or the proxy's is no URL.
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

    /// Makes the connection that the first run would have to wait for.
    pub async fn warm(&self) {
        self.table.warm().await;
    }

    /// One run.
    ///
    /// # Errors
    /// [`RunError`] when there is no working token after it.
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
            "token is alive"
        );
        let mut metrics = vec![life(life_seconds)];
        if done.refreshed {
            metrics.push(Metric::count("Refreshes"));
        }
        telemetry::emit(&metrics, None, self.clock.now_millis());
    }

    /// How long the old token still lives is what matters most when there is no new one.
    async fn report_failure(&self, error: &RefreshError) {
        tracing::error!(%error, errcode = error.errcode(), "token refresh failed");
        if let Ok(item) = self.table.token().await {
            let now = self.clock.now();
            let life_seconds = item.token.map_or(0, |token| token.life(now).max(0));
            telemetry::emit(&[life(life_seconds)], None, self.clock.now_millis());
        }
    }
}

const fn life(seconds: i64) -> Metric {
    Metric {
        name: "TokenLifeSeconds",
        unit: Unit::Seconds,
        value: seconds as f64,
    }
}

/// Serves one event: `{"action":"refresh"}`, `{"action":"replace",…}`, or any other as an ordinary run.
///
/// # Errors
/// [`RunError`], which Lambda reports as a function error with code, meaning and remedy.
pub async fn handle(app: &App, event: LambdaEvent<Value>) -> Result<Refreshed, RunError> {
    let deadline = Deadline::from_lambda(event.context.deadline, app.clock.now_millis());
    app.run(&Action::from_event(&event.payload), deadline).await
}

/// Serves one event with the state that the secret makes. When WeChat refuses the AppSecret, the secret is read again, and
/// a changed one gets one more run.
///
/// # Errors
/// [`RunError`], also while there is no state.
pub async fn handle_live<B: Build<App = App>>(
    live: &Live<B>,
    event: LambdaEvent<Value>,
) -> Result<Refreshed, RunError> {
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

/// A run that left no working token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The secret could not be read, or describes no configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Why.
    #[error(transparent)]
    Refresh(#[from] RefreshError),
}

impl RunError {
    /// What the function error is called; see [`wechat::token::ErrorType`].
    #[must_use]
    pub fn error_type(&self) -> String {
        match self {
            Self::Config(error) => error.error_type().to_owned(),
            Self::Refresh(error) => error.error_type().to_string(),
        }
    }

    /// Whether WeChat refused the AppSecret to this run, or to the one that it waited for.
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
