//! Runs `token-refresher` as a Lambda function.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use serde_json::Value;

use super::{Action, RefreshPort, RefreshRequestError};
use crate::{
    aws::{self, InvokeError, LambdaFunction, SdkConfig},
    clock::{Clock, Deadline},
    json,
};

/// How long a caller waits for a run: longer than a run takes while WeChat is slow.
const RUN_TIMEOUT: Duration = Duration::from_secs(25);
/// Time that waiting leaves for the rest of the caller's invocation.
const MARGIN: Duration = Duration::from_secs(2);

/// The function `token-refresher`, by name or ARN.
#[derive(Clone, Debug)]
pub struct LambdaRefresher {
    function: LambdaFunction,
    clock: Arc<dyn Clock>,
}

impl LambdaRefresher {
    /// Creates a port to the function `function`.
    #[must_use]
    pub fn new(client: aws_sdk_lambda::Client, function: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        Self {
            function: LambdaFunction::new(client, function, Arc::clone(&clock)),
            clock,
        }
    }

    /// Creates a port to the function `function` in AWS Lambda.
    #[must_use]
    pub fn connect(sdk: &SdkConfig, function: &str, clock: Arc<dyn Clock>) -> Arc<dyn RefreshPort> {
        Arc::new(Self::new(aws::lambda_client(sdk), function, clock))
    }

    /// Invokes the function. A second run, after a retry, finds what the first one stored.
    async fn invoke(&self, action: &Action) -> Result<Value, RefreshRequestError> {
        let event = json::write(action).into_bytes();
        let answer = if action.is_repeatable() {
            self.function.call(event).await?
        } else {
            self.function.call_once(event).await?
        };
        // Only some actions read the answer, and they report one that is not JSON.
        Ok(serde_json::from_slice(&answer).unwrap_or_default())
    }
}

impl RefreshPort for LambdaRefresher {
    fn run<'a>(
        &'a self,
        action: &'a Action,
        deadline: Deadline,
    ) -> Pin<Box<dyn Future<Output = Result<Value, RefreshRequestError>> + Send + 'a>> {
        let budget = deadline.budget(self.clock.now_millis(), RUN_TIMEOUT, MARGIN);
        Box::pin(async move {
            tokio::time::timeout(budget, self.invoke(action))
                .await
                .unwrap_or(Err(RefreshRequestError::Timeout))
        })
    }
}

impl From<InvokeError> for RefreshRequestError {
    fn from(error: InvokeError) -> Self {
        match error {
            InvokeError::Throttled => Self::Throttled,
            InvokeError::Lost(why) => Self::Lost(why),
            InvokeError::Refused(why) => Self::Unreachable(why),
            InvokeError::Function { error_type, message } => Self::from_function_error(&error_type, &message),
        }
    }
}
