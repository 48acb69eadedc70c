//! Webhooks: the feed becomes deliveries, and these arrive: all of them, in order, each try with the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value as Json;
use simdepot_application::Caller;
use simdepot_application::depot::Depot;
use simdepot_application::webhooks::endpoints::{self, NewEndpoint, WithSecret};
use simdepot_application::webhooks::{self, deliver, fan_out};
use simdepot_domain::event::SubjectKind;
use simdepot_domain::id::WebhookEndpointId;
use simdepot_domain::webhook::{DeliveryStatus, EndpointStatus, Parcel, Reply, TRIES, Targets};
use simdepot_persistence::events;
use simdepot_persistence::webhooks::deliveries::Delivery;
use simdepot_tests::depot::storefront;
use simdepot_tests::webhooks::{TestCourier, answer};
use simdepot_tests::{TestDepot, on_both_databases};

pub(crate) const URL: &str = "https://shop.example.com/hook";

/// A depot whose webhooks go to this courier.
pub(crate) async fn start(db: simdepot_tests::TestDatabase, courier: &Arc<TestCourier>) -> TestDepot {
    let mut test = TestDepot::start(db).await;
    test.depot = test.depot.clone().with_courier(courier.clone(), Targets::Public);
    test
}

pub(crate) fn caller() -> Caller {
    storefront("default")
}

pub(crate) async fn endpoint(depot: &Depot, types: Option<&[&str]>) -> WithSecret {
    endpoint_at(depot, URL, types).await
}

pub(crate) async fn endpoint_at(depot: &Depot, url: &str, types: Option<&[&str]>) -> WithSecret {
    let types = types.map(|types| types.iter().map(|name| (*name).to_owned()).collect());
    let new = NewEndpoint { url: url.to_owned(), description: None, types };
    endpoints::create(depot, &caller(), new, None).await.unwrap().0
}

/// Numbers what has happened and makes deliveries of it.
pub(crate) async fn fan_out_all(test: &TestDepot) {
    test.number_all_events().await;
    while fan_out::step(&test.depot).await.unwrap() {}
}

/// Tries what is due now; returns how many tries there were.
pub(crate) async fn deliver_due(depot: &Depot) -> usize {
    let mut tries = 0;
    while deliver::step(depot).await.unwrap() {
        tries += 1;
        assert!(tries < 10_000, "the work does not end");
    }
    tries
}

pub(crate) async fn log(
    depot: &Depot,
    id: WebhookEndpointId,
    status: Option<DeliveryStatus>,
) -> Vec<Delivery> {
    endpoints::log(depot, &caller(), id, status, None, 10_000).await.unwrap()
}

fn body(parcel: &Parcel) -> Json {
    serde_json::from_slice(&parcel.body).unwrap()
}

/// The event ids of the feed after a number.
fn feed_after(test: &TestDepot, position: i64) -> i64 {
    test.db.raw().number(&format!("SELECT COUNT(*) AS value FROM feed WHERE seq > {position}"))
}

/// What a receiver may rely on: every event of the feed once it was taken, those of a subject in their order, and of
/// a profile in the order of the feed.
fn assert_complete_and_in_order(test: &TestDepot, position: i64, taken: &[Parcel]) {
    let ids: BTreeSet<&str> = taken.iter().map(|parcel| parcel.id.as_str()).collect();
    assert_eq!(ids.len(), taken.len(), "each once");
    assert_eq!(i64::try_from(ids.len()).unwrap(), feed_after(test, position), "all of them");
    let mut versions: BTreeMap<String, i64> = BTreeMap::new();
    let mut numbers: BTreeMap<String, i64> = BTreeMap::new();
    for parcel in taken {
        let body = body(parcel);
        let data = &body["data"];
        assert_eq!(data["id"], parcel.id);
        let version = data["version"].as_i64().unwrap();
        let before = versions.insert(data["subject"].as_str().unwrap().to_owned(), version);
        assert!(before.is_none_or(|before| before < version), "{body}");
        let iccid = data["data"]["iccid"].as_str().map(|iccid| format!("profile/{iccid}"));
        let key = iccid.unwrap_or_else(|| data["subject"].as_str().unwrap().to_owned());
        let seq = data["seq"].as_i64().unwrap();
        assert!(numbers.insert(key, seq).is_none_or(|before| before < seq), "{body}");
    }
}

fn assert_same_bytes(courier: &TestCourier) {
    let mut bytes: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (parcel, _) in courier.tries() {
        let first = bytes.entry(parcel.id).or_insert_with(|| parcel.body.clone());
        assert_eq!(*first, parcel.body);
    }
}

on_both_databases! {
    async fn an_endpoint_that_was_down_for_an_hour_gets_everything(db: TestDatabase) {
        let courier = TestCourier::new();
        let test = start(db, &courier).await;
        test.number_all_events().await;
        let made = endpoint(&test.depot, None).await.endpoint;
        test.deliver(3).await;
        test.order_with_product("ref-1", 2).await.unwrap();
        test.work_until_settled().await;
        courier.answering(|_| Reply::Failed { reason: "no connection could be opened".to_owned() });
        for minute in 0..60 {
            if minute == 30 {
                test.order("ref-2", 1).await.unwrap();
            }
            fan_out_all(&test).await;
            deliver_due(&test.depot).await;
            test.clock.advance(TimeDelta::minutes(1));
        }
        assert!(courier.taken().is_empty());
        let tried: Vec<u32> = log(&test.depot, made.id, None).await.iter().map(|d| d.attempts).collect();
        assert!(tried.contains(&0), "{tried:?}: the first of a profile hold the others back");
        let tries = courier.tries().len();
        assert!((10..=16).contains(&tries), "{tries}: it is asked every five minutes, not once for each delivery");
        courier.answering(|_| answer(200));
        for _ in 0..12 {
            test.clock.advance(TimeDelta::minutes(30));
            deliver_due(&test.depot).await;
        }
        let taken = courier.taken();
        assert!(taken.len() > 15, "{}", taken.len());
        assert_complete_and_in_order(&test, made.position, &taken);
        assert_same_bytes(&courier);
        assert!(log(&test.depot, made.id, Some(DeliveryStatus::Pending)).await.is_empty());
        let own = taken.iter().map(body).find(|body| body["type"] == "webhook_endpoint.created").unwrap();
        assert_eq!(own["data"]["subject"], format!("webhook_endpoint/{}", made.id), "it begins with itself");
        test.finish().await;
    }

    async fn a_failing_endpoint_gets_one_try_at_a_time_and_others_their_own(db: TestDatabase) {
        let courier = TestCourier::slow(Duration::from_millis(20));
        let test = start(db, &courier).await;
        test.number_all_events().await;
        let made = endpoint(&test.depot, None).await.endpoint;
        test.deliver(1).await;
        for order in 0..10 {
            let _ = test.order(&format!("ref-{order}"), 1).await;
        }
        fan_out_all(&test).await;
        courier.answering(|_| answer(500));
        assert!(deliver::step(&test.depot).await.unwrap());
        let failing = endpoints::get(&test.depot, &caller(), made.id).await.unwrap();
        assert_eq!(failing.health.failures, 1);
        test.clock.advance(TimeDelta::minutes(1));
        let workers: Vec<_> = (0..6)
            .map(|_| {
                let depot = test.depot.clone();
                tokio::spawn(async move { deliver_due(&depot).await })
            })
            .collect();
        for worker in workers {
            worker.await.unwrap();
        }
        assert_eq!((courier.most_at_a_time(), courier.tries().len()), (1, 2), "and then it has a pause");
        courier.answering(|_| answer(200));
        test.clock.advance(TimeDelta::hours(1));
        deliver_due(&test.depot).await;
        assert_eq!(endpoints::get(&test.depot, &caller(), made.id).await.unwrap().health.failures, 0);
        test.finish().await;
    }

    async fn workers_never_send_the_same_try_twice(db: TestDatabase) {
        let courier = TestCourier::slow(Duration::from_millis(40));
        let test = start(db, &courier).await;
        test.number_all_events().await;
        let made = endpoint(&test.depot, None).await.endpoint;
        test.deliver(20).await;
        test.order("ref-1", 20).await.unwrap();
        test.number_all_events().await;
        // Fan-outs of several processes at once make each delivery once.
        let others: Vec<_> = (0..4)
            .map(|_| {
                let depot = test.restarted();
                tokio::spawn(async move { while fan_out::step(&depot).await.unwrap() {} })
            })
            .collect();
        for other in others {
            other.await.unwrap();
        }
        let workers: Vec<_> = (0..8)
            .map(|_| {
                let depot = test.restarted().with_courier(courier.clone(), Targets::Public);
                tokio::spawn(async move {
                    // A worker that finds the endpoint locked looks again.
                    for _ in 0..20 {
                        deliver_due(&depot).await;
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.await.unwrap();
        }
        deliver_due(&test.depot).await;
        let tries = courier.tries();
        assert_eq!(tries.len(), courier.taken().len());
        assert_complete_and_in_order(&test, made.position, &courier.taken());
        assert!((2..=4).contains(&courier.most_at_a_time()), "{}", courier.most_at_a_time());
        test.finish().await;
    }

    /// A process that dies between the send and its record: at least once means once more, and not before the lease
    /// is over.
    async fn a_try_whose_outcome_was_lost_is_made_again(db: TestDatabase) {
        let courier = TestCourier::slow(Duration::from_millis(300));
        let mut test = start(db, &courier).await;
        test.pace(|pace| {
            pace.lease = TimeDelta::milliseconds(900);
            pace.webhook_timeout = Duration::from_millis(400);
        });
        test.number_all_events().await;
        let made = endpoint(&test.depot, Some(&["webhook_endpoint.*"])).await.endpoint;
        fan_out_all(&test).await;
        let depot = test.depot.clone();
        let dying = tokio::spawn(async move { deliver::step(&depot).await });
        while log(&test.depot, made.id, None).await.is_empty() || courier.most_at_a_time() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        dying.abort();
        assert!(dying.await.unwrap_err().is_cancelled());
        assert!(!deliver::step(&test.depot).await.unwrap(), "the lease is still another's");
        tokio::time::sleep(Duration::from_millis(950)).await;
        assert!(deliver::step(&test.depot).await.unwrap());
        let delivery = log(&test.depot, made.id, None).await.remove(0);
        assert_eq!((delivery.status, delivery.attempts), (DeliveryStatus::Delivered, 1));
        test.finish().await;
    }

    /// The lease ran out while the endpoint thought about it, and another worker was faster: its record stands.
    async fn an_answer_after_the_lease_changes_nothing(db: TestDatabase) {
        let courier = TestCourier::slow(Duration::from_millis(500));
        let mut test = start(db, &courier).await;
        test.number_all_events().await;
        let made = endpoint(&test.depot, Some(&["webhook_endpoint.*"])).await.endpoint;
        fan_out_all(&test).await;
        test.pace(|pace| {
            pace.lease = TimeDelta::milliseconds(250);
            pace.webhook_timeout = Duration::from_millis(100);
        });
        courier.answering(|_| answer(500));
        let slow = test.depot.clone();
        let slow = tokio::spawn(async move { deliver::step(&slow).await });
        tokio::time::sleep(Duration::from_millis(300)).await;
        let fast = TestCourier::new();
        let mut other = test.restarted().with_courier(fast.clone(), Targets::Public);
        Arc::make_mut(&mut other.work).lease = TimeDelta::seconds(30);
        assert!(deliver::step(&other).await.unwrap());
        assert!(slow.await.unwrap().unwrap());
        let delivery = log(&test.depot, made.id, None).await.remove(0);
        assert_eq!((delivery.status, delivery.attempts), (DeliveryStatus::Delivered, 1));
        assert_eq!((delivery.last_status, delivery.last_error), (Some(204), None));
        test.finish().await;
    }

    async fn a_delivery_is_given_up_after_the_last_try(db: TestDatabase) {
        let courier = TestCourier::new();
        let test = start(db, &courier).await;
        test.number_all_events().await;
        let made = endpoint(&test.depot, Some(&["pool.*"])).await.endpoint;
        for threshold in [1, 2] {
            let change = simdepot_application::pools::PoolChange {
                low_threshold: Some(Some(threshold)),
                ..Default::default()
            };
            let pool = simdepot_tests::depot::pool_settings().pool;
            simdepot_application::pools::change(&test.depot, pool, change).await.unwrap();
        }
        fan_out_all(&test).await;
        assert_eq!(log(&test.depot, made.id, None).await.len(), 2);
        courier.answering(|_| Reply::Failed { reason: "no answer in time".to_owned() });
        let begun = test.depot.now();
        let mut tried: Vec<DateTime<Utc>> = Vec::new();
        while log(&test.depot, made.id, Some(DeliveryStatus::Failed)).await.is_empty() {
            if deliver::step(&test.depot).await.unwrap() {
                tried.push(test.depot.now());
            } else {
                test.clock.advance(TimeDelta::minutes(5));
            }
        }
        assert_eq!(tried.len(), TRIES);
        let days = (tried[TRIES - 1] - begun).num_hours();
        assert!((75..=85).contains(&days), "{days} hours");
        let entries = log(&test.depot, made.id, None).await;
        assert_eq!(
            entries.iter().map(|d| (d.status, d.attempts)).collect::<Vec<_>>(),
            [(DeliveryStatus::Pending, 0), (DeliveryStatus::Failed, 10)],
            "the next one of the pool had to wait"
        );
        assert_eq!(entries[1].last_error.as_deref(), Some("no answer in time"));
        courier.answering(|_| answer(200));
        assert_eq!(deliver_due(&test.depot).await, 0, "the endpoint has a pause");
        test.clock.advance(TimeDelta::minutes(5));
        assert_eq!(deliver_due(&test.depot).await, 1);
        test.clock.advance(TimeDelta::days(31));
        assert!(webhooks::tidy(&test.depot).await.unwrap());
        assert!(!webhooks::tidy(&test.depot).await.unwrap());
        assert!(log(&test.depot, made.id, None).await.is_empty(), "what ended long ago is forgotten");
        test.finish().await;
    }

    async fn an_endpoint_may_ask_for_time(db: TestDatabase) {
        let courier = TestCourier::new();
        let test = start(db, &courier).await;
        test.number_all_events().await;
        endpoint(&test.depot, Some(&["webhook_endpoint.*"])).await;
        fan_out_all(&test).await;
        courier.answering(|_| Reply::Answered { status: 503, retry_after: Some("3600".to_owned()) });
        assert_eq!(deliver_due(&test.depot).await, 1);
        test.clock.advance(TimeDelta::minutes(59));
        assert_eq!(deliver_due(&test.depot).await, 0);
        test.clock.advance(TimeDelta::minutes(2));
        courier.answering(|_| answer(204));
        assert_eq!(deliver_due(&test.depot).await, 1);
        assert_eq!(courier.taken().len(), 1);
        test.finish().await;
    }

    async fn an_endpoint_that_is_gone_is_disabled_and_misses_nothing(db: TestDatabase) {
        let courier = TestCourier::new();
        let test = start(db, &courier).await;
        test.number_all_events().await;
        let made = endpoint(&test.depot, None).await.endpoint;
        test.deliver(1).await;
        fan_out_all(&test).await;
        courier.answering(|_| answer(410));
        assert_eq!(deliver_due(&test.depot).await, 1, "nothing follows");
        let gone = endpoints::get(&test.depot, &caller(), made.id).await.unwrap();
        assert_eq!((gone.settings.status, gone.version), (EndpointStatus::Disabled, 2));
        assert!(gone.settings.disabled_reason.unwrap().contains("410"));
        let (store, id) = (test.depot.store.clone(), made.id.to_string());
        let told = store
            .read(move |conn| events::of_subject(conn, SubjectKind::WebhookEndpoint, &id))
            .await
            .unwrap();
        assert_eq!(told.last().unwrap().fact.type_name(), "webhook_endpoint.disabled");
        test.order("ref-1", 1).await.unwrap();
        test.clock.advance(TimeDelta::hours(5));
        fan_out_all(&test).await;
        assert_eq!(deliver_due(&test.depot).await, 0);
        courier.answering(|_| answer(200));
        let change = endpoints::EndpointChange { status: Some(EndpointStatus::Enabled), ..Default::default() };
        endpoints::change(&test.depot, &caller(), made.id, change).await.unwrap();
        fan_out_all(&test).await;
        deliver_due(&test.depot).await;
        assert_complete_and_in_order(&test, made.position, &courier.taken());
        test.finish().await;
    }
}
