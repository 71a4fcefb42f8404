//! `callback#<appid>#<key>`: the effects of a callback happen once, however often WeChat delivers it.

use aws_sdk_dynamodb::{operation::put_item::PutItemError, types::ReturnValuesOnConditionCheckFailure};

use super::{StoreError, Table, claim::MINE, get_text, named, names_in, number, text, written};

/// Seconds. The lifetime of an item: far beyond the last retry by WeChat, by Lambda or by a queue.
const REMEMBERED_FOR: i64 = 24 * 3600;

/// The result of claiming a callback: who runs its effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// This delivery.
    Won,
    /// Nobody: the effects have happened.
    Done,
    /// An earlier delivery, which still holds the claim.
    InProgress,
}

impl Table {
    /// Claims the effects of the callback `key` for the delivery `owner`. The claim expires after `seconds` unless it is
    /// finished or given up before.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn claim_callback(&self, key: &str, owner: &str, now: i64, seconds: i64) -> Result<Claim, StoreError> {
        let pk = self.callback_pk(key);
        let attributes = [
            ("state", text("in_progress")),
            ("owner", text(owner)),
            ("claim_expires_at", number(now + seconds)),
            ("ttl", number(now + REMEMBERED_FOR)),
        ];
        let condition = "attribute_not_exists(pk) OR #ttl <= :now \
                         OR (#state = :in_progress AND (#owner = :owner OR claim_expires_at <= :now))";
        let values = [
            (":now", number(now)),
            (":owner", text(owner)),
            (":in_progress", text("in_progress")),
        ];
        let claim = self
            .put(&pk, attributes)
            .condition_expression(condition)
            .set_expression_attribute_names(names_in(&[condition]))
            .set_expression_attribute_values(Some(named(values)))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = claim.send().await else {
            return Ok(Claim::Won);
        };
        let Some(PutItemError::ConditionalCheckFailedException(failure)) = error.as_service_error() else {
            return Err(StoreError::from_sdk("PutItem", &error));
        };
        let item = self.conflicting_item(&pk, failure).await?;
        Ok(match get_text(&item, "state") {
            Some("done") => Claim::Done,
            _ => Claim::InProgress,
        })
    }

    /// Records that the effects have happened.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn finish_callback(&self, key: &str, owner: &str, now: i64) -> Result<(), StoreError> {
        let attributes = [
            ("state", text("done")),
            ("owner", text(owner)),
            ("ttl", number(now + REMEMBERED_FOR)),
        ];
        let put = self.put(&self.callback_pk(key), attributes);
        written("PutItem", put.send().await)
    }

    /// Gives up a claim after a failed effect, so that the next delivery does not wait until the claim expires.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written. The claim then expires by itself.
    pub async fn give_up_callback(&self, key: &str, owner: &str) -> Result<(), StoreError> {
        let condition = format!("{MINE} AND #state = :in_progress");
        let values = [(":in_progress", text("in_progress"))];
        self.delete_claimed(&self.callback_pk(key), owner, &condition, values)
            .await
    }

    fn callback_pk(&self, key: &str) -> String {
        format!("{}#{key}", self.pk("callback"))
    }
}
