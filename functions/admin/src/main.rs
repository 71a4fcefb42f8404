//! The Lambda function `admin`.

use std::{error::Error, process::ExitCode, sync::Arc};

use admin::App;
use wechat::{aws, clock::SystemClock, config::AdminConfig, telemetry, token::LambdaRefresher};

#[tokio::main(flavor = "local")]
async fn main() -> ExitCode {
    telemetry::run(function()).await
}

async fn function() -> Result<(), Box<dyn Error + Send + Sync>> {
    let sdk = aws::load(admin::AWS_CALLS);
    let config = AdminConfig::read(&aws::environment(&sdk).await)?;
    let clock = Arc::new(SystemClock);
    let refresher = LambdaRefresher::new(
        aws::lambda_client(&sdk),
        &config.caller.refresher_function,
        clock.clone(),
    );
    let app = App::new(config, aws_sdk_dynamodb::Client::new(&sdk), Arc::new(refresher), clock)?;
    app.warm().await;
    http_api::run(|request| admin::handle(&app, request)).await
}
