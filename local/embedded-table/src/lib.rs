//! A DynamoDB-compatible table inside this process, for local runs and tests.
//!
//! The functions use it through `aws-sdk-dynamodb`, as they use DynamoDB, so another engine changes nothing else. No port
//! is open: the SDK's HTTP client hands its requests to the engine.
//!
//! The engine is SQLite with a write-ahead log and `synchronous = FULL`: a write that was answered is on disk and survives
//! a crash of the process or the machine.

mod backup;
mod connector;
mod engine;
mod part_file;

use std::{
    fs::OpenOptions,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use aws_sdk_dynamodb::{
    Client,
    config::{
        BehaviorVersion, Credentials, Region,
        retry::{ReconnectMode, RetryConfig},
    },
    types::{
        AttributeDefinition, BillingMode, CreateGlobalSecondaryIndexAction, GlobalSecondaryIndex,
        GlobalSecondaryIndexUpdate, KeySchemaElement, KeyType, Projection, ProjectionType, ScalarAttributeType,
        TableDescription, TimeToLiveSpecification, TimeToLiveStatus,
    },
};
use dynoxide::Database;
use tokio::task::JoinHandle;

use self::connector::Connector;
pub use self::{
    backup::{BackupError, backup, backup_made_at, forget_backup},
    engine::Answer,
    part_file::{FileError, PartFile},
};

/// The table's name.
pub const TABLE_NAME: &str = "wechat";
/// Items in a page of a scan. Without a limit the engine reads all that is left of the table for each page.
pub const SCAN_PAGE: i32 = 500;
/// The name of the table's index.
const INDEX_NAME: &str = "index";
/// The database's file in the data folder.
const FILE: &str = "wechat.sqlite";
/// The interval at which expired items are deleted. DynamoDB does this by itself, the engine does not. A sweep reads the whole
/// table, and readers compare the times themselves, as on AWS.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

/// The table's file in the data folder `data`.
#[must_use]
pub fn file_in(data: &Path) -> PathBuf {
    data.join(FILE)
}

/// Why the table could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be used.
    #[error("the data folder {folder} cannot be used: {source} / 无法使用数据目录")]
    Folder {
        /// The folder.
        folder: String,
        /// Why.
        source: io::Error,
    },
    /// The engine cannot open its database.
    #[error("the embedded store cannot open its database{}: {cause} / 无法打开数据库", .file.as_ref().map(|file| format!(" {file}")).unwrap_or_default())]
    Engine {
        /// The database's file, if it has one.
        file: Option<String>,
        /// Why.
        cause: String,
    },
    /// The engine cannot create the table.
    #[error("the embedded store cannot create its table: {0} / 无法创建数据表")]
    Table(String),
}

/// The bundle's table in an engine of this process.
#[derive(Debug)]
pub struct EmbeddedTable {
    engine: Engine,
    sweeper: JoinHandle<()>,
}

/// A handle to the engine. Clones share it.
#[derive(Clone)]
pub struct Engine(Database);

impl Engine {
    /// Answers one request of DynamoDB's JSON protocol. `target` is the header `X-Amz-Target`.
    pub async fn answer(&self, target: String, request: Vec<u8>) -> Answer {
        let database = self.0.clone();
        let answered = tokio::task::spawn_blocking(move || engine::answer(&database, &target, &request)).await;
        answered.unwrap_or_else(|error| Answer {
            status: 500,
            body: format!("the embedded table has failed: {error}"),
        })
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}

impl EmbeddedTable {
    /// Opens the table in memory, or in its file in the folder `data`.
    ///
    /// # Errors
    /// [`StartError`] when the folder cannot be used or the engine does not start.
    pub async fn start(data: Option<&Path>) -> Result<Self, StartError> {
        let database = open(data)?;
        let table = Self {
            engine: Engine(database.clone()),
            sweeper: tokio::spawn(sweep(database)),
        };
        let client = table.client();
        ensure_table(&client).await?;
        ensure_expiry(&client).await?;
        Ok(table)
    }

    /// An SDK client of the engine.
    #[must_use]
    pub fn client(&self) -> Client {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("local"))
            .credentials_provider(Credentials::new("local", "local", None, None, "embedded-table"))
            .endpoint_url("http://embedded-table")
            .http_client(Connector(self.engine.clone()))
            // After an error there is no connection to discard.
            .retry_config(RetryConfig::standard().with_reconnect_mode(ReconnectMode::ReuseAllConnections))
            .build();
        Client::from_conf(config)
    }

    /// The engine, for tests that serve it to other processes.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine.clone()
    }
}

impl Drop for EmbeddedTable {
    fn drop(&mut self) {
        self.sweeper.abort();
    }
}

async fn ensure_table(client: &Client) -> Result<(), StartError> {
    if let Ok(found) = client.describe_table().table_name(TABLE_NAME).send().await {
        let table = found.table.unwrap_or_else(|| TableDescription::builder().build());
        return if table.global_secondary_indexes().is_empty() {
            add_index(client).await
        } else {
            Ok(())
        };
    }
    create_table(client, TABLE_NAME).await
}

/// Creates a table with the bundle's keys and its index, as `template.yaml` does.
///
/// # Errors
/// [`StartError`] when the service behind `client` refuses.
pub async fn create_table(client: &Client, name: &str) -> Result<(), StartError> {
    let index = GlobalSecondaryIndex::builder()
        .index_name(INDEX_NAME)
        .set_key_schema(Some(index_keys()?))
        .projection(keys_only());
    client
        .create_table()
        .table_name(name)
        .set_attribute_definitions(Some(key_attributes()?))
        .key_schema(key("pk", KeyType::Hash)?)
        .global_secondary_indexes(index.build().map_err(no_table)?)
        .billing_mode(BillingMode::PayPerRequest)
        .send()
        .await
        .map_err(|error| no_table(error.into_service_error()))?;
    Ok(())
}

/// Adds the index to a table that an earlier version created.
async fn add_index(client: &Client) -> Result<(), StartError> {
    let index = CreateGlobalSecondaryIndexAction::builder()
        .index_name(INDEX_NAME)
        .set_key_schema(Some(index_keys()?))
        .projection(keys_only());
    let update = GlobalSecondaryIndexUpdate::builder().create(index.build().map_err(no_table)?);
    client
        .update_table()
        .table_name(TABLE_NAME)
        .set_attribute_definitions(Some(key_attributes()?))
        .global_secondary_index_updates(update.build())
        .send()
        .await
        .map_err(|error| no_table(error.into_service_error()))?;
    Ok(())
}

fn key_attributes() -> Result<Vec<AttributeDefinition>, StartError> {
    let types = [
        ("pk", ScalarAttributeType::S),
        ("ipk", ScalarAttributeType::S),
        ("isk", ScalarAttributeType::N),
    ];
    let definitions = types.into_iter().map(|(name, of_type)| {
        let definition = AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(of_type);
        definition.build().map_err(no_table)
    });
    definitions.collect()
}

fn index_keys() -> Result<Vec<KeySchemaElement>, StartError> {
    Ok(vec![key("ipk", KeyType::Hash)?, key("isk", KeyType::Range)?])
}

fn key(attribute: &str, of_type: KeyType) -> Result<KeySchemaElement, StartError> {
    let key = KeySchemaElement::builder().attribute_name(attribute).key_type(of_type);
    key.build().map_err(no_table)
}

fn keys_only() -> Projection {
    Projection::builder().projection_type(ProjectionType::KeysOnly).build()
}

/// Turns on expiry. Checked separately, because an earlier run may have been killed after it created the table.
async fn ensure_expiry(client: &Client) -> Result<(), StartError> {
    let described = client.describe_time_to_live().table_name(TABLE_NAME).send().await;
    let described = described.map_err(|error| no_table(error.into_service_error()))?;
    let status = described
        .time_to_live_description
        .and_then(|ttl| ttl.time_to_live_status);
    if status == Some(TimeToLiveStatus::Enabled) {
        return Ok(());
    }
    let by_attribute = TimeToLiveSpecification::builder()
        .attribute_name("ttl")
        .enabled(true)
        .build()
        .map_err(no_table)?;
    client
        .update_time_to_live()
        .table_name(TABLE_NAME)
        .time_to_live_specification(by_attribute)
        .send()
        .await
        .map_err(|error| no_table(error.into_service_error()))?;
    Ok(())
}

fn no_table(error: impl std::fmt::Display) -> StartError {
    StartError::Table(error.to_string())
}

/// Options that create a file for this user only, and keep an existing file's content.
#[must_use]
pub fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn open(data: Option<&Path>) -> Result<Database, StartError> {
    let Some(folder) = data else {
        return Database::memory().map_err(|error| StartError::Engine {
            file: None,
            cause: error.to_string(),
        });
    };
    let unusable = |source| StartError::Folder {
        folder: folder.display().to_string(),
        source,
    };
    std::fs::create_dir_all(folder).map_err(unusable)?;
    let file = file_in(folder);
    // SQLite gives its side files the same mode.
    private_file().open(&file).map_err(unusable)?;
    let path = file
        .to_str()
        .ok_or_else(|| unusable(io::Error::other("its path is not UTF-8")))?;
    Database::new(path).map_err(|error| StartError::Engine {
        file: Some(path.to_owned()),
        cause: error.to_string(),
    })
}

async fn sweep(database: Database) {
    let mut ticks = tokio::time::interval(SWEEP_EVERY);
    loop {
        ticks.tick().await;
        let database = database.clone();
        // The next tick retries a failed sweep. Readers check expiry themselves.
        let _ = tokio::task::spawn_blocking(move || database.sweep_ttl()).await;
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::AttributeValue;

    use super::*;

    #[tokio::test]
    async fn a_table_of_an_earlier_version_gets_the_index_with_what_is_in_it() {
        let database = Database::memory().unwrap();
        let table = EmbeddedTable {
            engine: Engine(database),
            sweeper: tokio::spawn(async {}),
        };
        let client = table.client();
        let pk = AttributeDefinition::builder().attribute_name("pk");
        let create = client.create_table().table_name(TABLE_NAME);
        let create = create.billing_mode(BillingMode::PayPerRequest);
        let create = create.attribute_definitions(pk.attribute_type(ScalarAttributeType::S).build().unwrap());
        create
            .key_schema(key("pk", KeyType::Hash).unwrap())
            .send()
            .await
            .unwrap();
        let text = |value: &str| AttributeValue::S(value.to_owned());
        let put = client.put_item().table_name(TABLE_NAME).item("pk", text("user#1"));
        let put = put
            .item("ipk", text("users"))
            .item("isk", AttributeValue::N("1".to_owned()));
        put.send().await.unwrap();

        ensure_table(&client).await.unwrap();

        let query = client.query().table_name(TABLE_NAME).index_name(INDEX_NAME);
        let query = query.key_condition_expression("ipk = :ipk");
        let found = query
            .expression_attribute_values(":ipk", text("users"))
            .send()
            .await
            .unwrap();
        assert_eq!(found.count, 1);
        ensure_table(&client).await.unwrap();
    }

    #[tokio::test]
    async fn what_was_stored_in_a_folder_is_there_after_a_restart() {
        let folder = std::env::temp_dir().join(format!("embedded-table-{}", std::process::id()));
        let pk = || AttributeValue::S("token#wx1".to_owned());

        let first = EmbeddedTable::start(Some(&folder)).await.unwrap();
        first
            .client()
            .put_item()
            .table_name(TABLE_NAME)
            .item("pk", pk())
            .send()
            .await
            .unwrap();
        drop(first);

        let second = EmbeddedTable::start(Some(&folder)).await.unwrap();
        let found = second
            .client()
            .get_item()
            .table_name(TABLE_NAME)
            .key("pk", pk())
            .send()
            .await
            .unwrap();
        drop(second);
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(found.item.is_some());
    }
}
