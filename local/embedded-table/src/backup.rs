//! A copy of the table's file.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use crate::{file_in, private_file};

/// How long a copy waits for a writer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why no copy could be made.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The folder has no table.
    #[error("there is no data in {} / 该目录没有数据", .0.display())]
    NoData(PathBuf),
    /// The file of the copy cannot be created: it exists, or its folder does not.
    #[error("{file} cannot be created: {source} / 无法创建 {file}：{source}", file = .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The copy's name is not UTF-8, which SQLite needs.
    #[error("{}: the name must be UTF-8 / 文件名须为 UTF-8", .0.display())]
    Name(PathBuf),
    /// The data cannot be read, or the copy cannot be written. There is no copy then.
    #[error("the data cannot be copied: {0} / 无法备份数据")]
    Copy(#[from] rusqlite::Error),
}

/// Copies the table in the folder `data` as it is at one moment into `file`, which must not exist. Another process may use the
/// table. In a new data folder under the name `wechat.sqlite`, the copy is that table.
/// See [SQLite Docs/VACUUM INTO](https://www.sqlite.org/lang_vacuum.html#vacuuminto).
///
/// # Errors
/// [`BackupError`]; then there is no `file`.
pub fn backup(data: &Path, file: &Path) -> Result<(), BackupError> {
    let table = file_in(data);
    if !table.is_file() {
        return Err(BackupError::NoData(data.to_owned()));
    }
    let failed = |source| BackupError::File {
        file: file.to_owned(),
        source,
    };
    // SQLite reads a relative name such as `file:x` as a URI, and `:memory:` as no file at all.
    let absolute = std::path::absolute(file).map_err(failed)?;
    let name = absolute.to_str().ok_or_else(|| BackupError::Name(file.to_owned()))?;
    // The copy holds the access_token and openids, so it is this user's before it holds anything.
    let created = private_file().create_new(true).open(&absolute).map_err(failed)?;
    copy(&table, name).inspect_err(|_| {
        // Half a copy must not be taken for one. If it cannot be removed, its emptiness shows.
        let _ = std::fs::remove_file(&absolute);
    })?;
    created.sync_all().map_err(failed)
}

fn copy(table: &Path, file: &str) -> Result<(), BackupError> {
    let connection = Connection::open_with_flags(table, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(PATIENCE)?;
    connection.execute("VACUUM INTO ?1", [file])?;
    Ok(())
}
