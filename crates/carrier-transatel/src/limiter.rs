//! The account's rate: every request, read or write, waits for its turn.

use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use simdepot_domain::carrier::Unavailable;
use tokio::time::{Instant, timeout_at};

/// Hands out turns.
pub(crate) struct Limiter(DefaultDirectRateLimiter);

impl Limiter {
    /// At most `per_second`, of which a quarter may go out in one burst: Transatel's own window is not published,
    /// and a full burst at the edge of a window would count double there.
    pub(crate) fn new(per_second: u32) -> Self {
        let rate = NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
        let burst = NonZeroU32::new(per_second / 4).unwrap_or(NonZeroU32::MIN);
        Self(RateLimiter::direct(Quota::per_second(rate).allow_burst(burst)))
    }

    /// Waits for a turn until `deadline`.
    pub(crate) async fn turn(&self, deadline: Instant) -> Result<(), Unavailable> {
        timeout_at(deadline, self.0.until_ready()).await.map_err(|_| Unavailable {
            reason:
                "no turn within the time-out: more requests wait than max_requests_per_second lets through"
                    .into(),
            retry_after_ms: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_turn_that_comes_too_late_is_not_waited_for() {
        let limiter = Limiter::new(1);
        let soon = || Instant::now() + Duration::from_millis(50);
        assert!(limiter.turn(soon()).await.is_ok());
        let refused = limiter.turn(soon()).await.unwrap_err();
        assert!(refused.reason.contains("max_requests_per_second"));
    }
}
