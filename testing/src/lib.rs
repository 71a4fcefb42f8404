//! What the tests of several packages share: a Lambda Runtime API on loopback that drives a built binary, as AWS would,
//! and the services that a function needs around it.

mod embedded_table;
mod event_bus;
mod fault_proxy;
mod lambda_api;
mod manual_clock;
mod runtime_api;
mod secrets_manager;
mod tls_front;

pub use self::embedded_table::EmbeddedTable;
pub use ::embedded_table::{StartError, TABLE_NAME};
pub use event_bus::EmbeddedEventBus;
pub use fault_proxy::{Fault, FaultProxy};
pub use lambda_api::{Invoked, LambdaApi};
pub use manual_clock::ManualClock;
pub use runtime_api::{Function, Outcome};
pub use secrets_manager::EmbeddedSecretsManager;
pub use tls_front::{Authority, TlsFront};

/// An event of the `events/` folder.
///
/// # Panics
/// When there is no such file, or it is no JSON.
#[must_use]
pub fn event(name: &str) -> serde_json::Value {
    let path = format!("{}/../events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}
