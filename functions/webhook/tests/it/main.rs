//! The built webhook, driven through the Runtime API: requests as WeChat and as strangers send them, and the answers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod effects;
mod events;
mod handing_over;
mod hostile;
mod outages;
mod samples;
mod settings;
mod setup;
