//! The Lambda function `webhook`.

use std::{process::ExitCode, sync::Arc};

use webhook::App;
use wechat::{
    aws::{self, SdkConfig},
    clock::SystemClock,
    config::{ConfigError, Environment, WebhookConfig},
    effects::{EventBus, LambdaWorker, WorkerPort},
    telemetry,
};

#[tokio::main(flavor = "local")]
async fn main() -> ExitCode {
    telemetry::run(async {
        let live = aws::start(webhook::AWS_CALLS, build).await?;
        http_api::run(|request| webhook::handle_live(&live, request)).await
    })
    .await
}

fn build(sdk: &SdkConfig, environment: &Environment, previous: Option<&App>) -> Result<App, ConfigError> {
    let config = WebhookConfig::read(environment)?;
    let clock = Arc::new(SystemClock);
    let event_bus = config.event_bus.as_deref().map(|name| EventBus::new(sdk, name));
    let worker = config.worker_function.as_deref();
    let worker = worker.map(|function| -> Arc<dyn WorkerPort> {
        Arc::new(LambdaWorker::new(aws::lambda_client(sdk), function, clock.clone()))
    });
    let app = App::new(config, aws::dynamodb_client(sdk), event_bus, worker, clock);
    Ok(app.in_place_of(previous))
}
