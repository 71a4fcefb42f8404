//! The folder in which a run keeps its data: the table's file, the simulated account, and a lock against a second process.

use std::{
    fs::{DirBuilder, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use embedded_table::{FileError, PartFile, private_file};
use simulator::Account;

/// Locked while a process uses the folder. The operating system unlocks it when that process ends, even by a crash.
const LOCK: &str = "lock";
/// The simulated account is kept, because stored data belongs to its AppID.
const ACCOUNT: &str = "simulated-account.json";

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The folder cannot be created, read or written.
    #[error(
        "the data folder {folder} cannot be used: {source} (choose another with --data) / 无法使用数据目录，可用 --data 另选"
    )]
    Unusable {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder holds no table.
    #[error("there is no data in {folder} / 该目录没有数据")]
    NoData {
        /// The folder.
        folder: PathBuf,
    },
    /// Another process uses the folder.
    #[error("the data folder {folder} is in use by another process / 数据目录正被另一个进程使用")]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The simulated account cannot be read.
    #[error(
        "{file} is damaged: {source} (without it, the next run makes a new account) / 文件已损坏，删除后将生成新的模拟账号"
    )]
    DamagedAccount {
        /// The account's file.
        file: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

/// A data folder, locked by this process.
#[derive(Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Creates the folder if it does not exist, and locks it.
    ///
    /// # Errors
    /// [`DataError`] when it cannot be used, or another process uses it.
    pub(crate) fn open(path: &Path) -> Result<Self, DataError> {
        let lock = create(path)
            .and_then(|()| private_file().open(path.join(LOCK)))
            .map_err(|source| unusable(path, source))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(DataError::InUse {
                folder: path.to_owned(),
            }),
            Err(TryLockError::Error(source)) => Err(unusable(path, source)),
        }
    }

    /// Locks a folder that holds a table.
    ///
    /// # Errors
    /// [`DataError`] when it holds none, or another process uses it.
    pub(crate) fn existing(path: &Path) -> Result<Self, DataError> {
        if embedded_table::file_in(path).is_file() {
            Self::open(path)
        } else {
            Err(DataError::NoData {
                folder: path.to_owned(),
            })
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The simulated account that an earlier run saved, if any.
    ///
    /// # Errors
    /// [`DataError`] when it cannot be read, or is damaged.
    pub(crate) fn account(&self) -> Result<Option<Account>, DataError> {
        let file = self.path.join(ACCOUNT);
        match std::fs::read(&file) {
            Ok(json) => serde_json::from_slice(&json)
                .map(Some)
                .map_err(|source| DataError::DamagedAccount { file, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unusable(&self.path, error)),
        }
    }

    /// Saves `account` for later runs. Atomic: a process that is killed meanwhile leaves the whole file or none.
    ///
    /// # Errors
    /// [`DataError`] when it cannot be written.
    pub(crate) fn keep_account(&self, account: &Account) -> Result<(), DataError> {
        self.write_account(account)
            .map_err(|error| unusable(&self.path, error.source))
    }

    fn write_account(&self, account: &Account) -> Result<(), FileError> {
        let part = PartFile::create(&self.path.join(ACCOUNT))?;
        let json = serde_json::to_vec_pretty(account).map_err(io::Error::from);
        let written = json.and_then(|json| part.file().write_all(&json));
        written.map_err(|source| FileError {
            file: part.path().to_owned(),
            source,
        })?;
        part.finish()
    }
}

/// Creates the folder for this user only, because it will hold tokens and openids.
fn create(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn unusable(path: &Path, source: io::Error) -> DataError {
    DataError::Unusable {
        folder: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn account() -> Account {
        let account = json!({
            "app_id": "wx0123456789abcdef",
            "app_secret": "0123456789abcdef0123456789abcdef",
            "token": "token",
            "encoding_aes_key": "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
            "original_id": "gh_0123456789ab",
        });
        serde_json::from_value(account).unwrap()
    }

    #[test]
    fn one_process_at_a_time_uses_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataFolder::open(folder.path()).unwrap();
        let refused = DataFolder::open(folder.path()).unwrap_err();
        assert!(matches!(refused, DataError::InUse { .. }), "{refused}");
        drop(first);
        DataFolder::open(folder.path()).unwrap();
    }

    #[test]
    fn an_account_that_was_cut_short_counts_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        std::fs::write(folder.path().join(format!("{ACCOUNT}.part")), b"{\"app_id\": \"wx01").unwrap();
        assert!(data.account().unwrap().is_none());
        data.keep_account(&account()).unwrap();
        assert_eq!(data.account().unwrap().unwrap().app_id, account().app_id);
    }

    #[test]
    fn a_damaged_account_is_named_by_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        std::fs::write(folder.path().join(ACCOUNT), b"{").unwrap();
        let complaint = data.account().unwrap_err().to_string();
        assert!(complaint.contains(ACCOUNT), "{complaint}");
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_may_look_into_a_new_folder() {
        use std::os::unix::fs::PermissionsExt;

        let parent = tempfile::tempdir().unwrap();
        let data = DataFolder::open(&parent.path().join("new")).unwrap();
        let mode = std::fs::metadata(data.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{mode:o}");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn nobody_else_may_look_into_the_files_of_a_folder_that_was_there() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::write(folder.path().join(LOCK), "a file of the user's").unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        data.keep_account(&account()).unwrap();
        let _table = embedded_table::EmbeddedTable::start(Some(folder.path())).await.unwrap();
        for file in std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
            let mode = file.metadata().unwrap().permissions().mode();
            assert!(file.file_name() == LOCK || mode & 0o077 == 0, "{file:?} {mode:o}");
        }
        let kept = std::fs::read_to_string(folder.path().join(LOCK)).unwrap();
        assert_eq!(kept, "a file of the user's");
    }
}
