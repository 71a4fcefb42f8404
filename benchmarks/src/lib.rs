//! What the benchmarks share: callbacks as WeChat sends them, and what a process has cost so far.

pub mod account;
pub mod usage;
