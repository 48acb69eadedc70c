//! Carriers' events: kept once, applied by their date, and never believed without a signature.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value as Json, json};
use simdepot_application::inbound::{self, Admission};
use simdepot_application::{AppError, Depot, housekeeping};
use simdepot_carrier_twin::webhook::SIGNATURE_HEADER;
use simdepot_carrier_twin::{CallName, Fault, LineSpec, Script, Webhook};
use simdepot_domain::bundle::BundleStatus;
use simdepot_domain::channel::AccountName;
use simdepot_domain::clock::{Clock, SystemClock};
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::id::{IdGenerator, RandomIds};
use simdepot_domain::observation::Source;
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::order::OrderStatus;
use simdepot_domain::profile::QuarantineReason;
use simdepot_domain::secret::Secret;
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::StockStatus;
use simdepot_tests::depot::{ACCOUNT, PRODUCT, WEBHOOK_SECRET, profiles_of};
use simdepot_tests::{TestDepot, on_both_databases};

fn account() -> AccountName {
    AccountName::parse(ACCOUNT).unwrap()
}

/// Posts a body as the carrier does; whether it was new.
async fn post_signed(depot: &Depot, body: &[u8], secret: &str) -> Result<Option<bool>, AppError> {
    let signature = Webhook::new("http://nowhere", Secret::new(secret)).unwrap().signature(body);
    let header = |name: &str| (name == SIGNATURE_HEADER).then(|| signature.clone());
    match inbound::admit(depot, &account(), &header, body)? {
        Admission::Authentic(event) => inbound::keep(depot, event).await.map(Some),
        Admission::Refused(_) => Ok(None),
    }
}

pub(super) async fn post(test: &TestDepot, event: &Json) -> bool {
    post_signed(&test.depot, event.to_string().as_bytes(), WEBHOOK_SECRET).await.unwrap().unwrap()
}

/// Applies what is due.
async fn apply(test: &TestDepot) {
    while inbound::step(&test.depot).await.unwrap() {}
}

pub(super) async fn tell(test: &TestDepot, event: &Json) {
    assert!(post(test, event).await, "it is new: {event:#}");
    apply(test).await;
}

fn event(kind: &str, at: DateTime<Utc>, body: &Json) -> Json {
    let id = RandomIds.uuid().to_string();
    json!({"header": {"eventId": id, "eventType": kind, "eventDate": at.to_rfc3339()}, "body": body})
}

fn esim(line: &LineSpec, suffix: &str, at: DateTime<Utc>) -> Json {
    event(&format!("SIM-MANAGEMENT/ESIM/{suffix}"), at, &json!({"simSerial": line.iccid}))
}

fn subscriber(line: &LineSpec, suffix: &str, at: DateTime<Utc>) -> Json {
    event(&format!("CONNECTIVITY-MANAGEMENT/SUBSCRIBER/{suffix}"), at, &json!({"simSerial": line.iccid}))
}

pub(super) fn product(line: &LineSpec, suffix: &str, at: DateTime<Utc>, subscription: &str) -> Json {
    let body = json!({
        "msisdn": line.msisdn(),
        "iccid": line.iccid,
        "productSubscription": {
            "subscriptionId": subscription,
            "activationDate": (suffix != "PRELOADED").then(|| at.to_rfc3339()),
            "productDefinition": {"productId": PRODUCT},
        },
    });
    event(&format!("OCS/PRODUCT/{suffix}"), at, &body)
}

pub(super) fn now() -> DateTime<Utc> {
    SystemClock.now()
}

fn statuses(test: &TestDepot) -> Vec<String> {
    test.db.raw().texts("SELECT status AS value FROM carrier_events ORDER BY received_at, event_id")
}

pub(super) fn count(test: &TestDepot, type_name: &str) -> i64 {
    test.db.raw().number(&format!("SELECT COUNT(*) AS value FROM events WHERE type_name = '{type_name}'"))
}

/// The differences of the whole stock: kind, status.
pub(super) fn drifts(test: &TestDepot) -> Vec<String> {
    test.db.raw().texts("SELECT kind || ' ' || status AS value FROM drifts ORDER BY id")
}

/// Makes what waits due now.
fn make_due(test: &TestDepot) {
    test.db.raw().execute("UPDATE carrier_events SET run_at = received_at WHERE status = 'pending'");
}

pub(super) async fn sold(test: &TestDepot) -> LineSpec {
    let line = test.deliver(1).await.remove(0);
    test.order(&format!("sale-{}", line.iccid), 1).await.unwrap();
    line
}

on_both_databases! {
    async fn fifty_copies_at_once_are_kept_and_applied_once(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = sold(&test).await;
        let body = esim(&line, "DOWNLOADED", now()).to_string();
        let depots = [test.depot.clone(), test.restarted()];
        let copies: Vec<_> = (0..50)
            .map(|copy| {
                let (depot, body) = (depots[copy % 2].clone(), body.clone());
                tokio::spawn(async move { post_signed(&depot, body.as_bytes(), WEBHOOK_SECRET).await.unwrap() })
            })
            .collect();
        let mut new = 0;
        for copy in copies {
            new += i64::from(copy.await.unwrap().unwrap());
        }
        assert_eq!((new, statuses(&test).len()), (1, 1));
        let workers: Vec<_> = depots
            .into_iter()
            .cycle()
            .take(4)
            .map(|depot| tokio::spawn(async move { while inbound::step(&depot).await.unwrap() {} }))
            .collect();
        for worker in workers {
            worker.await.unwrap();
        }
        assert_eq!((statuses(&test), count(&test, "profile.esim_status_seen")), (vec!["applied".to_owned()], 1));
        assert_eq!(test.profile(&line.iccid).await.esim.unwrap().status, EsimStatus::Downloaded);
        assert!(!post_signed(&test.depot, body.as_bytes(), WEBHOOK_SECRET).await.unwrap().unwrap());
        test.finish().await;
    }

    /// What the carrier tells of a whole life, the last word first.
    async fn a_life_told_backwards_ends_right(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = test.deliver(1).await.remove(0);
        let id = test.order_with_product("ref-1", 1).await.unwrap().order.order.id;
        test.work_until_settled().await;
        let at = |second| now() + TimeDelta::seconds(second);
        let events: Vec<Json> = {
            let mut twin = test.twin.twin();
            twin.simulate_download(&line.iccid, None, at(1)).unwrap();
            twin.simulate_install(&line.iccid, at(4)).unwrap();
            twin.simulate_enable(&line.iccid, at(7)).unwrap();
            twin.attach(&line.iccid, "FR", at(10)).unwrap();
            twin.simulate_disable(&line.iccid, at(13)).unwrap();
            twin.set_line_status(&line.iccid, SimStatus::Suspended, at(16)).unwrap();
            twin.events().iter().map(simdepot_carrier_twin::events::TwinEvent::envelope).collect()
        };
        let subscription = test.read_order(id).await.lines[0].profiles[0].bundle.clone().unwrap().bundle;
        let subscription = subscription.subscription_id.unwrap();
        let expired = product(&line, "EXPIRED", at(19), &subscription);
        assert!(events.len() >= 6, "{events:#?}");
        for event in std::iter::once(&expired).chain(events.iter().rev()) {
            tell(&test, event).await;
        }
        let profile = test.profile(&line.iccid).await;
        let (sim, esim) = (profile.sim.unwrap(), profile.esim.unwrap());
        assert_eq!((sim.status, esim.status), (SimStatus::Suspended, EsimStatus::Disabled));
        assert!(profile.eid.is_some() && sim.dated_by_carrier);
        let bundle = test.read_order(id).await.lines[0].profiles[0].bundle.clone().unwrap().bundle;
        assert_eq!(bundle.status, BundleStatus::Expired);
        assert!(bundle.activated_at.is_some(), "an older word fills the gap");
        let told = (count(&test, "profile.esim_status_seen"), count(&test, "bundle.status_changed"));
        // Once more, in order: nothing moves.
        for event in &events {
            let mut again = event.clone();
            again["header"]["eventId"] = json!(RandomIds.uuid().to_string());
            tell(&test, &again).await;
        }
        assert_eq!(told, (count(&test, "profile.esim_status_seen"), count(&test, "bundle.status_changed")));
        assert!(statuses(&test).iter().all(|status| status == "applied"), "{:?}", statuses(&test));
        // Backwards, the line jumped from pre-activated to suspended, until the step in between was told.
        assert_eq!(drifts(&test), ["impossible_move healed"]);
        test.finish().await;
    }

    /// A confirmation counts as well: what is older than it is old.
    async fn older_never_overwrites_newer(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = sold(&test).await;
        let at = |second| now() + TimeDelta::seconds(second);
        for (suffix, second) in [("ENABLED", 10), ("ENABLED", 30), ("DISABLED", 20)] {
            tell(&test, &esim(&line, suffix, at(second))).await;
        }
        assert_eq!(test.profile(&line.iccid).await.esim.unwrap().status, EsimStatus::Enabled);
        tell(&test, &esim(&line, "DISABLED", at(40))).await;
        assert_eq!(test.profile(&line.iccid).await.esim.unwrap().status, EsimStatus::Disabled);
        test.finish().await;
    }

    /// What a delivery file says is of no known day: an event of before the import moves the line all the same, and an
    /// older one that comes later does not move it back.
    async fn an_event_of_before_the_import_is_news(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(1).await;
        let imported = test.profile(&lines[0].iccid).await.sim.unwrap();
        assert_eq!((imported.status, imported.source), (SimStatus::Preactivated, Source::Import));
        let at = |hours| now() - TimeDelta::hours(hours);
        tell(&test, &subscriber(&lines[0], "SUSPENDED", at(3))).await;
        tell(&test, &subscriber(&lines[0], "ACTIVATED", at(5))).await;
        let sim = test.profile(&lines[0].iccid).await.sim.unwrap();
        assert_eq!((sim.status, sim.source), (SimStatus::Suspended, Source::Event));
        // Confirmed by the carrier's own date: an older word is older than that.
        let active = test.twin.twin().add_lines(1).remove(0);
        let file = format!("ICCID;MSISDN;Status;ActivationCode\n{};{};Active;1$smdp.example$A1\n", active.iccid, active.msisdn());
        test.import(file, test.import_of()).await.unwrap();
        assert_eq!(test.profile(&active.iccid).await.sim.unwrap().source, Source::Import);
        tell(&test, &subscriber(&active, "ACTIVATED", at(3))).await;
        tell(&test, &subscriber(&active, "SUSPENDED", at(5))).await;
        let sim = test.profile(&active.iccid).await.sim.unwrap();
        assert_eq!((sim.status, sim.source), (SimStatus::Active, Source::Event));
        test.finish().await;
    }

    async fn what_cannot_be_read_is_kept_sealed_and_what_says_nothing_is_ignored(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = sold(&test).await;
        let garbage = b"MATCHING-ID-IN-CLEAR {".as_slice();
        assert_eq!(post_signed(&test.depot, garbage, WEBHOOK_SECRET).await.unwrap(), Some(true));
        assert_eq!(post_signed(&test.depot, garbage, WEBHOOK_SECRET).await.unwrap(), Some(false));
        tell(&test, &event("OCS/WALLET/NEW-IN-2027", now(), &json!({"iccid": line.iccid}))).await;
        let mut statuses = statuses(&test);
        statuses.sort();
        assert_eq!(statuses, ["ignored", "unreadable"]);
        let ids = test.db.raw().texts("SELECT event_id AS value FROM carrier_events WHERE status = 'unreadable'");
        assert!(ids[0].starts_with("sha256:"), "{ids:?}");
        let at_rest = test.db.bytes_at_rest();
        let clear = b"MATCHING-ID-IN-CLEAR".as_slice();
        assert!(!at_rest.windows(clear.len()).any(|bytes| bytes == clear), "bodies are sealed");
        // Nobody else's word is kept.
        let forged = esim(&line, "DELETED", now()).to_string();
        assert_eq!(post_signed(&test.depot, forged.as_bytes(), "guessed").await.unwrap(), None);
        let header = |_: &str| None;
        assert!(matches!(inbound::admit(&test.depot, &account(), &header, b"{}"), Ok(Admission::Refused(_))));
        let other = AccountName::parse("other").unwrap();
        assert!(matches!(inbound::admit(&test.depot, &other, &header, b"{}"), Err(AppError::NotFound { .. })));
        assert_eq!(test.db.raw().number("SELECT COUNT(*) AS value FROM carrier_events"), 2);
        test.finish().await;
    }

    async fn an_event_waits_for_its_delivery_file(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = test.twin.twin().add_lines(1).remove(0);
        let stranger = test.twin.twin().add_lines(1).remove(0);
        tell(&test, &esim(&line, "RELEASED", now())).await;
        tell(&test, &esim(&stranger, "DOWNLOADED", now())).await;
        assert_eq!(statuses(&test), ["pending", "pending"]);
        let file = simdepot_carrier_twin::delivery::delivery_file(std::slice::from_ref(&line));
        test.import(file, test.import_of()).await.unwrap();
        assert!(!inbound::step(&test.depot).await.unwrap(), "not due yet");
        make_due(&test);
        apply(&test).await;
        let profile = test.profile(&line.iccid).await;
        assert_eq!((profile.esim.unwrap().status, profile.stock_status), (EsimStatus::Released, StockStatus::Available));
        for _ in 0..10 {
            make_due(&test);
            apply(&test).await;
        }
        let mut statuses = statuses(&test);
        statuses.sort();
        assert_eq!(statuses, ["applied", "unmatched"], "given up after an hour");
        test.finish().await;
    }

    async fn what_is_in_use_is_not_sold(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(4).await;
        tell(&test, &esim(&lines[0], "DOWNLOADED", now())).await;
        tell(&test, &subscriber(&lines[1], "ACTIVATED", now())).await;
        tell(&test, &product(&lines[2], "PRELOADED", now(), "sub-77")).await;
        for line in &lines[..3] {
            let profile = test.profile(&line.iccid).await;
            assert_eq!(
                (profile.stock_status, profile.quarantine_reason),
                (StockStatus::Quarantined, Some(QuarantineReason::SeenInUse))
            );
        }
        assert_eq!(
            drifts(&test),
            ["in_use_unsold healed", "in_use_unsold healed", "unexpected_bundle open", "in_use_unsold healed"]
        );
        assert_eq!((count(&test, "profile.drift_found"), count(&test, "profile.drift_closed")), (4, 3));
        let sold = test.order("all", 1).await.unwrap().order;
        assert_eq!(profiles_of(&sold)[0].iccid, lines[3].iccid);
        assert!(matches!(test.order("more", 1).await, Err(AppError::OutOfStock { .. })));
        test.finish().await;
    }

    async fn a_bundle_that_nobody_ordered_is_told_until_it_ends(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = test.deliver(1).await.remove(0);
        tell(&test, &product(&line, "PRELOADED", now(), "sub-1")).await;
        assert_eq!(drifts(&test), ["unexpected_bundle open", "in_use_unsold healed"]);
        tell(&test, &product(&line, "ACTIVATED", now(), "sub-1")).await;
        assert_eq!(drifts(&test), ["unexpected_bundle open", "in_use_unsold healed"], "it is told once");
        tell(&test, &product(&line, "EXPIRED", now(), "sub-1")).await;
        tell(&test, &product(&line, "EXPIRED", now(), "sub-2")).await;
        let over = ["unexpected_bundle gone", "in_use_unsold healed", "unexpected_bundle gone"];
        assert_eq!(drifts(&test), over);
        assert_eq!(test.profile(&line.iccid).await.stock_status, StockStatus::Quarantined);
        test.finish().await;
    }

    /// The carrier echoes the operation's id: the lost answer is found out without asking.
    async fn an_event_proves_a_lost_answer(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(1).await;
        test.twin.twin().add_script(Script::once(CallName::Order, Fault::DropAfterApply));
        let id = test.order_with_product("ref-1", 1).await.unwrap().order.order.id;
        test.work_until_settled().await;
        assert_eq!(test.operations(None).await[0].status, OperationStatus::Unknown);
        let events: Vec<Json> =
            test.twin.twin().events().iter().map(simdepot_carrier_twin::events::TwinEvent::envelope).collect();
        let preloaded = events.iter().find(|event| event["header"]["eventType"] == "OCS/PRODUCT/PRELOADED").unwrap();
        tell(&test, preloaded).await;
        assert_eq!(test.operations(None).await[0].status, OperationStatus::Done);
        let order = test.read_order(id).await;
        assert_eq!(order.order.status, OrderStatus::Fulfilled);
        assert_eq!((statuses(&test), drifts(&test)), (vec!["applied".to_owned()], vec![]));
        assert_eq!(test.order_requests(), 1);
        test.finish().await;
    }

    /// News of a bundle while an operation is open are left to it, and are applied once it has ended.
    async fn news_wait_for_an_open_operation(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = sold(&test).await;
        test.twin.twin().add_script(Script::once(CallName::Order, Fault::DropAfterApply));
        test.top_up(&line.iccid, "top-1", PRODUCT).await.unwrap();
        test.work_until_settled().await;
        let subscription = test.twin.twin().subscriptions_of(line.msisdn())[0].subscription_id.clone();
        tell(&test, &product(&line, "ACTIVATED", now(), &subscription)).await;
        assert_eq!((statuses(&test), drifts(&test)), (vec!["pending".to_owned()], vec![]));
        test.resolve_until_settled().await;
        make_due(&test);
        apply(&test).await;
        assert_eq!((statuses(&test), drifts(&test)), (vec!["applied".to_owned()], vec![]));
        let caller = simdepot_tests::depot::storefront("default");
        let listed = simdepot_application::bundles::list(&test.depot, &caller, line.iccid.clone());
        assert_eq!(listed.await.unwrap()[0].bundle.status, BundleStatus::Active);
        test.finish().await;
    }

    async fn an_impossible_move_is_stored_and_told(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = sold(&test).await;
        let at = |second| now() + TimeDelta::seconds(second);
        tell(&test, &subscriber(&line, "TERMINATED", at(0))).await;
        tell(&test, &subscriber(&line, "ACTIVATED", at(10))).await;
        assert_eq!(test.profile(&line.iccid).await.sim.unwrap().status, SimStatus::Active);
        assert_eq!(drifts(&test), ["impossible_move open"]);
        let about = test.db.raw().texts("SELECT subject AS value FROM drifts");
        assert_eq!(about, ["sim_status terminated to active"]);
        test.finish().await;
    }

    async fn a_number_names_its_line(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = sold(&test).await;
        let body = json!({"msisdn": format!("+{}", line.msisdn())});
        tell(&test, &event("CONNECTIVITY-MANAGEMENT/SUBSCRIBER/SUSPENDED", now(), &body)).await;
        assert_eq!(test.profile(&line.iccid).await.sim.unwrap().status, SimStatus::Suspended);
        test.finish().await;
    }

    async fn what_was_decided_is_forgotten_after_a_month(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = sold(&test).await;
        tell(&test, &esim(&line, "DOWNLOADED", now())).await;
        tell(&test, &esim(&line, "INSTALLED", now())).await;
        let month = match test.db.backend() {
            simdepot_persistence::Backend::Postgres => "received_at - INTERVAL '31 days'",
            simdepot_persistence::Backend::Sqlite => "received_at - 31 * 86400000000",
        };
        let oldest = "(SELECT MIN(event_id) FROM carrier_events)";
        test.db.raw().execute(&format!("UPDATE carrier_events SET received_at = {month} WHERE event_id = {oldest}"));
        housekeeping::step(&test.depot).await.unwrap();
        assert_eq!(statuses(&test), ["applied"]);
        test.finish().await;
    }
}
