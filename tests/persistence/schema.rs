//! The tables as diesel sees them against the tables as they are.

use std::collections::BTreeMap;

use simdepot_persistence::Backend;
use simdepot_tests::on_both_databases;

const SCHEMA: &str = include_str!("../../crates/persistence/src/schema.rs");

/// Table, column, then diesel's type and whether it may be null.
type Columns = BTreeMap<(String, String), (String, bool)>;

fn as_diesel_sees_them() -> Columns {
    let mut columns = Columns::new();
    let mut table = String::new();
    let body = SCHEMA.split("tables! {").nth(1).unwrap();
    for line in body.lines().map(str::trim) {
        if let Some((name, _)) = line.strip_suffix('{').and_then(|head| head.split_once(" (")) {
            name.clone_into(&mut table);
        } else if let Some((column, kind)) = line.strip_suffix(',').and_then(|line| line.split_once(" -> ")) {
            let inner = kind.strip_prefix("Nullable<").and_then(|kind| kind.strip_suffix('>'));
            let (kind, nullable) = (inner.unwrap_or(kind).to_owned(), inner.is_some());
            columns.insert((table.clone(), column.to_owned()), (kind, nullable));
        }
    }
    columns
}

/// The column type that the migrations use for a diesel type.
fn native(backend: Backend, kind: &str) -> &'static str {
    match (backend, kind) {
        (Backend::Postgres, "Id") => "uuid",
        (Backend::Postgres, "Moment") => "timestamp with time zone",
        (Backend::Postgres, "Document") => "jsonb",
        (Backend::Postgres, "Text") => "text",
        (Backend::Postgres, "Binary") => "bytea",
        (Backend::Postgres, "BigInt") => "bigint",
        (Backend::Postgres, "Integer") => "integer",
        (Backend::Postgres, "Bool") => "boolean",
        (Backend::Sqlite, "Id" | "Binary") => "BLOB",
        (Backend::Sqlite, "Moment" | "BigInt" | "Integer" | "Bool") => "INTEGER",
        (Backend::Sqlite, "Document" | "Text") => "TEXT",
        (_, other) => panic!("schema.rs has a type that this test does not know: {other}"),
    }
}

on_both_databases! {
    async fn the_tables_are_as_diesel_sees_them(db: TestDatabase) {
        let seen: Columns = as_diesel_sees_them()
            .into_iter()
            .map(|(column, (kind, nullable))| (column, (native(db.backend(), &kind).to_owned(), nullable)))
            .collect();
        assert!(seen.len() > 120, "schema.rs was not read");
        let mut raw = db.raw();
        let sql = match db.backend() {
            Backend::Postgres => {
                "SELECT table_name || '|' || column_name || '|' || data_type || '|' || is_nullable AS value \
                 FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name) \
                 WHERE table_type = 'BASE TABLE' AND table_schema = 'public' AND table_name NOT LIKE '\\_\\_diesel%'"
            }
            // A key of a rowid table is never null, whatever the column says.
            Backend::Sqlite => {
                "SELECT m.name || '|' || c.name || '|' || c.type || '|' || \
                 CASE WHEN c.\"notnull\" OR (c.pk AND c.type = 'INTEGER') THEN 'NO' ELSE 'YES' END AS value \
                 FROM sqlite_master m JOIN pragma_table_info(m.name) c \
                 WHERE m.type = 'table' AND m.name NOT LIKE '\\_\\_diesel%' ESCAPE '\\' \
                 AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
            }
        };
        let mut there: Columns = raw
            .texts(sql)
            .iter()
            .map(|row| {
                let fields: Vec<&str> = row.split('|').collect();
                let column = (fields[0].to_owned(), fields[1].to_owned());
                (column, (fields[2].to_owned(), fields[3] == "YES"))
            })
            .collect();
        // PostgreSQL alone has it, filled by the database and read by the sequencer's own SQL.
        there.remove(&("events".to_owned(), "txid".to_owned()));
        // So has it where the moves of the stock are folded up to; SQLite has no moves that are not.
        there.retain(|(table, _), _| table != "stock_folds");
        let seen: Columns = seen
            .into_iter()
            .filter(|((table, _), _)| db.backend() == Backend::Postgres || table != "stock_moves")
            .collect();
        assert_eq!(seen, there);
    }

    /// A profile that goes with its import is looked for in every table that may name it. Without an index each of a million
    /// profiles reads the table whole.
    async fn what_names_a_profile_is_found_by_an_index(db: TestDatabase) {
        let (naming, found) = match db.backend() {
            Backend::Postgres => (
                "SELECT c.conrelid::regclass || '.' || a.attname AS value FROM pg_constraint c \
                 JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1] \
                 WHERE c.contype = 'f' AND c.confrelid = 'profiles'::regclass ORDER BY 1",
                // One that has only some of the rows must have all that name a profile.
                "SELECT DISTINCT i.indrelid::regclass || '.' || a.attname AS value FROM pg_index i \
                 JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] \
                 WHERE i.indpred IS NULL OR pg_get_expr(i.indpred, i.indrelid) = '(' || a.attname || ' IS NOT NULL)'",
            ),
            Backend::Sqlite => (
                "SELECT m.name || '.' || f.\"from\" AS value FROM sqlite_master m \
                 JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table' AND f.\"table\" = 'profiles' ORDER BY 1",
                "SELECT m.name || '.' || c.name AS value FROM sqlite_master m JOIN pragma_index_list(m.name) i \
                 JOIN pragma_index_info(i.name) c ON c.seqno = 0 \
                 LEFT JOIN sqlite_master d ON d.type = 'index' AND d.name = i.name \
                 WHERE m.type = 'table' AND (NOT i.partial OR d.sql LIKE '%WHERE ' || c.name || ' IS NOT NULL') \
                 UNION SELECT m.name || '.' || t.name FROM sqlite_master m JOIN pragma_table_info(m.name) t \
                 WHERE m.type = 'table' AND t.pk = 1",
            ),
        };
        let mut raw = db.raw();
        let (naming, found) = (raw.texts(naming), raw.texts(found));
        assert!(naming.len() > 10, "{naming:?}");
        let walked: Vec<_> = naming.iter().filter(|column| !found.contains(column)).collect();
        assert!(walked.is_empty(), "no index begins with {walked:?}");
    }
}
