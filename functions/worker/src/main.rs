//! The Lambda function `worker`.

use std::{error::Error, process::ExitCode, sync::Arc, time::Duration};

use lambda_runtime::service_fn;
use wechat::{
    aws::{self, SdkConfig},
    clock::SystemClock,
    config::{ConfigError, Environment, SecretError, WorkerConfig},
    effects::EventBus,
    live::{Build, Live},
    telemetry,
};
use worker::App;

#[tokio::main(flavor = "local")]
async fn main() -> ExitCode {
    telemetry::run(function()).await
}

async fn function() -> Result<(), Box<dyn Error + Send + Sync>> {
    let function = Worker(aws::load(worker::AWS_CALLS));
    let live = Live::start(function, Environment::process(), Arc::new(SystemClock)).await?;
    lambda_runtime::run(service_fn(|event| worker::handle_live(&live, event))).await
}

struct Worker(SdkConfig);

impl Build for Worker {
    type App = App;

    async fn read_secret(&self, id: &str) -> Result<String, SecretError> {
        aws::read_secret(&self.0, id).await
    }

    fn build(&self, environment: &Environment, _previous: Option<&App>) -> Result<App, ConfigError> {
        let config = WorkerConfig::read(environment)?;
        let event_bus = config.event_bus.as_deref().map(|name| EventBus::new(&self.0, name));
        let dynamodb = aws_sdk_dynamodb::Client::new(&self.0);
        Ok(App::new(config, dynamodb, event_bus, Arc::new(SystemClock)))
    }

    async fn warm(app: &App, _spent: Duration) {
        app.warm().await;
    }
}
