//! The two trees of migrations, and what they make.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use simdepot_domain::bundle::{BundleStatus, OrderType};
use simdepot_domain::carrier_event::CarrierEventStatus;
use simdepot_domain::delivery::Format;
use simdepot_domain::drift::{DriftKind, DriftStatus};
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::event::SubjectKind;
use simdepot_domain::hold::HoldStatus;
use simdepot_domain::import::{ImportStatus, OnError, RowResult};
use simdepot_domain::line::SuspendedBy;
use simdepot_domain::line_job::{LineJobRowStatus, LineJobStatus};
use simdepot_domain::observation::Source;
use simdepot_domain::operation::{Lane, OperationStatus};
use simdepot_domain::order::{OrderStatus, ProfileOutcome};
use simdepot_domain::pool::AlertLevel;
use simdepot_domain::profile::{FormFactor, QuarantineReason};
use simdepot_domain::reconciliation::ReconciliationStatus;
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::StockStatus;
use simdepot_domain::webhook::{DeliveryStatus, EndpointStatus};
use simdepot_persistence::{Backend, StoreError};
use simdepot_tests::TestDatabase;
use simdepot_tests::database::migrations_of;
use strum::VariantArray;

const BOTH: [Backend; 2] = [Backend::Postgres, Backend::Sqlite];

fn names(backend: Backend) -> BTreeSet<String> {
    let entries = std::fs::read_dir(migrations_of(backend)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn text(backend: Backend, file: &str) -> String {
    let mut paths: Vec<PathBuf> =
        names(backend).iter().map(|name| migrations_of(backend).join(name).join(file)).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read_to_string(path).unwrap() + "\n").collect()
}

/// An empty database of each kind there is.
fn empty() -> Vec<TestDatabase> {
    [Some(TestDatabase::empty_sqlite()), TestDatabase::empty_postgres()].into_iter().flatten().collect()
}

/// The schema as the database describes it.
fn schema_of(db: &TestDatabase) -> Vec<String> {
    let mut raw = db.raw();
    match db.backend() {
        Backend::Sqlite => raw.texts(
            "SELECT type || ' ' || name || ' ' || coalesce(sql, '') AS value FROM sqlite_master \
             WHERE name NOT LIKE '__diesel%' AND name NOT LIKE 'sqlite_%' ORDER BY 1",
        ),
        Backend::Postgres => raw.texts(
            "SELECT 'column ' || table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || ' ' \
               || coalesce(column_default, '') AS value \
             FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE '\\_\\_diesel%' \
             UNION ALL SELECT 'index ' || indexdef FROM pg_indexes \
               WHERE schemaname = 'public' AND tablename NOT LIKE '\\_\\_diesel%' \
             UNION ALL SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ' ' \
               || pg_get_constraintdef(oid) \
               FROM pg_constraint WHERE connamespace = 'public'::regnamespace \
               AND conrelid::regclass::text NOT LIKE '\\_\\_diesel%' \
             UNION ALL SELECT 'trigger ' || pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal \
             UNION ALL SELECT 'function ' || proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace \
               AND proname NOT LIKE 'diesel%' \
             ORDER BY 1",
        ),
    }
}

#[test]
fn both_trees_have_the_same_names_and_files() {
    assert_eq!(names(Backend::Postgres), names(Backend::Sqlite));
    for backend in BOTH {
        for name in names(backend) {
            for file in ["up.sql", "down.sql"] {
                let path = migrations_of(backend).join(&name).join(file);
                let content = std::fs::read_to_string(&path).unwrap();
                assert!(!content.trim().is_empty(), "{}", path.display());
            }
        }
    }
}

#[test]
fn up_down_up_gives_the_same_schema() {
    for db in empty() {
        let backend = db.backend();
        assert_eq!(schema_of(&db), Vec::<String>::new());
        let count = db.raw().migrate(backend);
        assert_eq!(count, names(backend).len());
        let first = schema_of(&db);
        assert!(first.len() > 15, "{first:?}");
        assert_eq!(db.raw().revert(backend), count);
        assert_eq!(schema_of(&db), Vec::<String>::new(), "down leaves something behind");
        db.raw().migrate(backend);
        assert_eq!(schema_of(&db), first);
    }
}

#[test]
fn applied_twice_is_a_no_op() {
    for db in empty() {
        drop(db.store());
        let first = schema_of(&db);
        assert_eq!(db.raw().migrate(db.backend()), 0, "the embedded migrations are not those of the tree");
        drop(db.store());
        assert_eq!(schema_of(&db), first);
    }
}

#[test]
fn several_processes_may_start_on_a_new_database() {
    for db in empty() {
        std::thread::scope(|scope| {
            let starts: Vec<_> = (0..4).map(|_| scope.spawn(|| db.store().backend())).collect();
            for start in starts {
                assert_eq!(start.join().unwrap(), db.backend());
            }
        });
        let index_keys =
            db.raw().number("SELECT COUNT(*) AS value FROM wrapped_keys WHERE purpose = 'index'");
        assert_eq!(index_keys, 1);
    }
}

#[tokio::test]
async fn a_database_that_lacks_a_migration_is_refused_unless_it_may_be_migrated() {
    for db in empty() {
        let open = |migrate| {
            let options = simdepot_persistence::store::StoreOptions { migrate, ..db.options() };
            simdepot_persistence::Store::open(
                options,
                std::sync::Arc::new(simdepot_tests::TestClock::default()),
            )
        };
        let refused = open(false).unwrap_err();
        assert!(matches!(&refused, StoreError::Migration(_)), "{refused}");
        assert!(refused.to_string().contains("simdepot migrate"), "{refused}");
        let store = open(true).unwrap();
        store.check_ready().await.unwrap();
        drop(open(false).unwrap());
        db.raw().revert(db.backend());
        assert!(matches!(store.check_ready().await, Err(StoreError::Migration(_))));
    }
}

/// Column and values of every `CHECK (column IN (…))`.
fn checks(sql: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::new();
    for table in sql.split("CREATE TABLE ").skip(1) {
        let name = table.split_whitespace().next().unwrap();
        let body = &table[..table.find("\n)").unwrap()];
        for check in body.split("CHECK (").skip(1) {
            let Some((column, rest)) = check.split_once(" IN (") else { continue };
            if column.contains(' ') || column.contains('(') {
                // A rule over columns, not the list of a column's values.
                continue;
            }
            let list = rest.split(')').next().unwrap();
            let values: BTreeSet<String> =
                list.split(',').map(|value| value.trim().trim_matches('\'').to_owned()).collect();
            assert_eq!(found.insert(format!("{name}.{column}"), values), None, "{name}.{column}");
        }
    }
    found
}

fn variants<T: VariantArray + std::fmt::Display>() -> BTreeSet<String> {
    T::VARIANTS.iter().map(ToString::to_string).collect()
}

#[test]
fn every_check_lists_exactly_the_values_of_its_enum() {
    let imported_as = BTreeSet::from(["available".to_owned(), "quarantined".to_owned()]);
    let expected: BTreeMap<String, BTreeSet<String>> = [
        ("wrapped_keys.purpose", BTreeSet::from(["data".to_owned(), "index".to_owned()])),
        ("imports.format", variants::<Format>()),
        ("imports.on_error", variants::<OnError>()),
        ("imports.status", variants::<ImportStatus>()),
        ("import_rows.result", variants::<RowResult>()),
        ("profiles.form_factor", variants::<FormFactor>()),
        ("profiles.imported_as", imported_as),
        ("profiles.stock_status", variants::<StockStatus>()),
        ("profiles.quarantine_reason", variants::<QuarantineReason>()),
        ("profiles.sim_status", variants::<SimStatus>()),
        ("profiles.sim_source", variants::<Source>()),
        ("profiles.esim_status", variants::<EsimStatus>()),
        ("profiles.esim_source", variants::<Source>()),
        ("stock_counts.stock_status", variants::<StockStatus>()),
        ("orders.status", variants::<OrderStatus>()),
        ("allocations.outcome", variants::<ProfileOutcome>()),
        ("bundles.order_type", variants::<OrderType>()),
        ("bundles.status", variants::<BundleStatus>()),
        ("operations.lane", variants::<Lane>()),
        ("operations.status", variants::<OperationStatus>()),
        ("operations.order_type", variants::<OrderType>()),
        ("operations.refused_type", variants::<OrderType>()),
        ("events.subject_kind", variants::<SubjectKind>()),
        ("pools.alert_level", variants::<AlertLevel>()),
        ("holds.status", variants::<HoldStatus>()),
        ("carrier_events.status", variants::<CarrierEventStatus>()),
        ("drifts.kind", variants::<DriftKind>()),
        ("suspicions.kind", variants::<DriftKind>()),
        ("drifts.status", variants::<DriftStatus>()),
        ("reconciliations.status", variants::<ReconciliationStatus>()),
        ("webhook_endpoints.status", variants::<EndpointStatus>()),
        ("webhook_deliveries.status", variants::<DeliveryStatus>()),
        ("lines.suspended_by", variants::<SuspendedBy>()),
        ("lines.source", variants::<Source>()),
        ("line_jobs.status", variants::<LineJobStatus>()),
        ("line_job_rows.status", variants::<LineJobRowStatus>()),
    ]
    .into_iter()
    .map(|(column, values)| (column.to_owned(), values))
    .collect();
    for backend in BOTH {
        assert_eq!(checks(&text(backend, "up.sql")), expected, "{backend:?}");
    }
}

/// The partial index of open operations names exactly the statuses that the domain calls open.
#[test]
fn the_index_of_open_operations_follows_the_domain() {
    let open: BTreeSet<String> =
        OperationStatus::VARIANTS.iter().filter(|status| status.is_open()).map(ToString::to_string).collect();
    for backend in BOTH {
        let sql = text(backend, "up.sql");
        let index = sql.split("operations_one_open").nth(1).unwrap().split(';').next().unwrap();
        let list = index.split(" IN (").nth(1).unwrap().trim_end().trim_end_matches(')');
        let listed: BTreeSet<String> =
            list.split(',').map(|value| value.trim().trim_matches('\'').to_owned()).collect();
        assert_eq!(listed, open, "{backend:?}");
    }
}
