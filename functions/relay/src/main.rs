//! The Lambda function `relay`.

use std::{process::ExitCode, sync::Arc};

use relay::App;
use wechat::{
    aws::{self, SdkConfig},
    clock::SystemClock,
    config::{CallerConfig, ConfigError, Environment},
    telemetry,
    token::LambdaRefresher,
};

#[tokio::main(flavor = "local")]
async fn main() -> ExitCode {
    telemetry::run(async {
        let live = aws::start(relay::AWS_CALLS, build).await?;
        relay::run(&live).await
    })
    .await
}

fn build(sdk: &SdkConfig, environment: &Environment, _: Option<&App>) -> Result<App, ConfigError> {
    let config = CallerConfig::read(environment)?;
    let clock = Arc::new(SystemClock);
    let refresher = LambdaRefresher::connect(sdk, &config.refresher_function, clock.clone());
    let dynamodb = aws::dynamodb_client(sdk);
    Ok(App::new(config, dynamodb, refresher, clock)?)
}
