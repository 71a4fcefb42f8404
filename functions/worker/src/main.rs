//! The Lambda function `worker`.

use std::{error::Error, process::ExitCode, sync::Arc};

use lambda_runtime::service_fn;
use wechat::{
    aws,
    clock::SystemClock,
    config::{Environment, WorkerConfig},
    effects::EventBus,
    telemetry,
};
use worker::App;

#[tokio::main(flavor = "local")]
async fn main() -> ExitCode {
    telemetry::run(function()).await
}

async fn function() -> Result<(), Box<dyn Error + Send + Sync>> {
    let sdk = aws::load(worker::AWS_CALLS);
    let config = WorkerConfig::read(&Environment::process())?;
    let event_bus = config.event_bus.as_deref().map(|name| EventBus::new(&sdk, name));
    let dynamodb = aws_sdk_dynamodb::Client::new(&sdk);
    let app = App::new(config, dynamodb, event_bus, Arc::new(SystemClock));
    app.warm().await;
    lambda_runtime::run(service_fn(|event| worker::handle(&app, event))).await
}
