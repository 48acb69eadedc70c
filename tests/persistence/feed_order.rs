//! Numbering after the commit, which PostgreSQL alone needs: what is open, what commits late, what came from elsewhere.

use std::time::Duration;

use simdepot_domain::event::Event;
use simdepot_persistence::{Store, events, feed};
use simdepot_tests::{TestDatabase, on_postgres};
use tokio::sync::oneshot;

use crate::feed::{assert_whole, entries, event, order, sequence, settle, write};

/// A transaction that has begun and waits to be told to write and commit.
struct Open {
    go: oneshot::Sender<Vec<Event>>,
    ended: tokio::task::JoinHandle<()>,
}

impl Open {
    /// Begins one that has its number already.
    async fn begin(store: &Store, first: Vec<Event>) -> Self {
        let (go, told) = oneshot::channel::<Vec<Event>>();
        let (begun, waiting) = oneshot::channel();
        let store = store.clone();
        let ended = tokio::spawn(async move {
            let written = store.write(move |conn| {
                events::append(conn, &first)?;
                begun.send(()).unwrap();
                match told.blocking_recv() {
                    Ok(more) => events::append(conn, &more),
                    Err(_) => Err(simdepot_persistence::StoreError::Aborted("given up".to_owned())),
                }
            });
            // Given up on purpose in some tests.
            let _ = written.await;
        });
        waiting.await.unwrap();
        Self { go, ended }
    }

    async fn commit(self, more: Vec<Event>) {
        self.go.send(more).unwrap();
        self.ended.await.unwrap();
    }

    async fn roll_back(self) {
        drop(self.go);
        self.ended.await.unwrap();
    }
}

/// A while in which sequencers try.
async fn try_for_a_while(store: &Store) {
    for _ in 0..10 {
        sequence(store).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A database whose feed has begun.
async fn begun(db: &TestDatabase) -> Store {
    let store = db.store();
    write(&store, vec![event(order(), 1)]).await;
    settle(&store, 1).await;
    store
}

on_postgres! {
    async fn an_open_transaction_holds_back_what_is_behind_it(db: TestDatabase) {
        let store = begun(&db).await;
        write(&store, vec![event(order(), 1)]).await;
        let held = event(order(), 1);
        let open = Open::begin(&store, vec![held.clone()]).await;
        write(&store, vec![event(order(), 1)]).await;
        // What is before it is numbered, what is behind it waits.
        settle(&store, 2).await;
        try_for_a_while(&store).await;
        assert_eq!(entries(&store).await.len(), 2);
        let backlog = store.read(feed::backlog).await.unwrap();
        assert!(backlog.events == 1 && backlog.oldest.is_some(), "{backlog:?}");
        open.commit(vec![]).await;
        let all = settle(&store, 4).await;
        assert_eq!(all[2].id, held.id, "the one that began first");
        assert_whole(&store, &all).await;
    }

    async fn an_open_transaction_that_gives_up_leaves_nothing(db: TestDatabase) {
        let store = begun(&db).await;
        let open = Open::begin(&store, vec![event(order(), 1)]).await;
        write(&store, vec![event(order(), 1)]).await;
        open.roll_back().await;
        let all = settle(&store, 2).await;
        assert_whole(&store, &all).await;
    }

    /// The transaction with the lower number writes the later version.
    async fn versions_ascend_when_transactions_do_not(db: TestDatabase) {
        let store = begun(&db).await;
        let one = order();
        let open = Open::begin(&store, vec![event(order(), 1)]).await;
        write(&store, vec![event(one, 1)]).await;
        open.commit(vec![event(one, 2)]).await;
        let all = settle(&store, 4).await;
        assert_whole(&store, &all).await;
    }

    /// As before, and a third transaction between the two is still open: the later version must wait, although its own
    /// transaction has ended.
    async fn a_later_version_waits_for_its_predecessor(db: TestDatabase) {
        let store = begun(&db).await;
        let (one, two) = (order(), order());
        let first = Open::begin(&store, vec![event(order(), 1)]).await;
        let between = Open::begin(&store, vec![event(order(), 1)]).await;
        write(&store, vec![event(one, 1), event(two, 1)]).await;
        first.commit(vec![event(one, 2)]).await;
        try_for_a_while(&store).await;
        assert_eq!(entries(&store).await.len(), 1, "the first transaction is whole or not there");
        between.commit(vec![event(two, 2)]).await;
        let all = settle(&store, 7).await;
        assert_whole(&store, &all).await;
    }

    /// A predecessor behind the cut is taken in; without that the numbering would stand still.
    async fn a_small_window_reaches_for_predecessors(db: TestDatabase) {
        let store = begun(&db).await;
        let one = order();
        let open = Open::begin(&store, vec![event(order(), 1)]).await;
        for _ in 0..20 {
            write(&store, vec![event(order(), 1), event(order(), 1)]).await;
        }
        write(&store, vec![event(one, 1)]).await;
        open.commit(vec![event(one, 2)]).await;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        while entries(&store).await.len() < 44 {
            store.write(|conn| feed::sequence(conn, 1)).await.unwrap();
            assert!(tokio::time::Instant::now() < deadline);
        }
        assert_whole(&store, &entries(&store).await).await;
    }

    async fn windows_are_of_whole_transactions(db: TestDatabase) {
        let store = begun(&db).await;
        write(&store, vec![event(order(), 1), event(order(), 1)]).await;
        write(&store, (0..50).map(|_| event(order(), 1)).collect()).await;
        write(&store, vec![event(order(), 1), event(order(), 1)]).await;
        let mut steps = Vec::new();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        while entries(&store).await.len() < 55 {
            let numbered = store.write(|conn| feed::sequence(conn, 3)).await.unwrap();
            steps.extend((numbered > 0).then_some(numbered));
            assert!(tokio::time::Instant::now() < deadline);
        }
        assert!(steps.contains(&50), "{steps:?}");
    }

    async fn an_idle_database_is_not_written(db: TestDatabase) {
        let store = begun(&db).await;
        let state = || db.raw().texts("SELECT xmin::text || ' ' || horizon AS value FROM feed_position");
        let before = state();
        try_for_a_while(&store).await;
        assert_eq!(state(), before);
    }

    /// Restored on another server: transaction numbers begin anew, below the horizon or above.
    async fn a_moved_database_goes_on(db: TestDatabase) {
        let store = begun(&db).await;
        for (number, tampered) in [
            "UPDATE feed_position SET cluster = '1', horizon = 1",
            "UPDATE feed_position SET horizon = 9000000000000000",
            "UPDATE feed_position SET cluster = '1', horizon = 9000000000000000",
        ]
        .into_iter()
        .enumerate()
        {
            let one = order();
            write(&store, vec![event(one, 1)]).await;
            db.raw().execute(tampered);
            write(&store, vec![event(one, 2)]).await;
            let all = settle(&store, 3 + 3 * number as i64).await;
            assert_whole(&store, &all).await;
            write(&store, vec![event(order(), 1)]).await;
            let all = settle(&store, 4 + 3 * number as i64).await;
            assert_whole(&store, &all).await;
        }
    }

    /// Events of the old server have numbers of transactions that come again here: they are not numbered twice.
    async fn old_transaction_numbers_that_come_again_do_no_harm(db: TestDatabase) {
        let store = begun(&db).await;
        let mut raw = db.raw();
        raw.execute("DROP TRIGGER events_append_only ON events");
        raw.execute("UPDATE events SET txid = txid + 30");
        raw.execute("UPDATE feed_position SET cluster = '1'");
        for count in 2..60 {
            write(&store, vec![event(order(), 1)]).await;
            settle(&store, count).await;
        }
        assert_whole(&store, &entries(&store).await).await;
    }

    /// While the rest is numbered, a transaction that began before waits to write its events. It is not forgotten.
    async fn who_waits_for_the_recovery_is_numbered_after_it(db: TestDatabase) {
        let store = begun(&db).await;
        let (begun, waiting) = oneshot::channel();
        let (go, told) = oneshot::channel::<()>();
        let (early, other) = (store.clone(), event(order(), 1));
        let writer = tokio::spawn(async move {
            early
                .write(move |conn| {
                    // It has its number before it writes any event.
                    simdepot_persistence::products::replace(
                        conn,
                        &crate::support::account(),
                        &[],
                        crate::support::now(),
                    )?;
                    begun.send(()).unwrap();
                    told.blocking_recv().unwrap();
                    events::append(conn, &[other])
                })
                .await
        });
        waiting.await.unwrap();
        db.raw().execute("UPDATE feed_position SET cluster = '1', horizon = 1");
        write(&store, vec![event(order(), 1)]).await;
        assert_eq!(store.write(|conn| feed::sequence(conn, 100)).await.unwrap(), 1);
        go.send(()).unwrap();
        writer.await.unwrap().unwrap();
        let all = settle(&store, 3).await;
        assert_whole(&store, &all).await;
    }
}
