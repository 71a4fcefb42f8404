//! A built function on a Lambda Runtime API, which hands it events and takes its answers.

use std::{
    future::{Future, IntoFuture},
    path::Path,
    pin::Pin,
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, State},
    http::{Response as HttpResponse, StatusCode},
    routing::{get, post},
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::{Mutex, mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    account::{AES_KEY, API_KEY, APP_SECRET, TOKEN},
    event::{self, Request},
    loopback::{self, Server},
    now_millis,
};

/// How long a test waits for a function.
const PATIENCE: Duration = Duration::from_secs(40);
/// Bytes. Lambda takes no longer answer from a function.
/// See [AWS Docs/Lambda quotas](https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html).
const LONGEST_ANSWER: usize = 6 * 1024 * 1024;
/// Milliseconds. The time to the deadline of an invocation, unless a test says otherwise.
const INVOCATION: i64 = 30_000;

/// The variables whose values no log, answer or error may show; nor may they show the secrets of the stage.
const SECRET_VARIABLES: [&str; 9] = [
    "WECHAT_APP_SECRET",
    "WECHAT_TOKEN",
    "WECHAT_TOKEN_PREVIOUS",
    "WECHAT_ENCODING_AES_KEY",
    "WECHAT_ENCODING_AES_KEY_PREVIOUS",
    "API_KEYS",
    "FORWARD_SECRET",
    "FORWARD_SECRET_PREVIOUS",
    "AWS_SECRET_ACCESS_KEY",
];
/// A shorter secret could be a part of some other word.
const SHORTEST_SECRET: usize = 8;
/// How the simulator's access_tokens begin.
const TOKEN_PREFIX: &str = "97_";
/// A shorter text that begins in the same way is not taken for a token.
const SHORTEST_TOKEN: usize = 12;

/// A running function: its process, and the Runtime API that drives it. The process ends with this value.
///
/// Every test fails when an answer, an error or the log shows a secret that the function was given, or an access_token of the
/// simulator's.
#[derive(Debug)]
pub struct Function {
    process: Child,
    events: mpsc::Sender<Invocation>,
    outcomes: mpsc::Receiver<Outcome>,
    polled: watch::Receiver<bool>,
    logs: Arc<std::sync::Mutex<String>>,
    log_readers: Vec<JoinHandle<()>>,
    secrets: Vec<String>,
    _api: Server,
}

/// The outcome of an invocation.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It answered.
    Answered(Value),
    /// It reported an error: `{"errorType","errorMessage"}`.
    Failed(Value),
    /// It could not start.
    InitFailed(Value),
}

#[derive(Debug)]
struct Invocation {
    event: String,
    deadline_millis: i64,
}

#[derive(Debug)]
struct RuntimeApi {
    events: Mutex<mpsc::Receiver<Invocation>>,
    outcomes: mpsc::Sender<Outcome>,
    polled: watch::Sender<bool>,
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
        let (events, queue) = mpsc::channel(1);
        let (sender, outcomes) = mpsc::channel(1);
        let (polls, polled) = watch::channel(false);
        let api = Arc::new(RuntimeApi {
            events: Mutex::new(queue),
            outcomes: sender,
            polled: polls,
        });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(answered))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(failed))
            .route("/2018-06-01/runtime/init/error", post(init_failed))
            .layer(DefaultBodyLimit::max(LONGEST_ANSWER))
            .with_state(api);
        let api = loopback::serve(router).await;

        let mut process = command
            .env_clear()
            .envs([
                ("AWS_LAMBDA_RUNTIME_API", api.address().to_string().as_str()),
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
            events,
            outcomes,
            polled,
            logs,
            log_readers,
            secrets: secrets_of(variables),
            _api: api,
        }
    }

    /// Waits until the function asks for its first event.
    pub async fn started(&mut self) {
        let polling = timeout(PATIENCE, self.polled.wait_for(|polled| *polled)).await;
        let has_polled = polling.is_ok_and(|polled| polled.is_ok());
        assert!(has_polled, "the function did not start; its log:\n{}", self.logs());
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

    /// A request that is not one of the others.
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

    /// The type and the message of the function error that `event` ends in.
    pub async fn fail(&mut self, event: &Value) -> (String, String) {
        self.fail_within(event, INVOCATION).await
    }

    /// The same, `millis` before the deadline.
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
        let invocation = Invocation { event, deadline_millis };
        let exchange = async {
            self.events.send(invocation).await.ok()?;
            self.outcomes.recv().await
        };
        let outcome = timeout(PATIENCE, exchange).await.ok().flatten();
        let outcome = outcome.unwrap_or_else(|| panic!("the function gave no answer; its log:\n{}", self.logs()));
        self.assert_no_secret("answer", &format!("{outcome:?}"));
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

    fn assert_no_secret(&self, place: &str, text: &str) {
        for secret in &self.secrets {
            assert!(!text.contains(secret), "a secret is in the {place}: {text}");
        }
        assert!(!shows_token(text), "an access_token is in the {place}: {text}");
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
            self.assert_no_secret("log", &self.logs());
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

/// The answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The headers, with names in lower case.
    pub headers: Value,
    /// The cookies that it sets.
    pub cookies: Vec<String>,
    /// The JSON of the body, or its text when it is not JSON.
    pub body: Value,
}

impl Response {
    /// Reads the answer of a function behind API Gateway. JSON is a problem (RFC 9457) exactly when the status is one, unless it
    /// has WeChat's form.
    pub(crate) fn read(answer: &Value) -> Self {
        let headers = answer["headers"].clone();
        let text = answer["body"].as_str().unwrap_or_default();
        let content_type = headers["content-type"].as_str().unwrap_or_default();
        let cookies = answer["cookies"].as_array().into_iter().flatten();
        let response = Self {
            cookies: cookies.map(|cookie| cookie.as_str().unwrap().to_owned()).collect(),
            status: answer["statusCode"].as_u64().unwrap().try_into().unwrap(),
            body: if content_type.contains("json") {
                serde_json::from_str(text).unwrap()
            } else {
                text.into()
            },
            headers,
        };
        match response.content_type() {
            "application/json" => {
                let has_errcode = response.body.get("errcode").is_some();
                assert!(response.status < 400 || has_errcode, "{response:?}");
            }
            "application/problem+json" => {
                assert_eq!(response.body["status"], response.status, "{response:?}");
                for member in ["type", "title", "detail"] {
                    let is_told = response.body[member].as_str().is_some_and(|text| !text.is_empty());
                    assert!(is_told, "{response:?}");
                }
            }
            _ => {}
        }
        response
    }

    /// The status and the body.
    #[must_use]
    pub fn parts(self) -> (u16, Value) {
        (self.status, self.body)
    }

    /// Where a redirect leads.
    #[must_use]
    pub fn location(&self) -> &str {
        self.headers["location"].as_str().unwrap()
    }

    /// The `Content-Type`.
    #[must_use]
    pub fn content_type(&self) -> &str {
        self.headers["content-type"].as_str().unwrap_or_default()
    }

    /// The text of a body that is not JSON.
    #[must_use]
    pub fn text(&self) -> &str {
        self.body.as_str().unwrap()
    }

    /// The last part of a problem's `type`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap().rsplit(':').next().unwrap()
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

fn secrets_of(variables: &[(&str, &str)]) -> Vec<String> {
    let secret = variables.iter().filter(|(name, _)| SECRET_VARIABLES.contains(name));
    let values = secret.flat_map(|(_, value)| value.split(','));
    let passwords = variables
        .iter()
        .filter(|(name, _)| name.ends_with("_PROXY"))
        .filter_map(|(_, url)| url.split_once('@')?.0.rsplit_once(':'))
        .map(|(_, password)| password);
    values
        .chain(passwords)
        .chain([APP_SECRET, TOKEN, AES_KEY, API_KEY])
        .filter(|value| value.len() >= SHORTEST_SECRET)
        .map(str::to_owned)
        .collect()
}

fn shows_token(text: &str) -> bool {
    text.match_indices(TOKEN_PREFIX).any(|(start, _)| {
        let token = text[start..]
            .bytes()
            .take_while(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
        token.count() >= SHORTEST_TOKEN
    })
}

/// Reads `pipe` to its end into `logs`.
fn collect(
    pipe: Option<impl tokio::io::AsyncRead + Send + Unpin + 'static>,
    logs: &Arc<std::sync::Mutex<String>>,
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

async fn next(State(api): State<Arc<RuntimeApi>>) -> HttpResponse<Body> {
    api.polled.send_replace(true);
    let invocation = api.events.lock().await.recv().await;
    let Some(Invocation { event, deadline_millis }) = invocation else {
        // The test is over; the process is about to be killed.
        return std::future::pending().await;
    };
    let response = HttpResponse::builder()
        .header("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
        .header("lambda-runtime-deadline-ms", deadline_millis)
        .header(
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:eu-central-1:123456789012:function:under-test",
        )
        .header(
            "lambda-runtime-trace-id",
            "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0",
        )
        .header("content-type", "application/json")
        .body(Body::from(event));
    response.unwrap_or_default()
}

async fn answered(State(api): State<Arc<RuntimeApi>>, body: Bytes) -> StatusCode {
    report(&api, Outcome::Answered, &body).await
}

async fn failed(State(api): State<Arc<RuntimeApi>>, body: Bytes) -> StatusCode {
    report(&api, Outcome::Failed, &body).await
}

async fn init_failed(State(api): State<Arc<RuntimeApi>>, body: Bytes) -> StatusCode {
    report(&api, Outcome::InitFailed, &body).await
}

async fn report(api: &RuntimeApi, outcome: impl FnOnce(Value) -> Outcome, body: &[u8]) -> StatusCode {
    let value = serde_json::from_slice(body).unwrap_or(Value::Null);
    // A test that no longer waits does not care.
    let _ = api.outcomes.send(outcome(value)).await;
    StatusCode::ACCEPTED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guard_knows_the_secrets_of_a_function() {
        let variables = [
            ("API_KEYS", "first-key,second-key,short"),
            ("WECHAT_APP_ID", "wx0123456789abcdef"),
            ("HTTPS_PROXY", "http://user:proxy-pass@127.0.0.1:1"),
        ];
        assert_eq!(secrets_of(&variables)[..3], ["first-key", "second-key", "proxy-pass"]);
        assert!(shows_token(&format!("?access_token=97_{}&x", "a".repeat(40))));
        assert!(!shows_token("97_short and 3400000000893845440"));
    }
}
