//! Pools and their counts.

use serde_json::json;
use simdepot_domain::channel::PoolName;
use simdepot_domain::pool::{InitialStock, PoolSettings};
use simdepot_domain::profile::QuarantineReason;
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::StockStatus;
use simdepot_persistence::profiles::NewProfile;
use simdepot_persistence::{StoreError, pools, stock_counts};
use simdepot_tests::on_both_databases;

use crate::support::{Stock, days, is_race, is_unique, make_pool, new_profile, now, settings};

on_both_databases! {
    async fn a_pool_comes_back_as_written(db: TestDatabase) {
        let store = db.store();
        let wanted = PoolSettings {
            low_threshold: Some(100),
            critical_threshold: Some(0),
            lead_time_days: Some(14),
            shelf_life_days: Some(365),
            balance_low_percent: None,
            expiry_warning_days: None,
            sellable_statuses: vec![SimStatus::Preactivated, SimStatus::Active],
            activation: Some(json!({"wholesale_plan_id": "x", "bucket_ref_ids": [1, 2]})),
            ..settings("full", u32::MAX)
        };
        let (written, moment) = (wanted.clone(), now());
        store.write(move |conn| pools::insert(conn, &written, moment)).await.unwrap();
        let name = wanted.pool.clone();
        let pool = store.read(move |conn| pools::find(conn, &name)).await.unwrap().unwrap();
        assert_eq!((&pool.settings, pool.version, pool.created_at), (&wanted, 1, moment));
        let id = pool.id;
        assert_eq!(store.read(move |conn| pools::get(conn, id)).await.unwrap(), pool);
        let none = store.read(|conn| pools::find(conn, &PoolName::parse("none").unwrap())).await.unwrap();
        assert_eq!(none, None);
        assert!(is_unique(&store.write(move |conn| pools::insert(conn, &wanted, now())).await));
    }

    async fn settings_are_replaced_from_the_version_that_was_read(db: TestDatabase) {
        let store = db.store();
        let pool = make_pool(&store, "world", 5).await;
        make_pool(&store, "europe", 0).await;
        let changed = PoolSettings { safety_buffer: 0, low_threshold: Some(7), ..pool.settings.clone() };
        let (old, new) = (pool.clone(), changed.clone());
        assert_eq!(store.write(move |conn| pools::update(conn, &old, &new, now())).await.unwrap(), 2);
        let (old, back) = (pool.clone(), pool.settings.clone());
        assert!(is_race(&store.write(move |conn| pools::update(conn, &old, &back, now())).await));
        // A setting that is taken away is gone.
        let current = store.read(move |conn| pools::get(conn, pool.id)).await.unwrap();
        assert_eq!(current.settings, changed);
        let without = PoolSettings { low_threshold: None, ..changed };
        store.write(move |conn| pools::update(conn, &current, &without, now())).await.unwrap();
        let all = store.read(pools::list).await.unwrap();
        let listed: Vec<_> = all.iter().map(|pool| (pool.settings.pool.as_str(), pool.version)).collect();
        assert_eq!(listed, [("europe", 1), ("world", 3)]);
        assert_eq!(all[1].settings.low_threshold, None);
    }

    async fn counts_tell_what_may_be_sold(db: TestDatabase) {
        let stock = Stock::with_buffer(db, 2).await;
        let moment = now();
        let mut new: Vec<NewProfile> = (0..6).map(|_| new_profile()).collect();
        new[0].sell_by = moment - days(1);
        new[1].sell_by = moment;
        new[2].stock = InitialStock::Quarantined(QuarantineReason::Manual);
        stock.add(new).await;
        let pool = stock.pool.clone();
        let (counts, sellable) = stock
            .store
            .read(move |conn| {
                Ok::<_, StoreError>((
                    stock_counts::of_pool(conn, pool.id, moment)?,
                    pools::sellable(conn, &pool, moment)?,
                ))
            })
            .await
            .unwrap();
        assert_eq!(
            counts.by_status.into_iter().collect::<Vec<_>>(),
            [(StockStatus::Available, 5), (StockStatus::Quarantined, 1),]
        );
        assert_eq!((counts.expired, sellable), (2, 1));
        // What is counted is what can be had.
        assert_eq!(stock.sell(2).await, Err(1));
        stock.sell(1).await.unwrap();
        let pool = stock.pool.clone();
        assert_eq!(stock.store.read(move |conn| pools::sellable(conn, &pool, moment)).await.unwrap(), 0);
        let empty = make_pool(&stock.store, "empty", 3).await;
        let counts = stock.store.read(move |conn| stock_counts::of_pool(conn, empty.id, moment)).await.unwrap();
        assert_eq!((counts.by_status.len(), counts.sellable(3)), (0, 0));
    }
}
