//! A built function on a Lambda Runtime API, which hands it events and takes its answers.

mod response;
mod runtime_api;
mod secrets;

use std::{
    future::{Future, IntoFuture},
    path::Path,
    pin::Pin,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    task::JoinHandle,
    time::timeout,
};

pub use self::{response::Response, runtime_api::Outcome};
use self::{runtime_api::RuntimeApi, secrets::Secrets};
use crate::{
    event::{self, Request},
    now_millis,
};

/// How long a test waits for a function.
const PATIENCE: Duration = Duration::from_secs(40);
/// Milliseconds. The time to the deadline of an invocation, unless a test says otherwise.
const INVOCATION: i64 = 30_000;

/// A running function: its process, and the Runtime API that drives it. The process ends with this value.
///
/// Every test fails when an answer, an error or the log shows a secret that the function was given, or an access_token of the
/// simulator's.
#[derive(Debug)]
pub struct Function {
    process: Child,
    api: RuntimeApi,
    logs: Arc<Mutex<String>>,
    log_readers: Vec<JoinHandle<()>>,
    secrets: Secrets,
}

impl Function {
    /// Starts the binary at `path` with nothing in its environment but `variables` and those that Lambda sets.
    pub async fn start(path: &str, variables: &[(&str, &str)]) -> Self {
        let record = record_of_aws_calls(Path::new(path));
        let record = ("RECORD_AWS_CALLS", record.as_str());
        Self::run(Command::new(path), &[variables, &[record]].concat()).await
    }

    /// Runs `command` with nothing in its environment but `variables` and those that Lambda sets.
    pub async fn run(mut command: Command, variables: &[(&str, &str)]) -> Self {
        let api = RuntimeApi::start().await;
        let mut process = command
            .env_clear()
            .envs([
                ("AWS_LAMBDA_RUNTIME_API", api.address().as_str()),
                ("AWS_LAMBDA_FUNCTION_NAME", "under-test"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
                ("AWS_LAMBDA_LOG_GROUP_NAME", "group"),
                ("AWS_LAMBDA_LOG_STREAM_NAME", "stream"),
                ("AWS_REGION", "eu-central-1"),
                ("AWS_ACCESS_KEY_ID", "test"),
                ("AWS_SECRET_ACCESS_KEY", "test"),
            ])
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let logs = Arc::default();
        let log_readers = vec![
            collect(process.stdout.take(), &logs),
            collect(process.stderr.take(), &logs),
        ];
        Self {
            process,
            api,
            logs,
            log_readers,
            secrets: Secrets::of(variables),
        }
    }

    /// Waits until the function asks for its first event.
    pub async fn started(&mut self) {
        let is_started = timeout(PATIENCE, self.api.polled()).await.unwrap_or(false);
        assert!(is_started, "the function did not start; its log:\n{}", self.logs());
    }

    /// The id of its process, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// `GET path_and_query` by the holder of the stage's API key.
    pub fn get(&mut self, path_and_query: &str) -> Asking<'_> {
        self.ask(event::get(path_and_query))
    }

    /// `POST` with a JSON body; null stands for no body.
    pub fn post(&mut self, path_and_query: &str, body: &Value) -> Asking<'_> {
        self.ask(event::post(path_and_query, body))
    }

    /// `PUT` with a JSON body.
    pub fn put(&mut self, path_and_query: &str, body: &Value) -> Asking<'_> {
        self.ask(event::api("PUT", path_and_query).json(body))
    }

    /// `DELETE path_and_query`.
    pub fn delete(&mut self, path_and_query: &str) -> Asking<'_> {
        self.ask(event::api("DELETE", path_and_query))
    }

    /// Makes a request of any kind.
    pub const fn ask(&mut self, request: Request) -> Asking<'_> {
        Asking {
            function: self,
            request,
            within: INVOCATION,
        }
    }

    /// Invokes with the event of a request.
    pub async fn send(&mut self, request: &Value) -> Response {
        self.send_within(request, INVOCATION).await
    }

    async fn send_within(&mut self, request: &Value, millis: i64) -> Response {
        match self.invoke_within(request, millis).await {
            Outcome::Answered(answer) => Response::read(&answer),
            failed => panic!("{failed:?}; its log:\n{}", self.logs()),
        }
    }

    /// The answer to `event`.
    pub async fn succeed(&mut self, event: &Value) -> Value {
        match self.invoke(event).await {
            Outcome::Answered(answer) => answer,
            failed => panic!("{failed:?}; its log:\n{}", self.logs()),
        }
    }

    /// Returns the type and the message of the function error with which the invocation ends.
    pub async fn fail(&mut self, event: &Value) -> (String, String) {
        self.fail_within(event, INVOCATION).await
    }

    /// As [`Self::fail`], `millis` before the deadline.
    pub async fn fail_within(&mut self, event: &Value, millis: i64) -> (String, String) {
        match self.invoke_within(event, millis).await {
            Outcome::Failed(error) => {
                let text = |name: &str| error[name].as_str().unwrap().to_owned();
                (text("errorType"), text("errorMessage"))
            }
            other => panic!("no function error: {other:?}"),
        }
    }

    /// Invokes with `event`, 30 s before the deadline.
    pub async fn invoke(&mut self, event: &Value) -> Outcome {
        self.invoke_within(event, INVOCATION).await
    }

    /// Invokes with `event`, `millis` before the deadline.
    pub async fn invoke_within(&mut self, event: &Value, millis: i64) -> Outcome {
        self.invoke_until(event, now_millis() + millis).await
    }

    /// Invokes with `event` and a deadline in epoch milliseconds.
    pub async fn invoke_until(&mut self, event: &Value, deadline_millis: i64) -> Outcome {
        self.invoke_text(event.to_string(), deadline_millis).await
    }

    /// Invokes with the text of an event, which need not be JSON.
    pub async fn invoke_text(&mut self, event: String, deadline_millis: i64) -> Outcome {
        let outcome = timeout(PATIENCE, self.api.invoke(event, deadline_millis)).await;
        let outcome = outcome.ok().flatten();
        let outcome = outcome.unwrap_or_else(|| panic!("the function gave no answer; its log:\n{}", self.logs()));
        self.secrets.assert_absent("answer", &format!("{outcome:?}"));
        outcome
    }

    /// Waits for the process to end by itself, and returns its exit code.
    pub async fn exit_code(&mut self) -> Option<i32> {
        let ended = timeout(PATIENCE, self.process.wait())
            .await
            .unwrap_or_else(|_| panic!("the function goes on running"));
        for reader in self.log_readers.drain(..) {
            // A reader that has failed has read what there was.
            let _ = reader.await;
        }
        ended.ok().and_then(|status| status.code())
    }

    /// Kills the process, as a crash would.
    pub async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    /// All that the process has written so far.
    #[must_use]
    pub fn logs(&self) -> String {
        self.logs.lock().map(|logs| logs.clone()).unwrap_or_default()
    }

    /// The lines of the log, metrics included: each is JSON.
    #[must_use]
    pub fn log_lines(&self) -> Vec<Value> {
        let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        self.logs().lines().map(read).collect()
    }

    /// The lines that are metrics.
    #[must_use]
    pub fn metrics(&self) -> Vec<Value> {
        let mut lines = self.log_lines();
        lines.retain(|line| line.get("_aws").is_some());
        lines
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.secrets.assert_absent("log", &self.logs());
        }
    }
}

/// A request that is about to be made; `await` makes it.
#[derive(Debug)]
#[must_use = "a request is made by `await`"]
pub struct Asking<'a> {
    function: &'a mut Function,
    request: Request,
    within: i64,
}

impl Asking<'_> {
    /// With an `Idempotency-Key`.
    pub fn key(mut self, key: &str) -> Self {
        self.request = self.request.key(key);
        self
    }

    /// With a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// With `millis` to the deadline.
    pub const fn within(mut self, millis: i64) -> Self {
        self.within = millis;
        self
    }
}

impl<'a> IntoFuture for Asking<'a> {
    type Output = Response;
    type IntoFuture = Pin<Box<dyn Future<Output = Response> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.function.send_within(&self.request, self.within).await })
    }
}

/// Where the function at `path` notes its AWS calls: `aws-calls/NAME` beside it. `deployment/` reads it.
fn record_of_aws_calls(path: &Path) -> String {
    let record = path
        .with_file_name("aws-calls")
        .join(path.file_name().unwrap_or_default());
    std::fs::create_dir_all(&record).unwrap();
    record.to_str().unwrap().to_owned()
}

/// Reads `pipe` to its end into `logs`.
fn collect(
    pipe: Option<impl tokio::io::AsyncRead + Send + Unpin + 'static>,
    logs: &Arc<Mutex<String>>,
) -> JoinHandle<()> {
    let logs = Arc::clone(logs);
    tokio::spawn(async move {
        let Some(pipe) = pipe else { return };
        let mut lines = BufReader::new(pipe).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if let Ok(mut logs) = logs.lock() {
                logs.push_str(&line);
                logs.push('\n');
            }
        }
    })
}
