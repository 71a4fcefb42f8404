//! Breaks each thing that the built functions touch, at each step, and compares what comes of it with `RELIABILITY.md`.

#![allow(clippy::unwrap_used, reason = "a case that cannot go on has failed")]

mod callbacks;
mod clock;
mod killed;
mod malformed;
mod managing;
mod outages;
mod refreshing;
mod report;
mod sending;
mod stage;
