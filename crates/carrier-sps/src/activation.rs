//! What an activation is sent with. A pool says it for all its profiles, an order line adds to it for its own, and together
//! they are settled once, with the order: a repetition must say the same, above all the day on which bills begin.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use simdepot_domain::carrier::{ActivationContext, ActivationTerms, ParameterProblem};
use simdepot_domain::device::EsimDelivery;
use simdepot_domain::eid::Eid;
use simdepot_domain::imei::Imei;
use simdepot_domain::msisdn::Msisdn;

use crate::parameters::{
    Parameters, Wrong, bill_day, delivery, free_name, identifier, name, names, object, objects,
};
use crate::settings::SpsSettings;
use crate::wire::identity;

const OF_POOLS: [&str; 4] = ["wholesale_plan_id", "bucket_ref_ids", "location", "bill_cycle_start_day"];
const OF_LINES: [&str; 8] =
    ["subscriber_id", "location", "imei", "eid", "msisdn", "msisdn_reservation_id", "products", "delivery"];
/// What only one line can have.
const OF_ONE_LINE: [&str; 4] = ["imei", "eid", "msisdn", "msisdn_reservation_id"];

/// What a pool's profiles are activated with.
struct Plan {
    wholesale_plan_id: String,
    bucket_ref_ids: Vec<String>,
    location: Option<Map<String, Value>>,
    bill_cycle_start_day: Option<u8>,
}

/// Everything that an activation is sent with beside numbers of line, SIM and device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Terms {
    pub(crate) subscriber_id: String,
    pub(crate) wholesale_plan_id: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) bucket_ref_ids: Vec<String>,
    pub(crate) location: Map<String, Value>,
    pub(crate) bill_cycle_start_day: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) msisdn_reservation_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) eid: Option<Eid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delivery: Option<EsimDelivery>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) products: Vec<Value>,
}

/// Checks what a pool says.
pub(crate) fn check(activation: &Value) -> Result<(), Vec<ParameterProblem>> {
    plan(activation).map(drop)
}

fn plan(activation: &Value) -> Result<Plan, Vec<ParameterProblem>> {
    let mut given = Parameters::of(Some(activation), &OF_POOLS);
    let wholesale_plan_id = given.required("wholesale_plan_id", name);
    let bucket_ref_ids = given.optional("bucket_ref_ids", names).unwrap_or_default();
    let location = given.optional("location", object);
    let bill_cycle_start_day = given.optional("bill_cycle_start_day", bill_day);
    match (given.into_problems(), wholesale_plan_id) {
        (problems, Some(wholesale_plan_id)) if problems.is_empty() => {
            Ok(Plan { wholesale_plan_id, bucket_ref_ids, location, bill_cycle_start_day })
        }
        (problems, _) => Err(problems),
    }
}

/// Lays what an order line says over what its pool says.
pub(crate) fn terms(
    activation: &Value,
    parameters: Option<&Value>,
    context: &ActivationContext,
    settings: &SpsSettings,
) -> Result<ActivationTerms, Vec<ParameterProblem>> {
    let plan = plan(activation).map_err(|problems| problems.into_iter().map(of_pool).collect::<Vec<_>>())?;
    let mut given = Parameters::of(parameters, &OF_LINES);
    let subscriber_id = given.optional("subscriber_id", name).unwrap_or_else(|| context.subscriber.clone());
    let location = given.optional("location", object).or(plan.location);
    let imei: Option<Imei> = given.optional("imei", identifier);
    let eid: Option<Eid> = given.optional("eid", identifier);
    let msisdn = given.optional("msisdn", number);
    let msisdn_reservation_id = given.optional("msisdn_reservation_id", free_name);
    let products = given.optional("products", objects).unwrap_or_default();
    let delivery = given.optional("delivery", delivery);
    if location.is_none() && !given.has("location") {
        given.wrong("location", "required", "is required: the pool names none");
    }
    if context.quantity > 1 {
        for name in OF_ONE_LINE.into_iter().filter(|name| given.has(name)).collect::<Vec<_>>() {
            given.wrong(name, "one-line-only", "belongs to one line: order it with quantity 1");
        }
    }
    if settings.strict_scenarios {
        fit_scenario(&mut given);
    }
    let problems = given.into_problems();
    let Some(location) = location.filter(|_| problems.is_empty()) else { return Err(problems) };
    let terms = Terms {
        subscriber_id,
        wholesale_plan_id: plan.wholesale_plan_id,
        bucket_ref_ids: plan.bucket_ref_ids,
        location,
        bill_cycle_start_day: plan
            .bill_cycle_start_day
            .unwrap_or_else(|| settings.bill_day(context.ordered_at)),
        msisdn_reservation_id,
        eid,
        delivery,
        products,
    };
    let expects_code = terms.delivery.is_some() || terms.eid.is_some();
    let document = serde_json::to_value(terms)
        .map_err(|_| vec![ParameterProblem::at("", "format", "cannot be written down")])?;
    Ok(ActivationTerms { document, msisdn, imei, expects_code })
}

/// The same for another SIM. The number went to the first one, and its reservation with it; the device stays the customer's.
pub(crate) fn for_another(terms: &ActivationTerms) -> ActivationTerms {
    let mut document = terms.document.clone();
    if let Some(fields) = document.as_object_mut() {
        fields.remove("msisdn_reservation_id");
    }
    ActivationTerms { document, msisdn: None, ..terms.clone() }
}

/// A pool's settings are not the order's: they may have been made before the account's carrier was another.
fn of_pool(problem: ParameterProblem) -> ParameterProblem {
    let ParameterProblem { pointer, message, .. } = problem;
    let message = format!("the pool's activation cannot be used: {pointer} {message}");
    ParameterProblem::at("", "pool-activation", message)
}

/// A line's number as it is sent.
fn number(value: &Value) -> Result<Msisdn, Wrong> {
    let number: Msisdn = identifier(value)?;
    let whole = identity::gpsi(&number).and_then(|digits| Msisdn::parse(&digits).ok());
    whole.ok_or_else(|| Wrong::new("wrong-length", "must have 11 to 15 digits with the country code"))
}

/// The scenarios that the notes on the fields suggest.
fn fit_scenario(given: &mut Parameters<'_>) {
    const TOGETHER: &str =
        "goes together with the other: a number and its reservation are given both or neither";
    for (there, absent) in [("msisdn", "msisdn_reservation_id"), ("msisdn_reservation_id", "msisdn")] {
        if given.has(there) && !given.has(absent) {
            given.wrong(absent, "required", TOGETHER);
        }
    }
    for name in ["eid", "delivery"] {
        if given.has(name) && !given.has("imei") {
            given.wrong("imei", "required", format!("is required with {name}: an eSIM is for a device"));
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub::activation;
    use serde_json::json;

    const EID: &str = "89049032020008884800228685583432";

    fn context(quantity: u32) -> ActivationContext {
        let ordered_at = "2026-03-10T08:00:00Z".parse().unwrap();
        ActivationContext { subscriber: "ord_1".to_owned(), quantity, ordered_at }
    }

    fn settled(pool: &Value, line: Option<&Value>, quantity: u32) -> Result<ActivationTerms, Vec<String>> {
        terms(pool, line, &context(quantity), &SpsSettings::default()).map_err(|problems| shown(&problems))
    }

    fn shown(problems: &[ParameterProblem]) -> Vec<String> {
        problems.iter().map(|problem| format!("{} {}", problem.pointer, problem.code)).collect()
    }

    #[test]
    fn a_pool_s_activation_is_checked_whole() {
        assert_eq!(check(&activation()), Ok(()));
        assert_eq!(check(&json!({ "wholesale_plan_id": "Plan001" })), Ok(()));
        let wrong = |activation: Value| shown(&check(&activation).unwrap_err());
        assert_eq!(wrong(json!({})), ["/wholesale_plan_id required"]);
        assert_eq!(wrong(json!([])), [" type", "/wholesale_plan_id required"]);
        let odd = json!({
            "wholesale_plan_id": "_plan", "bucket_ref_ids": ["a", ""], "location": "here",
            "bill_cycle_start_day": 1.5, "gpsi/x": 1,
        });
        assert_eq!(
            wrong(odd),
            [
                "/gpsi~1x unknown",
                "/wholesale_plan_id format",
                "/bucket_ref_ids/1 length",
                "/location type",
                "/bill_cycle_start_day range"
            ]
        );
        for day in [json!(0), json!(29), json!("1"), json!(300)] {
            let pool = json!({ "wholesale_plan_id": "P", "bill_cycle_start_day": day });
            assert_eq!(wrong(pool), ["/bill_cycle_start_day range"]);
        }
        for (plan, code) in
            [("", "wrong-length"), (&*"x".repeat(37), "wrong-length"), ("a\nb", "invalid-character")]
        {
            assert_eq!(wrong(json!({ "wholesale_plan_id": plan })), [format!("/wholesale_plan_id {code}")]);
        }
    }

    #[test]
    fn an_order_without_parameters_is_the_pool_s() {
        let terms = settled(&activation(), None, 100).unwrap();
        assert_eq!((terms.msisdn, terms.imei), (None, None));
        assert_eq!(
            terms.document,
            json!({
                "subscriber_id": "ord_1", "wholesale_plan_id": "Plan001", "bucket_ref_ids": ["B1"],
                "location": { "zip": "80120" }, "bill_cycle_start_day": 10,
            })
        );
        let read: Terms = serde_json::from_value(terms.document).unwrap();
        assert_eq!(read.bill_cycle_start_day, 10);
    }

    #[test]
    fn an_order_line_adds_to_it() {
        let line = json!({
            "subscriber_id": "Sub001", "location": { "zip": "10001" }, "imei": "2288151828896431", "eid": EID,
            "msisdn": "2812368903", "msisdn_reservation_id": "GRID368599719", "products": [{ "id": 1 }],
            "delivery": "QR",
        });
        let mut pool = activation();
        pool["bill_cycle_start_day"] = json!(28);
        let terms = settled(&pool, Some(&line), 1).unwrap();
        assert_eq!(terms.msisdn.unwrap().as_str(), "12812368903");
        assert_eq!(terms.imei.unwrap().as_str(), "2288151828896431");
        assert_eq!(
            terms.document,
            json!({
                "subscriber_id": "Sub001", "wholesale_plan_id": "Plan001", "bucket_ref_ids": ["B1"],
                "location": { "zip": "10001" }, "bill_cycle_start_day": 28, "eid": EID, "delivery": "qr",
                "msisdn_reservation_id": "GRID368599719", "products": [{ "id": 1 }],
            })
        );
    }

    #[test]
    fn another_sim_gets_another_number() {
        let line = json!({ "msisdn": "2812368903", "msisdn_reservation_id": "GRID368599719", "imei": "2288151828896431" });
        let first = settled(&activation(), Some(&line), 1).unwrap();
        let other = for_another(&first);
        assert_eq!((other.msisdn, &other.imei), (None, &first.imei));
        assert_eq!(other.document, settled(&activation(), None, 1).unwrap().document);
    }

    #[test]
    fn everything_that_is_wrong_is_told() {
        let nowhere = json!({ "wholesale_plan_id": "Plan001" });
        assert_eq!(settled(&nowhere, None, 1).unwrap_err(), ["/location required"]);
        assert_eq!(settled(&json!({}), None, 1).unwrap_err(), [" pool-activation"]);
        let wrong = |line: Value, quantity| settled(&activation(), Some(&line), quantity).unwrap_err();
        let odd = json!({
            "subscriber_id": "", "location": [], "imei": "123", "eid": 8, "msisdn": "123456",
            "msisdn_reservation_id": 5, "products": [1], "delivery": "post", "plan": "x",
        });
        assert_eq!(
            wrong(odd, 1),
            [
                "/plan unknown",
                "/subscriber_id wrong-length",
                "/location type",
                "/imei wrong-length",
                "/eid type",
                "/msisdn wrong-length",
                "/msisdn_reservation_id type",
                "/products/0 type",
                "/delivery unknown"
            ]
        );
        let for_one = json!({ "imei": "2288151828896431", "eid": EID });
        assert_eq!(wrong(for_one, 2), ["/imei one-line-only", "/eid one-line-only"]);
    }

    #[test]
    fn scenarios_are_inferred_so_they_can_be_left_open() {
        for (line, problem) in [
            (json!({ "msisdn": "19459986891" }), "/msisdn_reservation_id required"),
            (json!({ "msisdn_reservation_id": "G" }), "/msisdn required"),
            (json!({ "eid": EID, "delivery": "qr" }), "/imei required"),
            (json!({ "delivery": "qr" }), "/imei required"),
        ] {
            assert_eq!(settled(&activation(), Some(&line), 1).unwrap_err(), [problem]);
            let open = SpsSettings { strict_scenarios: false, ..SpsSettings::default() };
            assert!(terms(&activation(), Some(&line), &context(1), &open).is_ok(), "{line}");
        }
    }
}
