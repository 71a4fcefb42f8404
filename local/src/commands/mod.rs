//! What `local` does besides running: asks a running bundle, and moves its data.

mod ask;
mod check;
mod export;
mod import;
mod item;

use std::{io, path::PathBuf};

use embedded_table::{BackupError, FileError, StartError};

use crate::{
    DataError, LocalError,
    options::{Command, Options},
};

/// What a command answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Lines for standard output.
    pub text: String,
    /// Whether the answer is yes: healthy, no failed check.
    pub is_good: bool,
}

impl Outcome {
    const fn good(text: String) -> Self {
        Self { text, is_good: true }
    }
}

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Nothing listens, or it does not answer.
    #[error(
        "no bundle answers at {url}: {cause} (is it running there? see --port and --listen) / {url} 没有运行中的服务（{cause}），请检查 --port 与 --listen"
    )]
    NoAnswer {
        /// The address.
        url: String,
        /// Why, without the address.
        cause: String,
    },
    /// The bundle refuses the key.
    #[error(
        "the bundle at {url} refuses the key: set API_KEYS as it is set there / {url} 拒绝了密钥，请将 API_KEYS 设为与其相同的值"
    )]
    Refused {
        /// The address.
        url: String,
    },
    /// The answer is not the doctor's.
    #[error("{url} answers {status}, which is not the doctor's answer / {url} 应答 {status}，不是诊断结果")]
    NotTheDoctor {
        /// The address.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The command line does not say what to do, or on which data.
    #[error("{0} (--help explains all / 用法见 --help)")]
    Usage(&'static str),
    /// The data folder cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The table does not start.
    #[error(transparent)]
    Table(#[from] StartError),
    /// The copy could not be made.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// A file cannot be read or written.
    #[error("{file}: {source} / 无法读写文件 {file}：{source}")]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line of the file is not an item.
    #[error("{file}, line {line}: {cause} / {file} 第 {line} 行不是有效的数据项：{cause}")]
    Line {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        cause: String,
    },
    /// The table refuses, or cannot be reached.
    #[error("the table {table} cannot be used: {cause} / 无法使用数据表")]
    Store {
        /// The table's name.
        table: String,
        /// Why.
        cause: String,
    },
    /// The settings are wrong.
    #[error(transparent)]
    Settings(#[from] LocalError),
}

impl From<FileError> for CommandError {
    fn from(FileError { file, source }: FileError) -> Self {
        Self::File { file, source }
    }
}

impl CommandError {
    /// Whether the command line is the cause.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        match self {
            Self::Usage(_) => true,
            Self::Settings(error) => error.is_usage(),
            _ => false,
        }
    }
}

/// Does what `command` says.
///
/// # Errors
/// [`CommandError`] when it cannot.
pub async fn run(command: &Command, options: &Options) -> Result<Outcome, CommandError> {
    match command {
        Command::Health => ask::health(options).await,
        Command::Doctor => ask::doctor(options).await,
        Command::Backup { file } => {
            embedded_table::backup(folder(options)?, file)?;
            Ok(Outcome::good(file.display().to_string()))
        }
        Command::Export { file } => export::run(folder(options)?, file).await,
        Command::Import { file, table } => import::run(file, table.as_deref(), options).await,
    }
}

/// Checks the settings that `options` and the environment make, and starts nothing.
///
/// # Errors
/// [`CommandError`] with every problem.
pub async fn check(options: &Options) -> Result<Outcome, CommandError> {
    check::run(options).await
}

fn folder(options: &Options) -> Result<&std::path::Path, CommandError> {
    let missing = "--data DIR is missing: the data folder of the bundle / 缺少 --data：服务的数据目录";
    options.data.as_deref().ok_or(CommandError::Usage(missing))
}
