//! The proof that simdepot keeps its promises while everything around it fails (docs/PROOF.md).
//!
//! * [`sim`] runs several processes of simdepot, its storefronts, its carrier and the phones of its customers in one
//!   thread, on a virtual clock, from one seed: the same seed is the same run, to the last step.
//! * [`checker`] reads what everybody saw and what is left at the end, and says what was promised and not kept.
//! * [`real`] runs the real binary over HTTP, with `kill -9`, on SQLite and on PostgreSQL.
//! * [`guards`] takes one protection away at a time, to show that the checker would notice.

pub mod checker;
pub mod guards;
pub mod history;
pub mod real;
pub mod rng;
pub mod runner;
pub mod sim;
