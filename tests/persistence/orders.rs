//! Orders and their references.

use serde_json::json;
use simdepot_domain::order::OrderStatus;
use simdepot_persistence::order_list::{self, OrderFilter};
use simdepot_persistence::orders::{self, Line, Order};
use simdepot_persistence::{Backend, StoreError};
use simdepot_tests::on_both_databases;

use crate::support::{Stock, channel, days, is_race, line_of, new_order, now};

on_both_databases! {
    async fn an_order_comes_back_as_written(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let order = Order { problem: Some(json!({"code": "x"})), reveal: false, ..new_order("ref-1") };
        let lines = vec![
            line_of(&stock.pool, 2),
            Line {
                line_no: 1,
                product: Some("FRANCE".to_owned()),
                carrier_parameters: Some(json!({"imei": null})),
                ..line_of(&stock.pool, 1)
            },
        ];
        let (written, its_lines) = (order.clone(), lines.clone());
        assert!(stock.store.write(move |conn| orders::insert(conn, &written, &its_lines)).await.unwrap());
        let id = order.id;
        let (by_id, by_reference, stored_lines) = stock
            .store
            .read(move |conn| {
                Ok::<_, StoreError>((
                    orders::find(conn, id)?,
                    orders::find_by_reference(conn, &channel("shop"), "ref-1")?,
                    orders::lines(conn, id)?,
                ))
            })
            .await
            .unwrap();
        assert_eq!((by_id.as_ref(), by_reference.as_ref()), (Some(&order), Some(&order)));
        assert_eq!(stored_lines, lines);
        let elsewhere = stock.store.read(|conn| orders::find_by_reference(conn, &channel("other"), "ref-1"));
        assert_eq!(elsewhere.await.unwrap(), None);
    }

    async fn a_reference_is_taken_once_per_channel(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let pool = stock.pool.clone();
        let again = stock.store.write(move |conn| {
            let first = orders::insert(conn, &new_order("ref"), &[line_of(&pool, 1)])?;
            let second = orders::insert(conn, &new_order("ref"), &[line_of(&pool, 1)])?;
            let other = Order { channel: channel("other"), ..new_order("ref") };
            Ok::<_, StoreError>((first, second, orders::insert(conn, &other, &[line_of(&pool, 1)])?))
        });
        assert_eq!(again.await.unwrap(), (true, false, true));
        // The refused one has left no lines behind.
        assert_eq!(stock.db.raw().number("SELECT COUNT(*) AS value FROM order_lines"), 2);
    }

    async fn of_many_at_once_one_takes_the_reference(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let races: Vec<_> = (0..16)
            .map(|_| {
                let (store, pool) = (stock.store.clone(), stock.pool.clone());
                tokio::spawn(async move {
                    store
                        .write(move |conn| {
                            let order = new_order("ref");
                            let taken = orders::insert(conn, &order, &[line_of(&pool, 1)])?;
                            // Who comes second sees the first one at once: it has waited for its end.
                            let holder = orders::find_by_reference(conn, &channel("shop"), "ref")?;
                            Ok::<_, StoreError>((taken, holder.map(|holder| holder.id), order.id))
                        })
                        .await
                        .unwrap()
                })
            })
            .collect();
        let mut holders = std::collections::BTreeSet::new();
        let mut taken = 0;
        for race in races {
            let (was_taken, holder, id) = race.await.unwrap();
            taken += usize::from(was_taken);
            assert_eq!(was_taken, holder == Some(id));
            holders.insert(holder.unwrap());
        }
        assert_eq!((taken, holders.len()), (1, 1));
    }

    async fn a_status_moves_from_the_version_that_was_read(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let order = new_order("ref");
        let (written, pool) = (order.clone(), stock.pool.clone());
        stock.store.write(move |conn| orders::insert(conn, &written, &[line_of(&pool, 1)])).await.unwrap();
        let problem = json!({"code": "PRODUCT_NOT_FOUND"});
        let moved = order.clone();
        let version = stock
            .store
            .write(move |conn| {
                orders::set_status(conn, &moved, OrderStatus::Failed, Some(&problem), now() + days(1))
            })
            .await
            .unwrap();
        assert_eq!(version, 2);
        let id = order.id;
        let read = stock.store.write(move |conn| orders::lock(conn, id)).await.unwrap();
        assert_eq!((read.status, read.version), (OrderStatus::Failed, 2));
        assert_eq!(read.problem, Some(json!({"code": "PRODUCT_NOT_FOUND"})));
        assert!(read.updated_at > order.updated_at && read.created_at == order.created_at);
        let stale = stock
            .store
            .write(move |conn| orders::set_status(conn, &order, OrderStatus::Fulfilled, None, now()));
        assert!(is_race(&stale.await));
    }

    async fn lists_are_filtered_and_paged_newest_first(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let mut ids = Vec::new();
        for number in 0..5 {
            let order = Order {
                status: if number == 3 { OrderStatus::Failed } else { OrderStatus::InProgress },
                channel: channel(if number == 4 { "other" } else { "shop" }),
                created_at: now() + days(number),
                ..new_order(&format!("ref-{number}"))
            };
            ids.push(order.id);
            let pool = stock.pool.clone();
            stock.store.write(move |conn| orders::insert(conn, &order, &[line_of(&pool, 1)])).await.unwrap();
        }
        let list = |filter: OrderFilter, limit| {
            let store = stock.store.clone();
            async move {
                let page = store.read(move |conn| order_list::list(conn, &filter, limit)).await.unwrap();
                page.into_iter().map(|order| order.id).collect::<Vec<_>>()
            }
        };
        let shop = || OrderFilter::of(channel("shop"));
        assert_eq!(list(shop(), 10).await, [ids[3], ids[2], ids[1], ids[0]]);
        assert_eq!(list(OrderFilter::of(channel("other")), 10).await, [ids[4]]);
        assert_eq!(list(shop(), 2).await, [ids[3], ids[2]]);
        assert_eq!(list(OrderFilter { before: Some(ids[2]), ..shop() }, 2).await, [ids[1], ids[0]]);
        assert_eq!(list(OrderFilter { reference: Some("ref-1".to_owned()), ..shop() }, 9).await, [ids[1]]);
        assert_eq!(list(OrderFilter { status: Some(OrderStatus::Failed), ..shop() }, 9).await, [ids[3]]);
        let after = OrderFilter { created_after: Some(now() + days(2)), ..shop() };
        assert_eq!(list(after, 9).await, [ids[3]]);
    }

    /// Of two transactions that change an order, the second sees what the first did.
    async fn a_lock_is_held_to_the_end(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let order = new_order("ref");
        let (id, pool, written) = (order.id, stock.pool.clone(), order);
        stock.store.write(move |conn| orders::insert(conn, &written, &[line_of(&pool, 1)])).await.unwrap();
        let changes: Vec<_> = (0..10)
            .map(|_| {
                let store = stock.store.clone();
                tokio::spawn(async move {
                    store
                        .write(move |conn| {
                            let order = orders::lock(conn, id)?;
                            std::thread::sleep(std::time::Duration::from_millis(5));
                            orders::set_status(conn, &order, order.status, None, now())
                        })
                        .await
                })
            })
            .collect();
        for change in changes {
            change.await.unwrap().unwrap();
        }
        let read = stock.store.read(move |conn| orders::find(conn, id)).await.unwrap().unwrap();
        assert_eq!(read.version, 11);
    }

    async fn an_order_line_needs_a_quantity(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let pool = stock.pool.clone();
        let refused =
            stock.store.write(move |conn| orders::insert(conn, &new_order("ref"), &[line_of(&pool, 0)]));
        let refused = refused.await.unwrap_err();
        let what = match stock.db.backend() {
            Backend::Postgres => "order_lines_quantity_check",
            Backend::Sqlite => "CHECK constraint failed",
        };
        assert!(refused.to_string().contains(what), "{refused}");
    }
}
