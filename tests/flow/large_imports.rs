//! Files of many chunks: what one row says of another holds however far apart they are.

use std::fmt::Write as _;

use simdepot_application::imports::{self, StartImport};
use simdepot_domain::delivery::Format;
use simdepot_domain::import::{ImportStatus, OnError, RowResult};
use simdepot_tests::depot::stock_keeper;
use simdepot_tests::{TestDepot, on_both_databases};

use crate::imports::{available, counts};

/// More than a chunk has, more than once.
const ROWS: u64 = 7_000;

fn sim(number: u64) -> String {
    format!("898824701{number:010}")
}

/// Every ICCID fails its check digit or not, so a warning comes with most rows.
fn file(rows: impl Iterator<Item = (u64, u64)>) -> String {
    let mut file = "ICCID;MSISDN;PIN;ActivationCode\n".to_owned();
    for (number, code) in rows {
        writeln!(file, "{};336{number:08};1234;1$smdp.example$CODE-{code}", sim(number)).unwrap();
    }
    file
}

on_both_databases! {
    async fn duplicates_far_apart_are_found(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let (known, _) = test.import(file([(1, 1), (2, 2)].into_iter()), test.import_of()).await.unwrap();
        assert_eq!(known.import.status, ImportStatus::Completed);
        // The first rows are in the stock, the last ones came before in the file: a SIM, a code.
        let mut rows: Vec<(u64, u64)> = (1..=ROWS).map(|number| (number, number)).collect();
        rows.push((3, 90_003));
        rows.push((90_004, 4));
        rows.push((90_005, 1));
        let (view, _) = test.import(file(rows.into_iter()), test.import_of()).await.unwrap();
        let found = view.import.counts;
        assert_eq!(
            (view.import.status, found),
            (ImportStatus::Completed, counts(ROWS + 3, ROWS - 2, 0, 5, found.warnings))
        );
        let mut after = 0;
        let (mut duplicates, mut warned, mut line) = (Vec::new(), 0, 0);
        loop {
            let report = imports::rows(&test.depot, view.import.id, after, 1_000).await.unwrap();
            let Some(last) = report.last() else { break };
            assert_eq!(report[0].position, after + 1, "no place is left out");
            after = last.position;
            for row in report {
                assert!(row.line >= line, "in the order of the file");
                line = row.line;
                match row.result {
                    RowResult::Duplicate => duplicates.push((row.line, row.column, row.code)),
                    RowResult::Warning => warned += 1,
                    RowResult::Rejected => panic!("{row:?}"),
                }
            }
        }
        let said: Vec<_> =
            duplicates.iter().map(|(line, column, code)| (*line, column.as_str(), code.as_str())).collect();
        let expected = [
            (2, "ICCID", "in-stock"),
            (3, "ICCID", "in-stock"),
            (ROWS + 2, "ICCID", "repeated"),
            (ROWS + 3, "ActivationCode", "repeated"),
            (ROWS + 4, "ActivationCode", "in-stock"),
        ];
        assert_eq!(said, expected);
        assert_eq!(warned, found.warnings);
        assert_eq!(available(&test).await, ROWS);
        test.assert_verified().await;
        let undone = imports::undo(&test.depot, &stock_keeper("default"), view.import.id, None).await;
        assert_eq!(undone.unwrap().0.import.status, ImportStatus::Undone);
        assert_eq!(available(&test).await, 2);
        test.finish().await;
    }

    /// Two files that share rows, at once: every SIM and every code is in the stock once, and no row is lost.
    async fn files_that_overlap_at_once(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let one = file((1..=3_000).map(|number| (number, number)));
        let other = file((2_001..=5_000).rev().map(|number| (number, number)));
        let (one, other) =
            futures_util::future::join(test.import(one, test.import_of()), test.import(other, test.import_of()))
                .await;
        let [one, other] = [one, other].map(|import| import.unwrap().0.import);
        for import in [&one, &other] {
            assert_eq!(import.status, ImportStatus::Completed, "{:?}", import.problem);
        }
        assert_eq!(one.counts.accepted + other.counts.accepted, 5_000);
        assert_eq!(one.counts.duplicates + other.counts.duplicates, 1_000);
        for import in [&one, &other] {
            let report = imports::rows(&test.depot, import.id, 0, 10_000).await.unwrap();
            let duplicates = report.iter().filter(|row| row.result == RowResult::Duplicate).count();
            assert_eq!(u64::try_from(duplicates).unwrap(), import.counts.duplicates, "those that came up late too");
        }
        assert_eq!(available(&test).await, 5_000);
        test.assert_verified().await;
        test.finish().await;
    }

    async fn refused_rows_far_apart_refuse_the_file(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let mut content = file((1..=ROWS).map(|number| (number, number)));
        content.push_str("89;;;\n");
        let (view, _) = test.import(&content, test.import_of()).await.unwrap();
        assert_eq!((view.import.status, view.import.counts.rejected), (ImportStatus::Failed, 1));
        assert_eq!((view.import.counts.rows, view.import.counts.accepted), (ROWS + 1, 0));
        assert_eq!(view.errors[0].line, ROWS + 2);
        for table in ["profiles", "profile_secrets"] {
            assert_eq!(test.db.raw().number(&format!("SELECT COUNT(*) AS value FROM {table}")), 0);
        }
        // No key is kept for what was not imported.
        assert_eq!(
            test.db.raw().number("SELECT COUNT(*) AS value FROM wrapped_keys WHERE purpose = 'data'"),
            0
        );
        let skip = StartImport { on_error: OnError::Skip, ..test.import_of() };
        let (view, _) = test.import(&content, skip).await.unwrap();
        assert_eq!((view.import.status, view.import.counts.accepted), (ImportStatus::Completed, ROWS));
        test.finish().await;
    }

    /// A fleet report that tells of many SIMs of the stock, of few something new; the others it brings as stock.
    async fn a_long_fleet_report(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let known = file((1..=2_500).map(|number| (number, number)));
        test.import(known, test.import_of()).await.unwrap();
        let mut park = String::new();
        for number in (1..=2_600).chain([7, 2_600]) {
            let (country, status) = if number % 500 == 0 { (337, "Active") } else { (336, "") };
            writeln!(park, "{};x;x;x;x;x;x;{country}{number:08};{status};x", sim(number)).unwrap();
        }
        let asked = StartImport { format: Format::Park, ..test.import_of() };
        let (view, _) = test.import(park, asked).await.unwrap();
        let found = view.import.counts;
        assert_eq!((found.rows, found.accepted, found.duplicates), (2_602, 100, 2), "{found:?}");
        assert_eq!((found.updated, found.unchanged), (5, 2_495));
        let profile = test.profile(&sim(2_500).parse().unwrap()).await;
        assert_eq!(profile.msisdn.unwrap().as_str(), "33700002500");
        test.finish().await;
    }
}
