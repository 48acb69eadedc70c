//! Changes of a profile, each under the version it was read at.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use simdepot_domain::eid::Eid;
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::observation::Observation;
use simdepot_domain::profile::{FormFactor, QuarantineReason};
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::{StockStatus, Transition};

use super::{Profile, get_many};
use crate::allocations::{Restock, restock};
use crate::error::{Result, document, ensure_affected};
use crate::schema::profiles;
use crate::sql_types::{At, Doc, Uid};
use crate::stock_counts::{self, Move};
use crate::store::Conn;

/// Moves a profile that still stands where it was read. Returns its new version.
///
/// # Errors
/// [`crate::StoreError::RowsAffected`] when somebody else moved it in between.
pub fn move_stock(
    conn: &mut Conn<'_>,
    profile: &Profile,
    transition: Transition,
    quarantine: Option<QuarantineReason>,
    now: DateTime<Utc>,
) -> Result<i64> {
    let version = profile.version + 1;
    let guard = profiles::table
        .filter(profiles::id.eq(profile.id))
        .filter(profiles::stock_status.eq(transition.from.as_ref()))
        .filter(profiles::version.eq(profile.version));
    let touched = diesel::update(guard)
        .set((
            profiles::stock_status.eq(transition.to.as_ref()),
            profiles::quarantine_reason.eq(quarantine.map(|reason| reason.to_string())),
            profiles::hold_id.eq(None::<Uid>),
            profiles::recheck_at.eq(None::<At>),
            profiles::version.eq(version),
            profiles::updated_at.eq(At(now)),
        ))
        .execute(conn.db)?;
    ensure_affected("move profile", 1, touched)?;
    let counted = Move::one(profile.pool_id, transition.from, transition.to, profile.sell_by);
    stock_counts::moved(conn, &[counted], now)?;
    if transition.to == StockStatus::Available {
        restock(conn, profile.pool_id, Restock::Profiles(&[profile.id]))?;
    }
    Ok(version)
}

/// What a profile may learn from its carrier.
#[derive(Debug, Clone, Default)]
pub struct Learned {
    /// The line's status.
    pub sim: Option<Observation<SimStatus>>,
    /// The eSIM's status.
    pub esim: Option<Observation<EsimStatus>>,
    /// The line's number.
    pub msisdn: Option<Msisdn>,
    /// Of when the number is; of now unless given.
    pub msisdn_at: Option<DateTime<Utc>>,
    /// The device that holds the eSIM.
    pub eid: Option<Eid>,
    /// It is plastic after all.
    pub form_factor: Option<FormFactor>,
}

#[derive(AsChangeset)]
#[diesel(table_name = profiles)]
struct LearnedChanges {
    sim_status: Option<String>,
    sim_observed_at: Option<At>,
    sim_dated: Option<bool>,
    sim_received_at: Option<At>,
    sim_source: Option<String>,
    esim_status: Option<String>,
    esim_observed_at: Option<At>,
    esim_dated: Option<bool>,
    esim_received_at: Option<At>,
    esim_source: Option<String>,
    msisdn: Option<String>,
    msisdn_at: Option<At>,
    eid: Option<String>,
    form_factor: Option<String>,
    version: i64,
    updated_at: At,
}

/// Records what the carrier said, under the profile's version; `facts` of it became events.
///
/// # Errors
/// [`crate::StoreError::RowsAffected`] when somebody else changed the profile in between.
pub fn learn(
    conn: &mut Conn<'_>,
    profile: &Profile,
    learned: &Learned,
    facts: usize,
    now: DateTime<Utc>,
) -> Result<()> {
    let (sim, esim) = (learned.sim.as_ref(), learned.esim.as_ref());
    let changes = LearnedChanges {
        sim_status: sim.map(|seen| seen.status.to_string()),
        sim_observed_at: sim.map(|seen| At(seen.observed_at)),
        sim_dated: sim.map(|seen| seen.dated_by_carrier),
        sim_received_at: sim.map(|seen| At(seen.received_at)),
        sim_source: sim.map(|seen| seen.source.to_string()),
        esim_status: esim.map(|seen| seen.status.to_string()),
        esim_observed_at: esim.map(|seen| At(seen.observed_at)),
        esim_dated: esim.map(|seen| seen.dated_by_carrier),
        esim_received_at: esim.map(|seen| At(seen.received_at)),
        esim_source: esim.map(|seen| seen.source.to_string()),
        msisdn: learned.msisdn.as_ref().map(ToString::to_string),
        msisdn_at: learned.msisdn.as_ref().map(|_| At(learned.msisdn_at.unwrap_or(now))),
        eid: learned.eid.as_ref().map(ToString::to_string),
        form_factor: learned.form_factor.map(|form| form.to_string()),
        version: profile.version + i64::try_from(facts).unwrap_or_default(),
        updated_at: At(now),
    };
    let guard =
        profiles::table.filter(profiles::id.eq(profile.id)).filter(profiles::version.eq(profile.version));
    ensure_affected("learn about profile", 1, diesel::update(guard).set(&changes).execute(conn.db)?)
}

/// What a person may edit.
#[derive(Debug, Clone, Default)]
pub struct ProfileEdit {
    /// Another pool.
    pub pool_id: Option<i64>,
    /// Labels.
    pub tags: Option<Vec<String>>,
    /// Note; `Some(None)` takes it away.
    pub note: Option<Option<String>>,
    /// Last moment of sale.
    pub sell_by: Option<DateTime<Utc>>,
}

#[derive(AsChangeset)]
#[diesel(table_name = profiles)]
struct EditChanges {
    pool_id: Option<i64>,
    tags: Option<Doc>,
    note: Option<Option<String>>,
    sell_by: Option<At>,
    version: i64,
    updated_at: At,
}

/// Applies an edit under the profile's version. Returns the new version.
///
/// # Errors
/// [`crate::StoreError::RowsAffected`] when somebody else changed the profile in between.
pub fn edit(conn: &mut Conn<'_>, profile: &Profile, edit: &ProfileEdit, now: DateTime<Utc>) -> Result<i64> {
    let changes = EditChanges {
        pool_id: edit.pool_id,
        tags: edit.tags.as_ref().map(|tags| document(tags).map(Doc)).transpose()?,
        note: edit.note.clone(),
        sell_by: edit.sell_by.map(At),
        version: profile.version + 1,
        updated_at: At(now),
    };
    let guard =
        profiles::table.filter(profiles::id.eq(profile.id)).filter(profiles::version.eq(profile.version));
    ensure_affected("edit profile", 1, diesel::update(guard).set(&changes).execute(conn.db)?)?;
    let (pool_id, sell_by) =
        (edit.pool_id.unwrap_or(profile.pool_id), edit.sell_by.unwrap_or(profile.sell_by));
    if (pool_id, sell_by) != (profile.pool_id, profile.sell_by) {
        let there = Move { pool_id, from: None, to: Some(profile.stock_status), sell_by, profiles: 1 };
        let here = Move { pool_id: profile.pool_id, sell_by: profile.sell_by, ..there }.reversed();
        stock_counts::moved(conn, &[here, there], now)?;
        if profile.stock_status == StockStatus::Available {
            restock(conn, pool_id, Restock::Profiles(&[profile.id]))?;
        }
    }
    Ok(changes.version)
}

/// Records that the codes of these profiles leave simdepot: one version each. Later reveals keep the first moment.
///
/// # Errors
/// [`crate::StoreError::RowsAffected`] when a profile changed in between.
pub fn reveal(conn: &mut Conn<'_>, revealed: &[Profile], now: DateTime<Utc>) -> Result<()> {
    for profile in revealed {
        let guard =
            profiles::table.filter(profiles::id.eq(profile.id)).filter(profiles::version.eq(profile.version));
        let touched = diesel::update(guard)
            .set((
                profiles::revealed_at.eq(At(profile.revealed_at.unwrap_or(now))),
                profiles::version.eq(profile.version + 1),
                profiles::updated_at.eq(At(now)),
            ))
            .execute(conn.db)?;
        ensure_affected("reveal profile", 1, touched)?;
    }
    Ok(())
}

/// Takes up to `limit` profiles whose delivery waits for the carrier's record, and postpones their next turn to
/// `next`: a worker that dies leaves them to the next round.
///
/// # Errors
/// When they cannot be read.
pub fn take_rechecks(
    conn: &mut Conn<'_>,
    now: DateTime<Utc>,
    next: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Profile>> {
    let ids: Vec<i64> = profiles::table
        .filter(profiles::recheck_at.le(At(now)))
        .order(profiles::recheck_at)
        .limit(limit)
        .select(profiles::id)
        .load(conn.db)?;
    // Guarded again by the date: of two workers that read the same rows one gets each.
    let taken: Vec<i64> = diesel::update(
        profiles::table.filter(profiles::id.eq_any(ids)).filter(profiles::recheck_at.le(At(now))),
    )
    .set(profiles::recheck_at.eq(At(next)))
    .returning(profiles::id)
    .get_results(conn.db)?;
    get_many(conn, &taken)
}

/// Whether a profile that waits for the carrier's record is due.
///
/// # Errors
/// When it cannot be read.
pub fn any_recheck_due(conn: &mut Conn<'_>, now: DateTime<Utc>) -> Result<bool> {
    let found: Option<i64> = profiles::table
        .filter(profiles::recheck_at.le(At(now)))
        .order(profiles::recheck_at)
        .select(profiles::id)
        .first(conn.db)
        .optional()?;
    Ok(found.is_some())
}

/// Moves the version alone, for an event whose change lies in another table.
///
/// # Errors
/// [`crate::StoreError::RowsAffected`] when somebody else changed the profile in between.
pub fn bump(conn: &mut Conn<'_>, profile: &Profile, now: DateTime<Utc>) -> Result<i64> {
    let version = profile.version + 1;
    let guard =
        profiles::table.filter(profiles::id.eq(profile.id)).filter(profiles::version.eq(profile.version));
    let touched = diesel::update(guard)
        .set((profiles::version.eq(version), profiles::updated_at.eq(At(now))))
        .execute(conn.db)?;
    ensure_affected("bump profile", 1, touched)?;
    Ok(version)
}
