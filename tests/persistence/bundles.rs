//! Bundles: references, evidence, and guarded changes.

use simdepot_domain::bundle::{Balance, BalanceUnit, BundleStatus, OrderType};
use simdepot_persistence::bundles::{self, Bundle, BundleChange, BundleSeen};
use simdepot_persistence::{StoreError, operations, orders};
use simdepot_tests::on_both_databases;

use crate::support::{
    Stock, channel, days, is_race, is_unique, line_of, new_bundle, new_operation, new_order, now,
};

on_both_databases! {
    async fn a_bundle_comes_back_as_written(db: TestDatabase) {
        let (stock, profiles) = Stock::of(db, 1).await;
        let order = new_order("ref");
        let bundle = Bundle { order: Some(order.id), ..new_bundle(&profiles[0], None) };
        let operation = operations::NewOperation {
            bundle: Some(bundle.id),
            order: Some(order.id),
            ..new_operation(&profiles[0])
        };
        let (written, pool, id, operation_id) = (bundle.clone(), stock.pool.clone(), order.id, operation.id);
        stock
            .store
            .write(move |conn| {
                orders::insert(conn, &order, &[line_of(&pool, 1)])?;
                bundles::insert_many(conn, &[written])?;
                operations::insert_many(conn, &[operation], now())
            })
            .await
            .unwrap();
        let (bundle_id, profile) = (bundle.id, profiles[0].id);
        let (found, of_order, of_profile, placed_by) = stock
            .store
            .read(move |conn| {
                Ok::<_, StoreError>((
                    bundles::find(conn, bundle_id)?.unwrap(),
                    bundles::of_order(conn, id)?,
                    bundles::of_profile(conn, profile)?,
                    operations::of_bundle(conn, bundle_id)?.unwrap().id,
                ))
            })
            .await
            .unwrap();
        assert_eq!(found, bundle);
        assert_eq!((of_order, of_profile, placed_by), (vec![bundle.clone()], vec![bundle], operation_id));
    }

    async fn a_top_ups_reference_is_taken_once_per_channel(db: TestDatabase) {
        let (stock, profiles) = Stock::of(db, 2).await;
        let first = new_bundle(&profiles[0], Some("top-1"));
        let same = new_bundle(&profiles[1], Some("top-1"));
        let other = Bundle { channel: channel("other"), ..new_bundle(&profiles[0], Some("top-1")) };
        let expected = first.clone();
        let taken = stock.store.write(move |conn| {
            Ok::<_, StoreError>((
                bundles::insert_top_up(conn, &first)?,
                bundles::insert_top_up(conn, &same)?,
                bundles::insert_top_up(conn, &other)?,
            ))
        });
        assert_eq!(taken.await.unwrap(), (true, false, true));
        let held = stock.store.read(|conn| bundles::find_by_reference(conn, &channel("shop"), "top-1"));
        assert_eq!(held.await.unwrap(), Some(expected));
        // Bundles of orders have no reference: any number of them.
        let orders_own: Vec<Bundle> = (0..3).map(|_| new_bundle(&profiles[0], None)).collect();
        stock.store.write(move |conn| bundles::insert_many(conn, &orders_own)).await.unwrap();
    }

    async fn of_many_at_once_one_takes_the_reference(db: TestDatabase) {
        let (stock, profiles) = Stock::of(db, 1).await;
        let races: Vec<_> = (0..12)
            .map(|_| {
                let (store, bundle) = (stock.store.clone(), new_bundle(&profiles[0], Some("top")));
                tokio::spawn(async move {
                    store.write(move |conn| bundles::insert_top_up(conn, &bundle)).await.unwrap()
                })
            })
            .collect();
        let mut taken = 0;
        for race in races {
            taken += usize::from(race.await.unwrap());
        }
        assert_eq!(taken, 1);
    }

    async fn a_subscription_is_evidence_for_one_bundle(db: TestDatabase) {
        let (stock, profiles) = Stock::of(db, 2).await;
        let both: Vec<Bundle> = profiles.iter().map(|profile| new_bundle(profile, None)).collect();
        let written = both.clone();
        stock.store.write(move |conn| bundles::insert_many(conn, &written)).await.unwrap();
        let took = |subscription: &str| BundleChange {
            status: Some(BundleStatus::Preloaded),
            order_type: Some(OrderType::Preload),
            subscription_id: Some(subscription.to_owned()),
        };
        let change = |bundle: Bundle, change: BundleChange| {
            let store = stock.store.clone();
            async move { store.write(move |conn| bundles::change(conn, &bundle, &change, now())).await }
        };
        assert_eq!(change(both[0].clone(), took("sub-1")).await.unwrap(), 2);
        assert!(is_unique(&change(both[1].clone(), took("sub-1")).await));
        change(both[1].clone(), took("sub-2")).await.unwrap();
        // Read before the first change.
        assert!(is_race(&change(both[0].clone(), took("sub-3")).await));
        let id = both[0].id;
        let read = stock.store.read(move |conn| bundles::find(conn, id)).await.unwrap().unwrap();
        assert_eq!((read.subscription_id.as_deref(), read.version), (Some("sub-1"), 2));
        // What a change does not name stays.
        let unknown = BundleChange { status: Some(BundleStatus::Unknown), ..BundleChange::default() };
        change(read.clone(), unknown).await.unwrap();
        let after = stock.store.read(move |conn| bundles::find(conn, id)).await.unwrap().unwrap();
        assert_eq!((after.status, after.order_type), (BundleStatus::Unknown, Some(OrderType::Preload)));
    }

    async fn what_the_carrier_says_is_kept(db: TestDatabase) {
        let (stock, profiles) = Stock::of(db, 1).await;
        let bundle = new_bundle(&profiles[0], None);
        let (written, id) = (bundle.clone(), bundle.id);
        stock.store.write(move |conn| bundles::insert_many(conn, &[written])).await.unwrap();
        let moment = now();
        let seen = BundleSeen {
            moved_to: Some(BundleStatus::Active),
            observed_at: Some(moment),
            activated_at: Some(moment),
            expires_at: Some(moment + days(7)),
            balances: Some(vec![Balance {
                resource: "data".to_owned(),
                unit: BalanceUnit::Bytes,
                remaining: Some(5),
                total: None,
                starts_at: Some(moment),
                ends_at: None,
            }]),
            fetched_at: Some(moment),
        };
        let (first, expected) = (bundle.clone(), seen.clone());
        stock.store.write(move |conn| bundles::observe(conn, &first, &seen, moment)).await.unwrap();
        let read = stock.store.read(move |conn| bundles::find(conn, id)).await.unwrap().unwrap();
        assert_eq!((read.status, read.version, read.fetched_at), (BundleStatus::Active, 2, Some(moment)));
        assert_eq!((read.activated_at, read.expires_at), (expected.activated_at, expected.expires_at));
        assert_eq!((Some(&read.balances), read.observed_at), (expected.balances.as_ref(), Some(moment)));
        assert_eq!(read.subscription_id, None, "reading does not make evidence");
        // A second look without news is no event, and a stale one changes nothing.
        let again = BundleSeen { fetched_at: Some(moment + days(1)), ..BundleSeen::default() };
        stock.store.write(move |conn| bundles::observe(conn, &read, &again, moment)).await.unwrap();
        let stale = stock.store.write(move |conn| bundles::observe(conn, &bundle, &expected, moment));
        assert!(is_race(&stale.await));
        let kept = stock.store.read(move |conn| bundles::find(conn, id)).await.unwrap().unwrap();
        assert_eq!((kept.version, kept.status, kept.activated_at), (2, BundleStatus::Active, Some(moment)));
    }
}
