//! The account that a twin serves.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use simdepot_domain::secret::Secret;
use simdepot_domain::smdp_address::SmdpAddress;

use crate::assumptions::Assumptions;
use crate::catalogue::Product;
use crate::line::Delivered;
use crate::line_operation::Offer;
use crate::options::OptionSpec;
use crate::products;
use crate::webhook::Webhook;

/// Host that the twin's profiles are downloaded from. `.example` never resolves, so no phone can try.
const SMDP: &str = "smdp.twin.example";
/// Rate plan of IoT Connect Capped.
const IOT_RATE_PLAN: &str = "M2MA_WW_TSL_IOTCONNECT_CAPPED";
/// When the twin's stock was delivered, unless the configuration says otherwise: 2025-01-01.
const DELIVERED: i64 = 1_735_689_600;

/// Credentials, catalogue and behaviour of one account.
#[derive(Debug, Clone)]
pub struct TwinConfig {
    /// Client id of the token call.
    pub client_id: String,
    /// Client secret of the token call.
    pub client_secret: Secret,
    /// Account name that orders must carry.
    pub mvno_ref: String,
    /// Class of service: the id of the catalogue.
    pub cos: String,
    /// Rate plan of lines from their preactivation on.
    pub rate_plan: String,
    /// Options of rate plans. When empty, any rate plan and any option is taken; otherwise others than these and the
    /// account's own fail the transaction.
    pub options: BTreeMap<String, Vec<OptionSpec>>,
    /// Groups that lines can belong to.
    pub groups: Vec<String>,
    /// How lines are delivered.
    pub delivered: Delivered,
    /// Ids, ICCIDs and matching ids are counted from here; the same seed makes the same
    /// stock, and ICCIDs and MSISDNs differ when the seeds differ modulo 1000.
    pub seed: u64,
    /// SM-DP+ address of the profiles that the twin makes.
    pub smdp_address: SmdpAddress,
    /// Date of the first status of every line.
    pub delivered_at: DateTime<Utc>,
    /// Behaviour that the public documentation leaves open.
    pub assumptions: Assumptions,
    /// The catalogue.
    pub products: Vec<Product>,
    /// Where events go; nowhere unless set here or later.
    pub webhook: Option<Webhook>,
}

impl TwinConfig {
    /// A demonstration account with a believable catalogue: client `sandbox`, secret `sandbox-secret`.
    #[expect(clippy::expect_used, reason = "the host is a constant that a test reads")]
    pub fn sandbox() -> Self {
        Self {
            client_id: "sandbox".to_owned(),
            client_secret: Secret::new("sandbox-secret"),
            mvno_ref: "M2MA_WW_TSL_SANDBOX".to_owned(),
            cos: "WW_M2MA_COS_SPC".to_owned(),
            rate_plan: "M2MA_WW_TSL_SPC".to_owned(),
            options: BTreeMap::new(),
            groups: ["default", "fleet-a", "fleet-b"].map(str::to_owned).to_vec(),
            delivered: Delivered::preactivated(),
            seed: 1,
            smdp_address: SmdpAddress::parse(SMDP).expect("the sandbox SM-DP+ address is a host name"),
            delivered_at: DateTime::from_timestamp(DELIVERED, 0).unwrap_or_default(),
            assumptions: Assumptions::default(),
            products: products::sandbox(),
            webhook: None,
        }
    }

    /// A demonstration account of IoT Connect with capped bundles: lines are delivered available, and connectivity
    /// management is open. Credentials are those of the [sandbox](Self::sandbox).
    pub fn iot() -> Self {
        let assumptions =
            Assumptions { connectivity_open: true, offer: Offer::IotConnectCapped, ..Assumptions::default() };
        Self {
            mvno_ref: "M2MA_WW_TSL_SANDBOX_IOT".to_owned(),
            cos: "WW_M2MA_COS_IOT_CONNECT".to_owned(),
            rate_plan: IOT_RATE_PLAN.to_owned(),
            options: BTreeMap::from([(IOT_RATE_PLAN.to_owned(), iot_options())]),
            delivered: Delivered::available(),
            assumptions,
            products: products::iot(),
            ..Self::sandbox()
        }
    }
}

/// The options that the public documentation names. The value for paying by use is made up.
fn iot_options() -> Vec<OptionSpec> {
    let cap = ["IOTC_REF_BUNDLES", "IOTC_REF_PAY_PER_USE"];
    let threshold = |name: &str| OptionSpec::one_of("RESTRICT", name, name == "RESTRICT_NO_THRESHOLD");
    vec![
        OptionSpec::choice("OFFER_901_IOT_CONNECT_CAP_PRICING", &cap, "IOTC_REF_BUNDLES"),
        threshold("RESTRICT_NO_THRESHOLD"),
        threshold("RESTRICT_THRESHOLD_250MB"),
        threshold("RESTRICT_THRESHOLD_500MB"),
        threshold("RESTRICT_THRESHOLD_1GB"),
        threshold("RESTRICT_THRESHOLD_2GB"),
        OptionSpec::switch("M2M_TSL_BAR_DATA", false),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_iot_account_differs_where_the_offer_does() {
        let config = TwinConfig::iot();
        assert!(config.assumptions.connectivity_open && !TwinConfig::sandbox().assumptions.connectivity_open);
        assert_eq!(config.cos, "WW_M2MA_COS_IOT_CONNECT");
        assert_eq!(config.options[&config.rate_plan].len(), 7);
        assert!(
            config.products.iter().any(|product| product.category == crate::catalogue::Category::Recurring)
        );
    }

    #[test]
    fn the_sandbox_is_valid_and_keeps_its_secret() {
        let config = TwinConfig::sandbox();
        assert_eq!(config.delivered_at.to_rfc3339(), "2025-01-01T00:00:00+00:00");
        assert!(config.products.len() >= 12);
        assert!(!format!("{config:?}").contains("sandbox-secret"));
    }
}
