//! Holds: profiles of a pool reserved for a channel until a deadline.
//!
//! A hold ends once: it becomes an order, is given back, or its deadline passes. [`apply`] is the whole rule. It goes
//! by the deadline and not by whether somebody has swept the hold away yet, so a checkout cannot slip through between.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};
use thiserror::Error;

use crate::channel::PoolName;
use crate::order::OrderLine;

/// Shortest time to a hold's deadline, in seconds.
pub const MIN_TTL_SECONDS: u32 = 1;
/// Longest time to a hold's deadline, in seconds: seven days.
pub const MAX_TTL_SECONDS: u32 = 7 * 24 * 60 * 60;
/// Most profiles that the active holds of one channel reserve together.
pub const MAX_HELD: u32 = 1_000;

/// Status of a hold.
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
pub enum HoldStatus {
    /// Its profiles are reserved.
    Active,
    /// It became an order.
    Converted,
    /// Given back before its deadline.
    Released,
    /// Its deadline passed.
    Expired,
}

/// A hold's standing, as far as the commands look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldState {
    /// Where it stands as it was written.
    pub status: HoldStatus,
    /// From this moment on it reserves nothing.
    pub expires_at: DateTime<Utc>,
}

impl HoldState {
    /// Where it stands: an active hold is expired from its deadline on, swept or not.
    pub fn status_at(self, now: DateTime<Utc>) -> HoldStatus {
        match self.status {
            HoldStatus::Active if self.expires_at <= now => HoldStatus::Expired,
            HoldStatus::Active | HoldStatus::Converted | HoldStatus::Released | HoldStatus::Expired => {
                self.status
            }
        }
    }
}

/// What can be asked of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, AsRefStr, Display, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum HoldCommand {
    /// Give it another deadline.
    Extend,
    /// Make it an order.
    Convert,
    /// Give its profiles back.
    Release,
    /// Sweep it away after its deadline.
    Expire,
}

/// A command that the rules forbid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a hold that is {from} cannot take the command {command}")]
pub struct HoldError {
    /// Where the hold stands at that moment.
    pub from: HoldStatus,
    /// What was asked.
    pub command: HoldCommand,
    /// Why not.
    pub reason: HoldRefusal,
}

/// Why a command is forbidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldRefusal {
    /// It reserves nothing any more: its deadline has passed, or it was given back.
    Over,
    /// The command does not apply to this status.
    WrongStatus,
}

/// Where a hold stands after a command. Giving back what is over already is fine and changes nothing.
///
/// # Errors
/// [`HoldError`] says where it stands and why that cannot be.
pub fn apply(state: HoldState, command: HoldCommand, now: DateTime<Utc>) -> Result<HoldStatus, HoldError> {
    use HoldCommand as C;
    use HoldStatus as S;
    let from = state.status_at(now);
    let refuse = |reason| Err(HoldError { from, command, reason });
    match (from, command) {
        (S::Active, C::Extend) => Ok(S::Active),
        (S::Active, C::Convert) => Ok(S::Converted),
        (S::Active | S::Released, C::Release) => Ok(S::Released),
        // Whoever comes after the deadline finds it passed, even when he is the one who writes it down.
        (S::Expired, C::Release | C::Expire) => Ok(S::Expired),
        (S::Released | S::Expired, C::Extend | C::Convert) => refuse(HoldRefusal::Over),
        (S::Active | S::Released, C::Expire)
        | (S::Converted, C::Extend | C::Convert | C::Release | C::Expire) => refuse(HoldRefusal::WrongStatus),
    }
}

/// A line of an order that its hold does not cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutOfBounds {
    /// It takes from another pool.
    Pool {
        /// Which line, from 0.
        line: usize,
    },
    /// With it the order takes more than the hold reserves.
    Quantity {
        /// Which line, from 0.
        line: usize,
        /// How many the lines before it have left.
        left: u32,
    },
}

/// The lines that a hold of `quantity` profiles of `pool` does not cover.
pub fn out_of_bounds(pool: &PoolName, quantity: u32, lines: &[OrderLine]) -> Vec<OutOfBounds> {
    let mut left = quantity;
    let mut wrong = Vec::new();
    for (line, asked) in lines.iter().enumerate() {
        if asked.pool != *pool {
            wrong.push(OutOfBounds::Pool { line });
        } else if asked.quantity > left {
            wrong.push(OutOfBounds::Quantity { line, left });
        } else {
            left -= asked.quantity;
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn after(status: HoldStatus, command: HoldCommand, now: i64) -> Result<HoldStatus, HoldRefusal> {
        let state = HoldState { status, expires_at: at(100) };
        apply(state, command, at(now)).map_err(|error| {
            assert_eq!((error.from, error.command), (state.status_at(at(now)), command));
            error.reason
        })
    }

    #[test]
    fn the_whole_matrix() {
        use HoldCommand::*;
        use HoldRefusal::*;
        use HoldStatus::*;
        for (status, now, expected) in [
            (Active, 99, [Ok(Active), Ok(Converted), Ok(Released), Err(WrongStatus)]),
            (Active, 100, [Err(Over), Err(Over), Ok(Expired), Ok(Expired)]),
            (Released, 99, [Err(Over), Err(Over), Ok(Released), Err(WrongStatus)]),
            (Released, 101, [Err(Over), Err(Over), Ok(Released), Err(WrongStatus)]),
            (Expired, 101, [Err(Over), Err(Over), Ok(Expired), Ok(Expired)]),
            (Converted, 99, [Err(WrongStatus); 4]),
            (Converted, 101, [Err(WrongStatus); 4]),
        ] {
            for (command, expected) in [Extend, Convert, Release, Expire].into_iter().zip(expected) {
                assert_eq!(after(status, command, now), expected, "{status} {command} at {now}");
            }
        }
    }

    fn line(pool: &str, quantity: u32) -> OrderLine {
        let pool = PoolName::parse(pool).unwrap();
        OrderLine { pool, product: None, quantity, carrier_parameters: None }
    }

    #[test]
    fn a_hold_bounds_its_orders_lines() {
        let pool = PoolName::parse("world").unwrap();
        let wrong = |lines: &[OrderLine]| out_of_bounds(&pool, 3, lines);
        assert_eq!(wrong(&[line("world", 2), line("world", 1)]), []);
        assert_eq!(wrong(&[line("world", 1)]), []);
        assert_eq!(
            wrong(&[line("world", 2), line("other", 1), line("world", 2), line("world", 1)]),
            [OutOfBounds::Pool { line: 1 }, OutOfBounds::Quantity { line: 2, left: 1 }]
        );
        assert_eq!(wrong(&[line("world", 4)]), [OutOfBounds::Quantity { line: 0, left: 3 }]);
    }

    proptest! {
        /// It ends once, never at its holder's wish after the deadline, and nothing brings it back.
        #[test]
        fn random_walks_end_once(
            steps in prop::collection::vec((0..HoldCommand::VARIANTS.len(), 0i64..40), 0..30)
        ) {
            let mut state = HoldState { status: HoldStatus::Active, expires_at: at(60) };
            let mut now = 0;
            for (command, passed) in steps {
                now += passed;
                let command = HoldCommand::VARIANTS[command];
                let Ok(status) = apply(state, command, at(now)) else { continue };
                if state.status != HoldStatus::Active {
                    prop_assert_eq!(status, state.status);
                }
                if matches!(status, HoldStatus::Converted | HoldStatus::Active) {
                    prop_assert!(at(now) < state.expires_at);
                }
                state.status = status;
                if command == HoldCommand::Extend {
                    state.expires_at = at(now + 60);
                }
            }
        }
    }
}
