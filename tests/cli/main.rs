//! The command `simdepot` as an operator uses it: processes, exit codes, what they print.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod binary;
mod commands;
mod rotation;
mod sandbox;
mod service;
mod twin;
