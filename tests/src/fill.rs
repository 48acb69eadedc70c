//! Fills a database with as many profiles as a large operator has, within minutes: for the plans of the reads, and for
//! the benchmark. The database does it all by itself; nothing has a secret.
//!
//! The first fifth is sold, with orders, operations, lines and events; the rest is in the stock. One pool has nine
//! tenths, ninety-nine have the rest. What is rare lies where a plan that walks the rows from their beginning finds it last.

use simdepot_persistence::Backend;
use simdepot_persistence::vault::WrappingKey;

use crate::database::{KEY, RawConnection};

/// Pools. The first has nine tenths.
const POOLS: u64 = 100;
/// Rows per statement.
const CHUNK: u64 = 500_000;
/// 2026-01-01, in seconds.
const START: u64 = 1_767_225_600;

/// Fills an empty, migrated database with so many profiles (rows 1 to `profiles`).
pub fn fill(raw: &mut RawConnection, backend: Backend, profiles: u64) {
    let filling = Filling { backend, profiles };
    raw.execute(&filling.stock());
    for (first, last) in chunks(1, profiles) {
        raw.execute(&filling.profiles(first, last));
        raw.execute(&filling.secrets(first, last));
    }
    for (first, last) in chunks(1, profiles / 5) {
        raw.execute(&filling.sold(first, last));
        raw.execute(&filling.found(first, last));
    }
    raw.execute(&recount(backend));
    raw.execute(&format!(
        "INSERT INTO stock_sold (pool_id, day, profiles) SELECT p.pool_id, {}, COUNT(*) FROM allocations a \
         JOIN profiles p ON p.id = a.profile_id GROUP BY 1, 2",
        filling.pick(
            "date_trunc('day', a.created_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'",
            "a.created_at - a.created_at % 86400000000",
        )
    ));
    raw.execute("ANALYZE");
}

/// The counts of the stock, for profiles that were written past them.
pub fn recount(backend: Backend) -> String {
    let epoch = match backend {
        Backend::Postgres => "timestamptz 'epoch'",
        Backend::Sqlite => "0",
    };
    format!(
        "INSERT INTO stock_counts (pool_id, stock_status, sell_by, profiles) SELECT pool_id, stock_status, \
         CASE WHEN stock_status = 'available' THEN sell_by ELSE {epoch} END, COUNT(*) FROM profiles GROUP BY 1, 2, 3"
    )
}

fn chunks(first: u64, last: u64) -> impl Iterator<Item = (u64, u64)> {
    (first..=last)
        .step_by(usize::try_from(CHUNK).unwrap_or(usize::MAX))
        .map(move |n| (n, last.min(n + CHUNK - 1)))
}

struct Filling {
    backend: Backend,
    profiles: u64,
}

impl Filling {
    fn pick<'a>(&self, postgres: &'a str, sqlite: &'a str) -> &'a str {
        match self.backend {
            Backend::Postgres => postgres,
            Backend::Sqlite => sqlite,
        }
    }

    /// A column `n`.
    fn numbers(&self, first: u64, last: u64) -> String {
        match self.backend {
            Backend::Postgres => format!("generate_series({first}::bigint, {last}) AS n"),
            Backend::Sqlite => format!(
                "(WITH RECURSIVE c(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM c WHERE n < {last}) \
                 SELECT n FROM c)"
            ),
        }
    }

    /// A number with leading zeros.
    fn digits(&self, number: &str, width: u8) -> String {
        match self.backend {
            Backend::Postgres => format!("lpad(({number})::text, {width}, '0')"),
            Backend::Sqlite => format!("printf('%0{width}d', {number})"),
        }
    }

    /// A UUIDv7 for each number, a second after the one before it. `kind` is a hexadecimal digit: things of one number
    /// have ids of their own.
    fn uuid(&self, kind: char, number: &str) -> String {
        match self.backend {
            Backend::Postgres => format!(
                "(lpad(to_hex({START}000 + ({number}) * 1000), 12, '0') || '70008' || '{kind}' \
                 || lpad(to_hex({number}), 14, '0'))::uuid"
            ),
            Backend::Sqlite => {
                format!("unhex(printf('%012x70008{kind}%014x', {START}000 + ({number}) * 1000, {number}))")
            }
        }
    }

    /// So many seconds after the beginning.
    fn moment(&self, seconds: &str) -> String {
        match self.backend {
            Backend::Postgres => format!("to_timestamp({START} + {seconds})"),
            Backend::Sqlite => format!("({START} + {seconds}) * 1000000"),
        }
    }

    /// Every seventh has 20 digits.
    fn iccid(&self) -> String {
        format!("'8988247' || {} || CASE WHEN n % 7 = 0 THEN '0' ELSE '' END", self.digits("n", 12))
    }

    /// Pools, ten deliveries and a data key, which opens nothing.
    fn stock(&self) -> String {
        let (now, pools, ten) = (self.moment("0"), self.numbers(1, POOLS), self.numbers(1, 10));
        let (id, hash) = (self.uuid('1', "n"), self.digits("n", 64));
        let always = self.pick("OVERRIDING SYSTEM VALUE", "");
        format!(
            "INSERT INTO pools (id, pool, carrier_account, name, sellable_statuses, version, created_at, updated_at) \
             {always} SELECT n, 'pool-' || n, 'spc', 'Pool ' || n, '[\"preactivated\"]', 1, {now}, {now} FROM {pools}; \
             INSERT INTO imports (id, batch_no, pool_id, format, on_error, dry_run, file_sha256, status, \
             created_at, finished_at) \
             {always} SELECT {id}, n, 1, 'delivery', 'all', {no}, {hash}, 'completed', {now}, {now} FROM {ten}; \
             INSERT INTO wrapped_keys (id, purpose, key_id, wrapped, created_at) \
             SELECT {key}, 'data', '{wrapped_by}', {byte}, {now};",
            no = self.pick("false", "0"),
            key = self.uuid('5', "1"),
            wrapped_by = WrappingKey::from_bytes(KEY).id(),
            byte = self.byte(),
        )
    }

    fn byte(&self) -> &'static str {
        match self.backend {
            Backend::Postgres => "'\\x01'::bytea",
            Backend::Sqlite => "x'01'",
        }
    }

    /// Everything has its code.
    fn secrets(&self, first: u64, last: u64) -> String {
        let (numbers, key, byte) = (self.numbers(first, last), self.uuid('5', "1"), self.byte());
        format!(
            "INSERT INTO profile_secrets (profile_id, data_key_id, activation_code) SELECT n, {key}, {byte} FROM {numbers}"
        )
    }

    /// What was found of the sold: a difference each, of which the last tenth is open; and the first delivery's report,
    /// in which nothing was refused.
    fn found(&self, first: u64, last: u64) -> String {
        let (numbers, now, import) = (self.numbers(first, last), self.moment("0"), self.uuid('1', "1"));
        let open = self.profiles / 5 * 9 / 10;
        let document = self.pick("'{}'::jsonb", "'{}'");
        format!(
            "INSERT INTO drifts (carrier_account, profile_id, kind, subject, details, status, first_seen_at, \
             last_seen_at) SELECT 'spc', n, 'missing_bundle', 'sub-' || n, {document}, \
             CASE WHEN n > {open} THEN 'open' ELSE 'gone' END, {now}, {now} FROM {numbers}; \
             INSERT INTO import_rows (import_id, position, line, result, column_name, code, reason) \
             SELECT {import}, n, n, 'duplicate', 'iccid', 'duplicate', 'in the stock' FROM {numbers};"
        )
    }

    fn profiles(&self, first: u64, last: u64) -> String {
        let (numbers, iccid) = (self.numbers(first, last), self.iccid());
        let (all, sold) = (self.profiles, self.profiles / 5);
        let delivery = format!("1 + (n - 1) * 10 / {all}");
        let day = format!("157766400 + ((n - 1) * 50 / {all}) * 86400");
        let (now, sell_by, import) = (self.moment("0"), self.moment(&day), self.uuid('1', &delivery));
        let (msisdn, eid) = (self.digits("n", 9), self.digits("n", 28));
        let status = format!(
            "CASE WHEN n <= {sold} THEN 'allocated' WHEN n % 1000 = 1 THEN 'quarantined' WHEN n % 1000 = 3 \
             THEN 'retired' WHEN n % 1009 = 5 THEN 'held' ELSE 'available' END"
        );
        let sim = format!(
            "CASE WHEN n > {sold} THEN 'preactivated' WHEN n % 500 = 0 THEN 'suspended' \
             WHEN n % 700 = 0 THEN 'terminated' ELSE 'active' END"
        );
        let esim = format!(
            "CASE WHEN n > {sold} THEN NULL WHEN n % 997 = 0 THEN 'deleted' WHEN n % 2 = 0 THEN 'installed' \
             ELSE 'enabled' END"
        );
        let (yes, document) = (self.pick("true", "1"), self.pick("'[]'::jsonb", "'[]'"));
        format!(
            "INSERT INTO profiles (iccid, sim_key, form_factor, pool_id, import_id, batch_no, imported_as, \
             stock_status, quarantine_reason, hold_id, sell_by, msisdn, eid, sim_status, sim_observed_at, sim_dated, \
             sim_received_at, sim_source, esim_status, esim_observed_at, esim_dated, esim_received_at, esim_source, \
             tags, version, created_at, updated_at) \
             SELECT s.iccid, SUBSTR(s.iccid, 1, 19), 'esim', CASE WHEN n % 10 = 0 THEN 2 + (n / 10) % ({POOLS} - 1) ELSE 1 END, \
             s.import, s.batch, 'available', s.status, CASE WHEN s.status = 'quarantined' THEN 'manual' END, \
             CASE WHEN s.status = 'held' THEN s.import END, s.sell_by, '447' || s.msisdn, \
             CASE WHEN n % 10 = 0 THEN '8904' || s.eid END, s.sim, {now}, {yes}, {now}, 'import', \
             s.esim, CASE WHEN s.esim IS NOT NULL THEN {now} END, CASE WHEN s.esim IS NOT NULL THEN {yes} END, \
             CASE WHEN s.esim IS NOT NULL THEN {now} END, CASE WHEN s.esim IS NOT NULL THEN 'event' END, \
             {document}, CASE WHEN n <= {sold} THEN 2 ELSE 0 END, {now}, {now} FROM (SELECT n, {iccid} AS iccid, \
             {import} AS import, {delivery} AS batch, {status} AS status, {sell_by} AS sell_by, {msisdn} AS msisdn, \
             {eid} AS eid, {sim} AS sim, {esim} AS esim FROM {numbers}) s"
        )
    }

    /// An order for each, every tenth of another channel; every other with an operation, and with a line in a group.
    fn sold(&self, first: u64, last: u64) -> String {
        let (numbers, iccid, now) = (self.numbers(first, last), self.iccid(), self.moment("n"));
        let (order, operation, event) = (self.uuid('2', "n"), self.uuid('3', "n"), self.uuid('4', "n"));
        let byte = self.byte();
        let json = |text: &str| format!("'{text}'{}", self.pick("::jsonb", ""));
        let request =
            json(r#"{"kind":"place_bundle","product":"FRANCE_1GB","order_type":null,"first_sale":true}"#);
        let moved = json(r#"{"from":"available","to":"allocated"}"#);
        let reference = self.digits("n", 9);
        format!(
            "INSERT INTO orders (id, channel, reference, request_hash, status, reveal, version, created_at, updated_at) \
             SELECT {order}, CASE WHEN n % 10 = 0 THEN 'other' ELSE 'shop' END, 'ref-' || {reference}, {byte}, \
             CASE WHEN n % 1000 = 1 THEN 'needs_attention' ELSE 'fulfilled' END, {yes}, 2, {now}, {now} FROM {numbers}; \
             INSERT INTO allocations (profile_id, order_id, line_no, position, outcome, created_at) \
             SELECT n, {order}, 0, 0, 'fulfilled', {now} FROM {numbers}; \
             INSERT INTO operations (id, carrier_account, request, lane, profile_id, order_id, status, run_at, version, \
             created_at, updated_at) SELECT {operation}, 'spc', {request}, 'sale', n, {order}, \
             CASE WHEN n % 1000 = 2 THEN 'refused' ELSE 'done' END, {now}, 3, {now}, {now} FROM {numbers} \
             WHERE n % 2 = 0; \
             INSERT INTO lines (profile_id, line_group, external_reference, source, observed_at) \
             SELECT n, CASE WHEN n % 4 = 0 THEN 'everything' ELSE 'fleet-' || (n % 1000) END, 'truck-' || n, 'read', \
             {now} FROM {numbers} WHERE n % 2 = 0; \
             INSERT INTO events (id, at, subject_kind, subject_id, version, type_name, data) \
             SELECT {event}, {now}, 'profile', {iccid}, 1, 'profile.stock_moved', {moved} FROM {numbers}; \
             INSERT INTO feed (seq, event_id, hash) SELECT n, {event}, {byte} FROM {numbers};",
            yes = self.pick("true", "1"),
        )
    }
}
