//! A profile in the stock that is seen in use must not be sold: it is set aside.

use chrono::{DateTime, Utc};
use serde_json::json;
use simdepot_domain::drift::{DriftKind, DriftStatus};
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::profile::{QuarantineReason, Traces, seen_in_use};
use simdepot_domain::stock::{StockCommand, StockStatus, apply};
use simdepot_persistence::profiles::{self, Profile};
use simdepot_persistence::{Conn, events, pools};

use crate::depot::Depot;
use crate::drifts::{self, Difference};
use crate::error::AppError;
use crate::profiles::invalid_transition;

/// Whether a profile is waiting to be sold.
pub(crate) fn is_unsold(profile: &Profile) -> bool {
    match profile.stock_status {
        StockStatus::Available | StockStatus::Held => true,
        StockStatus::Allocated | StockStatus::Quarantined | StockStatus::Retired => false,
    }
}

/// Sets a profile that nobody has bought aside when what is known of it says that it is in use. To be called in the
/// transaction that learned it. Returns whether it was set aside.
///
/// # Errors
/// [`AppError::Store`] with `RowsAffected` when somebody else moved the profile in between.
pub(crate) fn watch(
    conn: &mut Conn<'_>,
    depot: &Depot,
    profile: &mut Profile,
    has_bundle: bool,
    now: DateTime<Utc>,
) -> Result<bool, AppError> {
    if !is_unsold(profile) {
        return Ok(false);
    }
    let pool = pools::get(conn, profile.pool_id)?.settings;
    let traces = Traces {
        sim: profile.sim.as_ref().map(|seen| seen.status),
        esim: profile.esim.as_ref().map(|seen| seen.status),
        device_bound: profile.eid.is_some(),
        has_bundle,
        sellable: &pool.sellable_statuses,
    };
    let Some(about) = seen_in_use(&traces) else {
        return Ok(false);
    };
    let was = profile.stock_status;
    set_aside(conn, depot, profile, QuarantineReason::SeenInUse, now)?;
    let difference =
        Difference { kind: DriftKind::InUseUnsold, about, details: json!({ "stock_status": was }) };
    drifts::found_over(conn, depot, profile, difference, DriftStatus::Healed, now)?;
    Ok(true)
}

/// Sets an unsold profile aside, in the caller's transaction.
///
/// # Errors
/// [`AppError::InvalidTransition`] for one that is sold; [`AppError::Store`] with `RowsAffected` when somebody else
/// moved it in between.
pub(crate) fn set_aside(
    conn: &mut Conn<'_>,
    depot: &Depot,
    profile: &mut Profile,
    reason: QuarantineReason,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    let transition =
        apply(profile.stock_state(), StockCommand::Quarantine, now).map_err(invalid_transition)?;
    let version = profiles::move_stock(conn, profile, transition, Some(reason), now)?;
    let (from, to, hold) = (transition.from, transition.to, profile.hold);
    let fact = Fact::StockMoved { from, to, order: None, hold, quarantine: Some(reason), reason: None };
    events::append(conn, &[depot.event(now, Subject::Profile(profile.iccid.clone()), version, fact)])?;
    metrics::counter!("simdepot_set_aside_total", "reason" => reason.to_string()).increment(1);
    *profile = profiles::get(conn, profile.id)?;
    Ok(())
}
