//! Turns at a carrier, shared by processes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use simdepot_domain::channel::AccountName;
use simdepot_domain::clock::Clock;
use simdepot_domain::rate::Rate;
use simdepot_persistence::{Store, StoreError, carrier_turns};
use simdepot_tests::{TestDatabase, on_both_databases};

use crate::support::account;

/// Takes turns; returns when the first of them is due.
async fn take(store: &Store, account: &AccountName, turns: u32, rate: u32) -> DateTime<Utc> {
    let account = account.clone();
    let taken = store.write(move |conn| {
        let wait = carrier_turns::take(conn, &account, turns, Rate::new(rate))?;
        Ok::<_, StoreError>(conn.now()? + TimeDelta::from_std(wait).unwrap())
    });
    taken.await.unwrap()
}

#[derive(Debug)]
struct SetClock(Mutex<DateTime<Utc>>);

impl Clock for SetClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

on_both_databases! {
    /// Whatever the machine does, no turn of 200 may be due before the rate allows it.
    async fn two_processes_together_keep_the_rate(db: TestDatabase) {
        const RATE: u32 = 40;
        let (one, two) = (db.store(), db.store());
        let started = one.now().await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for store in [one.clone(), two.clone(), one, two] {
            tasks.spawn(async move {
                let mut due = Vec::new();
                for _ in 0..5 {
                    due.push(take(&store, &account(), 10, RATE).await);
                }
                due
            });
        }
        let mut due: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
        due.sort();
        assert_eq!(due.len(), 20);
        // Ten turns take 250 ms, and the first ten begin nine intervals back. What is measured here is the true moment
        // or later, never earlier, however slow the machine is.
        for (chunk, due) in (0..).zip(&due) {
            let earliest = started + TimeDelta::milliseconds(chunk * 250 - 225);
            assert!(*due >= earliest, "chunk {chunk}: {due} before {earliest}");
        }
        assert_eq!(db.raw().number("SELECT COUNT(*) AS value FROM carrier_turns"), 1);
    }

    async fn accounts_do_not_wait_for_each_other(db: TestDatabase) {
        let store = db.store();
        take(&store, &account(), 100, 1).await;
        let other = AccountName::parse("other").unwrap();
        let due = take(&store, &other, 1, 1).await;
        assert!(due <= store.now().await.unwrap(), "{due}");
        assert!(take(&store, &account(), 1, 1).await > due + TimeDelta::seconds(90));
    }
}

fn fixed() -> (TestDatabase, Store, Arc<SetClock>) {
    let db = TestDatabase::sqlite();
    let clock = Arc::new(SetClock(Mutex::new("2026-03-10T00:00:00Z".parse().unwrap())));
    let store = db.store_with(clock.clone());
    (db, store, clock)
}

async fn waits(store: &Store, takes: usize, turns: u32, rate: u32) -> Vec<u128> {
    let mut waits = Vec::new();
    for _ in 0..takes {
        let taken = store.write(move |conn| carrier_turns::take(conn, &account(), turns, Rate::new(rate)));
        let wait: Result<Duration, StoreError> = taken.await;
        waits.push(wait.unwrap().as_millis());
    }
    waits
}

#[tokio::test]
async fn after_a_pause_a_quarter_of_a_second_at_once_and_no_more() {
    let (_db, store, clock) = fixed();
    assert_eq!(waits(&store, 4, 1, 10).await, [0, 0, 100, 200]);
    *clock.0.lock().unwrap() += TimeDelta::hours(1);
    assert_eq!(waits(&store, 3, 2, 10).await, [0, 100, 300]);
}

#[tokio::test]
async fn a_clock_that_was_set_back_does_not_stop_the_account() {
    let (_db, store, clock) = fixed();
    assert_eq!(waits(&store, 1, 1, 1).await, [0]);
    *clock.0.lock().unwrap() -= TimeDelta::hours(1);
    assert_eq!(waits(&store, 2, 1, 1).await, [0, 1000]);
}

#[tokio::test]
async fn no_limit_is_no_wait() {
    let (_db, store, _) = fixed();
    assert_eq!(waits(&store, 3, u32::MAX / 4, u32::MAX).await, [0, 0, 0]);
}
