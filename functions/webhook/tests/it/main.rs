//! The built binary: the callbacks that WeChat sends, and the answers that it gets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binding;
mod effects;
mod events;
mod forward;
mod further;
mod handing_over;
mod hostile;
mod outages;
mod samples;
mod settings;
mod setup;
