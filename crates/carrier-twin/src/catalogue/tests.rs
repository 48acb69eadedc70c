use simdepot_domain::sim::SimStatus;

use super::*;
use crate::testing::{ALBANIA, Bench, at};

const LIST: &str = "/ocs/catalog/api/cos/WW_M2MA_COS_SPC/products";

#[test]
fn lists_what_is_on_sale_in_both_kinds_of_country_codes() {
    let mut bench = Bench::new();
    let body = bench.get_ok(&format!("{LIST}?availabilityStatus=AVAILABLE"));
    let albania = body["products"].as_array().unwrap().iter();
    let albania =
        albania.map(|entry| &entry["productDefinition"]).find(|p| p["productId"] == ALBANIA).unwrap();
    assert_eq!((&albania["countryList"], &albania["tags"][0]), (&json!(["ALB"]), &json!("AL")));
    assert_eq!(albania["allowances"]["data"][0]["resourceValue"], 1_048_576);

    let all = body["products"].as_array().unwrap().len();
    assert!(
        bench.twin.set_product_available(ALBANIA, false) && !bench.twin.set_product_available("X", false)
    );
    assert_eq!(
        bench.get_ok(&format!("{LIST}?availabilityStatus=AVAILABLE"))["products"].as_array().unwrap().len(),
        all - 1
    );
    assert_eq!(bench.get_ok(LIST)["products"].as_array().unwrap().len(), all);
    let recurring = bench.get_ok(&format!("{LIST}?categories=Recurring"));
    assert_eq!(recurring["products"].as_array().unwrap().len(), 1);
    assert_eq!(recurring["products"][0]["prices"]["renewalFee"][0][0]["unit"], "CENTS");
}

#[test]
fn a_single_product_is_wrapped_or_bare() {
    let mut bench = Bench::new();
    let single = format!("{LIST}/{ALBANIA}");
    assert_eq!(bench.get_ok(&single)["products"][0]["productDefinition"]["productId"], ALBANIA);
    bench.twin.assumptions_mut().single_product_wrapped = false;
    assert_eq!(bench.get_ok(&single)["productDefinition"]["productId"], ALBANIA);
    bench.get_refused(&format!("{LIST}/NO_SUCH"), 404, "PRODUCT_NOT_FOUND");
}

#[test]
fn another_class_of_service_is_forbidden_and_a_plus_is_bad() {
    let mut bench = Bench::new();
    bench.get_refused("/ocs/catalog/api/cos/COS_SPC/products", 403, "INSUFFICIENT_PERMISSION");
    bench.get_refused(&format!("{LIST}?msisdn=%2B33612345678"), 400, "BAD_REQUEST");
}

#[test]
fn an_msisdn_makes_eligibility_the_subscribers() {
    let mut bench = Bench::new();
    let line = bench.line();
    let single = format!("{LIST}/{ALBANIA}?msisdn={}", line.msisdn());
    let can = |bench: &mut Bench, url: &str| bench.get_ok(url)["products"][0]["canSubscribe"].clone();
    assert_eq!(can(&mut bench, &single)["mode"], "preload");
    bench.twin.set_line_status(&line.iccid, SimStatus::Active, at(1)).unwrap();
    assert_eq!(can(&mut bench, &single)["mode"], "subscribe");
    bench.twin.set_line_status(&line.iccid, SimStatus::Suspended, at(1)).unwrap();
    assert_eq!(can(&mut bench, &single)["errorKey"], "SUBSCRIBER_STATUS_NOT_ELIGIBLE");
    let unknown = can(&mut bench, &format!("{LIST}/{ALBANIA}?msisdn=33612345678"));
    assert_eq!(unknown["errorKey"], "SUBSCRIBER_NOT_FOUND");
}

#[test]
fn months_are_calendar_months_and_zero_is_one() {
    let start: DateTime<Utc> = "2026-01-31T10:00:00Z".parse().unwrap();
    assert_eq!(Validity::months(1).after(start).to_rfc3339(), "2026-02-28T10:00:00+00:00");
    assert_eq!(Validity::days(0).after(start), Validity::days(1).after(start));
    assert_eq!(Validity::months(u32::MAX).after(start), DateTime::<Utc>::MAX_UTC);
}
