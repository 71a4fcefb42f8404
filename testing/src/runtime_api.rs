//! The Lambda Runtime API of one function: hands events to a built binary and takes its answers.

use std::{
    io, path,
    process::Stdio,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{Response, StatusCode},
    routing::{get, post},
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::{Child, Command},
    sync::{Mutex, mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

/// How long a test waits for a function.
const PATIENCE: Duration = Duration::from_secs(40);
/// What an invocation may take, unless a test says otherwise.
const INVOCATION: Duration = Duration::from_secs(30);

/// The variables whose values no log, answer or error may show.
const SECRET_VARIABLES: [&str; 7] = [
    "WECHAT_APP_SECRET",
    "WECHAT_TOKEN",
    "WECHAT_TOKEN_PREVIOUS",
    "WECHAT_ENCODING_AES_KEY",
    "WECHAT_ENCODING_AES_KEY_PREVIOUS",
    "API_KEYS",
    "AWS_SECRET_ACCESS_KEY",
];
/// A shorter secret could be a part of some other word.
const SHORTEST_SECRET: usize = 8;
/// How the simulator's access_tokens begin, and from which length on.
const TOKEN_PREFIX: &str = "97_";
const SHORTEST_TOKEN: usize = 30;

/// A running function: its process, and the Runtime API that drives it. The process ends with this value.
///
/// Whatever a test is about, it fails when an answer, an error or the log shows a secret that the function was given, or an
/// access_token of the simulator's.
#[derive(Debug)]
pub struct Function {
    process: Child,
    events: mpsc::Sender<Invocation>,
    outcomes: mpsc::Receiver<Outcome>,
    polled: watch::Receiver<bool>,
    logs: Arc<std::sync::Mutex<String>>,
    log_readers: Vec<JoinHandle<()>>,
    secrets: Vec<String>,
}

/// What a function made of an event.
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
    deadline_millis: u64,
}

#[derive(Debug)]
struct RuntimeApi {
    events: Mutex<mpsc::Receiver<Invocation>>,
    outcomes: mpsc::Sender<Outcome>,
    polled: watch::Sender<bool>,
}

impl Function {
    /// Starts the binary at `path` with nothing in its environment but `variables` and those that Lambda sets.
    ///
    /// # Errors
    /// When no port or no process can be had.
    pub async fn start(path: &str, variables: &[(&str, &str)]) -> io::Result<Self> {
        let record = record_of_aws_calls(path::Path::new(path))?;
        let record = ("RECORD_AWS_CALLS", record.as_str());
        Self::run(Command::new(path), &[variables, &[record]].concat()).await
    }

    /// Runs `command` with nothing in its environment but `variables` and those that Lambda sets.
    ///
    /// # Errors
    /// When no port or no process can be had.
    pub async fn run(mut command: Command, variables: &[(&str, &str)]) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
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
            .with_state(api);
        tokio::spawn(async move { axum::serve(listener, router).await });

        let mut process = command
            .env_clear()
            .envs([
                ("AWS_LAMBDA_RUNTIME_API", address.to_string().as_str()),
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
            .spawn()?;
        let logs = Arc::default();
        let log_readers = vec![
            collect(process.stdout.take(), &logs),
            collect(process.stderr.take(), &logs),
        ];
        Ok(Self {
            process,
            events,
            outcomes,
            polled,
            logs,
            log_readers,
            secrets: secrets_of(variables),
        })
    }

    /// Waits until the function asks for its first event.
    ///
    /// # Panics
    /// When it does not.
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

    /// Hands `event` to the function, with 30 seconds to its deadline, and waits for what it makes of it.
    ///
    /// # Panics
    /// When the function does not answer.
    pub async fn invoke(&mut self, event: &Value) -> Outcome {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let deadline = u64::try_from((now + INVOCATION).as_millis()).unwrap_or(u64::MAX);
        self.invoke_until(event, deadline).await
    }

    /// Hands `event` to the function with a deadline in epoch milliseconds.
    ///
    /// # Panics
    /// When the function does not answer.
    pub async fn invoke_until(&mut self, event: &Value, deadline_millis: u64) -> Outcome {
        self.invoke_text(event.to_string(), deadline_millis).await
    }

    /// Hands the text of an event to the function, which may be no JSON.
    ///
    /// # Panics
    /// When the function does not answer.
    pub async fn invoke_text(&mut self, event: String, deadline_millis: u64) -> Outcome {
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

    /// Waits for the process to end by itself, as one does that cannot start, and answers with its exit code.
    ///
    /// # Panics
    /// When it goes on running.
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
    ///
    /// # Errors
    /// When it has already ended.
    pub async fn kill(&mut self) -> io::Result<()> {
        self.process.kill().await
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
}

impl Drop for Function {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.assert_no_secret("log", &self.logs());
        }
    }
}

/// Where the function at `path` notes its AWS calls: `aws-calls/NAME` beside it. `deployment/` reads it.
fn record_of_aws_calls(path: &path::Path) -> io::Result<String> {
    let record = path
        .with_file_name("aws-calls")
        .join(path.file_name().unwrap_or_default());
    std::fs::create_dir_all(&record)?;
    record
        .into_os_string()
        .into_string()
        .map_err(|_| io::Error::other("the folder's name is not UTF-8"))
}

fn secrets_of(variables: &[(&str, &str)]) -> Vec<String> {
    let secret = variables.iter().filter(|(name, _)| SECRET_VARIABLES.contains(name));
    let values = secret.flat_map(|(_, value)| value.split(','));
    values
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

async fn next(State(api): State<Arc<RuntimeApi>>) -> Response<Body> {
    api.polled.send_replace(true);
    let invocation = api.events.lock().await.recv().await;
    let Some(Invocation { event, deadline_millis }) = invocation else {
        // The test is over; the process is about to be killed.
        return std::future::pending().await;
    };
    let response = Response::builder()
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

async fn answered(State(api): State<Arc<RuntimeApi>>, Path(_id): Path<String>, body: Bytes) -> StatusCode {
    report(&api, Outcome::Answered, &body).await
}

async fn failed(State(api): State<Arc<RuntimeApi>>, Path(_id): Path<String>, body: Bytes) -> StatusCode {
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
        ];
        assert_eq!(secrets_of(&variables), ["first-key", "second-key"]);
        assert!(shows_token(&format!("?access_token=97_{}&x", "a".repeat(40))));
        assert!(!shows_token("97_short and 3400000000893845440"));
    }
}
