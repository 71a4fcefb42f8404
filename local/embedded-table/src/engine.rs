//! DynamoDB's JSON protocol on top of the engine: takes an operation's name and request, returns a status and JSON.

use dynoxide::{Database, DynoxideError};
use serde::{Serialize, de::DeserializeOwned};

/// The prefix of an operation's name in the header `X-Amz-Target`.
const TARGET: &str = "DynamoDB_20120810.";

/// The engine's answer: an HTTP status and DynamoDB's JSON.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The operation's result, or an error in DynamoDB's form.
    pub body: String,
}

/// Runs the operation that `target` names, and blocks the thread meanwhile.
pub(crate) fn answer(database: &Database, target: &str, request: &[u8]) -> Answer {
    let operation = target.strip_prefix(TARGET).unwrap_or(target);
    match run(database, operation, request) {
        Ok(body) => Answer { status: 200, body },
        Err(error) => Answer {
            status: error.status_code(),
            body: error.to_json(),
        },
    }
}

/// Runs one of the operations that the bundle and its tests use.
fn run(database: &Database, operation: &str, request: &[u8]) -> dynoxide::Result<String> {
    match operation {
        "GetItem" => call(request, |request| database.get_item(request)),
        "PutItem" => call(request, |request| database.put_item(request)),
        "UpdateItem" => call(request, |request| database.update_item(request)),
        "DeleteItem" => call(request, |request| database.delete_item(request)),
        "BatchGetItem" => call(request, |request| database.batch_get_item(request)),
        "BatchWriteItem" => call(request, |request| database.batch_write_item(request)),
        "TransactWriteItems" => call(request, |request| database.transact_write_items(request)),
        "Query" => call(request, |request| database.query(request)),
        "Scan" => call(request, |request| database.scan(request)),
        "CreateTable" => call(request, |request| database.create_table(request)),
        "UpdateTable" => call(request, |request| database.update_table(request)),
        "DeleteTable" => call(request, |request| database.delete_table(request)),
        "DescribeTable" => call(request, |request| database.describe_table(request)),
        "UpdateTimeToLive" => call(request, |request| database.update_time_to_live(request)),
        "DescribeTimeToLive" => call(request, |request| database.describe_time_to_live(request)),
        _ => Err(DynoxideError::UnsupportedCapability(format!(
            "the embedded table does not serve {operation}"
        ))),
    }
}

fn call<Q: DeserializeOwned, A: Serialize>(
    request: &[u8],
    operation: impl FnOnce(Q) -> dynoxide::Result<A>,
) -> dynoxide::Result<String> {
    let request =
        serde_json::from_slice(request).map_err(|error| DynoxideError::ValidationException(error.to_string()))?;
    let answer = operation(request)?;
    serde_json::to_string(&answer).map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}
