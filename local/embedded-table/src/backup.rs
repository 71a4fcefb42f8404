//! A copy of the table's file.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use crate::{FileError, PartFile, file_in};

/// How long a copy waits for a writer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why no copy could be made.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The folder has no table.
    #[error("there is no data in {folder} / 目录 {folder} 中没有数据", folder = .0.display())]
    NoData(PathBuf),
    /// The file of the copy cannot be written: it exists, its folder does not, or the disk is full.
    #[error("{file} cannot be written: {source} / 无法写入 {file}：{source}", file = .0.file.display(), source = .0.source)]
    File(#[from] FileError),
    /// The copy's name is not UTF-8, which SQLite needs.
    #[error("{file}: the name must be UTF-8 / {file}：文件名须为 UTF-8", file = .0.display())]
    Name(PathBuf),
    /// The data cannot be read, or the copy cannot be written. There is no copy then.
    #[error("the data cannot be copied: {0} / 无法备份数据：{0}")]
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
    // SQLite reads a relative name such as `file:x` as a URI, and `:memory:` as no file at all.
    let absolute = std::path::absolute(file).map_err(|source| FileError {
        file: file.to_owned(),
        source,
    })?;
    if absolute.to_str().is_none() {
        return Err(BackupError::Name(file.to_owned()));
    }
    // The copy holds the access_token and openids, so it is this user's before it holds anything.
    let part = PartFile::create(&absolute)?;
    copy(&table, part.path())?;
    Ok(part.finish()?)
}

fn copy(table: &Path, file: &Path) -> Result<(), BackupError> {
    open(table)?.execute("VACUUM INTO ?1", [file.to_str()])?;
    open(file)?.execute_batch(
        "DROP TABLE IF EXISTS wechat_backup;
         CREATE TABLE wechat_backup AS SELECT unixepoch() AS made_at;",
    )?;
    Ok(())
}

/// Returns when the table in the folder `data` was copied, in epoch seconds, if it is a [`backup`] and [`forget_backup`] was not
/// called since.
///
/// # Errors
/// [`BackupError`] when the file cannot be read.
pub fn backup_made_at(data: &Path) -> Result<Option<i64>, BackupError> {
    let connection = open(&file_in(data))?;
    let is_backup = "SELECT 1 FROM sqlite_schema WHERE name = 'wechat_backup'";
    if connection.query_row(is_backup, [], |_| Ok(())).optional()?.is_none() {
        return Ok(None);
    }
    let made_at = "SELECT made_at FROM wechat_backup";
    Ok(connection.query_row(made_at, [], |row| row.get(0)).optional()?)
}

/// Makes a table that was restored from a [`backup`] an ordinary one.
///
/// # Errors
/// [`BackupError`] when the file cannot be written.
pub fn forget_backup(data: &Path) -> Result<(), BackupError> {
    Ok(open(&file_in(data))?.execute_batch("DROP TABLE IF EXISTS wechat_backup")?)
}

fn open(file: &Path) -> Result<Connection, BackupError> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(PATIENCE)?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EmbeddedTable;

    #[tokio::test]
    async fn a_backup_has_its_name_once_it_is_whole_and_replaces_what_a_killed_one_left() {
        let folder = std::env::temp_dir().join(format!("backup-{}", std::process::id()));
        let (data, other) = (folder.join("data"), folder.join("other"));
        drop(EmbeddedTable::start(Some(&data)).await.unwrap());
        std::fs::create_dir_all(&other).unwrap();
        std::fs::write(file_in(&other), "no database").unwrap();
        let (copy, part) = (folder.join("copy.sqlite"), folder.join("copy.sqlite.part"));

        let failed = backup(&other, &copy).unwrap_err();
        assert!(matches!(failed, BackupError::Copy(_)), "{failed}");
        assert!(
            !copy.exists() && !part.exists(),
            "half a copy must not be taken for one"
        );

        std::fs::write(&part, "half a copy").unwrap();
        backup(&data, &copy).unwrap();
        assert!(copy.exists() && !part.exists());
        let again = backup(&data, &copy).unwrap_err().to_string();
        assert!(again.contains("copy.sqlite cannot"), "{again}");

        assert_eq!(backup_made_at(&data).unwrap(), None);
        let restored = folder.join("restored");
        std::fs::create_dir_all(&restored).unwrap();
        std::fs::rename(&copy, file_in(&restored)).unwrap();
        drop(EmbeddedTable::start(Some(&restored)).await.unwrap());
        assert!(backup_made_at(&restored).unwrap().is_some());
        backup(&restored, &copy).unwrap();
        forget_backup(&restored).unwrap();
        assert_eq!(backup_made_at(&restored).unwrap(), None);
        drop(EmbeddedTable::start(Some(&restored)).await.unwrap());

        std::fs::remove_file(&copy).unwrap();
        std::fs::create_dir(&part).unwrap();
        let refused = backup(&data, &copy).unwrap_err().to_string();
        assert!(refused.contains("copy.sqlite.part cannot"), "{refused}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
