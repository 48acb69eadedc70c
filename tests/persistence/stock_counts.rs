//! The counts of the stock against what is counted, under every kind of move.

use std::collections::BTreeMap;

use simdepot_domain::hold::HoldStatus;
use simdepot_domain::id::HoldId;
use simdepot_domain::pool::InitialStock;
use simdepot_domain::profile::QuarantineReason;
use simdepot_domain::stock::{StockStatus, Transition};
use simdepot_persistence::allocations::{self, Claim};
use simdepot_persistence::holds::{self, Hold};
use simdepot_persistence::imports::Import;
use simdepot_persistence::pools::Pool;
use simdepot_persistence::profiles::{self, NewProfile, Profile, ProfileEdit};
use simdepot_persistence::{Backend, Conn, Store, StoreError, stock_counts, verification};
use simdepot_tests::{TestDatabase, on_both_databases, on_postgres};

use crate::support::{
    Stock, add_profiles, channel, days, make_import, make_pool, new_profile, now, sell, uuid,
};

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

/// What the profiles come to when they are counted.
fn counted(stock: &Stock, pool: i64) -> (BTreeMap<String, i64>, i64) {
    let mut raw = stock.db.raw();
    let moment = match stock.db.backend() {
        Backend::Postgres => "now()",
        Backend::Sqlite => "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
    };
    let mut by_status = BTreeMap::new();
    for status in ["available", "held", "allocated", "quarantined", "retired"] {
        let there = raw.number(&format!(
            "SELECT COUNT(*) AS value FROM profiles WHERE pool_id = {pool} AND stock_status = '{status}'"
        ));
        if there > 0 {
            by_status.insert(status.to_owned(), there);
        }
    }
    let expired = raw.number(&format!(
        "SELECT COUNT(*) AS value FROM profiles WHERE pool_id = {pool} AND stock_status = 'available' \
         AND sell_by <= {moment}"
    ));
    (by_status, expired)
}

async fn kept(stock: &Stock, pool: i64) -> (BTreeMap<String, i64>, i64) {
    let counts = stock.store.read(move |conn| stock_counts::of_pool(conn, pool, now())).await.unwrap();
    let by_status = counts.by_status.into_iter();
    let by_status = by_status.map(|(status, there)| (status.to_string(), i64::try_from(there).unwrap()));
    (by_status.collect(), i64::try_from(counts.expired).unwrap())
}

async fn assert_counts(stock: &Stock, pools: &[Pool], what: &str) {
    for pool in pools {
        assert_eq!(kept(stock, pool.id).await, counted(stock, pool.id), "{} {what}", pool.settings.pool);
    }
    // The profiles have no codes, and the orders no operations: only the counts are whole.
    let broken = stock.store.read(verification::broken_invariants).await.unwrap();
    let of_counts = broken.iter().find(|broken| broken.invariant.contains("counts of the stock"));
    assert_eq!(of_counts, None, "{what}");
}

/// A profile that stands somewhere, if there is one.
async fn any_of(stock: &Stock, status: StockStatus, dice: &mut Dice) -> Option<Profile> {
    let all = stock.store.read(|conn| verification::profiles_after(conn, 0, 10_000)).await.unwrap();
    let mut there: Vec<Profile> = all.into_iter().filter(|profile| profile.stock_status == status).collect();
    if there.is_empty() { None } else { Some(there.swap_remove(dice.roll(there.len()))) }
}

fn batch(dice: &mut Dice, profiles: usize) -> Vec<NewProfile> {
    let mut new: Vec<NewProfile> = (0..profiles).map(|_| new_profile()).collect();
    for profile in &mut new {
        if dice.roll(4) == 0 {
            profile.stock = InitialStock::Quarantined(QuarantineReason::Manual);
        }
        if dice.roll(3) == 0 {
            profile.sell_by = now() + days(i64::try_from(dice.roll(4)).unwrap() * 10 - 10);
        }
    }
    new
}

fn reserve(conn: &mut Conn<'_>, pool: &Pool, quantity: u32) -> Result<Option<HoldId>, StoreError> {
    let Claim::Taken(claimed) = allocations::claim(conn, pool, quantity, now())? else { return Ok(None) };
    let hold = Hold {
        id: HoldId(uuid()),
        channel: channel("shop"),
        pool_id: pool.id,
        quantity: i64::from(quantity).try_into().unwrap(),
        status: HoldStatus::Active,
        expires_at: now() + days(1),
        order: None,
        version: 1,
        created_at: now(),
        updated_at: now(),
    };
    holds::insert(conn, &hold)?;
    holds::reserve(conn, hold.id, &claimed, now())?;
    Ok(Some(hold.id))
}

fn return_hold(conn: &mut Conn<'_>, id: HoldId) -> Result<(), StoreError> {
    let hold = holds::find(conn, id)?.unwrap();
    let held = holds::held(conn, id, now())?;
    holds::give_back(conn, &hold, &held.sellable, now())?;
    holds::give_back(conn, &hold, &held.expired, now())
}

struct Walk {
    pools: Vec<Pool>,
    import: Import,
    holds: Vec<HoldId>,
    sold: u64,
}

impl Walk {
    async fn step(&mut self, stock: &Stock, dice: &mut Dice) {
        let (store, pool) = (&stock.store, self.pools[dice.roll(self.pools.len())].clone());
        let quantity = u32::try_from(dice.roll(3)).unwrap() + 1;
        match dice.roll(9) {
            0 => {
                let (new, import) = (batch(dice, 8), make_import(store, &pool).await);
                add_profiles(store, &pool, &import, new).await;
                self.import = import;
            }
            1 | 2 => {
                let sold = store.write(move |conn| sell(conn, &pool, quantity, now())).await.unwrap();
                self.sold += sold.map_or(0, |ids| u64::try_from(ids.len()).unwrap());
            }
            3 => self.holds.extend(store.write(move |conn| reserve(conn, &pool, quantity)).await.unwrap()),
            4 => {
                if let Some(hold) = self.holds.pop() {
                    store.write(move |conn| return_hold(conn, hold)).await.unwrap();
                }
            }
            5 => self.move_one(stock, StockStatus::Available, StockStatus::Quarantined, dice).await,
            6 => self.move_one(stock, StockStatus::Quarantined, StockStatus::Available, dice).await,
            7 => self.move_one(stock, StockStatus::Quarantined, StockStatus::Retired, dice).await,
            _ => edit(stock, &pool, dice).await,
        }
        if dice.roll(5) == 0 {
            let undone = self.import.id;
            store.write(move |conn| take_back(conn, undone)).await.unwrap();
        }
    }

    async fn move_one(&self, stock: &Stock, from: StockStatus, to: StockStatus, dice: &mut Dice) {
        let Some(profile) = any_of(stock, from, dice).await else { return };
        let reason = (to == StockStatus::Quarantined).then_some(QuarantineReason::Manual);
        let moved = stock
            .store
            .write(move |conn| profiles::move_stock(conn, &profile, Transition { from, to }, reason, now()));
        moved.await.unwrap();
    }
}

async fn edit(stock: &Stock, pool: &Pool, dice: &mut Dice) {
    let all = [StockStatus::Available, StockStatus::Quarantined, StockStatus::Allocated];
    let status = all[dice.roll(all.len())];
    let Some(profile) = any_of(stock, status, dice).await else { return };
    let sell_by = now() + days(i64::try_from(dice.roll(5)).unwrap() - 2);
    let edit = ProfileEdit {
        pool_id: (dice.roll(2) == 0).then_some(pool.id),
        sell_by: (dice.roll(2) == 0).then_some(sell_by),
        ..ProfileEdit::default()
    };
    stock.store.write(move |conn| profiles::edit(conn, &profile, &edit, now())).await.unwrap();
}

fn take_back(conn: &mut Conn<'_>, import: simdepot_domain::id::ImportId) -> Result<(), StoreError> {
    let (fresh, all) = profiles::untouched(conn, import)?;
    if fresh == all { profiles::delete_untouched(conn, import, all, now()) } else { Ok(()) }
}

async fn fold(store: &Store) {
    store.write(|conn| stock_counts::fold_more_than(conn, 0)).await.unwrap();
}

fn open_moves(db: &TestDatabase) -> i64 {
    db.raw().number("SELECT COUNT(*) AS value FROM stock_moves")
}

on_both_databases! {
    async fn the_counts_are_what_is_there_after_any_moves(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let pools = vec![stock.pool.clone(), make_pool(&stock.store, "other", 0).await];
        let mut walk = Walk { pools, import: stock.import.clone(), holds: Vec::new(), sold: 0 };
        let mut dice = Dice(20_261_122);
        stock.add(batch(&mut dice, 30)).await;
        for step in 0..120 {
            walk.step(&stock, &mut dice).await;
            if dice.roll(4) == 0 {
                fold(&stock.store).await;
            }
            if step % 10 == 0 {
                assert_counts(&stock, &walk.pools, &format!("after step {step}")).await;
            }
        }
        assert_counts(&stock, &walk.pools, "at the end").await;
        fold(&stock.store).await;
        assert_counts(&stock, &walk.pools, "when all is folded").await;
        assert_eq!(stock.db.raw().number("SELECT COUNT(*) AS value FROM stock_counts WHERE profiles <= 0"), 0);
        let mut sold = 0;
        for pool in &walk.pools {
            let id = pool.id;
            sold += stock.store.read(move |conn| stock_counts::sold_since(conn, id, now() - days(2))).await.unwrap();
            let later = stock.store.read(move |conn| stock_counts::sold_since(conn, id, now()));
            assert_eq!(later.await.unwrap(), 0, "no day begins after now");
        }
        assert!(walk.sold > 0);
        assert_eq!(sold, walk.sold);
        let total = stock.store.read(stock_counts::total).await.unwrap();
        assert_eq!(i64::try_from(total).unwrap(), stock.db.raw().number("SELECT COUNT(*) AS value FROM profiles"));
    }

    async fn what_was_rolled_back_is_not_counted(db: TestDatabase) {
        let (stock, _) = Stock::of(db, 5).await;
        let pool = stock.pool.clone();
        let failed = stock.store.write(move |conn| {
            sell(conn, &pool, 2, now())?.unwrap();
            Err::<(), _>(StoreError::Busy)
        });
        failed.await.unwrap_err();
        assert_counts(&stock, std::slice::from_ref(&stock.pool), "after a rollback").await;
        // A count that is wrong is found.
        stock.db.raw().execute("UPDATE stock_counts SET profiles = profiles + 1; INSERT INTO stock_counts \
            SELECT id, 'held', created_at, 1 FROM pools");
        let broken = stock.store.read(verification::broken_invariants).await.unwrap();
        assert!(broken.iter().any(|broken| broken.invariant.contains("counts of the stock")), "{broken:?}");
    }
}

on_postgres! {
    async fn sales_do_not_wait_and_every_moment_adds_up(db: TestDatabase) {
        let (stock, _) = Stock::of(db, 400).await;
        let sellers = (0..8).map(|_| {
            let (store, pool) = (stock.store.clone(), stock.pool.clone());
            tokio::spawn(async move {
                for _ in 0..25 {
                    let pool = pool.clone();
                    store.write(move |conn| sell(conn, &pool, 1, now())).await.unwrap().unwrap();
                    fold(&store).await;
                }
            })
        });
        let sellers: Vec<_> = sellers.collect();
        while !sellers.iter().all(tokio::task::JoinHandle::is_finished) {
            let (counts, _) = kept(&stock, stock.pool.id).await;
            assert_eq!(counts.values().sum::<i64>(), 400, "{counts:?}");
            assert_eq!(stock.store.read(stock_counts::total).await.unwrap(), 400);
        }
        for seller in sellers {
            seller.await.unwrap();
        }
        assert_counts(&stock, std::slice::from_ref(&stock.pool), "after the sales").await;
        let pool = stock.pool.id;
        let sold = stock.store.read(move |conn| stock_counts::sold_since(conn, pool, now() - days(2)));
        assert_eq!(sold.await.unwrap(), 200);
    }

    async fn a_sale_that_was_open_while_moves_were_folded_counts_when_it_is_done(db: TestDatabase) {
        let (stock, _) = Stock::of(db, 10).await;
        let (store, pool) = (stock.store.clone(), stock.pool.clone());
        let (begun, has_begun) = std::sync::mpsc::channel();
        let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
        let slow = tokio::spawn(async move {
            let sold = store.write(move |conn| {
                sell(conn, &pool, 2, now())?.unwrap();
                begun.send(()).unwrap();
                may_go_on.recv().unwrap();
                Ok::<_, StoreError>(())
            });
            sold.await
        });
        tokio::task::spawn_blocking(move || has_begun.recv().unwrap()).await.unwrap();
        stock.sell(3).await.unwrap();
        for _ in 0..3 {
            fold(&stock.store).await;
            assert_counts(&stock, std::slice::from_ref(&stock.pool), "with a sale open").await;
        }
        go_on.send(()).unwrap();
        slow.await.unwrap().unwrap();
        assert_eq!(open_moves(&stock.db), 1);
        assert_counts(&stock, std::slice::from_ref(&stock.pool), "before it is folded").await;
        fold(&stock.store).await;
        assert_eq!(open_moves(&stock.db), 0);
        assert_counts(&stock, std::slice::from_ref(&stock.pool), "when it is folded").await;
    }

    async fn a_few_moves_are_left_alone(db: TestDatabase) {
        let (stock, _) = Stock::of(db, 10).await;
        stock.sell(1).await.unwrap();
        stock.store.write(stock_counts::fold).await.unwrap();
        assert_eq!(open_moves(&stock.db), 2);
    }

    async fn a_database_from_another_cluster_counts_on(db: TestDatabase) {
        let (stock, _) = Stock::of(db, 10).await;
        fold(&stock.store).await;
        stock.sell(1).await.unwrap();
        // As it was restored from a cluster whose transactions had come further.
        stock.db.raw().execute(
            "UPDATE stock_folds SET next_txid = 4611686018427387904; \
             UPDATE stock_moves SET txid = 4611686018427387905",
        );
        let store = stock.db.store();
        let stock = Stock { store, ..stock };
        stock.sell(2).await.unwrap();
        assert_counts(&stock, std::slice::from_ref(&stock.pool), "in the new cluster").await;
        fold(&stock.store).await;
        assert_eq!(open_moves(&stock.db), 0);
        stock.sell(3).await.unwrap();
        assert_counts(&stock, std::slice::from_ref(&stock.pool), "when all is folded").await;
    }
}
