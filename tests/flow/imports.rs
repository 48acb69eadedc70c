//! Stock files: what is taken, what is refused, and that nothing is half imported.

use chrono::TimeDelta;
use simdepot_application::imports::{self, StartImport, StartedAs};
use simdepot_application::{AppError, pools};
use simdepot_carrier_twin::LineSpec;
use simdepot_domain::clock::{Clock, SystemClock};
use simdepot_domain::delivery::Format;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::import::{ImportCounts, ImportStatus, OnError, RowResult};
use simdepot_domain::pool::PoolSettings;
use simdepot_domain::stock::StockStatus;
use simdepot_tests::depot::{pool_settings, stock_keeper};
use simdepot_tests::{TestDepot, on_both_databases};

pub(crate) const A: &str = "8988247000000000019";
pub(crate) const B: &str = "8988247000000000027";
pub(crate) const C: &str = "8988247000000000035";
pub(crate) const D: &str = "8988247000000000043";

pub(crate) fn iccid(text: &str) -> Iccid {
    Iccid::parse(text).unwrap()
}

pub(crate) fn counts(
    rows: u64,
    accepted: u64,
    rejected: u64,
    duplicates: u64,
    warnings: u64,
) -> ImportCounts {
    ImportCounts { rows, accepted, rejected, duplicates, warnings, ..ImportCounts::default() }
}

pub(crate) async fn available(test: &TestDepot) -> u64 {
    pools::availability(&test.depot, pool_settings().pool).await.unwrap()
}

pub(crate) fn file_of(lines: &[LineSpec]) -> String {
    simdepot_carrier_twin::delivery::delivery_file(lines)
}

/// Good rows and bad ones, with a secret in each.
fn mixed() -> String {
    format!(
        "ICCID;MSISDN;PIN;ActivationCode\n\
         {A};+33600000001;1234;1$smdp.example$SESAME-1\n\
         89882470000;+33600000002;1234;1$smdp.example$SESAME-2\n\
         {B};12;1234;1$smdp.example$SESAME-3\n\
         {C};+33600000003;99;1$smdp.example$SESAME-4\n\
         {D};+33600000004;1234;2$smdp.example$SESAME-5\n\
         ;+33600000005;1234;1$smdp.example$SESAME-6\n\
         {A};+33600000001;1234;1$smdp.example$SESAME-7\n"
    )
}

on_both_databases! {
    /// A byte order mark, CRLF and `+` before the MSISDN, as Transatel sends it.
    async fn a_delivery_file_as_it_comes(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.twin.twin().add_lines(3);
        let file = file_of(&lines);
        assert!(file.starts_with('\u{feff}') && file.contains("\r\n") && file.contains(";+"));
        let (view, started_as) = test.import(file, test.import_of()).await.unwrap();
        assert_eq!((view.import.status, started_as), (ImportStatus::Completed, StartedAs::Created));
        assert_eq!((view.import.counts, view.import.version), (counts(3, 3, 0, 0, 0), 1));
        for line in &lines {
            let profile = test.profile(&line.iccid).await;
            assert_eq!((profile.stock_status, &profile.msisdn), (StockStatus::Available, &line.msisdn));
            assert_eq!(profile.import_id, view.import.id);
        }
        test.finish().await;
    }

    async fn other_columns_delimiters_and_prefixes(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let file = format!(
            "note,LPA,serial,msisdn\n\"a, b\",LPA:1$smdp.example$ONE,{A},33600000001\n\
             ,1$smdp.example$TWO$1.3.6.1$1,{B},\n"
        );
        test.import(file, test.import_of()).await.unwrap();
        let split = format!("matching_id;SM-DP+;ICCID\nTHREE;smdp.example;{C}\n");
        test.import(split, test.import_of()).await.unwrap();
        let order = test.order("ref-1", 3).await.unwrap().order;
        let given: Vec<_> = order.lines[0]
            .profiles
            .iter()
            .map(|entry| (entry.profile.iccid.to_string(), entry.activation.as_ref().unwrap().lpa()))
            .collect();
        assert_eq!(
            given,
            [
                (A.to_owned(), "LPA:1$smdp.example$ONE".to_owned()),
                (B.to_owned(), "LPA:1$smdp.example$TWO$1.3.6.1$1".to_owned()),
                (C.to_owned(), "LPA:1$smdp.example$THREE".to_owned()),
            ]
        );
        test.finish().await;
    }

    async fn a_fleet_report_waits_for_its_codes(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = test.twin.twin().add_lines(1).remove(0);
        let file =
            format!("\u{feff}{};x;x;x;x;x;x;{};Pr\u{e9}-activ\u{e9}e;x\r\n", line.iccid, line.msisdn());
        let asked = StartImport { format: Format::Park, ..test.import_of() };
        let (view, _) = test.import(file, asked).await.unwrap();
        assert_eq!(
            (view.import.status, view.import.counts.accepted),
            (ImportStatus::Completed, 1),
            "{:?}",
            view.errors
        );
        while simdepot_application::deliveries::step(&test.depot).await.unwrap() {}
        let profile = test.profile(&line.iccid).await;
        assert_eq!((profile.msisdn, profile.import_id), (line.msisdn.clone(), view.import.id));
        test.finish().await;
    }

    async fn a_dry_run_checks_and_writes_nothing(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.twin.twin().add_lines(2);
        let dry = || StartImport { dry_run: true, ..test.import_of() };
        let (view, _) = test.import(file_of(&lines), dry()).await.unwrap();
        assert_eq!(
            (view.import.status, view.import.counts),
            (ImportStatus::Completed, counts(2, 2, 0, 0, 0))
        );
        assert_eq!(available(&test).await, 0);
        assert_eq!(test.db.raw().number("SELECT COUNT(*) AS value FROM profiles"), 0);
        // Any number of times, before and after the import itself.
        assert_eq!(test.import(file_of(&lines), dry()).await.unwrap().1, StartedAs::Created);
        assert_eq!(test.import(file_of(&lines), test.import_of()).await.unwrap().1, StartedAs::Created);
        let (after, _) = test.import(file_of(&lines), dry()).await.unwrap();
        assert_eq!(after.import.counts, counts(2, 0, 0, 2, 0));
        let undo = imports::undo(&test.depot, &stock_keeper("default"), after.import.id, None).await;
        assert!(matches!(undo, Err(AppError::InvalidTransition { .. })), "{undo:?}");
        test.finish().await;
    }

    async fn bad_rows_refuse_the_whole_file_by_default(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let (view, _) = test.import(mixed(), test.import_of()).await.unwrap();
        assert_eq!((view.import.status, view.import.counts), (ImportStatus::Failed, counts(7, 0, 5, 1, 0)));
        assert!(view.import.problem.as_ref().unwrap().contains("5 rows were refused"));
        assert_eq!(test.db.raw().number("SELECT COUNT(*) AS value FROM profiles"), 0);
        let named: Vec<_> =
            view.errors.iter().map(|row| (row.line, row.column.as_str(), row.code.as_str())).collect();
        assert_eq!(
            named,
            [
                (3, "ICCID", "wrong-length"),
                (4, "MSISDN", "wrong-length"),
                (5, "PIN", "wrong-length"),
                (6, "ActivationCode", named[3].2),
                (7, "ICCID", "empty"),
            ]
        );
        assert!(view.errors.iter().all(|row| row.result == RowResult::Rejected && !row.reason.is_empty()));
        assert_eq!(view.errors[1].iccid.as_deref(), Some(B));
        let report = imports::rows(&test.depot, view.import.id, 0, 100).await.unwrap();
        assert_eq!(report.len(), 6);
        assert_eq!(
            (report[5].line, report[5].result, report[5].code.as_str()),
            (8, RowResult::Duplicate, "repeated")
        );
        // The report names what is wrong and shows no secret.
        assert!(!format!("{view:?}{report:?}").contains("SESAME"));
        // The same file may come again: nothing of it is there.
        assert_eq!(test.import(mixed(), test.import_of()).await.unwrap().1, StartedAs::Created);
        test.finish().await;
    }

    async fn bad_rows_are_left_out_on_demand(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let skip = StartImport { on_error: OnError::Skip, ..test.import_of() };
        let (view, _) = test.import(mixed(), skip).await.unwrap();
        assert_eq!(
            (view.import.status, view.import.counts),
            (ImportStatus::Completed, counts(7, 1, 5, 1, 0))
        );
        assert_eq!(available(&test).await, 1);
        let order = test.order("ref-1", 1).await.unwrap().order;
        let entry = &order.lines[0].profiles[0];
        assert_eq!(entry.activation.as_ref().unwrap().code(), "1$smdp.example$SESAME-1");
        test.finish().await;
    }

    async fn odd_rows_are_taken_with_a_warning(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let file = "ICCID;Status;ActivationCode\n8988247000000000018;Perdue;1$smdp.example$ODD\n";
        let (view, _) = test.import(file, test.import_of()).await.unwrap();
        assert_eq!(
            (view.import.status, view.import.counts),
            (ImportStatus::Completed, counts(1, 1, 0, 0, 1))
        );
        let report = imports::rows(&test.depot, view.import.id, 0, 10).await.unwrap();
        let codes: Vec<_> = report.iter().map(|row| (row.result, row.code.as_str())).collect();
        assert_eq!(codes, [(RowResult::Warning, "luhn-failed"), (RowResult::Warning, "unknown-status")]);
        assert!(view.errors.is_empty());
        test.finish().await;
    }

    async fn a_file_that_is_no_stock_file_says_why(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let not_utf8: &[u8] = b"ICCID;ActivationCode\n\xff\xfe;x\n";
        for (content, says) in [
            (&b""[..], "empty"),
            (b"MSISDN;PIN\n1;2\n", "ICCID"),
            (b"ICCID;PIN;Pin1\n", "columns 2 and 3"),
            (b"ICCID\n", ""),
        ] {
            let (view, _) = test.import(content, test.import_of()).await.unwrap();
            if says.is_empty() {
                assert_eq!((view.import.status, view.import.counts.rows), (ImportStatus::Completed, 0));
                continue;
            }
            assert_eq!(view.import.status, ImportStatus::Failed);
            assert!(view.import.problem.as_ref().unwrap().contains(says), "{:?}", view.import.problem);
        }
        let (view, _) = test.import(not_utf8, test.import_of()).await.unwrap();
        assert_eq!((view.import.status, view.import.counts.rejected), (ImportStatus::Failed, 1));
        test.finish().await;
    }

    async fn the_last_day_of_sale_is_the_files_the_imports_or_the_pools(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let keeper = stock_keeper("default");
        let shelf =
            PoolSettings { pool: "shelf".parse().unwrap(), shelf_life_days: Some(30), ..pool_settings() };
        pools::create(&test.depot, &keeper, shelf.clone(), None).await.unwrap();
        let now = SystemClock.now();
        let in_shelf = || StartImport { pool: shelf.pool.clone(), ..test.import_of() };
        let dated = StartImport { sell_by: Some(now + TimeDelta::days(10)), ..in_shelf() };
        let file =
            format!("ICCID;ActivationCode;sell_by\n{A};1$smdp.example$A;2099-12-31\n{B};1$smdp.example$B;\n");
        test.import(file, dated).await.unwrap();
        test.import(format!("ICCID;ActivationCode\n{C};1$smdp.example$C\n"), in_shelf()).await.unwrap();
        test.import(format!("ICCID;ActivationCode\n{D};1$smdp.example$D\n"), test.import_of()).await.unwrap();
        let sell_by = |text| {
            let test = &test;
            async move { test.profile(&iccid(text)).await.sell_by }
        };
        // The day in the file is a day of sale.
        assert_eq!(sell_by(A).await.to_rfc3339(), "2100-01-01T00:00:00+00:00");
        assert_eq!(sell_by(B).await, now + TimeDelta::days(10));
        let age = sell_by(C).await - now;
        assert!(age >= TimeDelta::days(30) && age < TimeDelta::days(30) + TimeDelta::minutes(5), "{age}");
        assert!(sell_by(D).await - now > TimeDelta::days(365 * 100));
        let past = StartImport { sell_by: Some(now - TimeDelta::days(1)), ..in_shelf() };
        let refused = test.import("ICCID\n", past).await;
        assert!(
            matches!(&refused, Err(AppError::Invalid(errors)) if errors[0].pointer == "?sell_by"),
            "{refused:?}"
        );
        let nowhere = StartImport { pool: "nowhere".parse().unwrap(), ..test.import_of() };
        let refused = test.import("ICCID\n", nowhere).await;
        assert!(
            matches!(&refused, Err(AppError::Invalid(errors)) if errors[0].pointer == "?pool"),
            "{refused:?}"
        );
        test.finish().await;
    }

    async fn a_status_that_is_not_sold_is_set_aside(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let file = format!(
            "ICCID;Status;ActivationCode\n{A};Active;1$smdp.example$A\n{B};Pre-Activated;1$smdp.example$B\n"
        );
        let (view, _) = test.import(file, test.import_of()).await.unwrap();
        assert_eq!(view.import.counts.accepted, 2);
        assert_eq!(test.profile(&iccid(A)).await.stock_status, StockStatus::Quarantined);
        assert_eq!(available(&test).await, 1);
        test.finish().await;
    }
}
