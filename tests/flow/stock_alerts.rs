//! Stock alerts: told when a threshold is crossed, once, and again when the stock has recovered.

use chrono::{DurationRound as _, TimeDelta};
use simdepot_application::pools::{self, PoolChange};
use simdepot_application::profiles::{self, EditProfile};
use simdepot_application::stock_alerts;
use simdepot_domain::event::{Fact, SubjectKind};
use simdepot_domain::pool::AlertLevel;
use simdepot_persistence::events;
use simdepot_tests::depot::{POOL, pool_settings, profiles_of};
use simdepot_tests::{TestDepot, on_both_databases};

/// One look; what it told of the pool.
async fn look(test: &TestDepot) -> Vec<Fact> {
    let before = told(test).await.len();
    stock_alerts::step(&test.depot).await.unwrap();
    told(test).await.split_off(before)
}

async fn told(test: &TestDepot) -> Vec<Fact> {
    let read = test.depot.store.read(|conn| events::of_subject(conn, SubjectKind::Pool, POOL));
    read.await.unwrap().into_iter().map(|event| event.fact).collect()
}

async fn level(test: &TestDepot) -> AlertLevel {
    pools::get(&test.depot, pool_settings().pool).await.unwrap().alert_level
}

async fn set(test: &TestDepot, low: Option<u32>, critical: Option<u32>) {
    let change =
        PoolChange { low_threshold: Some(low), critical_threshold: Some(critical), ..Default::default() };
    pools::change(&test.depot, pool_settings().pool, change).await.unwrap();
}

fn low(level: AlertLevel, available: u64, threshold: u32) -> Vec<Fact> {
    vec![Fact::PoolStockLow { level, available, threshold }]
}

fn recovered(level: AlertLevel, available: u64) -> Vec<Fact> {
    vec![Fact::PoolStockRecovered { level, available }]
}

on_both_databases! {
    async fn a_pool_tells_when_it_runs_low_and_when_it_has_recovered(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(5).await;
        assert_eq!(look(&test).await, [], "without thresholds there is nothing to tell");
        set(&test, Some(4), Some(2)).await;
        assert_eq!(look(&test).await, []);
        test.order("ref-0", 1).await.unwrap();
        assert_eq!(look(&test).await, low(AlertLevel::Low, 4, 4), "the threshold itself is low");
        test.order("ref-1", 1).await.unwrap();
        assert_eq!((look(&test).await, level(&test).await), (vec![], AlertLevel::Low));
        test.order("ref-2", 2).await.unwrap();
        assert_eq!(look(&test).await, low(AlertLevel::Critical, 1, 2));
        // Back to a threshold is not above it: a stock that swings around it is told of once.
        test.deliver(1).await;
        assert_eq!(look(&test).await, []);
        test.deliver(1).await;
        assert_eq!(look(&test).await, recovered(AlertLevel::Low, 3));
        test.deliver(1).await;
        assert_eq!(look(&test).await, [], "4 is the threshold");
        test.order("ref-3", 1).await.unwrap();
        assert_eq!(look(&test).await, [], "and it was told already");
        test.deliver(2).await;
        assert_eq!(look(&test).await, recovered(AlertLevel::Ok, 5));
        assert_eq!(level(&test).await, AlertLevel::Ok);
        // All at once, past both; a threshold that is taken away ends its alert.
        test.order("ref-4", 5).await.unwrap();
        assert_eq!(look(&test).await, low(AlertLevel::Critical, 0, 2));
        set(&test, None, None).await;
        assert_eq!(look(&test).await, recovered(AlertLevel::Ok, 0));
        assert_eq!(look(&test).await, []);
        test.finish().await;
    }

    async fn the_buffer_is_not_for_sale(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(5).await;
        set(&test, Some(3), None).await;
        assert_eq!(look(&test).await, []);
        let change = PoolChange { safety_buffer: Some(3), ..Default::default() };
        pools::change(&test.depot, pool_settings().pool, change).await.unwrap();
        assert_eq!(look(&test).await, low(AlertLevel::Low, 2, 3));
        test.finish().await;
    }

    /// Looks of several processes at once tell once.
    async fn an_alert_is_told_once(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        set(&test, Some(3), None).await;
        let before = told(&test).await.len();
        let looks: Vec<_> = (0..6)
            .map(|_| {
                let depot = test.restarted();
                tokio::spawn(async move { stock_alerts::step(&depot).await.unwrap() })
            })
            .collect();
        for look in looks {
            look.await.unwrap();
        }
        assert_eq!(told(&test).await.split_off(before), low(AlertLevel::Low, 0, 3));
        test.finish().await;
    }

    async fn stock_that_will_expire_is_told_of_in_time(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let day = TimeDelta::days(1);
        let begun = test.depot.now();
        for (batch, days) in [10, 20, 20].into_iter().enumerate() {
            let lines = test.twin.twin().add_lines(2);
            let file = simdepot_carrier_twin::delivery::delivery_file(&lines);
            let sell_by = Some(begun + day * days + TimeDelta::minutes(i64::try_from(batch).unwrap()));
            let asked = simdepot_application::imports::StartImport { sell_by, ..test.import_of() };
            test.import(file, asked).await.unwrap();
        }
        test.deliver(1).await;
        let told_of = |facts: Vec<Fact>| match facts.as_slice() {
            [] => None,
            [Fact::PoolStockExpiring { profiles, first, last }] => {
                Some((*profiles, (*first - begun).num_days(), (*last - begun).num_days()))
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(told_of(look(&test).await), Some((2, 10, 10)));
        assert_eq!(told_of(look(&test).await), None, "once");
        test.clock.advance(day * 5);
        assert_eq!(told_of(look(&test).await), None, "20 days is more than two weeks away");
        test.clock.advance(day + TimeDelta::hours(2));
        assert_eq!(told_of(look(&test).await), Some((4, 20, 20)));
        test.clock.advance(day * 10);
        assert_eq!(told_of(look(&test).await), None);
        // A carrier that needs longer is told of earlier.
        let change = PoolChange { lead_time_days: Some(Some(40)), ..Default::default() };
        pools::change(&test.depot, pool_settings().pool, change).await.unwrap();
        let lines = test.twin.twin().add_lines(1);
        let file = simdepot_carrier_twin::delivery::delivery_file(&lines);
        let asked = simdepot_application::imports::StartImport {
            sell_by: Some(test.depot.now() + day * 39),
            ..test.import_of()
        };
        test.import(file, asked).await.unwrap();
        assert!(matches!(look(&test).await.as_slice(), [Fact::PoolStockExpiring { profiles: 1, .. }]));
        test.finish().await;
    }

    /// Sales of the pool's days, and nothing but sales.
    async fn the_burn_rate_is_what_is_sold_on_a_day(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let burn_rate = async || pools::stock(&test.depot, pool_settings().pool).await.unwrap().burn_rate;
        test.deliver(9).await;
        assert_eq!(burn_rate().await, 0.0);
        // At noon of the pool's second day, so that no day ends while the test runs.
        let pool = pools::get(&test.depot, pool_settings().pool).await.unwrap();
        let day = pool.created_at.duration_trunc(TimeDelta::days(1)).unwrap();
        test.clock.advance(day + TimeDelta::hours(36) - test.depot.now());
        let placed = test.order("ref-1", 3).await.unwrap();
        assert_eq!(burn_rate().await, 1.5);
        let sold = profiles_of(&placed.order)[0].iccid.clone();
        let edit = EditProfile { sell_by: Some(test.depot.now()), ..EditProfile::default() };
        profiles::edit(&test.depot, sold, edit).await.unwrap();
        assert_eq!(burn_rate().await, 1.5, "it is not sold again");
        test.clock.advance(TimeDelta::days(1));
        test.order("ref-2", 2).await.unwrap();
        assert_eq!(burn_rate().await, 5.0 / 3.0);
        for (days, sold) in [(26, 5.0), (1, 2.0), (1, 0.0)] {
            test.clock.advance(TimeDelta::days(days));
            assert_eq!(burn_rate().await, sold / 28.0);
        }
        test.finish().await;
    }
}
