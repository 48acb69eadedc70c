//! What must hold for a measurement to count: no order lost, none made up, no profile sold twice.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use crate::cluster::Cluster;
use crate::load::Outcome;
use crate::tools::{count, float};

/// Tables that are written beside the orders, by work that goes on in any case.
const BESIDE: [&str; 7] =
    ["feed", "feed_position", "watermarks", "carrier_turns", "stock_counts", "stock_sold", "stock_folds"];
/// Written once per transaction: fewer rows than orders where several orders share one. Its rows are taken away later.
pub const PER_TRANSACTION: &str = "stock_moves";

/// Checks what was answered: nothing but success, and no profile in two answers.
///
/// # Errors
/// When something else was answered.
pub fn answers(outcome: &Outcome) -> Result<()> {
    if let Some((what, times)) = outcome.refused.iter().next() {
        bail!("{times} answers were {what}");
    }
    let mut iccids = outcome.iccids.clone();
    iccids.sort_unstable();
    iccids.dedup();
    if iccids.len() != outcome.iccids.len() {
        bail!("{} profiles were in two answers", outcome.iccids.len() - iccids.len());
    }
    if !iccids.is_empty() && count(iccids.len()) != outcome.answered {
        bail!("{} answers showed {} profiles", outcome.answered, iccids.len());
    }
    Ok(())
}

/// A database that answers SQL with the text of one value.
pub type Ask<'a> = &'a dyn Fn(&str) -> Result<String>;

/// Checks the books: as many orders, allocations, idempotency keys, sold profiles and quarters of events as answers, and
/// stock left.
///
/// # Errors
/// When they differ.
pub fn books(ask: Ask<'_>, answered: u64) -> Result<()> {
    // SQL that both databases understand.
    let found = ask(
        "SELECT (SELECT count(*) FROM orders) || ' ' || (SELECT count(*) FROM order_lines) || ' ' || \
         (SELECT count(*) FROM allocations) || ' ' || (SELECT count(DISTINCT profile_id) FROM allocations) || ' ' || \
         (SELECT count(*) FROM idempotency_keys) || ' ' || \
         (SELECT count(*) FROM profiles WHERE stock_status = 'allocated') || ' ' || \
         (SELECT count(*) / 4 FROM events WHERE subject_kind IN ('order', 'profile'))",
    )?;
    if found.split(' ').any(|number| number.parse() != Ok(answered)) {
        bail!("{answered} orders were answered, but the tables have {found}");
    }
    let left = ask(
        "SELECT '' || count(*) FROM (SELECT 1 FROM profiles WHERE stock_status = 'available' LIMIT 1) AS one",
    )?;
    if left != "1" {
        bail!("the pool ran out of stock: measure for a shorter time");
    }
    Ok(())
}

/// Events without a number.
///
/// # Errors
/// When the database does not answer.
pub fn feed_lag(ask: Ask<'_>) -> Result<u64> {
    Ok(ask("SELECT '' || ((SELECT count(*) FROM events) - (SELECT count(*) FROM feed))")?.parse()?)
}

/// Rows inserted, updated and deleted per order, by table, since the database was made.
///
/// # Errors
/// When the database does not answer.
pub fn rows_per_order(cluster: &Cluster, database: &str, orders: u64) -> Result<BTreeMap<String, f64>> {
    let told = cluster.sql(
        database,
        "SELECT relname, n_tup_ins + CASE relname WHEN 'stock_moves' THEN 0 ELSE n_tup_upd + n_tup_del END \
         FROM pg_stat_user_tables WHERE n_tup_ins + n_tup_upd + n_tup_del > 0",
    )?;
    let of_line = |line: &str| {
        let (table, rows) = line.split_once('|')?;
        Some((table.to_owned(), float(rows.parse().ok()?) / float(orders.max(1))))
    };
    Ok(told.lines().filter_map(of_line).filter(|(table, _)| !BESIDE.contains(&table.as_str())).collect())
}

/// Tables where one contender writes other numbers of rows per order than another. A hundredth of a row is work that goes
/// on beside the orders.
pub fn differences(one: &BTreeMap<String, f64>, other: &BTreeMap<String, f64>) -> Vec<String> {
    let tables = one.keys().chain(other.keys()).collect::<std::collections::BTreeSet<_>>();
    let of = |rows: &BTreeMap<String, f64>, table: &String| rows.get(table).copied().unwrap_or_default();
    tables
        .into_iter()
        .map(|table| (table, of(one, table), of(other, table)))
        .filter(|(_, one, other)| (one - other).abs() > 0.01)
        .map(|(table, one, other)| format!("{table}: {one:.2} and {other:.2} rows per order"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_only_one_writes_is_a_difference() {
        let rows = |pairs: &[(&str, f64)]| {
            pairs.iter().map(|(table, rows)| ((*table).to_owned(), *rows)).collect::<BTreeMap<_, _>>()
        };
        let (one, other) = (rows(&[("orders", 1.0), ("imports", 0.001)]), rows(&[("orders", 1.0)]));
        assert_eq!(differences(&one, &other), Vec::<String>::new());
        assert_eq!(differences(&one, &rows(&[("orders", 1.0), ("events", 4.0)])).len(), 1);
    }
}
