//! Many orders in one go: where claims begin, what is written, and what a taken reference does.

use simdepot_domain::channel::ChannelName;
use simdepot_domain::event::{Event, Fact, Subject};
use simdepot_domain::id::{EventId, OrderId};
use simdepot_domain::order::ProfileOutcome;
use simdepot_domain::stock::StockStatus;
use simdepot_persistence::allocations::{self, NewAllocation};
use simdepot_persistence::idempotency::{self, Record};
use simdepot_persistence::intake::{self, Allotted, NewOrder, Written};
use simdepot_persistence::pools::Pool;
use simdepot_persistence::profiles::{NewProfile, Profile};
use simdepot_persistence::{Conn, Store, StoreError, orders};
use simdepot_tests::on_both_databases;

use crate::support::{
    ASKS, Stock, add_profiles, asked, days, line_of, make_import, new_order, new_profile, now, uuid,
};

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
    NewOrder { order: new_order(reference), lines, places, revealed, key: None, events: Vec::new() }
}

fn sell(conn: &mut Conn<'_>, store: &Store, pool: &Pool, quantity: u32) -> Result<Vec<i64>, StoreError> {
    let claimed = allocations::claim_up_to(conn, pool, quantity, false, now())?;
    assert_eq!(u32::try_from(claimed.len()).unwrap(), quantity);
    let ids = claimed.iter().map(|profile| profile.id).collect();
    let new = order(pool, &uuid().to_string(), claimed, false);
    assert!(each(intake::write(conn, store.vault(), &[&new], now())?)[0].is_some());
    Ok(ids)
}

fn each(written: Written) -> Vec<Option<Vec<Allotted>>> {
    let Written::Each(each) = written else { panic!("a key is taken") };
    each
}

async fn sold(store: &Store, pool: &Pool, quantity: u32) -> Vec<i64> {
    let (pool, own) = (pool.clone(), store.clone());
    store.write(move |conn| sell(conn, &own, &pool, quantity)).await.unwrap()
}

fn ids(profiles: &[Profile]) -> Vec<i64> {
    profiles.iter().map(|profile| profile.id).collect()
}

fn key_of(made: &str) -> Record {
    Record {
        channel: ChannelName::parse("default").unwrap(),
        key: "key".to_owned(),
        request: "POST /v1/orders".to_owned(),
        body_hash: vec![1; 32],
        status: 201,
        resource_id: made.to_owned(),
    }
}

fn has_code(profile: i64) -> String {
    format!(
        "SELECT COUNT(*) AS value FROM profile_secrets WHERE profile_id = {profile} AND activation_code IS NOT NULL"
    )
}

fn created(new: &NewOrder) -> Event {
    let (channel, reference) = (new.order.channel.clone(), new.order.reference.clone());
    let fact = Fact::OrderCreated { channel, reference, quantity: 1 };
    Event { id: EventId(uuid()), at: now(), subject: Subject::Order(new.order.id), version: 1, fact }
}

on_both_databases! {
    /// More than a claim remembers the beginning of the stock for.
    async fn what_comes_back_is_the_first_again(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 700).await;
        let mut ids = ids(&added);
        let (late, early) = (ids.remove(450), ids.remove(3));
        stock.take_aside(early).await;
        stock.take_aside(late).await;
        for round in 0..6 {
            assert_eq!(sold(&stock.store, &stock.pool, 100).await, ids[round * 100..(round + 1) * 100]);
        }
        stock.put_back(late).await;
        stock.put_back(early).await;
        assert_eq!(sold(&stock.store, &stock.pool, 3).await, [early, late, ids[600]]);
    }

    async fn another_process_puts_back_as_well(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 400).await;
        let (mut ids, other) = (ids(&added), stock.db.store());
        let early = ids.remove(7);
        stock.take_aside(early).await;
        assert_eq!(sold(&stock.store, &stock.pool, 300).await, ids[..300]);
        assert_eq!(sold(&other, &stock.pool, 1).await, [ids[300]]);
        stock.put_back(early).await;
        assert_eq!(sold(&other, &stock.pool, 2).await, [early, ids[301]]);
        assert_eq!(sold(&stock.store, &stock.pool, 1).await, [ids[302]]);
    }

    async fn a_rollback_brings_the_first_ones_back(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 600).await;
        let ids = ids(&added);
        assert_eq!(sold(&stock.store, &stock.pool, 300).await, ids[..300]);
        let (pool, store) = (stock.pool.clone(), stock.store.clone());
        let undone = stock.store.write(move |conn| {
            assert_eq!(sell(conn, &store, &pool, 100)?.len(), 100);
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

    /// Every process knows that it is sold out, and none believes it a moment too long.
    async fn a_sold_out_pool_sells_what_comes_back_at_once(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 6).await;
        let (ids, other) = (ids(&added), stock.db.store());
        for id in &ids[..3] {
            stock.take_aside(*id).await;
        }
        assert_eq!(sold(&stock.store, &stock.pool, 3).await, ids[3..]);
        for (ask, id) in ASKS.into_iter().zip(&ids) {
            for store in [&stock.store, &other] {
                for ask in ASKS {
                    assert_eq!(asked(store, &stock.pool, ask).await, [0i64; 0]);
                }
            }
            stock.put_back(*id).await;
            for store in [&stock.store, &other] {
                assert_eq!(asked(store, &stock.pool, ask).await, [*id]);
            }
            assert_eq!(sold(&other, &stock.pool, 1).await, [*id]);
        }
    }

    /// The buffer is left, whoever asks.
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
        for claimed in [hurried, waited] {
            let claimed: Vec<i64> = claimed.iter().map(|profile| profile.id).collect();
            assert_eq!(claimed, ids(&added)[..3]);
        }
    }

    async fn all_rows_of_a_batch_are_written(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 3).await;
        let (pool, all) = (stock.pool.clone(), ids(&added));
        let key = key_of("made");
        let kept = key.clone();
        let own = stock.store.clone();
        let (first, second, allotted) = stock
            .store
            .write(move |conn| {
                let mut claimed = allocations::claim_up_to(conn, &pool, 3, false, now())?;
                let rest = claimed.split_off(1);
                let first = NewOrder { key: Some(key), ..order(&pool, "a", claimed, true) };
                let second = order(&pool, "b", rest, false);
                let allotted = each(intake::write(conn, own.vault(), &[&first, &second], now())?);
                Ok::<_, StoreError>((first.order.id, second.order.id, allotted))
            })
            .await
            .unwrap();
        let allotted: Vec<Vec<Allotted>> = allotted.into_iter().map(Option::unwrap).collect();
        let rows: Vec<Vec<i64>> =
            allotted.iter().map(|order| order.iter().map(|one| one.allocation).collect()).collect();
        assert_eq!(rows.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2]);
        for allotted in allotted.into_iter().flatten() {
            let now = stock.profile(allotted.profile.id).await;
            assert_eq!(allotted.profile, now);
            assert_eq!(allotted.code.is_some(), stock.db.raw().number(&has_code(now.id)) == 1);
        }
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

    async fn an_order_whose_reference_is_taken_is_left_out(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 4).await;
        let sell = |references: &'static [&'static str], of: &'static str| {
            let (pool, own) = (stock.pool.clone(), stock.store.clone());
            stock.store.write(move |conn| {
                let mut new = Vec::new();
                for reference in references {
                    let claimed = allocations::claim_up_to(conn, &pool, 1, false, now())?;
                    let key = Some(Record { key: format!("{of}-{reference}"), ..key_of("made") });
                    let order = NewOrder { key, ..order(&pool, reference, claimed, false) };
                    new.push(NewOrder { events: vec![created(&order)], ..order });
                }
                let new: Vec<&NewOrder> = new.iter().collect();
                // Rolled back: another one must not find the profile that was claimed first.
                Ok::<_, StoreError>(match intake::write(conn, own.vault(), &new, now())? {
                    Written::Each(each) => Some(each.iter().map(Option::is_some).collect::<Vec<_>>()),
                    Written::KeyTaken => None,
                })
            })
        };
        assert_eq!(sell(&["a"], "first").await.unwrap(), Some(vec![true]));
        assert_eq!(sell(&["a"], "second").await.unwrap(), Some(vec![false]));
        assert_eq!(stock.db.raw().number("SELECT COUNT(*) AS value FROM events"), 1);
        assert_eq!(stock.db.raw().number("SELECT COUNT(*) AS value FROM idempotency_keys"), 1);
        assert_eq!(stock.profile(added[1].id).await.stock_status, StockStatus::Available);
        assert_eq!(sell(&["b"], "first").await.unwrap(), Some(vec![true]));
        assert_eq!((stock.db.raw().number("SELECT COUNT(*) AS value FROM events"), stock.db.raw().number("SELECT COUNT(*) AS value FROM orders")), (2, 2));
        assert_eq!(sold(&stock.store, &stock.pool, 1).await, [added[2].id]);
    }

    async fn a_taken_key_is_told(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 3).await;
        for (number, (reference, of, taken)) in
            [("a", "k1", false), ("b", "k1", true), ("b", "k2", false)].into_iter().enumerate()
        {
            let (pool, own) = (stock.pool.clone(), stock.store.clone());
            let key = Some(Record { key: of.to_owned(), ..key_of("made") });
            let written = stock.store.write(move |conn| {
                let claimed = allocations::claim_up_to(conn, &pool, 1, false, now())?;
                let new = NewOrder { key, ..order(&pool, reference, claimed, false) };
                match intake::write(conn, own.vault(), &[&new], now())? {
                    Written::Each(_) => Ok(false),
                    Written::KeyTaken => Err(StoreError::Busy),
                }
            });
            assert_eq!(written.await.unwrap_or(true), taken, "{number}");
        }
        assert_eq!(sold(&stock.store, &stock.pool, 1).await, [added[2].id]);
    }
}
