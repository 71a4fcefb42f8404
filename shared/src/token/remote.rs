//! Runs `token-refresher` as an AWS Lambda function.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use aws_sdk_lambda::{error::SdkError, operation::invoke::InvokeError, primitives::Blob};
use serde_json::Value;

use super::{Action, RefreshPort, RefreshRequestError};
use crate::{
    aws::describe,
    clock::{Clock, Deadline},
};

/// How long a caller waits for a run: longer than one takes that WeChat keeps waiting.
const RUN_TIMEOUT: Duration = Duration::from_secs(25);
/// What waiting leaves of the caller's own invocation.
const MARGIN: Duration = Duration::from_secs(2);
const FIRST_BACK_OFF_MILLIS: u64 = 100;
const THROTTLED_ATTEMPTS: u32 = 5;
/// Attempts at an invocation that fails otherwise, in a way that may pass.
const FAILED_ATTEMPTS: u32 = 2;

/// The function `token-refresher`, by name or ARN.
#[derive(Clone, Debug)]
pub struct LambdaRefresher {
    client: aws_sdk_lambda::Client,
    function: String,
    clock: Arc<dyn Clock>,
}

impl LambdaRefresher {
    /// The function called `function`.
    #[must_use]
    pub fn new(client: aws_sdk_lambda::Client, function: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        Self {
            client,
            function: function.into(),
            clock,
        }
    }

    /// Invokes; while Lambda throttles, again after growing waits with jitter, and once more after a failure that may pass.
    /// A second run does no harm: it finds what the first has done.
    async fn invoke(&self, action: &Action) -> Result<(), RefreshRequestError> {
        let payload =
            serde_json::to_vec(action).map_err(|error| RefreshRequestError::Unreachable(error.to_string()))?;
        let mut attempt = 0;
        loop {
            let invoked = self
                .client
                .invoke()
                .function_name(&self.function)
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
    let jitter = getrandom::u64().map_or(fixed, |random| random % fixed);
    Duration::from_millis(fixed + jitter)
}

impl RefreshPort for LambdaRefresher {
    fn run<'a>(
        &'a self,
        action: &'a Action,
        deadline: Deadline,
    ) -> Pin<Box<dyn Future<Output = Result<(), RefreshRequestError>> + Send + 'a>> {
        let budget = deadline.budget(self.clock.now_millis(), RUN_TIMEOUT, MARGIN);
        Box::pin(async move {
            tokio::time::timeout(budget, self.invoke(action))
                .await
                .unwrap_or(Err(RefreshRequestError::Timeout))
        })
    }
}

/// How often to attempt what fails like this, and what it is called in the end.
fn judge(error: &SdkError<InvokeError>) -> (u32, RefreshRequestError) {
    let is_throttled = error
        .as_service_error()
        .is_some_and(InvokeError::is_too_many_requests_exception);
    if is_throttled {
        (THROTTLED_ATTEMPTS, RefreshRequestError::Throttled)
    } else if may_pass(error) {
        (FAILED_ATTEMPTS, RefreshRequestError::Lost(describe(error)))
    } else {
        (1, RefreshRequestError::Unreachable(describe(error)))
    }
}

/// No connection, one that broke, or a failure of AWS Lambda's own.
fn may_pass(error: &SdkError<InvokeError>) -> bool {
    match error {
        SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => true,
        SdkError::ServiceError(service) => service.raw().status().is_server_error(),
        _ => false,
    }
}

/// Reads `{"errorType","errorMessage"}`, from the function or from Lambda in its place.
fn function_error(payload: &[u8]) -> RefreshRequestError {
    let payload: Value = serde_json::from_slice(payload).unwrap_or_default();
    let text = |name: &str| payload[name].as_str().unwrap_or_default();
    RefreshRequestError::from_function_error(text("errorType"), text("errorMessage"))
}
