//! The Lambda function `token-refresher`.

use std::{process::ExitCode, sync::Arc};

use lambda_runtime::service_fn;
use token_refresher::App;
use wechat::{
    aws::{self, SdkConfig},
    clock::SystemClock,
    config::{ConfigError, Environment, RefresherConfig},
    telemetry,
};

#[tokio::main(flavor = "local")]
async fn main() -> ExitCode {
    telemetry::run(async {
        let live = aws::start(token_refresher::AWS_CALLS, build).await?;
        lambda_runtime::run(service_fn(|event| token_refresher::handle_live(&live, event))).await
    })
    .await
}

fn build(sdk: &SdkConfig, environment: &Environment, _: Option<&App>) -> Result<App, ConfigError> {
    let config = RefresherConfig::read(environment)?;
    let dynamodb = aws::dynamodb_client(sdk);
    Ok(App::new(config, dynamodb, Arc::new(SystemClock))?)
}
