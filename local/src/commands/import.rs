//! `local import`: puts exported items into a DynamoDB table, or into a data folder.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use aws_sdk_dynamodb::{Client, error::DisplayErrorContext};
use embedded_table::{EmbeddedTable, TABLE_NAME};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{CommandError, Outcome, folder, item};
use crate::{account, data_folder::DataFolder, options::Options};

/// Items that are written at the same time.
const AT_ONCE: usize = 32;

/// Writes the items of `file` into `table` in AWS, or into the data folder of `options`. Items that exist stay as they are, so
/// that an import that was interrupted can be repeated.
pub(super) async fn run(file: &Path, table: Option<&str>, options: &Options) -> Result<Outcome, CommandError> {
    if let Some(name) = table {
        let sdk = account::aws_sdk_for("--table", &["dynamodb:PutItem"])?;
        return write(&Client::new(&sdk), name, file).await;
    }
    let data = DataFolder::open(folder(options)?)?;
    let table = EmbeddedTable::start(Some(data.path())).await?;
    write(&table.client(), TABLE_NAME, file).await
}

async fn write(client: &Client, table: &str, file: &Path) -> Result<Outcome, CommandError> {
    let unreadable = |source| CommandError::File {
        file: file.to_owned(),
        source,
    };
    // The whole file is looked at before the first item is written.
    for (number, line) in lines(file).map_err(unreadable)?.enumerate() {
        parse(file, number, &line.map_err(unreadable)?)?;
    }
    let puts = lines(file)
        .map_err(unreadable)?
        .enumerate()
        .map(|(number, line)| async move {
            let item = parse(file, number, &line.map_err(unreadable)?)?;
            put(client, table, item).await
        });
    let (written, kept) = stream::iter(puts)
        .buffer_unordered(AT_ONCE)
        .try_fold((0_usize, 0_usize), |(written, kept), is_new| async move {
            Ok(if is_new {
                (written + 1, kept)
            } else {
                (written, kept + 1)
            })
        })
        .await?;
    Ok(Outcome::good(format!(
        "{written} items were written, {kept} existed and stay / 写入 {written} 项，{kept} 项已存在，保持不变"
    )))
}

fn lines(file: &Path) -> Result<impl Iterator<Item = std::io::Result<String>>, std::io::Error> {
    Ok(BufReader::new(File::open(file)?).lines())
}

fn parse(file: &Path, number: usize, line: &str) -> Result<item::Item, CommandError> {
    item::parse(line).map_err(|cause| CommandError::Line {
        file: file.to_owned(),
        line: number + 1,
        cause,
    })
}

/// Writes an item unless there is one with its key. Returns whether it wrote.
async fn put(client: &Client, table: &str, item: item::Item) -> Result<bool, CommandError> {
    let put = client
        .put_item()
        .table_name(table)
        .set_item(Some(item))
        .condition_expression("attribute_not_exists(pk)");
    match put.send().await {
        Ok(_) => Ok(true),
        Err(error)
            if error
                .as_service_error()
                .is_some_and(|error| error.is_conditional_check_failed_exception()) =>
        {
            Ok(false)
        }
        Err(error) => Err(CommandError::Store {
            table: table.to_owned(),
            cause: DisplayErrorContext(error).to_string(),
        }),
    }
}
