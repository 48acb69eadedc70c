//! Profiles on their way in, and out again while nobody touched them.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use simdepot_domain::eid::Eid;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::ImportId;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::observation::Observation;
use simdepot_domain::profile::{FormFactor, QuarantineReason};
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::StockStatus;

use crate::allocations::{Restock, restock};
use crate::dialect::{self, Passing};
use crate::error::{Result, ensure_affected};
use crate::schema::profiles;
use crate::sql_types::{At, Doc, Uid};
use crate::stock_counts::{self, Move};
use crate::store::Conn;

/// Profiles of an import that nobody has touched, as a count, and of all.
///
/// # Errors
/// When they cannot be counted.
pub fn untouched(conn: &mut Conn<'_>, import: ImportId) -> Result<(i64, i64)> {
    let of_import = || profiles::table.filter(profiles::import_id.eq(Uid(import.0)));
    let all: i64 = of_import().count().get_result(conn.db)?;
    let fresh: i64 = of_import().filter(profiles::version.eq(0)).count().get_result(conn.db)?;
    Ok((fresh, all))
}

/// Removes the untouched profiles of an import, with their secrets.
///
/// # Errors
/// [`crate::StoreError::RowsAffected`] when one was touched in between.
pub fn delete_untouched(
    conn: &mut Conn<'_>,
    import: ImportId,
    expected: i64,
    now: DateTime<Utc>,
) -> Result<()> {
    let guard = profiles::table.filter(profiles::import_id.eq(Uid(import.0))).filter(profiles::version.eq(0));
    let gone: Vec<Move> = stock_counts::of_import(conn, import)?.into_iter().map(Move::reversed).collect();
    stock_counts::moved(conn, &gone, now)?;
    let removed = diesel::delete(guard).execute(conn.db)?;
    ensure_affected("remove imported profiles", usize::try_from(expected).unwrap_or_default(), removed)
}

/// The first keys of [`Iccid::key`] that are already there.
///
/// # Errors
/// When they cannot be read.
pub fn existing_keys(conn: &mut Conn<'_>, keys: &[&str]) -> Result<Vec<String>> {
    Ok(profiles::table.filter(profiles::sim_key.eq_any(keys)).select(profiles::sim_key).load(conn.db)?)
}

/// A profile about to be imported.
#[derive(Debug, Clone)]
pub struct NewProfile {
    /// Its SIM.
    pub iccid: Iccid,
    /// eSIM or plastic.
    pub form_factor: FormFactor,
    /// Where it starts.
    pub stock: simdepot_domain::pool::InitialStock,
    /// Last moment of sale.
    pub sell_by: DateTime<Utc>,
    /// The line's number.
    pub msisdn: Option<Msisdn>,
    /// The device that holds it.
    pub eid: Option<Eid>,
    /// The line's status in the file.
    pub sim: Option<Observation<SimStatus>>,
}

#[derive(Insertable)]
#[diesel(table_name = profiles, treat_none_as_default_value = false)]
struct NewRow {
    iccid: String,
    sim_key: String,
    form_factor: &'static str,
    pool_id: i64,
    import_id: Uid,
    batch_no: i64,
    imported_as: &'static str,
    stock_status: &'static str,
    quarantine_reason: Option<&'static str>,
    sell_by: At,
    msisdn: Option<String>,
    eid: Option<String>,
    sim_status: Option<&'static str>,
    sim_observed_at: Option<At>,
    sim_dated: Option<bool>,
    sim_received_at: Option<At>,
    sim_source: Option<&'static str>,
    recheck_at: Option<At>,
    tags: Doc,
    created_at: At,
    updated_at: At,
}

/// Where imported profiles go.
#[derive(Debug, Clone, Copy)]
pub struct Batch {
    /// The import.
    pub import: ImportId,
    /// Its number: oldest deliveries are sold first.
    pub batch_no: i64,
    /// Its pool.
    pub pool_id: i64,
    /// When.
    pub at: DateTime<Utc>,
}

/// Inserts profiles in order; ICCIDs that appeared meanwhile are left out. Returns row and ICCID of what was inserted. It
/// passes one by one with the imports that become stock, which look for what came in since by its row.
///
/// # Errors
/// When the database refuses a row for another reason.
pub fn insert_many(conn: &mut Conn<'_>, batch: Batch, new: &[NewProfile]) -> Result<Vec<(i64, String)>> {
    dialect::one_by_one(conn.db, Passing::Imports, "")?;
    let rows: Vec<NewRow> = new.iter().map(|profile| new_row(batch, profile)).collect();
    let inserted: Vec<(i64, String)> = dialect::both!(conn.db, c => diesel::insert_into(profiles::table)
        .values(&rows)
        .on_conflict_do_nothing()
        .returning((profiles::id, profiles::iccid))
        .get_results(c))?;
    let written: HashSet<&str> = inserted.iter().map(|(_, iccid)| iccid.as_str()).collect();
    let new = new.iter().filter(|profile| written.contains(profile.iccid.as_str()));
    let counted: Vec<Move> = new
        .map(|profile| Move {
            pool_id: batch.pool_id,
            from: None,
            to: Some(profile.stock.status()),
            sell_by: profile.sell_by,
            profiles: 1,
        })
        .collect();
    delivered(conn, batch, &counted)?;
    Ok(inserted)
}

/// Counts what a delivery brought into the stock, and tells what of it is on sale.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn delivered(conn: &mut Conn<'_>, batch: Batch, moves: &[Move]) -> Result<()> {
    stock_counts::moved(conn, moves, batch.at)?;
    let on_sale = moves.iter().filter(|one| one.to == Some(StockStatus::Available));
    let Some(sell_by) = on_sale.map(|one| one.sell_by).min() else { return Ok(()) };
    restock(conn, batch.pool_id, Restock::Delivery { batch_no: batch.batch_no, sell_by })
}

fn new_row(batch: Batch, profile: &NewProfile) -> NewRow {
    let status: &'static str = profile.stock.status().into();
    let reason = profile.stock.reason();
    let sim = profile.sim.as_ref();
    NewRow {
        iccid: profile.iccid.to_string(),
        sim_key: profile.iccid.key().to_owned(),
        form_factor: profile.form_factor.into(),
        pool_id: batch.pool_id,
        import_id: Uid(batch.import.0),
        batch_no: batch.batch_no,
        imported_as: status,
        stock_status: status,
        quarantine_reason: reason.map(Into::into),
        sell_by: At(profile.sell_by),
        msisdn: profile.msisdn.as_ref().map(ToString::to_string),
        eid: profile.eid.as_ref().map(ToString::to_string),
        sim_status: sim.map(|seen| seen.status.into()),
        sim_observed_at: sim.map(|seen| At(seen.observed_at)),
        sim_dated: sim.map(|seen| seen.dated_by_carrier),
        sim_received_at: sim.map(|seen| At(seen.received_at)),
        sim_source: sim.map(|seen| seen.source.into()),
        recheck_at: (reason == Some(QuarantineReason::CodeMissing)).then_some(At(batch.at)),
        tags: Doc(serde_json::json!([])),
        created_at: At(batch.at),
        updated_at: At(batch.at),
    }
}
