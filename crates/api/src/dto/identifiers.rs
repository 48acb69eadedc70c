//! Schemas of identifiers and names. The values themselves are domain types; these only describe their text form.

use std::borrow::Cow;

use serde_json::json;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

macro_rules! identifiers {
    ($($name:ident: $description:literal, $pattern:literal, $example:literal;)*) => {
        $(
            #[doc = $description]
            #[derive(Debug)]
            pub enum $name {}

            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    ObjectBuilder::new()
                        .schema_type(Type::String)
                        .description(Some($description))
                        .pattern(Some($pattern))
                        .examples([json!($example)])
                        .into()
                }
            }

            impl ToSchema for $name {
                fn name() -> Cow<'static, str> {
                    Cow::Borrowed(stringify!($name))
                }
            }
        )*

        #[cfg(test)]
        const EXAMPLES: &[(&str, &str)] = &[$((stringify!($name), $example)),*];
    };
}

identifiers! {
    OrderId: "Id of an order.", "^ord_[0-7][0-9a-hjkmnp-tv-z]{25}$", "ord_01kamf2r8ye4ja3v6m1tbk7q5c";
    HoldId: "Id of a hold.", "^hold_[0-7][0-9a-hjkmnp-tv-z]{25}$", "hold_01kamf2r8xd7qv0m3c5n9hyz4a";
    BundleId: "Id of a bundle.", "^bdl_[0-7][0-9a-hjkmnp-tv-z]{25}$", "bdl_01kamf2r8zfq0sh2v2w4r3t9xd";
    OperationId: "Id of an operation.", "^op_[0-7][0-9a-hjkmnp-tv-z]{25}$", "op_01kamf2r8zfq0sh2v2x7mwh3qe";
    ImportId: "Id of an import.", "^imp_[0-7][0-9a-hjkmnp-tv-z]{25}$", "imp_01kamdz6m4e9vt6hjgq3b5n2ya";
    EventId: "Id of an event.", "^evt_[0-7][0-9a-hjkmnp-tv-z]{25}$", "evt_01kamf2r90e1w8k3c5t7y9n2bd";
    ReconciliationId: "Id of a reconciliation.", "^rec_[0-7][0-9a-hjkmnp-tv-z]{25}$", "rec_01kamf2r8zfq0sh2v2y5n0c8rd";
    LineJobId: "Id of a line job.", "^job_[0-7][0-9a-hjkmnp-tv-z]{25}$", "job_01kamf2r8zfq0sh2v2z6p1d9sf";
    ApiKeyId: "Id of an API key.", "^key_[0-7][0-9a-hjkmnp-tv-z]{25}$", "key_01kamcw9q7fd8rsqv1a6x0e4mz";
    WebhookEndpointId: "Id of a webhook endpoint.", "^whe_[0-7][0-9a-hjkmnp-tv-z]{25}$", "whe_01kamd3t5qe0r9v7m2h8x4j6zp";
    Iccid: "ICCID: 19 or 20 digits.", "^[0-9]{19,20}$", "8988247000000210014";
    Msisdn: "MSISDN: 6 to 15 digits with the country code, without `+`.", "^[0-9]{6,15}$", "337550000210";
    Eid: "EID: 32 digits.", "^[0-9]{32}$", "89049032123451234512345678901235";
    Imei: "IMEI: 15 digits; 16 with a software version instead of the check digit, 17 with both.", "^[0-9]{15,17}$", "490154203237518";
    Tac: "Type allocation code: the first 8 digits of an IMEI, the same for every device of a model.", "^[0-9]{8}$", "49015420";
    PoolName: "Name of a pool.", "^[a-z0-9][a-z0-9._-]{0,62}$", "travel-world";
    ChannelName: "Name of a channel: a storefront.", "^[a-z0-9][a-z0-9._-]{0,62}$", "default";
    CatalogueName: "Name of a rate plan or service profile.", "^[0-9A-Za-z]([0-9A-Za-z ._:-]{0,98}[0-9A-Za-z])?$", "M2MA_WW_TSL_IOTCONNECT_CAPPED";
    AccountName: "Name of a carrier account, as the configuration gives it.", "^[a-z0-9][a-z0-9._-]{0,62}$", "spc";
    Country: "Country, two letters of ISO 3166-1.", "^[A-Z]{2}$", "FR";
}

#[cfg(test)]
mod tests {
    use simdepot_domain::{channel, country, device, eid, iccid, id, imei, line, msisdn};

    use super::*;

    fn reads(name: &str, text: &str) -> bool {
        match name {
            "OrderId" => text.parse::<id::OrderId>().is_ok(),
            "HoldId" => text.parse::<id::HoldId>().is_ok(),
            "BundleId" => text.parse::<id::BundleId>().is_ok(),
            "OperationId" => text.parse::<id::OperationId>().is_ok(),
            "ImportId" => text.parse::<id::ImportId>().is_ok(),
            "EventId" => text.parse::<id::EventId>().is_ok(),
            "ReconciliationId" => text.parse::<id::ReconciliationId>().is_ok(),
            "LineJobId" => text.parse::<id::LineJobId>().is_ok(),
            "ApiKeyId" => text.parse::<id::ApiKeyId>().is_ok(),
            "WebhookEndpointId" => text.parse::<id::WebhookEndpointId>().is_ok(),
            "Iccid" => text.parse::<iccid::Iccid>().is_ok_and(|iccid| iccid.luhn_ok()),
            "Msisdn" => text.parse::<msisdn::Msisdn>().is_ok(),
            "Eid" => text.parse::<eid::Eid>().is_ok(),
            "Imei" => text.parse::<imei::Imei>().is_ok_and(|imei| imei.luhn_ok()),
            "Tac" => text.parse::<device::Tac>().is_ok(),
            "PoolName" => text.parse::<channel::PoolName>().is_ok(),
            "ChannelName" => text.parse::<channel::ChannelName>().is_ok(),
            "CatalogueName" => text.parse::<line::CatalogueName>().is_ok(),
            "AccountName" => text.parse::<channel::AccountName>().is_ok(),
            "Country" => text.parse::<country::CountryCode>().is_ok(),
            other => panic!("{other} has no domain type here"),
        }
    }

    #[test]
    fn every_example_is_a_real_one() {
        for (name, example) in EXAMPLES {
            assert!(reads(name, example), "{name} {example}");
        }
    }
}
