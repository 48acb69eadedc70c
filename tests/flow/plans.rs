//! Customers' plans that run out are told of, once; and plans on an account of IoT lines.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use simdepot_application::bundles::list;
use simdepot_application::pools::{PoolChange, change};
use simdepot_application::{plan_watch, products};
use simdepot_carrier_twin::{Delivered, LineSpec, TwinConfig};
use simdepot_domain::bundle::{Balance, BundleStatus};
use simdepot_domain::clock::{Clock, SystemClock};
use simdepot_domain::event::{Fact, SubjectKind};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::{IdGenerator, RandomIds};
use simdepot_domain::sim::SimStatus;
use simdepot_persistence::bundles::{self, Bundle, BundleSeen};
use simdepot_persistence::{Backend, events};
use simdepot_tests::depot::{pool_settings, storefront};
use simdepot_tests::{TestDepot, on_both_databases};

use crate::inbound::tell;

const IOT_PRODUCT: &str = "WW_901I_IOTC_ONEOFF_WORLD_1GB_12M";

async fn watch(test: &TestDepot, balance_low_percent: Option<u32>, expiry_warning_days: Option<u32>) {
    let change_of = PoolChange {
        balance_low_percent: Some(balance_low_percent),
        expiry_warning_days: Some(expiry_warning_days),
        ..PoolChange::default()
    };
    change(&test.depot, pool_settings().pool, change_of).await.unwrap();
}

/// A plan that runs: sold, scanned, used.
async fn running(test: &TestDepot) -> LineSpec {
    let line = test.deliver(1).await.remove(0);
    test.order_with_product("sale", 1).await.unwrap();
    test.work_until_settled().await;
    let now = SystemClock.now();
    let mut twin = test.twin.twin();
    twin.simulate_download(&line.iccid, None, now).unwrap();
    twin.simulate_install(&line.iccid, now).unwrap();
    twin.simulate_enable(&line.iccid, now).unwrap();
    twin.attach(&line.iccid, "FR", now).unwrap();
    drop(twin);
    line
}

/// Reads the balances, as an owner does more than a minute later.
async fn read(test: &TestDepot, iccid: &Iccid) -> Bundle {
    let back = match test.db.backend() {
        Backend::Postgres => "INTERVAL '2 minutes'",
        Backend::Sqlite => "120000000",
    };
    test.db.raw().execute(&format!("UPDATE bundles SET fetched_at = fetched_at - {back}"));
    let mut found = list(&test.depot, &storefront("default"), iccid.clone()).await.unwrap();
    found.remove(0).bundle
}

/// What was told of the plan.
async fn warnings(test: &TestDepot, bundle: &Bundle) -> Vec<Fact> {
    let id = bundle.id.to_string();
    let read = test.depot.store.read(move |conn| events::of_subject(conn, SubjectKind::Bundle, &id));
    let is_warning =
        |fact: &Fact| matches!(fact, Fact::BundleBalanceLow { .. } | Fact::BundleExpiresSoon { .. });
    read.await.unwrap().into_iter().map(|event| event.fact).filter(is_warning).collect()
}

fn low(line: &LineSpec, percent_left: u32) -> Fact {
    Fact::BundleBalanceLow { iccid: line.iccid.clone(), percent_left, threshold: 20 }
}

fn consume(test: &TestDepot, line: &LineSpec, mebibytes: u64) {
    test.twin.twin().consume(&line.iccid, mebibytes << 20, SystemClock.now()).unwrap();
}

async fn ends(test: &TestDepot, bundle: &Bundle, at: DateTime<Utc>) {
    let bundle = bundle.clone();
    let seen = BundleSeen { expires_at: Some(at), ..BundleSeen::default() };
    test.depot.store.write(move |conn| bundles::observe(conn, &bundle, &seen, at)).await.unwrap();
}

on_both_databases! {
    async fn a_low_balance_is_told_once_and_again_after_a_renewal(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        watch(&test, Some(20), None).await;
        let line = running(&test).await;
        consume(&test, &line, 800);
        let bundle = read(&test, &line.iccid).await;
        assert_eq!(bundle.status, BundleStatus::Active);
        assert_eq!(warnings(&test, &bundle).await, [], "22 percent of a gibibyte are left");
        consume(&test, &line, 30);
        let bundle = read(&test, &line.iccid).await;
        assert_eq!(warnings(&test, &bundle).await, [low(&line, 18)]);
        consume(&test, &line, 100);
        let bundle = read(&test, &line.iccid).await;
        assert_eq!(warnings(&test, &bundle).await.len(), 1, "once");

        // Renewed: another period, which runs low as well.
        let renewed = |balance: &Balance| Balance {
            ends_at: balance.ends_at.map(|at| at + TimeDelta::days(30)),
            ..balance.clone()
        };
        let balances = bundle.balances.iter().map(renewed).collect();
        let expires_at = bundle.expires_at.map(|at| at + TimeDelta::days(30));
        let seen = BundleSeen { balances: Some(balances), expires_at, ..BundleSeen::default() };
        let (known, now) = (bundle.clone(), test.depot.now());
        test.depot.store.write(move |conn| bundles::observe(conn, &known, &seen, now)).await.unwrap();
        watch(&test, Some(20), Some(300)).await;
        assert!(plan_watch::step(&test.depot).await.unwrap(), "its end is told by the clock, with all there is to tell");
        let told = warnings(&test, &bundle).await;
        assert!(matches!(told[..], [_, Fact::BundleBalanceLow { .. }, Fact::BundleExpiresSoon { .. }]), "{told:?}");
        test.finish().await;
    }

    async fn a_near_end_is_told_without_a_sighting(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = running(&test).await;
        let bundle = read(&test, &line.iccid).await;
        assert!(!plan_watch::step(&test.depot).await.unwrap(), "no pool wants it");
        watch(&test, None, Some(3)).await;
        assert!(!plan_watch::step(&test.depot).await.unwrap(), "it has seven days");
        test.clock.advance(TimeDelta::days(5));
        assert!(plan_watch::step(&test.depot).await.unwrap());
        let expires_at = bundle.expires_at.unwrap();
        let told = Fact::BundleExpiresSoon { iccid: line.iccid.clone(), expires_at };
        assert_eq!(warnings(&test, &bundle).await, [told]);
        assert!(!plan_watch::step(&test.depot).await.unwrap(), "once");
        // Moved: another end. A sighting tells of it, or the clock.
        let id = bundle.id;
        let now_known = test.depot.store.read(move |conn| bundles::find(conn, id)).await.unwrap().unwrap();
        let moved = test.depot.now() + TimeDelta::days(5);
        ends(&test, &now_known, moved).await;
        assert!(!plan_watch::step(&test.depot).await.unwrap());
        test.clock.advance(TimeDelta::days(3));
        assert!(plan_watch::step(&test.depot).await.unwrap());
        let again = warnings(&test, &bundle).await;
        assert_eq!(again.len(), 2);
        assert!(matches!(&again[1], Fact::BundleExpiresSoon { expires_at, .. } if (*expires_at - moved).abs() < TimeDelta::milliseconds(1)));
        // Over is not soon.
        test.clock.advance(TimeDelta::days(30));
        assert!(!plan_watch::step(&test.depot).await.unwrap());
        test.finish().await;
    }

    async fn many_that_end_at_once_are_told_in_batches(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(230).await;
        test.order_with_product("sale", 230).await.unwrap();
        test.work_until_settled().await;
        let at = test.depot.now() + TimeDelta::days(2);
        let moment = match test.db.backend() {
            Backend::Postgres => format!("'{}'", at.to_rfc3339()),
            Backend::Sqlite => at.timestamp_micros().to_string(),
        };
        // As reads and events would: the carrier is not asked two hundred times here.
        test.db.raw().execute(&format!("UPDATE bundles SET expires_at = {moment}"));
        let ids = test.db.raw().number("SELECT COUNT(*) AS value FROM bundles WHERE status = 'preloaded'");
        assert_eq!(ids, 230);
        watch(&test, None, Some(3)).await;
        assert!(!plan_watch::step(&test.depot).await.unwrap(), "none of them runs");
        let started = test.depot.clone();
        let all = test.depot.store.read(|conn| simdepot_persistence::verification::bundles_after(conn, None, 1_000));
        for seen in all.await.unwrap() {
            let work = started.clone();
            let move_it = test.depot.store.write(move |conn| {
                let bundle = bundles::find(conn, seen.id)?.unwrap();
                let now = work.now();
                let to = BundleStatus::Active;
                let moved = BundleSeen { moved_to: Some(to), ..BundleSeen::default() };
                let version = bundles::observe(conn, &bundle, &moved, now)?;
                let iccid = simdepot_persistence::profiles::get(conn, bundle.profile_id)?.iccid;
                let fact = Fact::BundleStatusChanged { iccid, from: bundle.status, to };
                let subject = simdepot_domain::event::Subject::Bundle(bundle.id);
                events::append(conn, &[work.event(now, subject, version, fact)])
            });
            move_it.await.unwrap();
        }
        let mut steps = 0;
        while plan_watch::step(&test.depot).await.unwrap() {
            steps += 1;
        }
        let told = test.db.raw().number("SELECT COUNT(*) AS value FROM events WHERE type_name = 'bundle.expires_soon'");
        assert_eq!((steps, told), (3, 230));
        test.finish().await;
    }

    async fn a_threshold_event_has_the_balances_read_soon(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        watch(&test, Some(20), None).await;
        let line = running(&test).await;
        let bundle = read(&test, &line.iccid).await;
        consume(&test, &line, 900);
        let due = "SELECT COUNT(*) AS value FROM profile_checks";
        let before = test.db.raw().number(due);
        let body = json!({
            "iccid": line.iccid, "msisdn": line.msisdn(),
            "productSubscription": {"subscriptionId": bundle.subscription_id}
        });
        let id = RandomIds.uuid().to_string();
        let header = json!({
            "eventId": id, "eventType": "OCS/PRODUCT/RESOURCE/THRESHOLD",
            "eventDate": test.depot.now().to_rfc3339()
        });
        tell(&test, &json!({"header": header, "body": body})).await;
        assert_eq!(test.db.raw().number(due), before + 1);
        let mut test = test;
        crate::reconciliation::sweep_profiles(&mut test, 1).await;
        assert_eq!(warnings(&test, &bundle).await, [low(&line, 12)]);
        test.finish().await;
    }

    /// An account with the COS of IoT lines: its plans are listed, and sold on an active line.
    async fn plans_are_put_on_active_iot_lines(db: TestDatabase) {
        let test = TestDepot::start_as(db, TwinConfig::iot(), Duration::from_secs(5)).await;
        let listed = products::list(&test.depot, products::ProductFilter::default(), 100).await.unwrap();
        let names: Vec<_> = listed.iter().map(|product| product.product.product.as_str()).collect();
        assert!(names.contains(&IOT_PRODUCT) && names.contains(&"WW_901I_IOTC_RECURRING_EUROPE_1GB_1M"), "{names:?}");
        let delivered = Delivered { numbered: true, ..Delivered::preactivated() };
        let line = test.twin.twin().add_lines_as(1, delivered).remove(0);
        let file = simdepot_carrier_twin::delivery::delivery_file(std::slice::from_ref(&line));
        test.import(file, test.import_of()).await.unwrap();
        test.order("sale", 1).await.unwrap();
        let now = SystemClock.now();
        test.twin.twin().set_line_status(&line.iccid, SimStatus::Active, now).unwrap();
        test.top_up(&line.iccid, "top-up", IOT_PRODUCT).await.unwrap();
        test.work_until_settled().await;
        let bundle = read(&test, &line.iccid).await;
        assert!(matches!(bundle.status, BundleStatus::Ready | BundleStatus::Active), "{bundle:?}");
        assert_eq!(bundle.order_type, Some(simdepot_domain::bundle::OrderType::Subscribe));
        test.finish().await;
    }
}
