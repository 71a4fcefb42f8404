//! `callback#<appid>#<key>`: effects of a callback happen once, however often WeChat delivers it.

use aws_sdk_dynamodb::{operation::put_item::PutItemError, types::ReturnValuesOnConditionCheckFailure};

use super::{StoreError, Table, claim::MINE, get_text, named, names_in, number, text, written};

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
        let item = self.in_the_way(&pk, failure).await?;
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

    /// Gives a claim up after a failed effect, so that the next delivery need not wait for its end.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written; the claim then ends by itself.
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
