//! When a customer's plan is told of: little data left, or its end near.
//!
//! Each is told once: a low balance per period, because a renewal grants the data anew, and an end per moment, because a
//! renewal moves it. Where a carrier does not say what a plan began with, nothing can be said of how much is left.

use chrono::{DateTime, TimeDelta, Utc};

use crate::bundle::{Balance, BalanceUnit, BundleStatus};
use crate::pool::PoolSettings;

/// What is left of a plan's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataLeft {
    /// In percent of what it began with, rounded down.
    pub percent: u32,
    /// The period that it was granted for, by its end; the beginning of time where the carrier dates none.
    pub period: DateTime<Utc>,
}

/// What is left of the data, over all the resources that count data; `None` when one of them is unlimited, or the carrier
/// does not say what it began with, or there is none. `ends_at` is the plan's end.
pub fn data_left(balances: &[Balance], ends_at: Option<DateTime<Utc>>) -> Option<DataLeft> {
    let (mut remaining, mut total, mut period) = (0_u128, 0_u128, None);
    for balance in balances.iter().filter(|balance| balance.unit == BalanceUnit::Bytes) {
        remaining += u128::from(balance.remaining?);
        total += u128::from(balance.total?);
        period = period.max(balance.ends_at);
    }
    let percent = (remaining * 100).checked_div(total)?;
    Some(DataLeft {
        // More than there was to begin with is no less than all of it.
        percent: u32::try_from(percent).unwrap_or(100).min(100),
        period: period.or(ends_at).unwrap_or_default(),
    })
}

/// Whether a plan counts down: it has started, and is not over.
pub fn counts_down(status: BundleStatus) -> bool {
    match status {
        BundleStatus::Active | BundleStatus::Exhausted => true,
        BundleStatus::Ordering
        | BundleStatus::Preloaded
        | BundleStatus::Ready
        | BundleStatus::Scheduled
        | BundleStatus::Expired
        | BundleStatus::Terminated
        | BundleStatus::Refused
        | BundleStatus::Unknown => false,
    }
}

impl PoolSettings {
    /// The threshold that what is left has come to, unless that period was told of before.
    pub fn is_low(&self, left: &DataLeft, told_for: Option<DateTime<Utc>>) -> Option<u32> {
        let threshold = self.balance_low_percent?;
        (left.percent <= threshold && told_for != Some(left.period)).then_some(threshold)
    }

    /// Up to which moment plans end soon; `None` when that is not told of.
    pub fn ends_soon_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.expiry_warning_days.map(|days| now + TimeDelta::days(i64::from(days)))
    }

    /// Whether an end is near that was not told of before.
    pub fn ends_soon(
        &self,
        ends_at: DateTime<Utc>,
        told_for: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> bool {
        let near = self.ends_soon_until(now).is_some_and(|until| ends_at <= until);
        near && ends_at > now && told_for != Some(ends_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{AccountName, PoolName};
    use crate::pool::DEFAULT_SELLABLE;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000 + second, 0).unwrap()
    }

    fn data(remaining: Option<u64>, total: Option<u64>, ends_at: Option<i64>) -> Balance {
        Balance {
            resource: "DATA".to_owned(),
            unit: BalanceUnit::Bytes,
            remaining,
            total,
            starts_at: None,
            ends_at: ends_at.map(at),
        }
    }

    fn pool(balance_low_percent: Option<u32>, expiry_warning_days: Option<u32>) -> PoolSettings {
        PoolSettings {
            pool: PoolName::parse("world").unwrap(),
            carrier_account: AccountName::parse("spc").unwrap(),
            name: "World".to_owned(),
            low_threshold: None,
            critical_threshold: None,
            safety_buffer: 0,
            lead_time_days: None,
            shelf_life_days: None,
            balance_low_percent,
            expiry_warning_days,
            sellable_statuses: DEFAULT_SELLABLE.to_vec(),
            activation: None,
        }
    }

    #[test]
    fn only_data_counts_and_only_when_all_of_it_is_known() {
        let percent = |balances: &[Balance]| data_left(balances, None).map(|left| left.percent);
        assert_eq!(percent(&[data(Some(199), Some(1000), None)]), Some(19));
        assert_eq!(percent(&[data(Some(0), Some(100), None), data(Some(100), Some(100), None)]), Some(50));
        assert_eq!(percent(&[data(Some(300), Some(100), None)]), Some(100));
        assert_eq!(percent(&[data(Some(u64::MAX), Some(1), None)]), Some(100));
        let voice = Balance { unit: BalanceUnit::Seconds, ..data(Some(0), Some(60), None) };
        assert_eq!(percent(std::slice::from_ref(&voice)), None);
        assert_eq!(percent(&[voice, data(Some(1), Some(2), None)]), Some(50));
        for unknown in [data(None, Some(1), None), data(Some(1), None, None), data(Some(0), Some(0), None)] {
            assert_eq!(percent(&[unknown]), None);
        }
        assert_eq!(percent(&[data(Some(1), Some(100), None), data(Some(1), None, None)]), None);
        assert_eq!(percent(&[]), None);
    }

    #[test]
    fn a_low_balance_is_told_once_per_period() {
        let wants = pool(Some(20), None);
        let left =
            |remaining, ends| data_left(&[data(Some(remaining), Some(100), ends)], Some(at(9))).unwrap();
        assert_eq!(wants.is_low(&left(21, None), None), None);
        assert_eq!(wants.is_low(&left(20, None), None), Some(20));
        assert_eq!(wants.is_low(&left(5, None), Some(at(9))), None, "by the plan's end");
        assert_eq!(wants.is_low(&left(5, Some(3)), Some(at(9))), Some(20), "another period");
        assert_eq!(wants.is_low(&left(0, Some(3)), Some(at(3))), None);
        assert_eq!(pool(None, None).is_low(&left(0, None), None), None);
    }

    #[test]
    fn a_near_end_is_told_once_per_end() {
        let wants = pool(None, Some(1));
        let day = 86_400;
        assert!(!wants.ends_soon(at(day + 1), None, at(0)));
        assert!(wants.ends_soon(at(day), None, at(0)));
        assert!(!wants.ends_soon(at(day), Some(at(day)), at(0)));
        assert!(wants.ends_soon(at(day), Some(at(day - 1)), at(0)));
        assert!(!wants.ends_soon(at(0), None, at(0)), "over is not soon");
        assert!(!pool(None, None).ends_soon(at(1), None, at(0)));
    }
}
