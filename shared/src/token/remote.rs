//! Runs `token-refresher` as a Lambda function.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use super::{Action, RefreshPort, RefreshRequestError};
use crate::{
    aws::{InvokeError, LambdaFunction},
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

    /// Invokes the function. A second run, after a retry, does no harm: it finds the first one's token.
    async fn invoke(&self, action: &Action) -> Result<(), RefreshRequestError> {
        Ok(self.function.call(json::write(action).into_bytes()).await?)
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

impl From<InvokeError> for RefreshRequestError {
    fn from(error: InvokeError) -> Self {
        match error {
            InvokeError::Throttled => Self::Throttled,
            InvokeError::Lost(why) => Self::Lost(why),
            InvokeError::Refused(why) => Self::Unreachable(why),
            InvokeError::Function { error_type, message } => Self::from_function_error(&error_type, message),
        }
    }
}
