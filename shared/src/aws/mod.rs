//! The AWS SDK as every function uses it: a pinned behaviour version and a timeout for every call.

mod calls;
mod conflicts;
#[cfg(feature = "invoke")]
mod invoke;
mod variables;

use std::{pin::Pin, sync::Arc, time::Duration};

use aws_sdk_dynamodb::{
    config::BehaviorVersion,
    error::{ProvideErrorMetadata, SdkError},
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};

pub use aws_types::SdkConfig;

#[cfg(feature = "invoke")]
pub use self::invoke::{InvokeError, LambdaFunction};
use crate::{
    clock::SystemClock,
    config::{ConfigError, Environment, SecretError},
    error_chain::chain,
    live::{Live, Secrets, State},
    transport::AwsTransport,
};

/// Timeout of one attempt at DynamoDB, which usually answers in milliseconds.
const STORE_ATTEMPT: Duration = Duration::from_millis(800);
/// Timeout of one operation at DynamoDB, retries included.
const STORE_OPERATION: Duration = Duration::from_secs(2);
/// Timeout of one attempt at Secrets Manager. The first includes a TLS handshake on a small share of a CPU.
const SECRET_ATTEMPT: Duration = Duration::from_secs(2);
/// Timeout of a read of the secret, retries included. [`crate::live`] decides how long a start or a request waits for it.
const SECRET_OPERATION: Duration = Duration::from_secs(6);
/// Timeout of an invocation. `token-refresher` waits for WeChat.
#[cfg(feature = "invoke")]
const INVOKE_OPERATION: Duration = Duration::from_secs(26);
/// Timeout of connecting, to any service.
const CONNECT: Duration = Duration::from_secs(1);

/// Loads the SDK's configuration from the standard variables. `calls` are the IAM actions that the function uses, such as
/// `dynamodb:GetItem`; any other call fails in a debug build. AWS calls ignore `HTTPS_PROXY`, which is for calls to WeChat.
#[must_use]
pub fn load(calls: &'static [&'static str]) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(STORE_ATTEMPT)
        .operation_timeout(STORE_OPERATION)
        .build();
    let transport = SharedHttpClient::new(AwsTransport::default());
    variables::configuration()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(calls::only(calls, transport))
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(50)))
        .build()
}

/// Creates a client of DynamoDB.
#[must_use]
pub fn dynamodb_client(sdk: &SdkConfig) -> aws_sdk_dynamodb::Client {
    let config = aws_sdk_dynamodb::config::Builder::from(sdk).retry_classifier(conflicts::TransactionConflicts);
    aws_sdk_dynamodb::Client::from_conf(config.build())
}

/// Starts a function: loads the SDK for `calls` (see [`load`]) and builds the state from it and the environment.
///
/// # Errors
/// [`ConfigError`] with every problem of the environment.
pub async fn start<S: State>(
    calls: &'static [&'static str],
    build: fn(&SdkConfig, &Environment, Option<&S>) -> Result<S, ConfigError>,
) -> Result<Live<S>, ConfigError> {
    let sdk = load(calls);
    let secrets = Box::new(SecretsManager::new(sdk.clone()));
    let build = Box::new(move |environment: &Environment, previous: Option<&S>| build(&sdk, environment, previous));
    Live::start(build, secrets, Environment::process(), Arc::new(SystemClock)).await
}

/// AWS Secrets Manager. Creates its client only when it reads a secret, because a function without a secret needs none.
#[derive(Debug)]
pub struct SecretsManager(SdkConfig);

impl SecretsManager {
    /// Reads secrets with the configuration `sdk`.
    #[must_use]
    pub const fn new(sdk: SdkConfig) -> Self {
        Self(sdk)
    }
}

impl Secrets for SecretsManager {
    fn read<'a>(&'a self, id: &'a str) -> Pin<Box<dyn Future<Output = Result<String, SecretError>> + Send + 'a>> {
        Box::pin(async move {
            let read = secrets_client(&self.0).get_secret_value().secret_id(id).send().await;
            let output = read.map_err(|error| {
                let (cause, message) = cause_and_message(&error);
                SecretError::Unreadable { cause, message }
            })?;
            Ok(output.secret_string().unwrap_or_default().to_owned())
        })
    }
}

fn secrets_client(sdk: &SdkConfig) -> aws_sdk_secretsmanager::Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(SECRET_ATTEMPT)
        .operation_timeout(SECRET_OPERATION)
        .build();
    let config = aws_sdk_secretsmanager::config::Builder::from(sdk).timeout_config(timeouts);
    aws_sdk_secretsmanager::Client::from_conf(config.build())
}

/// Describes a failed call: the service's code and message, or why there was no answer. Never holds the response, which may
/// contain a secret.
#[must_use]
pub fn describe<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> String {
    match cause_and_message(error) {
        (cause, message) if message.is_empty() => cause,
        (cause, message) => format!("{cause}: {message}"),
    }
}

fn cause_and_message<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> (String, String) {
    let (cause, message) = match error {
        SdkError::ServiceError(service) => {
            let metadata = service.err().meta();
            let message = metadata.message().unwrap_or_default();
            (metadata.code().unwrap_or("unknown error"), message.to_owned())
        }
        SdkError::TimeoutError(_) => ("no answer in time", String::new()),
        SdkError::DispatchFailure(failure) => {
            let message = failure.as_connector_error().map(|error| chain(error));
            ("no connection", message.unwrap_or_default())
        }
        SdkError::ResponseError(_) => ("an answer that cannot be read", String::new()),
        _ => (
            "the request could not be made: check AWS_REGION and credentials",
            String::new(),
        ),
    };
    (cause.to_owned(), message)
}

/// Creates a Lambda client whose timeout allows a whole run of `token-refresher`.
#[cfg(feature = "invoke")]
#[must_use]
pub fn lambda_client(sdk: &SdkConfig) -> aws_sdk_lambda::Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        // Overrides the timeout for DynamoDB in `sdk`.
        .operation_attempt_timeout(INVOKE_OPERATION)
        .operation_timeout(INVOKE_OPERATION)
        .build();
    // `LambdaFunction` retries itself, and a retried invocation is a second run.
    let config = aws_sdk_lambda::config::Builder::from(sdk)
        .timeout_config(timeouts)
        .retry_config(RetryConfig::disabled())
        .build();
    aws_sdk_lambda::Client::from_conf(config)
}
