//! The simulated account of a run that keeps its data: what was stored under an AppID is of use only with the same one.

use std::{io, path::Path};

use wechat_simulator::Account;

const FILE: &str = "simulated-account.json";

/// The account that an earlier run kept in `folder`, if there was one.
///
/// # Errors
/// When the file cannot be read, or is damaged.
pub(crate) fn load(folder: &Path) -> io::Result<Option<Account>> {
    match std::fs::read(folder.join(FILE)) {
        Ok(json) => serde_json::from_slice(&json).map(Some).map_err(io::Error::from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Keeps `account` in `folder` for later runs.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn save(folder: &Path, account: &Account) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join(FILE), serde_json::to_vec_pretty(account)?)
}
