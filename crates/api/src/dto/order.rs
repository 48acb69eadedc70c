//! Orders.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use simdepot_application::orders::{OrderLineView, OrderProfile as OrderProfileView, OrderView, PlaceOrder};
use simdepot_domain::channel;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::order::OrderLine as DomainLine;
use simdepot_domain::profile::usable;
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use super::activation::Activation;
use super::bundle::Bundle;
use super::carrier_problem::CarrierProblem;
use super::words::{EsimStatus, OrderStatus, ProfileOutcome, SimStatus, StockStatus};
use super::{identifiers, text, time};
use crate::pagination::Limit;

/// An order.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "reference": "shop-1042",
    "lines": [{"pool": "travel-world", "product": "WW_901O_STACK_ONEOFF_FRANCE_1GB_7D", "quantity": 1}]
}))]
pub struct OrderRequest {
    /// Your own reference, unique in your channel for ever: the same order again answers the same profiles.
    #[validate(length(min = 1, max = 255), custom(function = "text::reference"))]
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f\\u202a-\\u202e\\u2066-\\u2069]*[^\\s\\u0000-\\u001f\\u007f-\\u009f\\u202a-\\u202e\\u2066-\\u2069][^\\u0000-\\u001f\\u007f-\\u009f\\u202a-\\u202e\\u2066-\\u2069]*$"
    )]
    pub reference: String,
    /// What you want. All of it is handed out, or nothing; 1000 profiles at most over all lines.
    #[validate(length(min = 1, max = 50), nested)]
    #[schema(min_items = 1, max_items = 50)]
    pub lines: Vec<OrderLineRequest>,
    /// Takes the profiles out of this hold of yours. It bounds the lines: they are of its pool, and no more than it
    /// reserves. What is left of it goes back on sale.
    #[schema(value_type = Option<identifiers::HoldId>)]
    pub hold: Option<id::HoldId>,
    /// Whether to answer only what would happen; nothing is kept, and no code is shown.
    #[serde(default)]
    pub dry_run: bool,
    /// Whether the answer carries the activation codes once the order is fulfilled.
    #[serde(default = "revealing")]
    #[schema(default = true)]
    pub reveal: bool,
}

fn revealing() -> bool {
    true
}

/// One line of an order.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderLineRequest {
    /// The pool to take from.
    #[schema(value_type = identifiers::PoolName)]
    pub pool: channel::PoolName,
    /// The product to put on each profile; none for bare profiles.
    #[validate(length(min = 1, max = 255), custom(function = "text::single_line"))]
    #[schema(min_length = 1, max_length = 255, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    pub product: Option<String>,
    /// How many profiles.
    #[validate(range(min = 1, max = 1000))]
    #[schema(minimum = 1, maximum = 1000)]
    pub quantity: u32,
    /// What the carrier of the pool needs for this line. Carriers that take none refuse it.
    #[schema(value_type = Option<Object>)]
    pub carrier_parameters: Option<serde_json::Map<String, Json>>,
}

impl From<OrderRequest> for PlaceOrder {
    fn from(request: OrderRequest) -> Self {
        let OrderRequest { reference, lines, hold, dry_run, reveal } = request;
        let line = |line: OrderLineRequest| DomainLine {
            pool: line.pool,
            product: line.product,
            quantity: line.quantity,
            carrier_parameters: line.carrier_parameters.map(Json::Object),
        };
        Self { reference, lines: lines.into_iter().map(line).collect(), hold, dry_run, reveal }
    }
}

/// Whether a single order shows its codes.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OrderQuery {
    /// Whether the answer carries the activation codes; the order must be fulfilled.
    #[serde(default)]
    #[param(required = false, default = false)]
    pub reveal: bool,
}

/// Which orders to list.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OrdersQuery {
    /// With this reference.
    #[validate(length(min = 1, max = 255), custom(function = "text::single_line"))]
    #[param(min_length = 1, max_length = 255)]
    pub reference: Option<String>,
    /// Standing there.
    #[param(inline)]
    pub status: Option<OrderStatus>,
    /// Taken after this moment.
    #[serde(default, deserialize_with = "time::optional")]
    pub created_after: Option<DateTime<Utc>>,
    /// How many at most.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    pub limit: Limit,
    /// Where the page begins: `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// An order with everything that belongs to it.
// No `Debug`: it may hold activation codes.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "id": "ord_01kamf2r8ye4ja3v6m1tbk7q5c", "reference": "shop-1042", "channel": "default", "status": "fulfilled",
    "cancelling": false,
    "lines": [{
        "pool": "travel-world", "product": "WW_901O_STACK_ONEOFF_FRANCE_1GB_7D", "quantity": 1,
        "profiles": [{
            "iccid": "8988247000000210014", "msisdn": "337550000210", "stock_status": "allocated",
            "sim_status": "preactivated", "esim_status": "released", "usable": false, "outcome": "fulfilled",
            "bundle": {
                "id": "bdl_01kamf2r8zfq0sh2v2w4r3t9xd", "reference": null,
                "product": "WW_901O_STACK_ONEOFF_FRANCE_1GB_7D", "order_type": "preload", "status": "preloaded",
                "operation": {"id": "op_01kamf2r8zfq0sh2v2x7mwh3qe", "status": "done"}, "balances": [],
                "activated_at": null, "expires_at": null, "fetched_at": null
            },
            "activation": {
                "lpa": "LPA:1$smdp.example.com$K2-1TRDRP-9MJ4ZQ", "smdp_address": "smdp.example.com",
                "matching_id": "K2-1TRDRP-9MJ4ZQ", "confirmation_code_required": false,
                "qr_svg_url": "https://depot.example.com/v1/profiles/8988247000000210014/qr.svg",
                "qr_png_url": "https://depot.example.com/v1/profiles/8988247000000210014/qr.png",
                "apple_install_url": "https://esimsetup.apple.com/esim_qrcode_provisioning?carddata=LPA%3A1%24smdp.example.com%24K2-1TRDRP-9MJ4ZQ",
                "android_install_url": "https://esimsetup.android.com/esim_qrcode_provisioning?carddata=LPA%3A1%24smdp.example.com%24K2-1TRDRP-9MJ4ZQ"
            }
        }]
    }],
    "created_at": "2026-11-21T18:00:00Z", "updated_at": "2026-11-21T18:00:01Z"
}))]
pub struct Order {
    /// Its id.
    #[schema(value_type = identifiers::OrderId)]
    pub id: id::OrderId,
    /// Your reference.
    pub reference: String,
    /// Your channel.
    #[schema(value_type = identifiers::ChannelName)]
    pub channel: channel::ChannelName,
    /// Where it stands.
    pub status: OrderStatus,
    /// Whether it is being cancelled and something of it is still in flight.
    pub cancelling: bool,
    /// Its lines, in the order in which they were asked for.
    pub lines: Vec<OrderLine>,
    /// Why the carrier did not do all of it. Absent when there is no such reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub problem: Option<CarrierProblem>,
    /// When a person closed it without the profiles that had failed: it is fulfilled with the others, and `problem` says
    /// what was the matter with those. Absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub accepted_at: Option<DateTime<Utc>>,
    /// True in the answer to a dry run, absent otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub dry_run: bool,
    /// When it was taken.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// One line with its profiles.
#[derive(Serialize, ToSchema)]
pub struct OrderLine {
    /// The pool.
    #[schema(value_type = identifiers::PoolName)]
    pub pool: channel::PoolName,
    /// The product.
    pub product: Option<String>,
    /// How many were ordered.
    pub quantity: i64,
    /// The profiles. Those that were replaced on the way are left out.
    pub profiles: Vec<OrderProfile>,
}

/// One profile of an order.
#[derive(Serialize, ToSchema)]
pub struct OrderProfile {
    /// Its ICCID.
    #[schema(value_type = identifiers::Iccid)]
    pub iccid: Iccid,
    /// Its number, once known.
    #[schema(value_type = Option<identifiers::Msisdn>)]
    pub msisdn: Option<Msisdn>,
    /// Where it stands in the stock.
    pub stock_status: StockStatus,
    /// Status of its line.
    pub sim_status: Option<SimStatus>,
    /// Status of the eSIM.
    pub esim_status: Option<EsimStatus>,
    /// Whether the customer can use it now: line active and, for an eSIM, profile enabled on the device.
    pub usable: bool,
    /// What became of it in this order.
    pub outcome: ProfileOutcome,
    /// What was put on it.
    pub bundle: Option<Bundle>,
    /// Its activation code. Absent unless this answer reveals it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub activation: Option<Activation>,
}

impl Order {
    /// The answer for an order. `public_url` is how the world reaches this service.
    pub fn new(view: OrderView, public_url: &str) -> Self {
        let OrderView { order, lines } = view;
        Self {
            id: order.id,
            reference: order.reference,
            channel: order.channel,
            status: order.status.into(),
            cancelling: order.cancelling_since.is_some(),
            lines: lines.into_iter().map(|line| OrderLine::new(line, public_url)).collect(),
            problem: CarrierProblem::read(order.problem),
            accepted_at: order.accepted_at,
            dry_run: false,
            created_at: order.created_at,
            updated_at: order.updated_at,
        }
    }
}

impl OrderLine {
    fn new(line: OrderLineView, public_url: &str) -> Self {
        let OrderLineView { pool, product, quantity, profiles } = line;
        let profiles = profiles.into_iter().map(|entry| OrderProfile::new(entry, public_url)).collect();
        Self { pool, product, quantity, profiles }
    }
}

impl OrderProfile {
    fn new(entry: OrderProfileView, public_url: &str) -> Self {
        let OrderProfileView { profile, outcome, bundle, activation } = entry;
        let (sim, esim) = (profile.sim.map(|seen| seen.status), profile.esim.map(|seen| seen.status));
        Self {
            activation: activation.map(|code| Activation::new(public_url, &profile.iccid, &code)),
            usable: usable(profile.form_factor, sim, esim),
            iccid: profile.iccid,
            msisdn: profile.msisdn,
            stock_status: profile.stock_status.into(),
            sim_status: sim.map(Into::into),
            esim_status: esim.map(Into::into),
            outcome: outcome.into(),
            bundle: bundle.map(Into::into),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Result<OrderRequest, String> {
        let request: OrderRequest = serde_json::from_str(text).map_err(|error| error.to_string())?;
        request.validate().map_err(|error| error.to_string())?;
        Ok(request)
    }

    #[test]
    fn a_small_order_has_sensible_defaults() {
        let order = request(r#"{"reference": "r", "lines": [{"pool": "world", "quantity": 1}]}"#).unwrap();
        assert!(order.reveal && !order.dry_run && order.lines[0].product.is_none());
    }

    #[test]
    fn what_an_order_refuses() {
        let line = r#"{"pool": "world", "quantity": 1}"#;
        for (what, body) in [
            ("lines", r#"{"reference": "x"}"#.to_owned()),
            ("unknown field", format!(r#"{{"reference": "x", "lines": [{line}], "colour": "red"}}"#)),
            ("expected an id", format!(r#"{{"reference": "x", "lines": [{line}], "hold": "hold_1"}}"#)),
            ("lines", r#"{"reference": "x", "lines": []}"#.to_owned()),
            ("quantity", r#"{"reference": "x", "lines": [{"pool": "world", "quantity": 0}]}"#.to_owned()),
            ("quantity", r#"{"reference": "x", "lines": [{"pool": "world", "quantity": 1001}]}"#.to_owned()),
            ("pool name", r#"{"reference": "x", "lines": [{"pool": "No Pool", "quantity": 1}]}"#.to_owned()),
            (
                "product",
                r#"{"reference": "x", "lines": [{"pool": "world", "quantity": 1, "product": ""}]}"#
                    .to_owned(),
            ),
            ("reference", format!(r#"{{"reference": "", "lines": [{line}]}}"#)),
            ("reference", format!(r#"{{"reference": "{}", "lines": [{line}]}}"#, "é".repeat(256))),
            ("reference", format!(r#"{{"reference": "a\u0000", "lines": [{line}]}}"#)),
            ("reference", format!(r#"{{"reference": " ", "lines": [{line}]}}"#)),
            ("reference", format!(r#"{{"reference": "a\u202eb", "lines": [{line}]}}"#)),
        ] {
            let error = request(&body).unwrap_err();
            assert!(error.contains(what), "{body}: {error}");
        }
        assert!(request(&format!(r#"{{"reference": "{}", "lines": [{line}]}}"#, "é".repeat(255))).is_ok());
    }
}
