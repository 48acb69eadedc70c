//! Reading lines: how one stands, its SIM card, its security codes, what it uses.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};
use simdepot_domain::carrier::{
    BundleOrder, BundleReading, Capability, Carrier, EsimReading, LineKey, LineReading, Placement, Probe,
    ReadError, SecurityCodes, SimCard, UsageQuery, UsageReading,
};
use simdepot_domain::country::CountryCode;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::line::{LineDetails, LineOption};
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::product::Product;
use simdepot_domain::secret::Secret;
use simdepot_tests::app::{AppOptions, DELIVERY_HEADER, WrapCarrier, unique};
use simdepot_tests::{TestApp, TestDatabase, on_both_databases};

use crate::checked::assert_body;
use crate::{PRODUCT, fields_of, keys_of, order_with};

/// The real carrier, with more to tell.
struct Talkative(Arc<dyn Carrier>);

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[async_trait]
impl Carrier for Talkative {
    fn capabilities(&self) -> &'static [Capability] {
        self.0.capabilities()
    }

    async fn products(&self) -> Result<Vec<Product>, ReadError> {
        self.0.products().await
    }

    async fn product(&self, product: &str) -> Result<Option<Product>, ReadError> {
        self.0.product(product).await
    }

    async fn line(&self, key: &LineKey) -> Result<Option<LineReading>, ReadError> {
        let option = LineOption { name: "M2M_TSL_BAR_DATA".to_owned(), value: "off".to_owned() };
        let details = LineDetails {
            suspended_by: None,
            rate_plan: Some("M2MA_WW_TSL_TEST".to_owned()),
            options: Some(vec![option]),
            group: Some("fleet-a".to_owned()),
            external_reference: Some("truck 7".to_owned()),
            activated_at: Some(at("2026-03-01T12:00:00Z")),
            modified_at: Some(at("2026-04-01T12:00:00Z")),
            contract_ends_at: None,
        };
        Ok(self.0.line(key).await?.map(|reading| LineReading { details, ..reading }))
    }

    async fn esim(&self, iccid: &Iccid) -> Result<Option<EsimReading>, ReadError> {
        self.0.esim(iccid).await
    }

    async fn bundles(&self, msisdn: &Msisdn) -> Result<Option<Vec<BundleReading>>, ReadError> {
        self.0.bundles(msisdn).await
    }

    async fn place_bundle(&self, order: &BundleOrder) -> Placement {
        self.0.place_bundle(order).await
    }

    async fn probe(&self) -> Vec<Probe> {
        self.0.probe().await
    }

    async fn sim_card(&self, _: &Iccid) -> Result<Option<SimCard>, ReadError> {
        let secret = |text: &str| Some(Secret::new(text));
        Ok(Some(SimCard {
            msisdn: None,
            manufacturer: Some("Idemia".to_owned()),
            electrical_profile: Some("TSL_V4".to_owned()),
            application_compatibility: Some("4G".to_owned()),
            applet_release: Some("7.2".to_owned()),
            card_type: Some("eUICC".to_owned()),
            codes: SecurityCodes {
                pin1: secret("7391"),
                puk1: secret("73917391"),
                pin2: secret("8462"),
                puk2: secret("84628462"),
            },
        }))
    }

    async fn usage(&self, asked: &UsageQuery) -> Result<Vec<UsageReading>, ReadError> {
        let reading = |from, country: Option<&str>, data_bytes| UsageReading {
            from,
            country: country.map(|code| code.parse::<CountryCode>().unwrap()),
            data_bytes,
        };
        let middle = asked.from + (asked.to - asked.from) / 2;
        Ok(vec![reading(middle, None, 2_000), reading(asked.from, Some("FR"), 1_000)])
    }
}

async fn talkative(db: TestDatabase) -> Option<TestApp> {
    let wrap_carrier: WrapCarrier = |inner| Arc::new(Talkative(inner));
    TestApp::in_process(db, AppOptions { wrap_carrier: Some(wrap_carrier), ..AppOptions::default() }).await
}

/// A line of a delivery without PIN and PUK.
async fn deliver_without_codes(app: &TestApp) -> String {
    let line = app.new_lines(1).await.remove(0);
    let row = line.row().replace(";0000;12345678;", ";;;");
    app.import(format!("{DELIVERY_HEADER}\n{row}\n")).send().await.expect_status(201);
    line.iccid
}

/// The events about a profile of one type.
async fn told(app: &TestApp, iccid: &str, kind: &str) -> Vec<Json> {
    app.wait_until("/v1/events?limit=200", |page| !page["data"].as_array().unwrap().is_empty()).await;
    let mut after = 0;
    let mut told = Vec::new();
    loop {
        let page = app.get(&format!("/v1/events?after={after}&limit=200")).send().await.json();
        let rows = page["data"].as_array().unwrap();
        let Some(last) = rows.last() else { return told };
        after = last["seq"].as_i64().unwrap();
        told.extend(
            rows.iter().filter(|row| row["type"] == kind && row.to_string().contains(iccid)).cloned(),
        );
    }
}

/// As [`told`], once there are so many: events are numbered beside the requests.
async fn told_often(app: &TestApp, iccid: &str, kind: &str, often: usize) -> Vec<Json> {
    for _ in 0..200 {
        let events = told(app, iccid, kind).await;
        if events.len() >= often {
            return events;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{iccid} has not had {often} events {kind}");
}

on_both_databases! {
    async fn a_line_is_read_and_learned(db: TestDatabase) {
        let Some(app) = talkative(db).await else { return };
        let Some(twin) = app.twin() else { return };
        twin.patch("assumptions", &json!({"connectivity_open": true})).await;
        let line = app.deliver(1).await.remove(0);
        let path = format!("/v1/profiles/{}/line", line.iccid);
        let read = app.get(&path).send().await.expect_status(200).json();
        assert_body!(&app, "line", &read);
        let profile = app.get(&format!("/v1/profiles/{}", line.iccid)).send().await.expect_status(200).json();
        assert_eq!((&profile["group"], &profile["rate_plan"]), (&json!("fleet-a"), &json!("M2MA_WW_TSL_TEST")));
        let again = app.get(&path).send().await.expect_status(200).json();
        assert!(again["observed_at"].as_str() > read["observed_at"].as_str(), "it is read each time");
        let mut after = again.clone();
        after["observed_at"] = read["observed_at"].clone();
        assert_eq!(after, read);
        let events = told_often(&app, &line.iccid, "profile.line_changed", 1).await;
        assert_eq!(events.len(), 1, "what is the same is no event");
        app.finish().await;
    }
}

#[tokio::test]
async fn the_best_source_that_may_be_read_answers() {
    let app = TestApp::start().await;
    let Some(twin) = app.twin() else { return app.finish().await };
    let line = app.deliver(1).await.remove(0);
    let path = format!("/v1/profiles/{}/line", line.iccid);
    twin.post(&format!("lines/{}/status", line.iccid), &json!({"sim_status": "active"})).await;
    let searched = app.get(&path).send().await.expect_status(200).json();
    assert_eq!((&searched["sim_status"], &searched["source"]), (&json!("active"), &json!("search")));
    let names = [
        "activated_at",
        "contract_ends_at",
        "external_reference",
        "group",
        "iccid",
        "modified_at",
        "msisdn",
        "observed_at",
        "options",
        "rate_plan",
        "sim_status",
        "source",
        "suspended_by",
    ];
    assert_eq!(keys_of(&searched), names);

    // Nothing may be read: what was last known, with its own source and date.
    let closed = json!([
        {"call": "sim_search", "fault": {"refuse_title": {"status": 403, "title": "INSUFFICIENT_PERMISSION"}},
            "matches": {"iccid": line.iccid}},
        {"call": "subscriber", "fault": {"refuse_title": {"status": 403, "title": "INSUFFICIENT_PERMISSION"}},
            "matches": {"iccid": line.iccid}},
    ]);
    twin.post("scripts", &closed).await;
    let known = app.get(&path).send().await.expect_status(200).json();
    assert_eq!(known, searched);
    app.finish().await;
}

#[tokio::test]
async fn what_cannot_be_read_now_is_503_and_what_is_not_there_404() {
    let Some(app) = TestApp::in_process(TestDatabase::sqlite(), AppOptions::default()).await else { return };
    let twin = app.twin().unwrap();
    let line = app.deliver(1).await.remove(0);
    let path = format!("/v1/profiles/{}/line", line.iccid);
    twin.post("scripts", &json!({"call": "sim_search", "fault": "status503_before", "times": 10})).await;
    app.get(&path).send().await.expect_problem(503, "carrier-unavailable");
    app.get("/v1/profiles/8988247000000099990/line").send().await.expect_problem(404, "not-found");
    let (_, shop) = app.new_key("default", &["storefront", "stock"]).await;
    for path in ["line", "line/sim-card", "line/security-codes", "usage"] {
        let path = format!("/v1/profiles/{}/{path}", line.iccid);
        app.get(&path).key(&shop).send().await.expect_problem(403, "forbidden");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_sim_that_the_carrier_does_not_know_is_not_found() {
    let app = TestApp::start().await;
    let stranger = simdepot_tests::app::TestLine::new();
    app.import(format!("{DELIVERY_HEADER}\n{}\n", stranger.row())).send().await.expect_status(201);
    let refused = app.get(&format!("/v1/profiles/{}/line", stranger.iccid)).send().await;
    refused.expect_problem(404, "not-found");
    app.finish().await;
}

#[tokio::test]
async fn a_card_is_shown_without_its_codes() {
    let Some(app) = talkative(TestDatabase::sqlite()).await else { return };
    let line = app.deliver(1).await.remove(0);
    let card = app.get(&format!("/v1/profiles/{}/line/sim-card", line.iccid)).send().await.expect_status(200);
    assert_body!(&app, "sim_card", &card.json());
    for code in ["7391", "8462", "12345678"] {
        assert!(!card.text().contains(code));
    }
    app.finish().await;
}

on_both_databases! {
    async fn codes_are_revealed_once_an_hour_and_key(db: TestDatabase) {
        let Some(app) = talkative(db).await else { return };
        let line = app.deliver(1).await.remove(0);
        let path = format!("/v1/profiles/{}/line/security-codes", line.iccid);
        let (id, key) = app.new_key(&unique("desk"), &["secrets"]).await;
        let answer = app.get(&path).key(&key).send().await.expect_status(200);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_body!(&app, "security_codes_delivered", &answer.json());
        app.get(&path).key(&key).send().await.expect_status(200);
        app.get(&path).send().await.expect_status(200);
        let iccid = &line.iccid;
        let events = told_often(&app, iccid, "profile.security_codes_revealed", 2).await;
        assert_eq!(events.len(), 2, "one per key and hour");
        assert_eq!(events[0]["data"], json!({"key": id}));
        assert!(events.iter().all(|event| !event.to_string().contains("12345678")), "{events:?}");
        let (_, other) = app.new_key(&unique("shop"), &["storefront", "secrets"]).await;
        app.get(&path).key(&other).send().await.expect_problem(404, "not-found");
        app.finish().await;
    }
}

#[tokio::test]
async fn codes_that_were_not_delivered_come_from_the_carrier_and_are_kept_nowhere() {
    let Some(app) = talkative(TestDatabase::sqlite()).await else { return };
    let iccid = deliver_without_codes(&app).await;
    let path = format!("/v1/profiles/{iccid}/line/security-codes");
    let answer = app.get(&path).send().await.expect_status(200).json();
    assert_body!(&app, "security_codes_of_the_carrier", &answer);
    let at_rest = app.bytes_at_rest().unwrap();
    assert!(!at_rest.windows(8).any(|window| window == b"73917391" || window == b"84628462"));
    app.finish().await;
}

#[tokio::test]
async fn what_the_carrier_does_not_have_is_said() {
    let Some(app) = TestApp::in_process(TestDatabase::sqlite(), AppOptions::default()).await else { return };
    let Some(twin) = app.twin() else { return };
    let closed = json!({"call": "subscriber",
        "fault": {"refuse_title": {"status": 403, "title": "INSUFFICIENT_PERMISSION"}}});
    twin.post("scripts", &closed).await;
    let iccid = deliver_without_codes(&app).await;
    for path in ["line/sim-card", "line/security-codes"] {
        let refused = app.get(&format!("/v1/profiles/{iccid}/{path}")).send().await;
        assert!(!refused.expect_problem(409, "unsupported-by-carrier")["carrier_code"].is_null());
    }
    assert!(told(&app, &iccid, "profile.security_codes_revealed").await.is_empty(), "nothing was shown");
    let used = app.get(&format!("/v1/profiles/{iccid}/usage")).send().await.expect_status(200).json();
    assert_eq!(used["intervals"], Json::Null);
    assert!(used["intervals_unavailable"].as_str().unwrap().contains("network_usage"), "{used:#}");
    app.finish().await;
}

#[tokio::test]
async fn usage_is_what_is_left_and_what_was_used() {
    let Some(app) = talkative(TestDatabase::sqlite()).await else { return };
    let Some(twin) = app.twin() else { return };
    let line = app.deliver(1).await.remove(0);
    let placed = order_with(PRODUCT, &unique("order"), &app.pool, 1);
    app.post("/v1/orders", &placed).send().await.expect_status(201);
    twin.use_in(&line.iccid, "FR").await;
    let path = format!("/v1/profiles/{}/usage", line.iccid);
    let asked = format!("{path}?from=2026-03-01T00:00:00Z&to=2026-03-03T00:00:00Z&by=hour");
    let used = app.get(&asked).send().await.expect_status(200).json();
    assert_body!(&app, "usage", &used);
    let default = app.get(&path).send().await.expect_status(200).json();
    let moment = |field: &str| at(default[field].as_str().unwrap());
    assert_eq!((moment("to") - moment("from")).num_days(), 30);
    assert_eq!((&default["by"], &default["source"]), (&json!("day"), &json!("read")));
    for (query, pointer) in [
        ("from=2026-03-03T00:00:00Z&to=2026-03-03T00:00:00Z", "?from"),
        ("from=2025-01-01T00:00:00Z&to=2026-03-03T00:00:00Z", "?from"),
        ("from=yesterday", "?from"),
        ("by=week", "?by"),
        ("since=1", "?since"),
    ] {
        let problem =
            app.get(&format!("{path}?{query}")).send().await.expect_problem(422, "validation-failed");
        assert_eq!(fields_of(&problem)[0].0, pointer, "{query}");
    }
    // When the carrier cannot be asked: what is in the books.
    twin.post("scripts", &json!({"call": "inventory", "fault": "status503_before", "times": 10})).await;
    let known = app.get(&path).send().await.expect_status(200).json();
    assert_eq!((&known["source"], &known["bundles"]), (&json!("known"), &default["bundles"]));
    app.finish().await;
}
