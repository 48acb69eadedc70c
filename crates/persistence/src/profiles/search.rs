//! Searching the stock.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};
use simdepot_domain::eid::Eid;
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::ImportId;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::StockStatus;

use super::{Profile, profiles_of};
use crate::error::Result;
use crate::schema::{allocations, orders, profiles};
use crate::sql_types::Uid;
use crate::store::Conn;

/// What a search asks for. Everything given must hold.
#[derive(Debug, Clone, Default)]
pub struct ProfileFilter {
    /// In this pool.
    pub pool_id: Option<i64>,
    /// Standing there.
    pub stock_status: Option<StockStatus>,
    /// With the line seen there.
    pub sim_status: Option<SimStatus>,
    /// With the eSIM seen there.
    pub esim_status: Option<EsimStatus>,
    /// From this delivery.
    pub batch: Option<ImportId>,
    /// With a line in this group.
    pub group: Option<String>,
    /// With a line under this reference of the owner's.
    pub external_reference: Option<String>,
    /// ICCID, MSISDN, EID or order reference, exactly.
    pub q: Option<String>,
    /// After this row.
    pub after: Option<i64>,
}

/// A page of profiles in the order of their import, at most `limit`.
///
/// # Errors
/// When it cannot be read.
pub fn search(conn: &mut Conn<'_>, filter: &ProfileFilter, limit: i64) -> Result<Vec<Profile>> {
    let mut query = profiles::table.order(profiles::id).limit(limit).into_boxed();
    if let Some(after) = filter.after {
        query = query.filter(profiles::id.gt(after));
    }
    if let Some(pool_id) = filter.pool_id {
        query = query.filter(profiles::pool_id.eq(pool_id));
    }
    if let Some(status) = filter.stock_status {
        query = query.filter(profiles::stock_status.eq(status.to_string()));
    }
    if let Some(status) = filter.sim_status {
        query = query.filter(profiles::sim_status.eq(status.to_string()));
    }
    if let Some(status) = filter.esim_status {
        query = query.filter(profiles::esim_status.eq(status.to_string()));
    }
    if let Some(batch) = filter.batch {
        query = query.filter(profiles::import_id.eq(Uid(batch.0)));
    }
    // In a list of its own: the index of the lines is the short way, however many profiles there are.
    if let Some(group) = &filter.group {
        let within = sql::<Bool>("profiles.id IN (SELECT profile_id FROM lines WHERE line_group = ");
        query = query.filter(within.bind::<Text, _>(group.clone()).sql(")"));
    }
    if let Some(reference) = &filter.external_reference {
        let within = sql::<Bool>("profiles.id IN (SELECT profile_id FROM lines WHERE external_reference = ");
        query = query.filter(within.bind::<Text, _>(reference.clone()).sql(")"));
    }
    if let Some(text) = &filter.q {
        query = query.filter(profiles::id.eq_any(ids_matching(conn, text)?));
    }
    profiles_of(query.load(conn.db)?)
}

/// Rows allocated now to orders with a reference, in whatever channel.
fn allocated_under(conn: &mut Conn<'_>, reference: &str) -> Result<Vec<i64>> {
    Ok(allocations::table
        .inner_join(orders::table.on(orders::id.eq(allocations::order_id)))
        .filter(allocations::ended_at.is_null())
        .filter(orders::reference.eq(reference))
        .select(allocations::profile_id)
        .load(conn.db)?)
}

/// Every identifier is looked up by its own index; the results are few.
fn ids_matching(conn: &mut Conn<'_>, text: &str) -> Result<Vec<i64>> {
    let text = text.trim();
    let mut ids = allocated_under(conn, text)?;
    if let Ok(iccid) = Iccid::parse(text) {
        ids.extend(
            profiles::table
                .filter(profiles::sim_key.eq(iccid.key()))
                .select(profiles::id)
                .load::<i64>(conn.db)?,
        );
    }
    if let Ok(msisdn) = Msisdn::parse(text) {
        let found = profiles::table.filter(profiles::msisdn.eq(msisdn.as_str())).select(profiles::id);
        ids.extend(found.load::<i64>(conn.db)?);
    }
    if let Ok(eid) = Eid::parse(text) {
        ids.extend(
            profiles::table
                .filter(profiles::eid.eq(eid.as_str()))
                .select(profiles::id)
                .load::<i64>(conn.db)?,
        );
    }
    Ok(ids)
}
