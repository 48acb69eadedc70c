//! A clock that tests set.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use simdepot_domain::clock::{Clock, SystemClock};

/// Runs with the machine's clock, ahead of it by what was [`TestClock::advance`]d.
///
/// PostgreSQL times leases and deadlines by its own clock, which this one does not move: tests of those wait, or use
/// short [`simdepot_application::depot::WorkSettings`].
#[derive(Debug, Default)]
pub struct TestClock {
    ahead: Mutex<TimeDelta>,
}

impl TestClock {
    /// Moves forward, or back when negative.
    pub fn advance(&self, by: TimeDelta) {
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now() + *self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
