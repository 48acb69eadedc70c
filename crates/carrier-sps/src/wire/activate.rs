//! Activation of a subscription (Subscriptions, activate subscription).

use serde::Serialize;
use serde_json::{Map, Value};
use simdepot_carrier_http::Request;
use simdepot_domain::carrier::{ActivationOrder, Refusal};
use simdepot_domain::eid::Eid;
use simdepot_domain::imei::Imei;

use super::change::wire_delivery;
use super::problem::not_sendable;
use super::{Call, identity, write};
use crate::activation::Terms;
use crate::paths::PathName;
use crate::settings::SpsSettings;

/// The one frequency that there is.
const MONTHLY: &str = "MONTHLY";

/// Here `eSIM` is written otherwise than in a change.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    partner_transaction_id: &'a str,
    subscriber_id: &'a str,
    wholesale_plan_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    bucket_ref_id: &'a [String],
    location: &'a Map<String, Value>,
    bill_cycle_frequency: &'static str,
    bill_cycle_start_day: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    gpsi: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gpsi_reservation_id: Option<&'a str>,
    iccid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pei: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    eid: Option<&'a str>,
    #[serde(rename = "eSIMDeliveryMethod", skip_serializing_if = "Option::is_none")]
    delivery: Option<&'static str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    products: &'a [Value],
}

/// The activation as a request.
///
/// # Errors
/// What cannot be said in the operator's words: nothing was sent.
pub(crate) fn request(order: &ActivationOrder, settings: &SpsSettings) -> Result<Request, Refusal> {
    let terms: Terms = serde_json::from_value(order.terms.document.clone())
        .map_err(|_| not_sendable("/document", "what this carrier settled with the order"))?;
    let number = order.terms.msisdn.as_ref().map(|number| identity::gpsi_of(number, "/msisdn"));
    let body = Body {
        partner_transaction_id: identity::reference(&order.reference)?,
        subscriber_id: &terms.subscriber_id,
        wholesale_plan_id: &terms.wholesale_plan_id,
        bucket_ref_id: &terms.bucket_ref_ids,
        location: &terms.location,
        bill_cycle_frequency: MONTHLY,
        bill_cycle_start_day: terms.bill_cycle_start_day,
        gpsi: number.transpose()?,
        gpsi_reservation_id: terms.msisdn_reservation_id.as_deref(),
        iccid: order.iccid.as_str(),
        pei: order.terms.imei.as_ref().map(Imei::as_str),
        eid: terms.eid.as_ref().map(Eid::as_str),
        delivery: terms.delivery.map(wire_delivery),
        products: &terms.products,
    };
    write(Call::Activation, PathName::Activate, &settings.paths, &body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use simdepot_domain::carrier::{ActivationContext, ActivationTerms};
    use simdepot_domain::iccid::Iccid;

    fn order(terms: ActivationTerms) -> ActivationOrder {
        let iccid = Iccid::parse("11986621644523024501").unwrap();
        ActivationOrder { reference: "Txn101010101".to_owned(), iccid, terms }
    }

    fn terms(line: &Value, settings: &SpsSettings) -> ActivationTerms {
        let pool = json!({ "wholesale_plan_id": "Plan001", "bucket_ref_ids": ["B1"], "location": {} });
        let ordered_at = "2026-03-31T08:00:00Z".parse().unwrap();
        let context = ActivationContext { subscriber: "ord_1".to_owned(), quantity: 1, ordered_at };
        crate::activation::terms(&pool, Some(line), &context, settings).unwrap()
    }

    /// The page's sample, in content. It has a delivery without a chip, which the strict scenarios leave alone.
    #[test]
    fn the_sample() {
        let settings = SpsSettings::default();
        let line = json!({
            "subscriber_id": "Sub001", "msisdn": "19459986891", "msisdn_reservation_id": "GRID368599719",
            "imei": "2288151828896431", "delivery": "qr", "products": [{}],
        });
        let request = request(&order(terms(&line, &settings)), &settings).unwrap();
        assert_eq!(
            request.body.unwrap(),
            json!({
                "partnerTransactionId": "Txn101010101", "subscriberId": "Sub001", "wholesalePlanId": "Plan001",
                "bucketRefId": ["B1"], "location": {}, "billCycleFrequency": "MONTHLY", "billCycleStartDay": 1,
                "gpsi": "19459986891", "gpsiReservationId": "GRID368599719", "iccid": "11986621644523024501",
                "pei": "2288151828896431", "eSIMDeliveryMethod": "QR", "products": [{}],
            })
        );
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/activate"));
    }

    /// Which of SIM, device, chip and delivery are sent.
    #[test]
    fn the_scenarios() {
        const EID: &str = "89049032020008884800228685583432";
        let settings = SpsSettings::default();
        let sent = |line: &Value| {
            let body = request(&order(terms(line, &settings)), &settings).unwrap().body.unwrap();
            let names =
                ["iccid", "pei", "eid", "eSIMDeliveryMethod", "gpsi", "gpsiReservationId", "products"];
            names.into_iter().filter(|name| body.get(name).is_some()).collect::<Vec<_>>()
        };
        assert_eq!(sent(&json!({})), ["iccid"]);
        assert_eq!(sent(&json!({ "imei": "2288151828896431" })), ["iccid", "pei"]);
        let known = json!({ "imei": "2288151828896431", "delivery": "qr" });
        assert_eq!(sent(&known), ["iccid", "pei", "eSIMDeliveryMethod"]);
        let own = json!({ "imei": "2288151828896431", "eid": EID, "delivery": "qr" });
        assert_eq!(sent(&own), ["iccid", "pei", "eid", "eSIMDeliveryMethod"]);
    }

    #[test]
    fn a_repetition_says_the_same() {
        let settings = SpsSettings::default();
        let order = order(terms(&json!({}), &settings));
        let text = serde_json::to_string(&order.terms).unwrap();
        let again = ActivationOrder { terms: serde_json::from_str(&text).unwrap(), ..order.clone() };
        assert!(request(&order, &settings).unwrap() == request(&again, &settings).unwrap());
    }

    #[test]
    fn what_was_not_settled_here_is_not_sent() {
        let terms = ActivationTerms {
            document: json!({ "plan": "x" }),
            msisdn: None,
            imei: None,
            expects_code: false,
        };
        let refusal = request(&order(terms), &SpsSettings::default()).unwrap_err();
        assert!(refusal.detail.unwrap().starts_with("/document must be"));
    }
}
