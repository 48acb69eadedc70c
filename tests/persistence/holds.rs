//! Holds: the record, its guards, and the profiles it reserves.

use chrono::TimeDelta;
use simdepot_domain::hold::HoldStatus;
use simdepot_domain::id::{HoldId, OrderId};
use simdepot_domain::order::ProfileOutcome;
use simdepot_domain::profile::QuarantineReason;
use simdepot_domain::stock::{StockStatus, Transition};
use simdepot_persistence::allocations::{self, Claim, Claimed, NewAllocation};
use simdepot_persistence::holds::{self, Hold, HoldChange};
use simdepot_persistence::profiles::NewProfile;
use simdepot_persistence::{StoreError, orders, profiles};
use simdepot_tests::on_both_databases;

use crate::support::{Stock, channel, days, is_race, line_of, new_order, new_profile, now, uuid};

pub(crate) fn new_hold(stock: &Stock, quantity: u32) -> Hold {
    Hold {
        id: HoldId(uuid()),
        channel: channel("shop"),
        pool_id: stock.pool.id,
        quantity,
        status: HoldStatus::Active,
        expires_at: now() + TimeDelta::minutes(10),
        order: None,
        version: 1,
        created_at: now(),
        updated_at: now(),
    }
}

/// Makes a hold with the profiles that a claim finds.
pub(crate) async fn hold_of(stock: &Stock, quantity: u32) -> (Hold, Vec<Claimed>) {
    let (hold, pool) = (new_hold(stock, quantity), stock.pool.clone());
    let made = stock.store.write(move |conn| {
        let Claim::Taken(claimed) = allocations::claim(conn, &pool, quantity, now())? else {
            panic!("out of stock");
        };
        holds::insert(conn, &hold)?;
        holds::reserve(conn, hold.id, &claimed, now())?;
        Ok::<_, StoreError>((hold, claimed))
    });
    made.await.unwrap()
}

async fn written(stock: &Stock, hold: &Hold) {
    let hold = hold.clone();
    stock.store.write(move |conn| holds::insert(conn, &hold)).await.unwrap();
}

async fn changed(stock: &Stock, hold: &Hold, change: HoldChange) -> Result<i64, StoreError> {
    let hold = hold.clone();
    stock.store.write(move |conn| holds::change(conn, &hold, change, now())).await
}

on_both_databases! {
    async fn a_hold_comes_back_as_written(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let hold = new_hold(&stock, 3);
        written(&stock, &hold).await;
        let id = hold.id;
        let found = stock
            .store
            .write(move |conn| {
                let both = [holds::find(conn, id)?, holds::lock(conn, id)?, holds::lock_if_free(conn, id)?];
                Ok::<_, StoreError>((both, holds::lock(conn, HoldId(uuid()))?))
            })
            .await
            .unwrap();
        assert_eq!(found, ([Some(hold.clone()), Some(hold.clone()), Some(hold)], None));
    }

    async fn a_hold_changes_under_its_version_and_ends_once(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let (hold, order) = (new_hold(&stock, 1), new_order("ref"));
        let (order_id, id) = (order.id, hold.id);
        written(&stock, &hold).await;
        let pool = stock.pool.clone();
        stock.store.write(move |conn| orders::insert(conn, &order, &[line_of(&pool, 1)])).await.unwrap();

        let later = hold.expires_at + TimeDelta::minutes(5);
        assert_eq!(changed(&stock, &hold, HoldChange::Deadline(later)).await.unwrap(), 2);
        let stale = changed(&stock, &hold, HoldChange::End(HoldStatus::Released, None)).await;
        assert!(is_race(&stale), "{stale:?}");
        let newer = Hold { version: 2, expires_at: later, ..hold };
        let converted = HoldChange::End(HoldStatus::Converted, Some(order_id));
        assert_eq!(changed(&stock, &newer, converted).await.unwrap(), 3);
        let found = stock.store.read(move |conn| holds::find(conn, id)).await.unwrap().unwrap();
        assert_eq!(
            (found.status, found.order, found.version, found.expires_at),
            (HoldStatus::Converted, Some(order_id), 3, later)
        );
        let again = changed(&stock, &found, HoldChange::Deadline(later)).await;
        assert!(is_race(&again), "nothing changes after the end: {again:?}");
        // The table says it too.
        let mut raw = stock.db.raw();
        for broken in ["status = 'released'", "order_id = NULL", "status = 'gone'", "quantity = 0"] {
            let refused = raw.try_execute(&format!("UPDATE holds SET {broken}"));
            assert!(refused.unwrap_err().to_lowercase().contains("check"), "{broken}");
        }
        let unknown = Hold { id: HoldId(uuid()), status: HoldStatus::Converted, ..found };
        let unknown = Hold { order: Some(OrderId(uuid())), ..unknown };
        assert!(stock.store.write(move |conn| holds::insert(conn, &unknown)).await.is_err());
    }

    async fn a_channels_holds_are_listed_newest_first_and_counted(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let moment = now();
        let mut ids = Vec::new();
        for quantity in 1..=4 {
            let hold = new_hold(&stock, quantity);
            ids.push(hold.id);
            written(&stock, &hold).await;
        }
        written(&stock, &Hold { channel: channel("other"), ..new_hold(&stock, 500) }).await;
        // Neither what is over nor what is past its deadline counts.
        written(&stock, &Hold { status: HoldStatus::Released, ..new_hold(&stock, 100) }).await;
        written(&stock, &Hold { expires_at: moment, ..new_hold(&stock, 200) }).await;
        let (first, rest, held, none) = stock
            .store
            .write(move |conn| {
                let page = holds::list(conn, &channel("shop"), None, 4)?;
                let rest = holds::list(conn, &channel("shop"), page.last().map(|hold| hold.id), 10)?;
                holds::lock_channel(conn, &channel("shop"))?;
                let held = holds::held_by(conn, &channel("shop"), moment)?;
                Ok::<_, StoreError>((page, rest, held, holds::held_by(conn, &channel("none"), moment)?))
            })
            .await
            .unwrap();
        let quantities: Vec<u32> = first.iter().chain(&rest).map(|hold| hold.quantity).collect();
        assert_eq!(quantities, [200, 100, 4, 3, 2, 1]);
        assert_eq!((held, none), (10, 0));
        assert_eq!(rest.last().unwrap().id, ids[0]);
    }

    async fn holds_are_due_at_their_deadline(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let moment = now();
        let (mut first, mut second, mut third) =
            (new_hold(&stock, 1), new_hold(&stock, 1), new_hold(&stock, 1));
        first.expires_at = moment;
        second.expires_at = moment - days(1);
        third.expires_at = moment + TimeDelta::microseconds(1);
        let over = Hold { status: HoldStatus::Expired, ..new_hold(&stock, 1) };
        let over = Hold { expires_at: moment - days(2), ..over };
        for hold in [&first, &second, &third, &over] {
            written(&stock, hold).await;
        }
        let due = |limit| stock.store.read(move |conn| holds::due(conn, moment, limit));
        assert_eq!(due(10).await.unwrap(), [second.id, first.id]);
        assert_eq!(due(1).await.unwrap(), [second.id]);
    }

    async fn profiles_are_reserved_and_given_back(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let expiring = |in_days| NewProfile { sell_by: now() + days(in_days), ..new_profile() };
        let added = stock.add(vec![expiring(30), expiring(10), expiring(20), expiring(40)]).await;
        let (hold, claimed) = hold_of(&stock, 3).await;
        let taken: Vec<i64> = claimed.iter().map(|profile| profile.id).collect();
        assert_eq!(taken, [added[1].id, added[2].id, added[0].id]);
        let held = stock.profile(added[1].id).await;
        assert_eq!((held.stock_status, held.hold, held.version), (StockStatus::Held, Some(hold.id), 1));
        assert_eq!(stock.sell(2).await, Err(1), "what is held is not sold");

        // A person takes one aside; by the time of the look another one may no longer be sold.
        let transition = Transition { from: StockStatus::Held, to: StockStatus::Quarantined };
        let aside = stock.profile(added[2].id).await;
        let reason = Some(QuarantineReason::Manual);
        stock
            .store
            .write(move |conn| profiles::move_stock(conn, &aside, transition, reason, now()))
            .await
            .unwrap();
        assert_eq!(stock.profile(added[2].id).await.hold, None);
        let id = hold.id;
        let left = stock.store.write(move |conn| holds::held(conn, id, now() + days(20))).await.unwrap();
        let rows = |profiles: &[Claimed]| profiles.iter().map(|one| (one.id, one.version)).collect::<Vec<_>>();
        assert_eq!(
            (rows(&left.sellable), rows(&left.expired)),
            (vec![(added[0].id, 1)], vec![(added[1].id, 1)])
        );
        assert!(left.sellable.iter().all(|one| one.hold == Some(id) && one.stock_status() == StockStatus::Held));

        let all = [left.sellable, left.expired].concat();
        let (again, its) = (all.clone(), hold.clone());
        stock.store.write(move |conn| holds::give_back(conn, &its, &all, now())).await.unwrap();
        let back = stock.profile(added[1].id).await;
        assert_eq!((back.stock_status, back.hold, back.version), (StockStatus::Available, None, 2));
        let twice = stock.store.write(move |conn| holds::give_back(conn, &hold, &again, now())).await;
        assert!(is_race(&twice), "{twice:?}");
        assert_eq!(stock.sell(4).await, Err(3));
    }

    async fn what_is_not_available_is_not_reserved(db: TestDatabase) {
        let (stock, _) = Stock::of(db, 2).await;
        let (hold, claimed) = hold_of(&stock, 1).await;
        let again = stock.store.write(move |conn| holds::reserve(conn, hold.id, &claimed, now())).await;
        assert!(is_race(&again), "{again:?}");
    }

    /// An order takes from a hold and from the pool at once: each profile from where it was claimed.
    async fn an_order_takes_held_and_free_profiles(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 4).await;
        let (hold, _) = hold_of(&stock, 2).await;
        let (order, pool, id) = (new_order("ref"), stock.pool.clone(), hold.id);
        let order_id = order.id;
        stock.store.write(move |conn| orders::insert(conn, &order, &[line_of(&pool, 3)])).await.unwrap();
        let pool = stock.pool.clone();
        let allocate = |revealed| {
            let pool = pool.clone();
            stock.store.write(move |conn| {
                let mut taken = holds::held(conn, id, now())?.sellable;
                let Claim::Taken(free) = allocations::claim(conn, &pool, 1, now())? else {
                    panic!("out of stock");
                };
                taken.extend(free);
                let new: Vec<NewAllocation> = (0i32..)
                    .zip(taken)
                    .map(|(position, profile)| NewAllocation {
                        profile,
                        line_no: 0,
                        position,
                        outcome: ProfileOutcome::Fulfilled,
                    })
                    .collect();
                allocations::allocate(conn, order_id, &new, revealed, now())?;
                Ok::<_, StoreError>(new)
            })
        };
        let new = allocate(true).await.unwrap();
        assert_eq!(new.iter().map(|one| one.profile.id).collect::<Vec<_>>(), [
            added[0].id,
            added[1].id,
            added[2].id
        ]);
        for (row, version) in [(0, 3), (1, 3), (2, 2)] {
            let sold = stock.profile(added[row].id).await;
            assert_eq!(
                (sold.stock_status, sold.hold, sold.version),
                (StockStatus::Allocated, None, version),
                "{row}"
            );
        }
        let twice =
            stock.store.write(move |conn| allocations::allocate(conn, order_id, &new, false, now())).await;
        assert!(is_race(&twice), "{twice:?}");
        assert_eq!(stock.profile(added[3].id).await.stock_status, StockStatus::Available);
    }
}
