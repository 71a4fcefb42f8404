//! What the benchmarks share: the CPU time and memory that a process has used so far.

pub mod usage;
