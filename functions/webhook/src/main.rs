//! The Lambda function `webhook`.

use std::{convert::Infallible, error::Error, process::ExitCode, sync::Arc};

use lambda_http::{Adapter, LambdaEvent, Service as _, lambda_runtime, request::LambdaRequest, service_fn};
use webhook::{App, EventBus, event};
use wechat::{aws, clock::SystemClock, config::WebhookConfig, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::run(function()).await
}

async fn function() -> Result<(), Box<dyn Error + Send + Sync>> {
    let sdk = aws::load().await;
    let mut config = WebhookConfig::read(&aws::environment(&sdk).await?)?;
    let event_bus = config.event_bus.take();
    let event_bus = event_bus.map(|name| EventBus::new(aws_sdk_eventbridge::Client::new(&sdk), name));
    let dynamodb = aws_sdk_dynamodb::Client::new(&sdk);
    let app = App::new(config, dynamodb, Arc::new(SystemClock)).publishing_to(event_bus);
    app.warm().await;
    let answer = |request| async { Ok::<_, Infallible>(webhook::handle(&app, request).await) };
    lambda_runtime::run(service_fn(|mut event: LambdaEvent<LambdaRequest>| {
        event::make_readable(&mut event.payload);
        Adapter::from(service_fn(answer)).call(event)
    }))
    .await
}
