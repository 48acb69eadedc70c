//! Many orders in one go: where claims begin, what is written, and what a taken reference does.

use simdepot_domain::channel::ChannelName;
use simdepot_domain::id::OrderId;
use simdepot_domain::order::ProfileOutcome;
use simdepot_domain::profile::QuarantineReason;
use simdepot_domain::stock::{StockStatus, Transition};
use simdepot_persistence::allocations::{self, NewAllocation};
use simdepot_persistence::idempotency::{self, Record};
use simdepot_persistence::intake::{self, NewOrder, Written};
use simdepot_persistence::pools::Pool;
use simdepot_persistence::profiles::{NewProfile, Profile};
use simdepot_persistence::{Conn, Store, StoreError, orders, profiles};
use simdepot_tests::on_both_databases;

use crate::support::{Stock, add_profiles, days, line_of, make_import, new_order, new_profile, now, uuid};

/// An order of one line for claimed profiles.
fn order(pool: &Pool, reference: &str, claimed: Vec<allocations::Claimed>, revealed: bool) -> NewOrder {
    let quantity = i64::try_from(claimed.len()).unwrap();
    let places = (0i32..).zip(claimed).map(|(position, profile)| NewAllocation {
        profile,
        line_no: 0,
        position,
        outcome: ProfileOutcome::Fulfilled,
    });
    let (places, lines) = (places.collect(), vec![line_of(pool, quantity)]);
    NewOrder { order: new_order(reference), lines, places, revealed, key: None }
}

fn sell(conn: &mut Conn<'_>, pool: &Pool, quantity: u32) -> Result<Option<Vec<i64>>, StoreError> {
    let Some(claimed) = allocations::claim_up_to(conn, pool, quantity, false, now())? else {
        return Ok(None);
    };
    let ids = claimed.iter().map(|profile| profile.id).collect();
    let new = order(pool, &uuid().to_string(), claimed, false);
    assert!(matches!(intake::write(conn, &[&new], &[], now())?, Written::All(_)));
    Ok(Some(ids))
}

async fn sold(store: &Store, pool: &Pool, quantity: u32) -> Vec<i64> {
    let pool = pool.clone();
    store.write(move |conn| sell(conn, &pool, quantity)).await.unwrap().unwrap()
}

fn ids(profiles: &[Profile]) -> Vec<i64> {
    profiles.iter().map(|profile| profile.id).collect()
}

async fn take_aside(stock: &Stock, id: i64) {
    let (profile, reason) = (stock.profile(id).await, Some(QuarantineReason::Manual));
    let aside = Transition { from: StockStatus::Available, to: StockStatus::Quarantined };
    let moved = stock.store.write(move |conn| profiles::move_stock(conn, &profile, aside, reason, now()));
    moved.await.unwrap();
}

async fn put_back(stock: &Stock, id: i64) {
    let profile = stock.profile(id).await;
    let back = Transition { from: StockStatus::Quarantined, to: StockStatus::Available };
    let moved = stock.store.write(move |conn| profiles::move_stock(conn, &profile, back, None, now()));
    moved.await.unwrap();
}

on_both_databases! {
    /// More than a claim remembers the beginning of the stock for.
    async fn what_comes_back_is_the_first_again(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 700).await;
        let mut ids = ids(&added);
        let (late, early) = (ids.remove(450), ids.remove(3));
        take_aside(&stock, early).await;
        take_aside(&stock, late).await;
        for round in 0..6 {
            assert_eq!(sold(&stock.store, &stock.pool, 100).await, ids[round * 100..(round + 1) * 100]);
        }
        put_back(&stock, late).await;
        put_back(&stock, early).await;
        assert_eq!(sold(&stock.store, &stock.pool, 3).await, [early, late, ids[600]]);
    }

    async fn another_process_puts_back_as_well(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 400).await;
        let (mut ids, other) = (ids(&added), stock.db.store());
        let early = ids.remove(7);
        take_aside(&stock, early).await;
        assert_eq!(sold(&stock.store, &stock.pool, 300).await, ids[..300]);
        assert_eq!(sold(&other, &stock.pool, 1).await, [ids[300]]);
        put_back(&stock, early).await;
        assert_eq!(sold(&other, &stock.pool, 2).await, [early, ids[301]]);
        assert_eq!(sold(&stock.store, &stock.pool, 1).await, [ids[302]]);
    }

    async fn a_rollback_brings_the_first_ones_back(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 600).await;
        let ids = ids(&added);
        assert_eq!(sold(&stock.store, &stock.pool, 300).await, ids[..300]);
        let pool = stock.pool.clone();
        let undone = stock.store.write(move |conn| {
            assert_eq!(sell(conn, &pool, 100)?.map(|taken| taken.len()), Some(100));
            Err::<(), _>(StoreError::Busy)
        });
        undone.await.unwrap_err();
        assert_eq!(sold(&stock.store, &stock.pool, 2).await, ids[300..302]);
    }

    async fn what_expires_earlier_and_comes_later_is_first(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 300).await;
        assert_eq!(sold(&stock.store, &stock.pool, 280).await, ids(&added)[..280]);
        let delivery = make_import(&stock.store, &stock.pool).await;
        let soon = NewProfile { sell_by: now() + days(1), ..new_profile() };
        let new = add_profiles(&stock.store, &stock.pool, &delivery, vec![soon]).await;
        assert_eq!(sold(&stock.store, &stock.pool, 2).await, [new[0].id, added[280].id]);
    }

    /// Too few is said only by a claim that waited, and takes what there is.
    async fn the_end_of_a_pool(db: TestDatabase) {
        let stock = Stock::with_buffer(db, 2).await;
        let added = stock.add((0..5).map(|_| new_profile()).collect()).await;
        let pool = stock.pool.clone();
        let (hurried, waited) = stock
            .store
            .write(move |conn| {
                let hurried = allocations::claim_up_to(conn, &pool, 4, false, now())?;
                let waited = allocations::claim_up_to(conn, &pool, 4, true, now())?;
                Ok::<_, StoreError>((hurried, waited))
            })
            .await
            .unwrap();
        assert_eq!(hurried, None);
        let waited: Vec<i64> = waited.unwrap().iter().map(|profile| profile.id).collect();
        assert_eq!(waited, ids(&added)[..3]);
    }

    async fn all_rows_of_a_batch_are_written(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 3).await;
        let (pool, all) = (stock.pool.clone(), ids(&added));
        let key = Record {
            channel: ChannelName::parse("default").unwrap(),
            key: "key".to_owned(),
            request: "POST /v1/orders".to_owned(),
            body_hash: vec![1; 32],
            status: 201,
            resource_id: "made".to_owned(),
        };
        let kept = key.clone();
        let (first, second, rows) = stock
            .store
            .write(move |conn| {
                let mut claimed = allocations::claim_up_to(conn, &pool, 3, false, now())?.unwrap();
                let rest = claimed.split_off(1);
                let first = NewOrder { key: Some(key), ..order(&pool, "a", claimed, true) };
                let second = order(&pool, "b", rest, false);
                let Written::All(rows) = intake::write(conn, &[&first, &second], &[], now())? else { panic!() };
                Ok::<_, StoreError>((first.order.id, second.order.id, rows))
            })
            .await
            .unwrap();
        assert_eq!(rows.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2]);
        let read = |id: OrderId| stock.store.read(move |conn| {
            let of_order = allocations::of_order(conn, id)?;
            Ok::<_, StoreError>((orders::lines(conn, id)?.len(), of_order))
        });
        let (lines, places) = read(first).await.unwrap();
        assert_eq!((lines, places[0].id, places[0].profile_id), (1, rows[0][0], all[0]));
        let (_, places) = read(second).await.unwrap();
        assert_eq!(places.iter().map(|place| place.id).collect::<Vec<_>>(), rows[1]);
        assert_eq!(places.iter().map(|place| place.profile_id).collect::<Vec<_>>(), all[1..]);
        let (shown, hidden) = (stock.profile(all[0]).await, stock.profile(all[1]).await);
        assert_eq!((shown.stock_status, shown.version), (StockStatus::Allocated, added[0].version + 2));
        assert_eq!((hidden.stock_status, hidden.version), (StockStatus::Allocated, added[1].version + 1));
        assert!(shown.revealed_at.is_some() && hidden.revealed_at.is_none());
        let found = stock.store.read(move |conn| idempotency::find(conn, &kept.channel, &kept.key, now())).await;
        assert_eq!(found.unwrap().unwrap().resource_id, "made");
    }

    async fn a_taken_reference_or_key_is_told(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 3).await;
        let key = |of: &str| Some(Record {
            channel: ChannelName::parse("default").unwrap(),
            key: of.to_owned(),
            request: "POST /v1/orders".to_owned(),
            body_hash: vec![1; 32],
            status: 201,
            resource_id: "made".to_owned(),
        });
        for (number, (reference, of, taken)) in
            [("a", "k1", false), ("a", "k2", true), ("b", "k1", true), ("b", "k2", false)].into_iter().enumerate()
        {
            let (pool, key) = (stock.pool.clone(), key(of));
            let written = stock.store.write(move |conn| {
                let claimed = allocations::claim_up_to(conn, &pool, 1, false, now())?.unwrap();
                let new = NewOrder { key, ..order(&pool, reference, claimed, false) };
                match intake::write(conn, &[&new], &[], now())? {
                    Written::All(_) => Ok(false),
                    Written::Taken => Err(StoreError::Busy),
                }
            });
            assert_eq!(written.await.unwrap_or(true), taken, "{number}");
        }
        assert_eq!(sold(&stock.store, &stock.pool, 1).await, [added[2].id]);
    }
}
