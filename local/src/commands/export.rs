//! `local export`: the table's items as a file, to move to AWS or to another machine.

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use aws_sdk_dynamodb::types::AttributeValue;
use embedded_table::{EmbeddedTable, TABLE_NAME, private_file};
use wechat::{
    aws,
    clock::{Clock as _, SystemClock},
};

use super::{CommandError, Outcome, item};
use crate::data_folder::DataFolder;

/// Kinds of items that stay: the access_token and the ticket, which the other side asks WeChat for itself.
const STAY: [&str; 2] = ["token#", "ticket#"];
/// The secret of the relay's tokens stays too: the other side makes its own.
const SECRET: &str = "relay_secret";

/// Writes every living item of the table in `folder` to `file`, which has its name once it is whole. The folder is locked: what a
/// running bundle changes meanwhile would be lost.
pub(super) async fn run(folder: &Path, file: &Path) -> Result<Outcome, CommandError> {
    let data = DataFolder::existing(folder)?;
    let table = EmbeddedTable::start(Some(data.path())).await?;
    let failed = |source| CommandError::File {
        file: file.to_owned(),
        source,
    };
    if file.exists() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    let part = part_of(file);
    let out = private_file().create_new(true).open(&part).map_err(failed)?;
    let items = write_all(&table, out).await.map_err(|error| match error {
        Failed::File(source) => failed(source),
        Failed::Table(cause) => CommandError::Store {
            table: folder.display().to_string(),
            cause,
        },
    });
    let items = items.inspect_err(|_| {
        // Its name says that it is not whole.
        let _ = std::fs::remove_file(&part);
    })?;
    std::fs::rename(&part, file).map_err(failed)?;
    Ok(Outcome::good(format!(
        "{items} items are in {0} / 已导出 {items} 项到 {0}",
        file.display()
    )))
}

/// The name of the file while it is written.
fn part_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

enum Failed {
    File(io::Error),
    Table(String),
}

async fn write_all(table: &EmbeddedTable, out: File) -> Result<usize, Failed> {
    let mut out = BufWriter::new(out);
    let now = SystemClock.now();
    let mut items = 0;
    let mut pages = table
        .client()
        .scan()
        .table_name(TABLE_NAME)
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
    let out = out.into_inner().map_err(|error| Failed::File(error.into_error()))?;
    out.sync_all().map_err(Failed::File)?;
    Ok(items)
}

fn stays(item: &item::Item, now: i64) -> bool {
    let pk = item.get("pk").and_then(|pk| pk.as_s().ok());
    let ends = item
        .get("ttl")
        .and_then(|ttl: &AttributeValue| ttl.as_n().ok()?.parse::<i64>().ok());
    pk.is_none_or(|pk| STAY.iter().any(|kind| pk.starts_with(kind))) || ends.is_some_and(|ends| ends <= now)
}
