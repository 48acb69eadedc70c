//! Following the feed, and the checkpoints that leave the database.

use std::time::Duration;

use chrono::TimeDelta;
use simdepot_application::feed::{self, Place};
use simdepot_application::{AppError, pools};
use simdepot_domain::channel::PoolName;
use simdepot_domain::pool::PoolSettings;
use simdepot_persistence::feed::Entry;
use simdepot_tests::depot::stock_keeper;
use simdepot_tests::{TestDepot, on_both_databases};

use crate::verify::without_triggers;

/// All entries, once everything is numbered.
async fn all(test: &TestDepot) -> Vec<Entry> {
    test.number_all_events().await;
    feed::read(&test.depot, 0, 10_000, Duration::ZERO).await.unwrap()
}

async fn make_pool(test: &TestDepot, name: &str) {
    let settings = PoolSettings {
        pool: PoolName::parse(name).unwrap(),
        name: name.to_owned(),
        ..simdepot_tests::depot::pool_settings()
    };
    pools::create(&test.depot, &stock_keeper("default"), settings, None).await.unwrap();
}

/// The field that is to blame, and its code.
fn wrong(read: Result<Vec<Entry>, AppError>) -> (String, &'static str) {
    match read {
        Err(AppError::Invalid(mut fields)) if fields.len() == 1 => {
            let field = fields.remove(0);
            (field.pointer, field.code)
        }
        other => panic!("{other:?}"),
    }
}

async fn checkpoints(test: &TestDepot) -> Vec<Entry> {
    all(test).await.into_iter().filter(|entry| entry.type_name == "feed.checkpoint").collect()
}

on_both_databases! {
    async fn what_happens_is_in_the_feed_in_its_order(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(2).await;
        let order = test.order_with_product("ref-1", 1).await.unwrap().order.order.id;
        test.work_until_idle().await;
        let entries = all(&test).await;
        let numbers: Vec<i64> = entries.iter().map(|entry| entry.seq).collect();
        assert_eq!(numbers, (1..=i64::try_from(entries.len()).unwrap()).collect::<Vec<_>>());
        let types: Vec<&str> = entries
            .iter()
            .filter(|entry| entry.subject_id == order.to_string())
            .map(|entry| entry.type_name.as_str())
            .collect();
        assert_eq!(types, ["order.created", "order.status_changed"]);
        assert_eq!(entries[0].type_name, "pool.created");
        let rest = feed::read(&test.depot, 2, 3, Duration::ZERO).await.unwrap();
        assert_eq!(rest, entries[2..5]);
        test.finish().await;
    }

    async fn a_reader_is_woken(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(1).await;
        let end = all(&test).await.last().unwrap().seq;
        let none = feed::read(&test.depot, end, 10, Duration::from_millis(50)).await.unwrap();
        assert_eq!(none, []);
        let depot = test.depot.clone();
        let reader = tokio::spawn(async move { feed::read(&depot, end, 10, Duration::from_secs(60)).await });
        test.order("ref-1", 1).await.unwrap();
        all(&test).await;
        let woken = tokio::time::timeout(Duration::from_secs(20), reader).await.unwrap().unwrap().unwrap();
        assert_eq!(woken[0].seq, end + 1);
        test.finish().await;
    }

    /// The end of the feed is lost and its numbers are given to other events, as after restoring a backup.
    async fn a_reader_notices_that_a_backup_was_restored(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let backup = all(&test).await;
        let kept = backup.last().unwrap();
        make_pool(&test, "lost").await;
        let seen = all(&test).await.pop().unwrap();
        assert_eq!(seen.seq, kept.seq + 1);
        let place = |entry: &Entry| Place { seq: entry.seq, hash: Some(entry.hash.clone()) };
        let follow = async |place: Place| feed::read(&test.depot, place, 10, Duration::ZERO).await;
        assert_eq!(follow(place(kept)).await.unwrap(), std::slice::from_ref(&seen));
        assert_eq!(follow(place(&seen)).await.unwrap(), []);
        without_triggers(
            &test,
            &format!(
                "DELETE FROM feed WHERE seq = {0}; DELETE FROM events WHERE subject_id = 'lost'; \
                 DELETE FROM pools WHERE name = 'lost'; UPDATE feed_position SET seq = {0} - 1, \
                 hash = (SELECT hash FROM feed WHERE seq = {0} - 1)",
                seen.seq
            ),
        );
        // At first the reader is beyond the end, with or without the hash.
        for stands in [place(&seen), Place::from(seen.seq)] {
            assert_eq!(wrong(follow(stands).await), ("?after".to_owned(), "range"));
        }
        // Then the number is another event's: the hash alone tells.
        make_pool(&test, "other").await;
        let now = all(&test).await.pop().unwrap();
        assert_eq!(now.seq, seen.seq);
        assert_eq!(wrong(follow(place(&seen)).await), ("?hash".to_owned(), "mismatch"));
        assert_eq!(follow(seen.seq.into()).await.unwrap(), []);
        make_pool(&test, "third").await;
        all(&test).await;
        assert_eq!(wrong(follow(place(&seen)).await), ("?hash".to_owned(), "mismatch"));
        // What is shared goes on.
        assert_eq!(follow(place(kept)).await.unwrap()[0], now);
        test.finish().await;
    }

    async fn a_reader_is_woken_by_what_another_process_numbers(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(1).await;
        let end = all(&test).await.last().unwrap().seq;
        let depot = test.depot.clone();
        let reader = tokio::spawn(async move { feed::read(&depot, end, 10, Duration::from_secs(60)).await });
        test.order("ref-1", 1).await.unwrap();
        let other = test.restarted();
        let numbered = || test.db.raw().number("SELECT MAX(seq) AS value FROM feed");
        while numbered() == end {
            feed::step(&other).await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // One look of this process's own loop, which may find nothing to number.
        feed::step(&test.depot).await.unwrap();
        let woken = tokio::time::timeout(Duration::from_secs(20), reader).await.unwrap().unwrap().unwrap();
        assert_eq!(woken[0].seq, end + 1);
        test.number_all_events().await;
        test.finish().await;
    }

    async fn checkpoints_are_made_when_due_and_something_happened(db: TestDatabase) {
        let mut test = TestDepot::start(db).await;
        let file = test.file("checkpoints.jsonl", "");
        test.pace(|pace| pace.checkpoint_file = Some(file.clone()));
        test.deliver(1).await;
        all(&test).await;
        assert!(!feed::keep_checkpoints(&test.depot).await.unwrap(), "not due");
        test.clock.advance(TimeDelta::minutes(61));
        let stood = all(&test).await.len();
        assert!(feed::keep_checkpoints(&test.depot).await.unwrap());
        let first = checkpoints(&test).await.remove(0);
        assert_eq!((first.version, &first.data["seq"]), (1, &serde_json::json!(stood)));
        // It is an event itself; that alone is no news.
        test.clock.advance(TimeDelta::minutes(61));
        assert!(!feed::keep_checkpoints(&test.depot).await.unwrap());
        test.order("ref-1", 1).await.unwrap();
        all(&test).await;
        assert!(feed::keep_checkpoints(&test.restarted()).await.unwrap());
        assert!(!feed::keep_checkpoints(&test.depot).await.unwrap(), "another process made it");
        assert_eq!(checkpoints(&test).await.len(), 2);
        let kept = feed::read_file(&file).unwrap();
        let seqs: Vec<(usize, i64)> = kept.iter().map(|(line, kept)| (*line, kept.seq)).collect();
        let told: Vec<i64> =
            checkpoints(&test).await.iter().map(|entry| entry.data["seq"].as_i64().unwrap()).collect();
        assert_eq!(seqs, [(1, told[0]), (2, told[1])]);
        // A file that was lost begins with the current one: the past is not copied out of the database.
        std::fs::remove_file(&file).unwrap();
        feed::keep_checkpoints(&test.depot).await.unwrap();
        assert_eq!(feed::read_file(&file).unwrap(), [(1, kept[1].1.clone())]);
        test.finish().await;
    }

    /// Two processes look at the same moment.
    async fn a_checkpoint_is_made_once(db: TestDatabase) {
        let mut test = TestDepot::start(db).await;
        test.pace(|pace| pace.checkpoints = TimeDelta::zero());
        test.deliver(1).await;
        all(&test).await;
        let looks: Vec<_> = (0..4)
            .map(|_| {
                let depot = test.restarted();
                tokio::spawn(async move { feed::keep_checkpoints(&depot).await.unwrap() })
            })
            .collect();
        let mut made = 0;
        for look in looks {
            made += usize::from(look.await.unwrap());
        }
        assert_eq!((made, checkpoints(&test).await.len()), (1, 1));
        test.finish().await;
    }

    async fn a_file_that_cannot_be_written_is_an_error(db: TestDatabase) {
        let mut test = TestDepot::start(db).await;
        let file = test.file("checkpoints.jsonl", "not ours\n");
        test.pace(|pace| {
            pace.checkpoints = TimeDelta::zero();
            pace.checkpoint_file = Some(file);
        });
        test.deliver(1).await;
        all(&test).await;
        let error = feed::keep_checkpoints(&test.depot).await.unwrap_err();
        assert!(error.to_string().contains("checkpoints.jsonl"), "{error}");
        test.finish().await;
    }
}
