//! The claim: who is picked, that concurrent claims neither share a profile nor miss one, and what an allocation keeps.

use std::collections::BTreeSet;

use simdepot_domain::order::ProfileOutcome;
use simdepot_domain::pool::InitialStock;
use simdepot_domain::profile::QuarantineReason;
use simdepot_persistence::allocations::{self, Claim, NewAllocation};
use simdepot_persistence::profiles::NewProfile;
use simdepot_persistence::{Backend, StoreError, orders, profiles};
use simdepot_tests::on_both_databases;

use crate::support::{
    Stock, add_profiles, days, is_race, line_of, make_import, make_pool, new_order, new_profile, now, sell,
};

on_both_databases! {
    async fn first_expiring_first_out_then_oldest_batch_then_row(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let later = make_import(&stock.store, &stock.pool).await;
        assert!(later.batch_no > stock.import.batch_no);
        let moment = now();
        let expiring = |in_days| NewProfile { sell_by: moment + days(in_days), ..new_profile() };
        // Written in an order that is none of the three.
        let new_batch =
            add_profiles(&stock.store, &stock.pool, &later, vec![new_profile(), expiring(30)]).await;
        let old_batch = stock.add(vec![new_profile(), expiring(60), expiring(30), new_profile()]).await;
        let expected = vec![
            old_batch[2].id,
            new_batch[1].id,
            old_batch[1].id,
            old_batch[0].id,
            old_batch[3].id,
            new_batch[0].id,
        ];
        let mut taken = stock.sell(2).await.unwrap();
        taken.extend(stock.sell(4).await.unwrap());
        assert_eq!(taken, expected);
    }

    async fn only_what_is_on_sale_is_taken(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let moment = now();
        let elsewhere = make_pool(&stock.store, "elsewhere", 0).await;
        add_profiles(&stock.store, &elsewhere, &stock.import, vec![new_profile()]).await;
        let added = stock
            .add(vec![
                NewProfile { sell_by: moment - days(1), ..new_profile() },
                NewProfile { stock: InitialStock::Quarantined(QuarantineReason::Manual), ..new_profile() },
                new_profile(),
            ])
            .await;
        assert_eq!(stock.sell(2).await, Err(1));
        assert_eq!(stock.sell(1).await, Ok(vec![added[2].id]));
        assert_eq!(stock.sell(1).await, Err(0));
    }

    /// A profile is sold before its `sell_by`, and not at it.
    async fn the_moment_of_expiry_is_exact(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let moment = now() + days(1);
        stock.add(vec![NewProfile { sell_by: moment, ..new_profile() }]).await;
        let pool = stock.pool.clone();
        let (at, before) = stock
            .store
            .write(move |conn| {
                let at = allocations::claim(conn, &pool, 1, moment)?;
                let before = allocations::claim(conn, &pool, 1, moment - chrono::TimeDelta::microseconds(1))?;
                Ok::<_, StoreError>((at, before))
            })
            .await
            .unwrap();
        assert_eq!(at, Claim::OutOfStock { available: 0 });
        assert!(matches!(before, Claim::Taken(taken) if taken.len() == 1));
    }

    async fn out_of_stock_takes_nothing(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 3).await;
        assert_eq!(stock.sell(4).await, Err(3));
        for profile in &added {
            assert_eq!(&stock.profile(profile.id).await, profile);
        }
        assert_eq!(stock.sell(3).await.unwrap().len(), 3);
    }

    async fn the_safety_buffer_is_left(db: TestDatabase) {
        let stock = Stock::with_buffer(db, 2).await;
        stock.add((0..5).map(|_| new_profile()).collect()).await;
        assert_eq!(stock.sell(4).await, Err(3));
        assert_eq!(stock.sell(3).await.unwrap().len(), 3);
        assert_eq!(stock.sell(1).await, Err(0));
    }

    /// Whatever the claims of each other see, exactly the buffer stays.
    async fn the_safety_buffer_is_exact_under_concurrency(db: TestDatabase) {
        let stock = Stock::with_buffer(db, 7).await;
        stock.add((0..60).map(|_| new_profile()).collect()).await;
        let sold = concurrently(&stock, 16, 5).await;
        assert_eq!(sold.iter().filter(|sale| sale.is_ok()).count(), 53);
        assert!(sold.iter().all(|sale| matches!(sale, Ok(_) | Err(0))), "{sold:?}");
        let left =
            stock.db.raw().number("SELECT COUNT(*) AS value FROM profiles WHERE stock_status = 'available'");
        assert_eq!(left, 7);
    }

    async fn concurrent_claims_take_distinct_profiles_and_leave_none(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 200).await;
        let sold = concurrently(&stock, 16, 15).await;
        let taken: Vec<i64> = sold.iter().flatten().flatten().copied().collect();
        let distinct: BTreeSet<i64> = taken.iter().copied().collect();
        assert_eq!((taken.len(), distinct.len()), (200, 200));
        assert_eq!(distinct, added.iter().map(|profile| profile.id).collect());
        assert_eq!(sold.iter().filter(|sale| **sale == Err(0)).count(), 16 * 15 - 200);
    }

    /// Claims of several sizes at once: a large one is not told "out of stock" while enough is there, and what is
    /// told as available was.
    async fn claims_of_several_sizes_share_what_is_there(db: TestDatabase) {
        let (stock, _) = Stock::of(db, 100).await;
        let mut tasks = Vec::new();
        for quantity in [40u32, 30, 20, 10, 1, 1, 1, 1] {
            let (store, pool) = (stock.store.clone(), stock.pool.clone());
            tasks.push(tokio::spawn(async move {
                let sold = store.write(move |conn| sell(conn, &pool, quantity, now())).await.unwrap();
                (quantity, sold)
            }));
        }
        let (mut sold, mut refused) = (0, Vec::new());
        for task in tasks {
            match task.await.unwrap() {
                (quantity, Ok(taken)) => {
                    assert_eq!(taken.len(), quantity as usize);
                    sold += quantity;
                }
                (quantity, Err(available)) => refused.push((quantity, available)),
            }
        }
        assert!(refused.iter().all(|(quantity, available)| u64::from(*quantity) > *available), "{refused:?}");
        // Any refused claim must not fit into what is left at the end either.
        assert!(refused.iter().all(|(quantity, _)| sold + quantity > 100), "{sold} {refused:?}");
    }

    async fn a_profile_has_one_live_allocation(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 1).await;
        stock.sell(1).await.unwrap();
        let id = added[0].id;
        let order = new_order("second");
        let order_id = order.id;
        let pool = stock.pool.clone();
        stock.store.write(move |conn| orders::insert(conn, &order, &[line_of(&pool, 1)])).await.unwrap();
        // Past the repository's guard: the index alone refuses it.
        let (kind, hex) = match stock.db.backend() {
            Backend::Postgres => ("'", ("now()", "'::uuid")),
            Backend::Sqlite => ("x'", ("1", "'")),
        };
        let refused = stock
            .db
            .raw()
            .try_execute(&format!(
                "INSERT INTO allocations (profile_id, order_id, line_no, position, outcome, created_at) \
             VALUES ({id}, {kind}{}{}, 0, 0, 'pending', {})",
                order_id.0.simple(),
                hex.1,
                hex.0
            ))
            .unwrap_err();
        assert!(refused.contains("allocations"), "{refused}");

        // An ended one is history: the profile may be sold again.
        let ended = stock
            .store
            .write(move |conn| {
                let live = allocations::live_of(conn, id)?.unwrap();
                allocations::end(conn, live.id, ProfileOutcome::Failed, now())?;
                Ok::<_, StoreError>((live.id, allocations::live_of(conn, id)?))
            })
            .await
            .unwrap();
        assert_eq!(ended.1, None);
        let again =
            stock.store.write(move |conn| allocations::end(conn, ended.0, ProfileOutcome::Failed, now()));
        assert!(is_race(&again.await));
        let outcome =
            stock.store.write(move |conn| allocations::set_outcome(conn, ended.0, ProfileOutcome::Fulfilled));
        assert!(is_race(&outcome.await));
    }

    async fn a_profile_that_left_the_stock_is_not_allocated(db: TestDatabase) {
        let (stock, _) = Stock::of(db, 2).await;
        let (pool, moment) = (stock.pool.clone(), now());
        let refused = stock
            .store
            .write(move |conn| {
                let Claim::Taken(claimed) = allocations::claim(conn, &pool, 1, moment)? else { panic!() };
                let order = new_order("twice");
                orders::insert(conn, &order, &[line_of(&pool, 2)])?;
                let place = |position| NewAllocation {
                    profile: claimed[0].clone(),
                    line_no: 0,
                    position,
                    outcome: ProfileOutcome::Pending,
                };
                allocations::allocate(conn, order.id, &[place(0)], false, moment)?;
                allocations::allocate(conn, order.id, &[place(1)], false, moment)
            })
            .await;
        assert!(is_race(&refused), "{refused:?}");
        // All of it was rolled back.
        assert_eq!(stock.sell(2).await.unwrap().len(), 2);
    }

    async fn an_allocation_keeps_place_outcome_and_reveal(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 3).await;
        let (pool, moment) = (stock.pool.clone(), now());
        let order = new_order("three");
        let id = order.id;
        stock
            .store
            .write(move |conn| {
                let Claim::Taken(claimed) = allocations::claim(conn, &pool, 3, moment)? else { panic!() };
                orders::insert(conn, &order, &[line_of(&pool, 3)])?;
                // Given in another order than they are listed.
                let new: Vec<NewAllocation> = (0i32..)
                    .zip(claimed)
                    .map(|(position, profile)| NewAllocation {
                        profile,
                        line_no: 0,
                        position: 2 - position,
                        outcome: ProfileOutcome::Fulfilled,
                    })
                    .collect();
                allocations::allocate(conn, order.id, &new, true, moment)
            })
            .await
            .unwrap();
        let listed = stock.store.read(move |conn| allocations::of_order(conn, id)).await.unwrap();
        let places: Vec<_> = listed.iter().map(|entry| (entry.position, entry.profile_id)).collect();
        assert_eq!(places, [(0, added[2].id), (1, added[1].id), (2, added[0].id)]);
        assert!(listed.iter().all(|entry| entry.live && entry.outcome == ProfileOutcome::Fulfilled));
        let profile = stock.profile(added[0].id).await;
        // The move and the reveal are two events.
        assert_eq!((profile.revealed_at, profile.version), (Some(moment), 2));
    }

    async fn belonging_follows_the_live_allocation(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 1).await;
        let id = added[0].id;
        let belongs = |channel: &'static str| {
            let store = stock.store.clone();
            async move {
                let channel = crate::support::channel(channel);
                store.read(move |conn| profiles::belongs_to(conn, id, &channel)).await.unwrap()
            }
        };
        assert!(!belongs("shop").await);
        stock.sell(1).await.unwrap();
        assert!(belongs("shop").await && !belongs("other").await);
        stock
            .store
            .write(move |conn| {
                let live = allocations::live_of(conn, id)?.unwrap();
                allocations::end(conn, live.id, ProfileOutcome::Cancelled, now())
            })
            .await
            .unwrap();
        assert!(!belongs("shop").await);
    }
}

/// `tasks` claimers, each of which sells single profiles `rounds` times.
async fn concurrently(stock: &Stock, tasks: usize, rounds: usize) -> Vec<Result<Vec<i64>, u64>> {
    let running: Vec<_> = (0..tasks)
        .map(|_| {
            let (store, pool) = (stock.store.clone(), stock.pool.clone());
            tokio::spawn(async move {
                let mut sold = Vec::new();
                for _ in 0..rounds {
                    let pool = pool.clone();
                    sold.push(store.write(move |conn| sell(conn, &pool, 1, now())).await.unwrap());
                }
                sold
            })
        })
        .collect();
    let mut sold = Vec::new();
    for task in running {
        sold.extend(task.await.unwrap());
    }
    sold
}
