//! Carriers' events: kept as they came once they are known to be authentic, then applied as observations.
//!
//! They come late, twice and in any order. The same event is kept once; what it says is weighed by its date, so that
//! the order does not matter. A profile's delivery file may come after its first event: such an event waits.

mod apply;
mod receive;

pub use apply::step;
pub use receive::{Admission, admit, keep, refuse_early};
