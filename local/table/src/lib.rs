//! A DynamoDB-compatible table inside this process, for local runs and tests.
//!
//! The functions reach it as they reach DynamoDB: through `aws-sdk-dynamodb`, over HTTP on loopback. So the engine can
//! be replaced without a change anywhere else.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
    types::{
        AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TimeToLiveSpecification,
    },
};
use dynoxide::Database;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// The table's name.
pub const TABLE_NAME: &str = "wechat";
/// The database's file in the data folder.
const FILE: &str = "wechat.sqlite";
/// DynamoDB deletes expired items within days, the engine only when told to.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Why the table could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The data folder cannot be used.
    #[error("the data folder {folder} cannot be used: {source} / 无法使用数据目录")]
    Folder {
        /// The folder.
        folder: String,
        /// Why.
        source: io::Error,
    },
    /// The engine does not open its database.
    #[error("the embedded store does not open its database: {0}")]
    Engine(String),
    /// No port on loopback.
    #[error("the embedded store finds no port: {0}")]
    Listen(#[from] io::Error),
    /// The table could not be made.
    #[error("the embedded store does not make its table: {0}")]
    Table(String),
}

/// A running engine with the bundle's table in it. It ends when this is dropped.
#[derive(Debug)]
pub struct EmbeddedTable {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
}

impl EmbeddedTable {
    /// Starts on a free port of loopback, in memory or with its file in the folder `data`.
    ///
    /// # Errors
    /// [`StartError`] when the folder cannot be used or the engine does not start.
    pub async fn start(data: Option<&Path>) -> Result<Self, StartError> {
        let database = open(data)?;
        let listener = listen().await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(serve(listener, database, stopped));
        let table = Self {
            address,
            stop: Some(stop),
            server,
        };
        table.ensure_table().await?;
        Ok(table)
    }

    /// Where the engine listens, for `AWS_ENDPOINT_URL_DYNAMODB`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client of the engine.
    #[must_use]
    pub fn client(&self) -> Client {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("local"))
            .credentials_provider(Credentials::new("local", "local", None, None, "embedded-table"))
            .endpoint_url(self.endpoint())
            .build();
        Client::from_conf(config)
    }

    /// Lets the requests that are running end, then stops.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            // An error means that the server has already ended.
            let _ = stop.send(());
        }
        let _ = (&mut self.server).await;
    }

    async fn ensure_table(&self) -> Result<(), StartError> {
        let client = self.client();
        if client.describe_table().table_name(TABLE_NAME).send().await.is_ok() {
            return Ok(());
        }
        let failed = |error: String| StartError::Table(error);
        client
            .create_table()
            .table_name(TABLE_NAME)
            .attribute_definitions(
                AttributeDefinition::builder()
                    .attribute_name("pk")
                    .attribute_type(ScalarAttributeType::S)
                    .build()
                    .map_err(|error| failed(error.to_string()))?,
            )
            .key_schema(
                KeySchemaElement::builder()
                    .attribute_name("pk")
                    .key_type(KeyType::Hash)
                    .build()
                    .map_err(|error| failed(error.to_string()))?,
            )
            .billing_mode(BillingMode::PayPerRequest)
            .send()
            .await
            .map_err(|error| failed(error.into_service_error().to_string()))?;
        let ttl = TimeToLiveSpecification::builder()
            .attribute_name("ttl")
            .enabled(true)
            .build()
            .map_err(|error| failed(error.to_string()))?;
        client
            .update_time_to_live()
            .table_name(TABLE_NAME)
            .time_to_live_specification(ttl)
            .send()
            .await
            .map_err(|error| failed(error.into_service_error().to_string()))?;
        Ok(())
    }
}

/// The engine checks neither the caller nor the page that it comes from, so it listens where no page can guess: on a
/// random address of 127.0.0.0/8, which Linux has whole. Elsewhere 127.0.0.1 is all there is.
async fn listen() -> io::Result<TcpListener> {
    let random = getrandom::u32().map_err(io::Error::other)?.to_be_bytes();
    match TcpListener::bind((Ipv4Addr::new(127, random[0], random[1], random[2].clamp(2, 254)), 0)).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind(("127.0.0.1", 0)).await,
    }
}

fn open(data: Option<&Path>) -> Result<Database, StartError> {
    let Some(folder) = data else {
        return Database::memory().map_err(|error| StartError::Engine(error.to_string()));
    };
    let unusable = |source| StartError::Folder {
        folder: folder.display().to_string(),
        source,
    };
    std::fs::create_dir_all(folder).map_err(unusable)?;
    let file = folder.join(FILE);
    let path = file
        .to_str()
        .ok_or_else(|| unusable(io::Error::other("its name is not UTF-8")))?;
    Database::new(path).map_err(|error| StartError::Engine(error.to_string()))
}

async fn serve(listener: TcpListener, database: Database, stopped: oneshot::Receiver<()>) {
    let sweeper = tokio::spawn(sweep(database.clone()));
    let stopped = async {
        // A dropped sender stops the server like a message does.
        let _ = stopped.await;
    };
    // It ends with an error only when its listener breaks; clients then see that nothing listens.
    let _ = dynoxide::server::serve_with_shutdown(listener, database, stopped).await;
    sweeper.abort();
}

async fn sweep(database: Database) {
    let mut ticks = tokio::time::interval(SWEEP_EVERY);
    loop {
        ticks.tick().await;
        let database = database.clone();
        // A failed sweep is tried again a minute later; readers compare times themselves.
        let _ = tokio::task::spawn_blocking(move || database.sweep_ttl()).await;
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::AttributeValue;

    use super::*;

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
        first.stop().await;

        let second = EmbeddedTable::start(Some(&folder)).await.unwrap();
        let found = second
            .client()
            .get_item()
            .table_name(TABLE_NAME)
            .key("pk", pk())
            .send()
            .await
            .unwrap();
        second.stop().await;
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(found.item.is_some());
    }
}
