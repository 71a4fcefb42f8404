//! `token#<appid>`: the access_token, the lease of the run that refreshes it, and the ledger of forced refreshes.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};

use super::{Attributes, StoreError, Table, get_number, get_text, is_condition_failure, number, text, written_if};
use crate::secret::Secret;

const KIND: &str = "token";
/// The run `:owner` holds the lease.
const MINE: &str = "lease_owner = :owner";

/// A lease that ends so many seconds after one that is taken now comes from a clock that was ahead: it is no longer held,
/// or its holder notices that it has lost it.
const CLOCKS_APART: i64 = 60;

/// An access_token as it is stored.
#[derive(Clone, Debug)]
pub struct StoredToken {
    /// The token.
    pub access_token: Secret,
    /// When it ends, in epoch seconds.
    pub expires_at: i64,
    /// When WeChat was last asked for it, in epoch seconds.
    pub refreshed_at: i64,
    /// Grows by one at each new token.
    pub generation: u64,
}

impl StoredToken {
    /// Seconds of life left at `now`; negative when it has ended.
    #[must_use]
    pub const fn life(&self, now: i64) -> i64 {
        self.expires_at.saturating_sub(now)
    }
}

/// Why the last run that asked WeChat got no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshFailure {
    /// When, in epoch seconds.
    pub at: i64,
    /// The run.
    pub owner: String,
    /// WeChat's code, when it was WeChat that refused.
    pub errcode: Option<i64>,
    /// What the run's function error was called; empty when an older version recorded it.
    pub error_type: String,
    /// WeChat's errmsg, or the text of another error.
    pub message: String,
}

/// The whole item.
#[derive(Clone, Debug, Default)]
pub struct TokenItem {
    /// The token, if there is one.
    pub token: Option<StoredToken>,
    /// The number of the last token, 0 before the first. It outlives a token that somebody has removed by hand.
    pub generation: u64,
    /// The run that obtained it.
    pub refreshed_by: Option<String>,
    /// When each forced refresh of the last day was made, in epoch seconds.
    pub forced_at: Vec<i64>,
    /// The last failure since the last success.
    pub failure: Option<RefreshFailure>,
    /// The run that holds the lease, or held the last one.
    pub lease_owner: Option<String>,
    /// When the lease ends that a run holds, in epoch seconds.
    pub lease_expires_at: Option<i64>,
}

/// Who may refresh.
#[derive(Clone, Debug)]
pub enum Lease {
    /// This run, and no other; with the item as it was at that moment.
    Won(Box<TokenItem>),
    /// Another run.
    Held,
}

impl TokenItem {
    /// Whether [`Table::take_token_lease`] would find the lease held, at `now`, if `owner` asked for it until `until`.
    #[must_use]
    pub fn is_leased_by_another(&self, owner: &str, now: i64, until: i64) -> bool {
        let holds = |end: i64| now < end && end <= until.saturating_add(CLOCKS_APART);
        self.lease_expires_at.is_some_and(holds) && self.lease_owner.as_deref() != Some(owner)
    }

    fn from_attributes(item: &Attributes) -> Self {
        let generation = get_number(item, "generation").unwrap_or(0);
        let token = get_text(item, "access_token")
            .filter(|token| !token.is_empty())
            .map(|token| StoredToken {
                access_token: Secret::new(token),
                expires_at: get_number(item, "expires_at").unwrap_or(0),
                refreshed_at: get_number(item, "refreshed_at").unwrap_or(0),
                generation,
            });
        let forced_at = item
            .get("forced_at")
            .and_then(|list| list.as_l().ok())
            .map(|list| list.iter().filter_map(|at| at.as_n().ok()?.parse().ok()).collect());
        let failure = get_number(item, "failed_at").map(|at| RefreshFailure {
            at,
            owner: get_text(item, "failed_owner").unwrap_or_default().to_owned(),
            errcode: get_number(item, "failed_errcode"),
            error_type: get_text(item, "failed_type").unwrap_or_default().to_owned(),
            message: get_text(item, "failed_message").unwrap_or_default().to_owned(),
        });
        Self {
            token,
            generation,
            refreshed_by: get_text(item, "refreshed_by").map(str::to_owned),
            forced_at: forced_at.unwrap_or_default(),
            failure,
            lease_owner: get_text(item, "lease_owner").map(str::to_owned),
            lease_expires_at: get_number(item, "lease_expires_at"),
        }
    }
}

impl Table {
    /// The token item, read consistently; empty when there is none yet.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn token(&self) -> Result<TokenItem, StoreError> {
        let item = self.read(&self.pk(KIND), true).await?;
        Ok(item.as_ref().map(TokenItem::from_attributes).unwrap_or_default())
    }

    /// Takes the lease for the run `owner` until `until`, if no other run holds one that has not ended by `now`.
    /// Repeating a call that has already won wins again.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn take_token_lease(&self, owner: &str, now: i64, until: i64) -> Result<Lease, StoreError> {
        let expression = "SET lease_owner = :owner, lease_expires_at = :until";
        let condition = "attribute_not_exists(lease_expires_at) OR lease_expires_at <= :now OR lease_owner = :owner \
                         OR lease_expires_at > :implausible";
        let values = [
            (":implausible", number(until + CLOCKS_APART)),
            (":owner", text(owner)),
            (":until", number(until)),
            (":now", number(now)),
        ];
        let update = self
            .update(&self.pk(KIND), expression, Some(condition), values)
            .return_values(ReturnValue::AllNew);
        match update.send().await {
            Ok(output) => {
                let item = output.attributes.as_ref().map(TokenItem::from_attributes);
                Ok(Lease::Won(Box::new(item.unwrap_or_default())))
            }
            Err(error) if is_condition_failure(&error) => Ok(Lease::Held),
            Err(error) => Err(StoreError::from_sdk("UpdateItem", &error)),
        }
    }

    /// Writes the ledger of forced refreshes, while `owner` holds the lease. False when it no longer does. A repeat
    /// writes the same.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written.
    pub async fn record_forced_refreshes(&self, owner: &str, at: &[i64]) -> Result<bool, StoreError> {
        let ledger = AttributeValue::L(at.iter().map(number).collect());
        let values = [(":owner", text(owner)), (":ledger", ledger)];
        let update = self.update(&self.pk(KIND), "SET forced_at = :ledger", Some(MINE), values);
        written_if("UpdateItem", update.send().await)
    }

    /// Stores `token` and gives the lease back, while `owner` holds it and the generation is still `read_generation`.
    /// False when another run was faster. A repeat of a write that has already landed recognises itself.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written. The write may have landed all the same.
    pub async fn save_token(&self, owner: &str, read_generation: u64, token: &StoredToken) -> Result<bool, StoreError> {
        let pk = self.pk(KIND);
        let expression = "SET access_token = :token, expires_at = :expires_at, refreshed_at = :refreshed_at, \
                          generation = :generation, refreshed_by = :owner \
                          REMOVE lease_owner, lease_expires_at, failed_at, failed_owner, failed_type, failed_errcode, \
                          failed_message";
        // Whoever writes the item by hand may leave the generation out, or write what is none.
        let condition = format!("{MINE} AND (generation = :read OR NOT generation >= :first)");
        let values = [
            (":first", number(1)),
            (":owner", text(owner)),
            (":token", text(token.access_token.expose())),
            (":expires_at", number(token.expires_at)),
            (":refreshed_at", number(token.refreshed_at)),
            (":generation", number(token.generation)),
            (":read", number(read_generation)),
        ];
        let update = self
            .update(&pk, expression, Some(&condition), values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = update.send().await else {
            return Ok(true);
        };
        let item = self.refused_update(&pk, &error).await?;
        Ok(get_text(&item, "refreshed_by") == Some(owner))
    }

    /// Gives the lease back without a token and records why, if `owner` still holds it.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be written; the lease then ends by itself.
    pub async fn release_token_lease(&self, owner: &str, failure: Option<&RefreshFailure>) -> Result<(), StoreError> {
        let mut values = vec![(":owner", text(owner))];
        let mut set = String::new();
        let mut remove = "lease_owner, lease_expires_at";
        if let Some(failure) = failure {
            set.push_str("SET failed_at = :at, failed_owner = :owner, failed_type = :type, failed_message = :message");
            values.extend([
                (":at", number(failure.at)),
                (":type", text(&failure.error_type)),
                (":message", text(&failure.message)),
            ]);
            match failure.errcode {
                Some(errcode) => {
                    set.push_str(", failed_errcode = :errcode");
                    values.push((":errcode", number(errcode)));
                }
                None => remove = "lease_owner, lease_expires_at, failed_errcode",
            }
        }
        let update = self.update(&self.pk(KIND), &format!("{set} REMOVE {remove}"), Some(MINE), values);
        written_if("UpdateItem", update.send().await).map(|_| ())
    }
}
