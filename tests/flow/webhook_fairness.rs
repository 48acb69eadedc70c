//! One webhook endpoint's trouble is not the others'.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use simdepot_application::AppError;
use simdepot_application::depot::Depot;
use simdepot_application::webhooks::deliver;
use simdepot_application::webhooks::endpoints::{self, EndpointChange, NewEndpoint};
use simdepot_application::webhooks::replay::{Replay, replay};
use simdepot_domain::webhook::{DeliveryStatus, EndpointStatus, Health, Parcel, Reply};
use simdepot_tests::depot::storefront;
use simdepot_tests::webhooks::{TestCourier, answer};
use simdepot_tests::{TestDatabase, TestDepot, on_both_databases};

use crate::webhooks::{caller, deliver_due, endpoint, endpoint_at, fan_out_all, log, start};

const DEAD: &str = "https://dead.example.com/hook";
/// How long a dead endpoint is waited for: longer than these tests are patient.
const HANGS: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(8);

fn is_dead(parcel: &Parcel) -> bool {
    parcel.url == DEAD
}

/// Workers as a server has them.
struct Workers(Vec<tokio::task::JoinHandle<()>>);

impl Workers {
    fn start(depot: &Depot, count: usize) -> Self {
        let work = |depot: Depot| async move {
            loop {
                if !deliver::step(&depot).await.unwrap() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        };
        Self((0..count).map(|_| tokio::spawn(work(depot.clone()))).collect())
    }

    /// Ends them wherever they are. None has failed.
    async fn stop(self) {
        for worker in self.0 {
            worker.abort();
            assert!(worker.await.unwrap_err().is_cancelled());
        }
    }
}

/// `dead` endpoints that are known to fail, and more events for them and for a healthy one than there are workers, of
/// which failing ones may have `probes`.
async fn beside_dead_ones(db: TestDatabase, dead: usize, workers: usize, probes: usize) {
    let courier = TestCourier::new();
    let mut test = start(db, &courier).await;
    test.pace(|pace| {
        (pace.webhook_probes, pace.lease) = (probes, TimeDelta::minutes(2));
        pace.webhook_timeout = HANGS * 2;
    });
    test.number_all_events().await;
    for _ in 0..dead {
        endpoint_at(&test.depot, DEAD, None).await;
    }
    let healthy = endpoint(&test.depot, None).await.endpoint;
    courier.answering(|parcel| {
        if is_dead(parcel) { Reply::Failed { reason: "time-out".to_owned() } } else { answer(204) }
    });
    test.deliver(5).await;
    fan_out_all(&test).await;
    deliver_due(&test.depot).await;
    let tried = courier.tries().iter().filter(|(parcel, _)| is_dead(parcel)).count();
    assert_eq!(tried, dead, "one try of each, whatever waits for it");
    test.order("ref-1", 3).await.unwrap();
    fan_out_all(&test).await;
    test.clock.advance(TimeDelta::minutes(6));
    courier.taking(|parcel| if is_dead(parcel) { HANGS } else { Duration::ZERO });
    let before = courier.taken().len();
    let (begun, at_work) = (Instant::now(), Workers::start(&test.depot, workers));
    while !log(&test.depot, healthy.id, Some(DeliveryStatus::Pending)).await.is_empty() {
        assert!(begun.elapsed() < PATIENCE, "the healthy one waits");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(courier.taken().len() >= before + 5);
    // And the dead ones get what is theirs of the workers, and no more.
    while test.depot.probes.under_way() < probes {
        assert!(begun.elapsed() < PATIENCE, "the dead ones are not tried");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    test.order("ref-2", 1).await.unwrap();
    fan_out_all(&test).await;
    while !log(&test.depot, healthy.id, Some(DeliveryStatus::Pending)).await.is_empty() {
        assert!(begun.elapsed() < HANGS / 2, "the healthy one waits");
        assert_eq!(test.depot.probes.under_way(), probes);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    at_work.stop().await;
    // What was being recorded when they were stopped is recorded to its end.
    while test.depot.probes.under_way() > 0 {
        assert!(begun.elapsed() < HANGS * 2, "a try never ends");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    test.finish().await;
}

async fn health(test: &TestDepot, id: simdepot_domain::id::WebhookEndpointId) -> Health {
    endpoints::get(&test.depot, &caller(), id).await.unwrap().health
}

on_both_databases! {
    async fn nine_dead_endpoints_do_not_hold_a_healthy_one_up(db: TestDatabase) {
        beside_dead_ones(db, 9, 16, 8).await;
    }

    async fn a_dead_endpoint_leaves_the_fewest_workers_to_a_healthy_one(db: TestDatabase) {
        beside_dead_ones(db, 2, 2, 1).await;
    }

    async fn an_endpoint_that_asks_for_time_gets_it_for_all_of_its_deliveries(db: TestDatabase) {
        let courier = TestCourier::new();
        let test = start(db, &courier).await;
        test.number_all_events().await;
        let made = endpoint(&test.depot, None).await.endpoint;
        test.deliver(2).await;
        test.order("ref-1", 2).await.unwrap();
        fan_out_all(&test).await;
        courier.answering(|_| Reply::Answered { status: 429, retry_after: Some("3600".to_owned()) });
        assert_eq!(deliver_due(&test.depot).await, 1);
        test.clock.advance(TimeDelta::minutes(59));
        assert_eq!(deliver_due(&test.depot).await, 0, "the others have not been tried, and wait as well");
        test.clock.advance(TimeDelta::minutes(2));
        courier.answering(|_| answer(204));
        assert!(deliver_due(&test.depot).await > 3);
        assert_eq!(health(&test, made.id).await, Health::default());
        assert!(log(&test.depot, made.id, Some(DeliveryStatus::Pending)).await.is_empty());
        test.finish().await;
    }

    async fn an_owner_ends_the_pause(db: TestDatabase) {
        let courier = TestCourier::new();
        let test = start(db, &courier).await;
        test.number_all_events().await;
        let made = endpoint(&test.depot, None).await.endpoint;
        test.deliver(2).await;
        fan_out_all(&test).await;
        courier.answering(|_| Reply::Answered { status: 503, retry_after: Some("3600".to_owned()) });
        assert_eq!(deliver_due(&test.depot).await, 1);
        // Another description is no other endpoint.
        let words = EndpointChange { description: Some(Some("x".to_owned())), ..Default::default() };
        endpoints::change(&test.depot, &caller(), made.id, words).await.unwrap();
        let paused = health(&test, made.id).await;
        assert!(paused.failures == 1 && !paused.is_due(test.depot.now() + TimeDelta::minutes(50)));
        assert_eq!(deliver_due(&test.depot).await, 0);
        // A replay: tried at once, and still as a failing one.
        let all = Replay::Range { from: 1, to: made.position + 1 };
        replay(&test.depot, &caller(), made.id, all, None).await.unwrap();
        assert_eq!(health(&test, made.id).await, Health { failures: 1, not_before: None });
        assert_eq!((deliver_due(&test.depot).await, health(&test, made.id).await.failures), (1, 2));
        // "It is on": also what waits for its own next try.
        courier.answering(|_| answer(204));
        let on = EndpointChange { status: Some(EndpointStatus::Enabled), ..Default::default() };
        let changed = endpoints::change(&test.depot, &caller(), made.id, on).await.unwrap();
        assert_eq!((changed.version, changed.health), (2, Health { failures: 2, not_before: None }));
        deliver_due(&test.depot).await;
        assert!(log(&test.depot, made.id, Some(DeliveryStatus::Pending)).await.is_empty());
        // Another address is another endpoint.
        test.order("ref-1", 1).await.unwrap();
        fan_out_all(&test).await;
        courier.answering(|_| answer(500));
        assert_eq!(deliver_due(&test.depot).await, 1);
        let moved = EndpointChange { url: Some("https://new.example.com/".to_owned()), ..Default::default() };
        let moved = endpoints::change(&test.depot, &caller(), made.id, moved).await.unwrap();
        assert_eq!(moved.health, Health::default());
        courier.answering(|_| answer(204));
        deliver_due(&test.depot).await;
        assert!(log(&test.depot, made.id, Some(DeliveryStatus::Pending)).await.is_empty());
        test.finish().await;
    }

    async fn a_channel_has_so_many_endpoints(db: TestDatabase) {
        let courier = TestCourier::new();
        let mut test = start(db, &courier).await;
        test.pace(|pace| pace.webhook_endpoints = 3);
        let make = |depot: Depot, channel: &'static str| async move {
            let new = NewEndpoint { url: DEAD.to_owned(), description: None, types: None };
            endpoints::create(&depot, &storefront(channel), new, None).await
        };
        let asked: Vec<_> = (0..6).map(|_| tokio::spawn(make(test.restarted(), "default"))).collect();
        let mut made = Vec::new();
        for asked in asked {
            match asked.await.unwrap() {
                Ok((with_secret, _)) => made.push(with_secret.endpoint.id),
                Err(AppError::Invalid(errors)) => assert_eq!(errors[0].code, "limit"),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(made.len(), 3);
        make(test.depot.clone(), "other").await.unwrap();
        let off = EndpointChange { status: Some(EndpointStatus::Disabled), ..Default::default() };
        endpoints::change(&test.depot, &caller(), made[0], off).await.unwrap();
        assert!(make(test.depot.clone(), "default").await.is_err(), "one that is off counts as well");
        endpoints::delete(&test.depot, &caller(), made[0]).await.unwrap();
        make(test.depot.clone(), "default").await.unwrap();
        test.finish().await;
    }

    async fn the_key_of_its_secrets_goes_with_an_endpoint(db: TestDatabase) {
        let courier = TestCourier::new();
        let test = start(db, &courier).await;
        test.number_all_events().await;
        let keys = || test.db.raw().number("SELECT COUNT(*) AS value FROM wrapped_keys WHERE purpose = 'data'");
        let before = keys();
        let (gone, kept) = (endpoint(&test.depot, None).await.endpoint, endpoint(&test.depot, None).await.endpoint);
        endpoints::rotate_secret(&test.depot, &caller(), gone.id, None).await.unwrap();
        assert_eq!(keys(), before + 2);
        fan_out_all(&test).await;
        endpoints::delete(&test.depot, &caller(), gone.id).await.unwrap();
        assert_eq!(keys(), before + 1);
        let orphans = "SELECT COUNT(*) AS value FROM webhook_endpoints e JOIN wrapped_keys k ON k.id = e.secret_key_id";
        assert_eq!(test.db.raw().number(orphans), 1, "the other's is its own");
        // A process that has opened no key yet.
        let other = test.restarted().with_courier(courier.clone(), Default::default());
        assert!(deliver_due(&other).await > 0);
        assert!(log(&test.depot, kept.id, Some(DeliveryStatus::Pending)).await.is_empty());
        test.finish().await;
    }
}
