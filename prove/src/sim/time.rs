//! The virtual clock and the ids that count by it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use simdepot_domain::clock::Clock;
use simdepot_domain::id::IdGenerator;
use uuid::Uuid;

use crate::history::Micros;
use crate::rng::Rng;

/// When every run begins: 2026-11-22 00:00 UTC.
pub(super) const BEGIN: Micros = 1_795_305_600_000_000;

/// The true time, and the clock of the machine that the processes share, which may be wrong.
#[derive(Debug)]
pub(super) struct Time {
    now: AtomicI64,
    wrong_by: AtomicI64,
}

impl Default for Time {
    fn default() -> Self {
        Self { now: AtomicI64::new(BEGIN), wrong_by: AtomicI64::new(0) }
    }
}

impl Time {
    /// The true time.
    pub(super) fn micros(&self) -> Micros {
        self.now.load(Ordering::Relaxed)
    }

    /// The true time as the carrier and the world see it.
    pub(super) fn moment(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.micros()).unwrap_or_default()
    }

    /// Time passes; the runtime's timers are moved by the caller.
    pub(super) fn pass(&self, micros: Micros) {
        self.now.fetch_add(micros, Ordering::Relaxed);
    }

    /// The machine's clock is set.
    pub(super) fn set_wrong_by(&self, micros: Micros) {
        self.wrong_by.store(micros, Ordering::Relaxed);
    }
}

/// The machine's clock.
impl Clock for Time {
    fn now(&self) -> DateTime<Utc> {
        let shown = self.micros() + self.wrong_by.load(Ordering::Relaxed);
        DateTime::from_timestamp_micros(shown).unwrap_or_default()
    }
}

/// UUIDv7 by the virtual clock: sorted by the time they were made, unique, and the same for the same seed.
#[derive(Debug)]
pub(super) struct Ids {
    time: Arc<Time>,
    state: Mutex<(Rng, u64)>,
}

impl Ids {
    pub(super) fn new(time: Arc<Time>, rng: Rng) -> Self {
        Self { time, state: Mutex::new((rng, 0)) }
    }
}

impl IdGenerator for Ids {
    fn uuid(&self) -> Uuid {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.1 += 1;
        let millis = u64::try_from(self.time.micros() / 1000).unwrap_or_default();
        // The counter keeps ids of one millisecond in order; the rest is chance.
        let (count, chance) = (state.1, state.0.bits());
        let high = (millis << 16) | 0x7000 | ((count >> 8) & 0x0FFF);
        let low = (0b10 << 62) | ((count & 0xFF) << 54) | (chance >> 10);
        Uuid::from_u64_pair(high, low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_sorted_and_of_version_7() {
        let time = Arc::new(Time::default());
        let ids = Ids::new(Arc::clone(&time), Rng::new(1));
        let mut made = Vec::new();
        for _ in 0..5_000 {
            made.push(ids.uuid());
            time.pass(100);
        }
        let mut sorted = made.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted, made);
        assert!(made.iter().all(|id| id.get_version_num() == 7));
    }

    #[test]
    fn the_machines_clock_may_be_wrong() {
        let time = Time::default();
        time.pass(5);
        time.set_wrong_by(-1_000_000);
        assert_eq!(time.moment() - Clock::now(&time), chrono::TimeDelta::seconds(1));
        assert_eq!(time.micros(), BEGIN + 5);
    }
}
