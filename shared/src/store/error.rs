//! Why a call to the table failed.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use tokio::time::timeout;

use crate::aws::describe;

/// The kind of a failed call to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// DynamoDB did not answer in time, or there is no connection.
    Unreachable,
    /// DynamoDB throttles or failed internally: a retry may succeed.
    Busy,
    /// DynamoDB refuses, and a retry does not help: no such table, no permission.
    SetUp,
    /// An item has content that this version cannot read.
    Damaged,
}

/// A failed call to the table. Holds no item, and so no token.
#[derive(Clone, Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    call: Call,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// What failed.
#[derive(Clone, Copy, Debug)]
enum Call {
    /// An operation of DynamoDB's, by its name.
    Operation(&'static str),
    /// Any call that took longer than this.
    TooLate(Duration),
}

/// Waits for `call`, a call to the table, at most `budget`.
///
/// # Errors
/// [`StoreError`] of the call, or that it took too long. A write may have happened.
pub async fn within<T>(budget: Duration, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let answer = timeout(budget, call).await;
    answer.unwrap_or_else(|_| Err(StoreError::too_late(budget)))
}

impl StoreError {
    /// Returns the kind.
    #[must_use]
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    pub(crate) fn damaged(operation: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            kind: StoreErrorKind::Damaged,
            call: Call::Operation(operation),
            source: Some(Arc::from(source.into())),
        }
    }

    pub(crate) const fn of_kind(kind: StoreErrorKind, operation: &'static str) -> Self {
        Self {
            kind,
            call: Call::Operation(operation),
            source: None,
        }
    }

    const fn too_late(budget: Duration) -> Self {
        Self {
            kind: StoreErrorKind::Unreachable,
            call: Call::TooLate(budget),
            source: None,
        }
    }

    /// Keeps only the description of `error`: its `Debug` and its response may contain an item.
    pub(super) fn from_sdk<E: ProvideErrorMetadata, R>(operation: &'static str, error: &SdkError<E, R>) -> Self {
        let kind = match error {
            SdkError::ServiceError(service) => kind_of_code(service.err().code().unwrap_or_default()),
            SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) => StoreErrorKind::Unreachable,
            SdkError::ResponseError(_) => StoreErrorKind::Busy,
            _ => StoreErrorKind::SetUp,
        };
        Self {
            kind,
            call: Call::Operation(operation),
            source: Some(Arc::from(Box::<dyn Error + Send + Sync>::from(describe(error)))),
        }
    }
}

fn kind_of_code(code: &str) -> StoreErrorKind {
    match code {
        "ResourceNotFoundException"
        | "AccessDeniedException"
        | "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "IncompleteSignatureException"
        | "MissingAuthenticationTokenException"
        | "ExpiredTokenException"
        | "ValidationException" => StoreErrorKind::SetUp,
        _ => StoreErrorKind::Busy,
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.call {
            Call::Operation(operation) => write!(f, "{operation}: {}", self.kind.remedy())?,
            Call::TooLate(budget) => {
                write!(
                    f,
                    "the table did not answer within {budget:?} / 数据表未在 {budget:?} 内应答"
                )?;
            }
        }
        match &self.source {
            Some(source) => write!(f, " ({source})"),
            None => Ok(()),
        }
    }
}

impl StoreErrorKind {
    const fn remedy(self) -> &'static str {
        match self {
            Self::Unreachable => "DynamoDB did not answer in time / DynamoDB 未及时应答",
            Self::Busy => "DynamoDB could not serve the request for now / DynamoDB 暂时无法处理请求",
            Self::SetUp => {
                "DynamoDB refused: check TABLE_NAME, the table and the function's permissions \
                 / 请检查 TABLE_NAME、数据表与函数权限"
            }
            Self::Damaged => "an item of the table cannot be read / 数据表中有无法读取的数据项",
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
