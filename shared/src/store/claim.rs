//! Claims: one run at a time works on an item and is its `owner`.
//!
//! A run may claim an item that has no owner, that it owns already (the SDK retries a write whose answer was lost), or whose
//! claim has expired (`claim_expires_at`), because its owner died. The token's lease follows the same rule with older
//! attribute names.

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::update_item::{UpdateItemError, builders::UpdateItemFluentBuilder},
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure, error::ConditionalCheckFailedException},
};

use super::{Attributes, StoreError, Table, get_number, named, names_in, text, written_if};

/// The run `:owner` holds the claim.
pub(super) const MINE: &str = "#owner = :owner";
/// No run holds an unexpired claim at `:now`.
pub(super) const FREE: &str = "attribute_not_exists(#owner) OR claim_expires_at <= :now";

impl Table {
    /// Claims an item by `update`. Returns the claimed item, or as `Err` the item that another run holds.
    pub(super) async fn claim(
        &self,
        pk: &str,
        update: UpdateItemFluentBuilder,
    ) -> Result<Result<Attributes, Attributes>, StoreError> {
        let update = update
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match update.send().await {
            Ok(output) => Ok(Ok(output.attributes.unwrap_or_default())),
            Err(error) => self.refused_update(pk, &error).await.map(Err),
        }
    }

    /// Updates an item if `owner` holds its claim. Changes nothing when another run took over the claim, or when an earlier
    /// attempt, whose answer was lost, already ended it.
    pub(super) async fn update_claimed<'a>(
        &self,
        pk: &str,
        owner: &str,
        expression: &str,
        values: impl IntoIterator<Item = (&'a str, AttributeValue)>,
    ) -> Result<(), StoreError> {
        let values = values.into_iter().chain([(":owner", text(owner))]);
        let update = self.update(pk, expression, Some(MINE), values);
        written_if("UpdateItem", update.send().await).map(|_| ())
    }

    /// Deletes an item if `condition` holds, which includes [`MINE`]: `owner` holds the claim.
    pub(super) async fn delete_claimed<'a>(
        &self,
        pk: &str,
        owner: &str,
        condition: &str,
        values: impl IntoIterator<Item = (&'a str, AttributeValue)>,
    ) -> Result<(), StoreError> {
        let delete = self
            .delete(pk)
            .condition_expression(condition)
            .set_expression_attribute_names(names_in(&[condition]))
            .set_expression_attribute_values(Some(named(values.into_iter().chain([(":owner", text(owner))]))));
        written_if("DeleteItem", delete.send().await).map(|_| ())
    }

    /// Returns the item on which an update's condition failed, or the error when the update failed otherwise.
    pub(super) async fn refused_update<R>(
        &self,
        pk: &str,
        error: &SdkError<UpdateItemError, R>,
    ) -> Result<Attributes, StoreError> {
        match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(failure)) => self.conflicting_item(pk, failure).await,
            _ => Err(StoreError::from_sdk("UpdateItem", error)),
        }
    }

    /// Returns the item on which a condition failed. Reads it when the implementation of DynamoDB does not return it.
    pub(super) async fn conflicting_item(
        &self,
        pk: &str,
        failure: &ConditionalCheckFailedException,
    ) -> Result<Attributes, StoreError> {
        match failure.item() {
            Some(item) => Ok(item.clone()),
            None => Ok(self.read(pk, true).await?.unwrap_or_default()),
        }
    }
}

/// Whether a run holds an unexpired claim of `item` at `now`: the opposite of [`FREE`].
pub(super) fn is_claimed(item: &Attributes, now: i64) -> bool {
    let ends: Option<i64> = get_number(item, "claim_expires_at");
    item.contains_key("owner") && ends.is_some_and(|ends| now < ends)
}

/// Returns the seconds until `item`'s claim expires, between 1 and `at_most`: when another run should ask again.
pub(super) fn retry_after(item: &Attributes, now: i64, at_most: i64) -> i64 {
    let ends: i64 = get_number(item, "claim_expires_at").unwrap_or(now);
    (ends - now).clamp(1, at_most)
}
