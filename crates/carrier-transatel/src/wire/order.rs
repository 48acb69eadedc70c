//! Placing a product, and ending one: `POST /ocs/subscriptions/api/orders/products` (Transatel OCS subscriptions).

use serde::Deserialize;
use serde_json::{Map, Value, json};
use simdepot_domain::bundle::OrderType;
use simdepot_domain::carrier::{
    Answered, BundleChangeOrder, BundleOrder, BundleReceipt, CommandReceipt, Commanded, Lost, Placement,
};
use simdepot_domain::operation::BundleCommand;

use super::{Answer, Call, Method, Request, lenient, problem};

/// Where orders go.
pub(crate) const PATH: &str = "/ocs/subscriptions/api/orders/products";

/// The order. With Service Provider Connect the reseller always pays: provider `customer`.
pub(crate) fn request(order: &BundleOrder, mvno_ref: &str, source: &str) -> Request {
    let order_type = match order.order_type {
        OrderType::Preload => "preload",
        OrderType::Subscribe => "subscribe",
    };
    let body = json!({
        "bind": { "msisdn": order.msisdn.as_str() },
        "product": { "productId": order.product },
        "payment": { "provider": "customer" },
        "source": source,
        "orderType": order_type,
        "mvnoRef": mvno_ref,
        "transactionReference": order.reference,
    });
    post(Call::Order, body)
}

/// A change of a subscription. That the order types exist is documented, the field that names the subscription is not:
/// `field` is where it goes, a dot leading into an object.
pub(crate) fn change_request(
    order: &BundleChangeOrder,
    mvno_ref: &str,
    source: &str,
    field: &str,
) -> Request {
    let order_type = match order.change {
        BundleCommand::CancelRenewal => "cancelRenewal",
        BundleCommand::Terminate => "terminate",
    };
    let mut body = json!({
        "bind": { "msisdn": order.msisdn.as_str() },
        "product": { "productId": order.product },
        "payment": { "provider": "customer" },
        "source": source,
        "orderType": order_type,
        "mvnoRef": mvno_ref,
        "transactionReference": order.reference,
    });
    let id = Value::String(order.subscription_id.clone());
    if let Some(body) = body.as_object_mut() {
        match field.split_once('.') {
            None => drop(body.insert(field.to_owned(), id)),
            Some((object, name)) => {
                let inner = body.entry(object).or_insert_with(|| Value::Object(Map::new()));
                if let Some(inner) = inner.as_object_mut() {
                    inner.insert(name.to_owned(), id);
                }
            }
        }
    }
    post(Call::BundleChange, body)
}

fn post(call: Call, body: Value) -> Request {
    Request::new(call, Method::Post, PATH).body(body)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    #[serde(default, deserialize_with = "lenient::text")]
    id: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    subscription_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    status: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    transaction_reference: Option<String>,
}

/// Reads the answer to `order`.
pub(crate) fn parse(answer: &Answer, order: &BundleOrder) -> Placement {
    match receipt(answer, &order.reference) {
        Answered::Done(Receipt { id, subscription_id, .. }) => {
            Placement::Done(BundleReceipt { order_id: id, subscription_id, order_type: order.order_type })
        }
        Answered::Refused(refusal) => Placement::Refused(refusal),
        Answered::NotTaken(why) => Placement::NotTaken(why),
        Answered::Unknown(lost) => Placement::Unknown(lost),
    }
}

/// Reads the answer to a change.
pub(crate) fn parse_change(answer: &Answer, order: &BundleChangeOrder) -> Commanded {
    match receipt(answer, &order.reference) {
        // The field that names the subscription is not documented: another may have been changed in its place.
        Answered::Done(Receipt { subscription_id: Some(found), .. }) if found != order.subscription_id => {
            let reason = format!("HTTP {}, but the receipt names another subscription", answer.status);
            Commanded::Unknown(Lost { reason, taken_as: Some(found) })
        }
        Answered::Done(receipt) => Commanded::Done(CommandReceipt::Done { reference: receipt.id }),
        Answered::Refused(refusal) => Commanded::Refused(refusal),
        Answered::NotTaken(why) => Commanded::NotTaken(why),
        Answered::Unknown(lost) => Commanded::Unknown(lost),
    }
}

/// The receipt for the order with our `reference`. A success without its evidence is unknown: it was taken, but as what?
/// Only a page that a gateway shows instead says nothing.
fn receipt(answer: &Answer, reference: &str) -> Answered<Receipt> {
    if !(200..300).contains(&answer.status) {
        return problem::write_error(answer);
    }
    let unclear = |id: Option<String>, reason: &str| {
        let status = format!("HTTP {}", answer.status);
        let reason = format!("{status}, {reason}");
        let taken_as = (!answer.is_page()).then(|| id.unwrap_or(status));
        Answered::Unknown(Lost { reason, taken_as })
    };
    if !matches!(answer.status, 200 | 201) {
        return unclear(None, "which is no answer to an order");
    }
    let Ok(receipt) = serde_json::from_slice::<Receipt>(&answer.body) else {
        return unclear(None, "but the receipt cannot be understood");
    };
    if receipt.id.is_none() && receipt.subscription_id.is_none() {
        return unclear(None, "but the receipt has neither id nor subscriptionId");
    }
    if receipt.status.as_deref().is_some_and(|status| !status.eq_ignore_ascii_case("done")) {
        return unclear(receipt.id.or(receipt.subscription_id), "but the order is not reported as done");
    }
    if receipt.transaction_reference.as_deref().is_some_and(|echo| echo != reference.trim()) {
        return unclear(None, "but the receipt is that of another order");
    }
    Answered::Done(receipt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub::bundle_order;

    #[test]
    fn the_order_as_documented() {
        let mut order = bundle_order();
        let preload = request(&order, "M2MA_WW_TSL_ACME", "simdepot");
        assert_eq!((preload.method, preload.path.as_str()), (Method::Post, PATH));
        insta::assert_json_snapshot!(preload.body, @r#"
        {
          "bind": {
            "msisdn": "33700000001"
          },
          "mvnoRef": "M2MA_WW_TSL_ACME",
          "orderType": "preload",
          "payment": {
            "provider": "customer"
          },
          "product": {
            "productId": "WW_TEST_ALBANIA_1GB_7D"
          },
          "source": "simdepot",
          "transactionReference": "op_1"
        }
        "#);
        order.order_type = OrderType::Subscribe;
        assert_eq!(request(&order, "M", "s").body.unwrap()["orderType"], "subscribe");
    }

    #[test]
    fn a_receipt_is_evidence() {
        let order = bundle_order();
        let answer = Answer::of(201, include_str!("../../fixtures/order.json"));
        let Placement::Done(receipt) = parse(&answer, &order) else { panic!("done") };
        assert_eq!(receipt.order_id.as_deref(), Some("ord-2001"));
        assert_eq!(receipt.subscription_id.as_deref(), Some("3f0c1c58-0000-4000-8000-000000000001"));
        assert_eq!(receipt.order_type, OrderType::Preload);
        let Placement::Done(receipt) = parse(&Answer::of(200, r#"{"id":7}"#), &order) else { panic!("done") };
        assert_eq!((receipt.order_id.as_deref(), receipt.subscription_id), (Some("7"), None));
    }

    fn change() -> BundleChangeOrder {
        BundleChangeOrder {
            msisdn: bundle_order().msisdn,
            product: "P".to_owned(),
            subscription_id: "s-1".to_owned(),
            change: BundleCommand::CancelRenewal,
            reference: "op_1".to_owned(),
        }
    }

    #[test]
    fn a_change_names_the_subscription_where_it_is_told_to() {
        let body = |change: &BundleChangeOrder, field: &str| {
            change_request(change, "M", "simdepot", field).body.unwrap()
        };
        let mut expected = json!({
            "bind": { "msisdn": "33700000001" },
            "product": { "productId": "P" },
            "payment": { "provider": "customer" },
            "source": "simdepot",
            "orderType": "cancelRenewal",
            "mvnoRef": "M",
            "transactionReference": "op_1",
            "subscriptionId": "s-1",
        });
        assert_eq!(body(&change(), "subscriptionId"), expected);
        expected.as_object_mut().unwrap().remove("subscriptionId");
        expected["product"]["subscriptionId"] = json!("s-1");
        assert_eq!(body(&change(), "product.subscriptionId"), expected);
        let end = BundleChangeOrder { change: BundleCommand::Terminate, ..change() };
        let found = body(&end, "subscription.id");
        assert_eq!((&found["orderType"], &found["subscription"]["id"]), (&json!("terminate"), &json!("s-1")));
    }

    #[test]
    fn a_change_is_done_when_its_receipt_says_so() {
        let read = |status, body: &str| parse_change(&Answer::of(status, body), &change());
        let done = |id: &str| Commanded::Done(CommandReceipt::Done { reference: Some(id.to_owned()) });
        assert_eq!(read(201, r#"{"id":"ord-1","status":"done","new":1}"#), done("ord-1"));
        assert_eq!(read(201, r#"{"id":"ord-1","subscriptionId":"s-1"}"#), done("ord-1"));
        for (body, taken_as) in [
            (r#"{"id":"ord-1","subscriptionId":"s-2"}"#, "s-2"),
            (r#"{"id":"ord-1","status":"pending"}"#, "ord-1"),
            ("{}", "HTTP 201"),
        ] {
            let Commanded::Unknown(lost) = read(201, body) else { panic!("{body}") };
            assert_eq!(lost.taken_as.as_deref(), Some(taken_as));
        }
        assert!(matches!(read(400, r#"{"title":"BAD_REQUEST"}"#), Commanded::Refused(_)));
        assert!(matches!(read(429, ""), Commanded::NotTaken(_)));
        assert!(matches!(read(503, ""), Commanded::Unknown(_)));
    }

    #[test]
    fn a_success_without_evidence_is_unknown() {
        for (status, body) in [
            (201, ""),
            (201, "{}"),
            (201, "[]"),
            (201, "null"),
            (201, "<html>"),
            (201, r#"{"id":null,"subscriptionId":""}"#),
            (201, r#"{"id":"1","status":"pending"}"#),
            (201, r#"{"id":"1","transactionReference":"op_2"}"#),
            (202, r#"{"id":"1"}"#),
            (204, ""),
            (302, ""),
        ] {
            let found = parse(&Answer::of(status, body), &bundle_order());
            assert!(matches!(found, Placement::Unknown(_)), "{status} {body}: {found:?}");
        }
    }
}
