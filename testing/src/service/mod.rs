//! The services that a function reaches, each on a free port of loopback: `start`, `endpoint`, and an end with its value.

mod event_bus;
mod fault_proxy;
mod lambda_api;
pub mod loopback;
mod own_code;
mod secrets_manager;
mod table;
mod tls_front;

pub use self::{
    event_bus::EventBus,
    fault_proxy::{Fault, FaultProxy},
    lambda_api::{Invoked, LambdaApi},
    own_code::{OwnAnswer, OwnCode, OwnRequest},
    secrets_manager::SecretsManager,
    table::TableServer,
    tls_front::{Authority, TlsFront},
};
