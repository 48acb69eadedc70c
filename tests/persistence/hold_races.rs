//! Holds that meet claims and each other: held open on purpose, so that who waits for whom is certain.
//!
//! On PostgreSQL alone: SQLite has one writer, so no two of them ever meet.

use std::sync::mpsc;
use std::time::Duration;

use simdepot_domain::hold::HoldStatus;
use simdepot_persistence::allocations::{self, Claim};
use simdepot_persistence::holds::{self, HoldChange};
use simdepot_persistence::{Conn, Store, StoreError};
use simdepot_tests::on_postgres;
use tokio::task::JoinHandle;

use crate::holds::{hold_of, new_hold};
use crate::support::{Stock, channel, now};

/// Longest that something which must not wait may take.
const SOON: Duration = Duration::from_secs(5);
/// After this long, what has not ended is waiting.
const WAITS: Duration = Duration::from_millis(300);

/// Runs `work` and keeps its transaction open until told to commit (`true`) or to roll back.
async fn keep_open(
    store: &Store,
    work: impl FnOnce(&mut Conn<'_>) -> Result<(), StoreError> + Send + 'static,
) -> (mpsc::Sender<bool>, JoinHandle<Result<(), StoreError>>) {
    let (worked, has_worked) = tokio::sync::oneshot::channel();
    let (end, ended) = mpsc::channel();
    let store = store.clone();
    let keeper = tokio::spawn(async move {
        let kept = store.write(move |conn| {
            work(conn)?;
            worked.send(()).unwrap();
            let commit = ended.recv_timeout(Duration::from_secs(20)).unwrap();
            if commit { Ok(()) } else { Err(StoreError::Busy) }
        });
        kept.await
    });
    has_worked.await.unwrap();
    (end, keeper)
}

fn claims(stock: &Stock, quantity: u32) -> JoinHandle<Claim> {
    let (store, pool) = (stock.store.clone(), stock.pool.clone());
    tokio::spawn(async move {
        store.write(move |conn| allocations::claim(conn, &pool, quantity, now())).await.unwrap()
    })
}

on_postgres! {
    /// The last profile is being reserved: whoever wants it too waits, and gets it when the hold comes to nothing.
    async fn a_claim_waits_for_a_hold_that_is_being_made(db: TestDatabase) {
        let (stock, _) = Stock::of(db, 1).await;
        // The one that comes to nothing first: it leaves the profile to the next.
        for commit in [false, true] {
            let (hold, pool) = (new_hold(&stock, 1), stock.pool.clone());
            let (end, keeper) = keep_open(&stock.store, move |conn| {
                let Claim::Taken(claimed) = allocations::claim(conn, &pool, 1, now())? else {
                    return Err(StoreError::Busy);
                };
                holds::insert(conn, &hold)?;
                holds::reserve(conn, hold.id, &claimed, now())
            })
            .await;
            let second = claims(&stock, 1);
            tokio::time::sleep(WAITS).await;
            assert!(!second.is_finished(), "it must wait for the hold's end");
            end.send(commit).unwrap();
            assert_eq!(keeper.await.unwrap().is_ok(), commit);
            match second.await.unwrap() {
                Claim::Taken(claimed) => assert!(!commit && claimed.len() == 1),
                Claim::OutOfStock { available } => assert!(commit && available == 0),
            }
        }
    }

    /// What a hold gives back is on sale from its commit on: nobody waits for that, and nobody misses it after.
    async fn a_claim_does_not_wait_for_a_hold_that_ends(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 3).await;
        let (hold, _) = hold_of(&stock, 2).await;
        let (end, keeper) = keep_open(&stock.store, move |conn| {
            let hold = holds::lock(conn, hold.id)?.ok_or(StoreError::Busy)?;
            let held = holds::held(conn, hold.id, now())?;
            holds::give_back(conn, &hold, &held.sellable, now())?;
            holds::change(conn, &hold, HoldChange::End(HoldStatus::Released, None), now()).map(|_| ())
        })
        .await;
        let early = tokio::time::timeout(SOON, claims(&stock, 2)).await.unwrap().unwrap();
        assert_eq!(early, Claim::OutOfStock { available: 1 });
        assert_eq!(tokio::time::timeout(SOON, stock.sell(1)).await.unwrap(), Ok(vec![added[2].id]));
        end.send(true).unwrap();
        keeper.await.unwrap().unwrap();
        assert_eq!(stock.sell(2).await, Ok(vec![added[0].id, added[1].id]));
    }

    /// A sweeper passes over a hold that is being turned into an order; whoever must have it waits.
    async fn a_hold_is_one_transactions_at_a_time(db: TestDatabase) {
        let (stock, _) = Stock::of(db, 1).await;
        let (hold, _) = hold_of(&stock, 1).await;
        let id = hold.id;
        let (end, keeper) = keep_open(&stock.store, move |conn| {
            let hold = holds::lock(conn, id)?.ok_or(StoreError::Busy)?;
            holds::change(conn, &hold, HoldChange::End(HoldStatus::Expired, None), now()).map(|_| ())
        })
        .await;
        let swept = stock.store.write(move |conn| holds::lock_if_free(conn, id));
        assert_eq!(tokio::time::timeout(SOON, swept).await.unwrap().unwrap(), None);
        let store = stock.store.clone();
        let waiting = tokio::spawn(async move { store.write(move |conn| holds::lock(conn, id)).await });
        tokio::time::sleep(WAITS).await;
        assert!(!waiting.is_finished());
        end.send(true).unwrap();
        keeper.await.unwrap().unwrap();
        let seen = waiting.await.unwrap().unwrap().unwrap();
        assert_eq!((seen.status, seen.version), (HoldStatus::Expired, 2), "it sees what it waited for");
    }

    /// Holds of one channel are made one by one, so that none of them overlooks another's count.
    async fn a_channels_holds_are_counted_one_by_one(db: TestDatabase) {
        let (stock, _) = Stock::of(db, 1).await;
        let hold = new_hold(&stock, 7);
        let (end, keeper) = keep_open(&stock.store, move |conn| {
            holds::lock_channel(conn, &channel("shop"))?;
            holds::insert(conn, &hold)
        })
        .await;
        let counts = |name: &'static str| {
            let store = stock.store.clone();
            tokio::spawn(async move {
                let counted = store.write(move |conn| {
                    holds::lock_channel(conn, &channel(name))?;
                    holds::held_by(conn, &channel(name), now())
                });
                counted.await.unwrap()
            })
        };
        let waiting = counts("shop");
        assert_eq!(tokio::time::timeout(SOON, counts("other")).await.unwrap().unwrap(), 0);
        tokio::time::sleep(WAITS).await;
        assert!(!waiting.is_finished());
        end.send(true).unwrap();
        keeper.await.unwrap().unwrap();
        assert_eq!(waiting.await.unwrap(), 7);
    }
}
