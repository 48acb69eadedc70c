//! What the twin has yet to do: requests that wait in a queue of the carrier's, and line changes that take a while.
//!
//! A simulation drives it: nothing happens but when a request, a delivery or a clock change asks for the time.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::gateway::Route;
use crate::request::TwinRequest;
use crate::state::Twin;

/// One thing to do.
#[derive(Debug)]
pub(crate) enum Due {
    /// A request that was held up.
    Request(Box<(Route, TwinRequest)>),
    /// The end of a transaction, by its place.
    Transaction(usize),
    /// A line change that a transaction, by its place, has put off to a later day.
    Change(usize),
}

/// Things to do in the order of their time; what is due at one time happens in the order it was put here.
#[derive(Debug)]
pub(crate) struct Schedule<D = Due> {
    waiting: BTreeMap<(DateTime<Utc>, u64), D>,
    made: u64,
}

impl<D> Default for Schedule<D> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), made: 0 }
    }
}

impl<D> Schedule<D> {
    pub(crate) fn add(&mut self, at: DateTime<Utc>, due: D) {
        self.made += 1;
        self.waiting.insert((at, self.made), due);
    }

    /// When the first thing is due.
    pub(crate) fn next(&self) -> Option<DateTime<Utc>> {
        self.waiting.keys().next().map(|(at, _)| *at)
    }

    pub(crate) fn take(&mut self, now: DateTime<Utc>) -> Option<(DateTime<Utc>, D)> {
        let next = self.waiting.first_entry().filter(|entry| entry.key().0 <= now)?;
        let ((at, _), due) = next.remove_entry();
        Some((at, due))
    }
}

/// A moment some milliseconds after another; the end of the calendar when there are too many.
pub(crate) fn later(now: DateTime<Utc>, ms: u64) -> DateTime<Utc> {
    let wait = i64::try_from(ms).ok().and_then(TimeDelta::try_milliseconds);
    wait.and_then(|wait| now.checked_add_signed(wait)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

impl Twin {
    /// When something happens next by itself, on the twin's clock; plans and deliveries apart.
    pub fn next_due(&self) -> Option<DateTime<Utc>> {
        self.schedule.next()
    }

    /// The twin's time, after everything that was due by then has happened.
    pub(crate) fn begin(&mut self, now: DateTime<Utc>) -> DateTime<Utc> {
        let now = self.clock.read(now);
        while let Some((at, due)) = self.schedule.take(now) {
            self.settle_plans(at);
            match due {
                // Nobody is left to be told whether it was refused.
                Due::Request(held) => drop(self.perform(at, &held.0, &held.1)),
                Due::Transaction(place) => self.end_transaction(at, place),
                Due::Change(place) => self.change_put_off(at, place),
            }
        }
        self.settle_plans(now);
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;

    #[test]
    fn things_happen_by_time_and_then_by_order() {
        let mut schedule = Schedule::<Due>::default();
        for (minute, place) in [(2, 1), (1, 2), (2, 3), (9, 4)] {
            schedule.add(at(minute), Due::Transaction(place));
        }
        let mut done = Vec::new();
        while let Some((_, due)) = schedule.take(at(2)) {
            let Due::Transaction(place) = due else { panic!("{due:?}") };
            done.push(place);
        }
        assert_eq!(done, [2, 1, 3]);
        assert_eq!(later(at(0), u64::MAX), DateTime::<Utc>::MAX_UTC);
        assert_eq!(later(at(0), 60_000), at(1));
    }
}
