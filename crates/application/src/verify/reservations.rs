//! Pools and holds against their events.

use simdepot_domain::event::{Fact, SubjectKind};
use simdepot_domain::hold::HoldStatus;
use simdepot_domain::pool::AlertLevel;
use simdepot_persistence::Conn;
use simdepot_persistence::events::StoredEvent;
use simdepot_persistence::pools::{self, Pool};
use simdepot_persistence::verification::{self, VerifiedHold};

use super::profiles::same_moment;
use super::walk::Kind;
use super::{CHUNK, Report};
use crate::depot::Depot;
use crate::error::AppError;

/// Every pool.
pub(super) struct Pools;

impl Kind for Pools {
    type Row = Pool;
    const KIND: SubjectKind = SubjectKind::Pool;

    /// There are few: all at once.
    fn rows(conn: &mut Conn<'_>, _: &Depot, after: Option<&Pool>) -> Result<Vec<Pool>, AppError> {
        if after.is_some() { Ok(Vec::new()) } else { Ok(pools::list(conn)?) }
    }

    fn subject(pool: &Pool) -> String {
        pool.settings.pool.to_string()
    }

    fn version(pool: &Pool) -> i64 {
        pool.version
    }

    fn differs(pool: &Pool, story: &[StoredEvent]) -> Option<String> {
        let name = &pool.settings.pool;
        let account = story.iter().rev().find_map(|event| match &event.fact {
            Fact::PoolCreated { carrier_account }
            | Fact::PoolChanged { carrier_account: Some(carrier_account), .. } => Some(carrier_account),
            _ => None,
        });
        if account != Some(&pool.settings.carrier_account) {
            return Some(format!("pool {name} is of another carrier account than its events say"));
        }
        let level = story.iter().rev().find_map(|event| match &event.fact {
            Fact::PoolStockLow { level, .. } | Fact::PoolStockRecovered { level, .. } => Some(*level),
            _ => None,
        });
        let level = level.unwrap_or(AlertLevel::Ok);
        (level != pool.alert_level)
            .then(|| format!("pool {name} was alerted as {} but its events say {level}", pool.alert_level))
    }

    fn count(report: &mut Report, _: &Pool) {
        report.pools += 1;
    }
}

/// Every hold.
pub(super) struct Holds;

impl Kind for Holds {
    type Row = VerifiedHold;
    const KIND: SubjectKind = SubjectKind::Hold;

    fn rows(
        conn: &mut Conn<'_>,
        _: &Depot,
        after: Option<&VerifiedHold>,
    ) -> Result<Vec<VerifiedHold>, AppError> {
        Ok(verification::holds_after(conn, after.map(|hold| hold.id), CHUNK)?)
    }

    fn subject(hold: &VerifiedHold) -> String {
        hold.id.to_string()
    }

    fn version(hold: &VerifiedHold) -> i64 {
        hold.version
    }

    fn differs(hold: &VerifiedHold, story: &[StoredEvent]) -> Option<String> {
        let id = hold.id;
        let (mut status, mut expiry, mut became, mut reserved) = (HoldStatus::Active, None, None, None);
        let mut same_place = false;
        for event in story {
            match &event.fact {
                Fact::HoldCreated { channel, pool, quantity, expires_at } => {
                    (reserved, expiry) = (Some(i64::from(*quantity)), Some(*expires_at));
                    same_place =
                        channel.as_str() == hold.channel && Some(pool.as_str()) == hold.pool.as_deref();
                }
                Fact::HoldExtended { expires_at } => expiry = Some(*expires_at),
                Fact::HoldEnded { status: ended, order } => (status, became) = (*ended, *order),
                _ => {}
            }
        }
        if status != hold.status {
            return Some(format!("hold {id} is {} but its events say {status}", hold.status));
        }
        if became != hold.order {
            return Some(format!("hold {id} became another order than its events say"));
        }
        if !same_place {
            return Some(format!("hold {id} is of another channel or pool than its events say"));
        }
        if reserved != Some(hold.quantity) || !expiry.is_some_and(|told| same_moment(told, hold.expires_at)) {
            return Some(format!(
                "hold {id} reserves another number, or until another moment, than its events say"
            ));
        }
        None
    }

    fn count(report: &mut Report, _: &VerifiedHold) {
        report.holds += 1;
    }
}
