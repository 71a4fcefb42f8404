//! The crate against the services that it talks to: the simulated WeChat, a Lambda on loopback, and DynamoDB.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod client;
mod live;
mod store;
