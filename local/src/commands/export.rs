//! `local export`: the table's items as a file, to move to AWS or to another machine.

use std::{
    io::{self, BufWriter, Write as _},
    path::Path,
};

use aws_sdk_dynamodb::types::AttributeValue;
use embedded_table::{EmbeddedTable, PartFile, SCAN_PAGE, TABLE_NAME};
use wechat::{
    aws,
    clock::{Clock as _, SystemClock},
};

use super::{CommandError, Outcome, item};
use crate::{data_folder::DataFolder, stored_account};

/// Kinds of items that stay: the access_token and the ticket, which the other side asks WeChat for itself, and the simulated
/// account.
const STAY: [&str; 3] = ["token#", "ticket#", stored_account::SIMULATED];
/// The secret of the relay's tokens stays too: the other side makes its own.
const SECRET: &str = "relay_secret";

/// Writes every living item of the table in `folder` to `file`, which has its name once it is whole. The folder is locked: what a
/// running bundle changes meanwhile would be lost.
pub(super) async fn run(folder: &Path, file: &Path) -> Result<Outcome, CommandError> {
    let data = DataFolder::existing(folder)?;
    let table = EmbeddedTable::start(Some(data.path())).await?;
    let part = PartFile::create(file)?;
    let items = write_all(&table, &part).await.map_err(|error| match error {
        Failed::File(source) => CommandError::File {
            file: part.path().to_owned(),
            source,
        },
        Failed::Table(cause) => CommandError::Store {
            table: folder.display().to_string(),
            cause,
        },
    })?;
    part.finish()?;
    Ok(Outcome::good(format!(
        "{items} items are in {0} / 已导出 {items} 项到 {0}",
        file.display()
    )))
}

enum Failed {
    File(io::Error),
    Table(String),
}

async fn write_all(table: &EmbeddedTable, part: &PartFile) -> Result<usize, Failed> {
    let mut out = BufWriter::new(part.file());
    let now = SystemClock.now();
    let mut items = 0;
    let mut pages = table
        .client()
        .scan()
        .table_name(TABLE_NAME)
        .limit(SCAN_PAGE)
        .into_paginator()
        .items()
        .send();
    while let Some(read) = pages.next().await {
        let mut read = read.map_err(|error| Failed::Table(aws::describe(&error)))?;
        read.remove(SECRET);
        if stays(&read, now) {
            continue;
        }
        writeln!(out, "{}", item::line(&read)).map_err(Failed::File)?;
        items += 1;
    }
    out.flush().map_err(Failed::File)?;
    Ok(items)
}

fn stays(item: &item::Item, now: i64) -> bool {
    let pk = item.get("pk").and_then(|pk| pk.as_s().ok());
    let ends = item
        .get("ttl")
        .and_then(|ttl: &AttributeValue| ttl.as_n().ok()?.parse::<i64>().ok());
    pk.is_none_or(|pk| STAY.iter().any(|kind| pk.starts_with(kind))) || ends.is_some_and(|ends| ends <= now)
}
