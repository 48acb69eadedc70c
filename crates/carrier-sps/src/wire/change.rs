//! Another device, SIM or both for a subscription (Subscription Device Management, change device or SIM).

use serde::Serialize;
use simdepot_carrier_http::Request;
use simdepot_domain::carrier::{DeviceChangeOrder, Refusal};
use simdepot_domain::device::{ChangeType, EsimDelivery, Need};
use simdepot_domain::eid::Eid;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::imei::Imei;

use super::problem::not_sendable;
use super::status::Line;
use super::{Call, identity, write};
use crate::paths::PathName;
use crate::settings::SpsSettings;

/// Here `eSim` is written otherwise than in an activation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    partner_transaction_id: &'a str,
    change_type: &'static str,
    #[serde(flatten)]
    line: Line,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_pei: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_iccid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_eid: Option<&'a str>,
    #[serde(rename = "eSimDeliveryMethod", skip_serializing_if = "Option::is_none")]
    delivery: Option<&'static str>,
}

/// The change as a request.
///
/// # Errors
/// What is none of the seven scenarios: nothing was sent.
pub(crate) fn request(order: &DeviceChangeOrder, settings: &SpsSettings) -> Result<Request, Refusal> {
    let change = &order.change;
    if let Some((field, need)) = change.misfits().first() {
        let pointer = format!("/{field}");
        let expected = if *need == Need::Required { "given" } else { "absent" };
        return Err(not_sendable(&pointer, &format!("{expected} for {}", wire_type(change.change_type))));
    }
    let body = Body {
        partner_transaction_id: identity::reference(&order.reference)?,
        change_type: wire_type(change.change_type),
        line: Line::of_key(&order.line, settings.line_identifier),
        new_pei: change.new_imei.as_ref().map(Imei::as_str),
        new_iccid: change.new_iccid.as_ref().map(Iccid::as_str),
        new_eid: change.new_eid.as_ref().map(Eid::as_str),
        delivery: change.delivery.map(wire_delivery),
    };
    write(Call::DeviceChange, PathName::Change, &settings.paths, &body)
}

fn wire_type(change_type: ChangeType) -> &'static str {
    match change_type {
        ChangeType::DeviceOnly => "DeviceOnly",
        ChangeType::PsimOnly => "PSIMOnly",
        ChangeType::DeviceAndPsim => "DeviceAndPSIM",
        ChangeType::DeviceAndEsim => "DeviceAndeSIM",
    }
}

/// How an eSIM is delivered, in the operator's word.
pub(super) fn wire_delivery(delivery: EsimDelivery) -> &'static str {
    match delivery {
        EsimDelivery::Qr => "QR",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::LineIdentifier;
    use crate::stub::{ICCID, line_key};
    use serde_json::{Value, json};
    use simdepot_domain::device::DeviceChange;

    const PEI: &str = "2288151822896431";
    const NEW_ICCID: &str = "89148000007829999354";
    const EID: &str = "89049032020008884800228685583432";

    fn change(change_type: ChangeType, fields: &str) -> DeviceChange {
        let has = |letter| fields.contains(letter);
        DeviceChange {
            change_type,
            new_imei: has('p').then(|| Imei::parse(PEI).unwrap()),
            new_iccid: has('i').then(|| Iccid::parse(NEW_ICCID).unwrap()),
            new_eid: has('e').then(|| Eid::parse(EID).unwrap()),
            delivery: has('q').then_some(EsimDelivery::Qr),
        }
    }

    fn sent(change: DeviceChange) -> Result<Value, Refusal> {
        let order = DeviceChangeOrder { reference: "WhlSlOrd12345".to_owned(), line: line_key(), change };
        Ok(request(&order, &SpsSettings::default())?.body.unwrap())
    }

    /// The page's sample.
    #[test]
    fn the_sample() {
        let change = change(ChangeType::DeviceOnly, "p");
        let order = DeviceChangeOrder { reference: "WhlSlOrd12345".to_owned(), line: line_key(), change };
        let settings = SpsSettings { line_identifier: LineIdentifier::Msisdn, ..SpsSettings::default() };
        let request = request(&order, &settings).unwrap();
        assert_eq!(
            request.body.unwrap(),
            json!({
                "changeType": "DeviceOnly", "partnerTransactionId": "WhlSlOrd12345", "gpsi": "19459986891",
                "newPei": PEI,
            })
        );
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/deviceSim/change"));
    }

    /// The seven scenarios of the page's list, in its order, and what may go with them.
    #[test]
    fn the_seven_scenarios() {
        let with = |rest: Value| {
            let mut body = json!({ "partnerTransactionId": "WhlSlOrd12345", "iccid": ICCID });
            body.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            body
        };
        for (change_type, fields, rest) in [
            (ChangeType::DeviceOnly, "p", json!({ "changeType": "DeviceOnly", "newPei": PEI })),
            (ChangeType::PsimOnly, "i", json!({ "changeType": "PSIMOnly", "newIccid": NEW_ICCID })),
            (
                ChangeType::DeviceAndPsim,
                "pi",
                json!({ "changeType": "DeviceAndPSIM", "newPei": PEI, "newIccid": NEW_ICCID }),
            ),
            (ChangeType::DeviceAndEsim, "p", json!({ "changeType": "DeviceAndeSIM", "newPei": PEI })),
            (
                ChangeType::DeviceAndEsim,
                "pq",
                json!({ "changeType": "DeviceAndeSIM", "newPei": PEI, "eSimDeliveryMethod": "QR" }),
            ),
            (
                ChangeType::DeviceAndEsim,
                "pe",
                json!({ "changeType": "DeviceAndeSIM", "newPei": PEI, "newEid": EID }),
            ),
            (
                ChangeType::DeviceAndEsim,
                "pieq",
                json!({
                    "changeType": "DeviceAndeSIM", "newPei": PEI, "newIccid": NEW_ICCID, "newEid": EID,
                    "eSimDeliveryMethod": "QR",
                }),
            ),
        ] {
            assert_eq!(sent(change(change_type, fields)).unwrap(), with(rest), "{change_type} {fields}");
        }
    }

    #[test]
    fn nothing_else_is_sent() {
        for (change_type, fields, expected) in [
            (ChangeType::DeviceOnly, "", "/new_imei must be given for DeviceOnly"),
            (ChangeType::DeviceOnly, "pi", "/new_iccid must be absent for DeviceOnly"),
            (ChangeType::PsimOnly, "ie", "/new_eid must be absent for PSIMOnly"),
            (ChangeType::DeviceAndPsim, "p", "/new_iccid must be given for DeviceAndPSIM"),
            (ChangeType::DeviceAndPsim, "piq", "/delivery must be absent for DeviceAndPSIM"),
            (ChangeType::DeviceAndEsim, "e", "/new_imei must be given for DeviceAndeSIM"),
        ] {
            let refusal = sent(change(change_type, fields)).unwrap_err();
            assert_eq!(refusal.detail.as_deref(), Some(expected));
        }
    }
}
