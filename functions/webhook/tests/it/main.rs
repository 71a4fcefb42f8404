//! The built binary, driven through the Runtime API: what WeChat sends, and what it gets.
//!
//! T1 to T23 are the traps of the field: bugs that well-known SDKs have or had. Those that are not here have their test
//! beside the code that they concern.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod effects;
mod events;
mod handing_over;
mod hostile;
mod outages;
mod samples;
mod settings;
mod setup;
