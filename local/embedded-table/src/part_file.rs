//! A file that gets its name only when it is complete.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use crate::private_file;

/// Why a file cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {source}", file = .file.display())]
pub struct FileError {
    /// The file: the named one, or its part.
    pub file: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// A file of this user's that is called `….part` while it is written. A process that is killed leaves a part, which the next one
/// replaces.
#[derive(Debug)]
pub struct PartFile {
    name: PathBuf,
    part: PathBuf,
    file: File,
}

impl PartFile {
    /// Creates the empty part of a file that does not exist.
    ///
    /// # Errors
    /// [`FileError`] when `name` exists, or its part cannot be created.
    pub fn create(name: &Path) -> Result<Self, FileError> {
        if name.try_exists().map_err(failed(name))? {
            return Err(failed(name)(io::ErrorKind::AlreadyExists.into()));
        }
        let mut part = name.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        // Not opened and emptied: a part that is there may be a link, or readable to others.
        match std::fs::remove_file(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&part)(error)),
            _ => {}
        }
        let file = private_file().create_new(true).open(&part).map_err(failed(&part))?;
        let name = name.to_owned();
        Ok(Self { name, part, file })
    }

    /// The part's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.part
    }

    /// The part, open for writing.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its name once the disk holds it.
    ///
    /// # Errors
    /// [`FileError`] when that fails; then there is neither the file nor its part.
    pub fn finish(self) -> Result<(), FileError> {
        self.file.sync_all().map_err(failed(&self.part))?;
        std::fs::rename(&self.part, &self.name).map_err(failed(&self.name))
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        // After `finish` there is no part. The name of a part that cannot be removed shows that it is incomplete.
        let _ = std::fs::remove_file(&self.part);
    }
}

fn failed(file: &Path) -> impl Fn(io::Error) -> FileError {
    move |source| FileError {
        file: file.to_owned(),
        source,
    }
}
