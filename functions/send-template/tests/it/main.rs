//! The built binary, driven by a Lambda Runtime API, against the simulated platform and an embedded table.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod checked;
mod events;
mod failures;
mod once;
mod sending;
mod settings;
mod stage;
mod tls;
