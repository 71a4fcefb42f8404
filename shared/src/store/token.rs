//! `token#<appid>` and `ticket#<appid>`: a credential, the lease of the run that refreshes it, and the ledger of forced
//! refreshes.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};

use super::{Attributes, StoreError, Table, get_number, get_text, is_condition_failure, number, text, written_if};
use crate::{errcode::without_rid, secret::Secret};

/// The run `:owner` holds the lease.
const MINE: &str = "lease_owner = :owner";

/// The attribute with the token before the current one.
const PREVIOUS: &str = "previous_token";

/// Seconds. Tolerated clock skew. A lease that ends later than `until + CLOCK_SKEW` was written by a fast clock and counts
/// as expired.
const CLOCK_SKEW: i64 = 60;

/// The item of one credential that `token-refresher` keeps alive: the access_token or the jsapi_ticket.
#[derive(Clone, Debug)]
pub struct Credential {
    table: Table,
    /// The first part of the item's key.
    kind: &'static str,
    /// The attribute that holds the credential.
    attribute: &'static str,
}

/// A stored credential, called token here whichever it is.
#[derive(Clone, Debug)]
pub struct StoredToken {
    /// The access_token or the jsapi_ticket.
    pub value: Secret,
    /// When the token expires, in epoch seconds.
    pub expires_at: i64,
    /// When WeChat was last asked for the token, in epoch seconds.
    pub refreshed_at: i64,
    /// Increases by one with each new token.
    pub generation: u64,
    /// The token before this one, which WeChat may accept for some minutes more.
    pub previous: Option<Secret>,
}

impl StoredToken {
    /// Returns the seconds of life left at `now`, negative after expiry.
    #[must_use]
    pub const fn life(&self, now: i64) -> i64 {
        self.expires_at.saturating_sub(now)
    }
}

/// Why the last run that asked WeChat got no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshFailure {
    /// When the run failed, in epoch seconds.
    pub at: i64,
    /// The name of the run.
    pub owner: String,
    /// WeChat's errcode, if WeChat refused.
    pub errcode: Option<i64>,
    /// The type of the run's function error. Empty when an older version recorded it.
    pub error_type: String,
    /// WeChat's errmsg, or the text of another error. Read without the rid of the call, which carried the AppSecret.
    pub message: String,
}

/// The whole item of a credential.
#[derive(Clone, Debug, Default)]
pub struct TokenItem {
    /// The token, if there is one.
    pub token: Option<StoredToken>,
    /// The number of the last token, 0 before the first. It survives when somebody deletes the token by hand.
    pub generation: u64,
    /// The run that obtained the token.
    pub refreshed_by: Option<String>,
    /// The ledger: the times of the last day's forced refreshes, in epoch seconds.
    pub forced_at: Vec<i64>,
    /// The last failure since the last success.
    pub failure: Option<RefreshFailure>,
    /// The run that holds the lease, or held the last lease.
    pub lease_owner: Option<String>,
    /// When the lease expires, in epoch seconds. `None` when no run holds it.
    pub lease_expires_at: Option<i64>,
}

/// The result of taking the lease: who may refresh.
#[derive(Clone, Debug)]
pub enum Lease {
    /// This run and no other, with the item at that moment.
    Won(Box<TokenItem>),
    /// Another run.
    Held,
}

impl TokenItem {
    /// Whether [`Credential::take_lease`] with the same arguments would find the lease held.
    #[must_use]
    pub fn is_leased_by_another(&self, owner: &str, now: i64, until: i64) -> bool {
        let holds = |end: i64| now < end && end <= until.saturating_add(CLOCK_SKEW);
        self.lease_expires_at.is_some_and(holds) && self.lease_owner.as_deref() != Some(owner)
    }

    /// Reads an item whose credential is in `attribute`.
    fn from_attributes(item: &Attributes, attribute: &str) -> Self {
        let generation = get_number(item, "generation").unwrap_or(0);
        let token = get_text(item, attribute)
            .filter(|token| !token.is_empty())
            .map(|token| StoredToken {
                value: Secret::new(token),
                expires_at: get_number(item, "expires_at").unwrap_or(0),
                refreshed_at: get_number(item, "refreshed_at").unwrap_or(0),
                generation,
                previous: get_text(item, PREVIOUS).map(Secret::new),
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
            message: without_rid(get_text(item, "failed_message").unwrap_or_default()),
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
    /// Returns the account's access_token.
    #[must_use]
    pub fn access_token(&self) -> Credential {
        Credential {
            table: self.clone(),
            kind: "token",
            attribute: "access_token",
        }
    }

    /// Returns the account's jsapi_ticket.
    #[must_use]
    pub fn jsapi_ticket(&self) -> Credential {
        Credential {
            table: self.clone(),
            kind: "ticket",
            attribute: "ticket",
        }
    }

    /// Returns the access_token's item; see [`Credential::load`].
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn token(&self) -> Result<TokenItem, StoreError> {
        self.access_token().load().await
    }
}

/// The item of one token, as the refresher needs it. Every write is idempotent, so the refresher may retry one whose answer was
/// lost.
pub trait TokenStore: Send + Sync {
    /// Returns the item, read consistently. Empty when there is none yet.
    ///
    /// # Errors
    /// [`StoreError`] when the item cannot be read.
    fn load(&self) -> impl Future<Output = Result<TokenItem, StoreError>> + Send;

    /// Takes the lease for the run `owner` until `until`, unless another run holds one that is unexpired at `now`.
    ///
    /// # Errors
    /// [`StoreError`] when the item cannot be written.
    fn take_lease(&self, owner: &str, now: i64, until: i64) -> impl Future<Output = Result<Lease, StoreError>> + Send;

    /// Writes the ledger of forced refreshes. Returns `false` when `owner` has lost the lease.
    ///
    /// # Errors
    /// [`StoreError`] when the item cannot be written.
    fn record_forced(&self, owner: &str, at: &[i64]) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Stores the token and releases the lease, if `owner` holds it and the generation is still `read_generation`. Returns `false`
    /// when another run was faster.
    ///
    /// # Errors
    /// [`StoreError`] when the item cannot be written. The write may still have landed.
    fn save(
        &self,
        owner: &str,
        read_generation: u64,
        token: &StoredToken,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Releases the lease without a token and records why, if `owner` still holds it.
    ///
    /// # Errors
    /// [`StoreError`] when the item cannot be written. The lease then expires by itself.
    fn release(
        &self,
        owner: &str,
        failure: Option<&RefreshFailure>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

impl Credential {
    fn pk(&self) -> String {
        self.table.pk(self.kind)
    }
}

impl TokenStore for Credential {
    async fn load(&self) -> Result<TokenItem, StoreError> {
        let item = self.table.read(&self.pk(), true).await?;
        let item = item.map(|item| TokenItem::from_attributes(&item, self.attribute));
        Ok(item.unwrap_or_default())
    }

    async fn take_lease(&self, owner: &str, now: i64, until: i64) -> Result<Lease, StoreError> {
        let expression = "SET lease_owner = :owner, lease_expires_at = :until";
        let condition = "attribute_not_exists(lease_expires_at) OR lease_expires_at <= :now OR lease_owner = :owner \
                         OR lease_expires_at > :implausible";
        let values = [
            (":implausible", number(until + CLOCK_SKEW)),
            (":owner", text(owner)),
            (":until", number(until)),
            (":now", number(now)),
        ];
        let update = self
            .table
            .update(&self.pk(), expression, Some(condition), values)
            .return_values(ReturnValue::AllNew);
        match update.send().await {
            Ok(output) => {
                let item = output.attributes;
                let item = item.map(|item| TokenItem::from_attributes(&item, self.attribute));
                Ok(Lease::Won(Box::new(item.unwrap_or_default())))
            }
            Err(error) if is_condition_failure(&error) => Ok(Lease::Held),
            Err(error) => Err(StoreError::from_sdk("UpdateItem", &error)),
        }
    }

    async fn record_forced(&self, owner: &str, at: &[i64]) -> Result<bool, StoreError> {
        let ledger = AttributeValue::L(at.iter().map(number).collect());
        let values = [(":owner", text(owner)), (":ledger", ledger)];
        let update = self
            .table
            .update(&self.pk(), "SET forced_at = :ledger", Some(MINE), values);
        written_if("UpdateItem", update.send().await)
    }

    async fn save(&self, owner: &str, read_generation: u64, token: &StoredToken) -> Result<bool, StoreError> {
        let pk = self.pk();
        let previous = token
            .previous
            .as_ref()
            .map(|previous| (":previous", text(previous.expose())));
        let set_previous = previous
            .as_ref()
            .map_or(String::new(), |_| format!(", {PREVIOUS} = :previous"));
        let expression = format!(
            "SET {} = :token, expires_at = :expires_at, refreshed_at = :refreshed_at, generation = :generation, \
             refreshed_by = :owner{set_previous} \
             REMOVE lease_owner, lease_expires_at, failed_at, failed_owner, failed_type, failed_errcode, failed_message",
            self.attribute
        );
        // A person who edits the item may leave the generation out or write another type.
        let condition = format!("{MINE} AND (generation = :read OR NOT generation >= :first)");
        let values = [
            (":first", number(1)),
            (":owner", text(owner)),
            (":token", text(token.value.expose())),
            (":expires_at", number(token.expires_at)),
            (":refreshed_at", number(token.refreshed_at)),
            (":generation", number(token.generation)),
            (":read", number(read_generation)),
        ];
        let values = values.into_iter().chain(previous);
        let update = self
            .table
            .update(&pk, &expression, Some(&condition), values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = update.send().await else {
            return Ok(true);
        };
        let item = self.table.refused_update(&pk, &error).await?;
        Ok(get_text(&item, "refreshed_by") == Some(owner))
    }

    async fn release(&self, owner: &str, failure: Option<&RefreshFailure>) -> Result<(), StoreError> {
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
        let update = self
            .table
            .update(&self.pk(), &format!("{set} REMOVE {remove}"), Some(MINE), values);
        written_if("UpdateItem", update.send().await).map(|_| ())
    }
}
