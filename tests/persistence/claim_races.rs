//! Claims that meet: held open on purpose, so that who waits for whom is certain.
//!
//! On PostgreSQL alone: SQLite has one writer, so no two claims ever meet.

use std::sync::mpsc;
use std::time::Duration;

use simdepot_persistence::{StoreError, orders};
use simdepot_tests::on_postgres;

use crate::support::{
    Ask, Stock, add_profiles, asked, line_of, make_pool, new_order, new_profile, now, sell,
};

/// Ends a claim that is held open.
enum End {
    Commit,
    RollBack,
}

/// Claims `quantity` and holds the transaction open until told how to end it.
async fn hold_open(
    stock: &Stock,
    quantity: u32,
) -> (mpsc::Sender<End>, tokio::task::JoinHandle<Result<(), StoreError>>) {
    let (claimed, is_claimed) = tokio::sync::oneshot::channel();
    let (end, ended) = mpsc::channel();
    let (store, pool) = (stock.store.clone(), stock.pool.clone());
    let holder = tokio::spawn(async move {
        store
            .write(move |conn| {
                let sold = sell(conn, &pool, quantity, now())?;
                assert!(sold.is_ok());
                claimed.send(()).unwrap();
                match ended.recv_timeout(Duration::from_secs(20)) {
                    Ok(End::Commit) => Ok(()),
                    Ok(End::RollBack) => Err(StoreError::Busy),
                    Err(error) => panic!("nobody ended the claim: {error}"),
                }
            })
            .await
    });
    is_claimed.await.unwrap();
    (end, holder)
}

on_postgres! {
    /// What another claim holds is neither sold nor gone: a claim that needs it waits, and gets it when the other
    /// one gives up.
    async fn a_claim_waits_for_what_another_one_gives_back(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 3).await;
        let (end, holder) = hold_open(&stock, 2).await;
        let second = {
            let (store, pool) = (stock.store.clone(), stock.pool.clone());
            tokio::spawn(async move { store.write(move |conn| sell(conn, &pool, 2, now())).await.unwrap() })
        };
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!second.is_finished(), "the second claim must wait for the first one's end");
        end.send(End::RollBack).unwrap();
        assert!(holder.await.unwrap().is_err());
        // From the start again: what was given back comes first.
        assert_eq!(second.await.unwrap(), Ok(vec![added[0].id, added[1].id]));
    }

    /// The stock has not ended where another claim holds the last ones.
    async fn what_is_given_back_at_the_end_of_the_stock_is_found(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 2).await;
        let (end, holder) = hold_open(&stock, 2).await;
        for _ in 0..3 {
            assert_eq!(asked(&stock.store, &stock.pool, Ask::InABatch).await, [0i64; 0]);
        }
        let (store, pool) = (stock.store.clone(), stock.pool.clone());
        let waiting = tokio::spawn(async move { asked(&store, &pool, Ask::Aside).await });
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!waiting.is_finished(), "it must wait for the first one's end");
        end.send(End::RollBack).unwrap();
        assert!(holder.await.unwrap().is_err());
        assert_eq!(waiting.await.unwrap(), [added[0].id]);
        assert_eq!(asked(&stock.store, &stock.pool, Ask::InABatch).await, [added[0].id]);
    }

    /// More came on sale than anybody keeps a list of.
    async fn a_process_that_missed_much_looks_from_the_start(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 4).await;
        let other = stock.db.store();
        stock.take_aside(added[0].id).await;
        assert_eq!(asked(&other, &stock.pool, Ask::InABatch).await, [added[1].id]);
        stock.put_back(added[0].id).await;
        let many = "INSERT INTO restocks SELECT pool_id, number + n, timestamptz '2090-01-01', 1, 1 \
                    FROM (SELECT * FROM restocks ORDER BY number DESC LIMIT 1) AS newest, generate_series(1, 1024) AS n; \
                    DELETE FROM restocks WHERE number <= (SELECT MAX(number) - 1024 FROM restocks)";
        stock.db.raw().execute(many);
        assert_eq!(asked(&other, &stock.pool, Ask::InABatch).await, [added[0].id]);
        // The next one removes exactly the oldest.
        stock.take_aside(added[3].id).await;
        stock.put_back(added[3].id).await;
        let rows = stock.db.raw().number("SELECT COUNT(*) AS value FROM restocks");
        assert_eq!(rows, 1024);
        assert_eq!(asked(&other, &stock.pool, Ask::InABatch).await, [added[0].id]);
    }

    async fn a_claim_that_waited_for_a_sale_is_out_of_stock(db: TestDatabase) {
        let (stock, _) = Stock::of(db, 3).await;
        let (end, holder) = hold_open(&stock, 2).await;
        let second = {
            let (store, pool) = (stock.store.clone(), stock.pool.clone());
            tokio::spawn(async move { store.write(move |conn| sell(conn, &pool, 2, now())).await.unwrap() })
        };
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!second.is_finished());
        end.send(End::Commit).unwrap();
        holder.await.unwrap().unwrap();
        assert_eq!(second.await.unwrap(), Err(1));
    }

    /// What is free is sold at once, whoever holds the rest.
    async fn a_claim_passes_over_locked_rows_when_others_suffice(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 4).await;
        let (end, holder) = hold_open(&stock, 2).await;
        let taken = tokio::time::timeout(Duration::from_secs(5), stock.sell(2)).await.unwrap();
        assert_eq!(taken, Ok(vec![added[2].id, added[3].id]));
        end.send(End::RollBack).unwrap();
        assert!(holder.await.unwrap().is_err());
        assert_eq!(stock.sell(2).await, Ok(vec![added[0].id, added[1].id]));
    }

    /// A claim that waits for more than is free holds nothing meanwhile: smaller ones go on selling.
    async fn a_claim_that_waits_holds_nothing(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 10).await;
        let (end, holder) = hold_open(&stock, 2).await;
        let large = {
            let (store, pool) = (stock.store.clone(), stock.pool.clone());
            tokio::spawn(async move { store.write(move |conn| sell(conn, &pool, 9, now())).await.unwrap() })
        };
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!large.is_finished());
        let small = tokio::time::timeout(Duration::from_secs(5), stock.sell(1)).await;
        assert_eq!(small.unwrap(), Ok(vec![added[2].id]));
        end.send(End::RollBack).unwrap();
        assert!(holder.await.unwrap().is_err());
        let taken = large.await.unwrap().unwrap();
        assert_eq!((taken.len(), taken.contains(&added[2].id)), (9, false));
    }

    /// Two claims that each hold a part of what both need must not wait for each other.
    async fn claims_that_need_each_others_rows_do_not_deadlock(db: TestDatabase) {
        let (stock, _) = Stock::of(db, 10).await;
        for _ in 0..20 {
            let sales: Vec<_> = (0..8)
                .map(|_| {
                    let (store, pool) = (stock.store.clone(), stock.pool.clone());
                    tokio::spawn(async move {
                        store
                            .write(move |conn| {
                                let sold = sell(conn, &pool, 6, now())?;
                                // Everything is given back, so that the next round finds ten again.
                                Err::<(), _>(if sold.is_ok() {
                                    StoreError::Busy
                                } else {
                                    StoreError::Aborted("false out of stock".to_owned())
                                })
                            })
                            .await
                    })
                })
                .collect();
            for sale in sales {
                let error = sale.await.unwrap().unwrap_err();
                assert!(matches!(error, StoreError::Busy), "{error}");
            }
        }
    }

    async fn orders_over_two_pools_do_not_deadlock(db: TestDatabase) {
        let (stock, _) = Stock::of(db, 40).await;
        let second = make_pool(&stock.store, "second", 0).await;
        add_profiles(&stock.store, &second, &stock.import, (0..40).map(|_| new_profile()).collect()).await;
        let sales: Vec<_> = (0..20)
            .map(|_| {
                let (store, first, second) = (stock.store.clone(), stock.pool.clone(), second.clone());
                tokio::spawn(async move {
                    store
                        .write(move |conn| {
                            let one = sell(conn, &first, 2, now())?;
                            let other = sell(conn, &second, 2, now())?;
                            Ok::<_, StoreError>((one, other))
                        })
                        .await
                })
            })
            .collect();
        for sale in sales {
            let (one, other) = sale.await.unwrap().unwrap();
            assert!(one.is_ok() && other.is_ok());
        }
        assert_eq!(stock.sell(1).await, Err(0));
    }

    /// The index refuses a second live allocation that comes at the same time.
    async fn two_live_allocations_at_once_are_one(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 1).await;
        let (end, holder) = hold_open(&stock, 1).await;
        let order = new_order("other");
        let (order_id, pool, profile) = (order.id, stock.pool.clone(), added[0].clone());
        stock.store.write(move |conn| orders::insert(conn, &order, &[line_of(&pool, 1)])).await.unwrap();
        let (raw_id, row) = (order_id.0, profile.id);
        let mut raw = stock.db.raw();
        let direct = tokio::task::spawn_blocking(move || {
            raw.try_execute(&format!(
                "INSERT INTO allocations (profile_id, order_id, line_no, position, outcome, created_at) \
             VALUES ({row}, '{raw_id}', 0, 0, 'pending', now())"
            ))
        });
        tokio::time::sleep(Duration::from_millis(200)).await;
        end.send(End::Commit).unwrap();
        holder.await.unwrap().unwrap();
        let refused = direct.await.unwrap().unwrap_err();
        assert!(refused.contains("allocations_one_live"), "{refused}");
    }
}
