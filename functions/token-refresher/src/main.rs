//! The Lambda function `token-refresher`.

use std::{error::Error, process::ExitCode, sync::Arc, time::Duration};

use lambda_runtime::service_fn;
use token_refresher::App;
use wechat::{
    aws::{self, SdkConfig},
    clock::SystemClock,
    config::{ConfigError, Environment, RefresherConfig, SecretError},
    live::{Build, Live},
    telemetry,
};

#[tokio::main(flavor = "local")]
async fn main() -> ExitCode {
    telemetry::run(function()).await
}

async fn function() -> Result<(), Box<dyn Error + Send + Sync>> {
    let function = TokenRefresher(aws::load(token_refresher::AWS_CALLS));
    let live = Live::start(function, Environment::process(), Arc::new(SystemClock)).await?;
    lambda_runtime::run(service_fn(|event| token_refresher::handle_live(&live, event))).await
}

struct TokenRefresher(SdkConfig);

impl Build for TokenRefresher {
    type App = App;

    async fn read_secret(&self, id: &str) -> Result<String, SecretError> {
        aws::read_secret(&self.0, id).await
    }

    fn build(&self, environment: &Environment, _previous: Option<&App>) -> Result<App, ConfigError> {
        let config = RefresherConfig::read(environment)?;
        let dynamodb = aws_sdk_dynamodb::Client::new(&self.0);
        Ok(App::new(config, dynamodb, Arc::new(SystemClock))?)
    }

    async fn warm(app: &App, _spent: Duration) {
        app.warm().await;
    }
}
