//! The ledger: append-only, with one version per fact of a subject.

use simdepot_domain::event::{Event, Fact, Subject, SubjectKind};
use simdepot_domain::id::{EventId, OrderId};
use simdepot_domain::order::OrderStatus;
use simdepot_persistence::{StoreError, events, verification};
use simdepot_tests::on_both_databases;

use crate::support::{channel, is_unique, now, uuid};

fn event(order: OrderId, version: i64, fact: Fact) -> Event {
    Event { id: EventId(uuid()), at: now(), subject: Subject::Order(order), version, fact }
}

fn created() -> Fact {
    Fact::OrderCreated { channel: channel("shop"), reference: "ref-1".to_owned(), quantity: 2 }
}

fn fulfilled() -> Fact {
    Fact::OrderStatusChanged { from: OrderStatus::InProgress, to: OrderStatus::Fulfilled }
}

on_both_databases! {
    async fn events_come_back_in_the_order_of_their_versions(db: TestDatabase) {
        let store = db.store();
        let (one, other) = (OrderId(uuid()), OrderId(uuid()));
        let written = vec![event(one, 2, fulfilled()), event(other, 1, created()), event(one, 1, created())];
        let facts = written.clone();
        store.write(move |conn| events::append(conn, &facts)).await.unwrap();
        let (story, both) = store
            .read(move |conn| {
                let story = events::of_subject(conn, SubjectKind::Order, &one.to_string())?;
                let ids = [one.to_string(), other.to_string(), "ord_none".to_owned()];
                Ok::<_, StoreError>((story, events::of_subjects(conn, SubjectKind::Order, &ids)?))
            })
            .await
            .unwrap();
        assert_eq!(story.iter().map(|event| event.version).collect::<Vec<_>>(), [1, 2]);
        assert_eq!((&story[0].fact, &story[1].fact), (&created(), &fulfilled()));
        assert_eq!((story[1].id, story[1].at), (written[0].id, written[0].at));
        assert_eq!(both.len(), 3);
        let mut by_subject = both.clone();
        by_subject.sort_by_key(|event| (event.subject_id.clone(), event.version));
        assert_eq!(both, by_subject);
        let none = store.read(move |conn| events::of_subject(conn, SubjectKind::Profile, &one.to_string()));
        assert_eq!(none.await.unwrap(), vec![]);
    }

    async fn a_version_is_taken_once(db: TestDatabase) {
        let store = db.store();
        let order = OrderId(uuid());
        let first = event(order, 1, created());
        store.write(move |conn| events::append(conn, &[first])).await.unwrap();
        let second = event(order, 1, created());
        assert!(is_unique(&store.write(move |conn| events::append(conn, &[second])).await));
        // Two at once, on two connections.
        let races: Vec<_> = (0..8)
            .map(|_| {
                let (store, next) = (store.clone(), event(order, 2, fulfilled()));
                tokio::spawn(async move { store.write(move |conn| events::append(conn, &[next])).await })
            })
            .collect();
        let mut written = 0;
        for race in races {
            let result = race.await.unwrap();
            assert!(result.is_ok() || is_unique(&result), "{result:?}");
            written += usize::from(result.is_ok());
        }
        assert_eq!(written, 1);
    }

    async fn events_are_never_changed_or_deleted(db: TestDatabase) {
        let store = db.store();
        let first = event(OrderId(uuid()), 1, created());
        store.write(move |conn| events::append(conn, &[first])).await.unwrap();
        for sql in [
            "UPDATE events SET version = 7",
            "UPDATE events SET type_name = 'order.cancelled' WHERE version = 1",
            "DELETE FROM events",
        ] {
            let refused = db.raw().try_execute(sql).unwrap_err();
            assert!(refused.contains("append-only"), "{sql}: {refused}");
        }
        assert_eq!(db.raw().number("SELECT COUNT(*) AS value FROM events WHERE version = 1"), 1);
    }

    async fn a_gap_in_the_versions_is_found(db: TestDatabase) {
        let store = db.store();
        let (whole, holed, late) = (OrderId(uuid()), OrderId(uuid()), OrderId(uuid()));
        let facts = vec![
            event(whole, 1, created()),
            event(whole, 2, fulfilled()),
            event(holed, 1, created()),
            event(holed, 3, fulfilled()),
            event(late, 2, created()),
        ];
        store.write(move |conn| events::append(conn, &facts)).await.unwrap();
        let (mut dense, mut gaps, mut after) = (Vec::new(), Vec::new(), String::new());
        // One at a time: each goes on behind the one before.
        loop {
            let from = after.clone();
            let next = store
                .snapshot(move |conn| verification::subjects_after(conn, SubjectKind::Order, &from, 1))
                .await
                .unwrap();
            let Some(subject) = next.into_iter().next() else {
                break;
            };
            after = subject.subject_id.clone();
            if subject.is_dense() { &mut dense } else { &mut gaps }.push(subject.subject_id);
        }
        let mut expected = vec![holed.to_string(), late.to_string()];
        expected.sort();
        assert_eq!((dense, gaps), (vec![whole.to_string()], expected));
        let ids = vec![whole.to_string(), "no id".to_owned()];
        let there = store.snapshot(move |conn| verification::existing(conn, SubjectKind::Order, &ids));
        assert!(there.await.unwrap().is_empty(), "no order has a row");
    }

    /// Many in one call: more than one statement takes.
    async fn a_large_append_is_whole(db: TestDatabase) {
        let store = db.store();
        let order = OrderId(uuid());
        let facts: Vec<Event> = (1..=1_201).map(|version| event(order, version, fulfilled())).collect();
        store.write(move |conn| events::append(conn, &facts)).await.unwrap();
        let story = store.read(move |conn| events::of_subject(conn, SubjectKind::Order, &order.to_string()));
        assert_eq!(story.await.unwrap().len(), 1_201);
        let told = store.snapshot(|conn| verification::subjects_after(conn, SubjectKind::Order, "", 10));
        let told = told.await.unwrap();
        assert_eq!((told.len(), told[0].events, told[0].is_dense()), (1, 1_201, true));
    }
}
