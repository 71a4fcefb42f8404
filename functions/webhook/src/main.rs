//! The Lambda function `webhook`.

use std::{error::Error, process::ExitCode, sync::Arc, time::Duration};

use webhook::App;
use wechat::{
    aws::{self, SdkConfig},
    clock::SystemClock,
    config::{ConfigError, Environment, SecretError, WebhookConfig},
    effects::{EventBus, LambdaWorker, WorkerPort},
    live::{Build, Live},
    telemetry,
};

#[tokio::main(flavor = "local")]
async fn main() -> ExitCode {
    telemetry::run(function()).await
}

async fn function() -> Result<(), Box<dyn Error + Send + Sync>> {
    let function = Webhook(aws::load(webhook::AWS_CALLS));
    let live = Live::start(function, Environment::process(), Arc::new(SystemClock)).await?;
    http_api::run(|request| webhook::handle_live(&live, request)).await
}

struct Webhook(SdkConfig);

impl Build for Webhook {
    type App = App;

    /// WeChat hangs up after 5 s, and 3 s may follow: reading the rules, running the effects or handing them over, and a
    /// note.
    const START_BUDGET: Duration = Duration::from_millis(1700);

    async fn read_secret(&self, id: &str) -> Result<String, SecretError> {
        aws::read_secret(&self.0, id).await
    }

    fn build(&self, environment: &Environment, previous: Option<&App>) -> Result<App, ConfigError> {
        let config = WebhookConfig::read(environment)?;
        let clock = Arc::new(SystemClock);
        let event_bus = config.event_bus.as_deref().map(|name| EventBus::new(&self.0, name));
        let worker = config.worker_function.as_deref();
        let worker = worker.map(|function| -> Arc<dyn WorkerPort> {
            Arc::new(LambdaWorker::new(aws::lambda_client(&self.0), function, clock.clone()))
        });
        let app = App::new(config, aws_sdk_dynamodb::Client::new(&self.0), event_bus, worker, clock);
        Ok(app.in_place_of(previous))
    }

    async fn warm(app: &App, spent: Duration) {
        app.warm(spent).await;
    }
}
