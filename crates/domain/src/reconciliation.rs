//! Reconciliations: comparisons of the whole stock with the carriers.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};

/// Status of a reconciliation.
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
pub enum ReconciliationStatus {
    /// Under way.
    Running,
    /// Everything that could be read was compared.
    Completed,
    /// It could not go on: what was not read is not known.
    Failed,
}

/// What a reconciliation has found so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReconciliationCounts {
    /// Profiles compared.
    pub compared: u64,
    /// Profiles that could not be read.
    pub unread: u64,
    /// Differences.
    pub drifts: u64,
    /// Those of them that a rule made right.
    pub healed: u64,
    /// Lines at the carriers that are not in the stock.
    pub unknown_lines: u64,
    /// Lines that were not in the stock and have been taken into it.
    pub adopted: u64,
}

/// Two comparisons this far apart must miss the same thing before it counts as missing.
pub const LOOK_TWICE: TimeDelta = TimeDelta::seconds(60);

/// A fleet page that cannot be read is tried this often.
pub const PAGE_TRIES: u32 = 5;

/// When a sold profile is compared next, after `checks` comparisons since the sale; `None` when it is watched no
/// closer than the rest of the stock. Most of what goes wrong with a sale goes wrong at once.
pub fn next_check(checks: u32) -> Option<TimeDelta> {
    match checks {
        0 => Some(TimeDelta::minutes(10)),
        1 => Some(TimeDelta::hours(1)),
        2 => Some(TimeDelta::hours(6)),
        3..=32 => Some(TimeDelta::days(1)),
        _ => None,
    }
}

/// How far a reconciliation has come. Kept as one number, so that another process can go on from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cursor {
    /// Reads the accounts' fleets: statuses, and lines that are not in the stock.
    Fleet {
        /// Which account, in the order of their names, from 0.
        account: u32,
        /// Its page, from 1.
        page: u32,
        /// How often the page could not be read.
        tries: u32,
    },
    /// Compares every profile by its row.
    Profiles {
        /// The last row that was compared.
        after: i64,
    },
    /// Looks once more at what was not found the first time.
    Again {
        /// The last row that was looked at again.
        after: i64,
    },
}

/// Pages per account, at most, in the number's layout.
const PAGES: i64 = 1_000_000;
/// Tries per page, at most, in the number's layout.
const TRIES: i64 = 10;
/// Where the second look begins: above every row.
const AGAIN: i64 = 1 << 62;

impl Cursor {
    /// Where a reconciliation begins.
    pub const START: Self = Self::Fleet { account: 0, page: 1, tries: 0 };

    /// As it is stored: fleets below zero, rows from zero, second looks far above.
    pub fn encode(self) -> i64 {
        match self {
            Self::Fleet { account, page, tries } => {
                -((i64::from(account) * PAGES + i64::from(page)) * TRIES + i64::from(tries))
            }
            Self::Profiles { after } => after,
            Self::Again { after } => AGAIN + after,
        }
    }

    /// As it was stored.
    pub fn decode(stored: i64) -> Self {
        if stored < 0 {
            let part = |number: i64| u32::try_from(number).unwrap_or_default();
            let (place, tries) = (-(stored / TRIES), -(stored % TRIES));
            return Self::Fleet {
                account: part(place / PAGES),
                page: part(place % PAGES),
                tries: part(tries),
            };
        }
        if stored >= AGAIN { Self::Again { after: stored - AGAIN } } else { Self::Profiles { after: stored } }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_sale_is_watched_closely_at_first() {
        let watched: TimeDelta = (0..).map_while(next_check).sum();
        assert_eq!(watched.num_days(), 30);
        assert_eq!(next_check(0), Some(TimeDelta::minutes(10)));
        assert_eq!(next_check(33), None);
    }

    fn cursor() -> impl Strategy<Value = Cursor> {
        prop_oneof![
            (0u32..1000, 1u32..1_000_000, 0u32..10).prop_map(|(account, page, tries)| Cursor::Fleet {
                account,
                page,
                tries
            }),
            (0..AGAIN).prop_map(|after| Cursor::Profiles { after }),
            (0..AGAIN).prop_map(|after| Cursor::Again { after }),
        ]
    }

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_it_was_stored(cursor in cursor()) {
            prop_assert_eq!(Cursor::decode(cursor.encode()), cursor);
        }
    }
}
