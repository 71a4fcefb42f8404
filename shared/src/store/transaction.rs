//! Several conditional writes that happen all or not at all.

use aws_sdk_dynamodb::{
    error::BuildError,
    operation::transact_write_items::TransactWriteItemsError,
    types::{AttributeValue, Delete, Put, TransactWriteItem, Update},
};

use super::{StoreError, StoreErrorKind, Table, named, names_in, text};

/// Attempts at a change that others overtake. Two changes at once need two.
pub(super) const ATTEMPTS: u8 = 20;

/// The call that writes a transaction.
pub(super) const TRANSACTION: &str = "TransactWriteItems";

/// Returns the error of a change by `operation` that others overtook at every attempt.
pub(super) const fn contended(operation: &'static str) -> StoreError {
    StoreError::of_kind(StoreErrorKind::Busy, operation)
}

/// The writes of one transaction. An item may be in it once.
#[derive(Debug)]
pub(super) struct Transaction<'t> {
    table: &'t Table,
    writes: Result<Vec<TransactWriteItem>, BuildError>,
}

impl<'t> Transaction<'t> {
    pub(super) const fn new(table: &'t Table) -> Self {
        Self {
            table,
            writes: Ok(Vec::new()),
        }
    }

    /// Adds a put, which replaces the item, if `condition` holds.
    pub(super) fn put<'a>(
        self,
        pk: &str,
        attributes: impl IntoIterator<Item = (&'a str, AttributeValue)>,
        condition: &str,
        values: impl IntoIterator<Item = (&'a str, AttributeValue)>,
    ) -> Self {
        let attributes = attributes.into_iter().chain([("pk", text(pk))]);
        let values = named(values);
        let put = Put::builder()
            .table_name(&self.table.name)
            .set_item(Some(named(attributes)))
            .condition_expression(condition)
            .set_expression_attribute_names(names_in(&[condition]))
            .set_expression_attribute_values((!values.is_empty()).then_some(values))
            .build();
        self.with(put.map(|put| TransactWriteItem::builder().put(put).build()))
    }

    /// Adds a put, which replaces the item.
    #[cfg(feature = "client")]
    pub(super) fn put_always<'a>(
        self,
        pk: &str,
        attributes: impl IntoIterator<Item = (&'a str, AttributeValue)>,
    ) -> Self {
        let attributes = attributes.into_iter().chain([("pk", text(pk))]);
        let put = Put::builder()
            .table_name(&self.table.name)
            .set_item(Some(named(attributes)));
        let put = put.build();
        self.with(put.map(|put| TransactWriteItem::builder().put(put).build()))
    }

    /// Adds an update by `expression`, if `condition` holds.
    pub(super) fn update<'a>(
        self,
        pk: &str,
        expression: &str,
        condition: &str,
        values: impl IntoIterator<Item = (&'a str, AttributeValue)>,
    ) -> Self {
        let update = Update::builder()
            .table_name(&self.table.name)
            .key("pk", text(pk))
            .update_expression(expression)
            .condition_expression(condition)
            .set_expression_attribute_names(names_in(&[expression, condition]))
            .set_expression_attribute_values(Some(named(values)))
            .build();
        self.with(update.map(|update| TransactWriteItem::builder().update(update).build()))
    }

    /// Adds a delete, if `condition` holds.
    pub(super) fn delete<'a>(
        self,
        pk: &str,
        condition: &str,
        values: impl IntoIterator<Item = (&'a str, AttributeValue)>,
    ) -> Self {
        let delete = Delete::builder()
            .table_name(&self.table.name)
            .key("pk", text(pk))
            .condition_expression(condition)
            .set_expression_attribute_names(names_in(&[condition]))
            .set_expression_attribute_values(Some(named(values)))
            .build();
        self.with(delete.map(|delete| TransactWriteItem::builder().delete(delete).build()))
    }

    fn with(mut self, write: Result<TransactWriteItem, BuildError>) -> Self {
        match (&mut self.writes, write) {
            (Ok(writes), Ok(write)) => writes.push(write),
            (Ok(_), Err(error)) => self.writes = Err(error),
            (Err(_), _) => {}
        }
        self
    }

    /// Makes the writes. Returns `false`, and changes nothing, when a condition does not hold or another transaction is
    /// changing an item: the caller reads again. The SDK's retries are the same transaction, which happens once.
    pub(super) async fn commit(self) -> Result<bool, StoreError> {
        let writes = self.writes.map_err(|error| StoreError::damaged(TRANSACTION, error))?;
        let sent = self
            .table
            .client
            .transact_write_items()
            .set_transact_items(Some(writes))
            .send()
            .await;
        let Err(error) = sent else { return Ok(true) };
        let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() else {
            return Err(StoreError::from_sdk(TRANSACTION, &error));
        };
        let reasons = cancelled.cancellation_reasons().iter();
        let mut codes = reasons
            .filter_map(|reason| reason.code())
            .filter(|code| *code != "None");
        match codes.find(|code| !matches!(*code, "ConditionalCheckFailed" | "TransactionConflict")) {
            None => Ok(false),
            Some("ValidationError") => Err(StoreError::of_kind(StoreErrorKind::SetUp, TRANSACTION)),
            Some(_) => Err(StoreError::of_kind(StoreErrorKind::Busy, TRANSACTION)),
        }
    }
}
