//! The story of a profile, for a support agent: one plain sentence per event, and what it comes down to.
//!
//! Everything that sold, moved or changed a profile is an event already; here they are only put into words. The
//! diagnosis answers the question that a customer's call is about: why does it not work, and whose turn is it?

mod diagnosis;
mod sentence;

pub use diagnosis::{Diagnosis, Standing, diagnose};
pub use sentence::{About, sentence};
