//! Placing a product: `POST /ocs/subscriptions/api/orders/products` (Transatel OCS subscriptions).

use serde::Deserialize;
use serde_json::json;
use simdepot_domain::bundle::OrderType;
use simdepot_domain::carrier::{BundleOrder, BundleReceipt, Lost, Placement};

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
    Request {
        call: Call::Order,
        method: Method::Post,
        path: PATH.into(),
        query: Vec::new(),
        body: Some(body),
    }
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

/// Reads the answer to `order`. A success without its evidence is unknown: it was taken, but as what? Only a page that a
/// gateway shows instead says nothing.
pub(crate) fn parse(answer: &Answer, order: &BundleOrder) -> Placement {
    if !(200..300).contains(&answer.status) {
        return problem::placement(answer);
    }
    let unclear = |id: Option<String>, reason: &str| {
        let status = format!("HTTP {}", answer.status);
        let reason = format!("{status}, {reason}");
        let taken_as = (!is_page(answer)).then(|| id.unwrap_or(status));
        Placement::Unknown(Lost { reason, taken_as })
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
    if receipt.status.is_some_and(|status| !status.eq_ignore_ascii_case("done")) {
        return unclear(receipt.id.or(receipt.subscription_id), "but the order is not reported as done");
    }
    if receipt.transaction_reference.is_some_and(|echo| echo != order.reference.trim()) {
        return unclear(None, "but the receipt is that of another order");
    }
    Placement::Done(BundleReceipt {
        order_id: receipt.id,
        subscription_id: receipt.subscription_id,
        order_type: order.order_type,
    })
}

/// The page of a gateway that answers 200 for a carrier that is away. It begins with `<`, and no receipt does.
fn is_page(answer: &Answer) -> bool {
    answer.status == 200 && answer.body.trim_ascii_start().starts_with(b"<")
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
