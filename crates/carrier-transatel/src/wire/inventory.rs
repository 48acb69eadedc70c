//! The products on a line: `GET /ocs/inventory/api/subscriptions/products` (Transatel OCS inventory).
//!
//! This is the evidence that decides whether a lost order was taken, so one element that cannot be told apart from
//! the others makes the whole read fail.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value};
use simdepot_domain::bundle::{Balance, BalanceUnit, BundleStatus};
use simdepot_domain::carrier::{BundleReading, ReadError};
use simdepot_domain::msisdn::Msisdn;

use super::catalogue::Definition;
use super::lenient::{self, Amount};
use super::problem::{self, Problem};
use super::{Answer, Call, Request, unreadable};

/// Where the inventory is.
pub(crate) const PATH: &str = "/ocs/inventory/api/subscriptions/products";

/// Every documented status, since what the default leaves out is not published. Repeated, for a list with commas
/// is said not to work.
const STATUSES: [&str; 6] =
    ["active", "pending", "pendingForFirstUse", "readyForUse", "scheduled", "terminated"];

/// Asks for everything on a line.
pub(crate) fn request(msisdn: &Msisdn) -> Request {
    let request =
        Request::get(Call::Inventory, PATH).query("msisdn", msisdn.as_str()).query("withBalances", "true");
    STATUSES.into_iter().fold(request, |request, status| request.query("statuses", status))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    product_subscriptions: Vec<Subscription>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Subscription {
    #[serde(default, deserialize_with = "lenient::text")]
    subscription_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    status: Option<String>,
    product_definition: Definition,
    /// Weighed as evidence: a bare date is no moment.
    #[serde(default, deserialize_with = "lenient::exact_moment")]
    subscription_date: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "lenient::moment")]
    activation_date: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "lenient::moment")]
    expiration_date: Option<DateTime<Utc>>,
    #[serde(default)]
    balances: Value,
    #[serde(default, alias = "externalReference", deserialize_with = "lenient::text")]
    transaction_reference: Option<String>,
}

/// Reads the bundles; `None` for an unknown subscriber, as documented; every other failure is one.
pub(crate) fn parse(answer: &Answer, now: DateTime<Utc>) -> Result<Option<Vec<BundleReading>>, ReadError> {
    if answer.status != 200 {
        let unknown = matches!(answer.status, 400 | 404) && Problem::of(answer).is("SUBSCRIBER_NOT_FOUND");
        return if unknown { Ok(None) } else { Err(problem::read_error(answer)) };
    }
    let body: Body = answer.json("an inventory with productSubscriptions")?;
    let mut bundles: Vec<BundleReading> = Vec::with_capacity(body.product_subscriptions.len());
    for subscription in body.product_subscriptions {
        if subscription.product_definition.is_technical() {
            continue;
        }
        let bundle = bundle_of(subscription, now)?;
        if !bundles.iter().any(|known| known.subscription_id == bundle.subscription_id) {
            bundles.push(bundle);
        }
    }
    Ok(Some(bundles))
}

fn bundle_of(subscription: Subscription, now: DateTime<Utc>) -> Result<BundleReading, ReadError> {
    let missing = |field: &str| unreadable(format!("{field} in every product subscription"));
    let (balances, data) = balances_of(&subscription.balances);
    let status = subscription.status.as_deref().ok_or_else(|| missing("status"))?;
    Ok(BundleReading {
        subscription_id: subscription.subscription_id.ok_or_else(|| missing("subscriptionId"))?,
        product: subscription
            .product_definition
            .product_id
            .ok_or_else(|| missing("productDefinition.productId"))?,
        status: status_of(status, subscription.expiration_date, &data, now),
        ordered_at: subscription.subscription_date,
        activated_at: subscription.activation_date,
        expires_at: subscription.expiration_date,
        balances,
        reference: subscription.transaction_reference,
    })
}

fn status_of(
    text: &str,
    expires_at: Option<DateTime<Utc>>,
    data: &[Option<Amount>],
    now: DateTime<Utc>,
) -> BundleStatus {
    match lenient::fold(text).as_str() {
        "pendingforfirstuse" => BundleStatus::Preloaded,
        "readyforuse" => BundleStatus::Ready,
        "scheduled" | "deferred" => BundleStatus::Scheduled,
        "active" if is_used_up(data) => BundleStatus::Exhausted,
        "active" => BundleStatus::Active,
        "expired" => BundleStatus::Expired,
        // One word for both ends; the date tells them apart, as long as it is read before its time is over.
        "terminated" | "canceled" | "cancelled" if expires_at.is_some_and(|end| end <= now) => {
            BundleStatus::Expired
        }
        "terminated" | "canceled" | "cancelled" => BundleStatus::Terminated,
        // `pending` is an order that is not finished; `suspended` is not documented: neither can be relied on.
        _ => BundleStatus::Unknown,
    }
}

/// Whether no data is left. An unlimited part, or one that cannot be read, may still carry traffic.
fn is_used_up(data: &[Option<Amount>]) -> bool {
    !data.is_empty() && data.iter().all(|amount| *amount == Some(Amount::Of(0)))
}

/// All balances, and the amounts of the data ones.
fn balances_of(balances: &Value) -> (Vec<Balance>, Vec<Option<Amount>>) {
    let empty = Map::new();
    let groups = balances.as_object().unwrap_or(&empty);
    let mut read = Vec::new();
    let mut data = Vec::new();
    for (group, list) in groups {
        for item in list.as_array().map(Vec::as_slice).unwrap_or_default() {
            let found = serde_json::from_value::<Item>(item.clone()).ok().and_then(balance_of);
            let is_bytes = matches!(&found, Some((balance, _)) if balance.unit == BalanceUnit::Bytes);
            if group.eq_ignore_ascii_case("data") || is_bytes {
                data.push(found.as_ref().map(|(_, amount)| *amount));
            }
            read.extend(found.map(|(balance, _)| balance));
        }
    }
    (read, data)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    #[serde(default, deserialize_with = "lenient::text")]
    resource_name: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    resource_unit: Option<String>,
    #[serde(default)]
    resource_value: Value,
    #[serde(default)]
    resource_start_value: Value,
    #[serde(default, deserialize_with = "lenient::moment")]
    resource_start_date: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "lenient::moment")]
    resource_end_date: Option<DateTime<Utc>>,
}

fn balance_of(item: Item) -> Option<(Balance, Amount)> {
    let (unit, factor) = unit_of(item.resource_unit.as_deref().unwrap_or_default());
    let amount = Amount::read(&item.resource_value, factor)?;
    let balance = Balance {
        resource: item.resource_name?,
        unit,
        remaining: amount.limit(),
        total: Amount::read(&item.resource_start_value, factor).and_then(Amount::limit),
        starts_at: item.resource_start_date,
        ends_at: item.resource_end_date,
    };
    Some((balance, amount))
}

fn unit_of(text: &str) -> (BalanceUnit, u64) {
    if let Some(factor) = lenient::bytes_per(text) {
        return (BalanceUnit::Bytes, factor);
    }
    match lenient::fold(text).as_str() {
        "second" | "seconds" => (BalanceUnit::Seconds, 1),
        "minute" | "minutes" => (BalanceUnit::Seconds, 60),
        "sms" | "message" | "messages" => (BalanceUnit::Messages, 1),
        "cent" | "cents" => (BalanceUnit::Cents, 1),
        _ => (BalanceUnit::Other, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn now() -> DateTime<Utc> {
        "2026-03-10T00:00:00Z".parse().unwrap()
    }

    fn status(text: &str, expires: &str, data: &Value) -> BundleStatus {
        let body = json!({ "productSubscriptions": [{
            "subscriptionId": "s", "status": text, "expirationDate": expires, "balances": { "data": data },
            "productDefinition": { "productId": "P" },
        }] });
        parse(&Answer::of(200, &body.to_string()), now()).unwrap().unwrap()[0].status
    }

    #[test]
    fn asks_for_every_status_one_by_one() {
        let request = request(&Msisdn::parse("+33700000001").unwrap());
        assert_eq!(request.path, PATH);
        let query: Vec<String> =
            request.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        insta::assert_snapshot!(query.join("&"), @"msisdn=33700000001&withBalances=true&statuses=active&statuses=pending&statuses=pendingForFirstUse&statuses=readyForUse&statuses=scheduled&statuses=terminated");
    }

    #[test]
    fn reads_the_inventory() {
        let answer = Answer::of(200, include_str!("../../fixtures/inventory.json"));
        insta::assert_json_snapshot!(parse(&answer, now()).unwrap().unwrap());
    }

    #[test]
    fn statuses_in_our_words() {
        let (past, future) = ("2026-03-09T00:00:00Z", "2026-04-01T00:00:00Z");
        let full = json!([{ "resourceName": "D", "resourceUnit": "KB", "resourceValue": 10 }]);
        for (text, expires, expected) in [
            ("active", future, BundleStatus::Active),
            ("ACTIVE", future, BundleStatus::Active),
            ("pending_for_first_use", future, BundleStatus::Preloaded),
            ("readyForUse", future, BundleStatus::Ready),
            ("scheduled", future, BundleStatus::Scheduled),
            ("pending", future, BundleStatus::Unknown),
            ("suspended", future, BundleStatus::Unknown),
            ("brand new", future, BundleStatus::Unknown),
            ("expired", future, BundleStatus::Expired),
            ("terminated", past, BundleStatus::Expired),
            ("terminated", "2026-03-10T00:00:00Z", BundleStatus::Expired),
            ("terminated", future, BundleStatus::Terminated),
            ("terminated", "", BundleStatus::Terminated),
            ("canceled", future, BundleStatus::Terminated),
        ] {
            assert_eq!(status(text, expires, &full), expected, "{text} {expires}");
        }
    }

    #[test]
    fn used_up_means_that_nothing_can_be_left() {
        let item =
            |value: Value| json!({ "resourceName": "D", "resourceUnit": "KB", "resourceValue": value });
        let exhausted = |data: Value| status("active", "", &data) == BundleStatus::Exhausted;
        assert!(exhausted(json!([item(json!(0))])));
        assert!(exhausted(json!([item(json!(0)), item(json!("0"))])));
        assert!(exhausted(json!([item(json!(-3))])));
        assert!(!exhausted(json!([item(json!(0)), item(json!(1))])));
        assert!(!exhausted(json!([item(json!(0)), item(json!(-1))])));
        assert!(!exhausted(json!([item(json!(0)), item(json!(null))])));
        assert!(!exhausted(json!([])));
    }

    #[test]
    fn a_failed_read_is_never_nothing_there() {
        let read = |status, body: &str| parse(&Answer::of(status, body), now());
        assert_eq!(read(200, r#"{"productSubscriptions":[]}"#), Ok(Some(Vec::new())));
        assert_eq!(read(404, r#"{"title":"SUBSCRIBER_NOT_FOUND"}"#), Ok(None));
        for (status, body) in [
            (200, "{}"),
            (200, "[]"),
            (200, ""),
            (200, r#"{"productSubscriptions":null}"#),
            (200, r#"{"productSubscriptions":[{"status":"active","productDefinition":{"productId":"P"}}]}"#),
            (
                200,
                r#"{"productSubscriptions":[{"subscriptionId":"s","productDefinition":{"productId":"P"}}]}"#,
            ),
            (
                200,
                r#"{"productSubscriptions":[{"subscriptionId":"s","status":"active","productDefinition":{}}]}"#,
            ),
            (200, r#"{"productSubscriptions":[{"subscriptionId":"s","status":"active"}]}"#),
            (400, r#"{"title":"BAD_REQUEST"}"#),
            (204, ""),
        ] {
            assert!(matches!(read(status, body), Err(ReadError::Unreadable { .. })), "{status} {body}");
        }
        for (status, body) in [(404, r#"{"title":"NOT_FOUND"}"#), (404, ""), (403, "<html>"), (504, "")] {
            assert!(matches!(read(status, body), Err(ReadError::Unavailable(_))), "{status} {body}");
        }
        let denied = read(403, r#"{"title":"INSUFFICIENT_PERMISSION"}"#);
        assert!(matches!(denied, Err(ReadError::Denied { .. })));
    }
}
