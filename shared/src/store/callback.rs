//! `callback#<appid>#<key>`: effects of a callback happen once, however often WeChat delivers it.

use aws_sdk_dynamodb::{operation::put_item::PutItemError, types::ReturnValuesOnConditionCheckFailure};

use super::{StoreError, Table, get_text, number, text, written, written_if};

/// A finished callback is remembered this long, in seconds: far beyond a repeat by WeChat, by Lambda or by a queue.
const REMEMBERED_FOR: i64 = 24 * 3600;

/// Who runs the effects of a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// This delivery.
    Won,
    /// No one: they have happened.
    Done,
    /// An earlier delivery, which is still running.
    InProgress,
}

impl Table {
    /// Claims the effects of the callback `key` for the delivery `owner`. A claim that is neither finished nor given up ends
    /// by itself after `seconds`.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn claim_callback(
        &self,
        app_id: &str,
        key: &str,
        owner: &str,
        now: i64,
        seconds: i64,
    ) -> Result<Claim, StoreError> {
        let outcome = self
            .client
            .put_item()
            .table_name(&self.name)
            .item("pk", text(pk(app_id, key)))
            .item("state", text("in_progress"))
            .item("owner", text(owner))
            .item("claim_expires_at", number(now + seconds))
            .item("ttl", number(now + REMEMBERED_FOR))
            .condition_expression(
                "attribute_not_exists(pk) OR #ttl <= :now \
                 OR (#state = :in_progress AND (#owner = :owner OR claim_expires_at <= :now))",
            )
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":now", number(now))
            .expression_attribute_values(":owner", text(owner))
            .expression_attribute_values(":in_progress", text("in_progress"))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = outcome else {
            return Ok(Claim::Won);
        };
        let Some(PutItemError::ConditionalCheckFailedException(failure)) = error.as_service_error() else {
            return Err(StoreError::from_sdk("PutItem", &error));
        };
        let item = self.in_the_way(&pk(app_id, key), failure).await?;
        Ok(match get_text(&item, "state") {
            Some("done") => Claim::Done,
            _ => Claim::InProgress,
        })
    }

    /// Records that the effects have happened.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn finish_callback(&self, app_id: &str, key: &str, owner: &str, now: i64) -> Result<(), StoreError> {
        let outcome = self
            .client
            .put_item()
            .table_name(&self.name)
            .item("pk", text(pk(app_id, key)))
            .item("state", text("done"))
            .item("owner", text(owner))
            .item("ttl", number(now + REMEMBERED_FOR))
            .send()
            .await;
        written("PutItem", outcome)
    }

    /// Gives a claim up after a failed effect, so that the next delivery need not wait for its end.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written; the claim then ends by itself.
    pub async fn give_up_callback(&self, app_id: &str, key: &str, owner: &str) -> Result<(), StoreError> {
        let outcome = self
            .client
            .delete_item()
            .table_name(&self.name)
            .key("pk", text(pk(app_id, key)))
            .condition_expression("#owner = :owner AND #state = :in_progress")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":owner", text(owner))
            .expression_attribute_values(":in_progress", text("in_progress"))
            .send()
            .await;
        written_if("DeleteItem", outcome).map(|_| ())
    }
}

fn pk(app_id: &str, key: &str) -> String {
    format!("callback#{app_id}#{key}")
}
