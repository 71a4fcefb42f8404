//! A copy of the table's file.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use crate::{FileError, PartFile, file_in};

/// How long a copy waits for a writer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why no copy could be made.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The folder has no table.
    #[error("there is no data in {} / 该目录没有数据", .0.display())]
    NoData(PathBuf),
    /// The file of the copy cannot be written: it exists, its folder does not, or the disk is full.
    #[error("{file} cannot be written: {source} / 无法写入 {file}：{source}", file = .0.file.display(), source = .0.source)]
    File(#[from] FileError),
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
    let connection = Connection::open_with_flags(table, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(PATIENCE)?;
    connection.execute("VACUUM INTO ?1", [file.to_str()])?;
    Ok(())
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

        std::fs::remove_file(&copy).unwrap();
        std::fs::create_dir(&part).unwrap();
        let refused = backup(&data, &copy).unwrap_err().to_string();
        assert!(refused.contains("copy.sqlite.part cannot"), "{refused}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
