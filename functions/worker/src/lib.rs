//! `worker`: has the effects of callbacks that could not happen before their answer. `webhook` hands them over by an
//! asynchronous invocation. Lambda repeats one that fails after 1 and 2 minutes, then puts it into a queue, from which it
//! comes here again every quarter of an hour for 14 days: a run itself tries once, so that an outage does not use up the
//! account's concurrency by runs that wait.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::{Value, json};
use wechat::{
    clock::{Clock, Deadline},
    config::{ConfigError, WorkerConfig},
    effects::{EffectError, Effects, EventBus, LateEffects, NotLateEffects, Ran},
    live::{Build, Live},
    store::Table,
    telemetry::{self, Metric},
};

/// The AWS calls that this function makes: its role in `template.yaml` allows these and no other.
pub const AWS_CALLS: &[&str] = &[
    "dynamodb:DeleteItem",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
    "events:PutEvents",
    "secretsmanager:GetSecretValue",
];

/// The effects of one callback, and the wait for a delivery that is still at work on them, or died doing so: its claim
/// ends within 17 s.
const BUDGET: Duration = Duration::from_secs(15);
/// What a run leaves of the function's time, to end its claims.
const MARGIN: Duration = Duration::from_secs(2);

/// The function's state, made once a process.
#[derive(Debug)]
pub struct App {
    effects: Effects,
    table: Table,
    clock: Arc<dyn Clock>,
}

impl App {
    /// The function as `config` describes it, over the table behind `dynamodb`. It publishes to `event_bus`, if there is one.
    #[must_use]
    pub fn new(
        config: WorkerConfig,
        dynamodb: aws_sdk_dynamodb::Client,
        event_bus: Option<EventBus>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let table = Table::new(dynamodb, config.table, config.app_id);
        Self {
            effects: Effects::new(table.clone(), event_bus, Arc::clone(&clock)),
            table,
            clock,
        }
    }

    /// Makes the connection that the first run would have to wait for.
    pub async fn warm(&self) {
        self.table.warm().await;
    }

    /// Does what `event` asks for: `{"action":"effects",…}`, `{"action":"run"}` or an event without an action for what is
    /// due, or messages of a queue that hold such events.
    ///
    /// # Errors
    /// [`RunError`] when it was not done, as far as can be told. Of messages, the answer names those that failed.
    pub async fn run(&self, event: &Value, deadline: Deadline) -> Result<Value, RunError> {
        match messages(event) {
            Some(messages) => {
                let failed = join_all(messages.iter().map(|message| self.failed_message(message, deadline))).await;
                let failed: Vec<Value> = failed.into_iter().flatten().collect();
                Ok(json!({"batchItemFailures": failed}))
            }
            None => self.act(event, deadline).await,
        }
    }

    async fn act(&self, event: &Value, deadline: Deadline) -> Result<Value, RunError> {
        match event.get("action") {
            Some(Value::String(action)) if action == "effects" => {
                let ran = self.have_effects(LateEffects::from_event(event)?, deadline).await?;
                Ok(json!({"effects": match ran {
                    Ran::Now => "now",
                    Ran::Before => "before",
                }}))
            }
            // Nothing is ever due yet.
            None => Ok(json!({})),
            Some(Value::String(action)) if action == "run" => Ok(json!({})),
            Some(_) => Err(RunError::UnknownAction),
        }
    }

    async fn have_effects(&self, late: LateEffects, deadline: Deadline) -> Result<Ran, RunError> {
        if late.publish && !self.effects.publish() {
            return Err(RunError::NoBus);
        }
        let budget = deadline.budget(self.clock.now_millis(), BUDGET, MARGIN);
        let ran = match self.effects.run(&late.callback, late.received_at, budget).await {
            Ok(ran) => ran,
            Err(failed) => {
                self.effects.give_up(&failed).await;
                return Err(failed.error.into());
            }
        };
        tracing::info!(
            "type" = late.callback.kind(),
            seconds_late = self.clock.now() - late.received_at,
            duplicate = (ran == Ran::Before).then_some(true),
            "effects of a callback"
        );
        if ran == Ran::Now {
            telemetry::emit(&[Metric::count("LateEffects")], None, self.clock.now_millis());
        }
        Ok(ran)
    }

    /// What the answer says of a message whose event failed.
    async fn failed_message(&self, message: &Value, deadline: Deadline) -> Option<Value> {
        let outcome = match event_in(message) {
            Some(event) => self.act(&event, deadline).await,
            None => Err(RunError::NotAMessage),
        };
        let error = outcome.err()?;
        tracing::error!(%error, "the event of a message failed: it comes again");
        Some(json!({"itemIdentifier": message["messageId"]}))
    }
}

/// The messages of Amazon SQS that `event` is.
fn messages(event: &Value) -> Option<&Vec<Value>> {
    let records = event.get("Records")?.as_array()?;
    records
        .iter()
        .all(|record| record["eventSource"] == "aws:sqs")
        .then_some(records)
}

/// The event in a message: what Lambda could not run is the `requestPayload` of its record of that.
fn event_in(message: &Value) -> Option<Value> {
    let mut body: Value = serde_json::from_str(message["body"].as_str()?).ok()?;
    Some(match body.get_mut("requestPayload") {
        Some(event) => event.take(),
        None => body,
    })
}

/// Serves one event: see [`App::run`].
///
/// # Errors
/// [`RunError`], which Lambda reports as a function error, and repeats after an asynchronous invocation.
pub async fn handle(app: &App, event: LambdaEvent<Value>) -> Result<Value, RunError> {
    let deadline = Deadline::from_lambda(event.context.deadline, app.clock.now_millis());
    let outcome = app.run(&event.payload, deadline).await;
    if let Err(error) = &outcome {
        tracing::error!(%error, "the event failed");
    }
    outcome
}

/// Serves one event with the state that the secret makes.
///
/// # Errors
/// [`RunError`], also while there is no state.
pub async fn handle_live<B: Build<App = App>>(live: &Live<B>, event: LambdaEvent<Value>) -> Result<Value, RunError> {
    let app = live.current().await?;
    handle(&app, event).await
}

/// What was asked for was not done, as far as can be told. Holds no text and no openid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The secret could not be read, or describes no configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The effects failed.
    #[error("the effects of a callback did not happen, as far as can be told: {0} / 回调的后续处理未完成")]
    Effects(#[from] EffectError),
    /// The callback was to be published, and there is no bus.
    #[error(
        "the callback is to be published: set EVENT_BUS_NAME as webhook has it / 该回调需要发布，请将 EVENT_BUS_NAME 设为与 webhook 一致"
    )]
    NoBus,
    /// The event asks for effects and does not say which.
    #[error("the event with the action `effects` cannot be read: {0} / 无法读取 action 为 effects 的事件")]
    NotEffects(#[from] NotLateEffects),
    /// The message of a queue holds no event.
    #[error("the message holds no event / 队列消息中没有事件")]
    NotAMessage,
    /// An action that this version does not know.
    #[error("unknown `action`: `effects` and `run` are known / 未知的 action，可用 effects 与 run")]
    UnknownAction,
}

impl RunError {
    /// What the function error is called.
    #[must_use]
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::Config(error) => error.error_type(),
            Self::Effects(_) => "Effects",
            Self::NoBus => "NoBus",
            Self::NotEffects(_) => "NotEffects",
            Self::NotAMessage => "NotAMessage",
            Self::UnknownAction => "UnknownAction",
        }
    }
}

impl From<RunError> for Diagnostic {
    fn from(error: RunError) -> Self {
        Self {
            error_type: error.error_type().to_owned(),
            error_message: error.to_string(),
        }
    }
}
