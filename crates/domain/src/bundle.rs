//! A bundle: one product placed on one profile.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};

use crate::observation::{REPLICA_LAG, TIE_WINDOW};
use crate::sim::SimStatus;

/// Status of a bundle, in our words for the carrier's.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    AsRefStr,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum BundleStatus {
    /// Ours: the order is on its way to the carrier.
    Ordering,
    /// Waits on a pre-activated line for the first use.
    Preloaded,
    /// Waits on an active line for use in a covered country.
    Ready,
    /// Starts at a fixed later moment.
    Scheduled,
    /// Running.
    Active,
    /// Running, nothing left.
    Exhausted,
    /// Its time is over.
    Expired,
    /// Ended before its time.
    Terminated,
    /// Ours: the carrier did not take the order.
    Refused,
    /// Ours: the carrier may or may not have taken the order.
    Unknown,
}

/// One sighting of a bundle's status at the carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BundleSighting {
    /// What was seen.
    pub status: BundleStatus,
    /// The carrier's date of it, or the time of its reply.
    pub observed_at: DateTime<Utc>,
    /// Whether `observed_at` is the carrier's own date.
    pub dated_by_carrier: bool,
}

/// What to do with a sighting of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BundleVerdict {
    /// The bundle stands there now.
    Moves,
    /// It stood there already.
    Confirms,
    /// Something later in its life, or newer, is known: keep that.
    Stale,
}

/// How far along its life a bundle is, as far as the carrier tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Ours alone: the carrier has not confirmed it.
    Ours,
    Waiting,
    Running,
    UsedUp,
    Over,
}

impl BundleStatus {
    /// Whether nothing follows: its time is over, it was ended, or it never came to be.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Expired | Self::Terminated | Self::Refused)
    }

    /// Whether the carrier has it and its owner can use it, now or later.
    pub fn is_usable(self) -> bool {
        match self {
            Self::Preloaded | Self::Ready | Self::Scheduled | Self::Active | Self::Exhausted => true,
            Self::Ordering | Self::Expired | Self::Terminated | Self::Refused | Self::Unknown => false,
        }
    }

    fn stage(self) -> Stage {
        match self {
            Self::Ordering | Self::Unknown | Self::Refused => Stage::Ours,
            Self::Preloaded | Self::Ready | Self::Scheduled => Stage::Waiting,
            Self::Active => Stage::Running,
            Self::Exhausted => Stage::UsedUp,
            Self::Expired | Self::Terminated => Stage::Over,
        }
    }

    /// Weighs a sighting against a bundle that stands here since `known_at` (`None` while only our own write tells it).
    ///
    /// A life goes forward, so a later stage is believed whatever its date, and an end is never taken back. Only what
    /// is used up may run again, when a newer word says so: a renewal grants the allowance anew.
    pub fn weigh(self, known_at: Option<DateTime<Utc>>, seen: &BundleSighting) -> BundleVerdict {
        let margin = if seen.dated_by_carrier { TIE_WINDOW } else { REPLICA_LAG };
        let gap = known_at.map(|known| seen.observed_at - known);
        let not_older = gap.is_none_or(|gap| gap >= -TIE_WINDOW);
        let moves = match (self.stage(), seen.status.stage()) {
            (_, Stage::Ours) | (Stage::Over, _) => false,
            _ if self == seen.status => return BundleVerdict::Confirms,
            (Stage::Ours, _) | (_, Stage::Over) | (Stage::Waiting, Stage::Running | Stage::UsedUp) => true,
            (Stage::Waiting, Stage::Waiting) | (Stage::Running, Stage::UsedUp) => not_older,
            (Stage::UsedUp, Stage::Running) => gap.is_some_and(|gap| gap > margin),
            (Stage::Running | Stage::UsedUp, Stage::Waiting)
            | (Stage::Running, Stage::Running)
            | (Stage::UsedUp, Stage::UsedUp) => false,
        };
        if moves { BundleVerdict::Moves } else { BundleVerdict::Stale }
    }
}

/// How a product is put on a line (Transatel `orderType`).
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    AsRefStr,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum OrderType {
    /// On a pre-activated line: waits for its first use.
    Preload,
    /// On an active line.
    Subscribe,
}

impl OrderType {
    /// The one that fits a line in `status`; `None` when the line takes no product.
    pub fn for_line(status: SimStatus) -> Option<Self> {
        match status {
            SimStatus::Preactivated => Some(Self::Preload),
            SimStatus::Active => Some(Self::Subscribe),
            SimStatus::Available
            | SimStatus::Loaded
            | SimStatus::Suspended
            | SimStatus::TestMode
            | SimStatus::TariffHoliday
            | SimStatus::Terminated
            | SimStatus::Ceased => None,
        }
    }

    /// The other one: what to try once when the line changed between the read and the order.
    pub fn other(self) -> Self {
        match self {
            Self::Preload => Self::Subscribe,
            Self::Subscribe => Self::Preload,
        }
    }
}

/// What is left of one resource of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// The carrier's name of the resource, for example `DATA_BUNDLE_COUNTRY`.
    pub resource: String,
    /// Unit of the two amounts.
    pub unit: BalanceUnit,
    /// What is left; `None` when unlimited.
    pub remaining: Option<u64>,
    /// What it began with, where the carrier says so.
    pub total: Option<u64>,
    /// When the resource starts to count.
    pub starts_at: Option<DateTime<Utc>>,
    /// When what is left is lost.
    pub ends_at: Option<DateTime<Utc>>,
}

/// Unit of a balance. Data is in bytes, whatever the carrier counts in.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    AsRefStr,
    Display,
    EnumString,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum BalanceUnit {
    /// Bytes of data.
    Bytes,
    /// Seconds of voice.
    Seconds,
    /// Text messages.
    Messages,
    /// Hundredths of a currency unit.
    Cents,
    /// A unit that the carrier's documents do not name.
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;
    use BundleStatus::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000 + second, 0).unwrap()
    }

    fn event(status: BundleStatus, second: i64) -> BundleSighting {
        BundleSighting { status, observed_at: at(second), dated_by_carrier: true }
    }

    fn read(status: BundleStatus, second: i64) -> BundleSighting {
        BundleSighting { dated_by_carrier: false, ..event(status, second) }
    }

    /// Where a bundle that was just placed ends after these events.
    fn end_of(events: &[BundleSighting]) -> BundleStatus {
        let (mut status, mut since) = (Preloaded, None);
        for seen in events {
            match status.weigh(since, seen) {
                BundleVerdict::Moves => (status, since) = (seen.status, Some(seen.observed_at)),
                BundleVerdict::Confirms => since = since.max(Some(seen.observed_at)),
                BundleVerdict::Stale => {}
            }
        }
        status
    }

    fn permutations(events: &[BundleSighting]) -> Vec<Vec<BundleSighting>> {
        if events.len() < 2 {
            return vec![events.to_vec()];
        }
        (0..events.len())
            .flat_map(|first| {
                let mut rest = events.to_vec();
                let head = rest.remove(first);
                permutations(&rest).into_iter().map(move |tail| [vec![head], tail].concat())
            })
            .collect()
    }

    #[test]
    fn a_life_ends_the_same_in_whatever_order_it_is_told() {
        let life = [
            event(Preloaded, 0),
            event(Active, 100),
            event(Exhausted, 200),
            event(Active, 300),
            event(Exhausted, 400),
        ];
        for order in permutations(&life) {
            assert_eq!(end_of(&order), Exhausted, "{order:?}");
        }
        let renewed = [event(Preloaded, 0), event(Active, 100), event(Exhausted, 200), event(Active, 300)];
        for order in permutations(&renewed) {
            assert_eq!(end_of(&order), Active, "{order:?}");
        }
        let over = [event(Active, 100), event(Exhausted, 200), event(Active, 300), event(Expired, 400)];
        for order in permutations(&over) {
            assert_eq!(end_of(&order), Expired, "{order:?}");
        }
    }

    #[test]
    fn an_end_is_never_taken_back() {
        use strum::VariantArray;
        for known in [Expired, Terminated] {
            for status in BundleStatus::VARIANTS {
                let verdict = known.weigh(Some(at(0)), &event(*status, 1_000_000));
                assert_ne!(verdict, BundleVerdict::Moves, "{known} {status}");
            }
        }
    }

    #[test]
    fn a_lagging_read_does_not_renew() {
        let known = Some(at(100));
        assert_eq!(Exhausted.weigh(known, &read(Active, 130)), BundleVerdict::Stale);
        assert_eq!(Exhausted.weigh(known, &event(Active, 130)), BundleVerdict::Moves);
        assert_eq!(Exhausted.weigh(known, &read(Active, 161)), BundleVerdict::Moves);
        assert_eq!(Active.weigh(known, &read(Preloaded, 1_000)), BundleVerdict::Stale);
    }

    #[test]
    fn words_that_are_ours_say_nothing_of_the_carriers() {
        for status in [Ordering, Refused, Unknown] {
            assert_eq!(Preloaded.weigh(None, &read(status, 10)), BundleVerdict::Stale);
            assert_eq!(status.weigh(None, &read(Active, 10)), BundleVerdict::Moves);
        }
    }
}
