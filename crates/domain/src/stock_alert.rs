//! When a pool's stock is low, and when it has recovered: with a gap between the two, so that a stock that moves up and
//! down around a threshold tells of it once.

use chrono::{DateTime, TimeDelta, Utc};

use crate::pool::{AlertLevel, PoolSettings};

/// Expiring stock is told of at least this long before, even when the carrier delivers faster.
const NOTICE_DAYS: u32 = 14;
/// Stock that expires bit by bit is told of in portions of at least this much.
const PORTION: TimeDelta = TimeDelta::hours(1);

/// The level of a pool that was at `current` and now has `available` profiles to sell.
///
/// It falls when `available` is at a threshold or below, and recovers when it is above by a tenth of the threshold, at
/// least one. Without thresholds the stock is always enough.
pub fn level(settings: &PoolSettings, current: AlertLevel, available: u64) -> AlertLevel {
    let is_down = |threshold: Option<u32>, at_or_under: AlertLevel| {
        threshold.is_some_and(|threshold| {
            available <= u64::from(threshold)
                || (current >= at_or_under && available < recovered_at(threshold))
        })
    };
    if is_down(settings.critical_threshold, AlertLevel::Critical) {
        AlertLevel::Critical
    } else if is_down(settings.low_threshold, AlertLevel::Low) {
        AlertLevel::Low
    } else {
        AlertLevel::Ok
    }
}

/// From how many on a threshold that was crossed is behind.
fn recovered_at(threshold: u32) -> u64 {
    u64::from(threshold) + u64::from(threshold.div_ceil(10).max(1))
}

/// The threshold of a level.
pub fn threshold(settings: &PoolSettings, level: AlertLevel) -> Option<u32> {
    match level {
        AlertLevel::Ok => None,
        AlertLevel::Low => settings.low_threshold,
        AlertLevel::Critical => settings.critical_threshold,
    }
}

/// Between which moments expiring stock is to be told of now: after the first, up to the second. `None` when too
/// little time has passed since it was last told of.
pub fn expiry_window(
    settings: &PoolSettings,
    told_through: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let notice = settings.lead_time_days.unwrap_or_default().max(NOTICE_DAYS);
    let until = now + TimeDelta::days(i64::from(notice));
    let after = told_through.map_or(now, |told| told.max(now));
    (until - after >= PORTION).then_some((after, until))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::channel::{AccountName, PoolName};
    use crate::pool::DEFAULT_SELLABLE;

    fn pool(low: Option<u32>, critical: Option<u32>) -> PoolSettings {
        PoolSettings {
            pool: PoolName::parse("world").unwrap(),
            carrier_account: AccountName::parse("spc").unwrap(),
            name: "World".to_owned(),
            low_threshold: low,
            critical_threshold: critical,
            safety_buffer: 0,
            lead_time_days: None,
            shelf_life_days: None,
            balance_low_percent: None,
            expiry_warning_days: None,
            sellable_statuses: DEFAULT_SELLABLE.to_vec(),
            activation: None,
        }
    }

    #[test]
    fn falls_at_once_and_recovers_above_the_gap() {
        use AlertLevel::{Critical, Low, Ok};
        let both = pool(Some(100), Some(20));
        for (current, available, expected) in [
            (Ok, 101, Ok),
            (Ok, 100, Low),
            (Ok, 21, Low),
            (Ok, 20, Critical),
            (Ok, 0, Critical),
            (Low, 100, Low),
            (Low, 109, Low),
            (Low, 110, Ok),
            (Low, 21, Low),
            (Low, 20, Critical),
            (Critical, 20, Critical),
            (Critical, 21, Critical),
            (Critical, 22, Low),
            (Critical, 109, Low),
            (Critical, 110, Ok),
        ] {
            assert_eq!(level(&both, current, available), expected, "{current} {available}");
        }
        let small = pool(Some(1), None);
        assert_eq!((level(&small, Ok, 1), level(&small, Low, 1), level(&small, Low, 2)), (Low, Low, Ok));
        let critical = pool(None, Some(10));
        assert_eq!((level(&critical, Ok, 10), level(&critical, Critical, 11)), (Critical, Ok));
        let none = pool(None, Some(0));
        assert_eq!((level(&none, Ok, 1), level(&none, Ok, 0), level(&none, Critical, 1)), (Ok, Critical, Ok));
        for current in [Ok, Low, Critical] {
            assert_eq!(level(&pool(None, None), current, 0), Ok, "no thresholds, no alert");
        }
        assert_eq!(
            (threshold(&both, Low), threshold(&both, Critical), threshold(&both, Ok)),
            (Some(100), Some(20), None)
        );
    }

    #[test]
    fn expiry_is_told_in_time_and_once() {
        let (now, day) = (DateTime::from_timestamp(1_800_000_000, 0).unwrap(), TimeDelta::days(1));
        let mut pool = pool(None, None);
        assert_eq!(expiry_window(&pool, None, now), Some((now, now + day * 14)));
        pool.lead_time_days = Some(3);
        assert_eq!(expiry_window(&pool, None, now), Some((now, now + day * 14)));
        pool.lead_time_days = Some(30);
        assert_eq!(expiry_window(&pool, Some(now - day), now), Some((now, now + day * 30)));
        let told = now + day * 29;
        assert_eq!(expiry_window(&pool, Some(told), now), Some((told, now + day * 30)));
        assert_eq!(expiry_window(&pool, Some(now + day * 30 - TimeDelta::minutes(59)), now), None);
        assert_eq!(expiry_window(&pool, Some(now + day * 40), now), None);
    }

    proptest! {
        #[test]
        fn nothing_changes_within_the_gap(
            low in 0u32..5_000, critical in 0u32..5_000, start in 0u64..10_000, steps in prop::collection::vec(0u64..10_000, 1..60),
        ) {
            let pool = pool(Some(low.max(critical)), Some(low.min(critical)));
            let mut current = level(&pool, AlertLevel::Ok, start);
            for available in steps {
                let next = level(&pool, current, available);
                prop_assert_eq!(level(&pool, next, available), next, "a level is stable while the stock is");
                // A recovery and a fall are at least the gap apart: what has just recovered is not below again.
                if next < current {
                    let left = threshold(&pool, current).unwrap_or_default();
                    prop_assert!(available >= recovered_at(left));
                }
                if next > current {
                    let crossed = threshold(&pool, next).unwrap_or_default();
                    prop_assert!(available <= u64::from(crossed));
                }
                current = next;
            }
        }

        #[test]
        fn a_stock_that_swings_inside_the_gap_is_told_of_once(threshold in 1u32..5_000, swings in prop::collection::vec(any::<bool>(), 1..50)) {
            let pool = pool(Some(threshold), None);
            let (mut current, mut changes) = (AlertLevel::Ok, 0);
            for down in swings {
                // From the threshold to just below the recovery.
                let available = if down { u64::from(threshold) } else { recovered_at(threshold) - 1 };
                let next = level(&pool, current, available);
                changes += u32::from(next != current);
                current = next;
            }
            prop_assert!(changes <= 1);
        }
    }
}
