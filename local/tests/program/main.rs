//! The program as a user starts it, stops it, and as a machine that fails kills it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod kill;
mod process;
mod real_account;
mod start;
mod stop;
