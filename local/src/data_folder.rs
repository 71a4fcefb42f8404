//! The folder in which a run keeps its data: the table's file, and a lock against a second process.

use std::{
    fs::{DirBuilder, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use embedded_table::private_file;

/// Locked while a process uses the folder. The operating system unlocks it when that process ends, even by a crash.
const LOCK: &str = "lock";

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
    #[error("there is no data in {folder} / 目录 {folder} 中没有数据")]
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
    use super::*;

    #[test]
    fn one_process_at_a_time_uses_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataFolder::open(folder.path()).unwrap();
        let refused = DataFolder::open(folder.path()).unwrap_err();
        assert!(matches!(refused, DataError::InUse { .. }), "{refused}");
        drop(first);
        DataFolder::open(folder.path()).unwrap();
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
        let _data = DataFolder::open(folder.path()).unwrap();
        let _table = embedded_table::EmbeddedTable::start(Some(folder.path())).await.unwrap();
        for file in std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
            let mode = file.metadata().unwrap().permissions().mode();
            assert!(file.file_name() == LOCK || mode & 0o077 == 0, "{file:?} {mode:o}");
        }
        let kept = std::fs::read_to_string(folder.path().join(LOCK)).unwrap();
        assert_eq!(kept, "a file of the user's");
    }
}
