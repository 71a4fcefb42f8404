//! `worker`: does what is due, by a schedule, and what callbacks leave to do after the answer.
//!
//! Every minute: scheduled messages, campaigns, and callbacks that the team's own code has not taken. By an asynchronous invocation
//! of `webhook`: the effects of callbacks that failed before the answer, and the replies that follow the passive one.
//!
//! Lambda retries a failed invocation after 1 and 2 minutes and then moves the event to a queue, which delivers it again
//! every 15 minutes for 14 days. A failed run is not repeated from the queue: the schedule starts the next one.

mod campaigns;
mod forwards;
mod further;
mod scheduled;
mod time_limit;

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::future::join_all;
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use wechat::{
    account::Account,
    api::ClientError,
    bilingual::caused,
    clock::{Clock, Deadline},
    config::{ConfigError, WorkerConfig},
    effects::{EffectError, Effects, EventBus, FurtherReplies, LateEffects, NotFurtherReplies, NotLateEffects, Ran},
    forward::OwnCode,
    live::{Live, State},
    store::{StoreError, Table},
    telemetry::{self, Metric},
    token::RefreshPort,
};

use self::{forwards::Forwards, further::FurtherError, time_limit::TimeLimit};

/// The AWS calls that this function makes. Its role in `template.yaml` allows these and no others.
pub const AWS_CALLS: &[&str] = &[
    "dynamodb:BatchGetItem",
    "dynamodb:BatchWriteItem",
    "dynamodb:DeleteItem",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:UpdateItem",
    "events:PutEvents",
    "lambda:InvokeFunction",
    "secretsmanager:GetSecretValue",
];

/// Budget of one callback's effects, including the wait for the claim of another run. That claim lasts 17 s at most, also
/// when that run has crashed: Lambda's retry after a minute no longer meets it.
const BUDGET: Duration = Duration::from_secs(15);
/// Time of the function that a run reserves for closing its claims.
const MARGIN: Duration = Duration::from_secs(2);
/// How long campaigns wait for the single messages that are due.
const HEAD_START: Duration = Duration::from_secs(15);
/// Timeout of connecting to own code.
const CONNECT: Duration = Duration::from_secs(5);

/// The function's state, built once per process.
#[derive(Debug)]
pub struct App {
    effects: Effects,
    forwards: Forwards,
    /// `None` where `TOKEN_REFRESHER_FUNCTION` is not set.
    account: Option<Account>,
    table: Table,
    clock: Arc<dyn Clock>,
    stopping: watch::Sender<bool>,
}

impl App {
    /// Creates the function that `config` describes, on the table behind `dynamodb`. It publishes to `event_bus` and asks
    /// `refresher` when it needs a token, where they are given.
    ///
    /// # Errors
    /// [`ClientError`] when the address of the API or of the proxy is not a URL.
    pub fn new(
        config: WorkerConfig,
        dynamodb: aws_sdk_dynamodb::Client,
        event_bus: Option<EventBus>,
        refresher: Option<Arc<dyn RefreshPort>>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
        let table = Table::new(dynamodb.clone(), &config.api.table, &config.api.app_id);
        let own_code = config.forward.map(|forward| OwnCode::new(forward, CONNECT));
        let account = refresher.map(|refresher| Account::open(config.api, dynamodb, refresher, Arc::clone(&clock)));
        Ok(Self {
            effects: Effects::new(table.clone(), event_bus, Arc::clone(&clock)),
            forwards: Forwards::new(table.clone(), own_code, Arc::clone(&clock)),
            account: account.transpose()?,
            table,
            clock,
            stopping: watch::Sender::new(false),
        })
    }

    /// Makes all runs end as at their deadline, because the process is about to end: no further message goes out, and those
    /// in flight are recorded. The next process continues.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Serves `event`: `{"action":"effects",…}`; `{"action":"then",…}`; `{"action":"run"}` or no action for what is due; or the
    /// messages of a queue that hold such events.
    ///
    /// # Errors
    /// [`RunError`] when the event failed, or may have failed. For messages the answer names the failed ones instead.
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
            _ if is_run(event) => self.run_due(deadline).await,
            Some(Value::String(action)) if action == "effects" => {
                let ran = self.run_effects(LateEffects::from_event(event)?, deadline).await?;
                Ok(json!({"effects": match ran {
                    Ran::Now => "now",
                    Ran::Before => "before",
                }}))
            }
            Some(Value::String(action)) if action == "then" => {
                let further = FurtherReplies::from_event(event)?;
                let account = self.account.as_ref().ok_or(RunError::NoRefresher)?;
                let sent = further::send(account, &further, deadline.before(MARGIN)).await?;
                Ok(json!({"then": sent.map_or_else(|| json!("before"), |sent| json!({"sent": sent}))}))
            }
            _ => Err(RunError::UnknownAction),
        }
    }

    /// Does what is due. Own code and messages do not wait for each other.
    async fn run_due(&self, deadline: Deadline) -> Result<Value, RunError> {
        let limit = TimeLimit::new(deadline, &self.stopping);
        let messages = async {
            match &self.account {
                Some(account) => run_messages(account, limit).await.map_err(RunError::Messages),
                None => self.refuse_messages().await,
            }
        };
        let (forwards, messages) = tokio::join!(self.forwards.run(limit), messages);
        let mut done = messages;
        if forwards.is_err() {
            // The answer is the failure of the forwards.
            done =
                done.inspect_err(|error| tracing::error!(%error, "the messages failed too / 定时消息的处理也失败了"));
        }
        let (forwards, mut done) = (forwards?, done?);
        if let Value::Object(forwards) = forwards {
            done.extend(forwards);
        }
        Ok(Value::Object(done))
    }

    /// Fails when messages are due: without an access_token nobody sends them.
    async fn refuse_messages(&self) -> Result<Map<String, Value>, RunError> {
        let now = self.clock.now();
        let due = async {
            let singles = self.table.due_scheduled(now, None).await?;
            let campaigns = self.table.due_campaigns(now).await?;
            Ok(!singles.entries.is_empty() || !campaigns.is_empty())
        };
        if due.await.map_err(RunError::Messages)? {
            Err(RunError::NoRefresher)
        } else {
            Ok(Map::new())
        }
    }

    async fn run_effects(&self, late: LateEffects, deadline: Deadline) -> Result<Ran, RunError> {
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
            msgid = late.callback.delivery_receipt().map(|(msgid, ..)| msgid),
            seconds_late = self.clock.now() - late.received_at,
            duplicate = (ran == Ran::Before).then_some(true),
            "effects of a callback"
        );
        if ran == Ran::Now {
            telemetry::emit(&[Metric::count("LateEffects")], None, self.clock.now_millis());
        }
        Ok(ran)
    }

    /// Serves the event in `message`. Returns the entry of `batchItemFailures` if that failed.
    async fn failed_message(&self, message: &Value, deadline: Deadline) -> Option<Value> {
        let outcome = match event_in(message) {
            // Lambda moves failed runs to the queue too. A later run of the schedule has done their work.
            Some(event) if is_run(&event) => return None,
            Some(event) => self.act(&event, deadline).await,
            None => Err(RunError::NotAMessage),
        };
        let error = outcome.err()?;
        tracing::error!(%error, "the event in a message failed: the queue delivers it again / 队列中的事件处理失败，稍后会再次投递");
        Some(json!({"itemIdentifier": message["messageId"]}))
    }
}

/// Sends the messages that are due: single ones first, but campaigns do not wait for slow answers to them.
async fn run_messages(account: &Account, limit: TimeLimit<'_>) -> Result<Map<String, Value>, StoreError> {
    let mut done = Map::new();
    let mut singles = pin!(scheduled::run_due(account, limit));
    let turns = tokio::select! {
        turns = &mut singles => Some(turns),
        () = account.clock.sleep(HEAD_START) => None,
    };
    let campaigns = campaigns::run_due(account, limit);
    let (turns, mut campaigns) = match turns {
        Some(turns) => (turns, campaigns.await),
        None => tokio::join!(singles, campaigns),
    };
    if turns.is_err() {
        // The answer is the failure of the scheduled messages.
        campaigns =
            campaigns.inspect_err(|error| tracing::error!(%error, "the campaigns failed too / 群发任务的处理也失败了"));
    }
    let (turns, campaigns) = (turns?, campaigns?);
    if turns > 0 {
        done.insert("scheduled".to_owned(), turns.into());
    }
    if campaigns > 0 {
        done.insert("campaigns".to_owned(), campaigns.into());
    }
    Ok(done)
}

impl State for App {
    /// Opens the connection to the table, so that the first run need not wait for it.
    async fn warm(&self, _spent: Duration) {
        self.table.warm().await;
    }
}

/// The messages in `event`, if it comes from Amazon SQS.
fn messages(event: &Value) -> Option<&Vec<Value>> {
    let records = event.get("Records")?.as_array()?;
    records
        .iter()
        .all(|record| record["eventSource"] == "aws:sqs")
        .then_some(records)
}

/// Whether `event` asks to do what is due.
fn is_run(event: &Value) -> bool {
    event.get("action").is_none_or(|action| action == "run")
}

/// The event in a message. Lambda wraps the event of a failed invocation into a record, as its `requestPayload`.
fn event_in(message: &Value) -> Option<Value> {
    let mut body: Value = serde_json::from_str(message["body"].as_str()?).ok()?;
    Some(match body.get_mut("requestPayload") {
        Some(event) => event.take(),
        None => body,
    })
}

/// Serves one event, and logs a failure. See [`App::run`].
///
/// # Errors
/// [`RunError`], which Lambda reports as a function error. It retries asynchronous invocations.
pub async fn handle(app: &App, event: LambdaEvent<Value>) -> Result<Value, RunError> {
    let deadline = Deadline::from_lambda(event.context.deadline, app.clock.now_millis());
    let outcome = app.run(&event.payload, deadline).await;
    if let Err(error) = &outcome {
        tracing::error!(%error, "the event failed / 事件处理失败");
    }
    outcome
}

/// Serves one event with the settings in the secret.
///
/// # Errors
/// [`RunError`], also when the secret gives no settings.
pub async fn handle_live(live: &Live<App>, event: LambdaEvent<Value>) -> Result<Value, RunError> {
    let app = live.current().await?;
    handle(&app, event).await
}

/// Why an event failed, or may have failed. It holds no text and no openid.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The secret could not be read, or the settings are invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The further replies were not sent.
    #[error("{}", caused("no further reply was sent", "后续回复均未发送", .0))]
    Further(#[from] FurtherError),
    /// Messages that are due, and further replies, need an access_token.
    #[error(
        "messages cannot be sent: set TOKEN_REFRESHER_FUNCTION to the name of token-refresher \
         / 无法发送消息：请将 TOKEN_REFRESHER_FUNCTION 设为 token-refresher 的函数名"
    )]
    NoRefresher,
    /// The event asks for further replies, and cannot be read.
    #[error("{}", caused("the event with the action `then` cannot be read", "无法读取 action 为 then 的事件", .0))]
    NotFurther(#[from] NotFurtherReplies),
    /// The table failed while own code was to be asked again.
    #[error("{}", caused("own code is not asked again until the next run", "暂停再次请求自有服务，等待下次运行", .0))]
    Forwards(#[from] StoreError),
    /// The table failed while messages were to be sent.
    #[error("{}", caused("messages that are due wait for the next run", "到期的消息等待下次运行", .0))]
    Messages(#[source] StoreError),
    /// The effects failed, or their answer was lost.
    #[error("{}", caused("the effects of a callback failed, or may have failed", "回调的后续处理失败或可能失败", .0))]
    Effects(#[from] EffectError),
    /// The callback has to be published, and there is no event bus.
    #[error(
        "the callback has to be published, and there is no event bus: set EVENT_BUS_NAME to the value that webhook has \
         / 该回调需要发布，但未设置事件总线：请将 EVENT_BUS_NAME 设为与 webhook 一致"
    )]
    NoBus,
    /// The event asks for effects, and its callback cannot be read.
    #[error("{}", caused("the event with the action `effects` cannot be read", "无法读取 action 为 effects 的事件", .0))]
    NotEffects(#[from] NotLateEffects),
    /// A message of the queue holds no event.
    #[error("the message of the queue holds no event / 队列消息中没有事件")]
    NotAMessage,
    /// This version does not know the action.
    #[error("unknown `action`: use `effects`, `then` or `run` / 未知的 action，可用 effects、then 与 run")]
    UnknownAction,
}

impl RunError {
    /// Whether the same event fails in the same way until somebody changes the set-up or the version.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Self::NoRefresher
            | Self::NotFurther(_)
            | Self::NoBus
            | Self::NotEffects(_)
            | Self::NotAMessage
            | Self::UnknownAction => true,
            Self::Config(_) | Self::Effects(_) | Self::Forwards(_) | Self::Further(_) | Self::Messages(_) => false,
        }
    }

    /// The type of the function error.
    #[must_use]
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::Config(error) => error.error_type(),
            Self::Effects(_) => "Effects",
            Self::Forwards(_) => "Forwards",
            Self::Further(_) => "Further",
            Self::Messages(_) => "Messages",
            Self::NoRefresher => "NoRefresher",
            Self::NotFurther(_) => "NotFurther",
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
