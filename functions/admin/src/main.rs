//! The Lambda function `admin`.

use std::{convert::Infallible, error::Error, process::ExitCode, sync::Arc};

use admin::App;
use lambda_http::service_fn;
use wechat::{aws, clock::SystemClock, config::AdminConfig, telemetry, token::LambdaRefresher};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::run(function()).await
}

async fn function() -> Result<(), Box<dyn Error + Send + Sync>> {
    let sdk = aws::load().await;
    let config = AdminConfig::read(&aws::environment(&sdk).await?)?;
    let clock = Arc::new(SystemClock);
    let refresher = LambdaRefresher::new(
        aws::lambda_client(&sdk),
        &config.caller.refresher_function,
        clock.clone(),
    );
    let app = App::new(config, aws_sdk_dynamodb::Client::new(&sdk), Arc::new(refresher), clock)?;
    app.warm().await;
    lambda_http::run(service_fn(|request| async {
        Ok::<_, Infallible>(admin::handle(&app, request).await)
    }))
    .await
}
