//! The Lambda function `send-template`.

use std::{error::Error, process::ExitCode, sync::Arc, time::Duration};

use send_template::App;
use wechat::{
    aws::{self, SdkConfig},
    clock::SystemClock,
    config::{CallerConfig, ConfigError, Environment, SecretError},
    live::{Build, Live},
    telemetry,
    token::LambdaRefresher,
};

#[tokio::main(flavor = "local")]
async fn main() -> ExitCode {
    telemetry::run(function()).await
}

async fn function() -> Result<(), Box<dyn Error + Send + Sync>> {
    let function = SendTemplate(aws::load(send_template::AWS_CALLS));
    let live = Live::start(function, Environment::process(), Arc::new(SystemClock)).await?;
    http_api::run_api(&live).await
}

struct SendTemplate(SdkConfig);

impl Build for SendTemplate {
    type App = App;

    async fn read_secret(&self, id: &str) -> Result<String, SecretError> {
        aws::read_secret(&self.0, id).await
    }

    fn build(&self, environment: &Environment, _previous: Option<&App>) -> Result<App, ConfigError> {
        let config = CallerConfig::read(environment)?;
        let clock = Arc::new(SystemClock);
        let refresher = LambdaRefresher::new(aws::lambda_client(&self.0), &config.refresher_function, clock.clone());
        let dynamodb = aws_sdk_dynamodb::Client::new(&self.0);
        Ok(App::new(config, dynamodb, Arc::new(refresher), clock)?)
    }

    async fn warm(app: &App, _spent: Duration) {
        app.warm().await;
    }
}
