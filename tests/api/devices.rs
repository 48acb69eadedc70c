//! Devices over HTTP: what is read, what is written down, and every way in which neither happens.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value as Json, json};
use simdepot_tests::app::{AppOptions, WrapCarrier, unique};
use simdepot_tests::devices::{CLOSED_TAC, DEVICE, DeviceCarrier, KNOWN_TAC, SILENT_TAC};
use simdepot_tests::{TestApp, TestDatabase, on_both_databases};

use crate::checked::assert_body;
use crate::{PRODUCT, fields_of, order, order_with};

async fn app_with(db: TestDatabase, wrap: WrapCarrier) -> Option<TestApp> {
    TestApp::in_process(db, AppOptions { wrap_carrier: Some(wrap), ..AppOptions::default() }).await
}

async fn rich(db: TestDatabase) -> Option<TestApp> {
    app_with(db, |inner| Arc::new(DeviceCarrier::rich(inner))).await
}

async fn lean(db: TestDatabase) -> Option<TestApp> {
    app_with(db, |inner| Arc::new(DeviceCarrier::lean(inner))).await
}

/// A line in the stock that is active, and known to be.
async fn active(app: &TestApp) -> String {
    let iccid = app.deliver(1).await.remove(0).iccid;
    stand(app, &iccid, "active").await;
    iccid
}

/// Has the carrier's line stand somewhere, and reads it.
async fn stand(app: &TestApp, iccid: &str, sim_status: &str) {
    let twin = app.twin().expect("a twin");
    twin.post(&format!("lines/{iccid}/status"), &json!({"sim_status": sim_status})).await;
    let line = app.get(&format!("/v1/profiles/{iccid}/line")).send().await.expect_status(200).json();
    assert_eq!(line["sim_status"], sim_status);
}

fn change_path(iccid: &str) -> String {
    format!("/v1/profiles/{iccid}/device-change")
}

fn to_device() -> Json {
    json!({"change_type": "device_only", "new_imei": DEVICE})
}

on_both_databases! {
    async fn a_model_and_a_device_are_read(db: TestDatabase) {
        let Some(app) = rich(db).await else { return };
        let account = &app.account;
        let of_device = format!("/v1/devices/{DEVICE}/compatibility?carrier_account={account}");
        let told = app.get(&of_device).send().await.expect_status(200).json();
        assert_body!(&app, "device_compatibility", &told);
        let of_model = format!("/v1/devices/compatibility?tac={KNOWN_TAC}&carrier_account={account}");
        let told = app.get(&of_model).send().await.expect_status(200).json();
        assert_body!(&app, "device_model", &told);
        // With a software version, and with that and the check digit.
        for imei in ["4901542032375101", "49015420323751801"] {
            let path = format!("/v1/devices/{imei}/compatibility?carrier_account={account}");
            let told = app.get(&path).send().await.expect_status(200).json();
            assert_eq!((&told["imei"], &told["tac"]), (&json!(imei), &json!(KNOWN_TAC)));
        }
        let block = format!("/v1/devices/{DEVICE}/blocklist?carrier_account={account}");
        let told = app.get(&block).send().await.expect_status(200).json();
        assert_body!(&app, "device_block", &told);
        let iccid = app.deliver(1).await.remove(0).iccid;
        let device = app.get(&format!("/v1/profiles/{iccid}/device")).send().await.expect_status(200).json();
        assert_body!(&app, "device", &device);
        app.finish().await;
    }

    async fn a_change_is_taken_and_followed(db: TestDatabase) {
        let Some(app) = rich(db).await else { return };
        let iccid = active(&app).await;
        let mut asked = to_device();
        asked["dry_run"] = json!(true);
        let dry = app.post(&change_path(&iccid), &asked).send().await.expect_status(200).json();
        assert_body!(&app, "device_change_preview", &dry);
        let ask = || app.post(&change_path(&iccid), &to_device()).header("Idempotency-Key", "change-1");
        let taken = ask().send().await.expect_status(202);
        let operation = taken.json();
        let id = operation["id"].as_str().unwrap();
        assert_eq!(taken.header("location"), Some(format!("/v1/operations/{id}").as_str()));
        assert_eq!((&operation["kind"], &operation["profile"]), (&json!("change_device"), &json!(iccid)));
        let again = ask().send().await.expect_status(202);
        assert_eq!((again.header("idempotency-replayed"), &again.json()["id"]), (Some("true"), &json!(id)));
        let read = app.get(&format!("/v1/operations/{id}")).send().await.expect_status(200).json();
        assert_eq!(read["kind"], "change_device");
        app.finish().await;
    }

    async fn a_device_is_blocked_and_unblocked(db: TestDatabase) {
        let Some(app) = rich(db).await else { return };
        let lines = app.deliver(2).await;
        let path = format!("/v1/devices/{DEVICE}/blocklist?carrier_account={}", app.account);
        let blocked = app.put(&path, &json!({"iccid": lines[0].iccid})).send().await.expect_status(202).json();
        assert_eq!((&blocked["kind"], &blocked["profile"]), (&json!("block_device"), &json!(lines[0].iccid)));
        // A key that does not reach operations is told where to look instead.
        let (_, key) = app.new_key(&unique("desk"), &["devices"]).await;
        let body = json!({"msisdn": lines[1].msisdn});
        let unblocked = app.ask(Method::DELETE, &path).json(&body).key(&key).send().await.expect_status(202);
        assert_eq!(unblocked.header("location"), Some(path.as_str()));
        assert_eq!(unblocked.json()["kind"], "unblock_device");
        app.finish().await;
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_device_is_named() {
    let Some(app) = rich(TestDatabase::sqlite()).await else { return };
    let account = app.account.clone();
    let refused = |ask: simdepot_tests::app::Ask| async move {
        let problem = ask.send().await.expect_problem(422, "validation-failed");
        let fields: Vec<(String, String)> =
            fields_of(&problem).into_iter().map(|(at, code)| (at.to_owned(), code.to_owned())).collect();
        fields
    };
    let one = |pointer: &str, code: &str| vec![(pointer.to_owned(), code.to_owned())];
    for imei in ["12345678901234", "123456789012345678", "49015420323751x"] {
        for path in ["compatibility", "blocklist"] {
            let path = format!("/v1/devices/{imei}/{path}?carrier_account={account}");
            assert_eq!(refused(app.get(&path)).await, one("{imei}", "format"), "{path}");
        }
    }
    for (query, pointer, code) in [
        (format!("tac=4901542&carrier_account={account}"), "?tac", "format"),
        (format!("tac=490154203&carrier_account={account}"), "?tac", "format"),
        (format!("tac=4901542x&carrier_account={account}"), "?tac", "format"),
        (format!("carrier_account={account}"), "?tac", "required"),
        (format!("tac={KNOWN_TAC}"), "?carrier_account", "required"),
        (format!("tac={KNOWN_TAC}&carrier_account=No"), "?carrier_account", "format"),
        (format!("tac={KNOWN_TAC}&carrier_account={account}&imei={DEVICE}"), "?imei", "unknown-field"),
    ] {
        let ask = app.get(&format!("/v1/devices/compatibility?{query}"));
        assert_eq!(refused(ask).await, one(pointer, code), "{query}");
    }
    let block = format!("/v1/devices/{DEVICE}/blocklist?carrier_account={account}");
    let both = json!({"iccid": "8988247000000210014", "msisdn": "13035551111"});
    assert_eq!(refused(app.put(&block, &json!({}))).await, one("", "required"));
    assert_eq!(refused(app.put(&block, &both)).await, one("/msisdn", "unexpected"));
    assert_eq!(
        refused(app.ask(Method::DELETE, &block).json(&json!({"imsi": "1"}))).await,
        one("/imsi", "unknown-field")
    );

    let iccid = active(&app).await;
    let path = change_path(&iccid);
    for (body, fields) in [
        (json!({}), one("/change_type", "required")),
        (json!({"change_type": "esim_only"}), one("/change_type", "unknown")),
        (json!({"change_type": "device_only"}), one("/new_imei", "required")),
        (json!({"change_type": "device_only", "new_imei": "1"}), one("/new_imei", "format")),
        (
            json!({"change_type": "psim_only", "new_imei": DEVICE, "delivery": "qr"}),
            [one("/new_imei", "unexpected"), one("/new_iccid", "required"), one("/delivery", "unexpected")]
                .concat(),
        ),
        (
            json!({"change_type": "device_and_esim", "new_imei": DEVICE, "delivery": "post"}),
            one("/delivery", "unknown"),
        ),
        (
            json!({"change_type": "psim_only", "new_iccid": "8965880812100011146"}),
            one("/new_iccid", "unknown"),
        ),
    ] {
        assert_eq!(refused(app.post(&path, &body)).await, fields, "{body}");
    }
    let misfit = app.post(&path, &json!({"change_type": "device_and_psim", "new_iccid": iccid})).send().await;
    assert_body!(&app, "device_change_that_does_not_fit", &misfit.expect_problem(422, "validation-failed"));
    app.finish().await;
}

#[tokio::test]
async fn what_is_not_there_or_not_open_now_is_said() {
    let Some(app) = rich(TestDatabase::sqlite()).await else { return };
    let account = &app.account;
    let of = |tac: &str| app.get(&format!("/v1/devices/compatibility?tac={tac}&carrier_account={account}"));
    let unknown = of("11111111").send().await.expect_problem(404, "not-found");
    assert_body!(&app, "device_model_unknown", &unknown);
    let silent = of(SILENT_TAC).send().await;
    assert_eq!(silent.header("retry-after"), Some("2"));
    assert_body!(&app, "device_model_silent", &silent.expect_problem(503, "carrier-unavailable"));
    let closed = of(CLOSED_TAC).send().await.expect_problem(409, "unsupported-by-carrier");
    assert_eq!(closed["carrier_code"], "NO_RIGHT");
    let nobody = format!("/v1/devices/{DEVICE}/blocklist?carrier_account=nobody");
    let missing = app.get(&nobody).send().await.expect_problem(404, "not-found");
    assert_eq!(missing["detail"], "carrier account not found");
    let body = json!({"iccid": "8988247000000099990"});
    app.put(&nobody, &body).send().await.expect_problem(404, "not-found");
    let here = format!("/v1/devices/{DEVICE}/blocklist?carrier_account={account}");
    app.put(&here, &body).send().await.expect_problem(404, "not-found");
    app.ask(Method::DELETE, &here)
        .json(&json!({"msisdn": "13035551111"}))
        .send()
        .await
        .expect_problem(404, "not-found");
    app.get("/v1/profiles/8988247000000099990/device").send().await.expect_problem(404, "not-found");
    app.post(&change_path("8988247000000099990"), &to_device()).send().await.expect_problem(404, "not-found");

    let iccid = active(&app).await;
    let (_, other) = app.new_key(&unique("shop"), &["storefront", "devices"]).await;
    app.get(&format!("/v1/profiles/{iccid}/device"))
        .key(&other)
        .send()
        .await
        .expect_problem(404, "not-found");
    app.put(&here, &json!({"iccid": iccid})).key(&other).send().await.expect_problem(404, "not-found");
    let swap = json!({"change_type": "psim_only", "new_iccid": iccid});
    let forbidden = app.post(&change_path(&iccid), &swap).key(&other).send().await;
    assert_eq!(forbidden.expect_problem(403, "forbidden")["scope"], "stock");
    stand(&app, &iccid, "suspended").await;
    let refused = app.post(&change_path(&iccid), &to_device()).send().await;
    assert_body!(&app, "device_change_refused", &refused.expect_problem(409, "invalid-transition"));
    app.finish().await;
}

#[tokio::test]
async fn a_carrier_without_devices_says_so() {
    let app = TestApp::start().await;
    let iccid = app.deliver(1).await.remove(0).iccid;
    let account = &app.account;
    let block = format!("/v1/devices/{DEVICE}/blocklist?carrier_account={account}");
    let body = json!({"iccid": iccid});
    for ask in [
        app.get(&format!("/v1/devices/{DEVICE}/compatibility?carrier_account={account}")),
        app.get(&format!("/v1/devices/compatibility?tac={KNOWN_TAC}&carrier_account={account}")),
        app.get(&block),
        app.put(&block, &body),
        app.ask(Method::DELETE, &block).json(&body),
        app.get(&format!("/v1/profiles/{iccid}/device")),
        app.post(&change_path(&iccid), &to_device()),
        app.post(
            &change_path(&iccid),
            &json!({"change_type": "device_only", "new_imei": DEVICE, "dry_run": true}),
        ),
    ] {
        let problem = ask.send().await.expect_problem(409, "unsupported-by-carrier");
        assert_eq!(problem["carrier_code"], "unsupported");
    }
    app.finish().await;
}

#[tokio::test]
async fn what_a_lean_carrier_lacks_is_409_and_the_rest_goes_on() {
    let Some(app) = lean(TestDatabase::sqlite()).await else { return };
    let iccid = app.deliver(2).await.remove(0).iccid;
    let pool = app.get(&format!("/v1/pools/{}", app.pool)).send().await.expect_status(200).json();
    let has = json!(["line_commands", "device", "device_compatibility", "device_change", "device_blocklist"]);
    assert_eq!(pool["capabilities"], has);
    let pools = app.get("/v1/pools?limit=200").send().await.expect_status(200).json();
    assert!(pools["data"].as_array().unwrap().contains(&pool));
    let placed =
        app.post("/v1/orders", &order(&unique("order"), &app.pool, 1)).send().await.expect_status(201).json();
    let id = placed["id"].as_str().unwrap();
    let profile = format!("/v1/profiles/{iccid}");
    for path in [
        profile.clone(),
        format!("{profile}/timeline"),
        format!("{profile}/line"),
        format!("{profile}/line/security-codes"),
        format!("/v1/orders/{id}"),
        format!("/v1/orders/{id}/refund-eligibility"),
        "/v1/products".to_owned(),
    ] {
        app.get(&path).send().await.expect_status(200);
    }
    let job = json!({"operation": "swap_msisdn", "iccids": [iccid]});
    let refused = app.post("/v1/line-jobs", &job).send().await.expect_problem(422, "validation-failed");
    assert_eq!(fields_of(&refused), [("/iccids/0", "unsupported-by-carrier")]);
    for ask in [
        app.get(&format!("/v1/products?pool={}", app.pool)),
        app.post("/v1/orders", &order_with(PRODUCT, &unique("order"), &app.pool, 1)),
        app.post(&format!("{profile}/bundles"), &json!({"reference": unique("top-up"), "product": PRODUCT})),
        app.get(&format!("{profile}/bundles")),
        app.get(&format!("{profile}/usage")),
        app.get(&format!("{profile}/line/sim-card")),
        app.post(&format!("{profile}/line/swap-msisdn"), &json!({})),
        app.post(&format!("{profile}/line/modify"), &json!({"group": "fleet-a"})),
        app.put(&format!("{profile}/line/contact"), &json!({"last_name": "Curie"})),
    ] {
        ask.send().await.expect_problem(409, "unsupported-by-carrier");
    }
    app.finish().await;
}
