//! Claims: an item that one run at a time works on, which the run names as its `owner`.
//!
//! An item is free to be claimed when no run owns it, when the run that asks owns it already (the SDK repeats a write whose
//! answer was lost), or when the claim of another run has expired (`claim_expires_at`): that run has died. The lease of the
//! token follows the same rule under older names of its attributes.

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::update_item::{UpdateItemError, builders::UpdateItemFluentBuilder},
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure, error::ConditionalCheckFailedException},
};

use super::{Attributes, StoreError, Table, get_number, named, names_in, text, written_if};

/// The run `:owner` holds the claim.
pub(super) const MINE: &str = "#owner = :owner";
/// No run holds the claim at `:now`.
pub(super) const FREE: &str = "attribute_not_exists(#owner) OR claim_expires_at <= :now";

impl Table {
    /// Claims an item by `update`. Returns the item as it is now, or as `Err` the one that is in the way.
    pub(super) async fn claim(
        &self,
        pk: &str,
        update: UpdateItemFluentBuilder,
    ) -> Result<Result<Attributes, Attributes>, StoreError> {
        let claimed = update
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match claimed {
            Ok(output) => Ok(Ok(output.attributes.unwrap_or_default())),
            Err(error) => self.refused_update(pk, &error).await.map(Err),
        }
    }

    /// Updates an item while `owner` holds its claim. A claim that has passed to another run, or that has ended at an
    /// attempt whose answer was lost, is left as it is.
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

    /// Deletes an item if `condition` holds, which says by [`MINE`] that `owner` holds its claim.
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

    /// The item that the condition of an update failed on; an error when it was not that which failed.
    pub(super) async fn refused_update<R>(
        &self,
        pk: &str,
        error: &SdkError<UpdateItemError, R>,
    ) -> Result<Attributes, StoreError> {
        match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(failure)) => self.in_the_way(pk, failure).await,
            _ => Err(StoreError::from_sdk("UpdateItem", error)),
        }
    }

    /// The item that a condition failed on. Not every implementation of DynamoDB hands it out with the refusal.
    pub(super) async fn in_the_way(
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

/// Seconds after which another run may ask again for the claim that `item` tells of: when it expires, within `at_most`.
pub(super) fn retry_after(item: &Attributes, now: i64, at_most: i64) -> i64 {
    let ends: i64 = get_number(item, "claim_expires_at").unwrap_or(now);
    (ends - now).clamp(1, at_most)
}
