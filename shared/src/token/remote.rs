//! Runs `token-refresher` as an AWS Lambda function.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use super::{Action, RefreshPort, RefreshRequestError};
use crate::{
    aws::{InvokeError, LambdaFunction},
    clock::{Clock, Deadline},
    json,
};

/// How long a caller waits for a run: longer than one takes that WeChat keeps waiting.
const RUN_TIMEOUT: Duration = Duration::from_secs(25);
/// What waiting leaves of the caller's own invocation.
const MARGIN: Duration = Duration::from_secs(2);

/// The function `token-refresher`, by name or ARN.
#[derive(Clone, Debug)]
pub struct LambdaRefresher {
    function: LambdaFunction,
    clock: Arc<dyn Clock>,
}

impl LambdaRefresher {
    /// The function called `function`.
    #[must_use]
    pub fn new(client: aws_sdk_lambda::Client, function: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        Self {
            function: LambdaFunction::new(client, function, Arc::clone(&clock)),
            clock,
        }
    }

    /// A second run does no harm: it finds what the first has done.
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
