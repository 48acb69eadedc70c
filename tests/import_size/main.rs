//! A delivery of real size. A binary of its own, because it looks at the memory of its process: one test at a time.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use sha2::{Digest, Sha256};
use simdepot_application::imports::{self, ImportPhase, ImportProgress};
use simdepot_application::pools;
use simdepot_domain::import::{ImportCounts, ImportStatus};
use simdepot_tests::depot::{pool_settings, stock_keeper};
use simdepot_tests::memory::resident_bytes;
use simdepot_tests::{TestDepot, on_both_databases};
use tokio::sync::Mutex;

/// Rows of the file.
const ROWS: u64 = 100_000;
/// What the process may grow by while it imports them, and by no more for any number of rows: some chunks of rows, and on
/// SQLite the page caches of the import's own connection, which are 36 MiB.
const GROWTH: u64 = 64 * 1024 * 1024;

/// Memory is one per process.
static ALONE: Mutex<()> = Mutex::const_new(());

fn file(rows: u64, first: u64) -> String {
    let mut file = "\u{feff}TransatelId;MSISDN;Release;ICCID;Status;PIN;PUK;ActivationCode\r\n".to_owned();
    for number in first..first + rows {
        let body = format!("89882470{number:010}");
        let digit = luhn(&body);
        write!(
            file,
            "900100;+336{number:08};R1;{body}{digit};Pre-Activated;1234;12345678;1$smdp.example${number:032X}\r\n"
        )
        .unwrap();
    }
    file
}

fn luhn(body: &str) -> u32 {
    let sum: u32 = body
        .chars()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = digit.to_digit(10).unwrap() * if place % 2 == 0 { 2 } else { 1 };
            if digit > 9 { digit - 9 } else { digit }
        })
        .sum();
    (10 - sum % 10) % 10
}

/// What an import showed of itself.
#[derive(Default)]
struct Shown {
    most_memory: AtomicU64,
    checking: AtomicU64,
    writing: AtomicU64,
    written: AtomicU64,
}

async fn import(test: &TestDepot, content: String) -> Arc<Shown> {
    let sha256 = hex::encode(Sha256::digest(content.as_bytes()));
    let path = test.file(&format!("{sha256}.csv"), &content);
    drop(content);
    let (begun, _) =
        imports::start(&test.depot, &stock_keeper("default"), test.import_of(), &sha256, None).await.unwrap();
    let shown = Arc::new(Shown::default());
    let seen = Arc::clone(&shown);
    let watch = move |progress: ImportProgress| {
        seen.most_memory.fetch_max(resident_bytes().unwrap_or_default(), Ordering::SeqCst);
        match progress.phase {
            ImportPhase::Checking => seen.checking.fetch_add(1, Ordering::SeqCst),
            ImportPhase::Writing => {
                seen.written.fetch_max(progress.done, Ordering::SeqCst);
                seen.writing.fetch_add(1, Ordering::SeqCst)
            }
        };
        assert!(progress.done <= progress.total);
    };
    imports::run(&test.depot, begun.import.id, &path, &watch).await.unwrap();
    let view = imports::get(&test.depot, begun.import.id).await.unwrap();
    assert_eq!(view.import.status, ImportStatus::Completed, "{:?}", view.import.problem);
    let rows = view.import.counts.rows;
    assert_eq!(view.import.counts, ImportCounts { rows, accepted: rows, ..ImportCounts::default() });
    shown
}

on_both_databases! {
    async fn a_hundred_thousand_rows_need_little_memory(db: TestDatabase) {
        let _alone = ALONE.lock().await;
        let test = TestDepot::start(db).await;
        // Whatever is allocated once is there before the measurement.
        import(&test, file(5_000, 900_000)).await;
        let content = file(ROWS, 0);
        // Freed memory may stay with the process, so the file in memory counts as growth unless it was there before.
        let before = resident_bytes();
        let started = Instant::now();
        let shown = import(&test, content).await;
        let took = started.elapsed();
        assert!(shown.checking.load(Ordering::SeqCst) >= ROWS / 5_000, "progress of the first part");
        assert!(shown.writing.load(Ordering::SeqCst) >= 2, "progress of the second part");
        assert_eq!(shown.written.load(Ordering::SeqCst), ROWS);
        if let Some(before) = before {
            let growth = shown.most_memory.load(Ordering::SeqCst).saturating_sub(before);
            assert!(growth < GROWTH, "the process grew by {} MiB in {took:?}", growth / 1024 / 1024);
        }
        let available = pools::availability(&test.depot, pool_settings().pool).await.unwrap();
        assert_eq!(available, ROWS + 5_000);
        test.finish().await;
    }
}
