//! Searches of the stock.

use simdepot_domain::esim::EsimStatus;
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::StockStatus;
use simdepot_persistence::profiles::{self, ProfileFilter};
use simdepot_persistence::{Backend, Store};
use simdepot_tests::{TestDatabase, fill, on_both_databases};

use super::PAGE;
use crate::support::explain_sqlite;

/// Statements of one search: two for each of its streams.
const STATEMENTS: usize = 40;

fn all() -> ProfileFilter {
    ProfileFilter::default()
}

/// The searches, on a stock that [`fill::fill`] made.
pub(super) fn searches(size: i64) -> Vec<(&'static str, ProfileFilter)> {
    [by_stock(size), by_status(), by_group(), by_identifier(size)].concat()
}

fn by_stock(size: i64) -> Vec<(&'static str, ProfileFilter)> {
    let middle = Some(size / 2);
    let of = |status| ProfileFilter { stock_status: Some(status), ..all() };
    let first = |status| ProfileFilter { pool_id: Some(1), ..of(status) };
    vec![
        ("all", all()),
        ("all, from the middle", ProfileFilter { after: middle, ..all() }),
        ("pool", ProfileFilter { pool_id: Some(1), ..all() }),
        ("pool, from the middle", ProfileFilter { pool_id: Some(1), after: middle, ..all() }),
        ("available", of(StockStatus::Available)),
        ("quarantined", of(StockStatus::Quarantined)),
        ("retired, from the middle", ProfileFilter { after: middle, ..of(StockStatus::Retired) }),
        ("pool, available", first(StockStatus::Available)),
        ("pool, held", first(StockStatus::Held)),
        ("pool, retired, from the middle", ProfileFilter { after: middle, ..first(StockStatus::Retired) }),
    ]
}

fn by_status() -> Vec<(&'static str, ProfileFilter)> {
    let sim = |status| ProfileFilter { sim_status: Some(status), ..all() };
    let esim = |status| ProfileFilter { esim_status: Some(status), ..all() };
    vec![
        ("line active", sim(SimStatus::Active)),
        ("line terminated", sim(SimStatus::Terminated)),
        ("line preactivated", sim(SimStatus::Preactivated)),
        ("eSIM enabled", esim(EsimStatus::Enabled)),
        ("eSIM deleted", esim(EsimStatus::Deleted)),
        ("eSIM downloaded: none", esim(EsimStatus::Downloaded)),
        (
            "pool, allocated, line suspended, eSIM deleted",
            ProfileFilter {
                pool_id: Some(1),
                stock_status: Some(StockStatus::Allocated),
                esim_status: Some(EsimStatus::Deleted),
                ..sim(SimStatus::Suspended)
            },
        ),
        (
            "available, line active: none",
            ProfileFilter { stock_status: Some(StockStatus::Available), ..sim(SimStatus::Active) },
        ),
        (
            "quarantined, line preactivated",
            ProfileFilter { stock_status: Some(StockStatus::Quarantined), ..sim(SimStatus::Preactivated) },
        ),
    ]
}

fn by_group() -> Vec<(&'static str, ProfileFilter)> {
    let group = |name: &str| ProfileFilter { group: Some(name.to_owned()), ..all() };
    let held = ProfileFilter { stock_status: Some(StockStatus::Held), ..group("everything") };
    vec![
        ("group, large", group("everything")),
        ("group, small", group("fleet-2")),
        ("group, large, held: none", held),
    ]
}

fn by_identifier(size: i64) -> Vec<(&'static str, ProfileFilter)> {
    let sold = size / 5;
    let digits = format!("8988247{:012}", sold / 2 + 1);
    let by_q = |text: &str| ProfileFilter { q: Some(text.to_owned()), ..all() };
    vec![
        ("external reference", ProfileFilter { external_reference: Some("truck-100".to_owned()), ..all() }),
        ("q: ICCID, 19 digits", by_q(&digits)),
        ("q: ICCID, 20 digits", by_q(&format!("{digits}0"))),
        ("q: MSISDN", by_q(&format!("447{:09}", size / 2))),
        ("q: EID", by_q(&format!("8904{:028}", size / 2))),
        ("q: order reference", by_q(&format!("ref-{:09}", sold / 2))),
    ]
}

/// Whether a search is read along the primary key: what it looks for is nearly everything, or no index has it.
fn along_the_key(name: &str) -> bool {
    name.starts_with("all") || ["available", "line preactivated"].contains(&name)
}

#[tokio::test]
async fn searches_are_read_along_their_indexes_on_sqlite() {
    let db = TestDatabase::sqlite();
    fill::fill(&mut db.raw(), Backend::Sqlite, 20_000);
    let store = db.store();
    for (name, filter) in searches(20_000) {
        let asked = filter.clone();
        let statements = store.read(move |conn| profiles::search_sql(conn, &asked, PAGE)).await.unwrap();
        assert!((1..=STATEMENTS).contains(&statements.len()), "{name}: {} statements", statements.len());
        for sql in statements {
            let plan = explain_sqlite(&db, &sql).join("; ");
            // What a window has found is gone through, and is not the table.
            let by_key = along_the_key(name);
            // So few are in many pools that they are sorted.
            let plain = !plan.contains("CO-ROUTINE p") && !sql.contains("p.pool_id IN (");
            let plan = plan.replacen("SCAN p", "", plan.matches("CO-ROUTINE p").count());
            assert!(by_key || !plan.contains("SCAN p"), "{name}: {plan}: {sql}");
            assert!(!plan.contains("SCAN l"), "{name}: {plan}: {sql}");
            assert!(!plain || !plan.contains("TEMP B-TREE"), "{name}: {plan}: {sql}");
        }
    }
}

/// All that a search finds, page by page, and how many pages it took.
async fn all_pages(store: &Store, filter: &ProfileFilter) -> (Vec<i64>, usize) {
    let (mut ids, mut after) = (Vec::new(), None);
    for page in 1.. {
        let asked = ProfileFilter { after, ..filter.clone() };
        let found = store.snapshot(move |conn| profiles::search(conn, &asked, PAGE)).await.unwrap();
        ids.extend(found.profiles.iter().map(|profile| profile.id));
        let full = found.profiles.len() == usize::try_from(PAGE).unwrap();
        assert!(!full || found.looked_up_to.is_none(), "a full page ends with its last profile");
        let next = if full { ids.last().copied() } else { found.looked_up_to };
        assert!(next.is_none() || next > after, "{next:?} after {after:?}");
        match next {
            Some(next) => after = Some(next),
            None => return (ids, page),
        }
    }
    unreachable!()
}

on_both_databases! {
    async fn pages_that_are_not_full_miss_nothing(db: TestDatabase) {
        fill::fill(&mut db.raw(), db.backend(), 30_000);
        let store = db.store();
        let (one, sold) = (Some(1), Some(StockStatus::Allocated));
        let (everything, unsold) = (Some("everything".to_owned()), Some(SimStatus::Preactivated));
        for (filter, sql) in [
            (ProfileFilter { pool_id: one, stock_status: sold, sim_status: Some(SimStatus::Suspended), ..all() },
             "p.pool_id = 1 AND p.stock_status = 'allocated' AND p.sim_status = 'suspended'"),
            (ProfileFilter { pool_id: Some(3), sim_status: unsold, ..all() },
             "p.pool_id = 3 AND p.sim_status = 'preactivated'"),
            (ProfileFilter { sim_status: unsold, stock_status: Some(StockStatus::Retired), ..all() },
             "p.stock_status = 'retired'"),
            (ProfileFilter { pool_id: one, sim_status: unsold, ..all() },
             "p.pool_id = 1 AND p.sim_status = 'preactivated'"),
            (ProfileFilter { sim_status: unsold, esim_status: Some(EsimStatus::Deleted), ..all() }, "1 = 0"),
            (ProfileFilter { stock_status: Some(StockStatus::Held), ..all() }, "p.stock_status = 'held'"),
            (ProfileFilter { stock_status: Some(StockStatus::Available), ..all() }, "p.stock_status = 'available'"),
            (ProfileFilter { stock_status: sold, sim_status: Some(SimStatus::Terminated), ..all() },
             "p.stock_status = 'allocated' AND p.sim_status = 'terminated'"),
            (ProfileFilter { pool_id: Some(2), ..all() }, "p.pool_id = 2"),
            (ProfileFilter { group: everything.clone(), esim_status: Some(EsimStatus::Deleted), ..all() },
             "l.line_group = 'everything' AND p.esim_status = 'deleted'"),
            (ProfileFilter { group: everything, pool_id: Some(2), stock_status: sold, ..all() },
             "l.line_group = 'everything' AND p.pool_id = 2"),
        ] {
            let expected: Vec<i64> = db.raw().texts(&format!(
                "SELECT CAST(p.id AS TEXT) AS value FROM profiles p LEFT JOIN lines l ON l.profile_id = p.id \
                 WHERE {sql} ORDER BY p.id"
            )).iter().map(|id| id.parse().unwrap()).collect();
            let (found, pages) = all_pages(&store, &filter).await;
            assert_eq!(found, expected, "{sql}");
            assert!(pages <= expected.len() / 51 + 65, "{pages} pages for {}: {sql}", expected.len());
        }
    }
}
