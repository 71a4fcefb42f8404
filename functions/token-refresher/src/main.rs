//! The Lambda function `token-refresher`.

use std::{error::Error, process::ExitCode, sync::Arc};

use lambda_runtime::service_fn;
use token_refresher::App;
use wechat::{aws, clock::SystemClock, config::RefresherConfig, telemetry};

#[tokio::main(flavor = "local")]
async fn main() -> ExitCode {
    telemetry::run(function()).await
}

async fn function() -> Result<(), Box<dyn Error + Send + Sync>> {
    let sdk = aws::load(token_refresher::AWS_CALLS);
    let config = RefresherConfig::read(&aws::environment(&sdk).await)?;
    let app = App::new(config, aws_sdk_dynamodb::Client::new(&sdk), Arc::new(SystemClock))?;
    app.warm().await;
    lambda_runtime::run(service_fn(|event| token_refresher::handle(&app, event))).await
}
