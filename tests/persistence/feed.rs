//! The feed: dense, in the order of versions, chained, on both databases.

use std::time::Duration;

use simdepot_domain::event::{Event, Fact, Subject};
use simdepot_domain::id::{EventId, OrderId};
use simdepot_domain::order::OrderStatus;
use simdepot_persistence::feed::{Entry, Fault, Position};
use simdepot_persistence::{Backend, Store, StoreError, events, feed};
use simdepot_tests::{TestDatabase, on_both_databases};

use crate::support::{channel, now, uuid};

pub(crate) fn event(order: OrderId, version: i64) -> Event {
    let fact = match version {
        1 => Fact::OrderCreated { channel: channel("shop"), reference: "é \"1\"\n".to_owned(), quantity: 2 },
        _ => Fact::OrderStatusChanged { from: OrderStatus::InProgress, to: OrderStatus::Fulfilled },
    };
    Event { id: EventId(uuid()), at: now(), subject: Subject::Order(order), version, fact }
}

pub(crate) fn order() -> OrderId {
    OrderId(uuid())
}

pub(crate) async fn write(store: &Store, facts: Vec<Event>) {
    store.write(move |conn| events::append(conn, &facts)).await.unwrap();
}

/// Numbers until nothing waits. Transactions of other tests on the same server may hold things back for a while.
pub(crate) async fn settle(store: &Store, count: i64) -> Vec<Entry> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        sequence(store).await;
        let entries = entries(store).await;
        if entries.len() as i64 >= count {
            assert_eq!(entries.len() as i64, count);
            return entries;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "{count} events, of which {} numbered",
            entries.len()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn sequence(store: &Store) -> u64 {
    if store.read(feed::is_waiting).await.unwrap() {
        store.write(|conn| feed::sequence(conn, 100)).await.unwrap()
    } else {
        0
    }
}

pub(crate) async fn entries(store: &Store) -> Vec<Entry> {
    store.read(|conn| feed::after(conn, 0, 100_000)).await.unwrap()
}

pub(crate) async fn faults(store: &Store) -> Vec<Fault> {
    let (mut faults, mut from) = (Vec::new(), Position::start());
    loop {
        // Small chunks: what goes on from one to the next is part of the test.
        let checked = store.read(move |conn| feed::check(conn, &from, 7)).await.unwrap();
        faults.extend(checked.faults);
        if checked.entries == 0 {
            return faults;
        }
        from = checked.to;
    }
}

/// Dense from 1, every subject's versions ascend, every hash follows.
pub(crate) async fn assert_whole(store: &Store, entries: &[Entry]) {
    assert_eq!(
        entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(),
        (1..=entries.len() as i64).collect::<Vec<_>>()
    );
    let mut versions = std::collections::HashMap::new();
    for entry in entries {
        let before = versions.insert((entry.subject_kind, entry.subject_id.clone()), entry.version);
        assert_eq!(before.unwrap_or_default() + 1, entry.version, "{entry:?}");
    }
    assert_eq!(faults(store).await, []);
    let position = store.read(feed::position).await.unwrap();
    assert_eq!(position.seq, entries.len() as i64);
    let (lost, late) = store.read(|conn| feed::unnumbered(conn, now(), 10)).await.unwrap();
    assert_eq!((lost, late), (vec![], vec![]));
}

fn without_triggers(db: &TestDatabase, sql: &str) {
    let mut raw = db.raw();
    raw.execute(match db.backend() {
        Backend::Postgres => "DROP TRIGGER events_append_only ON events",
        Backend::Sqlite => "DROP TRIGGER events_not_deleted; DROP TRIGGER events_not_updated",
    });
    raw.execute(sql);
}

/// A feed of twelve entries.
async fn twelve(db: &TestDatabase) -> (Store, Vec<Entry>) {
    let store = db.store();
    for _ in 0..4 {
        let one = order();
        write(&store, vec![event(one, 1), event(one, 2)]).await;
        write(&store, vec![event(one, 3)]).await;
    }
    let entries = settle(&store, 12).await;
    assert_whole(&store, &entries).await;
    (store, entries)
}

on_both_databases! {
    async fn entries_tell_the_events_as_they_were_written(db: TestDatabase) {
        let store = db.store();
        assert_eq!(store.read(feed::position).await.unwrap(), Position::start());
        assert!(!store.read(feed::is_waiting).await.unwrap());
        let (one, other) = (order(), order());
        let written = vec![event(one, 2), event(other, 1), event(one, 1)];
        write(&store, written.clone()).await;
        let entries = settle(&store, 3).await;
        assert_whole(&store, &entries).await;
        let first = entries.iter().find(|entry| entry.id == written[2].id).unwrap();
        assert_eq!(
            (first.at, first.type_name.as_str(), first.subject_id.clone(), &first.data),
            (
                written[2].at,
                "order.created",
                one.to_string(),
                &serde_json::json!({"channel": "shop", "reference": "é \"1\"\n", "quantity": 2})
            )
        );
        let rest = store.read(|conn| feed::after(conn, 1, 1)).await.unwrap();
        assert_eq!(rest, [entries[1].clone()]);
        assert!(!store.read(feed::is_waiting).await.unwrap());
        assert_eq!(store.read(feed::backlog).await.unwrap(), feed::Backlog::default());
    }

    /// A rollback leaves no gap, and another process goes on where this one stopped.
    async fn numbers_have_no_gap(db: TestDatabase) {
        let store = db.store();
        write(&store, vec![event(order(), 1)]).await;
        settle(&store, 1).await;
        let lost = event(order(), 1);
        let rolled_back = store.write(move |conn| {
            events::append(conn, std::slice::from_ref(&lost))?;
            Err::<(), _>(StoreError::Aborted("on purpose".to_owned()))
        });
        rolled_back.await.unwrap_err();
        let restarted = db.store();
        write(&restarted, vec![event(order(), 1)]).await;
        let entries = settle(&restarted, 2).await;
        assert_whole(&restarted, &entries).await;
    }

    async fn a_thousand_at_once_are_dense(db: TestDatabase) {
        let store = db.store();
        let orders: Vec<OrderId> = (0..50).map(|_| order()).collect();
        let writers: Vec<_> = orders
            .into_iter()
            .map(|order| {
                let store = store.clone();
                tokio::spawn(async move {
                    for version in 0..10 {
                        write(&store, vec![event(order, 2 * version + 1), event(order, 2 * version + 2)]).await;
                    }
                })
            })
            .collect();
        // Two sequencers beside the writers, as two processes have them.
        let (done, ended) = tokio::sync::watch::channel(false);
        let sequencers: Vec<_> = (0..2)
            .map(|_| {
                let (store, ended) = (db.store(), ended.clone());
                tokio::spawn(async move {
                    let mut numbered = 0;
                    while !*ended.borrow() {
                        let more = store.write(|conn| feed::sequence(conn, 37)).await;
                        numbered += more.unwrap_or_default();
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                    numbered
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        done.send(true).unwrap();
        for sequencer in sequencers {
            sequencer.await.unwrap();
        }
        let entries = settle(&store, 1_000).await;
        assert_whole(&store, &entries).await;
    }

    async fn a_large_append_is_numbered_whole(db: TestDatabase) {
        let store = db.store();
        let one = order();
        write(&store, (1..=1_201).map(|version| event(one, version)).collect()).await;
        let entries = settle(&store, 1_201).await;
        assert_whole(&store, &entries).await;
    }

    /// Events from before there was a feed.
    async fn what_was_never_numbered_is(db: TestDatabase) {
        let (store, _) = twelve(&db).await;
        db.raw().execute("DELETE FROM feed; DELETE FROM feed_position");
        assert!(store.read(feed::is_waiting).await.unwrap());
        let one = order();
        write(&store, vec![event(one, 1), event(one, 2)]).await;
        let entries = settle(&store, 14).await;
        assert_whole(&store, &entries).await;
    }

    async fn the_position_has_the_last_hash(db: TestDatabase) {
        let (store, entries) = twelve(&db).await;
        assert_eq!(entries.len(), 12);
        let hash = store.read(|conn| feed::hash_at(conn, 12)).await.unwrap().unwrap();
        assert_eq!(hash.len(), 32);
        assert_eq!(hash, store.read(feed::position).await.unwrap().hash);
        assert_eq!(store.read(|conn| feed::hash_at(conn, 13)).await.unwrap(), None);
    }

    async fn a_tampered_event_is_found(db: TestDatabase) {
        let (store, entries) = twelve(&db).await;
        let sql = match db.backend() {
            Backend::Postgres => "UPDATE events SET at = at + interval '1 microsecond' WHERE id = '{}'",
            Backend::Sqlite => "UPDATE events SET at = at + 1 WHERE hex(id) = upper('{}')",
        };
        let id = match db.backend() {
            Backend::Postgres => entries[4].id.0.to_string(),
            Backend::Sqlite => entries[4].id.0.simple().to_string(),
        };
        without_triggers(&db, &sql.replace("{}", &id));
        assert_eq!(faults(&store).await, [Fault::Hash { seq: 5, event: entries[4].id }]);
    }

    async fn a_rewritten_hash_is_found(db: TestDatabase) {
        let (store, entries) = twelve(&db).await;
        db.raw().execute("UPDATE feed SET hash = (SELECT hash FROM feed WHERE seq = 8) WHERE seq = 7");
        // Its own does not follow, and the next one followed the right one.
        assert_eq!(
            faults(&store).await,
            [
                Fault::Hash { seq: 7, event: entries[6].id },
                Fault::Hash { seq: 8, event: entries[7].id }
            ]
        );
    }

    async fn a_swapped_order_is_found(db: TestDatabase) {
        let (store, entries) = twelve(&db).await;
        assert_eq!(entries[3].subject_id, entries[4].subject_id);
        db.raw().execute(
            "UPDATE feed SET seq = 1000 WHERE seq = 4; UPDATE feed SET seq = 4 WHERE seq = 5; \
             UPDATE feed SET seq = 5 WHERE seq = 1000",
        );
        let found = faults(&store).await;
        assert!(found.contains(&Fault::Order { seq: 4, event: entries[4].id }), "{found:?}");
        assert!(found.contains(&Fault::Hash { seq: 4, event: entries[4].id }), "{found:?}");
    }

    async fn a_missing_number_is_found(db: TestDatabase) {
        let (store, entries) = twelve(&db).await;
        db.raw().execute("DELETE FROM feed WHERE seq IN (5, 6)");
        let found = faults(&store).await;
        assert!(found.contains(&Fault::Gap { from: 5, to: 6 }), "{found:?}");
        let (lost, _) = store.read(|conn| feed::unnumbered(conn, now(), 10)).await.unwrap();
        let mut removed = vec![entries[4].id, entries[5].id];
        removed.sort();
        assert_eq!(lost, removed);
    }
}
