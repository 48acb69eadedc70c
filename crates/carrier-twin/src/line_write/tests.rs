use serde_json::json;

use super::*;
use crate::Offer;
use crate::testing::{Bench, at};

use LineOperation::{Activate, ContactInfo, Modify, MsisdnSwap, Reactivate, SimSwap, Suspend, Terminate};

const NOT_ELIGIBLE: &str = "SUBSCRIBER_STATUS_NOT_ELIGIBLE";

#[test]
fn the_rate_plan_is_mandatory_where_assumed() {
    let mut bench = Bench::iot();
    let iccid = bench.line().iccid;
    for missing in [json!({"ratePlan": null}), json!({"ratePlan": ""})] {
        assert_eq!(bench.refused(&iccid, Activate, &missing), "BAD_REQUEST");
    }
    assert_eq!(bench.refused(&iccid, Suspend, &json!({"ratePlan": null})), "BAD_REQUEST");
    bench.twin.assumptions_mut().rate_plan_required = vec![Activate];
    assert_eq!(bench.refused(&iccid, Suspend, &json!({"ratePlan": null})), NOT_ELIGIBLE);
    assert!(bench.twin.transactions().is_empty());
}

#[test]
fn bodies_and_serials_out_of_shape_are_refused() {
    let mut bench = Bench::iot();
    let iccid = bench.line().iccid;
    for body in [
        json!({"options": {"M2M_TSL_BAR_DATA": "on"}}),
        json!({"options": [{"name": "M2M_TSL_BAR_DATA"}]}),
        json!({"group": 7}),
        json!({"subscriberCountryOfResidence": "FRA"}),
        json!({"subscriberInfo": "Ada"}),
    ] {
        assert_eq!(bench.refused(&iccid, Activate, &body), "BAD_REQUEST", "{body}");
    }
    let unknown = simdepot_domain::iccid::Iccid::parse("8988247000000000000").unwrap();
    assert_eq!(bench.refused(&unknown, Activate, &json!({})), "BAD_REQUEST");
    let base = "/connectivity-management/subscribers/api/subscribers/sim-serial";
    let short = TwinRequest::new("POST", &format!("{base}/12/activate")).with_json(&json!({"ratePlan": "X"}));
    assert_eq!(bench.call(short).status(), Some(400));
    let no_json = TwinRequest::new("POST", &format!("{base}/{iccid}/activate"));
    assert_eq!(bench.call(no_json).status(), Some(415));
    let put = TwinRequest::new("PUT", &format!("{base}/{iccid}/activate")).with_json(&json!({}));
    assert_eq!(bench.call(put).status(), Some(405));
}

#[test]
fn each_write_has_its_statuses() {
    let mut bench = Bench::iot();
    let iccid = bench.line().iccid;
    let contact = json!({"subscriberInfo": {"lastName": "Byron"}});
    for operation in [Modify, Suspend, Reactivate, Terminate, SimSwap, MsisdnSwap] {
        assert_eq!(bench.refused(&iccid, operation, &json!({})), NOT_ELIGIBLE, "{operation:?}");
    }
    assert_eq!(bench.refused(&iccid, ContactInfo, &contact), NOT_ELIGIBLE, "rejected while Available");
    bench.done(&iccid, Activate, &json!({}));
    assert_eq!(bench.refused(&iccid, Activate, &json!({})), NOT_ELIGIBLE);
    bench.done(&iccid, Suspend, &json!({}));
    bench.done(&iccid, Modify, &json!({}));
    bench.done(&iccid, Reactivate, &json!({}));
    bench.done(&iccid, ContactInfo, &contact);
    assert_eq!(bench.refused(&iccid, ContactInfo, &json!({})), "BAD_REQUEST");
    bench.done(&iccid, Terminate, &json!({}));
    for operation in LineOperation::ALL {
        assert_eq!(bench.refused(&iccid, operation, &contact), NOT_ELIGIBLE, "{operation:?}");
    }
}

#[test]
fn only_the_carrier_lifts_an_operators_suspension() {
    let mut bench = Bench::iot();
    let iccid = bench.line().iccid;
    bench.done(&iccid, Activate, &json!({}));
    bench.twin.suspend_line(&iccid, SuspendedBy::Operator, at(0)).unwrap();
    assert_eq!(bench.subscriber(&iccid)["suspendedBy"], "operator");
    assert_eq!(bench.refused(&iccid, Reactivate, &json!({})), NOT_ELIGIBLE);
    bench.twin.suspend_line(&iccid, SuspendedBy::Automatic, at(0)).unwrap();
    bench.done(&iccid, Reactivate, &json!({}));
    assert!(bench.subscriber(&iccid).get("suspendedBy").is_none());
}

#[test]
fn a_sim_swap_names_an_available_sim_of_the_account() {
    let mut bench = Bench::iot();
    let [iccid, active] = [bench.line().iccid, bench.line().iccid];
    bench.done(&iccid, Activate, &json!({}));
    bench.done(&active, Activate, &json!({}));
    for body in [
        json!({}),
        json!({"newSimSerial": "12"}),
        json!({"newSimSerial": "8988247000000000000"}),
        json!({ "newSimSerial": active }),
        json!({ "newSimSerial": iccid }),
    ] {
        assert_eq!(bench.refused(&iccid, SimSwap, &body), "BAD_REQUEST", "{body}");
    }
}

#[test]
fn offers_differ_in_what_they_allow() {
    let mut bench = Bench::iot();
    let iccid = bench.line().iccid;
    bench.done(&iccid, Activate, &json!({}));
    bench.twin.assumptions_mut().offer = Offer::MvnoUk;
    assert_eq!(bench.refused(&iccid, MsisdnSwap, &json!({})), NOT_ELIGIBLE);
    bench.twin.assumptions_mut().offer = Offer::MvnoFranceLight;
    bench.done(&iccid, Suspend, &json!({}));
    assert_eq!(bench.refused(&iccid, Modify, &json!({})), NOT_ELIGIBLE);
    bench.twin.assumptions_mut().offer = Offer::Spc;
    bench.done(&iccid, Modify, &json!({}));
}
