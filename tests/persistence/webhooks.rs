//! Deliveries: taken in order, one by one per key, and found at once whatever waits before them.

use chrono::TimeDelta;
use simdepot_domain::id::{EventId, WebhookEndpointId};
use simdepot_domain::webhook::{DeliveryStatus, EndpointStatus, Health, WebhookSecret};
use simdepot_persistence::webhooks::deliveries::{self, NewDelivery};
use simdepot_persistence::webhooks::endpoints::{self, Endpoint, EndpointSettings, NewEndpoint};
use simdepot_persistence::webhooks::queue::{self, Failing, Lease, Next, Parallel, Tried};
use simdepot_persistence::{Store, StoreError};
use simdepot_tests::on_both_databases;

use crate::support::{channel, is_race, now, uuid};

const PARALLEL: Parallel = Parallel { healthy: 4, failing: 1 };
const LEASE: TimeDelta = TimeDelta::seconds(30);

async fn make(store: &Store) -> Endpoint {
    let settings = EndpointSettings {
        url: "https://shop.example.com/".to_owned(),
        description: None,
        types: Some(vec!["order.*".to_owned()]),
        status: EndpointStatus::Enabled,
        disabled_reason: None,
    };
    let id = WebhookEndpointId(uuid());
    let new = NewEndpoint { id, channel: channel("shop"), settings, position: 0 };
    let vault = store.clone();
    let made = store.write(move |conn| {
        let secret = WebhookSecret::from_bytes(&[7; 32]);
        endpoints::insert(conn, vault.vault(), &new, &secret, now())?;
        Ok::<_, StoreError>(endpoints::find(conn, id)?.unwrap())
    });
    made.await.unwrap()
}

async fn queue(store: &Store, endpoint: &Endpoint, keys: &[&str]) {
    let new: Vec<NewDelivery> = (1i64..)
        .zip(keys)
        .map(|(seq, key)| NewDelivery {
            seq,
            event: EventId(uuid()),
            event_type: "order.created".to_owned(),
            order_key: (*key).to_owned(),
            body: format!("{key}{seq}").into_bytes(),
        })
        .collect();
    let endpoint = endpoint.clone();
    let queued = store.write(move |conn| deliveries::insert_many(conn, &endpoint, &new, false, now()));
    queued.await.unwrap();
}

async fn lease(store: &Store, endpoint: &Endpoint) -> Option<Lease> {
    let (endpoint, token) = (endpoint.clone(), uuid());
    let leased = store.write(move |conn| queue::lease_next(conn, &endpoint, PARALLEL, token, now(), LEASE));
    leased.await.unwrap()
}

async fn record(store: &Store, lease: &Lease, next: Next) -> Result<(), StoreError> {
    let (lease, tried) = (lease.clone(), Tried { status: Some(200), error: None, next });
    store.write(move |conn| queue::record(conn, &lease, &tried, now())).await
}

async fn set_health(store: &Store, endpoint: &Endpoint, health: Health) {
    let endpoint = endpoint.clone();
    store.write(move |conn| endpoints::set_health(conn, &endpoint, health)).await.unwrap();
}

fn text(lease: &Lease) -> &str {
    std::str::from_utf8(&lease.body).unwrap()
}

on_both_databases! {
    async fn the_same_key_goes_one_after_the_other(db: TestDatabase) {
        let store = db.store();
        let endpoint = make(&store).await;
        queue(&store, &endpoint, &["a", "a", "b", "a"]).await;
        queue(&store, &endpoint, &["b"]).await;
        let (first, second) = (lease(&store, &endpoint).await.unwrap(), lease(&store, &endpoint).await.unwrap());
        assert_eq!((text(&first), text(&second)), ("a1", "b3"));
        assert!(lease(&store, &endpoint).await.is_none(), "the others wait for these");
        // Put off, given back: its followers go on waiting.
        record(&store, &first, Next::Again(now())).await.unwrap();
        let again = lease(&store, &endpoint).await.unwrap();
        assert_eq!((text(&again), again.delivery.attempts), ("a1", 1));
        let returned = again.clone();
        store.write(move |conn| queue::give_back(conn, &returned)).await.unwrap();
        assert!(is_race(&record(&store, &again, Next::Delivered).await), "its lease is over");
        let again = lease(&store, &endpoint).await.unwrap();
        record(&store, &again, Next::Failed).await.unwrap();
        assert!(is_race(&record(&store, &again, Next::Delivered).await), "once");
        assert_eq!(text(&lease(&store, &endpoint).await.unwrap()), "a2");
        record(&store, &second, Next::Delivered).await.unwrap();
        assert_eq!(text(&lease(&store, &endpoint).await.unwrap()), "b1");
        let id = endpoint.id;
        let all = store.read(move |conn| deliveries::list(conn, id, None, None, 10)).await.unwrap();
        let status: Vec<DeliveryStatus> = all.iter().rev().map(|delivery| delivery.status).collect();
        use DeliveryStatus::{Delivered, Failed, Pending};
        assert_eq!(status, [Failed, Pending, Delivered, Pending, Pending]);
        let failed = store.read(move |conn| deliveries::list(conn, id, Some(Failed), None, 10)).await.unwrap();
        assert_eq!(failed.len(), 1);
    }

    async fn an_endpoint_has_so_many_at_a_time(db: TestDatabase) {
        let store = db.store();
        let endpoint = make(&store).await;
        queue(&store, &endpoint, &["a", "b", "c", "d", "e", "f"]).await;
        let work = |store: Store| async move {
            store.read(|conn| queue::endpoints_with_work(conn, PARALLEL, Failing::Last, now(), 10)).await.unwrap()
        };
        assert_eq!(work(store.clone()).await, [endpoint.id]);
        let mut leases = Vec::new();
        while let Some(lease) = lease(&store, &endpoint).await {
            leases.push(lease);
        }
        assert_eq!((leases.len(), work(store.clone()).await), (4, vec![]));
        let failing = endpoint.clone();
        set_health(&store, &failing, Health { failures: 3, not_before: None }).await;
        for lease in &leases[1..] {
            record(&store, lease, Next::Delivered).await.unwrap();
        }
        assert_eq!(work(store.clone()).await, [], "one is under way, and it is failing");
        record(&store, &leases[0], Next::Delivered).await.unwrap();
        assert_eq!(work(store.clone()).await, [endpoint.id]);
        let id = endpoint.id;
        let endpoint = store.read(move |conn| endpoints::find(conn, id)).await.unwrap().unwrap();
        assert!(lease(&store, &endpoint).await.is_some());
        assert!(lease(&store, &endpoint).await.is_none());
    }

    async fn a_pause_is_kept_and_failing_endpoints_stand_where_they_are_asked_for(db: TestDatabase) {
        let store = db.store();
        let (failing, healthy, paused) = (make(&store).await, make(&store).await, make(&store).await);
        for endpoint in [&failing, &healthy, &paused] {
            queue(&store, endpoint, &["a", "b"]).await;
        }
        let moment = now();
        set_health(&store, &failing, Health { failures: 1, not_before: Some(moment) }).await;
        let until = moment + TimeDelta::seconds(5);
        set_health(&store, &paused, Health { failures: 0, not_before: Some(until) }).await;
        let work = |at, failing, limit| {
            let store = store.clone();
            async move {
                let look = move |conn: &mut simdepot_persistence::Conn<'_>| {
                    queue::endpoints_with_work(conn, PARALLEL, failing, at, limit)
                };
                store.read(look).await.unwrap()
            }
        };
        assert_eq!(work(moment, Failing::First, 10).await, [failing.id, healthy.id]);
        assert_eq!(work(moment, Failing::Last, 10).await, [healthy.id, failing.id]);
        assert_eq!(work(moment, Failing::Last, 1).await, [healthy.id]);
        assert_eq!(work(moment, Failing::LeftOut, 10).await, [healthy.id]);
        assert_eq!(work(until, Failing::Last, 10).await.len(), 3);
        let id = paused.id;
        let paused = store.read(move |conn| endpoints::find(conn, id)).await.unwrap().unwrap();
        assert_eq!(paused.health, Health { failures: 0, not_before: Some(until) });
        let take = |at| {
            let (store, paused) = (store.clone(), paused.clone());
            let token = uuid();
            async move {
                let take = move |conn: &mut simdepot_persistence::Conn<'_>| {
                    queue::lease_next(conn, &paused, PARALLEL, token, at, LEASE)
                };
                store.write(take).await.unwrap()
            }
        };
        assert!(take(until - TimeDelta::milliseconds(1)).await.is_none());
        assert!(take(until).await.is_some());
    }

    /// The endpoint's row is the lock: who finds it taken passes on.
    async fn a_locked_endpoint_is_passed_over(db: TestDatabase) {
        let store = db.store();
        let id = make(&store).await.id;
        if store.backend() == simdepot_persistence::Backend::Sqlite {
            let found = store.write(move |conn| endpoints::lock_if_free(conn, id)).await.unwrap();
            assert!(found.is_some(), "SQLite has one writer anyway");
            return;
        }
        let (held, release) = (std::sync::mpsc::channel::<()>(), std::sync::mpsc::channel::<()>());
        let (told, let_go) = (held.0, release.1);
        let holder = store.clone();
        let holding = tokio::spawn(async move {
            let work = holder.write(move |conn| {
                let locked = endpoints::lock(conn, id)?;
                told.send(()).unwrap();
                let_go.recv().unwrap();
                Ok::<_, StoreError>(locked.is_some())
            });
            work.await.unwrap()
        });
        tokio::task::spawn_blocking(move || held.1.recv().unwrap()).await.unwrap();
        assert!(store.write(move |conn| endpoints::lock_if_free(conn, id)).await.unwrap().is_none());
        release.0.send(()).unwrap();
        assert!(holding.await.unwrap());
        assert!(store.write(move |conn| endpoints::lock_if_free(conn, id)).await.unwrap().is_some());
    }

    /// A long queue behind a dead endpoint: what waits for its turn is in no index that is looked at.
    async fn dead_rows_cost_nothing(db: TestDatabase) {
        let store = db.store();
        let (dead, alive) = (make(&store).await, make(&store).await);
        let keys: Vec<String> = (0..20_000).map(|number| format!("key-{}", number % 10)).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        queue(&store, &dead, &keys).await;
        for _ in 0..10 {
            let lease = lease(&store, &dead).await.unwrap();
            record(&store, &lease, Next::Again(now() + TimeDelta::days(1))).await.unwrap();
        }
        queue(&store, &alive, &["a"]).await;
        assert_eq!(
            db.raw().number("SELECT COUNT(*) AS value FROM webhook_deliveries WHERE run_at IS NOT NULL"),
            11
        );
        let work = store.read(|conn| queue::endpoints_with_work(conn, PARALLEL, Failing::Last, now(), 10)).await.unwrap();
        assert_eq!(work, [alive.id]);
    }
}
