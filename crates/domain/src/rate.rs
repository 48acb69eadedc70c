//! How fast a carrier may be asked: turns at even distances, and how many of them may come at once.

use std::time::Duration;

/// Requests per second at a carrier account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(u32);

impl Rate {
    /// `per_second` requests; 0 counts as 1.
    pub fn new(per_second: u32) -> Self {
        Self(per_second.max(1))
    }

    /// Requests per second.
    pub fn per_second(self) -> u32 {
        self.0
    }

    /// Turns of a quarter of a second, at least one. That many may be taken at once: carriers do not publish their
    /// windows, and a whole second's burst at the edge of one would count double there.
    pub fn burst(self) -> u32 {
        (self.0 / 4).max(1)
    }

    /// Above a billion per second there is no limit: nobody waits, and no turns need to be taken.
    pub fn is_unlimited(self) -> bool {
        self.0 > 1_000_000_000
    }

    /// Time between two turns.
    pub fn interval(self) -> Duration {
        self.span(1)
    }

    /// Time that `turns` take.
    pub fn span(self, turns: u32) -> Duration {
        if self.is_unlimited() {
            return Duration::ZERO;
        }
        let nanos = u64::from(turns).saturating_mul(1_000_000_000) / u64::from(self.0);
        Duration::from_nanos(nanos)
    }

    /// How far back the first of a burst may begin, so that all of it is due now and the next turn one interval later.
    pub fn tolerance(self) -> Duration {
        self.span(self.burst() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_a_second_at_once_and_even_distances() {
        let ten = Rate::new(10);
        assert_eq!((ten.burst(), ten.interval()), (2, Duration::from_millis(100)));
        assert_eq!((ten.span(5), ten.tolerance()), (Duration::from_millis(500), Duration::from_millis(100)));
        let one = Rate::new(1);
        assert_eq!(
            (one.burst(), one.interval(), one.tolerance()),
            (1, Duration::from_secs(1), Duration::ZERO)
        );
        assert_eq!(Rate::new(0), one);
        let boundless = Rate::new(u32::MAX);
        assert_eq!((boundless.interval(), boundless.span(u32::MAX)), (Duration::ZERO, Duration::ZERO));
        assert!(boundless.is_unlimited() && !ten.is_unlimited());
    }
}
