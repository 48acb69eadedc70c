//! The claim's plan after many sales: only what is on sale may be walked over.
//!
//! A plan that walks allocated rows is fast in a small test and falls over in the second week of production.

use std::time::{Duration, Instant};

use serde_json::Value as Json;
use simdepot_domain::order::ProfileOutcome;
use simdepot_persistence::Backend;
use simdepot_persistence::allocations::{self, NewAllocation, claim_sql};
use simdepot_persistence::intake::{self, NewOrder, Written};
use simdepot_tests::database::RawConnection;
use simdepot_tests::{TestDatabase, on_both_databases, on_postgres};

use crate::support::{ASKS, Ask, Stock, asked, explain_sqlite, line_of, new_order, new_profile, now};

/// How many profiles were sold.
const SOLD: i64 = 100_000;

on_both_databases! {
    async fn the_claim_is_served_by_its_index_after_many_sales(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        sell_many(&stock);
        let left = stock.add((0..50).map(|_| new_profile()).collect()).await;
        match stock.db.backend() {
            Backend::Postgres => {
                assert_postgres_plan(&stock.db, stock.pool.id, "");
                assert_postgres_plan(&stock.db, stock.pool.id, " FOR UPDATE SKIP LOCKED");
                // Statistics make the planner bold: with them, too.
                stock.db.raw().execute("ANALYZE");
                assert_postgres_plan(&stock.db, stock.pool.id, " FOR UPDATE SKIP LOCKED");
            }
            Backend::Sqlite => {
                assert_sqlite_plan(&stock.db, stock.pool.id);
                stock.db.raw().execute("ANALYZE");
                assert_sqlite_plan(&stock.db, stock.pool.id);
            }
        }
        assert_eq!(stock.sell(2).await, Ok(vec![left[0].id, left[1].id]));
    }
}

// SQLite has no index entries of what is sold, whoever reads.
on_postgres! {
    async fn an_old_snapshot_makes_no_claim_walk_over_what_was_sold(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let mut sold = Unclearable::of(&stock);
        let left = stock.add((0..50).map(|_| new_profile()).collect()).await;
        sold.sell();
        for _ in 0..CLAIMS {
            assert_eq!(asked(&stock.store, &stock.pool, Ask::InABatch).await, [left[0].id]);
        }
        sold.assert_walked_once(stock).await;
    }

    async fn an_old_snapshot_makes_no_claim_on_a_sold_out_pool_walk_over_what_was_sold(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let mut sold = Unclearable::of(&stock);
        sold.sell();
        for _ in 0..CLAIMS {
            for ask in ASKS {
                assert_eq!(asked(&stock.store, &stock.pool, ask).await, [0i64; 0]);
            }
        }
        sold.assert_walked_once(stock).await;
    }

    /// Each return has every process look for what it brought, and for nothing else.
    async fn an_old_snapshot_makes_no_return_walk_over_what_was_sold(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let mut sold = Unclearable::of(&stock);
        let left = stock.add((0..3).map(|_| new_profile()).collect()).await;
        sold.sell();
        for _ in 0..CLAIMS {
            assert_eq!(asked(&stock.store, &stock.pool, Ask::InABatch).await, [left[0].id]);
            stock.take_aside(left[0].id).await;
            assert_eq!(asked(&stock.store, &stock.pool, Ask::InABatch).await, [left[1].id]);
            stock.put_back(left[0].id).await;
        }
        sold.assert_walked_once(stock).await;
    }

    /// A statement is planned once per connection, perhaps before the first delivery; nothing here analyses the tables.
    async fn what_was_planned_for_a_small_stock_reads_no_more_of_a_large_one(db: TestDatabase) {
        const ORDERS: i64 = 6;
        let (stock, added) = Stock::of(db, 40).await;
        for number in 0..8 {
            sell_in_a_batch(&stock, format!("before-{number}")).await;
        }
        let mut raw = stock.db.raw();
        raw.execute("ALTER TABLE profiles SET (autovacuum_enabled = FALSE)");
        sell_many(&stock);
        raw.execute(&format!(
            "INSERT INTO profile_secrets (profile_id, data_key_id) SELECT p.id, (SELECT id FROM wrapped_keys LIMIT 1) \
             FROM profiles p WHERE p.id > {}",
            added[39].id
        ));
        let counted = |table: &str, column: &str| {
            format!("SELECT {column} AS value FROM pg_stat_user_tables WHERE relname = '{table}'")
        };
        let told = async |raw: &mut RawConnection, table: &str, column: &str, least: i64| {
            let deadline = Instant::now() + Duration::from_secs(30);
            while raw.number(&counted(table, column)) < least {
                assert!(Instant::now() < deadline, "nothing is told of {table}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        raw.execute("SELECT pg_stat_force_next_flush()");
        told(&mut raw, "profile_secrets", "n_tup_ins", SOLD).await;
        told(&mut raw, "profiles", "n_tup_ins", SOLD).await;
        raw.execute("SELECT pg_stat_reset()");
        for number in 0..ORDERS {
            sell_in_a_batch(&stock, format!("after-{number}")).await;
        }
        let Stock { store, db, .. } = stock;
        drop(store);
        told(&mut raw, "orders", "n_tup_ins", ORDERS).await;
        for table in ["profiles", "profile_secrets"] {
            let read = raw.number(&counted(table, "COALESCE(seq_tup_read, 0) + COALESCE(idx_tup_fetch, 0)"));
            assert!(read < 50 * ORDERS, "{ORDERS} orders read {read} rows of {table}");
        }
        drop(db);
    }
}

/// Claims of a test under an old snapshot.
const CLAIMS: usize = 40;

/// [`SOLD`] profiles that are sold while a backup, say, holds a snapshot open: nothing can be cleared out of the index.
struct Unclearable {
    snapshot: RawConnection,
    raw: RawConnection,
}

impl Unclearable {
    fn of(stock: &Stock) -> Self {
        sell_many(stock);
        let (mut raw, mut snapshot) = (stock.db.raw(), stock.db.raw());
        raw.execute("UPDATE profiles SET stock_status = 'available'; ANALYZE");
        snapshot.execute("BEGIN ISOLATION LEVEL REPEATABLE READ");
        assert_eq!(snapshot.number("SELECT COUNT(*) AS value FROM profiles"), SOLD);
        Self { snapshot, raw }
    }

    fn sell(&mut self) {
        self.raw.execute("UPDATE profiles SET stock_status = 'allocated' WHERE iccid LIKE '8933000%'");
    }

    /// They were read once, to find where the stock begins.
    async fn assert_walked_once(mut self, stock: Stock) {
        let Stock { store, db, .. } = stock;
        // Connections tell what they read when they end.
        drop(store);
        let read =
            "SELECT idx_tup_read AS value FROM pg_stat_user_indexes WHERE indexrelname = 'profiles_claim'";
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.raw.number(read) < SOLD && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let entries = self.raw.number(read);
        assert!((SOLD..3 * SOLD).contains(&entries), "{CLAIMS} claims read {entries} entries");
        self.snapshot.execute("ROLLBACK");
        drop(db);
    }
}

/// An order of one profile, as the desk takes it.
async fn sell_in_a_batch(stock: &Stock, reference: String) {
    let (pool, store) = (stock.pool.clone(), stock.store.clone());
    let sold = stock.store.write_batch(move |conn| {
        let claimed = allocations::claim_up_to(conn, &pool, 1, false, now())?;
        let place =
            |profile| NewAllocation { profile, line_no: 0, position: 0, outcome: ProfileOutcome::Fulfilled };
        let new = NewOrder {
            order: new_order(&reference),
            lines: vec![line_of(&pool, 1)],
            places: claimed.into_iter().map(place).collect(),
            revealed: true,
            key: None,
            events: Vec::new(),
        };
        intake::write(conn, store.vault(), &[&new], now())
    });
    assert!(matches!(sold.await.unwrap(), Written::Each(each) if matches!(&each[..], [Some(_)])));
}

/// [`SOLD`] profiles with their orders and live allocations, older than all that comes later.
fn sell_many(stock: &Stock) {
    let (pool, import) = (stock.pool.id, stock.import.id.0.simple());
    let mut raw = stock.db.raw();
    let (numbers, import, order, far, moment, random) = match stock.db.backend() {
        Backend::Postgres => (
            format!("generate_series(1, {SOLD}) AS n"),
            format!("'{import}'::uuid"),
            "gen_random_uuid()",
            "timestamptz '2090-01-01'",
            "now()",
            "'\\x01'::bytea",
        ),
        Backend::Sqlite => (
            format!(
                "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {SOLD}) SELECT n FROM c)"
            ),
            format!("x'{import}'"),
            "randomblob(16)",
            "3786912000000000",
            "1",
            "x'01'",
        ),
    };
    let (yes, number) = match stock.db.backend() {
        Backend::Postgres => ("true", "lpad(n::text, 12, '0')"),
        Backend::Sqlite => ("1", "printf('%012d', n)"),
    };
    raw.execute(&format!(
        "INSERT INTO profiles (iccid, sim_key, form_factor, pool_id, import_id, batch_no, imported_as, stock_status, \
         sell_by, tags, version, created_at, updated_at) \
         SELECT '8933000' || {number}, '8933000' || {number}, 'esim', {pool}, {import}, 1, 'available', 'allocated', \
         {far}, '[]', 1, {moment}, {moment} FROM {numbers}; \
         INSERT INTO orders (id, channel, reference, request_hash, status, reveal, version, created_at, updated_at) \
         SELECT {order}, 'bulk', iccid, {random}, 'fulfilled', {yes}, 2, {moment}, {moment} FROM profiles WHERE iccid LIKE '8933000%'; \
         INSERT INTO allocations (profile_id, order_id, line_no, position, outcome, created_at) \
         SELECT p.id, o.id, 0, 0, 'fulfilled', {moment} FROM profiles p \
         JOIN orders o ON o.reference = p.iccid AND o.channel = 'bulk';"
    ));
    let live = "SELECT COUNT(*) AS value FROM allocations a JOIN orders o ON o.id = a.order_id WHERE o.channel = 'bulk'";
    assert_eq!(raw.number(live), SOLD);
}

/// The claim with values in the place of its parameters.
fn claim(pool: i64, moment: &str) -> String {
    claim_sql().replace("$1", &pool.to_string()).replace("$2", moment).replace("$3", "2")
}

fn assert_sqlite_plan(db: &TestDatabase, pool: i64) {
    let plan = explain_sqlite(db, &claim(pool, "1700000000000000"));
    let all = plan.join("; ");
    assert!(plan.iter().any(|step| step.contains("USING INDEX profiles_claim")), "{all}");
    assert!(!all.contains("SCAN"), "{all}");
    assert!(!all.contains("TEMP B-TREE"), "the index must give the order: {all}");
}

fn assert_postgres_plan(db: &TestDatabase, pool: i64, lock: &str) {
    use diesel::prelude::*;
    #[derive(QueryableByName)]
    struct Plan {
        #[diesel(sql_type = diesel::sql_types::Json, column_name = "QUERY PLAN")]
        plan: Json,
    }
    let RawConnection::Postgres(mut connection) = db.raw() else { panic!() };
    let sql = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {}{lock}", claim(pool, "now()"));
    let plan: Plan = diesel::sql_query(sql).get_result(&mut connection).unwrap();
    let root = &plan.plan[0]["Plan"];
    let mut nodes = Vec::new();
    walk(root, &mut nodes);
    let scan = nodes.iter().find(|node| node["Index Name"] == "profiles_claim");
    assert!(scan.is_some(), "the claim is not served by its index: {root:#}");
    for node in &nodes {
        assert_ne!(node["Node Type"], "Sort", "the index must give the order: {root:#}");
        assert!(node["Rows Removed by Filter"].as_u64().unwrap_or(0) < 10, "{root:#}");
        assert!(node["Rows Removed by Index Recheck"].as_u64().unwrap_or(0) < 10, "{root:#}");
    }
    let buffers = ["Shared Hit Blocks", "Shared Read Blocks"];
    let touched: u64 = buffers.iter().filter_map(|name| root[*name].as_u64()).sum();
    assert!(touched < 50, "{touched} pages for two profiles: {root:#}");
}

fn walk<'a>(node: &'a Json, nodes: &mut Vec<&'a Json>) {
    nodes.push(node);
    for child in node["Plans"].as_array().into_iter().flatten() {
        walk(child, nodes);
    }
}
