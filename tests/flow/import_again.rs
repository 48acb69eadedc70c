//! Files that come again: the same one, SIMs and codes that are in the stock, and imports that are taken back.

use std::collections::BTreeSet;

use simdepot_application::imports::{self, StartedAs};
use simdepot_application::profiles::{self, Move};
use simdepot_application::{AppError, housekeeping};
use simdepot_domain::import::ImportStatus;
use simdepot_persistence::Backend;
use simdepot_tests::TestDepot;
use simdepot_tests::depot::{idempotency_key, stock_keeper};
use simdepot_tests::on_both_databases;

use crate::imports::{A, B, C, D, available, counts, file_of};

on_both_databases! {
    async fn the_same_file_is_imported_once(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.twin.twin().add_lines(2);
        let (first, _) = test.import(file_of(&lines), test.import_of()).await.unwrap();
        let (again, started_as) = test.import(file_of(&lines), test.import_of()).await.unwrap();
        assert_eq!((again.import.id, started_as), (first.import.id, StartedAs::Repeated));
        assert_eq!(available(&test).await, 2);
        test.finish().await;
    }

    /// Two requests with the same file at once: one brings it, the other one fails whole.
    async fn the_same_file_twice_at_once_is_imported_once(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.twin.twin().add_lines(300);
        let file = file_of(&lines);
        let both = futures_util::future::join(
            test.import(&file, test.import_of()),
            test.import(&file, test.import_of()),
        );
        let (one, other) = both.await;
        let statuses: BTreeSet<String> =
            [one, other].into_iter().map(|import| import.unwrap().0.import.status.to_string()).collect();
        assert!(
            statuses == BTreeSet::from(["completed".to_owned(), "failed".to_owned()])
                || statuses == BTreeSet::from(["completed".to_owned()]),
            "{statuses:?}"
        );
        assert_eq!(available(&test).await, 300);
        let completed =
            test.db.raw().number("SELECT COUNT(*) AS value FROM imports WHERE status = 'completed'");
        assert_eq!(completed, 1);
        test.finish().await;
    }

    async fn what_is_in_the_stock_is_a_duplicate_and_never_overwritten(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.import(format!("ICCID;ActivationCode\n{A};1$smdp.example$ONE\n"), test.import_of())
            .await
            .unwrap();
        let file = format!(
            "ICCID;ActivationCode\n\
             {A};1$smdp.example$NEW\n\
             {A}5;1$smdp.example$TWENTY\n\
             {B};1$SMDP.example$ONE\n\
             {C};1$smdp.example$THREE\n\
             {D};1$smdp.example$THREE\n"
        );
        let (view, _) = test.import(file, test.import_of()).await.unwrap();
        assert_eq!(
            (view.import.status, view.import.counts),
            (ImportStatus::Completed, counts(5, 1, 0, 4, 0))
        );
        let report = imports::rows(&test.depot, view.import.id, 0, 10).await.unwrap();
        let told: Vec<_> =
            report.iter().map(|row| (row.line, row.column.as_str(), row.code.as_str())).collect();
        assert_eq!(
            told,
            [
                (2, "ICCID", "in-stock"),
                (3, "ICCID", "in-stock"),
                (4, "ActivationCode", "in-stock"),
                (6, "ActivationCode", "repeated"),
            ]
        );
        let order = test.order("ref-1", 2).await.unwrap().order;
        let codes: Vec<_> = order.lines[0]
            .profiles
            .iter()
            .map(|entry| entry.activation.as_ref().unwrap().code().to_owned())
            .collect();
        assert_eq!(codes, ["1$smdp.example$ONE", "1$smdp.example$THREE"]);
        test.finish().await;
    }

    async fn an_import_is_undone_while_nobody_has_touched_it(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let keeper = stock_keeper("default");
        let lines = test.twin.twin().add_lines(3);
        let (first, _) = test.import(file_of(&lines), test.import_of()).await.unwrap();
        let key = idempotency_key("undo-1", "");
        let (undone, replayed) =
            imports::undo(&test.depot, &keeper, first.import.id, Some(&key)).await.unwrap();
        assert_eq!((undone.import.status, undone.import.version, replayed), (ImportStatus::Undone, 2, false));
        let (_, replayed) = imports::undo(&test.depot, &keeper, first.import.id, Some(&key)).await.unwrap();
        assert!(replayed);
        for table in ["profiles", "profile_secrets"] {
            assert_eq!(test.db.raw().number(&format!("SELECT COUNT(*) AS value FROM {table}")), 0);
        }
        let twice = imports::undo(&test.depot, &keeper, first.import.id, None).await;
        assert!(matches!(twice, Err(AppError::InvalidTransition { .. })), "{twice:?}");
        // It may come again, codes and all.
        let (second, started_as) = test.import(file_of(&lines), test.import_of()).await.unwrap();
        assert_eq!((second.import.counts.accepted, started_as), (3, StartedAs::Created));
        test.assert_verified().await;
        test.order("ref-1", 1).await.unwrap();
        let refused = imports::undo(&test.depot, &keeper, second.import.id, None).await.unwrap_err();
        assert!(
            matches!(&refused, AppError::InvalidTransition { detail, .. } if detail.contains("1 of its 3")),
            "{refused:?}"
        );
        assert_eq!(available(&test).await, 2);
        test.finish().await;
    }

    async fn a_profile_that_a_person_touched_keeps_its_import(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let keeper = stock_keeper("default");
        let lines = test.twin.twin().add_lines(1);
        let (import, _) = test.import(file_of(&lines), test.import_of()).await.unwrap();
        for asked in [Move::Quarantine, Move::Release] {
            let reason = "looked at".to_owned();
            profiles::command(&test.depot, &keeper, lines[0].iccid.clone(), asked, reason, None)
                .await
                .unwrap();
        }
        assert_eq!(available(&test).await, 1);
        let refused = imports::undo(&test.depot, &keeper, import.import.id, None).await;
        assert!(matches!(refused, Err(AppError::InvalidTransition { .. })), "{refused:?}");
        test.finish().await;
    }

    /// The process died while the file was read: nothing of it is there, and the import says so.
    async fn an_abandoned_import_is_failed(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let (begun, _) = imports::start(&test.depot, &stock_keeper("default"), test.import_of(), "abc", None)
            .await
            .unwrap();
        housekeeping::step(&test.depot).await.unwrap();
        assert_eq!(
            imports::get(&test.depot, begun.import.id).await.unwrap().import.status,
            ImportStatus::Queued
        );
        let long_ago = match test.db.backend() {
            Backend::Postgres => "now() - interval '11 minutes'",
            Backend::Sqlite => "shown_at - 660000000",
        };
        test.db.raw().execute(&format!("UPDATE import_signs SET shown_at = {long_ago}"));
        housekeeping::step(&test.depot).await.unwrap();
        let view = imports::get(&test.depot, begun.import.id).await.unwrap();
        assert_eq!(view.import.status, ImportStatus::Failed);
        assert!(view.import.problem.unwrap().contains("send the file again"));
        // Its process was only slow: it learns that it was given up, and imports nothing.
        let path = test.file("late.csv", format!("ICCID;ActivationCode\n{A};1$smdp.example$A\n"));
        assert!(imports::run(&test.depot, begun.import.id, &path, &|_| ()).await.is_err());
        assert_eq!(available(&test).await, 0);
        test.finish().await;
    }
}
