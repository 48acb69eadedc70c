//! The catalogue of a class of service: `GET /ocs/catalog/api/cos/{cos}/products` (Transatel OCS catalog).

use serde::Deserialize;
use serde_json::Value;
use simdepot_domain::carrier::ReadError;
use simdepot_domain::product::{Price, Product, Validity, ValidityUnit};

use super::lenient::{self, Amount};
use super::problem::{self, Problem};
use super::{Answer, Call, Request, country, segment, unreadable};

/// Path of the list.
pub(crate) fn path(cos: &str) -> String {
    format!("/ocs/catalog/api/cos/{}/products", segment(cos))
}

/// Everything on sale.
pub(crate) fn list_request(cos: &str) -> Request {
    Request::get(Call::Catalogue, path(cos)).query("availabilityStatus", "AVAILABLE")
}

/// One product.
pub(crate) fn single_request(cos: &str, product: &str) -> Request {
    Request::get(Call::Catalogue, format!("{}/{}", path(cos), segment(product)))
}

#[derive(Deserialize)]
struct List {
    products: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    product_definition: Definition,
    #[serde(default)]
    availability: Value,
    #[serde(default)]
    prices: Value,
}

/// The part of a product that the inventory repeats.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Definition {
    #[serde(default, deserialize_with = "lenient::text")]
    pub(crate) product_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    product_category: Option<String>,
    #[serde(default)]
    description: Value,
    #[serde(default)]
    allowances: Value,
    #[serde(default, deserialize_with = "lenient::texts")]
    pub(crate) tags: Vec<String>,
    #[serde(default, deserialize_with = "lenient::texts")]
    country_list: Vec<String>,
    #[serde(default)]
    validity_period: Value,
    #[serde(default, deserialize_with = "lenient::or_none")]
    unlimited: Option<bool>,
}

/// Reads the list. A product without an id cannot be sold and is left out; a list of such is unreadable.
pub(crate) fn parse_list(answer: &Answer) -> Result<Vec<Product>, ReadError> {
    if answer.status != 200 {
        return Err(problem::read_error(answer));
    }
    let list: List = answer.json("a catalogue with a list of products")?;
    let entries = list.products.len();
    let products: Vec<Product> = list.products.into_iter().filter_map(product_of).collect();
    if products.is_empty() && entries > 0 {
        return Err(unreadable("products with productDefinition.productId"));
    }
    if products.len() < entries {
        tracing::warn!(
            left_out = entries - products.len(),
            "catalogue entries without productDefinition.productId"
        );
    }
    Ok(products)
}

/// Whether the answer to [`single_request`] leaves open if there is such a product: the id is part of the URL, so a 404
/// that does not name the product may be the gateway's.
pub(crate) fn is_open(answer: &Answer) -> bool {
    answer.status == 404 && !Problem::of(answer).is("PRODUCT_NOT_FOUND")
}

/// Reads one product: the list's wrapper with one element, or the bare element, since both have been seen.
pub(crate) fn parse_single(answer: &Answer, wanted: &str) -> Result<Option<Product>, ReadError> {
    match answer.status {
        200 => {}
        _ if Problem::of(answer).is("PRODUCT_NOT_FOUND") => return Ok(None),
        _ => return Err(problem::read_error(answer)),
    }
    let mut body: Value = answer.json("a product")?;
    let found = match body.get_mut("products").map(Value::take) {
        Some(Value::Array(list)) if list.is_empty() => return Ok(None),
        Some(Value::Array(list)) => {
            list.into_iter().filter_map(product_of).find(|found| found.product == wanted)
        }
        Some(_) | None => product_of(body).filter(|found| found.product == wanted),
    };
    found.map(Some).ok_or_else(|| unreadable("the product that was asked for"))
}

fn product_of(value: Value) -> Option<Product> {
    let bare = value.get("productDefinition").is_none();
    let entry = if bare {
        let definition = serde_json::from_value(value).ok()?;
        Entry { product_definition: definition, availability: Value::Null, prices: Value::Null }
    } else {
        serde_json::from_value(value).ok()?
    };
    let definition = entry.product_definition;
    let product = definition.product_id.clone()?;
    let (data_bytes, unlimited) = definition.data();
    let label = definition.description.get("productLabel").and_then(Value::as_str).map(str::trim);
    Some(Product {
        name: label.filter(|label| !label.is_empty()).unwrap_or(&product).to_owned(),
        category: definition.product_category.clone(),
        countries: country::countries(&definition.tags, &definition.country_list),
        data_bytes,
        unlimited,
        validity: validity_of(&definition.validity_period),
        price: price_of(&entry.prices),
        available: entry.availability.get("available").and_then(Value::as_bool).unwrap_or(true),
        product,
    })
}

impl Definition {
    /// Whether it is one of Transatel's own technical products, which nobody bought.
    pub(crate) fn is_technical(&self) -> bool {
        self.tags.iter().any(|tag| tag.eq_ignore_ascii_case("WALLED_GARDEN"))
    }

    /// The data allowance in bytes, summed over its parts, and whether it is unlimited. An unlimited product may
    /// still name an amount: that is where it is slowed down, not where it ends.
    fn data(&self) -> (Option<u64>, bool) {
        let parts =
            self.allowances.get("data").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let amounts: Vec<Option<Amount>> = parts.iter().map(data_of).collect();
        if self.unlimited == Some(true) || amounts.contains(&Some(Amount::Unlimited)) {
            return (None, true);
        }
        let sum = amounts
            .into_iter()
            .map(|amount| amount.and_then(Amount::limit))
            .try_fold(0u64, |sum, part| part.map(|bytes| sum.saturating_add(bytes)));
        (sum.filter(|_| !parts.is_empty()), false)
    }
}

fn data_of(part: &Value) -> Option<Amount> {
    let factor = lenient::bytes_per(part.get("resourceUnit")?.as_str()?)?;
    Amount::read(part.get("resourceValue")?, factor)
}

fn validity_of(period: &Value) -> Option<Validity> {
    let duration = u32::try_from(lenient::integer(period.get("validityDuration")?)?).ok()?;
    let (unit, factor) =
        match lenient::fold(period.get("validityDurationUnit")?.as_str()?).trim_end_matches('s') {
            "hour" => (ValidityUnit::Hours, 1),
            "day" => (ValidityUnit::Days, 1),
            "week" => (ValidityUnit::Days, 7),
            "month" => (ValidityUnit::Months, 1),
            "year" => (ValidityUnit::Months, 12),
            _ => return None,
        };
    Some(Validity { duration: duration.checked_mul(factor)?, unit })
}

fn price_of(prices: &Value) -> Option<Price> {
    let fee = prices.pointer("/subscriptionFee/0/0").or_else(|| prices.pointer("/subscriptionFee/0"))?;
    // Cents are the only unit documented; an amount in another one must not be taken for cents.
    let in_cents =
        fee.get("unit").and_then(Value::as_str).is_none_or(|unit| unit.eq_ignore_ascii_case("CENTS"));
    let currency = fee.get("currency")?.as_str()?.trim().to_ascii_uppercase();
    let amount_cents = lenient::integer(fee.get("amount")?)?;
    (in_cents && currency.len() == 3).then_some(Price { amount_cents, currency })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn requests() {
        let list = list_request("WW_M2MA_COS_SPC");
        assert_eq!(list.path, "/ocs/catalog/api/cos/WW_M2MA_COS_SPC/products");
        assert_eq!(list.query, [("availabilityStatus", "AVAILABLE".to_owned())]);
        assert_eq!(single_request("C", "A/../B?x").path, "/ocs/catalog/api/cos/C/products/A%2F..%2FB%3Fx");
    }

    #[test]
    fn reads_the_catalogue() {
        let answer = Answer::of(200, include_str!("../../fixtures/catalogue.json"));
        insta::assert_json_snapshot!(parse_list(&answer).unwrap());
    }

    #[test]
    fn one_product_wrapped_or_bare() {
        let catalogue: Value = serde_json::from_str(include_str!("../../fixtures/catalogue.json")).unwrap();
        let entry = catalogue["products"][0].clone();
        let wanted = "WW_TEST_ALBANIA_1GB_7D";
        let read = |body: Value| parse_single(&Answer::of(200, &body.to_string()), wanted);
        let product = read(json!({ "cos": "C", "products": [entry] })).unwrap().unwrap();
        assert_eq!(read(entry.clone()).unwrap().unwrap(), product);
        assert_eq!(read(catalogue.clone()).unwrap().unwrap(), product, "a server that ignores the id");
        let bare = read(entry["productDefinition"].clone()).unwrap().unwrap();
        assert_eq!((bare.product, bare.price), (product.product, None));
        assert_eq!(read(json!({ "products": [] })).unwrap(), None);
        for other in [
            json!({}),
            json!([]),
            json!({ "products": [{}] }),
            json!({ "productDefinition": { "productId": "X" } }),
        ] {
            assert!(matches!(read(other), Err(ReadError::Unreadable { .. })));
        }
    }

    #[test]
    fn an_unknown_product_is_none_and_a_failed_read_is_an_error() {
        let read = |status, body: &str| parse_single(&Answer::of(status, body), "X");
        assert_eq!(read(404, r#"{"title":"PRODUCT_NOT_FOUND"}"#), Ok(None));
        assert!(!is_open(&Answer::of(404, r#"{"title":"PRODUCT_NOT_FOUND"}"#)));
        for body in [r#"{"title":"NOT_FOUND"}"#, "", "<html>"] {
            assert!(matches!(read(404, body), Err(ReadError::Unavailable(_))), "{body}");
            assert!(is_open(&Answer::of(404, body)), "{body}");
        }
        assert!(!is_open(&Answer::of(403, "")));
        assert_eq!(read(400, r#"{"title":"PRODUCT_NOT_FOUND"}"#), Ok(None));
        assert!(matches!(read(403, r#"{"title":"INSUFFICIENT_PERMISSION"}"#), Err(ReadError::Denied { .. })));
        assert!(matches!(read(503, ""), Err(ReadError::Unavailable(_))));
        assert!(matches!(read(200, "<html>"), Err(ReadError::Unreadable { .. })));
    }

    #[test]
    fn an_unreadable_catalogue_is_not_an_empty_one() {
        let read = |body: &str| parse_list(&Answer::of(200, body));
        assert_eq!(read(r#"{"products":[]}"#), Ok(Vec::new()));
        for body in ["", "{}", "[]", r#"{"products":null}"#, r#"{"products":[{},{"productDefinition":{}}]}"#]
        {
            assert!(matches!(read(body), Err(ReadError::Unreadable { .. })), "{body}");
        }
        assert!(matches!(parse_list(&Answer::of(404, "")), Err(ReadError::Unavailable(_))));
    }

    #[test]
    fn amounts_durations_and_prices_in_other_dress() {
        let data =
            |allowances: Value| product_of(json!({ "productId": "P", "allowances": allowances })).unwrap();
        let part = |value: Value, unit: &str| json!({ "resourceValue": value, "resourceUnit": unit });
        assert_eq!(data(json!({ "data": [part(json!(5), "GB")] })).data_bytes, Some(5 << 30));
        assert_eq!(
            data(json!({ "data": [part(json!("512"), "mb"), part(json!(512), "MB")] })).data_bytes,
            Some(1 << 30)
        );
        assert_eq!(data(json!({ "data": [part(json!(1), "GB"), part(json!(1), "SMS")] })).data_bytes, None);
        assert_eq!(data(json!({ "data": [] })).data_bytes, None);
        assert!(data(json!({ "data": [part(json!(-1), "KB")] })).unlimited);
        let validity = |n: Value, unit: &str| {
            validity_of(&json!({ "validityDuration": n, "validityDurationUnit": unit }))
        };
        assert_eq!(validity(json!("30"), "DAYS"), Some(Validity { duration: 30, unit: ValidityUnit::Days }));
        assert_eq!(validity(json!(1), "Month"), Some(Validity { duration: 1, unit: ValidityUnit::Months }));
        assert_eq!(validity(json!(2), "weeks"), Some(Validity { duration: 14, unit: ValidityUnit::Days }));
        assert_eq!(validity(json!(24), "hours"), Some(Validity { duration: 24, unit: ValidityUnit::Hours }));
        assert_eq!(validity(json!(-1), "days"), None);
        assert_eq!(validity(json!(1), "moons"), None);
        let price = |fee: Value| price_of(&json!({ "subscriptionFee": [[fee]] }));
        let euros = |amount_cents| Some(Price { amount_cents, currency: "EUR".into() });
        assert_eq!(price(json!({ "amount": 149.0, "currency": "eur", "unit": "CENTS" })), euros(149));
        assert_eq!(price(json!({ "amount": 0, "currency": "EUR" })), euros(0));
        assert_eq!(price(json!({ "amount": 1, "currency": "EUR", "unit": "EUROS" })), None);
    }
}
