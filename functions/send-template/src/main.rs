//! The Lambda function `send-template`.

use std::{error::Error, process::ExitCode, sync::Arc};

use send_template::App;
use wechat::{aws, clock::SystemClock, config::CallerConfig, telemetry, token::LambdaRefresher};

#[tokio::main(flavor = "local")]
async fn main() -> ExitCode {
    telemetry::run(function()).await
}

async fn function() -> Result<(), Box<dyn Error + Send + Sync>> {
    let sdk = aws::load(send_template::AWS_CALLS);
    let config = CallerConfig::read(&aws::environment(&sdk).await)?;
    let clock = Arc::new(SystemClock);
    let refresher = LambdaRefresher::new(aws::lambda_client(&sdk), &config.refresher_function, clock.clone());
    let app = App::new(config, aws_sdk_dynamodb::Client::new(&sdk), Arc::new(refresher), clock)?;
    app.warm().await;
    http_api::run(|request| send_template::handle(&app, request)).await
}
