//! Retries writes that DynamoDB refuses because a transaction is changing the same item: such a transaction ends within
//! milliseconds. The SDK does not retry them by itself.
//! See [AWS Docs/Error handling with DynamoDB](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html).

use aws_sdk_dynamodb::operation::{delete_item::DeleteItemError, put_item::PutItemError, update_item::UpdateItemError};
use aws_smithy_runtime_api::client::{
    interceptors::context::InterceptorContext,
    retries::classifiers::{ClassifyRetry, RetryAction},
};

/// Classifies a write that conflicted with a transaction as transient.
#[derive(Debug)]
pub(super) struct TransactionConflicts;

impl ClassifyRetry for TransactionConflicts {
    fn classify_retry(&self, ctx: &InterceptorContext) -> RetryAction {
        let error = ctx.output_or_error().and_then(Result::err);
        let is_conflict = error.and_then(|error| error.as_operation_error()).is_some_and(|error| {
            let update = error
                .downcast_ref()
                .map(UpdateItemError::is_transaction_conflict_exception);
            let put = error
                .downcast_ref()
                .map(PutItemError::is_transaction_conflict_exception);
            let delete = error
                .downcast_ref()
                .map(DeleteItemError::is_transaction_conflict_exception);
            update.or(put).or(delete).unwrap_or(false)
        });
        if is_conflict {
            RetryAction::transient_error()
        } else {
            RetryAction::NoActionIndicated
        }
    }

    fn name(&self) -> &'static str {
        "transaction conflicts"
    }
}
