use simdepot_domain::sim::SimStatus;

use super::*;
use crate::testing::{Bench, at};

#[test]
fn an_accepted_order_is_done_at_once_and_recorded() {
    let mut bench = Bench::new();
    let line = bench.line();
    let reply = bench.order(&line, "preload");
    assert_eq!(reply.status(), Some(201));
    let body = reply.json().unwrap();
    let order = bench.twin.orders()[0].clone();
    assert_eq!((&body["status"], &body["subscriptionId"]), (&json!("done"), &json!(order.subscription_id)));
    assert_eq!((&body["id"], &body["transactionReference"]), (&json!(order.id), &json!("ref-1")));
    assert_eq!((order.order_type, order.msisdn.as_str()), (OrderType::Preload, line.msisdn()));
    assert_eq!(bench.twin.subscriptions_of(line.msisdn()).len(), 1);
}

#[test]
fn a2_checks_run_in_the_documented_order() {
    let mut bench = Bench::new();
    let line = bench.line();
    bench.twin.set_line_status(&line.iccid, SimStatus::Suspended, at(0)).unwrap();
    let mut body = json!({
        "bind": {"msisdn": "+33612345678"}, "product": {"productId": "NO_SUCH"}, "payment": {"provider": "credit"},
        "source": "api", "orderType": "preload", "mvnoRef": "OTHER",
    });
    let mut refused = |bench: &mut Bench, path: &str, value: &str| {
        let reply = bench.post_order(&body);
        *body.pointer_mut(path).unwrap() = json!(value);
        (reply.status().unwrap(), reply.json().unwrap()["title"].as_str().unwrap_or_default().to_owned())
    };
    let mvno = bench.twin.config().mvno_ref.clone();
    let mut titles = Vec::new();
    for (path, value) in [
        ("/bind/msisdn", "33612345678"),
        ("/mvnoRef", mvno.as_str()),
        ("/bind/msisdn", line.msisdn()),
        ("/product/productId", crate::testing::ALBANIA),
    ] {
        titles.push(refused(&mut bench, path, value));
    }
    titles.push(refused(&mut bench, "/source", "api"));
    bench.twin.set_line_status(&line.iccid, SimStatus::Preactivated, at(0)).unwrap();
    titles.push(refused(&mut bench, "/payment/provider", "customer"));
    let expected = [
        (400, "BAD_REQUEST"),
        (403, "INSUFFICIENT_PERMISSION"),
        (400, "SUBSCRIBER_NOT_FOUND"),
        (400, "PRODUCT_NOT_FOUND"),
        (400, "SUBSCRIBER_STATUS_NOT_ELIGIBLE"),
        (400, "BAD_REQUEST"),
    ];
    assert_eq!(titles, expected.map(|(status, title)| (status, title.to_owned())));
    assert!(bench.twin.orders().is_empty());
    assert_eq!(bench.post_order(&body).status(), Some(201));
}

#[test]
fn a2_the_order_of_checks_and_the_statuses_can_be_changed() {
    let mut bench = Bench::new();
    let body = json!({
        "bind": {"msisdn": "33612345678"}, "product": {"productId": "NO_SUCH"}, "payment": {"provider": "customer"},
        "source": "api", "orderType": "preload", "mvnoRef": "OTHER",
    });
    bench.twin.assumptions_mut().order_checks = vec![OrderCheck::Product];
    bench.twin.assumptions_mut().order_refused_status = 404;
    let reply = bench.post_order(&body);
    assert_eq!((reply.status(), &reply.json().unwrap()["title"]), (Some(404), &json!("PRODUCT_NOT_FOUND")));
    bench.twin.assumptions_mut().order_checks.clear();
    assert_eq!(bench.post_order(&body).status(), Some(404));
    assert!(bench.twin.orders().is_empty());
}

#[test]
fn a2_bodies_out_of_shape_are_named() {
    let mut bench = Bench::new();
    let line = bench.line();
    let good = bench.order_body(&line, "preload");
    for (path, value, word) in [
        ("/orderType", json!("modify"), "orderType"),
        ("/transactionReference", json!("x".repeat(256)), "transactionReference"),
        ("/bind/msisdn", json!("12345"), "msisdn"),
        ("/bind", json!({"iccid": line.iccid}), "msisdn"),
        ("/source", json!(""), "source"),
    ] {
        let mut body = good.clone();
        *body.pointer_mut(path).unwrap() = value;
        let problem = bench.post_order(&body).json().unwrap();
        assert_eq!(problem["title"], "BAD_REQUEST");
        assert!(problem["detail"].as_str().unwrap().contains(word), "{problem}");
    }
}

#[test]
fn a3_each_type_has_its_status_and_nothing_is_deduplicated() {
    let mut bench = Bench::new();
    let line = bench.line();
    assert_eq!(bench.order(&line, "subscribe").json().unwrap()["title"], "SUBSCRIBER_STATUS_NOT_ELIGIBLE");
    assert_eq!(bench.order(&line, "preload").status(), Some(201));
    assert_eq!(bench.order(&line, "preload").status(), Some(201));
    bench.twin.set_line_status(&line.iccid, SimStatus::Active, at(1)).unwrap();
    assert_eq!(bench.order(&line, "preload").json().unwrap()["title"], "SUBSCRIBER_STATUS_NOT_ELIGIBLE");
    assert_eq!(bench.order(&line, "subscribe").status(), Some(201));
    assert_eq!((bench.twin.orders().len(), bench.twin.subscriptions_of(line.msisdn()).len()), (3, 3));
}

#[test]
fn a3_can_be_turned_over() {
    let mut bench = Bench::new();
    let line = bench.line();
    bench.twin.assumptions_mut().deduplicate_orders = true;
    let first = bench.order(&line, "preload").json().unwrap();
    assert_eq!(bench.order(&line, "preload").json().unwrap()["subscriptionId"], first["subscriptionId"]);
    assert_eq!(bench.twin.orders().len(), 1);
    bench.twin.assumptions_mut().deduplicate_orders = false;
    bench.twin.assumptions_mut().several_plans_per_line = false;
    assert_eq!(bench.order(&line, "preload").json().unwrap()["title"], "PRODUCT_NOT_ELIGIBLE");
    bench.twin.assumptions_mut().several_plans_per_line = true;
    bench.twin.assumptions_mut().preload_statuses.push(SimStatus::Active);
    bench.twin.set_line_status(&line.iccid, SimStatus::Active, at(1)).unwrap();
    assert_eq!(bench.order(&line, "preload").status(), Some(201));
}
