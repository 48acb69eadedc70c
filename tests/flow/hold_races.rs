//! Holds that meet orders, deadlines and each other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use simdepot_application::holds::{self, NewHold};
use simdepot_application::orders::{self, PlacedAs};
use simdepot_application::{AppError, pools};
use simdepot_domain::hold::{HoldStatus, MAX_HELD};
use simdepot_domain::id::HoldId;
use simdepot_tests::depot::{order_of, pool_settings, storefront};
use simdepot_tests::{TestDepot, on_both_databases};

use crate::holds::{hold, let_deadlines_pass, order_out_of, read, set_deadlines};

fn asked(quantity: u32) -> NewHold {
    NewHold { pool: pool_settings().pool, quantity, ttl_seconds: 600 }
}

async fn available(test: &TestDepot) -> u64 {
    pools::availability(&test.depot, pool_settings().pool).await.unwrap()
}

/// Spreads the deadlines of the active holds: the first has passed, the next ones come within the second, the last one
/// in a minute.
async fn spread_deadlines(test: &TestDepot) {
    let now = test.depot.store.now().await.unwrap();
    set_deadlines(test, |place| now + TimeDelta::milliseconds(i64::from(place).pow(3))).await;
}

on_both_databases! {
    async fn of_fifty_orders_out_of_one_hold_one_is_taken(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(5).await;
        let id = hold(&test, 2).await;
        let requests: Vec<_> = (0..50)
            .map(|number| {
                let depot = test.depot.clone();
                tokio::spawn(async move {
                    let asked = order_out_of(id, &format!("ref-{number}"), 2);
                    orders::place(&depot, &storefront("default"), asked, None, Duration::ZERO).await
                })
            })
            .collect();
        let mut taken = Vec::new();
        for request in requests {
            match request.await.unwrap() {
                Ok(placed) => taken.push(placed.order.order.id),
                Err(AppError::InvalidTransition { from, .. }) => assert_eq!(from, "converted"),
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!((taken.len(), available(&test).await), (1, 3));
        assert_eq!(read(&test, id).await.hold.order, Some(taken[0]));
        test.finish().await;
    }

    async fn of_fifty_requests_of_one_order_out_of_a_hold_one_makes_it(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(5).await;
        let id = hold(&test, 2).await;
        let requests: Vec<_> = (0..50)
            .map(|_| {
                let depot = test.depot.clone();
                tokio::spawn(async move {
                    let asked = order_out_of(id, "ref-1", 2);
                    orders::place(&depot, &storefront("default"), asked, None, Duration::ZERO).await.unwrap()
                })
            })
            .collect();
        let (mut ids, mut created) = (BTreeSet::new(), 0);
        for request in requests {
            let placed = request.await.unwrap();
            ids.insert(placed.order.order.id);
            created += usize::from(placed.placed_as == PlacedAs::Created);
        }
        assert_eq!((ids.len(), created, available(&test).await), (1, 1, 3));
        test.finish().await;
    }

    /// The deadlines come while the orders do, and two processes sweep: each hold ends one way.
    async fn an_expiry_and_an_order_do_not_both_have_a_hold(db: TestDatabase) {
        const HOLDS: u32 = 40;
        let test = TestDepot::start(db).await;
        test.deliver(HOLDS).await;
        let mut ids = Vec::new();
        for _ in 0..HOLDS {
            ids.push(hold(&test, 1).await);
        }
        spread_deadlines(&test).await;
        let served = Arc::new(AtomicBool::new(false));
        let sweepers: Vec<_> = [test.depot.clone(), test.restarted()]
            .into_iter()
            .map(|depot| {
                let served = Arc::clone(&served);
                tokio::spawn(async move {
                    while !served.load(Ordering::SeqCst) {
                        holds::step(&depot).await.unwrap();
                    }
                })
            })
            .collect();
        let customers: Vec<_> = ids
            .iter()
            .map(|id| {
                let (depot, id) = (test.depot.clone(), *id);
                tokio::spawn(async move {
                    let asked = order_out_of(id, &id.to_string(), 1);
                    let placed =
                        orders::place(&depot, &storefront("default"), asked, None, Duration::ZERO).await;
                    match placed {
                        Ok(placed) => Some(placed.order.order.id),
                        Err(AppError::HoldExpired { .. }) => None,
                        Err(other) => panic!("{other:?}"),
                    }
                })
            })
            .collect();
        let mut orders = Vec::new();
        for customer in customers {
            orders.push(customer.await.unwrap());
        }
        served.store(true, Ordering::SeqCst);
        for sweeper in sweepers {
            sweeper.await.unwrap();
        }
        holds::step(&test.depot).await.unwrap();
        for (id, order) in ids.into_iter().zip(&orders) {
            let seen = read(&test, id).await.hold;
            let expected = if order.is_some() { HoldStatus::Converted } else { HoldStatus::Expired };
            assert_eq!((seen.status, seen.order, seen.version), (expected, *order, 3));
        }
        let sold = u64::try_from(orders.iter().flatten().count()).unwrap();
        assert!((1..u64::from(HOLDS)).contains(&sold), "{sold}");
        assert_eq!(available(&test).await, u64::from(HOLDS) - sold);
        test.finish().await;
    }

    async fn of_many_holds_of_the_last_profile_one_is_made(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        for round in 0..5 {
            test.deliver(1).await;
            let requests: Vec<_> = (0..16)
                .map(|number| {
                    let depot = test.depot.clone();
                    let channel = format!("channel-{}", number % 3);
                    tokio::spawn(async move { holds::create(&depot, &storefront(&channel), asked(1), None).await })
                })
                .collect();
            let mut made = 0;
            for request in requests {
                match request.await.unwrap() {
                    Ok(_) => made += 1,
                    Err(AppError::OutOfStock { requested: 1, available: 0, .. }) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
            assert_eq!(made, 1, "round {round}");
        }
        test.finish().await;
    }

    /// Holds, orders and orders out of holds share a pool: nothing is oversold, and nobody hears "sold out" too early.
    async fn holds_and_orders_share_a_pool(db: TestDatabase) {
        const STOCK: u32 = 60;
        let test = TestDepot::start(db).await;
        test.deliver(STOCK).await;
        let requests: Vec<_> = (0..90u32)
            .map(|number| {
                let depot = test.depot.clone();
                tokio::spawn(async move {
                    let (caller, reference) = (storefront("default"), format!("ref-{number}"));
                    let place = |asked| orders::place(&depot, &caller, asked, None, Duration::ZERO);
                    let taken = match number % 3 {
                        0 => place(order_of(&reference, 1, None)).await.map(|_| 1),
                        1 => holds::create(&depot, &caller, asked(1), None).await.map(|_| 1),
                        _ => match holds::create(&depot, &caller, asked(1), None).await {
                            Ok((made, _)) => {
                                let sold = place(order_out_of(made.hold.id, &reference, 1)).await;
                                // What is held is sold.
                                Ok(sold.map(|_| 1).unwrap())
                            }
                            Err(error) => Err(error),
                        },
                    };
                    match taken {
                        Ok(taken) => taken,
                        Err(AppError::OutOfStock { available: 0, .. }) => 0,
                        Err(other) => panic!("{other:?}"),
                    }
                })
            })
            .collect();
        let mut taken = 0;
        for request in requests {
            taken += request.await.unwrap();
        }
        assert_eq!((taken, available(&test).await), (STOCK, 0));
        test.finish().await;
    }

    async fn a_channel_holds_no_more_than_its_cap(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(MAX_HELD + 100).await;
        let requests: Vec<_> = (0..8)
            .map(|_| {
                let depot = test.depot.clone();
                tokio::spawn(async move { holds::create(&depot, &storefront("default"), asked(250), None).await })
            })
            .collect();
        let mut made: Vec<HoldId> = Vec::new();
        for request in requests {
            match request.await.unwrap() {
                Ok((view, _)) => made.push(view.hold.id),
                Err(AppError::Invalid(errors)) => {
                    assert_eq!((errors[0].pointer.as_str(), errors[0].code), ("/quantity", "limit"));
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!((made.len(), available(&test).await), (4, 100));
        let over = holds::create(&test.depot, &storefront("default"), asked(1), None).await.unwrap_err();
        assert!(matches!(over, AppError::Invalid(_)), "{over:?}");
        // Another channel has its own; what is given back or past its deadline does not count.
        holds::create(&test.depot, &storefront("other"), asked(50), None).await.unwrap();
        holds::release(&test.depot, &storefront("default"), made[0]).await.unwrap();
        holds::create(&test.depot, &storefront("default"), asked(250), None).await.unwrap();
        let_deadlines_pass(&test).await;
        holds::create(&test.depot, &storefront("default"), asked(50), None).await.unwrap();
        assert!(holds::step(&test.depot).await.unwrap());
        // The other channel keeps its own.
        assert_eq!(available(&test).await, u64::from(MAX_HELD));
        test.finish().await;
    }
}
