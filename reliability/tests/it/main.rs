//! Breaks each service that the built functions touch, at each step, and compares the outcome with `docs/reliability.md`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod callbacks;
mod campaigns;
mod clock;
mod killed;
mod malformed;
mod managing;
mod outages;
mod own_code;
mod refreshing;
mod relay;
mod report;
mod sending;
mod stage;
mod users;
