//! The cost of the reads: it does not grow with the stock.
//!
//! Each read runs as it does in production, on a stock in which what it looks for lies at the worst place.

mod lookups;
mod searches;

use std::time::Instant;

use simdepot_domain::stock::StockStatus;
use simdepot_persistence::profiles::ProfileFilter;
use simdepot_persistence::{Backend, Conn, StoreError, groups, profiles};
use simdepot_tests::database::RawConnection;
use simdepot_tests::{TestDatabase, fill, on_postgres};

/// Rows of a page.
const PAGE: i64 = 51;

type Read = Box<dyn Fn(&mut Conn<'_>) -> Result<usize, StoreError> + Send + Sync>;

fn read(run: impl Fn(&mut Conn<'_>) -> Result<usize, StoreError> + Send + Sync + 'static) -> Read {
    Box::new(run)
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
    let searches = searches::searches(size).into_iter().map(|(name, filter)| {
        (name, read(move |conn| Ok(profiles::search(conn, &filter, PAGE)?.profiles.len())))
    });
    searches.chain(lookups::lookups(size)).collect()
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
        let measured = store.snapshot(move |conn| {
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
    const GROWING: &str = "('profiles', 'profile_secrets', 'orders', 'order_lines', 'allocations', 'operations', \
         'lines', 'events', 'feed', 'drifts', 'import_rows')";
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
    store.snapshot(move |conn| run(conn)).await.unwrap();
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
        // What is sold already is no window of a search for what is not.
        let unsold = ProfileFilter { stock_status: Some(StockStatus::Available), ..ProfileFilter::default() };
        let found = db.store().snapshot(move |conn| profiles::search(conn, &unsold, PAGE)).await.unwrap();
        assert_eq!(i64::try_from(found.profiles.len()).unwrap(), PAGE);
    }
}

/// Whether a read looks for what no index has: in a part of the stock at a time.
fn in_windows(name: &str) -> bool {
    let part_of = [
        "line preactivated",
        "pool, allocated, line",
        "available, line",
        "quarantined, line",
        "large, held",
        "of a channel",
        "small channel",
    ];
    name == "available" || part_of.iter().any(|part| name.contains(part))
}
