//! Codes leave only for the channel whose fulfilled order holds the profile, and each time is told.

use chrono::TimeDelta;
use simdepot_application::orders::{self, ListOrders};
use simdepot_application::{AppError, Caller, activation, profiles};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::{ApiKeyId, IdGenerator, RandomIds};
use simdepot_domain::order::OrderStatus;
use simdepot_tests::depot::{order_of, stock_keeper, storefront};
use simdepot_tests::{TestDepot, on_both_databases};

async fn reveal(test: &TestDepot, caller: &Caller, iccid: &Iccid) -> Result<String, AppError> {
    let code = activation::reveal(&test.depot, caller, iccid.clone()).await?;
    Ok(code.code().to_owned())
}

fn reveals(test: &TestDepot, iccid: &Iccid) -> i64 {
    test.db.raw().number(&format!(
        "SELECT COUNT(*) AS value FROM events WHERE type_name = 'profile.code_revealed' AND subject_id = '{iccid}'"
    ))
}

on_both_databases! {
    async fn an_unsold_profiles_code_is_refused_to_everybody(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = test.deliver(1).await.remove(0);
        let refused = reveal(&test, &storefront("default"), &line.iccid).await;
        assert!(matches!(refused, Err(AppError::NotFound { .. })), "{refused:?}");
        // Who sees the whole stock may know that it is there, and gets its code no more than others.
        let refused = reveal(&test, &stock_keeper("default"), &line.iccid).await;
        assert!(matches!(refused, Err(AppError::InvalidTransition { .. })), "{refused:?}");
        let unknown = Iccid::parse("8988247999999999992").unwrap();
        for caller in [storefront("default"), stock_keeper("default")] {
            let refused = reveal(&test, &caller, &unknown).await;
            assert!(matches!(refused, Err(AppError::NotFound { .. })), "{refused:?}");
        }
        assert_eq!(reveals(&test, &line.iccid), 0);
        test.finish().await;
    }

    async fn an_order_in_progress_shows_no_code(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = test.deliver(1).await.remove(0);
        let id = test.order_with_product("ref-1", 1).await.unwrap().order.order.id;
        for caller in [storefront("default"), stock_keeper("default")] {
            let refused = reveal(&test, &caller, &line.iccid).await;
            assert!(matches!(refused, Err(AppError::InvalidTransition { .. })), "{refused:?}");
            let refused = orders::get(&test.depot, &caller, id, true).await;
            assert!(matches!(refused, Err(AppError::InvalidTransition { .. })), "{refused:?}");
        }
        test.work_until_idle().await;
        let code = reveal(&test, &storefront("default"), &line.iccid).await.unwrap();
        assert_eq!(code, line.activation_code.as_ref().unwrap().code());
        test.finish().await;
    }

    async fn another_channel_finds_nothing(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = test.deliver(1).await.remove(0);
        let id = test.order("ref-1", 1).await.unwrap().order.order.id;
        let other = storefront("other");
        let order = orders::get(&test.depot, &other, id, false).await;
        assert!(matches!(order, Err(AppError::NotFound { what: "order" })), "{order:?}");
        let with_codes = orders::get(&test.depot, &other, id, true).await;
        assert!(matches!(with_codes, Err(AppError::NotFound { what: "order" })), "{with_codes:?}");
        let profile = profiles::get(&test.depot, &other, line.iccid.clone()).await;
        assert!(matches!(profile, Err(AppError::NotFound { .. })), "{profile:?}");
        let code = reveal(&test, &other, &line.iccid).await;
        assert!(matches!(code, Err(AppError::NotFound { .. })), "{code:?}");
        assert!(orders::list(&test.depot, &other, ListOrders::default(), 10).await.unwrap().is_empty());
        // All scopes of another channel see the profile, not the order, and no code.
        let keeper = stock_keeper("other");
        assert!(profiles::get(&test.depot, &keeper, line.iccid.clone()).await.is_ok());
        assert!(matches!(orders::get(&test.depot, &keeper, id, false).await, Err(AppError::NotFound { .. })));
        let code = reveal(&test, &keeper, &line.iccid).await;
        assert!(matches!(code, Err(AppError::InvalidTransition { .. })), "{code:?}");
        assert!(profiles::get(&test.depot, &storefront("default"), line.iccid.clone()).await.is_ok());
        assert_eq!(reveals(&test, &line.iccid), 1, "the order's own answer, and no other");
        test.finish().await;
    }

    async fn a_reveal_is_told_once_per_key_and_hour(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = test.deliver(1).await.remove(0);
        let caller = storefront("default");
        let id = test.order("ref-1", 1).await.unwrap().order.order.id;
        let first = test.profile(&line.iccid).await.revealed_at;
        assert!(first.is_some());
        assert_eq!(reveals(&test, &line.iccid), 1);
        for _ in 0..3 {
            reveal(&test, &caller, &line.iccid).await.unwrap();
            orders::get(&test.depot, &caller, id, true).await.unwrap();
        }
        assert_eq!(reveals(&test, &line.iccid), 1);
        let key = Caller { key: Some(ApiKeyId(RandomIds.uuid())), ..caller.clone() };
        reveal(&test, &key, &line.iccid).await.unwrap();
        reveal(&test, &key, &line.iccid).await.unwrap();
        assert_eq!(reveals(&test, &line.iccid), 2);
        test.clock.advance(TimeDelta::minutes(59));
        reveal(&test, &caller, &line.iccid).await.unwrap();
        assert_eq!(reveals(&test, &line.iccid), 2);
        test.clock.advance(TimeDelta::minutes(2));
        reveal(&test, &caller, &line.iccid).await.unwrap();
        assert_eq!(reveals(&test, &line.iccid), 3);
        assert_eq!(test.profile(&line.iccid).await.revealed_at, first);
        // Reading without codes is no reveal.
        orders::get(&test.depot, &caller, id, false).await.unwrap();
        orders::list(&test.depot, &caller, ListOrders::default(), 10).await.unwrap();
        assert_eq!(reveals(&test, &line.iccid), 3);
        test.finish().await;
    }

    async fn parallel_reveals_all_succeed_and_are_told_once(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = test.deliver(1).await.remove(0);
        let quiet = orders::PlaceOrder { reveal: false, ..order_of("ref-1", 1, None) };
        assert_eq!(test.place(quiet).await.unwrap().order.order.status, OrderStatus::Fulfilled);
        let requests: Vec<_> = (0..12)
            .map(|_| {
                let (depot, iccid) = (test.depot.clone(), line.iccid.clone());
                tokio::spawn(async move { activation::reveal(&depot, &storefront("default"), iccid).await })
            })
            .collect();
        for request in requests {
            assert_eq!(Some(request.await.unwrap().unwrap()), line.activation_code);
        }
        assert_eq!(reveals(&test, &line.iccid), 1);
        test.finish().await;
    }
}
