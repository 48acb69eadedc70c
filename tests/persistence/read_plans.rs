//! The cost of the reads: it does not grow with the stock.
//!
//! Each read runs as it does in production, on a stock in which what it looks for lies at the worst place.

use std::time::Instant;

use simdepot_domain::channel::{AccountName, PoolName};
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::event::SubjectKind;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::order::OrderStatus;
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::StockStatus;
use simdepot_persistence::order_list::{self, OrderFilter};
use simdepot_persistence::profiles::{self, ProfileFilter};
use simdepot_persistence::{
    Backend, Conn, StoreError, drifts, events, feed, groups, holds, imports, lines, operations, orders,
    pools, stock_counts,
};
use simdepot_tests::database::RawConnection;
use simdepot_tests::{TestDatabase, fill, on_both_databases, on_postgres};

use crate::support::{channel, now};

/// Rows of a page.
const PAGE: i64 = 51;

type Read = Box<dyn Fn(&mut Conn<'_>) -> Result<usize, StoreError> + Send + Sync>;

fn read(run: impl Fn(&mut Conn<'_>) -> Result<usize, StoreError> + Send + Sync + 'static) -> Read {
    Box::new(run)
}

/// The searches, on a stock that [`fill::fill`] made.
fn searches(size: i64) -> Vec<(&'static str, ProfileFilter)> {
    let all = ProfileFilter::default;
    let sold = size / 5;
    let middle = Some(size / 2);
    let digits = format!("8988247{:012}", sold / 2 + 1);
    let by_q = |text: &str| ProfileFilter { q: Some(text.to_owned()), ..all() };
    vec![
        ("all", all()),
        ("all, from the middle", ProfileFilter { after: middle, ..all() }),
        ("pool", ProfileFilter { pool_id: Some(1), ..all() }),
        ("pool, from the middle", ProfileFilter { pool_id: Some(1), after: middle, ..all() }),
        ("available", ProfileFilter { stock_status: Some(StockStatus::Available), ..all() }),
        ("quarantined", ProfileFilter { stock_status: Some(StockStatus::Quarantined), ..all() }),
        (
            "pool, available",
            ProfileFilter { pool_id: Some(1), stock_status: Some(StockStatus::Available), ..all() },
        ),
        ("pool, held", ProfileFilter { pool_id: Some(1), stock_status: Some(StockStatus::Held), ..all() }),
        (
            "pool, retired, from the middle",
            ProfileFilter {
                pool_id: Some(1),
                stock_status: Some(StockStatus::Retired),
                after: middle,
                ..all()
            },
        ),
        ("line active", ProfileFilter { sim_status: Some(SimStatus::Active), ..all() }),
        ("line terminated", ProfileFilter { sim_status: Some(SimStatus::Terminated), ..all() }),
        ("line preactivated", ProfileFilter { sim_status: Some(SimStatus::Preactivated), ..all() }),
        ("eSIM enabled", ProfileFilter { esim_status: Some(EsimStatus::Enabled), ..all() }),
        ("eSIM deleted", ProfileFilter { esim_status: Some(EsimStatus::Deleted), ..all() }),
        ("eSIM downloaded: none", ProfileFilter { esim_status: Some(EsimStatus::Downloaded), ..all() }),
        (
            "pool, allocated, line suspended, eSIM deleted",
            ProfileFilter {
                pool_id: Some(1),
                stock_status: Some(StockStatus::Allocated),
                sim_status: Some(SimStatus::Suspended),
                esim_status: Some(EsimStatus::Deleted),
                ..all()
            },
        ),
        (
            "available, line active: none",
            ProfileFilter {
                stock_status: Some(StockStatus::Available),
                sim_status: Some(SimStatus::Active),
                ..all()
            },
        ),
        ("group, large", ProfileFilter { group: Some("everything".to_owned()), ..all() }),
        ("group, small", ProfileFilter { group: Some("fleet-2".to_owned()), ..all() }),
        (
            "group, large, held: none",
            ProfileFilter {
                group: Some("everything".to_owned()),
                stock_status: Some(StockStatus::Held),
                ..all()
            },
        ),
        ("external reference", ProfileFilter { external_reference: Some("truck-100".to_owned()), ..all() }),
        ("q: ICCID, 19 digits", by_q(&digits)),
        ("q: ICCID, 20 digits", by_q(&format!("{digits}0"))),
        ("q: MSISDN", by_q(&format!("447{:09}", size / 2))),
        ("q: EID", by_q(&format!("8904{:028}", size / 2))),
        ("q: order reference", by_q(&format!("ref-{:09}", sold / 2))),
    ]
}

/// The other lists and lookups.
fn others(size: i64) -> Vec<(&'static str, Read)> {
    let sold = size / 5;
    let iccid = format!("8988247{:012}", sold / 2 + 1);
    let known = Iccid::parse(&iccid).unwrap();
    let shop = || OrderFilter::of(channel("shop"));
    let orders_of = |filter: OrderFilter| read(move |conn| Ok(order_list::list(conn, &filter, PAGE)?.len()));
    let operations_of = |name: Option<&'static str>, status| {
        read(move |conn| {
            Ok(operations::list(conn, name.map(channel).as_ref(), status, None, PAGE)?.operations.len())
        })
    };
    vec![
        ("stock levels", read(|conn| Ok(stock_counts::of_pool(conn, 1, now())?.by_status.len()))),
        ("availability", read(|conn| Ok(usize::from(stock_counts::on_sale(conn, 1, now())? > 0)))),
        (
            "stock that expires",
            read(|conn| {
                Ok(usize::from(
                    stock_counts::expiring(conn, 1, now(), simdepot_domain::profile::no_sell_by())?.is_some(),
                ))
            }),
        ),
        (
            "sold in 30 days",
            read(|conn| {
                Ok(usize::from(stock_counts::sold_since(conn, 1, now() - crate::support::days(30))? > 0))
            }),
        ),
        (
            "all profiles, counted",
            read(|conn| Ok(usize::try_from(stock_counts::total(conn)?.min(1)).unwrap())),
        ),
        (
            "pool by name",
            read(|conn| Ok(usize::from(pools::find(conn, &PoolName::parse("pool-1").unwrap())?.is_some()))),
        ),
        ("profile by ICCID", read(move |conn| Ok(usize::from(profiles::find(conn, &known)?.is_some())))),
        ("line of a profile", read(move |conn| Ok(usize::from(lines::find(conn, sold)?.is_some())))),
        ("orders", orders_of(shop())),
        ("orders, small channel", orders_of(OrderFilter::of(channel("other")))),
        (
            "orders needing attention",
            orders_of(OrderFilter { status: Some(OrderStatus::NeedsAttention), ..shop() }),
        ),
        ("orders failed: none", orders_of(OrderFilter { status: Some(OrderStatus::Failed), ..shop() })),
        (
            "orders since now: none",
            orders_of(OrderFilter { created_after: Some(now() + crate::support::days(3650)), ..shop() }),
        ),
        (
            "order by reference",
            orders_of(OrderFilter { reference: Some(format!("ref-{:09}", sold / 2 + 1)), ..shop() }),
        ),
        (
            "orders of a profile",
            read(move |conn| {
                let ids = simdepot_persistence::allocations::orders_of(conn, sold)?;
                let mut found = 0;
                for id in ids {
                    found += usize::from(orders::find(conn, id)?.is_some());
                }
                Ok(found)
            }),
        ),
        ("operations", operations_of(None, None)),
        ("operations refused", operations_of(None, Some(OperationStatus::Refused))),
        ("operations needing attention: none", operations_of(None, Some(OperationStatus::NeedsAttention))),
        ("operations of a channel", operations_of(Some("shop"), None)),
        ("operations of a small channel", operations_of(Some("other"), None)),
        ("operations of a channel without any", operations_of(Some("nobody"), None)),
        ("operations of a profile", read(move |conn| Ok(operations::of_profile(conn, sold)?.len()))),
        ("events after a number", read(move |conn| Ok(feed::after(conn, sold / 2, 200)?.len()))),
        (
            "events of a profile",
            read(move |conn| Ok(events::of_subject(conn, SubjectKind::Profile, &iccid)?.len())),
        ),
        ("groups", read(|conn| Ok(groups::names_after(conn, None, None, PAGE)?.len()))),
        (
            "groups of an account",
            read(|conn| {
                Ok(groups::names_after(
                    conn,
                    Some(&AccountName::parse("spc").unwrap()),
                    Some("fleet-1"),
                    PAGE,
                )?
                .len())
            }),
        ),
        ("differences that are open", read(|conn| Ok(drifts::open(conn, 100)?.len()))),
        ("deliveries", read(|conn| Ok(imports::list(conn, Some(1), None, PAGE)?.len()))),
        ("holds", read(|conn| Ok(holds::list(conn, &channel("shop"), None, PAGE)?.len()))),
    ]
}

/// What is counted yet: it grows with the lines.
fn growing() -> Vec<(&'static str, Read)> {
    vec![
        (
            "lines of groups, counted",
            read(|conn| Ok(groups::count(conn, None, "everything", "fleet-1")?.len())),
        ),
        ("lines without a group, counted", read(|conn| Ok(groups::count_without(conn, None)?.len()))),
    ]
}

/// All reads, those of profiles first.
fn reads(size: i64) -> Vec<(&'static str, Read)> {
    let searches = searches(size).into_iter().map(|(name, filter)| {
        (name, read(move |conn| Ok(profiles::search(conn, &filter, PAGE)?.profiles.len())))
    });
    searches.chain(others(size)).collect()
}

/// Fills the empty, migrated database that `SIMDEPOT_FILL_URL` names with `SIMDEPOT_FILL` profiles.
#[test]
#[ignore = "by hand: ten million take some minutes"]
fn fill_a_database() {
    let (url, profiles) = asked();
    let backend = backend_of(&url);
    fill::fill(&mut RawConnection::open(backend, &url), backend, profiles);
}

fn asked() -> (String, u64) {
    let var = |name| std::env::var(name).unwrap();
    (var("SIMDEPOT_FILL_URL"), var("SIMDEPOT_FILL").parse().unwrap())
}

fn backend_of(url: &str) -> Backend {
    if url.starts_with("sqlite:") { Backend::Sqlite } else { Backend::Postgres }
}

/// What each read costs in a database that [`fill_a_database`] filled: the best of some runs, in microseconds.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "by hand, against a database that was filled"]
async fn measure_the_reads() {
    let (url, profiles) = asked();
    let size = i64::try_from(profiles).unwrap();
    let db = TestDatabase::sqlite();
    let options = simdepot_persistence::store::StoreOptions {
        url: url.parse().unwrap(),
        migrate: false,
        ..db.options()
    };
    let clock = std::sync::Arc::new(simdepot_tests::TestClock::default());
    let store = simdepot_persistence::Store::open(options, clock).unwrap();
    let only = std::env::var("SIMDEPOT_READ").ok();
    for (name, run) in reads(size).into_iter().chain(growing()) {
        if only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        let measured = store.read(move |conn| {
            let (mut micros, mut rows) = (Vec::new(), 0);
            let begun = Instant::now();
            while micros.len() < 25 && (micros.len() < 3 || begun.elapsed().as_secs() < 5) {
                let started = Instant::now();
                rows = run(conn)?;
                micros.push(started.elapsed().as_micros());
            }
            micros.sort_unstable();
            Ok::<_, StoreError>((micros[0], rows))
        });
        let line = match measured.await {
            Ok((micros, rows)) => format!("{micros:>10} {rows:>4}  {name}\n"),
            Err(error) => format!("    failed       {name}: {error}\n"),
        };
        std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes()).unwrap();
    }
}

/// Profiles in the tests of the plans. Whoever walks the stock sees some of it.
const PROFILES: u64 = 100_000;
/// Rows that a read of one page may touch, in tables and indexes: some for each row that it shows.
const TOUCHED: i64 = 1_500;
/// As many again for a window of a search with several filters, which is read twice, table and index.
const WINDOWS: i64 = 45_000;

/// Rows and index entries that were read so far, of the tables that grow; and how often one of them was read whole.
fn touched(db: &TestDatabase) -> (i64, i64) {
    const GROWING: &str =
        "('profiles', 'orders', 'order_lines', 'allocations', 'operations', 'lines', 'events', 'feed')";
    let mut raw = db.raw();
    let mut sum = |sql: &str| {
        raw.number(&format!("SELECT COALESCE(({sql} WHERE relname IN {GROWING}), 0)::bigint AS value"))
    };
    let rows = sum("SELECT SUM(seq_tup_read) FROM pg_stat_user_tables");
    let entries = sum("SELECT SUM(idx_tup_read + idx_tup_fetch) FROM pg_stat_user_indexes");
    (rows + entries, sum("SELECT SUM(seq_scan) FROM pg_stat_user_tables"))
}

/// What a read touches. The database counts when a connection ends.
async fn touched_by(db: &TestDatabase, run: Read) -> (i64, i64) {
    let before = touched(db);
    let store = db.store();
    store.read(move |conn| run(conn)).await.unwrap();
    drop(store);
    let mut after = touched(db);
    for _ in 0..20 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        let now = touched(db);
        if now == after && now != before {
            break;
        }
        after = now;
    }
    (after.0 - before.0, after.1 - before.1)
}

on_postgres! {
    async fn no_read_of_a_page_walks_the_stock(db: TestDatabase) {
        fill::fill(&mut db.raw(), Backend::Postgres, PROFILES);
        let mut wrong = Vec::new();
        for (name, run) in reads(i64::try_from(PROFILES).unwrap()) {
            let most = if in_windows(name) { WINDOWS } else { TOUCHED };
            let (rows, whole) = touched_by(&db, run).await;
            if rows > most || whole > 0 {
                wrong.push(format!("{name}: {rows} rows, {whole} tables read whole"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

/// Whether a read looks for what no index has: in a part of the stock at a time.
fn in_windows(name: &str) -> bool {
    [
        "line preactivated",
        "pool, allocated, line",
        "available, line",
        "large, held",
        "of a channel",
        "small channel",
    ]
    .iter()
    .any(|part| name.contains(part))
}

#[tokio::test]
async fn searches_are_read_along_their_indexes_on_sqlite() {
    let db = TestDatabase::sqlite();
    fill::fill(&mut db.raw(), Backend::Sqlite, 20_000);
    let store = db.store();
    for (name, filter) in searches(20_000) {
        let asked = filter.clone();
        let statements = store.read(move |conn| profiles::search_sql(conn, &asked, PAGE)).await.unwrap();
        assert!(!statements.is_empty(), "{name}");
        for sql in statements {
            let plan = explain(&db, &sql).join("; ");
            let all = filter.pool_id.is_none() && filter.stock_status.is_none();
            let by_key =
                name.starts_with("all") || (all && filter.sim_status == Some(SimStatus::Preactivated));
            // What a window has found is gone through, and is not the table.
            let plain = !plan.contains("CO-ROUTINE p");
            let plan = plan.replacen("SCAN p", "", plan.matches("CO-ROUTINE p").count());
            assert!(by_key || !plan.contains("SCAN p"), "{name}: {plan}: {sql}");
            assert!(!plan.contains("SCAN l"), "{name}: {plan}: {sql}");
            assert!(!plain || !plan.contains("TEMP B-TREE"), "{name}: {plan}: {sql}");
        }
    }
}

fn explain(db: &TestDatabase, sql: &str) -> Vec<String> {
    use diesel::prelude::*;
    #[derive(QueryableByName)]
    struct Step {
        #[diesel(sql_type = diesel::sql_types::Text)]
        detail: String,
    }
    let RawConnection::Sqlite(mut connection) = db.raw() else { panic!() };
    let steps: Vec<Step> =
        diesel::sql_query(format!("EXPLAIN QUERY PLAN {sql}")).load(&mut connection).unwrap();
    steps.into_iter().map(|step| step.detail).collect()
}

/// All that a search finds, page by page, and how many pages it took.
async fn all_pages(store: &simdepot_persistence::Store, filter: &ProfileFilter) -> (Vec<i64>, usize) {
    let (mut ids, mut after) = (Vec::new(), None);
    for page in 1.. {
        let asked = ProfileFilter { after, ..filter.clone() };
        let found = store.read(move |conn| profiles::search(conn, &asked, PAGE)).await.unwrap();
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
        let (store, all) = (db.store(), ProfileFilter::default);
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
