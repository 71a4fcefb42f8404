//! The Lambda function `webhook`.

use std::{error::Error, process::ExitCode, sync::Arc, time::Instant};

use webhook::{App, EventBus};
use wechat::{aws, clock::SystemClock, config::WebhookConfig, telemetry};

#[tokio::main(flavor = "local")]
async fn main() -> ExitCode {
    telemetry::run(function()).await
}

async fn function() -> Result<(), Box<dyn Error + Send + Sync>> {
    let started = Instant::now();
    let sdk = aws::load(webhook::AWS_CALLS);
    let mut config = WebhookConfig::read(&aws::environment(&sdk).await)?;
    let event_bus = config.event_bus.take();
    let event_bus = event_bus.map(|name| EventBus::new(&sdk, name));
    let dynamodb = aws_sdk_dynamodb::Client::new(&sdk);
    let app = App::new(config, dynamodb, Arc::new(SystemClock)).publishing_to(event_bus);
    app.warm(started.elapsed()).await;
    http_api::run_headerless(|request| webhook::handle(&app, request)).await
}
