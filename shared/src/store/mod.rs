//! The bundle's DynamoDB table: partition key `pk`, TTL attribute `ttl`. Each kind of item has its own file.
//!
//! DynamoDB deletes expired items late, so readers compare the times themselves.

mod arrival;
mod batch;
mod binding;
mod callback;
#[cfg(feature = "client")]
mod campaign;
mod claim;
mod counts;
mod error;
mod forward;
mod index;
mod keys;
mod login;
mod menu;
mod message;
mod problem;
mod refusal;
mod replies;
#[cfg(feature = "client")]
mod scheduled;
mod send;
mod templates;
mod token;
mod transaction;
mod user;

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::{
        delete_item::builders::DeleteItemFluentBuilder, put_item::builders::PutItemFluentBuilder,
        update_item::builders::UpdateItemFluentBuilder,
    },
    types::{AttributeValue, TimeToLiveStatus},
};

pub use self::{
    binding::{BindOutcome, Binding, BindingState, NewBinding},
    callback::Claim,
    counts::{Counted, Deliveries, RelayedCalls},
    error::{StoreError, StoreErrorKind, within},
    forward::{
        Begun, DueForward, FORWARD_ATTEMPTS, FORWARDS_PAGE, ForwardAttempt, ForwardCounts, ForwardList, ForwardRecord,
        ForwardState, NewForward,
    },
    index::{Cursor, InvalidCursor, List, Page},
    keys::{CreatedKey, KEYS_LIMIT},
    login::{Login, LoginClaim, LoginEnd, LoginPurpose},
    menu::{KeptMenu, MENU_CLAIMED_FOR, MenuError},
    message::{MESSAGES_PAGE, MessageRecord, MessageStatus, Receipt, Recorded, SentMessage},
    refusal::{REFUSAL_IS_NEWS_FOR, RefusedCallback, Sender},
    replies::{SavedReplies, StoredReplies},
    send::{RecipientOutcome, RecordedAnswer, SendClaim, SendOutcome, SendRequest, SendState},
    templates::ListedTemplates,
    token::{Credential, Lease, RefreshFailure, StoredToken, TokenItem, TokenStore},
    user::{Person, Replaced, USERS_LIMIT, User},
};
#[cfg(feature = "client")]
pub use self::{
    campaign::{CAMPAIGNS_PAGE, CHUNKS_AT_ONCE, CampaignLease, LeasedCampaign, PartOutcome, StoredLedger},
    problem::{PROBLEMS_PAGE, ProblemRecord},
    scheduled::{ScheduledEnd, ScheduledMessage, ScheduledState},
};

/// The attributes of an item, as the SDK returns them.
type Attributes = HashMap<String, AttributeValue>;

/// The items of one account in the bundle's table.
#[derive(Clone, Debug)]
pub struct Table {
    client: Client,
    name: String,
    app_id: String,
}

impl Table {
    /// Opens the items of the account `app_id` in the table `name`, which `client` reaches.
    #[must_use]
    pub fn new(client: Client, name: impl Into<String>, app_id: impl Into<String>) -> Self {
        Self {
            client,
            name: name.into(),
            app_id: app_id.into(),
        }
    }

    /// Returns the account's AppID.
    #[must_use]
    pub fn app_id(&self) -> &str {
        &self.app_id
    }

    /// Whether both are the same account's items in tables of the same name.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        (&self.name, &self.app_id) == (&other.name, &other.app_id)
    }

    /// Opens the connection before the first request needs it. Best effort: the first request reports a failure.
    pub async fn warm(&self) {
        if let Err(error) = self.read("warm-up", false).await {
            tracing::warn!(%error, "the table could not be reached at start-up / 启动时无法连接数据表");
        }
    }

    /// Whether the table has TTL enabled on the attribute `ttl`.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be described.
    pub async fn expires_items(&self) -> Result<bool, StoreError> {
        let described = self.client.describe_time_to_live().table_name(&self.name).send().await;
        let described = described.map_err(|error| StoreError::from_sdk("DescribeTimeToLive", &error))?;
        Ok(described.time_to_live_description.is_some_and(|ttl| {
            let on = matches!(
                ttl.time_to_live_status,
                Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
            );
            on && ttl.attribute_name.as_deref() == Some("ttl")
        }))
    }

    async fn read(&self, pk: &str, consistent: bool) -> Result<Option<Attributes>, StoreError> {
        self.client
            .get_item()
            .table_name(&self.name)
            .key("pk", text(pk))
            .consistent_read(consistent)
            .send()
            .await
            .map(|output| output.item)
            .map_err(|error| StoreError::from_sdk("GetItem", &error))
    }

    /// Returns the key of the account's item of a `kind`, or the prefix of the keys when it has many items of the kind.
    fn pk(&self, kind: &str) -> String {
        format!("{kind}#{}", self.app_id)
    }

    /// Builds a put, which replaces an existing item.
    fn put<'a>(
        &self,
        pk: &str,
        attributes: impl IntoIterator<Item = (&'a str, AttributeValue)>,
    ) -> PutItemFluentBuilder {
        let attributes = attributes.into_iter().chain([("pk", text(pk))]);
        let put = self.client.put_item().table_name(&self.name);
        put.set_item(Some(named(attributes)))
    }

    /// Builds an update by `expression` if `condition` holds. It creates a missing item. `values` serve both expressions.
    fn update<'a>(
        &self,
        pk: &str,
        expression: &str,
        condition: Option<&str>,
        values: impl IntoIterator<Item = (&'a str, AttributeValue)>,
    ) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.name)
            .key("pk", text(pk))
            .update_expression(expression)
            .set_condition_expression(condition.map(str::to_owned))
            .set_expression_attribute_names(names_in(&[expression, condition.unwrap_or_default()]))
            .set_expression_attribute_values(Some(named(values)).filter(|values| !values.is_empty()))
    }

    /// Builds a delete.
    fn delete(&self, pk: &str) -> DeleteItemFluentBuilder {
        self.client.delete_item().table_name(&self.name).key("pk", text(pk))
    }
}

/// Returns the attribute names that `expressions` write as `#name`, because DynamoDB reserves them.
fn names_in(expressions: &[&str]) -> Option<HashMap<String, String>> {
    let names = expressions.iter().flat_map(|expression| expression.split('#').skip(1));
    let names: HashMap<String, String> = names
        .filter_map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next())
        .map(|name| (format!("#{name}"), name.to_owned()))
        .collect();
    (!names.is_empty()).then_some(names)
}

fn named<'a>(values: impl IntoIterator<Item = (&'a str, AttributeValue)>) -> Attributes {
    let values = values.into_iter();
    values.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Reads the outcome of an unconditional write.
fn written<T, E: ProvideErrorMetadata, R>(
    operation: &'static str,
    outcome: Result<T, SdkError<E, R>>,
) -> Result<(), StoreError> {
    outcome
        .map(|_| ())
        .map_err(|error| StoreError::from_sdk(operation, &error))
}

/// Reads the outcome of a conditional write: whether the condition held.
fn written_if<T, E: ProvideErrorMetadata, R>(
    operation: &'static str,
    outcome: Result<T, SdkError<E, R>>,
) -> Result<bool, StoreError> {
    match outcome {
        Ok(_) => Ok(true),
        Err(error) if is_condition_failure(&error) => Ok(false),
        Err(error) => Err(StoreError::from_sdk(operation, &error)),
    }
}

fn is_condition_failure<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    error.code() == Some("ConditionalCheckFailedException")
}

fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

#[expect(clippy::needless_pass_by_value, reason = "every caller has a number")]
fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// Writes epoch milliseconds as epoch seconds with a fraction.
fn seconds(millis: i64) -> AttributeValue {
    number(fraction(millis))
}

fn fraction(millis: i64) -> String {
    format!("{}.{:03}", millis.div_euclid(1000), millis.rem_euclid(1000))
}

fn get_text<'a>(item: &'a Attributes, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

fn get_number<T: std::str::FromStr>(item: &Attributes, name: &str) -> Option<T> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

/// Whether an item has not expired at `now` (epoch seconds). DynamoDB deletes late.
fn is_kept(item: &Attributes, now: i64) -> bool {
    get_number::<i64>(item, "ttl").is_none_or(|ttl| ttl > now)
}

/// Reads epoch seconds with a fraction as epoch milliseconds.
fn get_millis(item: &Attributes, name: &str) -> Option<i64> {
    let seconds: f64 = get_number(item, name)?;
    // An f64 keeps the milliseconds of epoch seconds for 100,000 years.
    #[expect(clippy::cast_possible_truncation, reason = "a cast from f64 saturates")]
    Some((seconds * 1000.0).round() as i64)
}
