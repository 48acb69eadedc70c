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
use simdepot_tests::fill;

use crate::support::{channel, now};

/// Rows of a page.
const PAGE: i64 = 51;

type Read = Box<dyn Fn(&mut Conn<'_>) -> Result<usize, StoreError> + Send + Sync>;

fn read(run: impl Fn(&mut Conn<'_>) -> Result<usize, StoreError> + Send + Sync + 'static) -> Read {
    Box::new(run)
}

fn search(filter: ProfileFilter) -> Read {
    read(move |conn| Ok(profiles::search(conn, &filter, PAGE)?.profiles.len()))
}

/// The searches, on a stock that [`fill::fill`] made.
fn searches(size: i64) -> Vec<(&'static str, Read)> {
    let all = ProfileFilter::default;
    let sold = size / 5;
    let middle = Some(size / 2);
    let digits = format!("8988247{:012}", sold / 2 + 1);
    let by_q = |text: &str| search(ProfileFilter { q: Some(text.to_owned()), ..all() });
    vec![
        ("all", search(all())),
        ("all, from the middle", search(ProfileFilter { after: middle, ..all() })),
        ("pool", search(ProfileFilter { pool_id: Some(1), ..all() })),
        ("pool, from the middle", search(ProfileFilter { pool_id: Some(1), after: middle, ..all() })),
        ("available", search(ProfileFilter { stock_status: Some(StockStatus::Available), ..all() })),
        ("quarantined", search(ProfileFilter { stock_status: Some(StockStatus::Quarantined), ..all() })),
        (
            "pool, available",
            search(ProfileFilter { pool_id: Some(1), stock_status: Some(StockStatus::Available), ..all() }),
        ),
        (
            "pool, held",
            search(ProfileFilter { pool_id: Some(1), stock_status: Some(StockStatus::Held), ..all() }),
        ),
        (
            "pool, retired, from the middle",
            search(ProfileFilter {
                pool_id: Some(1),
                stock_status: Some(StockStatus::Retired),
                after: middle,
                ..all()
            }),
        ),
        ("line active", search(ProfileFilter { sim_status: Some(SimStatus::Active), ..all() })),
        ("line terminated", search(ProfileFilter { sim_status: Some(SimStatus::Terminated), ..all() })),
        ("line preactivated", search(ProfileFilter { sim_status: Some(SimStatus::Preactivated), ..all() })),
        ("eSIM enabled", search(ProfileFilter { esim_status: Some(EsimStatus::Enabled), ..all() })),
        ("eSIM deleted", search(ProfileFilter { esim_status: Some(EsimStatus::Deleted), ..all() })),
        (
            "eSIM downloaded: none",
            search(ProfileFilter { esim_status: Some(EsimStatus::Downloaded), ..all() }),
        ),
        (
            "pool, allocated, line suspended, eSIM deleted",
            search(ProfileFilter {
                pool_id: Some(1),
                stock_status: Some(StockStatus::Allocated),
                sim_status: Some(SimStatus::Suspended),
                esim_status: Some(EsimStatus::Deleted),
                ..all()
            }),
        ),
        (
            "available, line active: none",
            search(ProfileFilter {
                stock_status: Some(StockStatus::Available),
                sim_status: Some(SimStatus::Active),
                ..all()
            }),
        ),
        ("group, large", search(ProfileFilter { group: Some("everything".to_owned()), ..all() })),
        ("group, small", search(ProfileFilter { group: Some("fleet-2".to_owned()), ..all() })),
        (
            "group, large, held: none",
            search(ProfileFilter {
                group: Some("everything".to_owned()),
                stock_status: Some(StockStatus::Held),
                ..all()
            }),
        ),
        (
            "external reference",
            search(ProfileFilter { external_reference: Some("truck-100".to_owned()), ..all() }),
        ),
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
        (
            "lines of groups, counted",
            read(|conn| Ok(groups::count(conn, None, "everything", "fleet-1")?.len())),
        ),
        ("lines without a group, counted", read(|conn| Ok(groups::count_without(conn, None)?.len()))),
        ("differences that are open", read(|conn| Ok(drifts::open(conn, 100)?.len()))),
        ("deliveries", read(|conn| Ok(imports::list(conn, Some(1), None, PAGE)?.len()))),
        ("holds", read(|conn| Ok(holds::list(conn, &channel("shop"), None, PAGE)?.len()))),
    ]
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
    let db = simdepot_tests::TestDatabase::sqlite();
    let options = simdepot_persistence::store::StoreOptions {
        url: url.parse().unwrap(),
        migrate: false,
        ..db.options()
    };
    let clock = std::sync::Arc::new(simdepot_tests::TestClock::default());
    let store = simdepot_persistence::Store::open(options, clock).unwrap();
    let only = std::env::var("SIMDEPOT_READ").ok();
    for (name, run) in searches(size).into_iter().chain(others(size)) {
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
