//! What holds for every carrier, written once and run against each adapter beside its twin over real HTTP, on both
//! databases. A new carrier joins with its `TestCarrier` and a line in `simdepot_tests::carriers!`.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod asking;
mod lacking;
mod lines;
mod lost;
mod news;
mod port;
mod put_off;
mod refused;
mod sales;
mod secrecy;
mod server;
