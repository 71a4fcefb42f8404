//! Invokes a Lambda function, with retries.

use std::{sync::Arc, time::Duration};

use aws_sdk_lambda::{
    error::SdkError, operation::invoke::InvokeError as SdkInvokeError, primitives::Blob, types::InvocationType,
};
use serde_json::Value;

use super::describe;
use crate::{clock::Clock, random};

/// HTTP status with which Lambda accepts an asynchronous invocation.
const ACCEPTED: i32 = 202;
const FIRST_BACK_OFF_MILLIS: u64 = 100;
const THROTTLED_ATTEMPTS: u32 = 5;
/// Attempts after any other transient failure.
const FAILED_ATTEMPTS: u32 = 2;

/// A Lambda function, by name or ARN.
#[derive(Clone, Debug)]
pub struct LambdaFunction {
    client: aws_sdk_lambda::Client,
    name: String,
    clock: Arc<dyn Clock>,
}

/// Why an invocation failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum InvokeError {
    /// Lambda throttles.
    #[error("AWS Lambda throttles / 被 AWS Lambda 限流")]
    Throttled,
    /// Lambda did not answer, or failed internally. The function may have run.
    #[error("AWS Lambda did not answer ({0}) / AWS Lambda 未应答（{0}）")]
    Lost(String),
    /// Lambda refuses the invocation.
    #[error("AWS Lambda refused ({0}) / AWS Lambda 拒绝调用（{0}）")]
    Refused(String),
    /// The function ran and failed.
    #[error("{error_type}: {message}")]
    Function {
        /// The error's type. Lambda's own when the function could not report one.
        error_type: String,
        /// The error's message.
        message: String,
    },
}

impl LambdaFunction {
    /// Creates a client of the function `name`.
    #[must_use]
    pub fn new(client: aws_sdk_lambda::Client, name: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        Self {
            client,
            name: name.into(),
            clock,
        }
    }

    /// Runs the function with the event `payload` and returns its answer (synchronous invocation). A retry after a lost answer
    /// may run the function twice.
    ///
    /// # Errors
    /// [`InvokeError`] unless the function certainly succeeded.
    pub async fn call(&self, payload: Vec<u8>) -> Result<Vec<u8>, InvokeError> {
        self.invoke(InvocationType::RequestResponse, payload, FAILED_ATTEMPTS)
            .await
    }

    /// As [`Self::call`], but never runs the function twice: retries throttling only.
    ///
    /// # Errors
    /// [`InvokeError`] unless the function certainly succeeded.
    pub async fn call_once(&self, payload: Vec<u8>) -> Result<Vec<u8>, InvokeError> {
        self.invoke(InvocationType::RequestResponse, payload, 1).await
    }

    /// Queues the event `payload`. Lambda runs the function later, with its own retries (asynchronous invocation).
    ///
    /// # Errors
    /// [`InvokeError`] unless Lambda certainly queued the event.
    pub async fn post(&self, payload: Vec<u8>) -> Result<(), InvokeError> {
        let posted = self.invoke(InvocationType::Event, payload, FAILED_ATTEMPTS).await;
        posted.map(|_| ())
    }

    /// Invokes the function, and retries throttling, and other transient failures up to `failed_attempts` attempts, with
    /// backoff and jitter.
    async fn invoke(
        &self,
        kind: InvocationType,
        payload: Vec<u8>,
        failed_attempts: u32,
    ) -> Result<Vec<u8>, InvokeError> {
        let (mut attempt, is_posted) = (0, kind == InvocationType::Event);
        loop {
            let invoked = self
                .client
                .invoke()
                .function_name(&self.name)
                .invocation_type(kind.clone())
                .payload(Blob::new(payload.clone()))
                .send()
                .await;
            attempt += 1;
            match invoked {
                Ok(output) if output.function_error.is_some() => {
                    return Err(function_error(
                        output.payload.as_ref().map_or(&[], |payload| payload.as_ref()),
                    ));
                }
                // Another server answered in Lambda's place: the event is not queued.
                Ok(output) if is_posted && output.status_code != ACCEPTED => {
                    return Err(InvokeError::Lost(format!("status {}", output.status_code)));
                }
                Ok(output) => return Ok(output.payload.map(Blob::into_inner).unwrap_or_default()),
                Err(error) => {
                    let (attempts, failure) = classify(&error, failed_attempts);
                    if attempt >= attempts {
                        return Err(failure);
                    }
                }
            }
            self.clock.sleep(back_off(attempt)).await;
        }
    }
}

/// Returns the wait before the next attempt: doubles each time, plus up to 100 % jitter, which spreads throttled callers.
fn back_off(attempt: u32) -> Duration {
    let fixed = FIRST_BACK_OFF_MILLIS << (attempt - 1);
    let jitter = u64::from_ne_bytes(random::bytes()) % fixed;
    Duration::from_millis(fixed + jitter)
}

/// Returns how many attempts this kind of failure allows, and the error after the last one.
fn classify(error: &SdkError<SdkInvokeError>, failed_attempts: u32) -> (u32, InvokeError) {
    let is_throttled = error
        .as_service_error()
        .is_some_and(SdkInvokeError::is_too_many_requests_exception);
    if is_throttled {
        (THROTTLED_ATTEMPTS, InvokeError::Throttled)
    } else if is_transient(error) {
        (failed_attempts, InvokeError::Lost(describe(error)))
    } else {
        (1, InvokeError::Refused(describe(error)))
    }
}

/// Whether a failure is transient: no connection, a broken one, or a 5xx of Lambda.
fn is_transient(error: &SdkError<SdkInvokeError>) -> bool {
    match error {
        SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => true,
        SdkError::ServiceError(service) => service.raw().status().is_server_error(),
        _ => false,
    }
}

/// Reads `{"errorType","errorMessage"}`, which the function reports, or Lambda in its place.
fn function_error(payload: &[u8]) -> InvokeError {
    let payload: Value = serde_json::from_slice(payload).unwrap_or_default();
    let text = |name: &str| payload[name].as_str().unwrap_or_default().to_owned();
    InvokeError::Function {
        error_type: text("errorType"),
        message: text("errorMessage"),
    }
}
