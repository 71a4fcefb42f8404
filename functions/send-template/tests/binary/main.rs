//! The built binary, driven by a Lambda Runtime API, against the simulated platform and an embedded table.

mod checked;
mod failures;
mod once;
mod sending;
mod stage;
