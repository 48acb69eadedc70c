//! Which indexes a search reads.

use diesel::prelude::*;
use simdepot_domain::eid::Eid;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::StockStatus;
use strum::VariantArray as _;

use super::statement::{Statement, Stream, Term, Value};
use super::{ProfileFilter, SMALLEST_WINDOW, WINDOW};
use crate::error::Result;
use crate::schema::{allocations, orders, pools, profiles};
use crate::stock_counts;
use crate::store::Conn;

/// So many streams are read side by side: each has its smallest window, and all of them no more than one page may cost.
const STREAMS: i64 = WINDOW / SMALLEST_WINDOW;

/// Which indexes to read. A term that few profiles fulfil goes before one that many do, as far as that is known.
pub(super) fn choose(conn: &mut Conn<'_>, filter: &ProfileFilter, terms: &[Term]) -> Result<Vec<Stream>> {
    if let Some(first) = terms.iter().find(|term| matches!(term, Term::OneOf(_))) {
        return Ok(vec![vec![first.clone()]]);
    }
    let indexed =
        |term: &&Term| !matches!(term, Term::Pool(_) | Term::Stock(_) | Term::Sim(SimStatus::Preactivated));
    let of_stock = filter.pool_id.is_some() || filter.stock_status.is_some();
    match terms.iter().find(indexed) {
        Some(Term::Reference(reference)) => Ok(vec![vec![Term::Reference(reference.clone())]]),
        Some(_) if of_stock && is_small_stock(conn, filter)? => of_stock_asked(conn, filter),
        Some(term) => Ok(vec![vec![term.clone()]]),
        None => of_stock_asked(conn, filter),
    }
}

/// Whether so few profiles stand in the pool, and there, that all of them may be looked at.
fn is_small_stock(conn: &mut Conn<'_>, filter: &ProfileFilter) -> Result<bool> {
    let mut counts = Statement::default();
    let mut conditions = vec!["1 = 1".to_owned()];
    if let Some(pool_id) = filter.pool_id {
        conditions.push(format!("pool_id = {}", counts.bind(Value::Number(pool_id))));
    }
    if let Some(status) = &filter.stock_status {
        conditions.push(counts.text("stock_status", status.as_ref()));
    }
    counts.sql = format!(
        "SELECT CAST(COALESCE(SUM(profiles), 0) AS BIGINT) AS id FROM stock_now WHERE {}",
        conditions.join(" AND ")
    );
    Ok(counts.run(conn)?.iter().all(|profiles| *profiles <= WINDOW))
}

/// The index of the stock goes by pool, then by status.
fn of_stock_asked(conn: &mut Conn<'_>, filter: &ProfileFilter) -> Result<Vec<Stream>> {
    let of_pool = |pool: i64, status: StockStatus| vec![Term::Pool(pool), Term::Stock(status)];
    match (filter.pool_id, filter.stock_status) {
        (Some(pool), Some(status)) => Ok(vec![of_pool(pool, status)]),
        (Some(pool), None) => Ok(StockStatus::VARIANTS.iter().map(|status| of_pool(pool, *status)).collect()),
        (None, Some(status)) => {
            let all: Vec<i64> =
                pools::table.order(pools::id).select(pools::id).limit(STREAMS + 1).load(conn.db)?;
            if are_few(&all) {
                return Ok(all.into_iter().map(|pool| of_pool(pool, status)).collect());
            }
            of_many_pools(conn, status)
        }
        (None, None) => Ok(vec![Vec::new()]),
    }
}

/// Of many pools those alone that have something there, as the counts know it. If these are many too, they are read as
/// one; and if they have much, what is asked for is looked for along the key, as what has no index: from [`next`] on.
fn of_many_pools(conn: &mut Conn<'_>, status: StockStatus) -> Result<Vec<Stream>> {
    let counted = stock_counts::by_pool(conn, status)?;
    let profiles: i64 = counted.iter().map(|(_, profiles)| profiles).sum();
    let pools: Vec<i64> = counted.into_iter().map(|(pool, _)| pool).collect();
    if are_few(&pools) {
        return Ok(pools.into_iter().map(|pool| vec![Term::Pool(pool), Term::Stock(status)]).collect());
    }
    Ok(vec![if profiles <= WINDOW { vec![Term::Pools(pools), Term::Stock(status)] } else { Vec::new() }])
}

/// The first row after one that has a profile standing there, in whatever pool: a look into the index for each pool.
pub(super) fn next(conn: &mut Conn<'_>, status: StockStatus, after: Option<i64>) -> Result<Option<i64>> {
    let mut first = Statement::default();
    let condition = first.text("p.stock_status", status.as_ref());
    let after = first.bind(Value::Number(after.unwrap_or_default()));
    first.sql = format!(
        "SELECT id FROM (SELECT (SELECT p.id + 0 FROM profiles p WHERE p.pool_id = o.id AND {condition} \
         AND p.id + 0 > {after} ORDER BY p.id + 0 LIMIT 1) AS id FROM pools o) first WHERE id IS NOT NULL \
         ORDER BY id LIMIT 1"
    );
    Ok(first.run(conn)?.first().copied())
}

fn are_few(pools: &[i64]) -> bool {
    i64::try_from(pools.len()).is_ok_and(|pools| pools <= STREAMS)
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
pub(super) fn ids_matching(conn: &mut Conn<'_>, text: &str) -> Result<Vec<i64>> {
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
