//! Webhook endpoints: filters, secrets, replays, channels.

use chrono::TimeDelta;
use serde_json::Value as Json;
use simdepot_application::AppError;
use simdepot_application::webhooks::endpoints::{self, EndpointChange, NewEndpoint};
use simdepot_application::webhooks::replay::{Replay, replay};
use simdepot_domain::id::EventId;
use simdepot_domain::webhook::{DeliveryStatus, EndpointStatus, WebhookSecret};
use simdepot_tests::depot::{idempotency_key, storefront};
use simdepot_tests::webhooks::{TestCourier, answer};
use simdepot_tests::{TestDepot, on_both_databases};

use crate::webhooks::{URL, caller, deliver_due, endpoint, fan_out_all, log, start};

fn types(courier: &TestCourier) -> Vec<String> {
    let of = |body: &[u8]| serde_json::from_slice::<Json>(body).unwrap()["type"].as_str().unwrap().to_owned();
    courier.taken().iter().map(|parcel| of(&parcel.body)).collect()
}

fn last_seq(test: &TestDepot) -> i64 {
    test.db.raw().number("SELECT MAX(seq) AS value FROM feed")
}

on_both_databases! {
    async fn an_endpoint_gets_what_it_wants_from_now_on(db: TestDatabase) {
        let courier = TestCourier::new();
        let test = start(db, &courier).await;
        test.deliver(2).await;
        test.order("before", 1).await.unwrap();
        test.number_all_events().await;
        let before = last_seq(&test);
        let made = endpoint(&test.depot, Some(&["order.*", "profile.code_revealed"])).await.endpoint;
        assert_eq!(made.position, before);
        test.order("after", 1).await.unwrap();
        fan_out_all(&test).await;
        deliver_due(&test.depot).await;
        let mut got = types(&courier);
        got.sort_unstable();
        got.dedup();
        assert_eq!(got, ["order.created", "order.status_changed", "profile.code_revealed"]);
        let change = EndpointChange { types: Some(Some(vec!["pool.*".to_owned()])), ..Default::default() };
        endpoints::change(&test.depot, &caller(), made.id, change).await.unwrap();
        let seen = courier.taken().len();
        test.deliver(1).await;
        test.order("later", 1).await.unwrap();
        fan_out_all(&test).await;
        assert_eq!((deliver_due(&test.depot).await, courier.taken().len()), (0, seen));
        let now = endpoints::get(&test.depot, &caller(), made.id).await.unwrap();
        assert_eq!(now.position, last_seq(&test), "what it does not want is behind it");
        test.finish().await;
    }

    async fn two_secrets_sign_for_a_day(db: TestDatabase) {
        let courier = TestCourier::new();
        let test = start(db, &courier).await;
        test.number_all_events().await;
        let made = endpoint(&test.depot, Some(&["webhook_endpoint.*"])).await;
        let (id, first) = (made.endpoint.id, made.secret.unwrap());
        let key = idempotency_key("rotate-1", "");
        let (rotated, replayed) =
            endpoints::rotate_secret(&test.depot, &caller(), id, Some(&key)).await.unwrap();
        assert!(!replayed);
        let second = rotated.secret.unwrap();
        assert_ne!(first.text(), second.text());
        let (again, replayed) =
            endpoints::rotate_secret(&test.depot, &caller(), id, Some(&key)).await.unwrap();
        assert!(replayed && again.secret.is_none(), "and it is the same secret still");
        fan_out_all(&test).await;
        // Two events about the endpoint itself: made, rotated.
        assert_eq!(deliver_due(&test.depot).await, 2);
        let signed_by = |secrets: &[&WebhookSecret]| {
            let parcel = courier.taken().pop().unwrap();
            let each = secrets.iter().map(|secret| secret.sign(&parcel.id, parcel.timestamp, &parcel.body));
            assert_eq!(parcel.signature, each.collect::<Vec<_>>().join(" "));
        };
        signed_by(&[&second, &first]);
        test.clock.advance(TimeDelta::hours(25));
        let change = EndpointChange { description: Some(Some("x".to_owned())), ..Default::default() };
        endpoints::change(&test.depot, &caller(), id, change).await.unwrap();
        fan_out_all(&test).await;
        assert_eq!(deliver_due(&test.depot).await, 1);
        signed_by(&[&second]);
        let at_rest = test.db.bytes_at_rest();
        for secret in [&first, &second] {
            let text = secret.text().expose().trim_start_matches("whsec_");
            let found = at_rest.windows(text.len()).any(|window| window == text.as_bytes());
            assert!(!found, "a secret lies in the database in clear");
        }
        test.finish().await;
    }

    async fn events_are_sent_again_when_asked(db: TestDatabase) {
        let courier = TestCourier::new();
        let test = start(db, &courier).await;
        test.deliver(2).await;
        test.order("before", 1).await.unwrap();
        test.number_all_events().await;
        let made = endpoint(&test.depot, Some(&["order.*"])).await.endpoint;
        let ask = |asked| {
            let depot = test.depot.clone();
            async move { replay(&depot, &caller(), made.id, asked, None).await.map(|(count, _)| count) }
        };
        // Before it was made: the order's own events alone, of all the feed.
        let orders = ask(Replay::Range { from: 1, to: 10_000 }).await.unwrap();
        assert_eq!(orders, 2, "made and fulfilled");
        assert_eq!(deliver_due(&test.depot).await, 2);
        let first = courier.taken().remove(0);
        let event: EventId = first.id.parse().unwrap();
        // The same event, the same bytes; also what its types do not name.
        assert_eq!(ask(Replay::Event(event)).await.unwrap(), 1);
        deliver_due(&test.depot).await;
        let again = courier.taken().pop().unwrap();
        assert_eq!((again.id, again.body), (first.id, first.body));
        let entries = log(&test.depot, made.id, Some(DeliveryStatus::Delivered)).await;
        assert!(entries.len() == 3 && entries.iter().all(|delivery| delivery.replay));
        // What it has not got to is sent anyway, once.
        test.order("after", 1).await.unwrap();
        test.number_all_events().await;
        assert_eq!(ask(Replay::Range { from: made.position + 1, to: made.position + 100 }).await.unwrap(), 0);
        for bad in [Replay::Range { from: 5, to: 4 }, Replay::Range { from: 1, to: 10_001 }] {
            assert!(matches!(ask(bad).await, Err(AppError::Invalid(_))), "{bad:?}");
        }
        let nobody = Replay::Event(EventId::generate(test.depot.ids.as_ref()));
        assert!(matches!(ask(nobody).await, Err(AppError::Invalid(_))));
        let key = idempotency_key("replay-1", "");
        for replayed in [false, true] {
            let done = replay(&test.depot, &caller(), made.id, Replay::Event(event), Some(&key)).await;
            assert_eq!(done.unwrap(), (1, replayed));
        }
        let off = EndpointChange { status: Some(EndpointStatus::Disabled), ..Default::default() };
        endpoints::change(&test.depot, &caller(), made.id, off).await.unwrap();
        assert!(matches!(ask(Replay::Event(event)).await, Err(AppError::InvalidTransition { .. })));
        test.finish().await;
    }

    async fn an_endpoint_belongs_to_its_channel(db: TestDatabase) {
        let courier = TestCourier::new();
        let test = start(db, &courier).await;
        test.number_all_events().await;
        let id = endpoint(&test.depot, None).await.endpoint.id;
        let other = storefront("other");
        let missing = |error: Option<AppError>| matches!(error, Some(AppError::NotFound { .. }));
        assert!(missing(endpoints::get(&test.depot, &other, id).await.err()));
        assert!(missing(endpoints::log(&test.depot, &other, id, None, None, 1).await.err()));
        assert!(missing(endpoints::delete(&test.depot, &other, id).await.err()));
        assert!(missing(endpoints::rotate_secret(&test.depot, &other, id, None).await.err()));
        let change = EndpointChange { url: Some(URL.to_owned()), ..Default::default() };
        assert!(missing(endpoints::change(&test.depot, &other, id, change).await.err()));
        let all = Replay::Range { from: 1, to: 10 };
        assert!(missing(replay(&test.depot, &other, id, all, None).await.err()));
        assert!(endpoints::list(&test.depot, &other, None, 10).await.unwrap().is_empty());
        assert_eq!(endpoints::list(&test.depot, &caller(), None, 10).await.unwrap().len(), 1);
        fan_out_all(&test).await;
        endpoints::delete(&test.depot, &caller(), id).await.unwrap();
        assert_eq!(deliver_due(&test.depot).await, 0, "its deliveries went with it");
        assert!(missing(endpoints::delete(&test.depot, &caller(), id).await.err()));
        test.finish().await;
    }

    /// One endpoint whose secret does not open must not keep the others waiting.
    async fn an_endpoint_that_cannot_be_read_holds_nobody_up(db: TestDatabase) {
        let courier = TestCourier::new();
        let test = start(db, &courier).await;
        test.number_all_events().await;
        let broken = endpoint(&test.depot, Some(&["pool.*"])).await.endpoint;
        endpoint(&test.depot, Some(&["order.*"])).await;
        test.deliver(1).await;
        let settings = simdepot_application::pools::PoolChange {
            safety_buffer: Some(0),
            name: Some("Other".to_owned()),
            ..Default::default()
        };
        let pool = simdepot_tests::depot::pool_settings().pool;
        simdepot_application::pools::change(&test.depot, pool, settings).await.unwrap();
        test.order("ref-1", 1).await.unwrap();
        fan_out_all(&test).await;
        // Another row's secret, as somebody who can write to the database might put it there.
        test.db.raw().execute(
            "UPDATE webhook_endpoints SET secret = (SELECT o.secret FROM webhook_endpoints o ORDER BY o.id DESC LIMIT 1) \
             WHERE id = (SELECT f.id FROM webhook_endpoints f ORDER BY f.id LIMIT 1)",
        );
        assert_eq!(deliver_due(&test.depot).await, 2);
        assert_eq!(types(&courier), ["order.created", "order.status_changed"]);
        assert_eq!(log(&test.depot, broken.id, Some(DeliveryStatus::Pending)).await.len(), 1);
        let found = format!("webhook endpoint {} has a sealed secret that does not open", broken.id);
        assert_eq!(test.findings().await, [found]);
        test.finish_broken();
    }

    async fn an_address_must_be_allowed_when_it_is_made_and_changed(db: TestDatabase) {
        let courier = TestCourier::new();
        courier.answering(|_| answer(200));
        let test = start(db, &courier).await;
        for url in ["http://shop.example.com/", "https://10.0.0.1/", "https://localhost/"] {
            let new = NewEndpoint { url: url.to_owned(), description: None, types: None };
            let refused = endpoints::create(&test.depot, &caller(), new, None).await.err().unwrap();
            assert!(matches!(refused, AppError::Invalid(_)), "{url}");
        }
        test.number_all_events().await;
        let id = endpoint(&test.depot, None).await.endpoint.id;
        let change = EndpointChange { url: Some("https://[::1]/".to_owned()), ..Default::default() };
        let refused = endpoints::change(&test.depot, &caller(), id, change).await.err().unwrap();
        assert!(matches!(refused, AppError::Invalid(_)));
        test.finish().await;
    }
}
