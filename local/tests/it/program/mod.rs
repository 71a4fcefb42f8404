//! The program as a user starts it, stops it, and as a machine that fails kills it.

mod commands;
mod kill;
mod own_code;
mod process;
pub(crate) mod real_account;
mod start;
mod stop;
