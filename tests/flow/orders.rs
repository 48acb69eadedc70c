//! Orders: taken once, fulfilled once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use simdepot_application::AppError;
use simdepot_application::orders::{self, ListOrders, PlaceOrder, PlacedAs};
use simdepot_application::pools::{self, PoolChange};
use simdepot_carrier_twin::orders::OrderType as SentAs;
use simdepot_domain::bundle::{BundleStatus, OrderType};
use simdepot_domain::channel::PoolName;
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::order::{OrderStatus, ProfileOutcome};
use simdepot_domain::stock::StockStatus;
use simdepot_tests::depot::{
    OTHER_PRODUCT, POOL, PRODUCT, idempotency_key, order_of, pool_settings, profiles_of, stock_keeper,
    storefront,
};
use simdepot_tests::{TestDepot, on_both_databases};

on_both_databases! {
    async fn an_order_of_two_preloads_exactly_two(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(3).await;
        let placed = test.order_with_product("ref-1", 2).await.unwrap();
        assert_eq!(
            (placed.placed_as, placed.order.order.status),
            (PlacedAs::Created, OrderStatus::InProgress)
        );
        // Nothing is shown before the carrier has taken it.
        assert!(placed.order.lines[0].profiles.iter().all(|entry| entry.activation.is_none()));
        assert_eq!(test.order_requests(), 0);
        test.work_until_idle().await;

        let id = placed.order.order.id;
        let order = orders::get(&test.depot, &storefront("default"), id, true).await.unwrap();
        assert_eq!(order.order.status, OrderStatus::Fulfilled);
        let sent = test.carrier_orders();
        assert_eq!((sent.len(), test.order_requests()), (2, 2));
        assert!(sent.iter().all(|sent| sent.order_type == SentAs::Preload && sent.product == PRODUCT));
        let by_msisdn: BTreeMap<&str, _> = sent.iter().map(|sent| (sent.msisdn.as_str(), sent)).collect();
        for (entry, line) in order.lines[0].profiles.iter().zip(&lines) {
            assert_eq!((&entry.profile.iccid, entry.outcome), (&line.iccid, ProfileOutcome::Fulfilled));
            assert_eq!(entry.profile.stock_status, StockStatus::Allocated);
            assert_eq!(entry.activation, line.activation_code);
            let sent = by_msisdn[line.msisdn()];
            let placed = entry.bundle.as_ref().unwrap();
            let (bundle, operation) = (&placed.bundle, placed.operation.as_ref().unwrap());
            assert_eq!(
                (bundle.status, bundle.order_type),
                (BundleStatus::Preloaded, Some(OrderType::Preload))
            );
            assert_eq!(bundle.subscription_id.as_ref(), Some(&sent.subscription_id));
            assert_eq!((operation.status, operation.attempts), (OperationStatus::Done, 1));
            assert_eq!(sent.transaction_reference, Some(operation.id.to_string()));
        }
        assert_eq!(test.work_until_idle().await, 0);
        test.finish().await;
    }

    async fn an_order_without_product_is_fulfilled_at_once(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(2).await;
        let placed = test.order("ref-1", 2).await.unwrap().order;
        assert_eq!(placed.order.status, OrderStatus::Fulfilled);
        for (entry, line) in placed.lines[0].profiles.iter().zip(&lines) {
            assert_eq!(
                (&entry.activation, entry.outcome),
                (&line.activation_code, ProfileOutcome::Fulfilled)
            );
            assert!(entry.profile.revealed_at.is_some() && entry.bundle.is_none());
        }
        let quiet = PlaceOrder { reveal: false, ..order_of("ref-2", 1, None) };
        test.deliver(1).await;
        let placed = test.place(quiet).await.unwrap().order;
        assert!(placed.lines[0].profiles[0].activation.is_none());
        assert_eq!(placed.lines[0].profiles[0].profile.revealed_at, None);
        assert_eq!(test.order_requests(), 0);
        test.finish().await;
    }

    async fn the_request_waits_for_the_carrier(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(1).await;
        let worker = test.worker();
        let (caller, asked) = (storefront("default"), order_of("ref-1", 1, Some(PRODUCT)));
        let placed = orders::place(&test.depot, &caller, asked, None, Duration::from_secs(10)).await.unwrap();
        drop(worker);
        assert_eq!(placed.order.order.status, OrderStatus::Fulfilled);
        assert_eq!(placed.order.lines[0].profiles[0].activation, lines[0].activation_code);
        test.finish().await;
    }

    /// 40 clients ask for 360 single profiles of a pool of 298.
    async fn forty_clients_share_298_profiles(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(298).await;
        let clients: Vec<_> = (0..40)
            .map(|client| {
                let depot = test.depot.clone();
                tokio::spawn(async move {
                    let (mut iccids, mut sold_out) = (Vec::new(), 0);
                    for number in 0..9 {
                        let asked = order_of(&format!("ref-{client}-{number}"), 1, None);
                        match orders::place(&depot, &storefront("default"), asked, None, Duration::ZERO).await
                        {
                            Ok(placed) => {
                                assert_eq!(placed.order.order.status, OrderStatus::Fulfilled);
                                iccids.extend(
                                    profiles_of(&placed.order).into_iter().map(|profile| profile.iccid),
                                );
                            }
                            Err(AppError::OutOfStock { requested: 1, available: 0, .. }) => sold_out += 1,
                            Err(other) => panic!("neither sold nor out of stock: {other:?}"),
                        }
                    }
                    (iccids, sold_out)
                })
            })
            .collect();
        let (mut iccids, mut sold_out) = (Vec::new(), 0);
        for client in clients {
            let (its_own, refused) = client.await.unwrap();
            iccids.extend(its_own);
            sold_out += refused;
        }
        let distinct: BTreeSet<_> = iccids.iter().map(ToString::to_string).collect();
        assert_eq!((iccids.len(), distinct.len(), sold_out), (298, 298, 62));
        assert_eq!(pools::availability(&test.depot, pool_settings().pool).await.unwrap(), 0);
        test.finish().await;
    }

    /// Workers of several processes share one queue; the carrier sees each operation once.
    async fn several_workers_send_each_operation_once(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(40).await;
        for number in 0..10 {
            test.order_with_product(&format!("ref-{number}"), 3).await.unwrap();
        }
        let other = test.restarted();
        let workers: Vec<_> = (0..6)
            .map(|number| {
                let depot = if number % 2 == 0 { test.depot.clone() } else { other.clone() };
                tokio::spawn(async move { simdepot_tests::depot::work_until_idle(&depot).await })
            })
            .collect();
        for worker in workers {
            worker.await.unwrap();
        }
        test.work_until_settled().await;
        let msisdns: BTreeSet<String> = test.carrier_orders().into_iter().map(|sent| sent.msisdn).collect();
        assert_eq!((test.order_requests(), msisdns.len()), (30, 30));
        let asked = ListOrders { status: Some(OrderStatus::Fulfilled), ..ListOrders::default() };
        assert_eq!(orders::list(&test.depot, &storefront("default"), asked, 100).await.unwrap().len(), 10);
        test.finish().await;
    }

    async fn the_same_reference_again_sends_nothing(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(5).await;
        let first = test.order_with_product("ref-1", 2).await.unwrap().order;
        let early = test.order_with_product("ref-1", 2).await.unwrap();
        assert_eq!((early.placed_as, early.order.order.id), (PlacedAs::Repeated, first.order.id));
        test.work_until_idle().await;
        let late = test.order_with_product("ref-1", 2).await.unwrap();
        assert_eq!((late.placed_as, late.order.order.id), (PlacedAs::Repeated, first.order.id));
        assert_eq!(late.order.order.status, OrderStatus::Fulfilled);
        test.work_until_idle().await;
        assert_eq!((test.order_requests(), test.operations(None).await.len()), (2, 2));
        for changed in [
            order_of("ref-1", 1, Some(PRODUCT)),
            order_of("ref-1", 2, Some(OTHER_PRODUCT)),
            order_of("ref-1", 2, None),
        ] {
            match test.place(changed).await {
                Err(AppError::ReferenceConflict { reference, existing }) => {
                    assert_eq!((reference.as_str(), existing), ("ref-1", first.order.id.to_string()));
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(pools::availability(&test.depot, pool_settings().pool).await.unwrap(), 3);
        // A reference is the channel's own.
        let other = storefront("other");
        let elsewhere = orders::place(&test.depot, &other, order_of("ref-1", 1, None), None, Duration::ZERO);
        assert_eq!(elsewhere.await.unwrap().placed_as, PlacedAs::Created);
        test.finish().await;
    }

    async fn sixteen_at_once_with_one_reference_are_one_order(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(20).await;
        let requests: Vec<_> = (0..16)
            .map(|_| {
                let depot = test.depot.clone();
                tokio::spawn(async move {
                    let asked = order_of("ref-1", 1, Some(PRODUCT));
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
        assert_eq!((ids.len(), created), (1, 1));
        test.work_until_idle().await;
        assert_eq!(test.order_requests(), 1);
        assert_eq!(pools::availability(&test.depot, pool_settings().pool).await.unwrap(), 19);
        test.finish().await;
    }

    async fn sixteen_at_once_with_one_idempotency_key_are_one_order(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(20).await;
        let caller = storefront("default");
        let requests: Vec<_> = (0..16)
            .map(|_| {
                let (depot, caller) = (test.depot.clone(), caller.clone());
                tokio::spawn(async move {
                    let key = idempotency_key("key-1", "body");
                    let asked = order_of("ref-1", 2, None);
                    orders::place(&depot, &caller, asked, Some(&key), Duration::ZERO).await.unwrap()
                })
            })
            .collect();
        let (mut ids, mut created) = (BTreeSet::new(), 0);
        for request in requests {
            let placed = request.await.unwrap();
            ids.insert(placed.order.order.id);
            created += usize::from(placed.placed_as == PlacedAs::Created);
        }
        assert_eq!((ids.len(), created), (1, 1));
        assert_eq!(pools::availability(&test.depot, pool_settings().pool).await.unwrap(), 18);

        let with_key = |key: &'static str, body: &'static str, asked: PlaceOrder| {
            let (depot, caller) = (test.depot.clone(), caller.clone());
            async move {
                let key = idempotency_key(key, body);
                orders::place(&depot, &caller, asked, Some(&key), Duration::ZERO).await
            }
        };
        let replayed = with_key("key-1", "body", order_of("ref-1", 2, None)).await.unwrap();
        assert_eq!(replayed.placed_as, PlacedAs::Replayed);
        // The answer is rendered again, the codes with it.
        assert!(replayed.order.lines[0].profiles.iter().all(|entry| entry.activation.is_some()));
        let reused = with_key("key-1", "another body", order_of("ref-2", 1, None)).await;
        assert!(matches!(reused, Err(AppError::IdempotencyKeyReused)), "{reused:?}");
        // Another key on a used reference makes nothing, now and when it is repeated.
        for _ in 0..2 {
            let repeated = with_key("key-2", "body", order_of("ref-1", 2, None)).await.unwrap();
            assert_eq!(Some(&repeated.order.order.id), ids.first());
        }
        // What failed has not used its key up.
        let sold_out = with_key("key-3", "many", order_of("ref-3", 500, None)).await;
        assert!(matches!(sold_out, Err(AppError::OutOfStock { .. })));
        test.deliver(482).await;
        assert_eq!(
            with_key("key-3", "many", order_of("ref-3", 500, None)).await.unwrap().placed_as,
            PlacedAs::Created
        );
        test.finish().await;
    }

    /// All or nothing over all lines, demand summed per pool.
    async fn lines_are_taken_together(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let mut second = pool_settings();
        second.pool = PoolName::parse("second").unwrap();
        pools::create(&test.depot, &stock_keeper("default"), second, None).await.unwrap();
        test.deliver(5).await;
        let mut asked = order_of("ref-1", 3, None);
        asked.lines.push(asked.lines[0].clone());
        let refused = test.place(asked.clone()).await.unwrap_err();
        assert!(
            matches!(&refused, AppError::OutOfStock { pool, requested: 6, available: 5 } if pool == POOL),
            "{refused:?}"
        );
        asked.lines[1].pool = PoolName::parse("second").unwrap();
        let refused = test.place(asked.clone()).await.unwrap_err();
        assert!(matches!(&refused, AppError::OutOfStock { pool, available: 0, .. } if pool == "second"));
        assert_eq!(pools::availability(&test.depot, pool_settings().pool).await.unwrap(), 5);
        asked.lines[1].pool = pool_settings().pool;
        asked.lines[1].quantity = 2;
        asked.lines[1].product = Some(PRODUCT.to_owned());
        // The reference is free: what was refused has not used it up.
        let placed = test.place(asked).await.unwrap().order;
        assert_eq!(placed.order.status, OrderStatus::InProgress);
        test.work_until_idle().await;
        let order = test.read_order(placed.order.id).await;
        assert_eq!(order.order.status, OrderStatus::Fulfilled);
        let quantities: Vec<_> = order.lines.iter().map(|line| line.profiles.len()).collect();
        assert_eq!((quantities, test.order_requests()), (vec![3, 2], 2));
        test.finish().await;
    }

    async fn a_dry_run_leaves_nothing(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(2).await;
        let dry = |quantity| PlaceOrder { dry_run: true, ..order_of("ref-1", quantity, Some(PRODUCT)) };
        let tried = test.place(dry(2)).await.unwrap();
        assert_eq!((tried.placed_as, tried.order.lines[0].profiles.len()), (PlacedAs::DryRun, 2));
        assert!(tried.order.lines[0].profiles.iter().all(|entry| entry.activation.is_none()));
        assert!(matches!(test.place(dry(3)).await, Err(AppError::OutOfStock { available: 2, .. })));
        assert!(test.operations(None).await.is_empty());
        let caller = storefront("default");
        assert!(orders::list(&test.depot, &caller, ListOrders::default(), 10).await.unwrap().is_empty());
        assert_eq!(test.order("ref-1", 2).await.unwrap().placed_as, PlacedAs::Created);
        test.finish().await;
    }

    async fn what_cannot_be_ordered_is_named(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(1).await;
        let mut bad = order_of("ref-1", 0, Some("NO_SUCH_PRODUCT"));
        bad.lines.push(bad.lines[0].clone());
        bad.lines[1].pool = PoolName::parse("nowhere").unwrap();
        let Err(AppError::Invalid(errors)) = test.place(bad).await else { panic!() };
        let named: Vec<_> = errors.iter().map(|error| (error.pointer.as_str(), error.code)).collect();
        assert_eq!(
            named,
            [("/lines/0/quantity", "range"), ("/lines/0/product", "unknown"), ("/lines/1/pool", "unknown"),]
        );
        for quantity in [1_001, u32::MAX] {
            let refused = test.order("ref-1", quantity).await.unwrap_err();
            assert!(
                matches!(&refused, AppError::Invalid(errors) if errors[0].pointer == "/lines"),
                "{refused:?}"
            );
        }
        let none = PlaceOrder { lines: Vec::new(), ..order_of("ref-1", 1, None) };
        assert!(matches!(test.place(none).await, Err(AppError::Invalid(_))));
        test.finish().await;
    }

    async fn the_safety_buffer_is_not_sold(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(5).await;
        let change = PoolChange { safety_buffer: Some(3), ..PoolChange::default() };
        pools::change(&test.depot, pool_settings().pool, change).await.unwrap();
        assert!(matches!(test.order("ref-1", 3).await, Err(AppError::OutOfStock { available: 2, .. })));
        test.order("ref-2", 2).await.unwrap();
        assert!(matches!(test.order("ref-3", 1).await, Err(AppError::OutOfStock { available: 0, .. })));
        test.finish().await;
    }
}
