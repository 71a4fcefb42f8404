//! The Lambda function `webhook`.

use std::{convert::Infallible, error::Error, process::ExitCode, sync::Arc};

use lambda_http::service_fn;
use webhook::App;
use wechat::{aws, clock::SystemClock, config::WebhookConfig, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => telemetry::cannot_start(&*error),
    }
}

async fn run() -> Result<(), Box<dyn Error + Send + Sync>> {
    let sdk = aws::load().await;
    let config = WebhookConfig::read(&aws::environment(&sdk).await?)?;
    let app = App::new(config, aws_sdk_dynamodb::Client::new(&sdk), Arc::new(SystemClock));
    app.warm().await;
    lambda_http::run(service_fn(|request| async {
        Ok::<_, Infallible>(webhook::handle(&app, request).await)
    }))
    .await
}
