//! `simdepot verify` on the ledger itself: whoever changes it is found, or needs the chain's key and every place that
//! keeps checkpoints.

use chrono::TimeDelta;
use simdepot_application::feed::{CheckpointFile, KeptCheckpoints};
use simdepot_application::{feed, verify};
use simdepot_domain::event::{Event, Fact, Subject};
use simdepot_domain::hold::HoldStatus;
use simdepot_domain::id::{EventId, HoldId, IdGenerator as _, RandomIds};
use simdepot_persistence::{Backend, events};
use simdepot_tests::depot::{pool_settings, storefront};
use simdepot_tests::{TestDatabase, TestDepot, on_both_databases};

use crate::verify::{assert_found, with_history, without_triggers};

/// How a UUID is written in a statement.
fn uuid(db: &TestDatabase, id: uuid::Uuid) -> String {
    match db.backend() {
        Backend::Postgres => format!("'{id}'"),
        Backend::Sqlite => format!("x'{}'", id.simple()),
    }
}

async fn findings(test: &TestDepot, file: &std::path::Path) -> Vec<String> {
    let lines = feed::read_file(file).ok();
    let files = vec![CheckpointFile { name: "kept".to_owned(), lines }];
    let kept = KeptCheckpoints { files, since: 1, read_at: test.depot.now() };
    let report = verify::run_against(&test.depot, &kept, &|_| ()).await.unwrap();
    assert!(report.checkpoints > 0);
    report.findings.into_iter().map(|finding| finding.what).collect()
}

/// History with a checkpoint in a file, after which an order was taken.
async fn with_checkpoint(db: TestDatabase) -> (TestDepot, std::path::PathBuf, i64) {
    let (mut test, _) = with_history(db).await;
    let file = test.file("checkpoints.jsonl", "");
    test.pace(|pace| {
        pace.checkpoints = TimeDelta::zero();
        pace.checkpoint_file = Some(file.clone());
    });
    test.order("before", 1).await.unwrap();
    test.number_all_events().await;
    assert!(feed::keep_checkpoints(&test.depot).await.unwrap());
    let seq = feed::read_file(&file).unwrap()[0].1.seq;
    test.assert_verified().await;
    assert_eq!(findings(&test, &file).await, Vec::<String>::new());
    (test, file, seq)
}

on_both_databases! {
    async fn a_tampered_event_breaks_the_chain(db: TestDatabase) {
        let (test, _) = with_history(db).await;
        // Something that no table repeats.
        without_triggers(
            &test,
            "UPDATE events SET data = '{\"settings\":[]}' WHERE type_name = 'import.completed'; \
             UPDATE events SET type_name = 'pool.changed' WHERE type_name = 'import.completed'",
        );
        assert_found(test, "of the feed does not follow").await;
    }

    async fn swapped_entries_are_found(db: TestDatabase) {
        let (test, _) = with_history(db).await;
        test.db.raw().execute(
            "UPDATE feed SET seq = 1000 WHERE seq = 3; UPDATE feed SET seq = 3 WHERE seq = 4; \
             UPDATE feed SET seq = 4 WHERE seq = 1000",
        );
        assert_found(test, "the hash of number 3 of the feed does not follow").await;
    }

    async fn a_rewritten_hash_is_found(db: TestDatabase) {
        let (test, _) = with_history(db).await;
        test.db.raw().execute("UPDATE feed SET hash = (SELECT hash FROM feed WHERE seq = 2) WHERE seq = 1");
        assert_found(test, "the hash of number 1 of the feed does not follow").await;
    }

    async fn a_missing_entry_is_found(db: TestDatabase) {
        let (test, _) = with_history(db).await;
        test.db.raw().execute("DELETE FROM feed WHERE seq = 2");
        let found = test.findings().await;
        assert!(found.iter().any(|what| what == "the feed lacks number 2"), "{found:#?}");
        assert_found(test, "the feed has passed events without a number: evt_").await;
    }

    async fn an_entry_without_its_event_is_found(db: TestDatabase) {
        let (test, _) = with_history(db).await;
        without_triggers(&test, "DELETE FROM events WHERE type_name = 'pool.created'");
        assert_found(test, "the event with number 1 of the feed is gone").await;
    }

    /// The last entries and the position alone: what the position says was the end is there no more.
    async fn a_cut_end_is_found_by_the_position(db: TestDatabase) {
        let (test, _) = with_history(db).await;
        test.db.raw().execute("DELETE FROM feed WHERE seq = (SELECT MAX(seq) FROM feed)");
        assert_found(test, "its end was cut off or added to").await;
    }

    /// Somebody cuts the end off everywhere in the database: tables, events, feed and position agree again.
    async fn a_removed_tail_is_found_by_the_checkpoint_file(db: TestDatabase) {
        let (test, file, seq) = Box::pin(with_checkpoint(db)).await;
        let gone = "SELECT id FROM orders WHERE reference = 'before'";
        let first = test.db.raw().number(
            "SELECT MIN(f.seq) AS value FROM feed f JOIN events e ON e.id = f.event_id \
             WHERE e.type_name = 'order.created' AND f.seq > \
                 (SELECT MAX(g.seq) FROM feed g JOIN events h ON h.id = g.event_id WHERE h.type_name LIKE 'bundle.%')",
        );
        assert!(first <= seq);
        without_triggers(
            &test,
            &format!(
                "UPDATE profiles SET stock_status = 'available', version = 0, revealed_at = NULL \
                   WHERE id IN (SELECT profile_id FROM allocations WHERE order_id IN ({gone})); \
                 DELETE FROM allocations WHERE order_id IN ({gone}); \
                 DELETE FROM order_lines WHERE order_id IN ({gone}); \
                 DELETE FROM orders WHERE reference = 'before'; \
                 CREATE TABLE cut AS SELECT event_id FROM feed WHERE seq >= {first}; \
                 DELETE FROM feed WHERE seq >= {first}; \
                 DELETE FROM events WHERE id IN (SELECT event_id FROM cut); \
                 UPDATE feed_position SET seq = {first} - 1, \
                   hash = (SELECT hash FROM feed WHERE seq = {first} - 1)"
            ),
        );
        if test.db.backend() == Backend::Postgres {
            test.db.raw().execute("DELETE FROM stock_moves");
        }
        test.db.raw().execute("DELETE FROM stock_counts");
        test.db.raw().execute(&simdepot_tests::fill::recount(test.db.backend()));
        assert_eq!(test.findings().await, Vec::<String>::new(), "the database alone looks whole");
        let found = findings(&test, &file).await;
        assert_eq!(
            found,
            [
                format!("line 1 of the checkpoint file kept: the feed has no number {seq} any more: its end was cut off"),
                "checkpoint 1 is kept, but the ledger has 0: its end was cut off, or an older backup was restored"
                    .to_owned(),
            ]
        );
        test.finish_broken();
    }

    async fn another_past_is_found_by_the_checkpoint_file(db: TestDatabase) {
        let (test, file, seq) = Box::pin(with_checkpoint(db)).await;
        let text = std::fs::read_to_string(&file).unwrap();
        let (before, hash) = text.split_once("\"hash\":\"").unwrap();
        let other = format!("{before}\"hash\":\"{}{}", if hash.starts_with('0') { '1' } else { '0' }, &hash[1..]);
        std::fs::write(&file, other).unwrap();
        let found = findings(&test, &file).await;
        assert_eq!(
            found,
            [format!(
                "line 1 of the checkpoint file kept: number {seq} of the feed had another hash: what is before it was rewritten"
            )]
        );
        test.finish().await;
    }

    /// The file is what an attacker cannot change: that he takes it away, or its end, must not go unseen.
    async fn a_checkpoint_file_that_is_gone_or_shorter_is_found(db: TestDatabase) {
        let (test, file, _) = Box::pin(with_checkpoint(db)).await;
        for (order, checkpoint) in [("second", 2), ("third", 3)] {
            test.order(order, 1).await.unwrap();
            test.number_all_events().await;
            assert!(feed::keep_checkpoints(&test.depot).await.unwrap());
            assert_eq!(feed::read_file(&file).unwrap().len(), checkpoint);
        }
        let whole = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = whole.split_inclusive('\n').collect();
        test.clock.advance(TimeDelta::minutes(6));
        assert_eq!(findings(&test, &file).await, Vec::<String>::new());
        let found = async |content: Option<String>, what: &str| {
            match content {
                Some(content) => std::fs::write(&file, content).unwrap(),
                None => std::fs::remove_file(&file).unwrap(),
            }
            let findings = findings(&test, &file).await;
            assert!(findings.iter().any(|finding| finding.contains(what)), "{what}: {findings:#?}");
        };
        found(None, "there is no checkpoint file kept").await;
        found(Some(String::new()), "the checkpoint file kept is empty").await;
        found(Some(lines[..2].concat()), "the last checkpoint that is kept is 2").await;
        found(Some([lines[0], lines[2]].concat()), "the checkpoint files lack checkpoint 2").await;
        found(Some(lines[1..].concat()), "say --checkpoints-since 2").await;
        std::fs::write(&file, whole).unwrap();
        test.finish().await;
    }

    /// The server does not make a file anew out of the database that the file is to guard.
    async fn the_past_is_not_written_to_a_file(db: TestDatabase) {
        let (test, file, _) = Box::pin(with_checkpoint(db)).await;
        let more = async || {
            test.deliver(1).await;
            test.number_all_events().await;
            assert!(feed::keep_checkpoints(&test.depot).await.unwrap());
        };
        let versions =
            || feed::read_file(&file).unwrap().iter().map(|(_, kept)| kept.version).collect::<Vec<_>>();
        more().await;
        more().await;
        assert_eq!(versions(), [1, 2, 3]);
        // Rotated: the new file begins with the current one and goes on.
        let rotated = std::fs::read_to_string(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        feed::keep_checkpoints(&test.depot).await.unwrap();
        assert_eq!(versions(), [3]);
        assert!(feed::keep_checkpoints(&test.depot).await.is_ok_and(|made| !made));
        // Shortened, in front of the server: the gap stays.
        std::fs::write(&file, rotated.split_inclusive('\n').next().unwrap()).unwrap();
        feed::keep_checkpoints(&test.depot).await.unwrap();
        assert_eq!(versions(), [1, 3]);
        // And while no server ran: another one takes over.
        std::fs::write(&file, rotated.split_inclusive('\n').next().unwrap()).unwrap();
        feed::keep_checkpoints(&test.restarted()).await.unwrap();
        assert_eq!(versions(), [1, 3]);
        // A file that knows more than the ledger is left alone.
        let ahead = rotated.replace("{\"version\":3", "{\"version\":9");
        std::fs::write(&file, &ahead).unwrap();
        more().await;
        assert_eq!(std::fs::read_to_string(&file).unwrap(), ahead);
        let found = findings(&test, &file).await;
        assert!(
            found.iter().any(|what| what.starts_with("checkpoint 9 is kept, but the ledger has 4")),
            "{found:#?}"
        );
        test.finish().await;
    }

    async fn a_pool_alert_without_its_event_is_found(db: TestDatabase) {
        let (test, _) = with_history(db).await;
        test.db.raw().execute("UPDATE pools SET alert_level = 'low'");
        assert_found(test, "pool world was alerted as low but its events say ok").await;
    }

    async fn a_held_profile_needs_its_hold(db: TestDatabase) {
        let (test, iccids) = with_history(db).await;
        let hold = uuid(&test.db, RandomIds.uuid());
        test.db.raw().execute(&format!(
            "UPDATE profiles SET stock_status = 'held', hold_id = {hold} WHERE iccid = '{}'",
            iccids[5]
        ));
        let found = test.findings().await;
        assert!(found.iter().any(|what| what.contains("is held but its events say available")), "{found:#?}");
        assert_found(test, "a held profile belongs to an active hold").await;
    }

    async fn holds_follow_from_their_events(db: TestDatabase) {
        let (test, _) = with_history(db).await;
        let hold = HoldId(RandomIds.uuid());
        let id = uuid(&test.db, hold.0);
        let now = test.depot.now();
        let moment = match test.db.backend() {
            Backend::Postgres => format!("'{}'", now.to_rfc3339()),
            Backend::Sqlite => now.timestamp_micros().to_string(),
        };
        test.db.raw().execute(&format!(
            "INSERT INTO holds (id, channel, pool_id, quantity, status, expires_at, version, created_at, updated_at) \
             SELECT {id}, 'default', id, 2, 'active', {moment}, 1, {moment}, {moment} FROM pools"
        ));
        let found = test.findings().await;
        assert_eq!(found, [format!("hold {hold} is at version 1 but has 0 events")]);
        let event = |version, fact| {
            let id = EventId(RandomIds.uuid());
            Event { id, at: now, subject: Subject::Hold(hold), version, fact }
        };
        let created = event(1, Fact::HoldCreated {
            channel: storefront("default").channel,
            pool: pool_settings().pool,
            quantity: 2,
            expires_at: now,
        });
        test.depot.store.write(move |conn| events::append(conn, &[created])).await.unwrap();
        test.assert_verified().await;
        test.db.raw().execute("UPDATE holds SET quantity = 3");
        assert!(test.findings().await[0].contains("reserves another number"));
        test.db.raw().execute("UPDATE holds SET quantity = 2, status = 'expired'");
        assert_eq!(test.findings().await, [format!("hold {hold} is expired but its events say active")]);
        let ended = event(2, Fact::HoldEnded { status: HoldStatus::Expired, order: None });
        test.depot.store.write(move |conn| events::append(conn, &[ended])).await.unwrap();
        test.db.raw().execute("UPDATE holds SET version = 2");
        test.finish().await;
    }
}
