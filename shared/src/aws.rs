//! The AWS SDK as every function uses it: a pinned behaviour, and an end to every wait.

mod calls;
#[cfg(feature = "invoke")]
mod invoke;
mod variables;

use std::time::Duration;

use aws_sdk_dynamodb::{
    config::BehaviorVersion,
    error::{ProvideErrorMetadata, SdkError},
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};
use aws_types::SdkConfig;

#[cfg(feature = "invoke")]
pub use self::invoke::{InvokeError, LambdaFunction};
use crate::{
    config::{Environment, SecretFormatError},
    error::chain,
    transport::AwsTransport,
};

/// One attempt at DynamoDB; its usual answer comes in milliseconds.
const STORE_ATTEMPT: Duration = Duration::from_millis(800);
/// One operation with its attempts.
const STORE_OPERATION: Duration = Duration::from_secs(2);
/// One attempt at Secrets Manager: while the process starts, with a TLS handshake on a small share of a CPU.
const SECRET_ATTEMPT: Duration = Duration::from_secs(2);
/// The secret with its attempts; Lambda gives a process ten seconds to start.
const SECRET_OPERATION: Duration = Duration::from_secs(6);
/// An invocation of token-refresher waits for WeChat.
#[cfg(feature = "invoke")]
const INVOKE_OPERATION: Duration = Duration::from_secs(26);
const CONNECT: Duration = Duration::from_secs(1);

/// Why the environment could not be completed from Secrets Manager.
#[derive(Debug, thiserror::Error)]
enum SecretError {
    /// Secrets Manager did not hand the secret out.
    #[error("the secret that WECHAT_SECRET_ID names cannot be read: {0} / 无法读取 WECHAT_SECRET_ID 指向的密钥")]
    Unreadable(String),
    /// It is not of the form that is expected.
    #[error(transparent)]
    Format(#[from] SecretFormatError),
}

/// The SDK's configuration from the standard variables, for a function that makes `calls`: IAM actions, such as
/// `dynamodb:GetItem`. In a debug build any other call fails. No call follows the proxy variables: `HTTPS_PROXY` is for
/// the calls to WeChat.
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

/// The process's environment, completed from the secret that `WECHAT_SECRET_ID` names, if it names one. When that cannot be
/// read, the configuration that is read from it says so, with its other problems.
pub async fn environment(sdk: &SdkConfig) -> Environment {
    let environment = Environment::process();
    let Some(id) = environment.secret_id() else {
        return environment;
    };
    match with_secret(sdk, &environment, id).await {
        Ok(completed) => completed,
        Err(error) => environment.without_secret(&error),
    }
}

async fn with_secret(sdk: &SdkConfig, environment: &Environment, id: &str) -> Result<Environment, SecretError> {
    let output = secrets_client(sdk)
        .get_secret_value()
        .secret_id(id)
        .send()
        .await
        .map_err(|error| SecretError::Unreadable(describe(&error)))?;
    let json = output.secret_string().unwrap_or_default().to_owned();
    Ok(environment.clone().with_secret(&json)?)
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

/// A failed call as text: the code and message of the service, or what kept it from answering. Never the response, which
/// may hold a secret.
#[must_use]
pub fn describe<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> String {
    match error {
        SdkError::ServiceError(service) => {
            let metadata = service.err().meta();
            let code = metadata.code().unwrap_or("unknown error");
            format!("{code}: {}", metadata.message().unwrap_or_default())
        }
        SdkError::TimeoutError(_) => "no answer in time".to_owned(),
        SdkError::DispatchFailure(failure) => {
            let cause = failure.as_connector_error().map(|error| chain(error));
            format!("no connection: {}", cause.unwrap_or_default())
        }
        SdkError::ResponseError(_) => "an answer that cannot be read".to_owned(),
        _ => "the request could not be made: check AWS_REGION and credentials".to_owned(),
    }
}

/// A Lambda client whose invocations may take as long as a run of token-refresher.
#[cfg(feature = "invoke")]
#[must_use]
pub fn lambda_client(sdk: &SdkConfig) -> aws_sdk_lambda::Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        // Left out, the attempt would keep the store's patience.
        .operation_attempt_timeout(INVOKE_OPERATION)
        .operation_timeout(INVOKE_OPERATION)
        .build();
    // LambdaFunction backs off by itself, and a repeated invocation would be a second run.
    let config = aws_sdk_lambda::config::Builder::from(sdk)
        .timeout_config(timeouts)
        .retry_config(RetryConfig::disabled())
        .build();
    aws_sdk_lambda::Client::from_conf(config)
}
