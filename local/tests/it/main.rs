//! The bundle on one machine: in this process, its console, and the built program.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bundle;
mod console;
mod gateway;
mod openapi;
mod program;
mod relay;

use local::{DataError, Local, LocalError, Options};
use testing::eventually;
use wechat::config::Environment;

/// Starts the bundle in this process, in an empty environment. A program that another test is starting has a copy of this
/// process's open files until it runs, so a folder may be locked for a moment after its run has ended.
async fn start(options: Options) -> Local {
    let options = Options { port: 0, ..options };
    let started = async || match Local::start_in(&options, &Environment::default()).await {
        Err(LocalError::Data(DataError::InUse { .. })) => None,
        started => Some(started.unwrap()),
    };
    eventually("the data folder", started).await
}

/// What a run may still do when it is stopped.
const GRACE: std::time::Duration = std::time::Duration::from_secs(3);
