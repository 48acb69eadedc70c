//! Imports that wait, for each other or for the database, are not taken for dead, and none stays open for ever.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use simdepot_application::imports::{self, ImportView, StartImport};
use simdepot_application::{AppError, housekeeping};
use simdepot_domain::delivery::Format;
use simdepot_domain::id::ImportId;
use simdepot_domain::import::ImportStatus;
use simdepot_persistence::{Backend, StoreError};
use simdepot_tests::depot::stock_keeper;
use simdepot_tests::{TestDatabase, TestDepot, on_both_databases, on_postgres};
use tokio::task::JoinHandle;

use crate::imports::{A, B, C, available};

/// How long an ordinary write waits for SQLite's writer, and a bit.
const LONGER_THAN_A_WRITE_WAITS: Duration = Duration::from_secs(11);
/// How long a test waits for an end.
const PATIENCE: Duration = Duration::from_secs(30);

fn file(iccid: &str) -> String {
    format!("ICCID;ActivationCode\n{iccid};1$smdp.example${iccid}\n")
}

/// Begins an import, and does not carry it out yet.
async fn begin(test: &TestDepot, name: &str, asked: StartImport) -> ImportId {
    let sha256 = hex::encode(Sha256::digest(name));
    let (begun, _) =
        imports::start(&test.depot, &stock_keeper("default"), asked, &sha256, None).await.unwrap();
    begun.import.id
}

fn run(test: &TestDepot, id: ImportId, path: &Path) -> JoinHandle<Result<(), AppError>> {
    let (depot, path) = (test.depot.clone(), path.to_owned());
    tokio::spawn(async move { imports::run(&depot, id, &path, &|_| ()).await })
}

async fn view(test: &TestDepot, id: ImportId) -> ImportView {
    imports::get(&test.depot, id).await.unwrap()
}

/// Takes SQLite's one writer, until something is sent.
async fn take_writer(test: &TestDepot) -> mpsc::Sender<()> {
    let (taken, is_taken) = mpsc::channel();
    let (end, may_end) = mpsc::channel();
    let store = test.depot.store.clone();
    tokio::spawn(async move {
        let write = store.write(move |_| {
            taken.send(()).unwrap();
            may_end.recv_timeout(PATIENCE).unwrap();
            Ok::<_, StoreError>(())
        });
        write.await.unwrap();
    });
    tokio::task::spawn_blocking(move || is_taken.recv().unwrap()).await.unwrap();
    end
}

/// Waits until a query gives something else than it did.
async fn changes(test: &TestDepot, sql: &str) {
    let (mut raw, begun) = (test.db.raw(), tokio::time::Instant::now());
    let before = raw.texts(sql);
    while raw.texts(sql) == before {
        assert!(begun.elapsed() < PATIENCE, "{sql} stays {before:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// While another import becomes stock, SQLite's one writer is taken for as long as that takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_sqlite_another_import_is_waited_for() {
    let test = TestDepot::start(TestDatabase::sqlite()).await;
    let known = test.import(file(A), test.import_of()).await.unwrap().0;
    assert_eq!(known.import.status, ImportStatus::Completed);
    let good = begin(&test, "good", test.import_of()).await;
    let bad = begin(&test, "bad", test.import_of()).await;
    let writer = take_writer(&test).await;
    let imports = [
        // With a duplicate, so that there is a report to write while the rows are checked.
        run(&test, good, &test.file("good.csv", format!("{}{A};\n", file(B)))),
        run(&test, bad, &test.file("bad.csv", "no header\n")),
    ];
    tokio::time::sleep(LONGER_THAN_A_WRITE_WAITS).await;
    writer.send(()).unwrap();
    for import in imports {
        import.await.unwrap().unwrap();
    }
    let (good, bad) = (view(&test, good).await.import, view(&test, bad).await.import);
    let found = (good.counts.accepted, good.counts.duplicates);
    assert_eq!((good.status, found), (ImportStatus::Completed, (1, 1)), "{:?}", good.problem);
    assert_eq!(bad.status, ImportStatus::Failed);
    assert!(bad.problem.unwrap().contains("no ICCID column"), "what is wrong with the file is told");
    assert_eq!(available(&test).await, 2);
    test.finish().await;
}

/// A fleet report learns in many small writes, and each of them waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_sqlite_a_fleet_report_waits_too() {
    let test = TestDepot::start(TestDatabase::sqlite()).await;
    test.import(file(A), test.import_of()).await.unwrap();
    let asked = StartImport { format: Format::Park, ..test.import_of() };
    let report = begin(&test, "report", asked).await;
    let writer = take_writer(&test).await;
    let path = test.file("park.csv", format!("{A};x;x;x;x;x;x;33700000001;Active;x\n"));
    let import = run(&test, report, &path);
    tokio::time::sleep(LONGER_THAN_A_WRITE_WAITS).await;
    writer.send(()).unwrap();
    import.await.unwrap().unwrap();
    let import = view(&test, report).await.import;
    assert_eq!((import.status, import.counts.updated), (ImportStatus::Completed, 1), "{:?}", import.problem);
    test.finish().await;
}

on_postgres! {
    /// The duplicates are sought among all rows in statements that may each take minutes.
    async fn an_import_shows_that_it_is_at_work_while_duplicates_are_sought(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let id = begin(&test, "import", test.import_of()).await;
        let mut lock = test.db.raw();
        lock.execute("BEGIN; LOCK TABLE profiles IN ACCESS EXCLUSIVE MODE");
        let import = run(&test, id, &test.file("import.csv", file(A)));
        changes(
            &test,
            "SELECT COUNT(*)::text AS value FROM pg_locks WHERE relation = 'profiles'::regclass AND NOT granted",
        )
        .await;
        let sign = "SELECT shown_at::text AS value FROM import_signs";
        changes(&test, sign).await;
        // Its own row is the same one from then on: each profile that lands looks that up, and would meet all its versions.
        let version = "SELECT xmin::text AS value FROM imports";
        let begun = test.db.raw().texts(version);
        for _ in 0..2 {
            changes(&test, sign).await;
        }
        assert_eq!(test.db.raw().texts(version), begun);
        lock.execute("COMMIT");
        import.await.unwrap().unwrap();
        assert_eq!(view(&test, id).await.import.status, ImportStatus::Completed);
        test.finish().await;
    }
}

/// A file that comes only when the test writes it.
fn pipe(test: &TestDepot, name: &str) -> PathBuf {
    let path = test.file(name, "");
    std::fs::remove_file(&path).unwrap();
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

on_both_databases! {
    /// Few are carried out at a time. The others stay queued, and nobody takes them for dead.
    async fn the_third_import_waits_for_its_turn(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let mut ids = Vec::new();
        for name in ["first", "second", "third"] {
            ids.push(begin(&test, name, test.import_of()).await);
        }
        let pipes = [pipe(&test, "first.csv"), pipe(&test, "second.csv")];
        let mut running = vec![run(&test, ids[0], &pipes[0]), run(&test, ids[1], &pipes[1])];
        // Both have their turn: they read their files.
        let mut written = Vec::new();
        for path in pipes {
            let open = move || std::fs::OpenOptions::new().write(true).open(path).unwrap();
            written.push(tokio::task::spawn_blocking(open).await.unwrap());
        }
        running.push(run(&test, ids[2], &test.file("third.csv", file(C))));
        let long_ago = match test.db.backend() {
            Backend::Postgres => "now() - interval '11 minutes'",
            Backend::Sqlite => "shown_at - 660000000",
        };
        let third = "import_id = (SELECT id FROM imports ORDER BY batch_no DESC LIMIT 1)";
        test.db.raw().execute(&format!("UPDATE import_signs SET shown_at = {long_ago} WHERE {third}"));
        housekeeping::step(&test.depot).await.unwrap();
        assert_eq!(view(&test, ids[2]).await.import.status, ImportStatus::Queued, "its process knows of it");
        changes(&test, &format!("SELECT CAST(shown_at AS TEXT) AS value FROM import_signs WHERE {third}")).await;
        housekeeping::step(&test.restarted()).await.unwrap();
        assert_eq!(view(&test, ids[2]).await.import.status, ImportStatus::Queued, "the others see its signs");
        assert!(!running[2].is_finished());
        for (mut pipe, iccid) in written.into_iter().zip([A, B]) {
            std::io::Write::write_all(&mut pipe, file(iccid).as_bytes()).unwrap();
        }
        for import in running {
            import.await.unwrap().unwrap();
        }
        for id in ids {
            assert_eq!(view(&test, id).await.import.status, ImportStatus::Completed);
        }
        assert_eq!(available(&test).await, 3);
        test.finish().await;
    }
}
