//! The Lambda function `admin`.

use std::{process::ExitCode, sync::Arc};

use admin::App;
use wechat::{
    aws::{self, SdkConfig},
    clock::SystemClock,
    config::{AdminConfig, ConfigError, Environment},
    telemetry,
    token::LambdaRefresher,
};

#[tokio::main(flavor = "local")]
async fn main() -> ExitCode {
    telemetry::run(async {
        let live = aws::start(admin::AWS_CALLS, build).await?;
        http_api::run_api(&live).await
    })
    .await
}

fn build(sdk: &SdkConfig, environment: &Environment, _: Option<&App>) -> Result<App, ConfigError> {
    let config = AdminConfig::read(environment)?;
    let clock = Arc::new(SystemClock);
    let refresher = LambdaRefresher::connect(sdk, &config.caller.refresher_function, clock.clone());
    let dynamodb = aws::dynamodb_client(sdk);
    Ok(App::new(config, dynamodb, refresher, clock)?)
}
