//! Imports and their reports.

use chrono::TimeDelta;
use simdepot_domain::id::ImportId;
use simdepot_domain::import::{ImportCounts, ImportStatus, RowResult};
use simdepot_persistence::imports::{self, Import, ImportEnd, NewImport, ReportedRow};
use simdepot_persistence::staging::{self, Pack, StagedIssue};
use simdepot_persistence::{Store, StoreError};
use simdepot_tests::on_both_databases;

use crate::support::{Stock, days, is_race, is_unique, make_import, make_pool, new_import, now};

const OPEN: [ImportStatus; 2] = [ImportStatus::Queued, ImportStatus::Running];

async fn begin(store: &Store, new: &NewImport) -> Import {
    let new = new.clone();
    let begun = store.write(move |conn| {
        imports::insert(conn, &new, now())?;
        imports::find(conn, new.id)
    });
    begun.await.unwrap().unwrap()
}

async fn finish(store: &Store, id: ImportId, to: ImportStatus) -> Result<(), StoreError> {
    let end = ImportEnd { event: true, ..ImportEnd::default() };
    store.write(move |conn| imports::finish(conn, id, &OPEN, to, &end, now())).await
}

async fn find(store: &Store, id: ImportId) -> Import {
    store.read(move |conn| imports::find(conn, id)).await.unwrap().unwrap()
}

on_both_databases! {
    async fn an_import_comes_back_as_written_and_ends_once(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let new = NewImport {
            sell_by: Some(now() + days(90)),
            file_name: Some("delivery é.csv".to_owned()),
            ..new_import(&stock.pool, "abc")
        };
        let import = begin(&stock.store, &new).await;
        assert_eq!((import.id, import.status, import.version), (new.id, ImportStatus::Queued, 0));
        assert_eq!((import.sell_by, &import.file_name), (new.sell_by, &new.file_name));
        assert!(import.batch_no > stock.import.batch_no && import.finished_at.is_none());

        let counts = ImportCounts { rows: 9, accepted: 5, rejected: 1, duplicates: 2, warnings: 3, updated: 4, unchanged: 5 };
        let id = import.id;
        stock.store.write(move |conn| imports::progress(conn, id, &counts, now())).await.unwrap();
        let running = find(&stock.store, id).await;
        assert_eq!((running.status, running.counts), (ImportStatus::Running, counts));
        let end = ImportEnd { counts, problem: Some("no".to_owned()), event: false };
        stock
            .store
            .write(move |conn| imports::finish(conn, id, &OPEN, ImportStatus::Failed, &end, now()))
            .await
            .unwrap();
        let failed = find(&stock.store, id).await;
        assert_eq!(
            (failed.status, failed.problem.as_deref(), failed.version),
            (ImportStatus::Failed, Some("no"), 0)
        );
        assert!(failed.finished_at.is_some());
        // Taken for dead: its process learns that when it goes on.
        assert!(is_race(&stock.store.write(move |conn| imports::progress(conn, id, &counts, now())).await));
        assert!(is_race(&finish(&stock.store, id, ImportStatus::Completed).await));
    }

    async fn a_file_is_completed_once_per_pool(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let other_pool = make_pool(&stock.store, "other", 0).await;
        let [first, second] = [new_import(&stock.pool, "same"), new_import(&stock.pool, "same")];
        let dry = NewImport { dry_run: true, ..new_import(&stock.pool, "same") };
        let elsewhere = new_import(&other_pool, "same");
        for new in [&first, &second, &dry, &elsewhere] {
            begin(&stock.store, new).await;
        }
        let completed = |pool| {
            let store = stock.store.clone();
            async move {
                let found =
                    store.read(move |conn| imports::find_completed(conn, pool, "same")).await.unwrap();
                found.map(|import| import.id)
            }
        };
        finish(&stock.store, dry.id, ImportStatus::Completed).await.unwrap();
        assert_eq!(completed(stock.pool.id).await, None, "a dry run imports nothing");
        finish(&stock.store, first.id, ImportStatus::Completed).await.unwrap();
        finish(&stock.store, elsewhere.id, ImportStatus::Completed).await.unwrap();
        assert_eq!(completed(stock.pool.id).await, Some(first.id));
        assert_eq!(completed(other_pool.id).await, Some(elsewhere.id));
        assert!(is_unique(&finish(&stock.store, second.id, ImportStatus::Completed).await));
        // After undo it may come again.
        let (id, end) = (first.id, ImportEnd { event: true, ..ImportEnd::default() });
        stock
            .store
            .write(move |conn| {
                imports::finish(conn, id, &[ImportStatus::Completed], ImportStatus::Undone, &end, now())
            })
            .await
            .unwrap();
        assert_eq!((find(&stock.store, id).await.version, completed(stock.pool.id).await), (2, None));
        finish(&stock.store, second.id, ImportStatus::Completed).await.unwrap();
    }

    async fn lists_are_paged_newest_first(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let other = make_pool(&stock.store, "other", 0).await;
        let mut batches = vec![stock.import.batch_no];
        for _ in 0..3 {
            batches.insert(0, make_import(&stock.store, &stock.pool).await.batch_no);
        }
        let apart = make_import(&stock.store, &other).await.batch_no;
        let list = |pool, before, limit| {
            let store = stock.store.clone();
            async move {
                let page = store.read(move |conn| imports::list(conn, pool, before, limit)).await.unwrap();
                page.into_iter().map(|import| import.batch_no).collect::<Vec<_>>()
            }
        };
        assert_eq!(list(None, None, 2).await, [apart, batches[0]]);
        assert_eq!(list(Some(stock.pool.id), None, 10).await, batches);
        assert_eq!(list(Some(stock.pool.id), Some(batches[1]), 1).await, [batches[2]]);
    }

    async fn an_import_without_a_sign_of_life_is_failed(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let quiet = make_import(&stock.store, &stock.pool).await;
        let found = ImportCounts { rows: 7, accepted: 4, rejected: 2, duplicates: 1, ..ImportCounts::default() };
        stock.store.write(move |conn| imports::progress(conn, quiet.id, &found, now())).await.unwrap();
        assert_eq!(find(&stock.store, quiet.id).await.counts, found);
        let done = make_import(&stock.store, &stock.pool).await;
        finish(&stock.store, stock.import.id, ImportStatus::Completed).await.unwrap();
        finish(&stock.store, done.id, ImportStatus::Completed).await.unwrap();
        let later = now() + TimeDelta::minutes(20);
        let alive = begin(&stock.store, &new_import(&stock.pool, "alive")).await.id;
        stock
            .store
            .write(move |conn| imports::progress(conn, alive, &ImportCounts::default(), later))
            .await
            .unwrap();
        let since = now() + TimeDelta::minutes(10);
        let fail = |at_work: Vec<ImportId>| {
            let store = stock.store.clone();
            async move {
                let failed =
                    store.write(move |conn| imports::fail_abandoned(conn, since, &at_work, "silence", later));
                failed.await.unwrap()
            }
        };
        assert_eq!(fail(vec![alive, quiet.id]).await, 0, "it is known to be at work");
        assert_eq!(fail(vec![alive]).await, 1);
        let quiet = find(&stock.store, quiet.id).await;
        assert_eq!((quiet.status, quiet.problem.as_deref()), (ImportStatus::Failed, Some("silence")));
        assert_eq!(quiet.counts, ImportCounts { accepted: 0, ..found }, "nothing of it became stock");
        assert_eq!(stock.db.raw().number("SELECT COUNT(*) AS value FROM import_signs"), 1, "of the one under way");
        assert_eq!(find(&stock.store, alive).await.status, ImportStatus::Running);
        assert_eq!(find(&stock.store, done.id).await.status, ImportStatus::Completed);
    }

    async fn a_report_is_read_in_pages(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let id = stock.import.id;
        let issue = |position: i64| StagedIssue {
            line: u64::try_from(position).unwrap() + 1,
            result: if position % 3 == 0 { RowResult::Rejected } else { RowResult::Warning },
            column: "ICCID".to_owned(),
            code: "wrong-length",
            reason: "expected 19 or 20 digits".to_owned(),
            iccid: (position % 2 == 0).then(|| "8988247000000000012".to_owned()),
        };
        let pack = Pack::new(stock.store.backend(), Vec::new(), (1..=1_200).map(issue).collect());
        let mut session = stock.store.session().await.unwrap();
        let composed = session.run(move |conn| {
            staging::create(conn)?;
            staging::add(conn, pack)?;
            staging::settle(conn)?;
            staging::compose(conn, |_| ("ICCID", "in-stock", "no row is a duplicate"))
        });
        assert_eq!(composed.await.unwrap(), 1_200);
        session.write(move |conn| staging::report(conn, id, 0, 2_000)).await.unwrap();
        let reported = |position| {
            let StagedIssue { line, result, column, code, reason, iccid } = issue(position);
            ReportedRow { position, line, result, column, code: code.to_owned(), reason, iccid }
        };
        let rows: Vec<ReportedRow> = (1..=1_200).map(reported).collect();
        let page = |rejected, after, limit| {
            let store = stock.store.clone();
            async move {
                store.read(move |conn| imports::reported(conn, id, rejected, after, limit)).await.unwrap()
            }
        };
        assert_eq!(page(false, 0, 2_000).await, rows);
        assert_eq!(page(false, 1_198, 10).await, rows[1_198..]);
        let rejected = page(true, 3, 2).await;
        assert_eq!(rejected.iter().map(|row| row.position).collect::<Vec<_>>(), [6, 9]);
    }
}
