//! Tests of the crate against the services that it calls: the simulated WeChat, a Lambda on loopback, and DynamoDB.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod client;
mod live;
mod store;
