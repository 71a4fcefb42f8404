//! `local import`: puts exported items into a DynamoDB table, or into a data folder.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Seek as _},
    iter::Enumerate,
    path::Path,
};

use aws_sdk_dynamodb::{Client, types::AttributeValue};
use embedded_table::{EmbeddedTable, TABLE_NAME};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use wechat::aws;

use super::{CommandError, Outcome, folder, item};
use crate::{account, data_folder::DataFolder, options::Options};

/// Items that are written at the same time.
const AT_ONCE: usize = 32;
/// How many keys of items that stayed are named.
const NAMED: usize = 20;
/// The item of the API keys. The relay makes it with its own secret at its first call, so that it may exist without the keys.
const KEYS: &str = "keys#";

/// Writes the items of `file` into `table` in AWS, or into the data folder of `options`. Items that exist stay as they are, so
/// that an import that was interrupted can be repeated.
pub(super) async fn run(file: &Path, table: Option<&str>, options: &Options) -> Result<Outcome, CommandError> {
    if table.is_some() == options.data.is_some() {
        return Err(CommandError::Usage(
            "say where to: --table NAME in AWS, or --data DIR on this machine / 请用 --table 或 --data 指明导入到何处",
        ));
    }
    let items = Items::check(file)?;
    if let Some(name) = table {
        let sdk = account::aws_sdk_for("--table", &["dynamodb:PutItem", "dynamodb:UpdateItem"])?;
        return write(&Client::new(&sdk), name, items).await;
    }
    let data = DataFolder::open(folder(options)?)?;
    let table = EmbeddedTable::start(Some(data.path())).await?;
    write(&table.client(), TABLE_NAME, items).await
}

/// The items of a file.
struct Items<'a> {
    file: &'a Path,
    lines: Enumerate<io::Lines<BufReader<File>>>,
}

impl<'a> Items<'a> {
    /// Reads the whole file before the first item is written.
    fn check(file: &'a Path) -> Result<Self, CommandError> {
        let unreadable = |source| CommandError::File {
            file: file.to_owned(),
            source,
        };
        let mut opened = File::open(file).map_err(unreadable)?;
        let lines = BufReader::new(opened.try_clone().map_err(unreadable)?)
            .lines()
            .enumerate();
        for item in (Items { file, lines }) {
            item?;
        }
        // A pipe cannot be read twice, and says so here.
        opened.rewind().map_err(unreadable)?;
        let lines = BufReader::new(opened).lines().enumerate();
        Ok(Items { file, lines })
    }
}

impl Iterator for Items<'_> {
    type Item = Result<item::Item, CommandError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.lines.next().map(|(index, line)| {
            let line = line.map_err(|source| CommandError::File {
                file: self.file.to_owned(),
                source,
            })?;
            item::parse(&line).map_err(|cause| CommandError::Line {
                file: self.file.to_owned(),
                line: index + 1,
                cause,
            })
        })
    }
}

async fn write(client: &Client, table: &str, items: Items<'_>) -> Result<Outcome, CommandError> {
    let puts = items.map(|item| async move { put(client, table, item?).await });
    let (written, stayed) = stream::iter(puts)
        .buffer_unordered(AT_ONCE)
        .try_fold((0_usize, Vec::new()), |(mut written, mut stayed), put| async move {
            match put {
                None => written += 1,
                Some(pk) => stayed.push(pk),
            }
            Ok((written, stayed))
        })
        .await?;
    let mut text = format!(
        "{written} items were written, {0} existed and stay / 写入 {written} 项，{0} 项已存在，保持不变",
        stayed.len()
    );
    for pk in stayed.iter().take(NAMED) {
        text.push_str("\n  ");
        text.push_str(pk);
    }
    if stayed.len() > NAMED {
        text.push_str("\n  …");
    }
    Ok(Outcome::good(text))
}

/// Writes an item unless there is one with its key. Returns the key of one that stayed.
async fn put(client: &Client, table: &str, item: item::Item) -> Result<Option<String>, CommandError> {
    let pk = item::pk(&item).to_owned();
    let failed = |cause| CommandError::Store {
        table: table.to_owned(),
        cause: format!("{pk}: {cause}"),
    };
    let keys = item.get("keys").filter(|_| pk.starts_with(KEYS)).cloned();
    let put = client
        .put_item()
        .table_name(table)
        .set_item(Some(item))
        .condition_expression("attribute_not_exists(pk)");
    match (put.send().await, keys) {
        (Ok(_), _) => return Ok(None),
        (Err(error), Some(keys)) if is_there(&error) => {
            let add = client
                .update_item()
                .table_name(table)
                .key("pk", AttributeValue::S(pk.clone()))
                .update_expression("SET #keys = :keys")
                .condition_expression("attribute_not_exists(#keys)")
                .expression_attribute_names("#keys", "keys")
                .expression_attribute_values(":keys", keys);
            match add.send().await {
                Ok(_) => return Ok(None),
                Err(error)
                    if error
                        .as_service_error()
                        .is_some_and(|error| error.is_conditional_check_failed_exception()) => {}
                Err(error) => return Err(failed(aws::describe(&error))),
            }
        }
        (Err(error), None) if is_there(&error) => {}
        (Err(error), _) => return Err(failed(aws::describe(&error))),
    }
    Ok(Some(pk))
}

fn is_there<R>(
    error: &aws_sdk_dynamodb::error::SdkError<aws_sdk_dynamodb::operation::put_item::PutItemError, R>,
) -> bool {
    error
        .as_service_error()
        .is_some_and(|error| error.is_conditional_check_failed_exception())
}
