//! Orders that are taken together: each has its own result, whoever it came with.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use simdepot_application::orders::{self, PlaceOrder, Placed, PlacedAs};
use simdepot_application::{AppError, Depot};
use simdepot_domain::order::OrderStatus;
use simdepot_persistence::Backend;
use simdepot_tests::depot::{idempotency_key, order_of, profiles_of, storefront};
use simdepot_tests::{TestDepot, on_both_databases};

async fn placed(depot: &Depot, order: PlaceOrder, key: Option<&str>) -> Result<Placed, AppError> {
    let key = key.map(|key| idempotency_key(key, &order.reference));
    orders::place(depot, &storefront("default"), order, key.as_ref(), Duration::ZERO).await
}

/// Profiles of orders that were created, by row; nobody got one twice.
fn sold(placed: &[Result<Placed, AppError>]) -> BTreeSet<i64> {
    let created = placed.iter().flatten().filter(|placed| placed.placed_as == PlacedAs::Created);
    let rows: Vec<i64> = created.flat_map(|placed| profiles_of(&placed.order)).map(|one| one.id).collect();
    let different: BTreeSet<i64> = rows.iter().copied().collect();
    assert_eq!(different.len(), rows.len());
    different
}

on_both_databases! {
    async fn many_orders_of_two_processes_get_what_they_asked_for(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(200).await;
        let other = test.restarted();
        let many = (0..90u32).map(|number| {
            let depot = if number % 2 == 0 { &test.depot } else { &other };
            placed(depot, order_of(&format!("ref-{number}"), 1 + number % 3, None), None)
        });
        let placed = join_all(many).await;
        assert!(placed.iter().all(|placed| {
            placed.as_ref().is_ok_and(|placed| placed.order.order.status == OrderStatus::Fulfilled)
        }));
        assert_eq!(sold(&placed).len(), 180);
        let codes: BTreeMap<_, _> = lines.iter().map(|line| (&line.iccid, &line.activation_code)).collect();
        for (number, placed) in (0..).zip(placed.iter().flatten()) {
            assert_eq!(placed.order.order.reference, format!("ref-{number}"));
            let entries = &placed.order.lines[0].profiles;
            assert_eq!(entries.len(), 1 + number % 3);
            for entry in entries {
                assert_eq!(codes[&entry.profile.iccid], &entry.activation);
                assert!(entry.profile.revealed_at.is_some());
            }
        }
        test.finish().await;
    }

    async fn the_last_profiles_are_all_sold_and_none_twice(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(50).await;
        let other = test.restarted();
        let many = (0..40u32).map(|number| {
            let depot = if number % 2 == 0 { &test.depot } else { &other };
            placed(depot, order_of(&format!("ref-{number}"), 2, None), None)
        });
        let placed = join_all(many).await;
        assert_eq!(sold(&placed).len(), 50);
        let refused = placed.iter().filter_map(|placed| placed.as_ref().err()).collect::<Vec<_>>();
        assert_eq!(refused.len(), 15);
        for error in refused {
            assert!(matches!(error, AppError::OutOfStock { requested: 2, available: 0, .. }), "{error:?}");
        }
        test.finish().await;
    }

    async fn who_asks_for_too_much_takes_nothing_from_others(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(10).await;
        let many = [3u32, 11, 4, 12, 3].into_iter().enumerate().map(|(number, quantity)| {
            placed(&test.depot, order_of(&format!("ref-{number}"), quantity, None), None)
        });
        let placed = join_all(many).await;
        let taken: Vec<bool> = placed.iter().map(Result::is_ok).collect();
        assert_eq!(taken, [true, false, true, false, true]);
        assert_eq!(sold(&placed).len(), 10);
        test.finish().await;
    }

    async fn the_same_order_at_the_same_time_is_one_order(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(5).await;
        let other = test.restarted();
        let many = (0..24).map(|number| {
            let depot = if number % 2 == 0 { &test.depot } else { &other };
            placed(depot, order_of("ref-1", 2, None), (number % 4 < 2).then_some("key-1"))
        });
        let placed = join_all(many).await;
        let ids: BTreeSet<String> =
            placed.iter().flatten().map(|placed| placed.order.order.id.to_string()).collect();
        assert_eq!((ids.len(), sold(&placed).len()), (1, 2));
        let how = |as_what| placed.iter().flatten().filter(|placed| placed.placed_as == as_what).count();
        assert_eq!(how(PlacedAs::Created), 1);
        assert_eq!(how(PlacedAs::Replayed) + how(PlacedAs::Repeated), 23);
        test.finish().await;
    }

    async fn a_reference_or_a_key_with_another_content_is_refused_beside_the_others(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(10).await;
        placed(&test.depot, order_of("ref-1", 1, None), Some("key-1")).await.unwrap();
        let many = [
            placed(&test.depot, order_of("ref-2", 1, None), None),
            placed(&test.depot, order_of("ref-1", 2, None), None),
            placed(&test.depot, order_of("ref-3", 1, None), Some("key-1")),
            placed(&test.depot, order_of("ref-4", 1, None), None),
        ];
        let placed = join_all(many).await;
        assert!(placed[0].is_ok() && placed[3].is_ok());
        assert!(matches!(&placed[1], Err(AppError::ReferenceConflict { reference, .. }) if reference == "ref-1"));
        assert!(matches!(&placed[2], Err(AppError::IdempotencyKeyReused)), "{:?}", placed[2]);
        test.finish().await;
    }

    async fn one_that_the_database_refuses_fails_alone(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(12).await;
        let refusal = match test.depot.store.backend() {
            Backend::Postgres => "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
                 'BEGIN RAISE EXCEPTION ''poisoned''; END'; CREATE TRIGGER refuse BEFORE INSERT ON orders \
                 FOR EACH ROW WHEN (NEW.reference = 'poison') EXECUTE FUNCTION refuse()",
            Backend::Sqlite => "CREATE TRIGGER refuse BEFORE INSERT ON orders WHEN NEW.reference = 'poison' \
                 BEGIN SELECT RAISE(ABORT, 'poisoned'); END",
        };
        test.db.raw().execute(refusal);
        let many = (0..12).map(|number| {
            let reference = if number == 5 { "poison".to_owned() } else { format!("ref-{number}") };
            placed(&test.depot, order_of(&reference, 1, None), None)
        });
        let placed = join_all(many).await;
        for (number, placed) in placed.iter().enumerate() {
            assert_eq!(placed.is_ok(), number != 5, "{placed:?}");
        }
        assert_eq!(sold(&placed).len(), 11);
        test.db.raw().execute(match test.depot.store.backend() {
            Backend::Postgres => "DROP TRIGGER refuse ON orders; DROP FUNCTION refuse()",
            Backend::Sqlite => "DROP TRIGGER refuse",
        });
        test.finish().await;
    }

    async fn orders_with_and_without_a_product_go_together(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(12).await;
        let product = Some(simdepot_tests::depot::PRODUCT);
        let many = (0..8u32).map(|number| {
            placed(&test.depot, order_of(&format!("ref-{number}"), 1, product.filter(|_| number % 2 == 0)), None)
        });
        let placed = join_all(many).await;
        let status = |number: usize| placed[number].as_ref().unwrap().order.order.status;
        assert!((0..8).step_by(2).all(|number| status(number) == OrderStatus::InProgress));
        assert!((1..8).step_by(2).all(|number| status(number) == OrderStatus::Fulfilled));
        test.work_until_idle().await;
        for placed in placed.iter().flatten() {
            assert_eq!(test.read_order(placed.order.order.id).await.order.status, OrderStatus::Fulfilled);
        }
        assert_eq!(test.order_requests(), 4);
        test.finish().await;
    }

    /// Its reference is in another transaction that does not end.
    async fn one_that_must_wait_keeps_nobody_waiting(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        if test.depot.store.backend() == Backend::Sqlite {
            // There is one writer: nobody can stand in the way of one order alone.
            return test.finish().await;
        }
        test.deliver(12).await;
        let mut elsewhere = test.db.raw();
        elsewhere.execute(
            "BEGIN; INSERT INTO orders (id, channel, reference, request_hash, status, reveal, version, created_at, \
             updated_at) VALUES (gen_random_uuid(), 'default', 'waits', '', 'in_progress', FALSE, 1, now(), now())",
        );
        let depot = test.depot.clone();
        let waits = tokio::spawn(async move { placed(&depot, order_of("waits", 1, None), None).await });
        let many = (0..8).map(|number| placed(&test.depot, order_of(&format!("ref-{number}"), 1, None), None));
        let mut taken = join_all(many).await;
        // Whatever they went with, they are done, and the next ones find nothing in their way.
        let many = (0..3).map(|number| placed(&test.depot, order_of(&format!("late-{number}"), 1, None), None));
        taken.extend(join_all(many).await);
        assert_eq!(sold(&taken).len(), 11);
        assert!(!waits.is_finished());
        elsewhere.execute("ROLLBACK");
        taken.push(waits.await.unwrap());
        assert_eq!(sold(&taken).len(), 12);
        test.finish().await;
    }

    async fn what_was_taken_is_answered_though_it_could_not_be_taken_any_more(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(3).await;
        let order = |reference: &str| order_of(reference, 1, Some(simdepot_tests::depot::PRODUCT));
        let first = placed(&test.depot, order("ref-1"), Some("key-1")).await.unwrap();
        test.work_until_idle().await;
        test.db.raw().execute("UPDATE pools SET carrier_account = 'gone'");
        for (key, as_what) in [(Some("key-1"), PlacedAs::Replayed), (None, PlacedAs::Repeated)] {
            let again = placed(&test.depot, order("ref-1"), key).await.unwrap();
            assert_eq!((again.placed_as, again.order.order.id), (as_what, first.order.order.id));
        }
        let new = placed(&test.depot, order("ref-2"), None).await;
        assert!(matches!(new, Err(AppError::UnknownAccount { .. })), "{new:?}");
        test.db.raw().execute(&format!("UPDATE pools SET carrier_account = '{}'", simdepot_tests::depot::ACCOUNT));
        test.finish().await;
    }
}
