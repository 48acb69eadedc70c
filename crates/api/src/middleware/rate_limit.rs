//! Requests per second: a token bucket per API key, and one per address for requests without a key that works.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use simdepot_domain::id::ApiKeyId;

use crate::problem::{Problem, ProblemCode};

/// How many seconds' worth of requests may come at once.
const BURST_SECONDS: u32 = 10;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// A key that works.
    Key(ApiKeyId),
    /// An address without one; see [`Source::address`].
    Address(IpAddr),
}

impl Source {
    /// An IPv6 host has a whole /64 to ask from, so that such a network counts as one address.
    pub(crate) fn address(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

type Buckets<C> =
    RateLimiter<Source, DefaultKeyedStateStore<Source>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// The buckets of this process.
pub(crate) struct RateLimits<C: Clock = DefaultClock> {
    buckets: Option<Buckets<C>>,
    clock: C,
}

impl<C: Clock> fmt::Debug for RateLimits<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimits").field("limited", &self.buckets.is_some()).finish_non_exhaustive()
    }
}

impl RateLimits {
    /// `None` or 0 for no limit.
    pub(crate) fn new(per_second: Option<u32>) -> Self {
        Self::with_clock(per_second, DefaultClock::default())
    }
}

impl<C: Clock + Clone> RateLimits<C> {
    fn with_clock(per_second: Option<u32>, clock: C) -> Self {
        let buckets = per_second.and_then(NonZeroU32::new).map(|rate| {
            let burst = rate.saturating_mul(NonZeroU32::MIN.saturating_add(BURST_SECONDS - 1));
            RateLimiter::new(
                Quota::per_second(rate).allow_burst(burst),
                DefaultKeyedStateStore::default(),
                clock.clone(),
            )
        });
        Self { buckets, clock }
    }

    /// Takes a token; otherwise tells how long until there is one.
    pub(crate) fn check(&self, source: Source) -> Result<(), Duration> {
        match &self.buckets {
            Some(buckets) => {
                buckets.check_key(&source).map_err(|not_until| not_until.wait_time_from(self.clock.now()))
            }
            None => Ok(()),
        }
    }

    /// As [`RateLimits::check`], with the answer that says so.
    pub(crate) fn admit(&self, source: Source) -> Result<(), Problem> {
        self.check(source).map_err(|wait| {
            Problem::new(ProblemCode::RateLimited, "too many requests from this key or address")
                .retry_after(wait)
        })
    }

    /// Forgets buckets that are full again: addresses come and go.
    pub(crate) fn forget_idle(&self) {
        if let Some(buckets) = &self.buckets {
            buckets.retain_recent();
        }
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;
    use uuid::Uuid;

    use super::*;

    const ADDRESS: Source = Source::Address(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    #[test]
    fn a_burst_of_ten_seconds_then_the_rate() {
        let clock = FakeRelativeClock::default();
        let limits = RateLimits::with_clock(Some(2), clock.clone());
        let key = Source::Key(ApiKeyId(Uuid::from_u128(1)));
        for request in 0..20 {
            assert_eq!(limits.check(key), Ok(()), "{request}");
        }
        let wait = limits.check(key).unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_millis(500), "{wait:?}");
        assert_eq!(limits.check(ADDRESS), Ok(()), "another source has its own bucket");
        clock.advance(Duration::from_secs(1));
        assert_eq!((limits.check(key), limits.check(key)), (Ok(()), Ok(())));
        assert!(limits.check(key).is_err());
    }

    #[test]
    fn a_network_of_one_host_is_one_address() {
        let source = |text: &str| Source::address(text.parse().unwrap());
        assert_eq!(source("2001:db8:1:2::1"), source("2001:db8:1:2:ffff::9"));
        assert_ne!(source("2001:db8:1:2::1"), source("2001:db8:1:3::1"));
        assert_eq!(source("::ffff:192.0.2.7"), source("192.0.2.7"));
        assert_ne!(source("192.0.2.7"), source("192.0.2.8"));
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let clock = FakeRelativeClock::default();
        let limits = RateLimits::with_clock(Some(1), clock.clone());
        limits.check(ADDRESS).unwrap();
        limits.forget_idle();
        assert_eq!(limits.buckets.as_ref().unwrap().len(), 1);
        clock.advance(Duration::from_secs(60));
        limits.forget_idle();
        assert_eq!(limits.buckets.as_ref().unwrap().len(), 0);
    }

    #[test]
    fn off_is_off() {
        let limits = RateLimits::new(None);
        assert!((0..10_000).all(|_| limits.check(ADDRESS).is_ok()));
    }
}
