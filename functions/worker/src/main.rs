//! The Lambda function `worker`.

use std::{process::ExitCode, sync::Arc};

use lambda_runtime::service_fn;
use wechat::{
    aws::{self, SdkConfig},
    clock::SystemClock,
    config::{ConfigError, Environment, WorkerConfig},
    effects::EventBus,
    telemetry,
    token::LambdaRefresher,
};
use worker::App;

#[tokio::main(flavor = "local")]
async fn main() -> ExitCode {
    telemetry::run(async {
        let live = aws::start(worker::AWS_CALLS, build).await?;
        lambda_runtime::run(service_fn(|event| worker::handle_live(&live, event))).await
    })
    .await
}

fn build(sdk: &SdkConfig, environment: &Environment, _: Option<&App>) -> Result<App, ConfigError> {
    let config = WorkerConfig::read(environment)?;
    let event_bus = config.event_bus.as_deref().map(|name| EventBus::new(sdk, name));
    let clock = Arc::new(SystemClock);
    let refresher = config.refresher_function.as_deref();
    let refresher = refresher.map(|function| LambdaRefresher::connect(sdk, function, clock.clone()));
    let dynamodb = aws::dynamodb_client(sdk);
    Ok(App::new(config, dynamodb, event_bus, refresher, clock)?)
}
