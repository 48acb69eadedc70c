//! A circuit breaker: when the carrier is down, say so at once instead of letting every order wait for a time-out.
//!
//! Pure: the time comes in as an argument. Closed, it counts failures in a row; open, it turns calls away; after a
//! pause it lets one call through, and that call decides.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// Failures in a row that open it.
const THRESHOLD: u32 = 5;
/// How long it stays open before one call may try.
const PAUSE: TimeDelta = TimeDelta::seconds(5);
/// When to come back while another call is trying.
const WHILE_TRYING: Duration = Duration::from_secs(1);

/// The breaker of one account.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    state: State,
    /// Counts state changes: a report from before the last change says nothing about now.
    epoch: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { since: DateTime<Utc> },
    HalfOpen,
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

/// Leave to make one call; its end is to be reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Permit {
    epoch: u64,
}

/// How a call ended, as far as the carrier's health goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// It answered, be it with a refusal.
    Alive,
    /// No connection, no answer in time, or a server error.
    Failed,
    /// The call was given up on our side.
    Undecided,
}

impl Breaker {
    /// Asks for leave; refused with the time after which to ask again.
    pub(crate) fn admit(&mut self, now: DateTime<Utc>) -> Result<Permit, Duration> {
        match self.state {
            State::Closed { .. } => Ok(self.permit()),
            State::HalfOpen => Err(WHILE_TRYING),
            State::Open { since } => {
                let left = PAUSE - (now - since);
                // A clock that was set back must not keep the breaker open for longer than the pause.
                if left > TimeDelta::zero() && left <= PAUSE {
                    return Err(left.to_std().unwrap_or(WHILE_TRYING));
                }
                self.enter(State::HalfOpen);
                Ok(self.permit())
            }
        }
    }

    /// Takes the end of a call into account.
    pub(crate) fn report(&mut self, permit: Permit, health: Health, now: DateTime<Utc>) {
        if permit.epoch != self.epoch {
            return;
        }
        match (self.state, health) {
            (State::Closed { .. }, Health::Alive) => self.state = State::Closed { failures: 0 },
            (State::Closed { failures }, Health::Failed) if failures + 1 >= THRESHOLD => {
                self.enter(State::Open { since: now });
            }
            (State::Closed { failures }, Health::Failed) => {
                self.state = State::Closed { failures: failures + 1 }
            }
            (State::HalfOpen, Health::Alive) => self.enter(State::default()),
            (State::HalfOpen, Health::Failed) => self.enter(State::Open { since: now }),
            // The trial decided nothing: the next call may try at once.
            (State::HalfOpen, Health::Undecided) => self.enter(State::Open { since: now - PAUSE }),
            (State::Closed { .. }, Health::Undecided) | (State::Open { .. }, _) => {}
        }
    }

    /// For the gauge: 0 closed, 1 half-open, 2 open.
    pub(crate) fn level(&self) -> f64 {
        match self.state {
            State::Closed { .. } => 0.0,
            State::HalfOpen => 1.0,
            State::Open { .. } => 2.0,
        }
    }

    fn permit(&self) -> Permit {
        Permit { epoch: self.epoch }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.epoch += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..THRESHOLD {
            let permit = breaker.admit(at(0)).unwrap();
            breaker.report(permit, Health::Failed, at(0));
        }
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_one_answer_in_between_does_not() {
        let mut breaker = Breaker::default();
        for health in [Health::Failed; 4].into_iter().chain([Health::Alive]).chain([Health::Failed; 4]) {
            let permit = breaker.admit(at(0)).unwrap();
            breaker.report(permit, health, at(0));
        }
        assert!(breaker.admit(at(0)).is_ok());
        assert!(opened().level() > 1.5);
        assert_eq!(opened().admit(at(2)), Err(Duration::from_secs(3)));
    }

    #[test]
    fn after_the_pause_one_call_tries_and_decides() {
        for (health, level) in [(Health::Alive, 0.0), (Health::Failed, 2.0)] {
            let mut breaker = opened();
            let permit = breaker.admit(at(5)).unwrap();
            assert_eq!(breaker.admit(at(5)), Err(WHILE_TRYING));
            breaker.report(permit, health, at(6));
            assert!((breaker.level() - level).abs() < f64::EPSILON);
        }
    }

    #[test]
    fn a_trial_that_was_given_up_leaves_the_place_to_the_next() {
        let mut breaker = opened();
        let permit = breaker.admit(at(5)).unwrap();
        breaker.report(permit, Health::Undecided, at(6));
        assert!(breaker.admit(at(6)).is_ok());
    }

    #[test]
    fn a_late_report_from_before_the_opening_changes_nothing() {
        let mut breaker = Breaker::default();
        let late = breaker.admit(at(0)).unwrap();
        for _ in 0..THRESHOLD {
            let permit = breaker.admit(at(0)).unwrap();
            breaker.report(permit, Health::Failed, at(0));
        }
        breaker.report(late, Health::Alive, at(1));
        assert!(breaker.admit(at(1)).is_err());
        let trial = breaker.admit(at(5)).unwrap();
        breaker.report(late, Health::Failed, at(5));
        breaker.report(trial, Health::Alive, at(5));
        assert!(breaker.admit(at(5)).is_ok());
    }

    #[test]
    fn a_clock_set_back_does_not_keep_it_open() {
        assert!(opened().admit(at(-3600)).is_ok());
    }
}
