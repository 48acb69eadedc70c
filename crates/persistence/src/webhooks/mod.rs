//! Webhook endpoints and what is delivered to them.
//!
//! **The endpoint's row is the lock of everything that is its own.** Deliveries are made, taken and finished with it
//! locked, so that each of these sees which keys have a delivery before it and how many are under way. An endpoint has
//! few tries at a time, and none of them is sent inside a transaction: the lock is held for moments.

pub mod deliveries;
pub mod endpoints;
pub mod queue;
pub mod secrets;
