//! Invokes an AWS Lambda function.

use std::{sync::Arc, time::Duration};

use aws_sdk_lambda::{
    error::SdkError, operation::invoke::InvokeError as SdkInvokeError, primitives::Blob, types::InvocationType,
};
use serde_json::Value;

use super::describe;
use crate::{clock::Clock, random};

/// The HTTP status of an asynchronous invocation that Lambda has taken.
const ACCEPTED: i32 = 202;
const FIRST_BACK_OFF_MILLIS: u64 = 100;
const THROTTLED_ATTEMPTS: u32 = 5;
/// Attempts at an invocation that fails otherwise, in a way that may pass.
const FAILED_ATTEMPTS: u32 = 2;

/// A function, by name or ARN.
#[derive(Clone, Debug)]
pub struct LambdaFunction {
    client: aws_sdk_lambda::Client,
    name: String,
    clock: Arc<dyn Clock>,
}

/// Why an invocation failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvokeError {
    /// Lambda refuses for now.
    #[error("AWS Lambda throttles / 被 AWS Lambda 限流")]
    Throttled,
    /// Lambda did not answer, or failed itself: the function may have run.
    #[error("AWS Lambda did not answer ({0}) / AWS Lambda 未应答（{0}）")]
    Lost(String),
    /// Lambda refuses the invocation.
    #[error("AWS Lambda refused ({0}) / AWS Lambda 拒绝调用（{0}）")]
    Refused(String),
    /// The function ran, and failed.
    #[error("{error_type}: {message}")]
    Function {
        /// The type of its error; one of Lambda's own when the function could not report any.
        error_type: String,
        /// Its message.
        message: String,
    },
}

impl LambdaFunction {
    /// The function called `name`.
    #[must_use]
    pub fn new(client: aws_sdk_lambda::Client, name: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        Self {
            client,
            name: name.into(),
            clock,
        }
    }

    /// Runs the function with the event `payload`, and waits for its end.
    ///
    /// # Errors
    /// [`InvokeError`] when it did not run to its end, as far as can be told.
    pub async fn call(&self, payload: Vec<u8>) -> Result<(), InvokeError> {
        self.invoke(InvocationType::RequestResponse, payload).await
    }

    /// Has Lambda keep the event `payload`, and run the function with it as often as it takes.
    ///
    /// # Errors
    /// [`InvokeError`] when Lambda did not take it, as far as can be told.
    pub async fn post(&self, payload: Vec<u8>) -> Result<(), InvokeError> {
        self.invoke(InvocationType::Event, payload).await
    }

    /// Invokes; while Lambda throttles, again after growing waits with jitter, and once more after a failure that may pass.
    /// So the function may run twice.
    async fn invoke(&self, kind: InvocationType, payload: Vec<u8>) -> Result<(), InvokeError> {
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
                // Whatever answers in Lambda's place has not kept the event.
                Ok(output) if is_posted && output.status_code != ACCEPTED => {
                    return Err(InvokeError::Lost(format!("status {}", output.status_code)));
                }
                Ok(_) => return Ok(()),
                Err(error) => {
                    let (attempts, failure) = judge(&error);
                    if attempt >= attempts {
                        return Err(failure);
                    }
                }
            }
            self.clock.sleep(back_off(attempt)).await;
        }
    }
}

/// Doubles with each attempt; half of it is chance, so that callers that were throttled together come back apart.
fn back_off(attempt: u32) -> Duration {
    let fixed = FIRST_BACK_OFF_MILLIS << (attempt - 1);
    let jitter = u64::from_ne_bytes(random::bytes()) % fixed;
    Duration::from_millis(fixed + jitter)
}

/// How often to attempt what fails like this, and what it is called in the end.
fn judge(error: &SdkError<SdkInvokeError>) -> (u32, InvokeError) {
    let is_throttled = error
        .as_service_error()
        .is_some_and(SdkInvokeError::is_too_many_requests_exception);
    if is_throttled {
        (THROTTLED_ATTEMPTS, InvokeError::Throttled)
    } else if may_pass(error) {
        (FAILED_ATTEMPTS, InvokeError::Lost(describe(error)))
    } else {
        (1, InvokeError::Refused(describe(error)))
    }
}

/// No connection, one that broke, or a failure of AWS Lambda's own.
fn may_pass(error: &SdkError<SdkInvokeError>) -> bool {
    match error {
        SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => true,
        SdkError::ServiceError(service) => service.raw().status().is_server_error(),
        _ => false,
    }
}

/// Reads `{"errorType","errorMessage"}`, from the function or from Lambda in its place.
fn function_error(payload: &[u8]) -> InvokeError {
    let payload: Value = serde_json::from_slice(payload).unwrap_or_default();
    let text = |name: &str| payload[name].as_str().unwrap_or_default().to_owned();
    InvokeError::Function {
        error_type: text("errorType"),
        message: text("errorMessage"),
    }
}
