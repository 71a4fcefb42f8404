//! The bundle on one machine: in this process, its console, and the built program.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bundle;
mod console;
mod gateway;
mod openapi;
mod program;
mod relay;

use local::{Local, Options};
use wechat::config::Environment;

/// Starts the bundle in this process, in an empty environment.
async fn start(options: Options) -> Local {
    let options = Options { port: 0, ..options };
    Local::start_in(&options, &Environment::default()).await.unwrap()
}

/// What a run may still do when it is stopped.
const GRACE: std::time::Duration = std::time::Duration::from_secs(3);
