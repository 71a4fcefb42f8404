//! `token-refresher`: keeps the access_token in the table alive. The only function that holds the AppSecret.

use std::sync::Arc;

use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;
use wechat::{
    api::{Client, ClientError, TokenEndpoint},
    clock::{Clock, Deadline},
    config::RefresherConfig,
    hex,
    store::Table,
    token::{Action, RefreshError, Refreshed, Refresher},
};

/// The function's state, made once a process.
#[derive(Debug)]
pub struct App {
    refresher: Refresher<(Table, String), TokenEndpoint>,
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
        let client = Client::new(
            &config.api.api_base,
            config.api.https_proxy.as_ref(),
            Arc::clone(&clock),
        )?;
        let table = Table::new(dynamodb, config.api.table);
        let issuer = TokenEndpoint::new(client, config.token_api, &config.api.app_id, config.app_secret);
        let refresher = Refresher::new((table.clone(), config.api.app_id), issuer, Arc::clone(&clock));
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
        let owner = hex::random(8).map_err(|error| RunError::Randomness(error.to_string()))?;
        let outcome = self.refresher.run(action, &owner, deadline).await;
        match &outcome {
            Ok(done) => {
                let life_seconds = done.expires_at - self.clock.now();
                tracing::info!(
                    refreshed = done.refreshed,
                    generation = done.generation,
                    life_seconds,
                    "token is alive"
                );
            }
            Err(error) => tracing::error!(%error, errcode = error.errcode(), "token refresh failed"),
        }
        Ok(outcome?)
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

/// A run that left no working token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Why.
    #[error(transparent)]
    Refresh(#[from] RefreshError),
    /// A run needs a name that no other run has.
    #[error("no randomness to name the run with: {0}")]
    Randomness(String),
}

impl RunError {
    /// WeChat's errcode, when it was WeChat that refused.
    #[must_use]
    pub const fn errcode(&self) -> Option<i64> {
        match self {
            Self::Refresh(error) => error.errcode(),
            Self::Randomness(_) => None,
        }
    }
}

impl From<RunError> for Diagnostic {
    /// `errorType` is `WeChat<errcode>` when it was WeChat that refused, so that alarms and callers can tell why.
    fn from(error: RunError) -> Self {
        let error_type = match (&error, error.errcode()) {
            (_, Some(errcode)) => format!("WeChat{errcode}"),
            (RunError::Refresh(RefreshError::Store(_)), _) => "Store".to_owned(),
            (RunError::Refresh(RefreshError::Busy { .. }), _) => "Busy".to_owned(),
            (RunError::Refresh(RefreshError::ForcedTooOften { .. }), _) => "ForcedTooOften".to_owned(),
            (RunError::Refresh(RefreshError::Superseded), _) => "Superseded".to_owned(),
            _ => "WeChatUnreachable".to_owned(),
        };
        Self {
            error_type,
            error_message: error.to_string(),
        }
    }
}
