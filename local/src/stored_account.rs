//! The accounts whose data the table holds: the simulated one is kept there, and data of another one is not served.

use aws_sdk_dynamodb::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    types::AttributeValue,
};
use embedded_table::{SCAN_PAGE, TABLE_NAME};
use simulator::Account;
use wechat::{aws, json};

use crate::LocalError;

/// The key of the simulated account. It is in the table, because a backup of the table is useless without it.
pub(crate) const SIMULATED: &str = "simulated-account";
/// The attribute that holds the account as JSON.
const DOCUMENT: &str = "document";

/// Returns the simulated account of earlier runs, if any.
///
/// # Errors
/// [`LocalError`] when it cannot be read.
pub(crate) async fn simulated(table: &Client) -> Result<Option<Account>, LocalError> {
    let read = table.get_item().table_name(TABLE_NAME).key("pk", key(SIMULATED));
    let item = read.send().await.map_err(|error| failed(&error))?.item;
    let document = item.as_ref().and_then(|item| item.get(DOCUMENT)?.as_s().ok());
    let account = document.map(|document| serde_json::from_str(document));
    account
        .transpose()
        .map_err(|error| LocalError::Stored(error.to_string()))
}

/// Keeps the simulated account for later runs: the data belongs to its AppID.
///
/// # Errors
/// [`LocalError`] when the table cannot be written.
pub(crate) async fn keep(table: &Client, account: &Account) -> Result<(), LocalError> {
    let put = table
        .put_item()
        .table_name(TABLE_NAME)
        .item("pk", key(SIMULATED))
        .item(DOCUMENT, AttributeValue::S(json::write(account)));
    put.send().await.map_err(|error| failed(&error))?;
    Ok(())
}

/// Deletes the jsapi_ticket of an earlier run: the new platform does not know it. A dead access_token is noticed by the next call,
/// but a ticket only signs pages, so every page would fail until it ends.
///
/// # Errors
/// [`LocalError`] when the table cannot be written.
pub(crate) async fn forget_ticket(table: &Client, app_id: &str) -> Result<(), LocalError> {
    let ticket = key(&format!("ticket#{app_id}"));
    let delete = table.delete_item().table_name(TABLE_NAME).key("pk", ticket);
    delete.send().await.map_err(|error| failed(&error))?;
    Ok(())
}

/// Warns when the table holds data of other accounts only: this run would look as if the data were lost.
///
/// # Errors
/// [`LocalError`] when the table cannot be read.
pub(crate) async fn warn_of_another(table: &Client, app_id: &str) -> Result<(), LocalError> {
    let token = key(&format!("token#{app_id}"));
    let read = table.get_item().table_name(TABLE_NAME).key("pk", token).send();
    if read.await.map_err(|error| failed(&error))?.item.is_some() {
        return Ok(());
    }
    let scan = table
        .scan()
        .table_name(TABLE_NAME)
        .projection_expression("pk")
        .limit(SCAN_PAGE);
    let mut items = scan.into_paginator().items().send();
    let mut other = None;
    while let Some(item) = items.next().await {
        let item = item.map_err(|error| failed(&error))?;
        let pk = item.get("pk").and_then(|pk| pk.as_s().ok());
        match pk.and_then(|pk| pk.split('#').nth(1)) {
            Some(found) if found == app_id => return Ok(()),
            Some(found) => other = Some(found.to_owned()),
            None => {}
        }
    }
    if let Some(other) = other {
        tracing::warn!(
            "the data folder holds the data of the account {other} only, and this run serves {app_id}: it begins without data \
             / 数据目录中只有账号 {other} 的数据，本次运行的账号是 {app_id}，看不到这些数据"
        );
    }
    Ok(())
}

fn key(pk: &str) -> AttributeValue {
    AttributeValue::S(pk.to_owned())
}

fn failed<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> LocalError {
    LocalError::Stored(aws::describe(error))
}
