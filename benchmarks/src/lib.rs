//! What the benchmarks share: the CPU time and memory that a process has used so far, and a server that only answers.

pub mod stub;
pub mod usage;
