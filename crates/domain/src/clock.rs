//! The time port.

use chrono::{DateTime, SubsecRound, Utc};

/// Tells the time. The binary uses [`SystemClock`]; tests and the simulation bring their own.
///
/// Leases are the exception: they are timed by the database's own clock, because several machines share it.
pub trait Clock: Send + Sync {
    /// The present moment in UTC, cut to whole microseconds (what both databases can store).
    fn now(&self) -> DateTime<Utc>;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now().trunc_subsecs(6)
    }
}
