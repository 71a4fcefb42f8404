//! The Lambda function `webhook`.

use std::{error::Error, process::ExitCode, sync::Arc, time::Instant};

use webhook::App;
use wechat::{
    aws,
    clock::SystemClock,
    config::WebhookConfig,
    effects::{EventBus, LambdaWorker, WorkerPort},
    telemetry,
};

#[tokio::main(flavor = "local")]
async fn main() -> ExitCode {
    telemetry::run(function()).await
}

async fn function() -> Result<(), Box<dyn Error + Send + Sync>> {
    let started = Instant::now();
    let sdk = aws::load(webhook::AWS_CALLS);
    let config = WebhookConfig::read(&aws::environment(&sdk).await)?;
    let clock = Arc::new(SystemClock);
    let event_bus = config.event_bus.as_deref().map(|name| EventBus::new(&sdk, name));
    let worker = config
        .worker_function
        .as_deref()
        .map(|function| -> Arc<dyn WorkerPort> {
            Arc::new(LambdaWorker::new(aws::lambda_client(&sdk), function, clock.clone()))
        });
    let app = App::new(config, aws_sdk_dynamodb::Client::new(&sdk), event_bus, worker, clock);
    app.warm(started.elapsed()).await;
    http_api::run_headerless(|request| webhook::handle(&app, request)).await
}
