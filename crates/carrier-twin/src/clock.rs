//! The twin's test clock: plans expire and SIM Search catches up without waiting.

use chrono::{DateTime, TimeDelta, Utc};

/// What the twin takes for the present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TwinClock {
    /// The caller's time plus an offset.
    Running {
        /// How far the twin is ahead.
        offset: TimeDelta,
    },
    /// Standing still.
    Frozen {
        /// The moment shown.
        at: DateTime<Utc>,
    },
}

impl Default for TwinClock {
    fn default() -> Self {
        Self::Running { offset: TimeDelta::zero() }
    }
}

impl TwinClock {
    /// The twin's time when the caller's is `now`.
    pub fn read(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Running { offset } => now.checked_add_signed(offset).unwrap_or(now),
            Self::Frozen { at } => at,
        }
    }

    /// Moves forward, running or frozen. A move beyond the calendar is not made.
    pub fn advance(&mut self, by: TimeDelta) {
        match self {
            Self::Running { offset } => *offset = offset.checked_add(&by).unwrap_or(*offset),
            Self::Frozen { at } => *at = at.checked_add_signed(by).unwrap_or(*at),
        }
    }

    /// Stops at the time now shown.
    pub fn freeze(&mut self, now: DateTime<Utc>) {
        *self = Self::Frozen { at: self.read(now) };
    }

    /// Back to the caller's time.
    pub fn real(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_jumps_stops_and_returns() {
        let noon: DateTime<Utc> = "2026-03-01T12:00:00Z".parse().unwrap();
        let minute = TimeDelta::minutes(1);
        let mut clock = TwinClock::default();
        clock.advance(minute);
        assert_eq!(clock.read(noon), noon + minute);
        clock.freeze(noon);
        assert_eq!(clock.read(noon + minute * 9), noon + minute);
        clock.advance(minute);
        assert_eq!(clock.read(noon), noon + minute * 2);
        clock.advance(TimeDelta::MAX);
        assert_eq!(clock.read(noon), noon + minute * 2);
        clock.real();
        assert_eq!(clock.read(noon), noon);
    }
}
