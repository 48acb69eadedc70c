//! The products of a class of service and the catalogue calls (Transatel OCS catalog).

use chrono::{DateTime, Days, Months, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::line::is_msisdn;
use crate::products::alpha3;
use crate::reply::{Answer, Outcome, Problem};
use crate::request::TwinRequest;
use crate::state::Twin;

/// Category of a product (Transatel OCS "Products").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Category {
    /// Ends once, with what is left of its balances.
    #[serde(rename = "One-off")]
    OneOff,
    /// Starts a new period with new balances when one is over.
    Recurring,
}

/// Unit of a validity period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValidityUnit {
    /// 24 hours.
    Days,
    /// Calendar months.
    Months,
}

/// How long a plan runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validity {
    /// Number of units, at least 1; 0 counts as 1.
    pub duration: u32,
    /// Unit.
    pub unit: ValidityUnit,
}

impl Validity {
    /// A number of days.
    pub fn days(duration: u32) -> Self {
        Self { duration, unit: ValidityUnit::Days }
    }

    /// A number of calendar months.
    pub fn months(duration: u32) -> Self {
        Self { duration, unit: ValidityUnit::Months }
    }

    /// The end of a period that starts at `start`.
    pub fn after(self, start: DateTime<Utc>) -> DateTime<Utc> {
        let duration = self.duration.max(1);
        match self.unit {
            ValidityUnit::Days => start.checked_add_days(Days::new(u64::from(duration))),
            ValidityUnit::Months => start.checked_add_months(Months::new(duration)),
        }
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

/// One product of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// Product id.
    pub product_id: String,
    /// Name for people.
    pub label: String,
    /// Category.
    pub category: Category,
    /// Covered countries, ISO 3166 alpha-2.
    pub countries: Vec<String>,
    /// Data allowance in KB (1 GB = 1 048 576 KB); `None` is unlimited.
    pub data_kb: Option<u64>,
    /// How long the plan runs from its start.
    pub validity: Validity,
    /// Price in euro cents.
    pub price_cents: u32,
    /// How many months it may wait for its start; `None` takes the account's default.
    pub deferred_months: Option<u32>,
    /// Whether it is on sale.
    pub available: bool,
}

impl Product {
    /// Whether the plan works in a country (ISO 3166 alpha-2).
    pub fn covers(&self, country: &str) -> bool {
        self.countries.iter().any(|covered| covered.eq_ignore_ascii_case(country))
    }

    /// `productDefinition`, the shape shared by catalogue, inventory and events.
    pub(crate) fn definition(&self, default_deferred_months: u32) -> Value {
        let (kind, zone) = match self.countries.as_slice() {
            [only] => ("local", only.as_str()),
            _ => ("regional", "MULTI"),
        };
        let mut tags = self.countries.clone();
        tags.push("STACK".to_owned());
        let validity = format!("{} {:?}", self.validity.duration, self.validity.unit).to_lowercase();
        let data = self.data_kb.map_or_else(|| "Unlimited data".to_owned(), |kb| format!("{} MB", kb / 1024));
        json!({
            "productId": self.product_id,
            "productCategory": self.category,
            "description": {
                "productLabel": self.label,
                "productShortText": format!("{data}, {validity}"),
                "productDetails": format!("{data} in {} countries or areas", self.countries.len()),
                "productAllowances": data,
                "productPrice": format!("{}.{:02} EUR", self.price_cents / 100, self.price_cents % 100),
                "productValidityPeriod": validity,
            },
            "allowances": { "data": [{
                "resourceName": "DATA_BUNDLE_COUNTRY",
                "resourceUnit": "KB",
                "resourceValue": self.resource_value(self.data_kb),
            }]},
            "countryList": self.countries.iter().filter_map(|code| alpha3(code)).collect::<Vec<_>>(),
            "tags": tags,
            "validityPeriod": {
                "validityDuration": self.validity.duration,
                "validityDurationUnit": self.validity.unit,
            },
            "deferredActivationPeriod": {
                "deferredActivationDuration": self.deferred_months.unwrap_or(default_deferred_months),
                "deferredActivationDurationUnit": "months",
            },
            "coverage": { "type": kind, "zone": zone },
            "networks": [],
            "unlimited": self.data_kb.is_none(),
            "bestseller": false,
            "parentProductIds": [],
        })
    }

    /// A quantity in KB as balances write it: −1 is unlimited.
    pub(crate) fn resource_value(&self, kb: Option<u64>) -> Value {
        if self.data_kb.is_none() { json!(-1) } else { json!(kb.unwrap_or_default()) }
    }
}

impl Twin {
    /// `GET /ocs/catalog/api/cos/{cos}/products[/{productId}]`.
    pub(crate) fn catalogue(&self, request: &TwinRequest, cos: &str, product_id: Option<&str>) -> Outcome {
        if cos != self.config.cos {
            let detail = format!("The class of service {cos} is not the account's");
            return Err(Problem::new(
                self.assumptions.insufficient_permission_status,
                "INSUFFICIENT_PERMISSION",
                detail,
            ));
        }
        let msisdn = request.query_value("msisdn");
        if msisdn.as_deref().is_some_and(|text| !is_msisdn(text)) {
            return Err(Problem::bad_request("msisdn must be 6 to 15 digits without +"));
        }
        let entry = |product: &Product| self.catalogue_entry(product, msisdn.as_deref());
        let products: Vec<Value> = match product_id {
            Some(wanted) => {
                let found = self.product(wanted).map(entry);
                let unknown = || Problem::new(404, "PRODUCT_NOT_FOUND", format!("Unknown product {wanted}"));
                let found = found.ok_or_else(unknown)?;
                if !self.assumptions.single_product_wrapped {
                    return Ok(Answer::json(200, found));
                }
                vec![found]
            }
            None => {
                let on_sale_only = request.query_value("availabilityStatus").as_deref() == Some("AVAILABLE");
                let categories = request.query_values("categories");
                let wanted = |product: &&Product| {
                    (product.available || !on_sale_only)
                        && (categories.is_empty()
                            || categories.iter().any(|name| json!(product.category) == *name.as_str()))
                };
                self.config.products.iter().filter(wanted).map(entry).collect()
            }
        };
        let body = json!({ "cos": cos, "currentLocale": "en_US", "products": products, "links": [] });
        Ok(Answer::json(200, body))
    }

    fn catalogue_entry(&self, product: &Product, msisdn: Option<&str>) -> Value {
        json!({
            "availability": { "available": product.available },
            "canSubscribe": self.eligibility(product, msisdn),
            "display": { "priority": 1, "shotMessage": "" },
            "hasSubProducts": false,
            "inventoryActive": msisdn.is_some_and(|msisdn| self.has_active(msisdn, &product.product_id)),
            "prices": {
                "subscriptionFee": [[{ "amount": product.price_cents, "currency": "EUR", "unit": "CENTS" }]],
                "renewalFee": match product.category {
                    Category::OneOff => json!([]),
                    Category::Recurring => json!([[
                        { "amount": product.price_cents, "currency": "EUR", "unit": "CENTS" }
                    ]]),
                },
            },
            "links": [],
            "productDefinition": product.definition(self.assumptions.deferred_period_months),
        })
    }

    /// Whether the subscriber may order the product; without one, whether it is on sale at all.
    fn eligibility(&self, product: &Product, msisdn: Option<&str>) -> Value {
        let refused =
            |key: &str, message: &str| json!({ "allowed": false, "errorKey": key, "errorMessage": message });
        if !product.available {
            return refused("PRODUCT_NOT_ELIGIBLE", "Product is not on sale");
        }
        let Some(msisdn) = msisdn else {
            return json!({ "allowed": true });
        };
        let Some(line) = self.line_of_msisdn(msisdn) else {
            return refused("SUBSCRIBER_NOT_FOUND", "Subscriber is unknown");
        };
        if self.assumptions.preload_statuses.contains(&line.sim_status) {
            json!({ "allowed": true, "mode": "preload" })
        } else if self.assumptions.subscribe_statuses.contains(&line.sim_status) {
            json!({ "allowed": true, "mode": "subscribe" })
        } else {
            refused("SUBSCRIBER_STATUS_NOT_ELIGIBLE", "Subscriber status is not compatible with the order")
        }
    }

    /// A product of the catalogue.
    pub fn product(&self, product_id: &str) -> Option<&Product> {
        self.config.products.iter().find(|product| product.product_id == product_id)
    }

    /// Puts a product on sale or takes it off; `false` when it is unknown.
    pub fn set_product_available(&mut self, product_id: &str, available: bool) -> bool {
        let product = self.config.products.iter_mut().find(|product| product.product_id == product_id);
        product.map(|product| product.available = available).is_some()
    }
}

#[cfg(test)]
mod tests;
