//! Runs `token-refresher` as an AWS Lambda function.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use aws_sdk_lambda::{error::SdkError, operation::invoke::InvokeError, primitives::Blob};
use serde_json::Value;

use super::{Action, RefreshPort, RefreshRequestError};
use crate::{
    clock::{Clock, Deadline},
    store::chain,
};

/// How long a run may take as a caller sees it: that of the function.
const RUN_TIMEOUT: Duration = Duration::from_secs(25);
/// What waiting leaves of the caller's own invocation.
const MARGIN: Duration = Duration::from_secs(2);
const FIRST_BACK_OFF_MILLIS: u64 = 100;
const THROTTLED_ATTEMPTS: u32 = 5;

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

    /// Invokes; while Lambda throttles, again after growing waits with jitter.
    async fn invoke(&self, action: &Action) -> Result<(), RefreshRequestError> {
        let payload =
            serde_json::to_vec(action).map_err(|error| RefreshRequestError::Unreachable(error.to_string()))?;
        for attempt in 0..THROTTLED_ATTEMPTS {
            let invoked = self
                .client
                .invoke()
                .function_name(&self.function)
                .payload(Blob::new(payload.clone()))
                .send()
                .await;
            match invoked {
                Ok(output) if output.function_error.is_some() => {
                    return Err(function_error(
                        output.payload.as_ref().map_or(&[], |payload| payload.as_ref()),
                    ));
                }
                Ok(_) => return Ok(()),
                Err(error) if is_throttled(&error) => {
                    let full = FIRST_BACK_OFF_MILLIS << attempt;
                    let jitter = getrandom::u32().map_or(0, |random| u64::from(random) % full);
                    self.clock.sleep(Duration::from_millis(full + jitter)).await;
                }
                Err(error) => return Err(RefreshRequestError::Unreachable(cause(&error))),
            }
        }
        Err(RefreshRequestError::Unreachable("throttled".to_owned()))
    }
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

fn is_throttled(error: &SdkError<InvokeError>) -> bool {
    error
        .as_service_error()
        .is_some_and(InvokeError::is_too_many_requests_exception)
}

fn cause(error: &SdkError<InvokeError>) -> String {
    match error {
        SdkError::ServiceError(service) => chain(service.err()),
        SdkError::TimeoutError(_) => "no answer in time".to_owned(),
        _ => "no connection to AWS Lambda".to_owned(),
    }
}

/// Reads what a failed run says: `errorType` is `WeChat<errcode>` when it was WeChat that refused.
fn function_error(payload: &[u8]) -> RefreshRequestError {
    let payload: Value = serde_json::from_slice(payload).unwrap_or_default();
    let text = |name: &str| payload[name].as_str().unwrap_or_default();
    RefreshRequestError::Failed {
        errcode: text("errorType")
            .strip_prefix("WeChat")
            .and_then(|code| code.parse().ok()),
        message: text("errorMessage").to_owned(),
    }
}
