//! One suite for every implementation of DynamoDB: what the store promises must hold on each.
//!
//! | environment | implementation |
//! |---|---|
//! | none | the embedded table |
//! | `STORE_ENDPOINT` | the service at that URL, such as moto; the suite creates its own table there |
//! | `STORE_TABLE` | this table, in the AWS account and region of the standard variables |

mod callbacks;
mod campaigns;
mod counts;
mod forwards;
mod keys;
mod logins;
mod records;
mod replies;
mod sends;
mod token;
mod users;

use std::{collections::HashMap, future::Future, time::Duration};

use aws_sdk_dynamodb::{
    Client,
    config::{Credentials, Region, timeout::TimeoutConfig},
    types::{AttributeValue, TimeToLiveSpecification},
};
use testing::TableServer;
use tokio::{sync::OnceCell, task::JoinSet};
use wechat::{
    random,
    store::{SentMessage, Table},
};

/// The number of tasks that race for one item.
const RACERS: usize = 16;
/// The calls that the suite makes.
const AWS_CALLS: &[&str] = &[
    "dynamodb:BatchGetItem",
    "dynamodb:BatchWriteItem",
    "dynamodb:CreateTable",
    "dynamodb:DeleteItem",
    "dynamodb:DescribeTable",
    "dynamodb:DescribeTimeToLive",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:UpdateItem",
    "dynamodb:UpdateTimeToLive",
];
/// Epoch seconds. The present of the tests, far ahead so that a real table does not expire their items.
const NOW: i64 = 4_000_000_000;

/// A message that WeChat accepted.
const fn sent_to<'a>(msgid: &'a str, touser: &'a str, template_id: &'a str) -> SentMessage<'a> {
    SentMessage {
        msgid,
        touser,
        template_id,
        campaign: None,
    }
}

/// The table with an account that no other test uses.
struct Bench {
    table: Table,
    app_id: String,
    client: Client,
    name: String,
    _embedded: Option<TableServer>,
}

impl Bench {
    async fn start() -> Self {
        let (client, name, embedded) = match (std::env::var("STORE_ENDPOINT"), std::env::var("STORE_TABLE")) {
            (Ok(endpoint), _) => {
                let client = client_of(endpoint);
                let name = shared_table(&client).await;
                (client, name, None)
            }
            (_, Ok(name)) => (Client::new(&wechat::aws::load(AWS_CALLS)), name, None),
            _ => {
                let embedded = TableServer::start().await;
                (embedded.client(), testing::TABLE_NAME.to_owned(), Some(embedded))
            }
        };
        let app_id = format!("wx{}", random::hex::<8>());
        Self {
            table: Table::new(client.clone(), &name, &app_id),
            app_id,
            client,
            name,
            _embedded: embedded,
        }
    }

    /// Changes one attribute of a stored item.
    async fn set(&self, pk: &str, name: &str, value: &str) {
        let update = self.client.update_item().table_name(&self.name);
        update
            .key("pk", AttributeValue::S(pk.to_owned()))
            .update_expression("SET #name = :value")
            .expression_attribute_names("#name", name)
            .expression_attribute_values(":value", AttributeValue::S(value.to_owned()))
            .send()
            .await
            .unwrap();
    }

    /// Reads the stored item with the key `pk`.
    async fn item(&self, pk: String) -> Option<HashMap<String, AttributeValue>> {
        let read = self.client.get_item().table_name(&self.name).consistent_read(true);
        read.key("pk", AttributeValue::S(pk)).send().await.unwrap().item
    }
}

/// An implementation that serves one request at a time, and copies the table for each transaction, needs longer than DynamoDB.
const PATIENCE: Duration = Duration::from_secs(60);

fn client_of(endpoint: String) -> Client {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(PATIENCE)
        .operation_timeout(PATIENCE);
    let config = aws_sdk_dynamodb::config::Builder::from(&wechat::aws::load(AWS_CALLS))
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(endpoint)
        .timeout_config(timeouts.build())
        .build();
    Client::from_conf(config)
}

/// The name of the table that all tests of this process share.
async fn shared_table(client: &Client) -> String {
    static NAME: OnceCell<String> = OnceCell::const_new();
    let make = async || {
        let name = format!("conformance-{}", random::hex::<4>());
        make_table(client, &name).await;
        name
    };
    NAME.get_or_init(make).await.clone()
}

async fn make_table(client: &Client, name: &str) {
    testing::create_table(client, name).await.unwrap();
    let expiry = TimeToLiveSpecification::builder().attribute_name("ttl").enabled(true);
    let update = client.update_time_to_live().table_name(name);
    let update = update.time_to_live_specification(expiry.build().unwrap());
    update.send().await.unwrap();
}

/// Runs `act` in [`RACERS`] tasks at once, each with its number, and returns their results.
async fn race<T, F>(act: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut racers: JoinSet<T> = (0..RACERS).map(act).collect();
    let mut outcomes = Vec::new();
    while let Some(outcome) = racers.join_next().await {
        outcomes.push(outcome.unwrap());
    }
    outcomes
}

fn number(item: &HashMap<String, AttributeValue>, name: &str) -> i64 {
    item[name].as_n().unwrap().parse().unwrap()
}

fn text<'a>(item: &'a HashMap<String, AttributeValue>, name: &str) -> &'a str {
    item[name].as_s().unwrap()
}

#[tokio::test]
async fn expired_items_are_deleted_by_their_ttl() {
    assert!(Bench::start().await.table.expires_items().await.unwrap());
}

#[tokio::test]
async fn a_table_that_is_not_there_is_a_fault_of_the_set_up() {
    let bench = Bench::start().await;
    let elsewhere = Table::new(bench.client.clone(), "no-such-table", &bench.app_id);
    let error = elsewhere.token().await.unwrap_err();
    assert_eq!(error.kind(), wechat::store::StoreErrorKind::SetUp, "{error}");
    assert!(error.to_string().contains("TABLE_NAME"), "{error}");
}
