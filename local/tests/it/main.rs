//! The bundle on one machine: in this process, its console, and the built program.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bundle;
mod console;
mod openapi;
mod program;
mod relay;
